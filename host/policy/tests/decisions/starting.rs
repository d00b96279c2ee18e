//! What keeps a stage from starting, and what is proposed instead.

use super::{GRANT, MANIFEST, build, config};
use serde_json::{Value, json};
use sluice_model::grant::Grant;
use sluice_model::ids::Role;
use sluice_model::manifest::Manifest;
use sluice_policy::propose;

#[test]
fn what_a_grant_does_not_touch_keeps_a_stage_from_starting() {
    let check = |role: Role, config: Value, from: &str, to: &str, expected: &[&str]| {
        let grant = GRANT.replace(from, to);
        assert!(
            from.is_empty() || grant != GRANT,
            "the test must change something"
        );
        let missing = build(MANIFEST, &grant, role, &config)
            .err()
            .unwrap_or_default();
        let found: Vec<_> = missing
            .iter()
            .map(|one| format!("{} {}", one.refusal.capability, one.refusal.asked))
            .collect();
        assert_eq!(found, expected, "{from} {to}");
    };
    check(Role::Source, config(), "", "", &[]);
    check(
        Role::Source,
        config(),
        "\"api.acme.example\"",
        "\"api.other.example\"",
        &["http https://api.acme.example:443"],
    );
    check(
        Role::Source,
        config(),
        "networks",
        "port = 8443\nnetworks",
        &["http https://api.acme.example:443"],
    );
    check(
        Role::Source,
        config(),
        "networks",
        "scheme = \"http\"\nnetworks",
        &["http https://api.acme.example:443"],
    );
    check(
        Role::Source,
        config(),
        "*.eu.cdn.acme.example",
        "cdn.acme.example",
        &["http https://*.cdn.acme.example:443"],
    );
    check(
        Role::Source,
        config(),
        "\"token\"",
        "\"other\"",
        &["secret token"],
    );
    check(
        Role::Source,
        config(),
        "\"bearer\"",
        "\"query:key\"",
        &["secret token"],
    );
    check(
        Role::Source,
        config(),
        "path = \"in\"",
        "path = \"elsewhere\"",
        &["dir in"],
    );
    check(
        Role::Source,
        config(),
        "pipeline = \"crm\"",
        "pipeline = \"other\"",
        &["grant crm"],
    );
    check(
        Role::Transform,
        config(),
        "writes = [\"*\"]",
        "writes = []",
        &["data.writes email, phone"],
    );
    check(
        Role::Transform,
        config(),
        "reads = [\"id\", \"email\", \"salary\"]",
        "",
        &["data.reads email, id, phone"],
    );
    check(
        Role::Sink,
        json!({ "out": "/else" }),
        "",
        "",
        &["dir /else"],
    );
    // A grant that cannot be read permits nothing.
    check(
        Role::Source,
        config(),
        "\"api.acme.example\"",
        "\"*.example\"",
        &["http *.example"],
    );
    check(
        Role::Source,
        config(),
        "\"/v3/**\"",
        "\"/v3/a*\"",
        &["http api.acme.example"],
    );
    check(
        Role::Source,
        config(),
        "\"DELETE\"",
        "\"delete\"",
        &["http api.acme.example"],
    );
    check(
        Role::Source,
        config(),
        "\"DELETE\"",
        "\"CONNECT\"",
        &["http api.acme.example"],
    );
    // What no setting names is not wanted.
    check(
        Role::Source,
        json!({}),
        "path = \"in\"",
        "path = \"elsewhere\"",
        &[],
    );
    check(Role::Source, json!({}), "\"token\"", "\"other\"", &[]);
}

#[test]
fn settings_name_hosts_strictly() {
    let check = |base_url: &str, expected: Result<&str, &str>| {
        let manifest = Manifest::parse("m", MANIFEST).expect("a manifest");
        let config = json!({ "base_url": base_url });
        let digest = Grant::parse("g", GRANT).expect("a grant").grant.digest;
        let grant = propose(
            &manifest,
            &[(Role::Source, &config)],
            digest,
            &"crm".parse().expect("a name"),
            &[],
        );
        let answer = grant.map(|grant| {
            let http = &grant.http[0];
            let scheme = http
                .scheme
                .map_or(String::new(), |scheme| format!("{scheme} "));
            format!(
                "{scheme}{}{}",
                http.host,
                http.port.map_or(String::new(), |port| format!(" {port}"))
            )
        });
        let answer = answer.map_err(|refusals| refusals[0].reason.clone());
        assert_eq!(
            answer.as_deref().map_err(String::as_str),
            expected,
            "{base_url}"
        );
    };
    check("api.acme.example", Ok("api.acme.example"));
    check("api.acme.example:8443", Ok("api.acme.example 8443"));
    check("https://api.acme.example", Ok("api.acme.example"));
    check(
        "https://api.acme.example:8443/base?x#y",
        Ok("api.acme.example 8443"),
    );
    check("http://api.acme.example/base", Ok("http api.acme.example"));
    check("http://127.0.0.1:8080", Ok("http 127.0.0.1 8080"));
    check("https://[2001:db8::1]:8443/", Ok("2001:db8::1 8443"));
    check("2001:db8::1", Ok("2001:db8::1"));
    check(
        "ftp://api.acme.example",
        Err("the scheme is neither `http` nor `https`"),
    );
    check(
        "https://user@api.acme.example",
        Err("a url cannot have a user name in it"),
    );
    check("https://127.1", Err("an address is written `127.0.0.1`"));
    check("https://*.acme.example", Err("a setting cannot hold a `*`"));
    check("*.acme.example", Err("a setting cannot hold a `*`"));
    check("https://", Err("no host is named"));
    check(
        "https://api.acme.example\\@evil.test",
        Err("a url cannot have a user name in it"),
    );
    check(
        "https://api.acme.example\\.evil.test",
        Err("a host name cannot have '\\\\' in it"),
    );
}

#[test]
fn a_manifest_binds_its_settings() {
    let pinned = MANIFEST.replacen("methods", "scheme = \"https\"\nport = 443\nmethods", 1);
    let check = |base_url: &str, expected: &str| {
        let config = json!({ "base_url": base_url });
        let missing =
            build(&pinned, GRANT, Role::Source, &config).expect_err("a setting that differs");
        assert_eq!(missing[0].refusal.reason, expected);
        assert_eq!(missing[0].lines, "", "no line in a grant helps");
    };
    check(
        "http://api.acme.example",
        "the setting gives the scheme `http`, the manifest asks for `https` only",
    );
    check(
        "https://api.acme.example:8443",
        "the setting gives the port `8443`, the manifest asks for `443` only",
    );
    let owned = MANIFEST.replace("use = \"bearer\"", "use = \"header:Host\"");
    let missing =
        build(&owned, GRANT, Role::Source, &config()).expect_err("a header of the host's own");
    assert_eq!(
        missing[0].refusal.reason,
        "`use = \"header:host\"`: the host sets that header itself"
    );
}

#[test]
fn the_proposed_grant_covers_all_that_is_asked() {
    let manifest = Manifest::parse("m", MANIFEST).expect("a manifest");
    let sink = json!({ "base_url": "https://api.acme.example", "webhook": "http://hooks.acme.example", "out": "/out" });
    let source = config();
    let digest = Grant::parse("g", GRANT).expect("a grant").grant.digest;
    let uses = [(Role::Source, &source), (Role::Sink, &sink)];
    let grant = propose(
        &manifest,
        &uses,
        digest,
        &"crm".parse().expect("a name"),
        &[],
    )
    .expect("a grant");
    let text = toml::to_string(&grant).expect("text");
    insta::assert_snapshot!(text);
    for (role, config) in uses {
        build(MANIFEST, &text, role, config).expect("the proposal covers it");
    }
    let opened = propose(
        &manifest,
        &uses,
        digest,
        &"crm".parse().expect("a name"),
        &["10.0.0.0/8".to_owned().try_into().expect("a network")],
    );
    assert!(
        opened
            .expect("a grant")
            .http
            .iter()
            .all(|http| http.networks.len() == 1)
    );
}
