//! Every key of a manifest and of a grant, one test each: with another value, something else is permitted. Those of the
//! policy are in `organisation.rs`. `docs/policy.md` names them all, and `key_tables.rs` holds it to that.

use serde_json::{Value, json};
use sluice_model::grant::Grant;
use sluice_model::ids::{Role, StageId};
use sluice_model::manifest::{DirMode, Manifest};
use sluice_policy::{Carried, Effective, NotGranted};
use std::path::Path;
use std::time::Duration;

const MANIFEST: &str = r#"
[plugin]
name = "acme/crm"
version = "1.4.0"
interface = "sluice:plugin@0.1"
description = "x"

[[http]]
host = "api.acme.example"
scheme = "https"
port = 8443
methods = ["GET"]
paths = ["/v2/**"]
auth = "token"
as = "sink"
reason = "x"

[[secret]]
name = "token"
use = "bearer"
optional = true
reason = "x"

[[dir]]
path = "out"
mode = "write"
as = "sink"
reason = "x"

[[tcp]]
host = "db.acme.example"
port = 5432
as = "sink"
reason = "x"

[data]
reads = ["id"]
writes = ["id"]

[sink]
unit = { rows = 7 }

[limits]
memory = "32MiB"
call_time = "5s"
"#;

const GRANT: &str = r#"
[grant]
plugin = "acme/crm"
version = "1.4.0"
digest = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
pipeline = "crm"

[[http]]
host = "api.acme.example"
scheme = "https"
port = 8443
methods = ["GET"]
paths = ["/v2/**"]
networks = ["10.0.0.0/8"]
as = "sink"

[[secret]]
name = "token"
use = "bearer"

[[dir]]
path = "out"
mode = "write"
as = "sink"

[[tcp]]
host = "db.acme.example"
port = 5432
networks = ["10.2.0.0/16"]
ca = "db.pem"
bytes_out_max = "1KiB"
bytes_in_max = "2KiB"
as = "sink"

[data]
reads = ["id"]
writes = ["id"]

[limits]
memory = "16MiB"
call_time = "3s"
"#;

/// With one change, which must be one: `""` for what changes nothing.
fn changed(text: &str, from: &str, to: &str) -> String {
    let changed = text.replacen(from, to, 1);
    assert!(from.is_empty() || changed != text, "`{from}` is not there");
    changed
}

fn build(manifest: &str, grant: &str, role: Role) -> Result<Effective, Vec<NotGranted>> {
    let manifest = Manifest::parse("manifest.toml", manifest).expect("a manifest");
    let grant = Grant::parse("grant.toml", grant).expect("a grant");
    let stage = StageId { role, index: 0 };
    let pipeline = "crm".parse().expect("a name");
    let config: Value = json!({});
    Effective::build(
        &manifest,
        &grant,
        stage,
        &config,
        &pipeline,
        Path::new("/srv"),
    )
}

fn sends(effective: &Effective, method: &str, uri: &str) -> bool {
    let (method, uri) = (
        method.parse().expect("a method"),
        uri.parse().expect("a uri"),
    );
    effective.may_send(&method, &uri).is_ok()
}

const URI: &str = "https://api.acme.example:8443/v2/a";

/// What the key permits, it permits; and with another value in the manifest it does not, though the grant still would.
fn manifest_bites(from: &str, to: &str, permits: fn(&Effective) -> bool, role: Role) {
    assert!(permits(&build(MANIFEST, GRANT, role).expect("covered")));
    let other = build(&changed(MANIFEST, from, to), GRANT, role);
    assert!(!other.is_ok_and(|other| permits(&other)), "{from} → {to}");
}

/// The same in the grant, though the manifest still asks for it.
fn grant_bites(from: &str, to: &str, permits: fn(&Effective) -> bool, role: Role) {
    assert!(permits(&build(MANIFEST, GRANT, role).expect("covered")));
    let other = build(MANIFEST, &changed(GRANT, from, to), role);
    assert!(!other.is_ok_and(|other| permits(&other)), "{from} → {to}");
}

fn gets(effective: &Effective) -> bool {
    sends(effective, "GET", URI)
}

fn connects(effective: &Effective) -> bool {
    effective.may_connect("db.acme.example", 5432).is_ok()
}

fn writes_out(effective: &Effective) -> bool {
    effective.may_open("out", DirMode::Write).is_ok()
}

fn no_manifest(from: &str, to: &str, told: &str) {
    let error = Manifest::parse("m", &changed(MANIFEST, from, to)).expect_err(told);
    assert!(error.to_string().contains(told), "{error}");
}

fn no_grant(from: &str, to: &str, told: &str) {
    let error = Grant::parse("g", &changed(GRANT, from, to)).expect_err(told);
    assert!(error.to_string().contains(told), "{error}");
}

#[test]
fn manifest_plugin_name() {
    no_manifest("\"acme/crm\"", "\"crm\"", "is not a plugin name");
}

#[test]
fn manifest_plugin_version() {
    no_manifest("\"1.4.0\"", "\"1.4\"", "unexpected end of input");
}

#[test]
fn manifest_plugin_interface() {
    no_manifest(
        "plugin@0.1",
        "plugin@9.0",
        "this host speaks `sluice:plugin@0.1`",
    );
}

#[test]
fn manifest_plugin_description() {
    no_manifest("description = \"x\"\n", "", "missing field `description`");
}

#[test]
fn manifest_http_host() {
    manifest_bites("api.acme.example", "api.other.example", gets, Role::Sink);
}

#[test]
fn manifest_http_scheme() {
    manifest_bites("scheme = \"https\"", "scheme = \"http\"", gets, Role::Sink);
}

#[test]
fn manifest_http_port() {
    manifest_bites("port = 8443", "port = 443", gets, Role::Sink);
}

#[test]
fn manifest_http_methods() {
    manifest_bites("[\"GET\"]", "[\"POST\"]", gets, Role::Sink);
    manifest_bites("[\"GET\"]", "[]", gets, Role::Sink);
}

#[test]
fn manifest_http_paths() {
    manifest_bites("[\"/v2/**\"]", "[\"/v3/**\"]", gets, Role::Sink);
    manifest_bites("[\"/v2/**\"]", "[]", gets, Role::Sink);
}

#[test]
fn manifest_http_auth() {
    let secret = |manifest: &str| {
        let effective = build(manifest, GRANT, Role::Sink).expect("covered");
        let uri = URI.parse().expect("a uri");
        let sending = effective
            .may_send(&http::Method::GET, &uri)
            .expect("permitted");
        sending.auth.map(|auth| auth.name.to_string())
    };
    assert_eq!(secret(MANIFEST).as_deref(), Some("token"));
    assert_eq!(secret(&changed(MANIFEST, "auth = \"token\"\n", "")), None);
    no_manifest(
        "auth = \"token\"",
        "auth = \"other\"",
        "names no `[[secret]]`",
    );
}

#[test]
fn manifest_http_as() {
    manifest_bites("as = \"sink\"", "as = \"source\"", gets, Role::Sink);
}

#[test]
fn manifest_http_reason() {
    no_manifest("reason = \"x\"\n", "", "missing field `reason`");
}

#[test]
fn manifest_dir_path() {
    manifest_bites("path = \"out\"", "path = \"other\"", writes_out, Role::Sink);
}

#[test]
fn manifest_dir_mode() {
    manifest_bites(
        "mode = \"write\"",
        "mode = \"read\"",
        writes_out,
        Role::Sink,
    );
}

#[test]
fn manifest_dir_as() {
    let other = "mode = \"write\"\nas = \"source\"";
    manifest_bites(
        "mode = \"write\"\nas = \"sink\"",
        other,
        writes_out,
        Role::Sink,
    );
}

#[test]
fn manifest_dir_reason() {
    let dir = "mode = \"write\"\nas = \"sink\"\n";
    no_manifest(
        &format!("{dir}reason = \"x\"\n"),
        dir,
        "missing field `reason`",
    );
}

#[test]
fn manifest_tcp_host() {
    manifest_bites("\"db.acme", "\"db.other", connects, Role::Sink);
}

#[test]
fn manifest_tcp_port() {
    manifest_bites("port = 5432", "port = 5433", connects, Role::Sink);
    no_manifest("port = 5432\n", "", "has no `port`");
}

#[test]
fn manifest_tcp_as() {
    let source = "port = 5432\nas = \"source\"";
    manifest_bites("port = 5432\nas = \"sink\"", source, connects, Role::Sink);
}

#[test]
fn manifest_tcp_reason() {
    let tcp = "port = 5432\nas = \"sink\"\n";
    no_manifest(
        &format!("{tcp}reason = \"x\"\n"),
        tcp,
        "missing field `reason`",
    );
}

#[test]
fn manifest_secret_name() {
    let renamed = changed(MANIFEST, "auth = \"token\"", "auth = \"key\"");
    let renamed = changed(&renamed, "name = \"token\"", "name = \"key\"");
    let missing = build(&renamed, GRANT, Role::Sink).expect_err("another secret");
    assert_eq!(missing[0].refusal.asked, "key");
}

#[test]
fn manifest_secret_use() {
    let moved = changed(MANIFEST, "use = \"bearer\"", "use = \"query:key\"");
    let missing = build(&moved, GRANT, Role::Sink).expect_err("another place");
    assert_eq!(missing[0].refusal.capability, "secret");
}

#[test]
fn manifest_secret_optional() {
    let asks = |manifest: &str| {
        let manifest = Manifest::parse("m", manifest).expect("a manifest");
        manifest.without_unnamed(|_| false).secret.len()
    };
    assert_eq!(asks(MANIFEST), 0);
    assert_eq!(asks(&changed(MANIFEST, "optional = true\n", "")), 1);
}

#[test]
fn manifest_secret_reason() {
    let secret = "optional = true\n";
    no_manifest(
        &format!("{secret}reason = \"x\"\n"),
        secret,
        "missing field `reason`",
    );
}

#[test]
fn manifest_data_reads() {
    let reads = |effective: &Effective| effective.may_read("id").is_ok();
    manifest_bites("reads = [\"id\"]", "reads = []", reads, Role::Sink);
}

#[test]
fn manifest_data_writes() {
    let writes = |effective: &Effective| effective.may_write("id").is_ok();
    manifest_bites("writes = [\"id\"]", "writes = []", writes, Role::Transform);
}

#[test]
fn manifest_sink_unit() {
    let effective = build(MANIFEST, GRANT, Role::Sink).expect("covered");
    assert_eq!(effective.unit.rows, 7);
}

#[test]
fn manifest_limits_memory() {
    let small = changed(MANIFEST, "memory = \"32MiB\"", "memory = \"8MiB\"");
    let memory = |manifest: &str| {
        build(manifest, GRANT, Role::Sink)
            .expect("covered")
            .memory_bytes_max
    };
    assert_eq!((memory(MANIFEST), memory(&small)), (16 << 20, 8 << 20));
    no_manifest(
        "memory = \"32MiB\"",
        "memory = \"8GiB\"",
        "is above the ceiling",
    );
}

#[test]
fn manifest_limits_call_time() {
    let short = changed(MANIFEST, "call_time = \"5s\"", "call_time = \"1s\"");
    let time = |manifest: &str| {
        build(manifest, GRANT, Role::Sink)
            .expect("covered")
            .call_time_max
    };
    assert_eq!(
        (time(MANIFEST), time(&short)),
        (Duration::from_secs(3), Duration::from_secs(1))
    );
    no_manifest(
        "call_time = \"5s\"",
        "call_time = \"1h\"",
        "is above the ceiling",
    );
}

#[test]
fn grant_grant_plugin() {
    no_grant("\"acme/crm\"", "\"crm\"", "is not a plugin name");
}

#[test]
fn grant_grant_version() {
    no_grant("\"1.4.0\"", "\"1.4\"", "unexpected end of input");
}

#[test]
fn grant_grant_pipeline() {
    let other = changed(GRANT, "pipeline = \"crm\"", "pipeline = \"other\"");
    let missing = build(MANIFEST, &other, Role::Sink).expect_err("of another pipeline");
    assert_eq!(
        missing[0].refusal.reason,
        "the grant is for pipeline `other`"
    );
}

#[test]
fn grant_http_host() {
    grant_bites("api.acme.example", "api.other.example", gets, Role::Sink);
}

#[test]
fn grant_http_scheme() {
    grant_bites("scheme = \"https\"", "scheme = \"http\"", gets, Role::Sink);
}

#[test]
fn grant_http_port() {
    grant_bites("port = 8443", "port = 443", gets, Role::Sink);
}

#[test]
fn grant_http_methods() {
    grant_bites("[\"GET\"]", "[\"POST\"]", gets, Role::Sink);
    grant_bites("[\"GET\"]", "[]", gets, Role::Sink);
}

#[test]
fn grant_http_paths() {
    grant_bites("[\"/v2/**\"]", "[\"/v3/**\"]", gets, Role::Sink);
    grant_bites("[\"/v2/**\"]", "[]", gets, Role::Sink);
}

#[test]
fn grant_http_networks() {
    let dials = |effective: &Effective| {
        let uri = URI.parse().expect("a uri");
        let sending = effective
            .may_send(&http::Method::GET, &uri)
            .expect("permitted");
        let inside = "10.1.2.3".parse().expect("an address");
        effective.may_dial(&sending, &[inside]).is_ok()
    };
    grant_bites("networks = [\"10.0.0.0/8\"]\n", "", dials, Role::Sink);
    grant_bites("10.0.0.0/8", "10.0.0.0/16", dials, Role::Sink);
}

#[test]
fn grant_http_as() {
    grant_bites("as = \"sink\"", "as = \"source\"", gets, Role::Sink);
}

#[test]
fn grant_secret_name() {
    let other = changed(GRANT, "name = \"token\"", "name = \"key\"");
    let missing = build(MANIFEST, &other, Role::Sink).expect_err("another secret");
    assert_eq!(missing[0].refusal.capability, "secret");
}

#[test]
fn grant_secret_use() {
    let moved = changed(GRANT, "use = \"bearer\"", "use = \"basic\"");
    let missing = build(MANIFEST, &moved, Role::Sink).expect_err("another place");
    assert_eq!(
        missing[0].refusal.reason,
        "the grant allows it as `basic`, not as `bearer`"
    );
}

#[test]
fn grant_dir_path() {
    grant_bites("path = \"out\"", "path = \"other\"", writes_out, Role::Sink);
}

#[test]
fn grant_dir_mode() {
    grant_bites(
        "mode = \"write\"",
        "mode = \"read\"",
        writes_out,
        Role::Sink,
    );
}

#[test]
fn grant_dir_as() {
    let other = "mode = \"write\"\nas = \"source\"";
    grant_bites(
        "mode = \"write\"\nas = \"sink\"",
        other,
        writes_out,
        Role::Sink,
    );
}

#[test]
fn grant_tcp_host() {
    grant_bites("\"db.acme", "\"db.other", connects, Role::Sink);
}

#[test]
fn grant_tcp_port() {
    grant_bites("port = 5432", "port = 5433", connects, Role::Sink);
}

#[test]
fn grant_tcp_networks() {
    let dials = |effective: &Effective| {
        let connecting = effective.may_connect("db.acme.example", 5432);
        let connecting = connecting.expect("permitted");
        let inside = "10.2.2.3".parse().expect("an address");
        effective.may_reach(&connecting, &[inside]).is_ok()
    };
    grant_bites("networks = [\"10.2.0.0/16\"]\n", "", dials, Role::Sink);
    grant_bites("10.2.0.0/16", "10.3.0.0/16", dials, Role::Sink);
}

#[test]
fn grant_tcp_ca() {
    let ca = |grant: &str| {
        let effective = build(MANIFEST, grant, Role::Sink).expect("covered");
        let connecting = effective.may_connect("db.acme.example", 5432);
        connecting.expect("permitted").terms.ca
    };
    assert_eq!(ca(GRANT).as_deref(), Some(Path::new("/srv/db.pem")));
    assert_eq!(ca(&changed(GRANT, "ca = \"db.pem\"\n", "")), None);
}

fn carries(bytes_out: u64, bytes_in: u64) -> impl Fn(&str) -> bool {
    move |grant| {
        let effective = build(MANIFEST, grant, Role::Sink).expect("covered");
        let connecting = effective.may_connect("db.acme.example", 5432);
        let carried = Carried {
            bytes_out,
            bytes_in,
        };
        let connecting = connecting.expect("permitted");
        effective.may_carry(&connecting, carried).is_ok()
    }
}

#[test]
fn grant_tcp_bytes_out_max() {
    let wider = changed(
        GRANT,
        "bytes_out_max = \"1KiB\"",
        "bytes_out_max = \"2KiB\"",
    );
    assert!(carries(1024, 0)(GRANT) && !carries(1025, 0)(GRANT) && carries(1025, 0)(&wider));
}

#[test]
fn grant_tcp_bytes_in_max() {
    let wider = changed(GRANT, "bytes_in_max = \"2KiB\"", "bytes_in_max = \"4KiB\"");
    assert!(carries(0, 2048)(GRANT) && !carries(0, 2049)(GRANT) && carries(0, 2049)(&wider));
}

#[test]
fn grant_tcp_as() {
    grant_bites(
        "max = \"2KiB\"\nas = \"sink\"",
        "max = \"2KiB\"\nas = \"source\"",
        connects,
        Role::Sink,
    );
}

#[test]
fn grant_data_reads() {
    let reads = |effective: &Effective| effective.may_read("id").is_ok();
    grant_bites("reads = [\"id\"]", "reads = [\"other\"]", reads, Role::Sink);
}

#[test]
fn grant_data_writes() {
    let writes = |effective: &Effective| effective.may_write("id").is_ok();
    grant_bites(
        "writes = [\"id\"]",
        "writes = [\"other\"]",
        writes,
        Role::Transform,
    );
}

#[test]
fn grant_limits_memory() {
    let memory = |grant: &str| {
        build(MANIFEST, grant, Role::Sink)
            .expect("covered")
            .memory_bytes_max
    };
    let small = changed(GRANT, "memory = \"16MiB\"", "memory = \"1MiB\"");
    assert_eq!((memory(GRANT), memory(&small)), (16 << 20, 1 << 20));
}

#[test]
fn grant_limits_call_time() {
    let time = |grant: &str| {
        build(MANIFEST, grant, Role::Sink)
            .expect("covered")
            .call_time_max
    };
    let short = changed(GRANT, "call_time = \"3s\"", "call_time = \"1s\"");
    assert_eq!(
        (time(GRANT), time(&short)),
        (Duration::from_secs(3), Duration::from_secs(1))
    );
}
