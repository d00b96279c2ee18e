//! What the organisation's policy leaves of a manifest and a grant, and how it says so.

mod told;

use serde_json::json;
use sluice_model::grant::Grant;
use sluice_model::ids::{PluginName, Role, StageId};
use sluice_model::manifest::{DirMode, Manifest};
use sluice_model::ports::Refusal;
use sluice_policy::{Effective, Forbidden, Organisation};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const MANIFEST: &str = r#"
[plugin]
name = "acme/crm"
version = "1.4.0"
interface = "sluice:plugin@0.1"
description = "Sends contacts."

[[http]]
host = "*.acme.example"
methods = ["GET"]
paths = ["/**"]
reason = "x"

[[http]]
host = "hooks.test"
scheme = "http"
methods = ["POST"]
paths = ["/hook"]
reason = "x"

[[dir]]
path = "out/crm"
mode = "write"
reason = "x"

[data]
reads = ["id", "Email"]

[limits]
memory = "128MiB"
call_time = "20s"
"#;

const GRANT: &str = r#"
[grant]
plugin = "acme/crm"
version = "1.4.0"
digest = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
pipeline = "crm"

[[http]]
host = "*.acme.example"
methods = ["GET"]
paths = ["/**"]
networks = ["10.0.0.0/8", "127.0.0.1/32"]

[[http]]
host = "hooks.test"
scheme = "http"
methods = ["POST"]
paths = ["/hook"]

[[dir]]
path = "out/crm"
mode = "write"

[data]
reads = ["*"]
"#;

fn organisation(policy: &str) -> Arc<Organisation> {
    Arc::new(Organisation::read("policy.toml", policy).expect("a policy"))
}

fn under(policy: &str, grant: &str) -> Result<Effective, Vec<Forbidden>> {
    let manifest = Manifest::parse("manifest.toml", MANIFEST).expect("a manifest");
    let grant = Grant::parse("grant.toml", grant).expect("a grant");
    let stage = StageId {
        role: Role::Sink,
        index: 0,
    };
    let pipeline = "crm".parse().expect("a name");
    let base = Path::new("/srv");
    Effective::build(&manifest, &grant, stage, &json!({}), &pipeline, base)
        .expect("a grant that covers it")
        .under(organisation(policy))
}

fn effective(policy: &str) -> Effective {
    under(policy, GRANT).expect("a policy that leaves something of each")
}

fn sends(effective: &Effective, method: &str, uri: &str) -> Result<(), Refusal> {
    let (method, uri) = (
        method.parse().expect("a method"),
        uri.parse().expect("a uri"),
    );
    effective.may_send(&method, &uri).map(drop)
}

/// The requests of the manifest that are permitted under this policy.
fn permitted(policy: &str) -> Vec<&'static str> {
    let effective = effective(policy);
    let all = [
        ("GET", "https://api.acme.example/a"),
        ("GET", "https://cdn.acme.example/a"),
        ("GET", "https://img.cdn.acme.example/a"),
        ("POST", "http://hooks.test/hook"),
    ];
    all.into_iter()
        .filter(|(method, uri)| sends(&effective, method, uri).is_ok())
        .map(|(_, uri)| uri.split('/').nth(2).expect("a host"))
        .collect()
}

/// What keeps the stage from starting: line, capability, what.
fn forbidden(policy: &str, grant: &str) -> Vec<String> {
    let forbidden = under(policy, grant).err().unwrap_or_default();
    let told = forbidden.iter().map(|one| {
        format!(
            "{}:{} {} {}",
            one.file, one.line, one.refusal.capability, one.refusal.asked
        )
    });
    told.collect()
}

const ALL: [&str; 4] = [
    "api.acme.example",
    "cdn.acme.example",
    "img.cdn.acme.example",
    "hooks.test",
];

#[test]
fn no_policy_forbids_nothing() {
    assert_eq!(permitted(""), ALL);
    assert_eq!(
        permitted("[http]\n[secrets]\n[limits]\n[dir]\n[signing]\n"),
        ALL
    );
}

#[test]
fn hosts_that_the_policy_does_not_name_are_not_reached() {
    assert_eq!(
        permitted("[http]\nhosts = [\"api.acme.example\", \"hooks.test\"]"),
        ["api.acme.example", "hooks.test"]
    );
    assert_eq!(
        permitted("[http]\nhosts = [\"*.cdn.acme.example\", \"hooks.test\"]"),
        ["img.cdn.acme.example", "hooks.test"]
    );
    assert_eq!(
        permitted("[http]\nhosts = [\"*.acme.example\", \"hooks.test\"]"),
        ALL
    );
    // What it does not touch at all does not start.
    assert_eq!(
        forbidden("[http]\nhosts = [\"*.acme.example\"]", GRANT),
        ["policy.toml:2 http http://hooks.test:80"]
    );
    assert_eq!(
        forbidden("[http]\nhosts = []", GRANT),
        [
            "policy.toml:2 http https://*.acme.example:443",
            "policy.toml:2 http http://hooks.test:80"
        ]
    );
}

#[test]
fn hosts_that_the_policy_denies_are_not_reached() {
    assert_eq!(
        permitted("[http]\ndeny = [\"*.cdn.acme.example\", \"api.acme.example\"]"),
        ["cdn.acme.example", "hooks.test"]
    );
    // It wins over `hosts`.
    assert_eq!(
        permitted(
            "[http]\nhosts = [\"*.acme.example\", \"hooks.test\"]\ndeny = [\"api.acme.example\"]"
        ),
        ["cdn.acme.example", "img.cdn.acme.example", "hooks.test"]
    );
    assert_eq!(
        forbidden(
            "[http]\ndeny = [\n  \"other.test\",\n  \"hooks.test\",\n]",
            GRANT
        ),
        ["policy.toml:4 http http://hooks.test:80"]
    );
    // An address is denied whatever name leads to it.
    let effective = effective("[http]\ndeny = [\"198.51.7.9\"]");
    let uri = "https://api.acme.example/a".parse().expect("a uri");
    let sending = effective
        .may_send(&http::Method::GET, &uri)
        .expect("permitted");
    let dials = |address: &str| {
        let address: IpAddr = address.parse().expect("an address");
        effective.may_dial(&sending, &[address]).is_ok()
    };
    assert!(dials("198.51.7.8") && !dials("198.51.7.9") && !dials("::ffff:198.51.7.9"));
}

#[test]
fn a_grant_names_no_wildcard_where_the_policy_says_so() {
    let policy = "[http]\nwildcards = false";
    assert_eq!(
        forbidden(policy, GRANT),
        ["policy.toml:2 http https://*.acme.example:443"]
    );
    let narrow = GRANT.replace("*.acme.example", "api.acme.example");
    assert_eq!(forbidden(policy, &narrow), [""; 0]);
    assert_eq!(forbidden("[http]\nwildcards = true", GRANT), [""; 0]);
}

#[test]
fn nothing_travels_in_the_clear_where_the_policy_says_so() {
    let policy = "[http]\nplain = false";
    assert_eq!(
        forbidden(policy, GRANT),
        ["policy.toml:2 http http://hooks.test:80"]
    );
    assert_eq!(forbidden("[http]\nplain = true", GRANT), [""; 0]);
}

#[test]
fn a_grant_opens_only_the_networks_that_the_policy_names() {
    let dials = |policy: &str, address: &str| {
        let effective = effective(policy);
        let uri = "https://api.acme.example/a".parse().expect("a uri");
        let sending = effective
            .may_send(&http::Method::GET, &uri)
            .expect("permitted");
        let address: IpAddr = address.parse().expect("an address");
        effective.may_dial(&sending, &[address]).is_ok()
    };
    let policy = "[http]\nnetworks = [\"10.1.0.0/16\", \"127.0.0.0/8\", \"192.168.0.0/16\"]";
    for (address, by_grant, by_policy) in [
        ("1.1.1.1", true, true),
        ("10.1.2.3", true, true),
        ("10.2.2.3", true, false),
        ("127.0.0.1", true, true),
        ("127.0.0.2", false, false),
        // The policy opens nothing by itself.
        ("192.168.0.1", false, false),
        ("::ffff:10.2.2.3", true, false),
        ("169.254.169.254", false, false),
    ] {
        assert_eq!(dials("", address), by_grant, "{address}");
        assert_eq!(dials(policy, address), by_policy, "{address}");
    }
    let asked = "http https://*.acme.example:443";
    assert_eq!(
        forbidden("[http]\nnetworks = [\"127.0.0.1/32\"]", GRANT),
        [format!("policy.toml:2 {asked}")]
    );
    assert_eq!(forbidden("[http]\nnetworks = []", GRANT).len(), 2);
}

#[test]
fn a_directory_lies_below_a_root_of_the_policy() {
    let opens = |roots: &str| under(&format!("[dir]\nroots = {roots}"), GRANT).is_ok();
    assert!(opens("[\"out\"]"));
    assert!(opens("[\"elsewhere\", \"/srv/out/crm\"]"));
    assert!(opens("[\"/\"]"));
    assert!(!opens("[\"out/crm/deeper\"]"));
    assert!(!opens("[\"ou\"]"));
    assert!(!opens("[]"));
    let dir = "policy.toml:2 dir /srv/out/crm";
    assert_eq!(forbidden("[dir]\nroots = [\"in\"]", GRANT), [dir]);
    // A path that climbs out is not below, whatever it begins with.
    let climbs = GRANT.replace("path = \"out/crm\"", "path = \"out/../etc\"")
        + "\n[[dir]]\npath = \"out/crm\"\nmode = \"write\"\n";
    assert_eq!(
        forbidden("[dir]\nroots = [\"out\"]", &climbs),
        ["policy.toml:2 dir /srv/out/../etc"]
    );
    let effective = effective("[dir]\nroots = [\"out\"]");
    assert!(effective.may_open("out/crm", DirMode::Write).is_ok());
}

#[test]
fn limits_are_lowered_to_the_ceilings_of_the_policy() {
    let check = |limits: &str, memory: u64, call_time: u64| {
        let effective = effective(&format!("[limits]\n{limits}"));
        let found = (effective.memory_bytes_max, effective.call_time_max);
        assert_eq!(
            found,
            (memory << 20, Duration::from_secs(call_time)),
            "{limits}"
        );
    };
    check("", 128, 20);
    check("memory = \"32MiB\"", 32, 20);
    check("memory = \"1GiB\"", 128, 20);
    check("call_time = \"5s\"", 128, 5);
    check("call_time = \"1h\"", 128, 20);
}

const PII: &str = "[[class]]\nname = \"pii\"\ncolumns = [\"email\", \"*_ssn\"]\nhosts = [\"api.acme.example\", \"hooks.test\"]";

#[test]
fn who_sees_a_column_of_a_class_reaches_the_hosts_of_the_class_only() {
    assert_eq!(permitted(PII), ["api.acme.example", "hooks.test"]);
    // A column that is not granted is not seen.
    let blind = GRANT.replace("reads = [\"*\"]", "reads = [\"id\"]");
    let effective = under(PII, &blind).expect("it sees none of them");
    assert!(sends(&effective, "GET", "https://cdn.acme.example/a").is_ok());
    // No host at all is always fine; here there are two.
    let nowhere = PII.replace("[\"api.acme.example\", \"hooks.test\"]", "[]");
    assert_eq!(forbidden(&nowhere, GRANT).len(), 2);
    // A host that the manifest does not ask for is never reached, so it need not be of the class.
    let more =
        format!("{GRANT}\n[[http]]\nhost = \"other.test\"\nmethods = [\"GET\"]\npaths = [\"/\"]\n");
    assert_eq!(forbidden(PII, &more), [""; 0]);
    // Two classes bind together.
    let both = format!(
        "{PII}\n[[class]]\nname = \"ids\"\ncolumns = [\"id\"]\nhosts = [\"*.acme.example\", \"hooks.test\"]"
    );
    assert_eq!(permitted(&both), ["api.acme.example", "hooks.test"]);
}

#[test]
fn every_column_is_of_every_class() {
    let manifest = MANIFEST.replace("[\"id\", \"Email\"]", "[\"*\"]");
    let manifest = Manifest::parse("m", &manifest).expect("a manifest");
    let grant = Grant::parse("g", GRANT).expect("a grant");
    let stage = StageId {
        role: Role::Sink,
        index: 0,
    };
    let pipeline = "crm".parse().expect("a name");
    let built = Effective::build(
        &manifest,
        &grant,
        stage,
        &json!({}),
        &pipeline,
        Path::new("/"),
    );
    let policy = PII.replace("\"email\", \"*_ssn\"", "\"blood_type\"");
    let effective = built
        .expect("covered")
        .under(organisation(&policy))
        .expect("starts");
    let refusal =
        sends(&effective, "GET", "https://cdn.acme.example/a").expect_err("beyond the class");
    assert!(refusal.reason.contains("every column"), "{refusal}");
}

#[test]
fn a_secret_is_shown_to_whom_the_policy_names() {
    let may = |policy: &str, plugin: &str| {
        let plugin: PluginName = plugin.parse().expect("a name");
        let secret = "password".parse().expect("a name");
        organisation(policy).may_reveal(&plugin, &secret)
    };
    assert_eq!(may("", "acme/crm"), Ok(()));
    let policy = "[secrets]\nreveal = [\"sluice/postgres\"]";
    assert_eq!(may(policy, "sluice/postgres"), Ok(()));
    let refusal = may(policy, "acme/crm").expect_err("not named");
    assert_eq!(refusal.asked, "password");
    assert_eq!(
        refusal.hint.as_deref(),
        Some("change `policy.toml:2`:\nreveal = [\"sluice/postgres\", \"acme/crm\"]")
    );
    assert!(may("[secrets]\nreveal = []", "sluice/postgres").is_err());
}

#[test]
fn a_plugin_is_signed_where_the_policy_says_so() {
    let may = |policy: &str, plugin: &str, signer: Option<&str>| {
        let plugin: PluginName = plugin.parse().expect("a name");
        organisation(policy).may_load(&plugin, signer)
    };
    for policy in ["", "[signing]\nrequired = false"] {
        assert_eq!(may(policy, "acme/crm", None), Ok(()));
        assert_eq!(may(policy, "acme/crm", Some("k1")), Ok(()));
    }
    let policy = "[signing]\nrequired = true";
    assert_eq!(may(policy, "acme/crm", Some("any")), Ok(()));
    let refusal = may(policy, "acme/crm", None).expect_err("not signed");
    assert_eq!(
        refusal.hint.as_deref(),
        Some("change `policy.toml:2`:\nunsigned = [\"acme/crm\"]")
    );
}

#[test]
fn the_policy_names_who_need_not_be_signed() {
    let organisation = organisation("[signing]\nrequired = true\nunsigned = [\"acme/old\"]");
    let may =
        |plugin: &str, signer| organisation.may_load(&plugin.parse().expect("a name"), signer);
    assert_eq!(may("acme/old", None), Ok(()));
    assert_eq!(may("acme/old", Some("k9")), Ok(()));
    let refusal = may("acme/crm", None).expect_err("not signed");
    assert_eq!(
        refusal.hint.as_deref(),
        Some("change `policy.toml:3`:\nunsigned = [\"acme/old\", \"acme/crm\"]")
    );
}

#[test]
fn the_policy_names_the_keys_that_count() {
    let organisation = organisation("[signing]\nrequired = true\nsigners = [\"k1\", \"k2\"]");
    let may = |signer| organisation.may_load(&"acme/crm".parse().expect("a name"), signer);
    assert_eq!(may(Some("k1")), Ok(()));
    assert_eq!(may(Some("k2")), Ok(()));
    let refusal = may(Some("k3")).expect_err("another key");
    assert_eq!(
        refusal.hint.as_deref(),
        Some("change `policy.toml:3`:\nsigners = [\"k1\", \"k2\", \"k3\"]")
    );
    assert!(may(None).is_err());
}
