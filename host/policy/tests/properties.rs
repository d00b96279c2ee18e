//! Random manifests, grants and requests: what is permitted, each file permits on its own, by a second and
//! plainer reading of the rules.

use proptest::prelude::*;
use proptest::sample::select;
use sluice_model::grant::{self, Grant};
use sluice_model::ids::{Role, StageId};
use sluice_model::manifest::{self, Data, Manifest, Scheme};
use sluice_policy::host::{Host, HostPattern};
use sluice_policy::path::PathPattern;
use sluice_policy::{Effective, Organisation, Sought};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

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
            auth: Vec::new(),
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

/// A policy's hosts: those it names, those it denies, and whether requests may travel in the clear.
#[derive(Debug, Clone)]
struct Ruled {
    hosts: Option<Vec<&'static str>>,
    deny: Vec<&'static str>,
    plain: bool,
    class: Option<Vec<&'static str>>,
}

fn ruled() -> impl Strategy<Value = Ruled> {
    let some = |most: usize| proptest::collection::vec(select(PATTERNS.to_vec()), 0..most);
    let hosts = proptest::option::of(some(4));
    let class = proptest::option::of(some(3));
    (hosts, some(3), any::<bool>(), class).prop_map(|(hosts, deny, plain, class)| Ruled {
        hosts,
        deny,
        plain,
        class,
    })
}

fn names(patterns: &[&str], host: &str) -> bool {
    patterns
        .iter()
        .any(|pattern| match pattern.strip_prefix('*') {
            Some(tail) => host.ends_with(tail),
            None => host == *pattern,
        })
}

impl Ruled {
    fn file(&self) -> String {
        use std::fmt::Write as _;
        let mut text = format!("[http]\nplain = {}\ndeny = {:?}\n", self.plain, self.deny);
        if let Some(hosts) = &self.hosts {
            writeln!(text, "hosts = {hosts:?}").expect("memory");
        }
        if let Some(hosts) = &self.class {
            writeln!(
                text,
                "[[class]]\nname = \"c\"\ncolumns = [\"c\"]\nhosts = {hosts:?}"
            )
            .expect("memory");
        }
        text
    }

    /// The same rules, said as plainly as can be.
    fn permits(&self, scheme: Scheme, host: &str, sees_c: bool) -> bool {
        (self.plain || scheme == Scheme::Https)
            && self.hosts.as_ref().is_none_or(|hosts| names(hosts, host))
            && !names(&self.deny, host)
            && self
                .class
                .as_ref()
                .is_none_or(|hosts| !sees_c || names(hosts, host))
    }
}

const DOORS: [(Scheme, u16); 6] = [
    (Scheme::Http, 80),
    (Scheme::Http, 443),
    (Scheme::Http, 8080),
    (Scheme::Https, 80),
    (Scheme::Https, 443),
    (Scheme::Https, 8080),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn nothing_outside_any_file_is_permitted(
        asks in proptest::collection::vec(rule(), 0..4),
        allows in proptest::collection::vec(rule(), 0..4),
        asked in columns(),
        granted in columns(),
        policy in ruled(),
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
        let Ok(granted_only) = built else { return Ok(()) };
        let organisation = Organisation::read("policy.toml", &policy.file()).expect("a policy");
        let under = granted_only.clone().under(Arc::new(organisation));
        let has = |names: &[String], column: &str| names.iter().any(|name| name == column || name == "*");
        let sees_c = has(&asked, "c") && has(&granted, "c");
        for (effective, policy) in [(Some(&granted_only), None), (under.as_ref().ok(), Some(&policy))] {
            let Some(effective) = effective else { continue };
            for host in HOSTS {
                let mut reached = false;
                for (scheme, port) in DOORS {
                    for method in METHODS {
                        for path in PATHS {
                            let uri = format!("{scheme}://{host}:{port}{path}").parse().expect("a uri");
                            let permitted = effective.may_send(&method.parse().expect("a method"), &uri).is_ok();
                            let fits = |rule: &Rule| rule.permits(scheme, host, port, method, path);
                            let expected = asks.iter().any(fits)
                                && allows.iter().any(fits)
                                && policy.is_none_or(|policy| policy.permits(scheme, host, sees_c));
                            prop_assert_eq!(permitted, expected, "{} {}", method, uri);
                            reached |= permitted;
                        }
                    }
                }
                // A report says what is decided.
                let sought = Sought::Host(HostPattern::parse(host).expect("a host"));
                let told = effective.reaches(&sought, Some(&BTreeMap::new()));
                prop_assert_eq!(!told.is_empty(), reached, "{}: {:?}", host, told);
            }
            for column in ["a", "b", "c", "d"] {
                let expected = has(&asked, column) && has(&granted, column);
                prop_assert_eq!(effective.may_read(column).is_ok(), expected, "{}", column);
                prop_assert_eq!(effective.may_write(column).is_ok(), expected, "{}", column);
            }
        }
        // What does not start could have done nothing, in some entry of the grant.
        if let Err(forbidden) = &under {
            prop_assert!(!forbidden.is_empty());
        }
    }

    #[test]
    fn what_two_path_patterns_have_in_common_both_permit(
        ours in "(/[ab*]){0,3}(/|/\\*\\*)?",
        theirs in "(/[ab*]){0,3}(/|/\\*\\*)?",
        path in "(/[ab]){0,4}/?",
    ) {
        let (Ok(ours), Ok(theirs)) = (PathPattern::parse(&ours), PathPattern::parse(&theirs)) else { return Ok(()) };
        prop_assume!(sluice_policy::path::check(&path).is_ok());
        let both = ours.common(&theirs).is_some_and(|common| common.matches(&path));
        prop_assert_eq!(both, ours.matches(&path) && theirs.matches(&path));
    }

    #[test]
    fn what_two_host_patterns_have_in_common_both_name(
        ours in "(\\*\\.)?([ab]\\.){0,2}x\\.y",
        theirs in "(\\*\\.)?([ab]\\.){0,2}x\\.y",
        host in "([ab]\\.){0,3}x\\.y",
    ) {
        let pattern = |text: &str| HostPattern::parse(text).expect("a pattern");
        let (ours, theirs) = (pattern(&ours), pattern(&theirs));
        let host = Host::parse(&host).expect("a host");
        let both = ours.common(&theirs).is_some_and(|common| common.matches(&host));
        prop_assert_eq!(both, ours.matches(&host) && theirs.matches(&host));
        if ours.within(&theirs) {
            prop_assert!(!ours.matches(&host) || theirs.matches(&host));
        }
    }
}
