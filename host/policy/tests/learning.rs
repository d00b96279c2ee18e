//! Random grants and trials: what is learnt from a trial permits all that the trial did, and nothing that was not
//! permitted before.

use proptest::prelude::*;
use proptest::sample::select;
use sluice_model::grant::{self, Grant};
use sluice_model::ids::{Role, StageId};
use sluice_model::manifest::{self, Manifest, Scheme};
use sluice_policy::Effective;
use sluice_policy::learn::{Trial, narrow_grant, narrow_manifest};
use std::collections::BTreeSet;
use std::path::Path;

const HEAD: &str = "[plugin]\nname = \"a/b\"\nversion = \"1.0.0\"\ninterface = \"sluice:plugin@0.1\"\ndescription = \"x\"\n";
const GRANT_HEAD: &str = "[grant]\nplugin = \"a/b\"\nversion = \"1.0.0\"\npipeline = \"p\"\n\
    digest = \"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"\n";

const HOSTS: [&str; 4] = ["a.x.y", "x.y", "b.a.x.y", "c.z"];
const PATTERNS: [&str; 4] = ["a.x.y", "*.x.y", "c.z", "x.y"];
const METHODS: [&str; 3] = ["GET", "POST", "PUT"];
const PATHS: [&str; 6] = ["/", "/a", "/a/", "/a/b", "/a/b/c", "/b"];
const PATH_PATTERNS: [&str; 5] = ["/a", "/a/*", "/a/**", "/**", "/*/b"];

fn rule() -> impl Strategy<Value = grant::Http> {
    let scheme = proptest::option::of(select(vec![Scheme::Http, Scheme::Https]));
    let methods = proptest::collection::vec(select(METHODS.to_vec()), 0..3);
    let paths = proptest::collection::vec(select(PATH_PATTERNS.to_vec()), 0..3);
    (select(PATTERNS.to_vec()), scheme, methods, paths).prop_map(
        |(host, scheme, methods, paths)| grant::Http {
            host: host.to_owned(),
            scheme,
            port: None,
            methods: methods.into_iter().map(ToOwned::to_owned).collect(),
            paths: paths.into_iter().map(ToOwned::to_owned).collect(),
            networks: Vec::new(),
            ca: None,
            requests_max: None,
            bytes_out_max: None,
            bytes_in_max: None,
            rate: None,
            role: None,
        },
    )
}

fn grant_of(rules: &[grant::Http]) -> Grant {
    let mut grant = Grant::parse("g", GRANT_HEAD).expect("a head");
    grant.http = rules.to_vec();
    grant
}

fn permits(grant: &Grant, manifest: &Manifest, method: &str, url: &str) -> bool {
    let stage = StageId {
        role: Role::Source,
        index: 0,
    };
    let pipeline = "p".parse().expect("a name");
    let built = Effective::build(
        manifest,
        grant,
        stage,
        &serde_json::json!({}),
        &pipeline,
        Path::new("/"),
    );
    let method = method.parse().expect("a method");
    built.is_ok_and(|effective| {
        effective
            .may_send(&method, &url.parse().expect("a url"))
            .is_ok()
    })
}

/// A manifest that asks for exactly what a grant permits.
fn manifest_of(grant: &Grant) -> Manifest {
    let mut manifest = Manifest::parse("m", HEAD).expect("a head");
    manifest.http = grant
        .http
        .iter()
        .map(|http| manifest::Http {
            host: http.host.clone(),
            scheme: http.scheme,
            port: http.port,
            methods: http.methods.clone(),
            paths: http.paths.clone(),
            auth: Vec::new(),
            role: None,
            reason: "x".to_owned(),
        })
        .collect();
    manifest
}

fn request() -> impl Strategy<Value = (String, String)> {
    let more = prop_oneof![
        select(PATHS.to_vec()).prop_map(ToOwned::to_owned),
        "/a/[a-z*]{1,3}(/[a-z]{1,2})?"
    ];
    (select(METHODS.to_vec()), select(HOSTS.to_vec()), more)
        .prop_map(|(method, host, path)| (method.to_owned(), format!("https://{host}{path}")))
}

proptest! {
    #[test]
    fn what_is_learnt_is_never_wider(
        rules in proptest::collection::vec(rule(), 1..3),
        sent in proptest::collection::vec(request(), 0..16),
        asked in proptest::collection::vec(request(), 8),
    ) {
        let broad = grant_of(&rules);
        let manifest = manifest_of(&broad);
        let let_through: BTreeSet<_> = sent
            .into_iter()
            .filter(|(method, url)| permits(&broad, &manifest, method, url))
            .collect();
        let trial = Trial { requests: let_through.clone(), ..Trial::default() };
        let narrow = narrow_grant(&broad, &trial);
        let asks = narrow_manifest(&manifest, &[(Role::Source, &serde_json::json!({}))], &trial);
        for (method, url) in asked.iter().chain(&let_through) {
            let before = permits(&broad, &manifest, method, url);
            prop_assert!(before || !permits(&narrow, &manifest_of(&narrow), method, url), "grant: {} {}", method, url);
            prop_assert!(before || !permits(&broad, &asks, method, url), "manifest: {} {}", method, url);
        }
        for (method, url) in &let_through {
            prop_assert!(permits(&narrow, &asks, method, url), "the trial still works: {} {}", method, url);
        }
    }
}
