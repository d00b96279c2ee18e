//! Decisions as a manifest and a grant together make them, each told by a table.

mod starting;

use serde_json::{Value, json};
use sluice_model::grant::Grant;
use sluice_model::ids::{PipelineName, Role, StageId};
use sluice_model::limits;
use sluice_model::manifest::{DirMode, Manifest};
use sluice_policy::{Effective, NotGranted};
use std::path::Path;
use std::time::Duration;

const MANIFEST: &str = r#"
[plugin]
name = "acme/crm"
version = "1.4.0"
interface = "sluice:plugin@0.1"
description = "Reads contacts."

[[http]]
host = "{config.base_url}"
methods = ["GET", "POST"]
paths = ["/v2/**"]
auth = "token"
reason = "x"

[[http]]
host = "*.cdn.acme.example"
methods = ["GET"]
paths = ["/**"]
reason = "x"

[[http]]
host = "{config.webhook}"
methods = ["POST"]
paths = ["/hook"]
as = "sink"
reason = "x"

[[secret]]
name = "token"
use = "bearer"
reason = "x"

[[dir]]
path = "{config.dir}"
mode = "read"
as = "source"
reason = "x"

[[dir]]
path = "{config.out}"
mode = "write"
as = "sink"
reason = "x"

[data]
reads = ["id", "{config.hash}"]
writes = ["{config.hash}"]

[limits]
memory = "128MiB"
"#;

const GRANT: &str = r#"
[grant]
plugin = "acme/crm"
version = "1.4.0"
digest = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
pipeline = "crm"

[[http]]
host = "api.acme.example"
methods = ["GET", "DELETE"]
paths = ["/v2/contacts/**", "/v3/**"]
networks = ["10.1.0.0/16"]

[[http]]
host = "*.eu.cdn.acme.example"
methods = ["GET", "POST"]
paths = ["/**"]

[[secret]]
name = "token"
use = "bearer"

[[dir]]
path = "in"
mode = "write"

[[dir]]
path = "/out"
mode = "write"

[data]
reads = ["id", "email", "salary"]
writes = ["*"]

[limits]
call_time = "5s"
"#;

fn config() -> Value {
    json!({ "base_url": "https://api.acme.example/base", "dir": "in", "hash": ["email", "phone"] })
}

fn build(
    manifest: &str,
    grant: &str,
    role: Role,
    config: &Value,
) -> Result<Effective, Vec<NotGranted>> {
    let manifest = Manifest::parse("manifest.toml", manifest).expect("a manifest");
    let grant = Grant::parse("grant.toml", grant).expect("a grant");
    let pipeline: PipelineName = "crm".parse().expect("a name");
    Effective::build(
        &manifest,
        &grant,
        StageId { role, index: 0 },
        config,
        &pipeline,
        Path::new("/srv"),
    )
}

fn effective(role: Role) -> Effective {
    build(MANIFEST, GRANT, role, &config()).expect("a grant that covers it")
}

#[test]
fn a_request_needs_both_files() {
    let effective = effective(Role::Source);
    let check = |method: &str, uri: &str, expected: bool| {
        let method = method.parse().expect("a method");
        let answer = effective.may_send(&method, &uri.parse().expect("a uri"));
        assert_eq!(answer.is_ok(), expected, "{method} {uri}: {answer:?}");
    };
    check("GET", "https://api.acme.example/v2/contacts", true);
    check(
        "GET",
        "https://API.acme.example.:443/v2/contacts/7?page=2",
        true,
    );
    // The grant is narrower.
    check("GET", "https://api.acme.example/v2/deals", false);
    check("POST", "https://api.acme.example/v2/contacts", false);
    check("GET", "https://img.cdn.acme.example/a", false);
    check("GET", "https://img.eu.cdn.acme.example/a", true);
    // The grant names what the manifest does not ask for.
    check("DELETE", "https://api.acme.example/v2/contacts", false);
    check("GET", "https://api.acme.example/v3/contacts", false);
    check("POST", "https://img.eu.cdn.acme.example/a", false);
    // Other hosts, schemes, ports, methods.
    check("GET", "http://api.acme.example/v2/contacts", false);
    check("GET", "http://api.acme.example:443/v2/contacts", false);
    check("GET", "https://api.acme.example:8443/v2/contacts", false);
    check("GET", "https://acme.example/v2/contacts", false);
    check(
        "GET",
        "https://api.acme.example.evil.test/v2/contacts",
        false,
    );
    check("GET", "https://x.api.acme.example/v2/contacts", false);
    check(
        "GET",
        "https://api.acme.example@evil.test/v2/contacts",
        false,
    );
    check("get", "https://api.acme.example/v2/contacts", false);
    check(
        "GET",
        "https://api.acme.example/v2/contacts/../../admin",
        false,
    );
    check(
        "GET",
        "https://api.acme.example/v2/contacts/%2e%2e/%2e%2e/admin",
        false,
    );
    check("GET", "https://1.1.1.1/v2/contacts", false);
    check("GET", "/v2/contacts", false);
}

#[test]
fn what_a_request_carries_comes_from_the_rules() {
    let effective = effective(Role::Source);
    let send = |uri: &str| {
        effective.may_send(
            &"GET".parse().expect("a method"),
            &uri.parse().expect("a uri"),
        )
    };
    let sending = send("https://api.acme.example/v2/contacts?key=private").expect("permitted");
    assert_eq!(sending.asked(), "GET https://api.acme.example/v2/contacts");
    assert_eq!(
        sending.auth.as_ref().map(|auth| auth.name.as_str()),
        Some("token")
    );
    assert_eq!(sending.networks.len(), 1);
    let dial = |addresses: &[&str]| {
        let addresses: Vec<_> = addresses
            .iter()
            .map(|address| address.parse().expect("an address"))
            .collect();
        effective.may_dial(&sending, &addresses).is_ok()
    };
    assert!(dial(&["1.1.1.1", "10.1.0.1", "::ffff:10.1.0.1"]));
    assert!(!dial(&["1.1.1.1", "10.2.0.1"]));
    assert!(!dial(&["169.254.169.254"]));
    let may_set = |name: &str| {
        effective
            .may_set_header(&sending, &name.parse().expect("a name"))
            .is_ok()
    };
    assert!(may_set("accept") && may_set("x-request-id"));
    assert!(!may_set("authorization") && !may_set("host") && !may_set("transfer-encoding"));
    // Those that some servers take for the method, the path or the way.
    for name in [
        "x-http-method-override",
        "x-original-url",
        "forwarded",
        "x-forwarded-host",
        "x-ms-copy-source",
    ] {
        assert!(!may_set(name), "{name}");
    }

    let sending = send("https://img.eu.cdn.acme.example/a").expect("permitted");
    assert_eq!((sending.auth.clone(), sending.networks.len()), (None, 0));
    assert!(
        effective
            .may_set_header(&sending, &"authorization".parse().expect("a name"))
            .is_ok()
    );
}

#[test]
fn a_secret_in_the_query_is_the_hosts_to_set() {
    let manifest = MANIFEST.replace("use = \"bearer\"", "use = \"query:key\"");
    let grant = GRANT.replace("use = \"bearer\"", "use = \"query:key\"");
    let effective =
        build(&manifest, &grant, Role::Source, &config()).expect("a grant that covers it");
    let uri = "https://api.acme.example/v2/contacts"
        .parse()
        .expect("a uri");
    let sending = effective
        .may_send(&"GET".parse().expect("a method"), &uri)
        .expect("permitted");
    assert!(effective.may_set_query(&sending, "page=2").is_ok());
    assert!(
        effective
            .may_set_query(&sending, "page=2&k%65y=mine")
            .is_err()
    );
    assert!(
        effective
            .may_set_header(&sending, &"authorization".parse().expect("a name"))
            .is_ok()
    );
}

#[test]
fn a_signed_request_acts_on_what_its_path_names() {
    let place = |text: &str| text.replace("use = \"bearer\"", "use = \"aws-sigv4\"");
    let grant = place(GRANT).replace(
        "use = \"aws-sigv4\"",
        "use = \"aws-sigv4\"\nservice = \"s3\"\nregion = \"eu-north-1\"",
    );
    let effective = build(&place(MANIFEST), &grant, Role::Source, &config()).expect("covered");
    let uri = "https://api.acme.example/v2/contacts";
    let sending = effective
        .may_send(&http::Method::GET, &uri.parse().expect("a uri"))
        .expect("permitted");
    for (name, may) in [
        ("x-amz-meta-colour", true),
        ("x-amz-checksum-crc32", true),
        ("content-md5", true),
        ("x-amz-copy-source", false),
        ("x-amz-copy-source-range", false),
        ("x-amz-acl", false),
        ("x-amz-grant-read", false),
        ("x-amz-security-token", false),
    ] {
        let name = name.parse().expect("a name");
        assert_eq!(
            effective.may_set_header(&sending, &name).is_ok(),
            may,
            "{name}"
        );
    }
}

#[test]
fn a_column_needs_both_files() {
    let effective = effective(Role::Transform);
    let check = |column: &str, reads: bool, writes: bool| {
        let answer = (
            effective.may_read(column).is_ok(),
            effective.may_write(column).is_ok(),
        );
        assert_eq!(answer, (reads, writes), "{column}");
    };
    check("id", true, false);
    check("email", true, true);
    // Not granted.
    check("phone", false, true);
    // Not asked for.
    check("salary", false, false);
    check("", false, false);
    check("*", false, false);
    check("Email", false, false);
}

#[test]
fn each_role_has_its_own() {
    let effective = effective(Role::Source);
    assert!(
        effective.may_read("id").is_err(),
        "a source is given no records"
    );
    let sink = json!({ "base_url": "https://api.acme.example", "out": "/out", "dir": "in" });
    let effective = build(MANIFEST, GRANT, Role::Sink, &sink).expect("a grant that covers it");
    assert!(effective.may_read("id").is_ok());
    assert!(
        effective.may_write("email").is_err(),
        "a sink changes no records"
    );
    assert!(effective.may_open("/out", DirMode::Write).is_ok());
    assert!(
        effective.may_open("in", DirMode::Read).is_err(),
        "the source's directory"
    );

    let only_sink = GRANT.replace("mode = \"write\"", "mode = \"write\"\nas = \"sink\"");
    let missing = build(MANIFEST, &only_sink, Role::Source, &config())
        .expect_err("granted to the sink alone");
    assert_eq!(missing[0].refusal.capability, "dir");
}

#[test]
fn a_directory_needs_both_files() {
    let source = effective(Role::Source);
    let check = |effective: &Effective, dir: &str, mode: DirMode, expected: Option<&str>| {
        let answer = effective.may_open(dir, mode).ok();
        assert_eq!(answer.as_deref(), expected.map(Path::new), "{dir} {mode}");
    };
    check(&source, "in", DirMode::Read, Some("/srv/in"));
    check(&source, "./in/", DirMode::Read, Some("/srv/in"));
    check(&source, "/srv/in", DirMode::Read, Some("/srv/in"));
    // Granted, but not asked for.
    check(&source, "in", DirMode::Write, None);
    check(&source, "/out", DirMode::Write, None);
    for other in [
        "",
        ".",
        "..",
        "in/..",
        "in/../in",
        "in/sub",
        "In",
        "in\0",
        "/in",
        "{config.dir}",
    ] {
        check(&source, other, DirMode::Read, None);
    }
    let sink = json!({ "base_url": "https://api.acme.example", "out": "/out" });
    let sink = build(MANIFEST, GRANT, Role::Sink, &sink).expect("a grant that covers it");
    check(&sink, "/out", DirMode::Write, Some("/out"));
    check(&sink, "/out", DirMode::Read, Some("/out"));
}

#[test]
fn a_grant_only_lowers_limits() {
    let check = |manifest: &str, grant: &str, memory: u64, call_time: Duration| {
        let manifest = MANIFEST.replace("memory = \"128MiB\"", manifest);
        let grant = GRANT.replace("call_time = \"5s\"", grant);
        let effective =
            build(&manifest, &grant, Role::Source, &config()).expect("a grant that covers it");
        assert_eq!(
            (effective.memory_bytes_max, effective.call_time_max),
            (memory, call_time),
            "{manifest} {grant}"
        );
    };
    let (memory, time) = (limits::MEMORY_BYTES_DEFAULT, limits::CALL_TIME_DEFAULT);
    check("", "", memory, time);
    check("memory = \"128MiB\"", "", 128 << 20, time);
    check("memory = \"128MiB\"", "memory = \"32MiB\"", 32 << 20, time);
    check("memory = \"128MiB\"", "memory = \"4GiB\"", 128 << 20, time);
    check(
        "call_time = \"30s\"",
        "call_time = \"1s\"",
        memory,
        Duration::from_secs(1),
    );
    check(
        "call_time = \"1s\"",
        "call_time = \"30s\"",
        memory,
        Duration::from_secs(1),
    );
    check("", "memory = \"4GiB\"", memory, time);
}
