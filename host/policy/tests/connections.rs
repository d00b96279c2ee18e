//! Connections and revealed secrets, as a manifest, a grant and a policy together decide on them.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use sluice_model::grant::Grant;
use sluice_model::ids::{Role, StageId};
use sluice_model::limits::TCP_BYTES_MAX;
use sluice_model::manifest::Manifest;
use sluice_model::ports::Security;
use sluice_policy::learn::{Trial, narrow_grant, narrow_manifest};
use sluice_policy::{Effective, Forbidden, NotGranted, Organisation, propose};
use std::collections::BTreeMap;
use std::fmt::Write as _;
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
fn a_policy_binds_connections_as_it_binds_requests() {
    let check = |policy: &str, host: &str, expected: bool| {
        let ruled = under(policy).unwrap_or_else(|forbidden| panic!("{policy}: {forbidden:?}"));
        assert_eq!(
            ruled.may_connect(host, 5432).is_ok(),
            expected,
            "{policy}: {host}"
        );
    };
    let hosts = "[http]\nhosts = [\"db.acme.example\", \"*.replica.acme.example\", \"10.9.9.9\"]";
    check(hosts, "db.acme.example", true);
    check(hosts, "one.replica.acme.example", true);
    let deny = "[http]\ndeny = [\"one.replica.acme.example\"]";
    check(deny, "one.replica.acme.example", false);
    check(deny, "two.replica.acme.example", true);
    // Under another name of the host, too.
    let ruled = under(deny).expect("it starts");
    let connecting = ruled
        .may_connect("db.acme.example", 5432)
        .expect("permitted");
    assert!(
        ruled
            .may_name(&connecting, "one.replica.acme.example")
            .is_err()
    );
    // What it forbids altogether keeps the stage from starting, at the line that does.
    for (policy, expected) in [
        (
            "[http]\nhosts = [\"*.acme.example\"]",
            &["10.9.9.9:5432"][..],
        ),
        (
            "[http]\ndeny = [\"db.acme.example\"]",
            &["db.acme.example:5432"],
        ),
        (
            "[http]\nwildcards = false",
            &["*.acme.example:5432", "*.acme.example:5433"],
        ),
        ("[http]\nnetworks = [\"10.1.0.0/16\"]", &["10.9.9.9:5432"]),
    ] {
        let forbidden = under(policy).expect_err(policy);
        let told: Vec<&str> = forbidden
            .iter()
            .map(|one| one.refusal.asked.as_str())
            .collect();
        assert_eq!(told, expected, "{policy}");
        assert!(
            forbidden
                .iter()
                .all(|one| one.line == 2 && one.refusal.capability == "tcp")
        );
    }
    // A network that is left in part.
    let narrow = "[http]\nnetworks = [\"10.1.2.0/24\", \"10.9.9.9/32\"]";
    let ruled = under(narrow).expect("it starts");
    let connecting = ruled
        .may_connect("db.acme.example", 5432)
        .expect("permitted");
    for (address, expected) in [("10.1.2.3", true), ("10.1.3.3", false)] {
        let address = address.parse().expect("an address");
        assert_eq!(ruled.may_reach(&connecting, &[address]).is_ok(), expected);
    }
}

#[test]
fn no_connection_begins_in_the_clear_where_the_policy_says_so() {
    for (policy, expected) in [
        ("", true),
        ("[http]\nplain = true", true),
        ("[http]\nplain = false", false),
    ] {
        let ruled = under(policy).expect("it starts");
        let connecting = ruled
            .may_connect("db.acme.example", 5432)
            .expect("permitted");
        assert!(ruled.may_begin(&connecting, Security::Tls).is_ok());
        let plain = ruled.may_begin(&connecting, Security::Plain);
        assert_eq!(plain.is_ok(), expected, "{policy}");
        if let Err(refusal) = plain {
            assert_eq!(
                refusal.hint.as_deref(),
                Some("change `policy.toml:2`:\nplain = true")
            );
        }
    }
}

#[test]
fn who_sees_a_column_of_a_class_connects_to_the_hosts_of_the_class_only() {
    let class = |hosts: &str| {
        format!("[[class]]\nname = \"pii\"\ncolumns = [\"email\"]\nhosts = [{hosts}]\n")
    };
    let reads = "\n[data]\nreads = [\"email\"]\n";
    let sees = |policy: &str| {
        let manifest = MANIFEST.replace("host = \"{config.address}\"", "host = \"{config.none}\"");
        let grant = format!("{GRANT}\n[[tcp]]\nhost = \"mail.acme.example\"\nport = 587\n{reads}");
        let built = build(&format!("{manifest}{reads}"), &grant, Role::Sink, &config());
        let policy = Organisation::read("policy.toml", policy).expect("a policy");
        built.expect("covered").under(Arc::new(policy))
    };
    let ruled = sees(&class("\"*.acme.example\"")).expect("it starts");
    assert!(ruled.may_connect("db.acme.example", 5432).is_ok());
    let forbidden = sees(&class("\"mail.acme.example\"")).expect_err("no database of the class");
    assert!(
        forbidden
            .iter()
            .any(|one| one.refusal.asked == "db.acme.example:5432")
    );
    // Who sees none of its columns is not bound by it.
    assert!(under(&class("")).is_ok());
}

#[test]
fn a_secret_is_revealed_to_whom_the_policy_names() {
    assert!(
        under("[secrets]\nreveal = [\"acme/db\"]")
            .expect("it starts")
            .may_reveal("password")
            .is_ok()
    );
    let forbidden = under("[secrets]\nreveal = [\"acme/other\"]").expect_err("not named");
    let told: Vec<_> = forbidden
        .iter()
        .map(|one| (one.refusal.asked.as_str(), one.line))
        .collect();
    assert_eq!(told, [("password", 2), ("key", 2)]);
}

#[test]
fn what_it_comes_to_is_told() {
    let mut page = String::new();
    for policy in [
        "",
        "[http]\nplain = false\ndeny = [\"one.replica.acme.example\"]\nnetworks = [\"10.0.0.0/8\"]\n[secrets]\nreveal = [\"acme/db\"]\n",
    ] {
        writeln!(page, "# {policy:?}").expect("memory");
        let ruled = under(policy).expect("it starts");
        for line in ruled.explained() {
            if matches!(line.capability, "tcp" | "secret") {
                writeln!(
                    page,
                    "{}: {:?} ∩ {:?} = {:?}, narrowed by {:?} {:?}",
                    line.capability,
                    line.asked,
                    line.granted,
                    line.left,
                    line.narrowed_by,
                    line.policy
                )
                .expect("memory");
            }
        }
        let secrets = BTreeMap::from([(
            "password".parse().expect("a name"),
            "warehouse".parse().expect("a name"),
        )]);
        for sought in [
            "host:db.acme.example",
            "host:one.replica.acme.example",
            "host:evil.test",
            "secret:warehouse",
            "secret:password",
            "secret:key",
        ] {
            let how = ruled.reaches(&sought.parse().expect(sought), Some(&secrets));
            writeln!(page, "{sought}: {how:?}").expect("memory");
        }
    }
    let alone = Grant::parse("g", GRANT).expect("a grant");
    let alone =
        Effective::of_grant_alone(&alone, Role::Source, Path::new("/srv")).expect("covered");
    assert!(alone.may_connect("db.acme.example", 5433).is_ok());
    assert!(alone.may_reveal("password").is_ok());
    insta::assert_snapshot!(page);
}

#[test]
fn what_is_learnt_is_what_was_used_on_the_same_terms() {
    let grant = Grant::parse("g", GRANT).expect("a grant");
    let manifest = Manifest::parse("m", MANIFEST).expect("a manifest");
    let learnt = |tcp: &[&str], revealed: &[&str]| {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let used = BTreeMap::from([
            ("tcp".to_owned(), names(tcp)),
            ("secret.reveal".to_owned(), names(revealed)),
        ]);
        let trial = Trial {
            used,
            ..Trial::default()
        };
        let asks = narrow_manifest(&manifest, &[(Role::Source, &config())], &trial);
        let asks: Vec<String> = asks.tcp.iter().map(|tcp| tcp.host.clone()).collect();
        let narrow = narrow_grant(&grant, &trial);
        let hosts: Vec<String> = narrow
            .tcp
            .iter()
            .map(|tcp| format!("{}:{}", tcp.host, tcp.port))
            .collect();
        let secrets: Vec<String> = narrow
            .secret
            .iter()
            .map(|secret| secret.name.to_string())
            .collect();
        format!(
            "{} / {} / {}",
            hosts.join(" "),
            secrets.join(" "),
            asks.join(" ")
        )
    };
    // The first entry sets the terms of a host that the second holds too: where the second stays, so does the first.
    assert_eq!(
        learnt(&["one.replica.acme.example:5432"], &["password"]),
        "db.acme.example:5432 *.acme.example:5432 / password / *.replica.acme.example mail.acme.example"
    );
    assert_eq!(
        learnt(&["10.9.9.9:5432"], &[]),
        "10.9.9.9:5432 /  / {config.address} mail.acme.example"
    );
    assert_eq!(learnt(&[], &["key"]), " / key / mail.acme.example");
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

#[test]
fn the_proposed_grant_covers_what_is_asked_and_no_network() {
    let manifest = Manifest::parse("m", MANIFEST).expect("a manifest");
    let digest = Grant::parse("g", GRANT).expect("a grant").grant.digest;
    let pipeline = "crm".parse().expect("a name");
    let uses = [(Role::Source, &config())];
    let proposed = propose(&manifest, &uses, digest, &pipeline, &[]).expect("a proposal");
    let text = toml::to_string(&proposed).expect("text");
    let expected = "[[tcp]]\nhost = \"db.acme.example\"\nport = 5432\n\n[[tcp]]\nhost = \"*.replica.acme.example\"\n\
        port = 5432\n\n[[tcp]]\nhost = \"10.9.9.9\"\nport = 5432\n\n[[secret]]\nname = \"password\"\nuse = \"reveal\"\n";
    assert!(text.contains(expected), "{text}");
    let effective = build(MANIFEST, &text, Role::Source, &config()).expect("it covers all");
    effective
        .may_connect("db.acme.example", 5432)
        .expect("permitted");
}

#[test]
fn what_is_refused_says_what_to_add() {
    let effective = source();
    let mut page = String::new();
    let mut tell = |refusal: sluice_model::ports::Refusal| {
        let hint = refusal.hint.unwrap_or_default();
        write!(
            page,
            "{} `{}`: {}\n{hint}\n\n",
            refusal.capability, refusal.asked, refusal.reason
        )
        .expect("memory");
    };
    for (host, port) in [
        ("evil.test", 5432),
        ("db.acme.example", 22),
        ("db.acme.example:5432", 5432),
        ("evil\u{1b}[2J", 5432),
        ("2001:db8::7", 5432),
    ] {
        tell(effective.may_connect(host, port).expect_err("refused"));
    }
    let wide = MANIFEST.replace("*.replica.acme.example", "*.elsewhere.example");
    let missing = build(&wide, GRANT, Role::Source, &config()).expect_err("not granted");
    tell(missing[0].refusal.clone());
    let narrow = GRANT.replace("*.acme.example", "*.one.replica.acme.example");
    let narrow = build(MANIFEST, &narrow, Role::Source, &config()).expect("touched");
    tell(
        narrow
            .may_connect("two.replica.acme.example", 5432)
            .expect_err("refused"),
    );
    let connecting = effective
        .may_connect("db.acme.example", 5432)
        .expect("permitted");
    let private = ["192.168.1.7".parse().expect("an address")];
    tell(
        effective
            .may_reach(&connecting, &private)
            .expect_err("refused"),
    );
    let spent = sluice_policy::Carried {
        bytes_out: (1 << 20) + 1,
        bytes_in: 0,
    };
    tell(
        effective
            .may_carry(&connecting, spent)
            .expect_err("refused"),
    );
    let spent = sluice_policy::Carried {
        bytes_out: 0,
        bytes_in: TCP_BYTES_MAX + 1,
    };
    tell(
        effective
            .may_carry(&connecting, spent)
            .expect_err("refused"),
    );
    tell(effective.may_reveal("other").expect_err("refused"));
    tell(sluice_policy::no_sockets("resolve-addresses evil.test"));
    insta::assert_snapshot!(page);
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
