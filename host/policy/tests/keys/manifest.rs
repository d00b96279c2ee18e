//! A manifest's keys.

use super::{
    GRANT, MANIFEST, URI, build, changed, connects, gets, manifest_bites, no_manifest, writes_out,
};
use sluice_model::ids::Role;
use sluice_model::manifest::Manifest;
use sluice_policy::Effective;
use std::time::Duration;

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
