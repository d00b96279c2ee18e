//! Every key of a manifest and of a grant, one test each: with another value, something else is permitted. Those of the
//! policy are in `organisation.rs`. `docs/policy.md` names them all, and `key_tables.rs` holds it to that.

mod grant;
mod manifest;

use serde_json::{Value, json};
use sluice_model::grant::Grant;
use sluice_model::ids::{Role, StageId};
use sluice_model::manifest::{DirMode, Manifest};
use sluice_policy::{Effective, NotGranted};
use std::path::Path;

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
