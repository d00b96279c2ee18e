//! Random manifests, grants and requests: what is permitted, each file permits on its own, by a second and
//! plainer reading of the rules.

use proptest::prelude::*;
use proptest::sample::select;
use sluice_model::grant::{self, Grant};
use sluice_model::ids::{Role, StageId};
use sluice_model::manifest::{self, Data, Manifest, Scheme};
use sluice_policy::Effective;
use std::path::Path;

const HEAD: &str = "[plugin]\nname = \"a/b\"\nversion = \"1.0.0\"\ninterface = \"sluice:plugin@0.1\"\ndescription = \"x\"\n";
const GRANT_HEAD: &str = "[grant]\nplugin = \"a/b\"\nversion = \"1.0.0\"\npipeline = \"p\"\n\
    digest = \"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"\n";

const HOSTS: [&str; 4] = ["a.x.y", "x.y", "b.a.x.y", "c.z"];
const PATTERNS: [&str; 5] = ["a.x.y", "*.x.y", "*.a.x.y", "c.z", "x.y"];
const METHODS: [&str; 3] = ["GET", "POST", "PUT"];
const PATHS: [&str; 6] = ["/", "/a", "/a/", "/a/b", "/a/b/c", "/b"];
const PATH_PATTERNS: [&str; 5] = ["/a", "/a/*", "/a/**", "/**", "/*/b"];

#[derive(Debug, Clone)]
struct Rule {
    host: &'static str,
    scheme: Option<Scheme>,
    port: Option<u16>,
    methods: Vec<&'static str>,
    paths: Vec<&'static str>,
}

fn rule() -> impl Strategy<Value = Rule> {
    let scheme = proptest::option::of(select(vec![Scheme::Http, Scheme::Https]));
    let port = proptest::option::of(select(vec![80, 443, 8080]));
    let methods = proptest::collection::vec(select(METHODS.to_vec()), 0..3);
    let paths = proptest::collection::vec(select(PATH_PATTERNS.to_vec()), 0..3);
    (select(PATTERNS.to_vec()), scheme, port, methods, paths).prop_map(
        |(host, scheme, port, methods, paths)| Rule {
            host,
            scheme,
            port,
            methods,
            paths,
        },
    )
}

impl Rule {
    /// The same rules, said as plainly as can be.
    fn permits(&self, scheme: Scheme, host: &str, port: u16, method: &str, path: &str) -> bool {
        let host = match self.host.strip_prefix('*') {
            Some(tail) => host.ends_with(tail),
            None => host == self.host,
        };
        let ours = self.scheme.unwrap_or(Scheme::Https);
        let door = ours == scheme && self.port.unwrap_or(ours.default_port()) == port;
        let path = self.paths.iter().any(|pattern| match *pattern {
            "/**" => true,
            "/a/**" => path == "/a" || path.starts_with("/a/"),
            "/a/*" | "/*/b" => path == "/a/b",
            exact => path == exact,
        });
        host && door && self.methods.contains(&method) && path
    }

    fn manifest(&self) -> manifest::Http {
        manifest::Http {
            host: self.host.to_owned(),
            scheme: self.scheme,
            port: self.port,
            methods: self.methods.iter().map(ToString::to_string).collect(),
            paths: self.paths.iter().map(ToString::to_string).collect(),
            auth: None,
            role: None,
            reason: "x".to_owned(),
        }
    }

    fn grant(&self) -> grant::Http {
        let manifest::Http {
            host,
            scheme,
            port,
            methods,
            paths,
            role,
            ..
        } = self.manifest();
        grant::Http {
            host,
            scheme,
            port,
            methods,
            paths,
            role,
            ..grant::Http::default()
        }
    }
}

fn columns() -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec(
        select(vec![
            "a".to_owned(),
            "b".to_owned(),
            "c".to_owned(),
            "*".to_owned(),
        ]),
        0..4,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn nothing_outside_either_file_is_permitted(
        asks in proptest::collection::vec(rule(), 0..4),
        allows in proptest::collection::vec(rule(), 0..4),
        asked in columns(),
        granted in columns(),
    ) {
        let mut manifest = Manifest::parse("m", HEAD).expect("a manifest");
        let mut grant = Grant::parse("g", GRANT_HEAD).expect("a grant");
        manifest.http = asks.iter().map(Rule::manifest).collect();
        grant.http = allows.iter().map(Rule::grant).collect();
        manifest.data = Data { reads: asked.clone(), writes: asked.clone() };
        grant.data = Data { reads: granted.clone(), writes: granted.clone() };
        let stage = StageId { role: Role::Transform, index: 0 };
        let pipeline = "p".parse().expect("a name");
        let built = Effective::build(&manifest, &grant, stage, &serde_json::json!({}), &pipeline, Path::new("/"));
        let Ok(effective) = built else { return Ok(()) };
        for (scheme, port) in [(Scheme::Http, 80), (Scheme::Https, 443), (Scheme::Https, 8080), (Scheme::Http, 443)] {
            for host in HOSTS {
                for method in METHODS {
                    for path in PATHS {
                        let uri = format!("{scheme}://{host}:{port}{path}").parse().expect("a uri");
                        let permitted = effective.may_send(&method.parse().expect("a method"), &uri).is_ok();
                        let fits = |rule: &Rule| rule.permits(scheme, host, port, method, path);
                        prop_assert_eq!(permitted, asks.iter().any(fits) && allows.iter().any(fits), "{} {}", method, uri);
                    }
                }
            }
        }
        for column in ["a", "b", "c", "d"] {
            let has = |names: &[String]| names.iter().any(|name| name == column || name == "*");
            let expected = has(&asked) && has(&granted);
            prop_assert_eq!(effective.may_read(column).is_ok(), expected, "{}", column);
            prop_assert_eq!(effective.may_write(column).is_ok(), expected, "{}", column);
        }
    }
}
