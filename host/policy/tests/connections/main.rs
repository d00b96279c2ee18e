//! Connections and revealed secrets, as a manifest, a grant and a policy together decide on them.

mod ruled;
mod told;

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use sluice_model::grant::Grant;
use sluice_model::ids::{Role, StageId};
use sluice_model::limits::TCP_BYTES_MAX;
use sluice_model::manifest::Manifest;
use sluice_policy::{Effective, Forbidden, NotGranted, Organisation};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

const MANIFEST: &str = r#"
[plugin]
name = "acme/db"
version = "1.4.0"
interface = "sluice:plugin@0.1"
description = "Reads tables."

[[tcp]]
host = "{config.host}"
port = "{config.port:5432}"
reason = "x"

[[tcp]]
host = "*.replica.acme.example"
port = 5432
reason = "x"

[[tcp]]
host = "{config.address}"
port = 5432
reason = "x"

[[tcp]]
host = "mail.acme.example"
port = 587
as = "sink"
reason = "x"

[[secret]]
name = "password"
use = "reveal"
reason = "x"

[[secret]]
name = "key"
use = "reveal"
optional = true
reason = "x"
"#;

const GRANT: &str = r#"
[grant]
plugin = "acme/db"
version = "1.4.0"
digest = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
pipeline = "crm"

[[tcp]]
host = "db.acme.example"
port = 5432
networks = ["10.1.0.0/16"]
ca = "ca/acme.pem"
bytes_out_max = "1MiB"

[[tcp]]
host = "*.acme.example"
port = 5432
bytes_in_max = "8192GiB"

[[tcp]]
host = "*.acme.example"
port = 5433

[[tcp]]
host = "10.9.9.9"
port = 5432
networks = ["10.9.9.9/32"]

[[secret]]
name = "password"
use = "reveal"

[[secret]]
name = "key"
use = "reveal"
"#;

fn config() -> Value {
    json!({ "host": "db.acme.example", "address": "10.9.9.9" })
}

fn build(
    manifest: &str,
    grant: &str,
    role: Role,
    config: &Value,
) -> Result<Effective, Vec<NotGranted>> {
    built(
        &Manifest::parse("manifest.toml", manifest).expect("a manifest"),
        grant,
        role,
        config,
    )
}

fn built(
    manifest: &Manifest,
    grant: &str,
    role: Role,
    config: &Value,
) -> Result<Effective, Vec<NotGranted>> {
    let grant = Grant::parse("grant.toml", grant).expect("a grant");
    let pipeline = "crm".parse().expect("a name");
    let stage = StageId { role, index: 0 };
    Effective::build(
        manifest,
        &grant,
        stage,
        config,
        &pipeline,
        Path::new("/srv"),
    )
}

fn source() -> Effective {
    build(MANIFEST, GRANT, Role::Source, &config()).expect("a grant that covers it")
}

fn under(policy: &str) -> Result<Effective, Vec<Forbidden>> {
    let policy = Organisation::read("policy.toml", policy).expect("a policy");
    source().under(Arc::new(policy))
}

#[test]
fn a_connection_needs_both_files() {
    let effective = source();
    let check = |host: &str, port: u16, expected: bool| {
        let answer = effective.may_connect(host, port);
        assert_eq!(answer.is_ok(), expected, "{host}:{port}: {answer:?}");
    };
    check("db.acme.example", 5432, true);
    check("DB.acme.example.", 5432, true);
    check("one.replica.acme.example", 5432, true);
    check("10.9.9.9", 5432, true);
    check("::ffff:10.9.9.9", 5432, true);
    // Granted, but not asked for.
    check("db.acme.example", 5433, false);
    check("other.acme.example", 5432, false);
    // Asked for in another part.
    check("mail.acme.example", 587, false);
    // Neither.
    check("replica.acme.example", 5432, false);
    check("db.acme.example", 0, false);
    check("db.acme.example.evil.test", 5432, false);
    check("10.9.9.8", 5432, false);
    // What two parsers could read differently.
    for host in [
        "",
        "db.acme.example:5432",
        "db.acme.example\0.one.replica.acme.example",
        "user@db.acme.example",
        "db.acme.example/",
        "db.acme.example..",
        "168364297",
        "0x0a.9.9.9",
        "10.9.2313",
        "[10.9.9.9]",
        "*.replica.acme.example",
        "db.acme.example\t",
        "{config.host}",
    ] {
        check(host, 5432, false);
    }
    let grant = GRANT.replace(
        "[[tcp]]\nhost = \"db",
        "[[tcp]]\nas = \"sink\"\nhost = \"db",
    );
    let narrow = build(MANIFEST, &grant, Role::Source, &config()).expect("the wildcard covers it");
    let terms = narrow
        .may_connect("db.acme.example", 5432)
        .expect("by the wildcard")
        .terms;
    assert_eq!(
        (terms.entry, terms.ca),
        (1, None),
        "the first is the sink's alone"
    );
}

#[test]
fn a_connection_that_the_grant_does_not_touch_keeps_the_stage_from_starting() {
    let (head, rest) = GRANT.split_once("[[tcp]]").expect("entries");
    let (_, secrets) = rest.split_once("[[secret]]").expect("secrets");
    let check = |allowed: &str, expected: &[&str]| {
        let grant = format!("{head}{allowed}\n[[secret]]{secrets}");
        let missing = build(MANIFEST, &grant, Role::Source, &config()).err();
        let missing = missing.unwrap_or_default();
        let asked: Vec<&str> = missing.iter().map(|one| &*one.refusal.asked).collect();
        assert_eq!(asked, expected, "{allowed}");
    };
    let entry = |host: &str, port: u16| format!("[[tcp]]\nhost = \"{host}\"\nport = {port}\n");
    let (all, address) = (entry("*.acme.example", 5432), entry("10.9.9.9", 5432));
    check(&format!("{all}{address}"), &[]);
    check(&all, &["10.9.9.9:5432"]);
    check(
        &format!("{}{address}", entry("*.acme.example", 5433)),
        &["db.acme.example:5432", "*.replica.acme.example:5432"],
    );
}

#[test]
fn the_first_entry_that_fits_sets_the_terms() {
    let effective = source();
    let terms = |host: &str| effective.may_connect(host, 5432).expect("permitted").terms;
    let first = terms("db.acme.example");
    assert_eq!(
        (first.entry, first.ca.as_deref()),
        (0, Some(Path::new("/srv/ca/acme.pem")))
    );
    assert_eq!(
        (first.bytes_out_max, first.bytes_in_max),
        (1 << 20, TCP_BYTES_MAX)
    );
    let second = terms("one.replica.acme.example");
    assert_eq!(
        (second.entry, second.ca, second.networks.len()),
        (1, None, 0)
    );
    assert_eq!(
        second.bytes_in_max, TCP_BYTES_MAX,
        "a grant cannot go beyond the host's own limit"
    );
}

#[test]
fn every_address_must_be_permitted() {
    let effective = source();
    let check = |host: &str, addresses: &[&str], expected: bool| {
        let connecting = effective.may_connect(host, 5432).expect("permitted");
        let parsed: Vec<_> = addresses
            .iter()
            .map(|text| text.parse().expect("an address"))
            .collect();
        let answer = effective.may_reach(&connecting, &parsed);
        assert_eq!(answer.is_ok(), expected, "{host} {addresses:?}: {answer:?}");
    };
    check("db.acme.example", &["10.1.2.3", "1.1.1.1"], true);
    check("db.acme.example", &["10.2.2.3"], false);
    check("db.acme.example", &["10.1.2.3", "127.0.0.1"], false);
    check("db.acme.example", &["::ffff:169.254.169.254"], false);
    check("db.acme.example", &["64:ff9b::a01:203"], false);
    check("one.replica.acme.example", &["10.1.2.3"], false);
    check("one.replica.acme.example", &["1.1.1.1"], true);
    check("10.9.9.9", &["10.9.9.9"], true);
}

#[test]
fn a_certificate_is_asked_for_under_a_granted_name_only() {
    let effective = source();
    let connecting = effective.may_connect("10.9.9.9", 5432).expect("permitted");
    let name = |name: &str| {
        effective
            .may_name(&connecting, name)
            .map(|named| named.to_string())
    };
    assert_eq!(name("10.9.9.9").as_deref(), Ok("10.9.9.9:5432"));
    assert_eq!(
        name("DB.acme.example").as_deref(),
        Ok("db.acme.example:5432")
    );
    assert!(name("evil.test").is_err());
    assert!(name("other.acme.example").is_err());
    assert!(name("").is_err());
}

#[test]
fn a_secret_is_revealed_only_where_both_files_say_so() {
    let manifest = Manifest::parse("m", MANIFEST).expect("a manifest");
    let effective = source();
    let name = |effective: &Effective, name: &str| {
        let revealed = effective.may_reveal(name);
        revealed.map(|name| name.map(|name| name.to_string())).ok()
    };
    assert_eq!(
        name(&effective, "password"),
        Some(Some("password".to_owned()))
    );
    assert_eq!(name(&effective, "Password"), None);
    assert_eq!(name(&effective, "other"), None);
    // Optional, and the pipeline names none: nothing, and no refusal.
    let unnamed = manifest
        .clone()
        .without_unnamed(|name| name.as_str() != "key");
    let without = built(&unnamed, GRANT, Role::Source, &config()).expect("covered");
    assert_eq!(name(&without, "key"), Some(None));
    assert_eq!(
        name(&without, "password"),
        Some(Some("password".to_owned()))
    );
    // Used otherwise, by either file.
    let bearer = "name = \"password\"\nuse = \"bearer\"";
    let reveal = "name = \"password\"\nuse = \"reveal\"";
    let other = build(
        &MANIFEST.replace(reveal, bearer),
        GRANT,
        Role::Source,
        &config(),
    )
    .expect("covered");
    assert_eq!(name(&other, "password"), None);
    let missing = build(
        MANIFEST,
        &GRANT.replace(reveal, bearer),
        Role::Source,
        &config(),
    )
    .expect_err("the grant allows another use");
    assert_eq!(missing.len(), 1);
    assert_eq!(
        missing[0].refusal.reason,
        "the grant allows it as `bearer`, not as `reveal`"
    );
    assert_eq!(
        missing[0].lines,
        "[[secret]]\nname = \"password\"\nuse = \"reveal\""
    );
}

const HOSTS: [&str; 4] = ["a.x.y", "x.y", "b.a.x.y", "c.z"];
const PATTERNS: [&str; 5] = ["a.x.y", "*.x.y", "*.a.x.y", "c.z", "x.y"];
const PORTS: [u16; 3] = [1, 5432, 65535];

/// The same rule, said as plainly as can be.
fn permits((pattern, port): (&str, u16), host: &str, to: u16) -> bool {
    let host = match pattern.strip_prefix('*') {
        Some(tail) => host.ends_with(tail),
        None => host == pattern,
    };
    host && port == to
}

proptest! {
    #[test]
    fn nothing_outside_any_file_is_connected_to(
        asks in proptest::collection::vec((select(PATTERNS.to_vec()), select(PORTS.to_vec())), 0..4),
        allows in proptest::collection::vec((select(PATTERNS.to_vec()), select(PORTS.to_vec())), 0..4),
        named in proptest::option::of(proptest::collection::vec(select(PATTERNS.to_vec()), 0..4)),
        deny in proptest::collection::vec(select(PATTERNS.to_vec()), 0..2),
    ) {
        let entry = |(host, port): &(&str, u16), more: &str| format!("[[tcp]]\nhost = \"{host}\"\nport = {port}\n{more}\n");
        let head = MANIFEST.split("[[tcp]]").next().expect("a head");
        let grant_head = GRANT.split("[[tcp]]").next().expect("a head");
        let manifest: String = asks.iter().map(|ask| entry(ask, "reason = \"x\"")).collect();
        let grant: String = allows.iter().map(|allow| entry(allow, "")).collect();
        let built = build(&format!("{head}{manifest}"), &format!("{grant_head}{grant}"), Role::Sink, &json!({}));
        let Ok(granted_only) = built else { return Ok(()) };
        let hosts = named.as_ref().map_or(String::new(), |hosts| format!("hosts = {hosts:?}\n"));
        let policy = Organisation::read("policy.toml", &format!("[http]\n{hosts}deny = {deny:?}\n")).expect("a policy");
        let under = granted_only.clone().under(Arc::new(policy));
        let leaves = |host: &str| {
            let names = |patterns: &[&str]| patterns.iter().any(|pattern| permits((pattern, 1), host, 1));
            named.as_ref().is_none_or(|named| names(named)) && !names(&deny)
        };
        for (effective, is_ruled) in [(Some(&granted_only), false), (under.as_ref().ok(), true)] {
            let Some(effective) = effective else { continue };
            for host in HOSTS {
                let mut reached = false;
                for port in PORTS {
                    let expected = asks.iter().any(|ask| permits(*ask, host, port))
                        && allows.iter().any(|allow| permits(*allow, host, port))
                        && (!is_ruled || leaves(host));
                    prop_assert_eq!(effective.may_connect(host, port).is_ok(), expected, "{}:{}", host, port);
                    reached |= expected;
                }
                // A report says what is decided.
                let sought = format!("host:{host}").parse().expect("a host");
                let told = effective.reaches(&sought, Some(&BTreeMap::new()));
                prop_assert_eq!(!told.is_empty(), reached, "{}: {:?}", host, told);
            }
        }
    }

    #[test]
    fn reading_a_host_never_panics(host in "[a-c.:@%\\[\\]0-9]{0,24}|\\PC{0,40}", port: u16) {
        if let Ok(connecting) = source().may_connect(&host, port) {
            let text = connecting.endpoint.host.to_string();
            prop_assert!(source().may_connect(&text, port).is_ok());
        }
    }
}
