//! What nobody can wish for, though both files say it: memory and time beyond the ceilings, a rate beyond what is
//! remembered, a directory whose name shows as another.

use serde_json::json;
use sluice_model::grant::Grant;
use sluice_model::ids::{Role, StageId};
use sluice_model::limits::{CALL_TIME_MAX, HTTP_RATE_REQUESTS_MAX, MEMORY_BYTES_MAX};
use sluice_model::manifest::{DirMode, Manifest};
use sluice_model::sizes::{ByteSize, Span};
use sluice_policy::{Effective, NotGranted};
use std::path::Path;
use std::time::Duration;

const MANIFEST: &str = "[plugin]\nname = \"acme/x\"\nversion = \"1.0.0\"\ninterface = \"sluice:plugin@0.1\"\ndescription = \"x\"\n";

fn manifest() -> Manifest {
    Manifest::parse("manifest.toml", MANIFEST).expect("a manifest")
}

fn build(manifest: &Manifest, more: &str) -> Result<Effective, Vec<NotGranted>> {
    let text = format!(
        "[grant]\nplugin = \"acme/x\"\nversion = \"1.0.0\"\npipeline = \"p\"\ndigest = \"sha256:{}\"\n{more}",
        "0".repeat(64)
    );
    let grant = Grant::parse("grant.toml", &text).expect("a grant");
    let stage = StageId {
        role: Role::Source,
        index: 0,
    };
    let pipeline = "p".parse().expect("a name");
    Effective::build(
        manifest,
        &grant,
        stage,
        &json!({}),
        &pipeline,
        Path::new("/"),
    )
}

/// A manifest's own reader refuses such a wish; this holds for one that came another way.
#[test]
fn no_wish_goes_beyond_the_ceilings() {
    let mut manifest = manifest();
    manifest.limits.memory = Some(ByteSize(4 * MEMORY_BYTES_MAX));
    manifest.limits.call_time = Some(Span(Duration::from_hours(24)));
    let effective = build(&manifest, "").expect("granted");
    assert_eq!(effective.memory_bytes_max, MEMORY_BYTES_MAX);
    assert_eq!(effective.call_time_max, CALL_TIME_MAX);
}

#[test]
fn no_rate_is_larger_than_what_is_remembered() {
    let with = |requests: u32| {
        let rule =
            "[[http]]\nhost = \"api.acme.example\"\nmethods = [\"GET\"]\npaths = [\"/**\"]\n";
        build(
            &manifest(),
            &format!("{rule}rate = {{ requests = {requests}, per = \"1s\" }}\n"),
        )
    };
    with(HTTP_RATE_REQUESTS_MAX).expect("as large as may be");
    let wrong = with(HTTP_RATE_REQUESTS_MAX + 1).expect_err("larger");
    assert!(wrong[0].refusal.reason.contains("from 1 to 10000"));
}

#[test]
fn a_name_with_control_characters_opens_nothing() {
    let dir = "[[dir]]\npath = \"in\\u0007\"\nmode = \"read\"\n";
    let text = format!("{MANIFEST}{dir}reason = \"x\"\n");
    let manifest = Manifest::parse("manifest.toml", &text).expect("a manifest");
    let effective = build(&manifest, dir).expect("granted");
    let refused = effective.may_open("in\u{7}", DirMode::Read);
    assert_eq!(refused.expect_err("its name").asked, "in\\u{7}");
}
