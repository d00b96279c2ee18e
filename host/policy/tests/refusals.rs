//! The texts of refusals, as people read them.

use serde_json::json;
use sluice_model::grant::Grant;
use sluice_model::ids::{Role, StageId};
use sluice_model::manifest::{DirMode, Manifest};
use sluice_model::ports::Refusal;
use sluice_policy::{Effective, missing_secret};
use std::fmt::Write as _;
use std::path::Path;

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

[[secret]]
name = "token"
use = "header:x-api-key"
reason = "x"

[[dir]]
path = "{config.dir}"
mode = "read"
reason = "x"

[data]
reads = ["id", "email"]
writes = ["email"]
"#;

const GRANT: &str = r#"
[grant]
plugin = "acme/crm"
version = "1.4.0"
digest = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
pipeline = "crm"

[[http]]
host = "api.acme.example"
methods = ["GET"]
paths = ["/v2/contacts"]

[[secret]]
name = "token"
use = "header:x-api-key"

[[dir]]
path = "in"
mode = "read"

[data]
reads = ["id"]
writes = ["email"]
"#;

fn build(grant: &str) -> Result<Effective, Vec<sluice_policy::NotGranted>> {
    let manifest = Manifest::parse("m", MANIFEST).expect("a manifest");
    let grant = Grant::parse("g", grant).expect("a grant");
    let stage = StageId {
        role: Role::Transform,
        index: 0,
    };
    let config = json!({ "base_url": "https://api.acme.example", "dir": "in" });
    Effective::build(
        &manifest,
        &grant,
        stage,
        &config,
        &"crm".parse().expect("a name"),
        Path::new("/srv"),
    )
}

#[test]
fn a_refusal_says_what_to_add_and_where() {
    let effective = build(GRANT).expect("a grant that covers it");
    let send = |method: &str, uri: &str| {
        effective.may_send(
            &method.parse().expect("a method"),
            &uri.parse().expect("a uri"),
        )
    };
    let sending =
        send("GET", "https://api.acme.example/v2/contacts?token=hunter2").expect("permitted");
    let header = |name: &str| effective.may_set_header(&sending, &name.parse().expect("a name"));
    let refusals: Vec<Refusal> = [
        send("GET", "https://evil.test:8443/v2/contacts?token=hunter2").map(|_| ()),
        send("GET", "http://api.acme.example/v2/contacts").map(|_| ()),
        send("DELETE", "https://api.acme.example/v2/contacts").map(|_| ()),
        send("GET", "https://api.acme.example/admin").map(|_| ()),
        send("POST", "https://api.acme.example/v2/contacts").map(|_| ()),
        send("GET", "https://api.acme.example/v2/deals?token=hunter2").map(|_| ()),
        send("GET", "https://user:hunter2@api.acme.example/v2").map(|_| ()),
        send(
            "GET",
            "https://api.acme.example/v2/%2e%2e/admin?token=hunter2",
        )
        .map(|_| ()),
        effective.may_dial(
            &sending,
            &[
                "1.1.1.1".parse().expect("an address"),
                "10.0.0.7".parse().expect("an address"),
            ],
        ),
        header("x-api-key"),
        header("host"),
        effective.may_read("phone"),
        effective.may_read("email"),
        effective.may_write("id"),
        effective.may_open("in", DirMode::Write).map(|_| ()),
        effective.may_open("/etc", DirMode::Read).map(|_| ()),
        Err(missing_secret(
            &effective.plugin,
            &effective.pipeline,
            &"token".parse().expect("a name"),
        )),
    ]
    .into_iter()
    .map(|answer| answer.expect_err("a refusal"))
    .collect();
    let mut text = String::new();
    for refusal in &refusals {
        let Refusal {
            capability,
            asked,
            reason,
            hint,
        } = refusal;
        let hint = hint.as_deref().unwrap_or("none");
        writeln!(text, "{capability}: `{asked}`: {reason}\nhint: {hint}\n")
            .expect("a string takes all");
    }
    assert!(!text.contains("hunter2"), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn a_start_says_every_line_that_is_missing() {
    let bare = GRANT.split("[[http]]").next().expect("the head");
    let missing = build(bare).expect_err("nothing is granted");
    let lines: Vec<&str> = missing.iter().map(|one| one.lines.as_str()).collect();
    insta::assert_snapshot!(lines.join("\n\n"));
    // What is proposed is what was missing.
    let whole = format!("{bare}\n{}\n", lines.join("\n\n"));
    build(&whole).expect("the lines help");
}

#[test]
fn a_plugins_words_are_bounded_and_escaped() {
    let effective = build(GRANT).expect("a grant that covers it");
    let long = format!("\u{1b}[2J{}", "x".repeat(100_000));
    for refusal in [
        effective.may_read(&long).expect_err("a refusal"),
        effective
            .may_open(&long, DirMode::Read)
            .expect_err("a refusal"),
    ] {
        let text = refusal.to_string();
        assert!(text.len() < 1_000 && !text.contains('\u{1b}'), "{text}");
    }
    let uri = format!("https://{}.test/{}", "a".repeat(60), "y".repeat(8_000))
        .parse()
        .expect("a uri");
    let text = effective
        .may_send(&"GET".parse().expect("a method"), &uri)
        .expect_err("a refusal")
        .to_string();
    assert!(text.len() < 1_000, "{text}");
}
