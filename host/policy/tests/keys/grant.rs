//! A grant's keys.

use super::{
    GRANT, MANIFEST, URI, build, changed, connects, gets, grant_bites, no_grant, writes_out,
};
use sluice_model::ids::Role;
use sluice_policy::{Carried, Effective};
use std::path::Path;
use std::time::Duration;

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
