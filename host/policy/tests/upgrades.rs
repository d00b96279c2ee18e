//! What differs between two plugins, and what becomes of a grant when its plugin changes: tables, and random manifests
//! held against a second and plainer reading of the rules.

use proptest::prelude::*;
use proptest::sample::select;
use sluice_model::digest::Digest;
use sluice_model::grant::Grant;
use sluice_model::ids::Role;
use sluice_model::manifest::Manifest;
use sluice_policy::diff::{Change, Direction, Side, diff, is_wider};
use sluice_policy::{Asking, Upgrade, propose, upgrade};

const HEAD: &str = "[plugin]\nname = \"a/b\"\nversion = \"1.0.0\"\ninterface = \"sluice:plugin@0.1\"\ndescription = \"x\"\n";
const HTTP: &str = "[[http]]\nhost = \"api.acme.example\"\nmethods = [\"GET\"]\npaths = [\"/v2/**\"]\nreason = \"x\"\n";

fn manifest(rest: &str) -> Manifest {
    Manifest::parse("m", &format!("{HEAD}{rest}")).unwrap_or_else(|error| panic!("{error}\n{rest}"))
}

fn changes(old: &str, new: &str) -> Vec<Change> {
    let (old, new) = (manifest(old), manifest(new));
    let side = |manifest| Side {
        manifest,
        imports: &[],
        roles: &[],
        config_schema: None,
    };
    diff(&side(&old), &side(&new))
}

fn lines(changes: &[Change]) -> Vec<String> {
    changes
        .iter()
        .map(|change| {
            let sign = match change.direction {
                Direction::Wider => '+',
                Direction::Narrower => '-',
                Direction::Other => '~',
            };
            format!("{sign} {}: {}", change.capability, change.what)
        })
        .collect()
}

#[test]
fn what_is_wider_and_what_is_not() {
    let http = |from: &str, to: &str| HTTP.replacen(from, to, 1);
    let dir = |path: &str, mode: &str| {
        format!("[[dir]]\npath = \"{path}\"\nmode = \"{mode}\"\nreason = \"x\"\n")
    };
    let secret = |name: &str, place: &str| {
        format!("[[secret]]\nname = \"{name}\"\nuse = \"{place}\"\nreason = \"x\"\n")
    };
    let tcp = |host: &str, port: &str| {
        format!("[[tcp]]\nhost = \"{host}\"\nport = {port}\nreason = \"x\"\n")
    };
    let reads = |columns: &str| format!("[data]\nreads = [{columns}]\n");
    let with = |auth: &str| http("reason", &format!("auth = \"{auth}\"\nreason"));
    let cases: Vec<(String, String, &[&str])> = vec![
        (HTTP.into(), HTTP.into(), &[]),
        (HTTP.into(), http("\"x\"", "\"other words\""), &[]),
        (
            String::new(),
            HTTP.into(),
            &["+ http: GET https://api.acme.example /v2/**"],
        ),
        (
            HTTP.into(),
            String::new(),
            &["- http: GET https://api.acme.example /v2/**"],
        ),
        (
            HTTP.into(),
            http("\"GET\"", "\"GET\", \"POST\""),
            &["+ http: POST https://api.acme.example /v2/**"],
        ),
        (
            HTTP.into(),
            http("/v2/**", "/v2/items"),
            &["- http: GET https://api.acme.example /v2/**"],
        ),
        (
            HTTP.into(),
            http("/v2/**", "/**"),
            &["+ http: GET https://api.acme.example /**"],
        ),
        (
            HTTP.into(),
            http("api.acme", "*.acme"),
            &["+ http: GET https://*.acme.example /v2/**"],
        ),
        (
            http("api.acme", "*.acme"),
            HTTP.into(),
            &["- http: GET https://*.acme.example /v2/**"],
        ),
        (
            HTTP.into(),
            http("reason", "port = 8443\nreason"),
            &[
                "+ http: GET https://api.acme.example:8443 /v2/**",
                "- http: GET https://api.acme.example /v2/**",
            ],
        ),
        (
            HTTP.into(),
            http("reason", "port = 443\nscheme = \"https\"\nreason"),
            &[],
        ),
        (
            HTTP.into(),
            http("reason", "scheme = \"http\"\nreason"),
            &[
                "+ http: GET http://api.acme.example /v2/**",
                "- http: GET https://api.acme.example /v2/**",
            ],
        ),
        (
            HTTP.into(),
            http("api.acme.example", "{config.base_url}"),
            &[
                "+ http: GET {config.base_url} /v2/**",
                "- http: GET https://api.acme.example /v2/**",
            ],
        ),
        (
            http("reason", "as = \"source\"\nreason"),
            HTTP.into(),
            &["+ http: GET https://api.acme.example /v2/**"],
        ),
        (
            HTTP.into(),
            http("reason", "as = \"source\"\nreason"),
            &["- http: GET https://api.acme.example /v2/**"],
        ),
        // One entry's methods and paths are in two of the other: nothing is gained by writing it so.
        (
            format!("{HTTP}{}", http("\"GET\"", "\"POST\"")),
            http("\"GET\"", "\"GET\", \"POST\""),
            &[],
        ),
        // A secret that goes to a host it did not go to.
        (
            format!("{HTTP}{}", secret("token", "bearer")),
            format!("{}{}", with("token"), secret("token", "bearer")),
            &["+ http: GET https://api.acme.example /v2/**, with secret `token` as bearer"],
        ),
        (
            format!("{}{}", with("token"), secret("token", "bearer")),
            format!("{}{}", with("token"), secret("token", "query:key")),
            &[
                "+ http: GET https://api.acme.example /v2/**, with secret `token` as query:key",
                "+ secret: `token` as query:key",
                "- http: GET https://api.acme.example /v2/**, with secret `token` as bearer",
                "- secret: `token` as bearer",
            ],
        ),
        (
            String::new(),
            secret("token", "reveal"),
            &["+ secret: `token` REVEALED: THE PLUGIN SEES IT"],
        ),
        (
            secret("token", "bearer"),
            secret("token", "reveal"),
            &[
                "+ secret: `token` REVEALED: THE PLUGIN SEES IT",
                "- secret: `token` as bearer",
            ],
        ),
        (
            String::new(),
            tcp("db.acme.example", "5432"),
            &["+ tcp: db.acme.example:5432"],
        ),
        (
            tcp("db.acme.example", "5432"),
            tcp("*.acme.example", "5432"),
            &["+ tcp: *.acme.example:5432"],
        ),
        (
            tcp("*.acme.example", "5432"),
            tcp("db.acme.example", "5432"),
            &["- tcp: *.acme.example:5432"],
        ),
        (
            tcp("db.acme.example", "5432"),
            tcp("db.acme.example", "22"),
            &["+ tcp: db.acme.example:22", "- tcp: db.acme.example:5432"],
        ),
        (
            tcp("{config.host}", "5432"),
            tcp("{config.host}", "\"{config.port:5432}\""),
            &["+ tcp: {config.host}:{config.port:5432}"],
        ),
        (
            tcp("{config.host}", "\"{config.port:5432}\""),
            tcp("{config.host}", "5432"),
            &["- tcp: {config.host}:{config.port:5432}"],
        ),
        (
            tcp("2001:db8::7", "5432"),
            tcp("2001:db8::7", "5432\nas = \"sink\""),
            &["- tcp: [2001:db8::7]:5432"],
        ),
        (dir("in", "read"), dir("in", "write"), &["+ dir: write in"]),
        (dir("in", "write"), dir("in", "read"), &["- dir: write in"]),
        (dir("in", "read"), dir("./in/", "read"), &[]),
        (
            dir("in", "read"),
            dir("in/deeper", "read"),
            &["+ dir: read in/deeper", "- dir: read in"],
        ),
        (
            reads("\"a\""),
            reads("\"a\", \"b\""),
            &["+ data.reads: `b`"],
        ),
        (
            reads("\"a\""),
            reads("\"*\""),
            &["+ data.reads: every column"],
        ),
        (
            reads("\"*\""),
            reads("\"a\""),
            &["- data.reads: every column"],
        ),
        (
            String::new(),
            "[limits]\nmemory = \"128MiB\"\n".into(),
            &["+ limits: memory 128MiB (was 64MiB)"],
        ),
        (String::new(), "[limits]\nmemory = \"64MiB\"\n".into(), &[]),
        (
            String::new(),
            "[limits]\ncall_time = \"1s\"\n".into(),
            &["- limits: a call may take 1s (was 10s)"],
        ),
        (
            String::new(),
            "[sink]\nidempotent = true\n".into(),
            &[
                "~ sink: is idempotent",
                "~ sink: takes 1MiB or 100000 rows, or what comes in 1s",
            ],
        ),
        (
            dir("a", "read"),
            dir("\\u202Egnp", "read"),
            &["+ dir: read \\u{202e}gnp", "- dir: read a"],
        ),
    ];
    for (old, new, expected) in cases {
        assert_eq!(lines(&changes(&old, &new)), *expected, "{old}\n→\n{new}");
    }
}

#[test]
fn settings_and_imports_are_told_and_doors_are_wider() {
    let (plain, http) = (manifest(""), manifest(HTTP));
    let old_schema =
        serde_json::json!({"properties": {"a": {"type": "string"}, "b": {}}, "required": ["b"]});
    let new_schema = serde_json::json!({"properties": {"a": {"type": "number"}, "c": {}}, "required": ["a", "c"]});
    let names = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>()
    };
    let old_imports = names(&["sluice:plugin/log@0.1.0", "wasi:cli/environment@0.2.3"]);
    let new_imports = names(&[
        "sluice:plugin/log@0.1.1",
        "wasi:cli/environment@0.2.6",
        "wasi:http/outgoing-handler@0.2.6",
        "wasi:sockets/tcp@0.2.6",
        "evil:door/open@1.0.0",
    ]);
    let old = Side {
        manifest: &plain,
        imports: &old_imports,
        roles: &[Role::Source],
        config_schema: Some(&old_schema),
    };
    let new = Side {
        manifest: &http,
        imports: &new_imports,
        roles: &[Role::Source, Role::Sink],
        config_schema: Some(&new_schema),
    };
    insta::assert_snapshot!(lines(&diff(&old, &new)).join("\n"));
}

/// A list that would multiply with another is not compared, and never taken for covered.
#[test]
fn what_is_too_much_to_compare_is_wider() {
    let paths = |count: usize| {
        let list: Vec<String> = (0..count).map(|at| format!("\"/{at}\"")).collect();
        HTTP.replacen("\"/v2/**\"", &list.join(","), 1)
    };
    let many = paths(3_000);
    let began = std::time::Instant::now();
    assert!(is_wider(&changes(&many, &many)));
    assert!(began.elapsed() < std::time::Duration::from_secs(10));
    assert!(!is_wider(&changes(&paths(500), &paths(500))));
}

fn grant(manifest: &Manifest) -> Grant {
    let config = serde_json::json!({});
    propose(
        manifest,
        &[(Role::Transform, &config)],
        Digest::of(b"x"),
        &"p".parse().expect("a name"),
        &[],
    )
    .expect("a grant")
}

fn upgraded(old: &Grant, before: Option<&Manifest>, now: &Manifest, widen: bool) -> Upgrade {
    let whole = before.map(grant);
    let before = before
        .zip(whole.as_ref())
        .map(|(manifest, whole)| Asking { manifest, whole });
    let whole = grant(now);
    upgrade(
        old,
        before,
        Asking {
            manifest: now,
            whole: &whole,
        },
        widen,
    )
}

#[test]
fn a_grant_is_carried_over_as_narrow_as_it_was() {
    let old = manifest(&format!(
        "{HTTP}[data]\nreads = [\"a\", \"b\"]\n[[dir]]\npath = \"gone\"\nmode = \"read\"\nreason = \"x\"\n"
    ));
    let new = manifest(&format!(
        "{}[data]\nreads = [\"a\", \"b\", \"c\"]\n[limits]\nmemory = \"128MiB\"\n",
        HTTP.replacen("\"GET\"", "\"GET\", \"POST\"", 1)
    ));
    // By hand: one path only, one column only, a network opened.
    let mut narrowed = grant(&old);
    narrowed.http[0].paths = vec!["/v2/contacts".to_owned()];
    narrowed.http[0].networks = vec!["10.0.0.0/8".to_owned().try_into().expect("a network")];
    narrowed.data.reads = vec!["a".to_owned()];
    let shown = |upgrade: &Upgrade| {
        format!(
            "wider\n  {}\nheld\n  {}\ndropped\n  {}\n{}",
            lines(&upgrade.wider).join("\n  "),
            lines(&upgrade.held).join("\n  "),
            lines(&upgrade.dropped).join("\n  "),
            toml::to_string(&upgrade.grant).expect("text")
        )
    };
    insta::assert_snapshot!("kept", shown(&upgraded(&narrowed, Some(&old), &new, false)));
    insta::assert_snapshot!(
        "widened",
        shown(&upgraded(&narrowed, Some(&old), &new, true))
    );
    insta::assert_snapshot!(
        "without_the_old_component",
        shown(&upgraded(&narrowed, None, &new, false))
    );
}

#[test]
fn connections_are_carried_over_as_they_were() {
    let tcp = |host: &str, port: u16| {
        format!("[[tcp]]\nhost = \"{host}\"\nport = {port}\nreason = \"x\"\n")
    };
    let old = manifest(&(tcp("db.acme.example", 5432) + &tcp("gone.acme.example", 22)));
    let new = manifest(&format!(
        "{}{}[[secret]]\nname = \"password\"\nuse = \"reveal\"\nreason = \"x\"\n",
        tcp("*.acme.example", 5432),
        tcp("mail.acme.example", 587)
    ));
    let mut narrowed = grant(&old);
    narrowed.tcp[0].ca = Some("acme.pem".to_owned());
    let hosts = |upgrade: &Upgrade| -> Vec<String> {
        let tcp = upgrade.grant.tcp.iter();
        tcp.map(|tcp| format!("{}:{} {:?}", tcp.host, tcp.port, tcp.ca))
            .collect()
    };
    let kept = upgraded(&narrowed, Some(&old), &new, false);
    assert_eq!(
        lines(&kept.wider),
        [
            "+ tcp: *.acme.example:5432",
            "+ tcp: mail.acme.example:587",
            "+ secret: `password` REVEALED: THE PLUGIN SEES IT"
        ]
    );
    assert_eq!(lines(&kept.dropped), ["- tcp: gone.acme.example:22"]);
    let first = "db.acme.example:5432 Some(\"acme.pem\")";
    assert_eq!(hosts(&kept), [first]);
    assert!(kept.grant.secret.is_empty());
    let widened = upgraded(&narrowed, Some(&old), &new, true);
    assert_eq!(
        hosts(&widened),
        [
            first,
            "*.acme.example:5432 None",
            "mail.acme.example:587 None"
        ]
    );
    assert_eq!(widened.grant.secret.len(), 1);
}

/// A grant does not say which secret goes to which host, so a secret that moves is found by what the components ask.
#[test]
fn a_secret_that_goes_to_another_host_is_wider() {
    let secret = "[[secret]]\nname = \"t\"\nuse = \"bearer\"\nreason = \"x\"\n";
    let other = HTTP.replace("api.acme.example", "collect.example");
    let with = |http: &str| http.replace("reason", "auth = \"t\"\nreason");
    let old = manifest(&format!("{}{other}{secret}", with(HTTP)));
    let new = manifest(&format!("{}{}{secret}", with(HTTP), with(&other)));
    assert_eq!(grant(&old), grant(&new));
    let upgrade = upgraded(&grant(&old), Some(&old), &new, false);
    assert_eq!(
        lines(&upgrade.wider),
        ["+ http: GET https://collect.example /v2/**, with secret `t` as bearer"]
    );
    assert!(
        upgraded(&grant(&old), Some(&old), &old, false)
            .wider
            .is_empty()
    );
    let blind = upgraded(&grant(&old), None, &old, false);
    assert_eq!(blind.wider.len(), 1, "{blind:?}");
}

#[test]
fn a_rebuilt_plugin_is_granted_the_same() {
    let manifest = manifest(HTTP);
    let old = grant(&manifest);
    for before in [None, Some(&manifest)] {
        let upgrade = upgraded(&old, before, &manifest, false);
        assert!(
            upgrade.wider.is_empty() && upgrade.held.is_empty() && upgrade.dropped.is_empty(),
            "{upgrade:?}"
        );
        assert_eq!(upgrade.grant, old);
    }
}

#[derive(Debug, Clone)]
struct Rule {
    host: &'static str,
    methods: Vec<&'static str>,
    paths: Vec<&'static str>,
}

const HOSTS: [&str; 4] = ["a.x.y", "x.y", "b.a.x.y", "c.z"];
const METHODS: [&str; 3] = ["GET", "POST", "PUT"];
const PATHS: [&str; 6] = ["/", "/a", "/a/", "/a/b", "/a/b/c", "/b"];

fn rule() -> impl Strategy<Value = Rule> {
    let host = select(vec!["a.x.y", "*.x.y", "*.a.x.y", "c.z", "x.y"]);
    let methods = proptest::collection::vec(select(METHODS.to_vec()), 0..3);
    let paths = proptest::collection::vec(
        select(vec!["/a", "/a/*", "/a/**", "/**", "/*/b", "/*"]),
        0..3,
    );
    (host, methods, paths).prop_map(|(host, methods, paths)| Rule {
        host,
        methods,
        paths,
    })
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    proptest::collection::vec(rule(), 0..4)
}

impl Rule {
    /// The same rules, said as plainly as can be.
    fn permits(&self, host: &str, method: &str, path: &str) -> bool {
        let host = match self.host.strip_prefix('*') {
            Some(tail) => host.ends_with(tail),
            None => host == self.host,
        };
        let path = self.paths.iter().any(|pattern| match *pattern {
            "/**" => true,
            "/a/**" => path == "/a" || path.starts_with("/a/"),
            "/a/*" | "/*/b" => path == "/a/b",
            "/*" => path == "/a" || path == "/b",
            exact => path == exact,
        });
        host && self.methods.contains(&method) && path
    }

    fn text(&self) -> String {
        format!(
            "[[http]]\nhost = {:?}\nmethods = {:?}\npaths = {:?}\nreason = \"x\"\n",
            self.host, self.methods, self.paths
        )
    }

    fn of(grant: &Grant) -> Vec<(String, Vec<String>, Vec<String>)> {
        let entry = |http: &sluice_model::grant::Http| {
            (http.host.clone(), http.methods.clone(), http.paths.clone())
        };
        grant.http.iter().map(entry).collect()
    }
}

fn asking(rules: &[Rule]) -> Manifest {
    manifest(&rules.iter().map(Rule::text).collect::<String>())
}

fn every_request() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    HOSTS.iter().flat_map(|host| {
        METHODS
            .iter()
            .flat_map(move |method| PATHS.iter().map(move |path| (*host, *method, *path)))
    })
}

fn permitted(rules: &[Rule], (host, method, path): (&str, &str, &str)) -> bool {
    rules.iter().any(|rule| rule.permits(host, method, path))
}

/// A grant's entries as plain rules: every word of it came from ours, so it is one of the constants.
fn plain(grant: &Grant) -> Vec<Rule> {
    let leak = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
    let all = |texts: Vec<String>| texts.into_iter().map(leak).collect();
    Rule::of(grant)
        .into_iter()
        .map(|(host, methods, paths)| Rule {
            host: leak(host),
            methods: all(methods),
            paths: all(paths),
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn nothing_wider_is_missed(old in rules(), new in rules()) {
        let (before, after) = (asking(&old), asking(&new));
        let side = |manifest| Side { manifest, imports: &[], roles: &[], config_schema: None };
        let wider = is_wider(&diff(&side(&before), &side(&after)));
        for request in every_request() {
            if permitted(&new, request) && !permitted(&old, request) {
                prop_assert!(wider, "{request:?}");
            }
        }
        prop_assert!(!is_wider(&diff(&side(&after), &side(&after))));
    }

    #[test]
    fn an_upgrade_never_widens_by_itself(granted in rules(), old in rules(), new in rules(), is_known: bool) {
        let (before, now) = (asking(&old), asking(&new));
        let allowed = grant(&asking(&granted));
        let before = is_known.then_some(&before);
        let kept = upgraded(&allowed, before, &now, false);
        let widened = upgraded(&allowed, before, &now, true);
        let (kept_rules, widened_rules) = (plain(&kept.grant), plain(&widened.grant));
        for request in every_request() {
            if permitted(&kept_rules, request) {
                prop_assert!(permitted(&granted, request), "{request:?}");
            }
            let asked_anew = permitted(&new, request) && !(is_known && permitted(&old, request));
            if asked_anew {
                prop_assert!(permitted(&widened_rules, request), "{request:?}");
                prop_assert!(permitted(&granted, request) || !kept.wider.is_empty(), "{request:?}");
            }
            // What is granted and still asked for stays granted.
            if permitted(&granted, request) && permitted(&new, request) {
                prop_assert!(permitted(&kept_rules, request), "{request:?}");
            }
        }
    }
}
