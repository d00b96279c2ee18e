//! A policy, over a grant that is wide: it is read or refused, and whatever it says, it only takes away.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_model::grant::Grant;
use sluice_model::ids::Role;
use sluice_model::manifest::DirMode;
use sluice_policy::{Effective, Organisation};
use std::path::Path;
use std::sync::{Arc, LazyLock};

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
networks = ["10.0.0.0/8"]

[[http]]
host = "10.0.0.1"
scheme = "http"
methods = ["GET"]
paths = ["/**"]

[[dir]]
path = "out"
mode = "write"

[data]
reads = ["email", "id"]
"#;

static WIDE: LazyLock<Effective> = LazyLock::new(|| {
    let grant = Grant::parse("grant.toml", GRANT).expect("a grant");
    Effective::of_grant_alone(&grant, Role::Sink, Path::new("/srv")).expect("the grant alone")
});

fuzz_target!(|text: &str| {
    let Ok(organisation) = Organisation::read("policy.toml", text) else {
        return;
    };
    let organisation = Arc::new(organisation);
    let plugin = "acme/crm".parse().expect("a name");
    drop(organisation.may_load(&plugin, Some("k1")));
    drop(organisation.may_reveal(&plugin, &"token".parse().expect("a name")));
    let Ok(narrow) = WIDE.clone().under(organisation) else {
        return;
    };
    assert!(
        narrow.memory_bytes_max <= WIDE.memory_bytes_max
            && narrow.call_time_max <= WIDE.call_time_max
    );
    for uri in [
        "https://api.acme.example/",
        "http://10.0.0.1/",
        "https://evil.test/",
        "https://acme.example/",
    ] {
        let uri = uri.parse().expect("a uri");
        let (wide, narrow) = (
            WIDE.may_send(&http::Method::GET, &uri),
            narrow.may_send(&http::Method::GET, &uri),
        );
        assert!(wide.is_ok() || narrow.is_err());
    }
    assert!(narrow.may_open("/etc", DirMode::Read).is_err());
    narrow.explained();
});
