//! A plugin that misbehaves, through the real binary and as its operator sees it: one clear message that names plugin,
//! stage, what it did and the next step, an exit code, and a deployment in which the next pipeline runs to its end.

use serde_json::json;
use sluice_e2e::{HOSTILE, TestHost};
use std::fmt::Write as _;

const FILES: &str = r#"plugin = "sluice/files@0.1"
config = { dir = "in", format = "ndjson" }"#;

/// A deployment with the hostile plugin in it, and a good pipeline beside.
fn host() -> TestHost {
    let host = TestHost::new();
    host.write("in/a.ndjson", "{\"id\": 1, \"name\": \"Ada\"}\n");
    drop(host.pack("hostile", HOSTILE, "hostile.wasm").done());
    host.write(
        "good.toml",
        format!("[pipeline]\nname = \"good\"\n\n[source]\n{FILES}\n\n[[sink]]\nplugin = \"sluice/files@0.1\"\nconfig = {{ dir = \"good\", format = \"ndjson\" }}\n"),
    );
    host.grant("good.toml");
    host
}

fn pipeline(name: &str, source: &str, transform: &str, sink: &str) -> String {
    format!("[pipeline]\nname = \"{name}\"\n\n[source]\n{source}\n\n{transform}[[sink]]\n{sink}\n")
}

fn hostile(behaviour: &str) -> String {
    format!("plugin = \"hostile.wasm\"\nconfig = {{ try = \"{behaviour}\", dir = \"in\" }}")
}

const OUT: &str = "plugin = \"sluice/files@0.1\"\nconfig = { dir = \"out\", format = \"ndjson\" }";

/// Runs each behaviour where it plays, and gives what the operator read.
fn run_each(host: &TestHost, role: &str, code: i32, behaviours: &[&str]) -> String {
    let mut page = String::new();
    for behaviour in behaviours {
        let bad = hostile(behaviour);
        let text = match role {
            "source" => pipeline(behaviour, &bad, "", OUT),
            "transform" => pipeline(behaviour, FILES, &format!("[[transform]]\n{bad}\n\n"), OUT),
            _ => pipeline(behaviour, FILES, "", &bad),
        };
        host.write("bad.toml", text);
        host.grant("bad.toml");
        let answer = host.sluice(&["run", "bad.toml"]);
        assert_eq!(answer.code, Some(code), "{behaviour}: {answer:#?}");
        let seen = without_build(&host.seen(&answer));
        writeln!(page, "# {behaviour}\n{seen}\n").expect("memory");
    }
    page
}

/// Without what depends on how the guest was built: the line of its code that a panic names, and the memory it had
/// asked for when it was one page too many.
fn without_build(seen: &str) -> String {
    let mut seen = seen.to_owned();
    for (before, after, name) in [
        ("panicked at ", ": ", "FILE"),
        ("asked for ", "KiB of memory", "MORE "),
    ] {
        let place = seen
            .split_once(before)
            .and_then(|(_, rest)| rest.split_once(after));
        if let Some((place, _)) = place {
            seen = seen.replace(place, name);
        }
    }
    seen
}

/// The deployment as it must be afterwards: the good pipeline runs, and nothing of the bad ones arrived.
fn intact(host: &TestHost) {
    let report = host.run("good.toml");
    assert_eq!(report["ending"], "done");
    assert_eq!(report["written"], 1);
    assert_eq!(host.records("good"), [json!({ "id": 1, "name": "Ada" })]);
    assert_eq!(host.run("good.toml")["read"], 0);
}

/// Whatever is granted: there a plugin could grant itself more, or read the keys.
#[test]
fn a_folder_with_the_hosts_own_files_is_no_plugins() {
    let host = host();
    host.write(".sluice/inner/a.ndjson", "");
    std::os::unix::fs::symlink(host.path("grants"), host.path("link")).expect("a link");
    for (dir, holds) in [
        (".", "it holds `sluice.toml`"),
        (".sluice/inner", "it lies in `.sluice`"),
        ("link", "it is `grants`"),
    ] {
        let source = FILES.replace("\"in\"", &format!("\"{dir}\""));
        host.write("bad.toml", pipeline("bad", &source, "", OUT));
        let told = |answer: &sluice_e2e::Answer| {
            assert_eq!(answer.code, Some(2), "{dir}: {answer:#?}");
            assert!(answer.err.contains(holds), "{dir}: {answer:#?}");
            assert!(answer.err.contains("hint: name a directory"), "{answer:#?}");
        };
        told(&host.sluice(&["grant", "new", "bad.toml"]));
        // A grant that was written by hand.
        let good = host.read("grants/good.sluice-files.toml");
        let grant = good
            .replace("\"good\"", "\"bad\"")
            .replace("\"in\"", &format!("\"{dir}\""));
        host.write(
            "grants/bad.toml",
            grant.replace("path = \"bad\"", "path = \"out\""),
        );
        told(&host.sluice(&["check", "bad.toml"]));
        told(&host.sluice(&["run", "bad.toml"]));
        std::fs::remove_file(host.path("grants/bad.toml")).expect("the grant");
    }
    intact(&host);
}

#[test]
fn a_source_that_reaches_out_or_never_ends() {
    let host = host();
    insta::assert_snapshot!(run_each(
        &host,
        "source",
        1,
        &[
            "http-not-granted",
            "dir-not-granted",
            "dir-not-writable",
            "loop",
            "allocate",
            "panic",
            "exit",
        ],
    ));
    assert!(host.records("out").is_empty());
    intact(&host);
}

#[test]
fn a_source_that_lies() {
    let host = host();
    insta::assert_snapshot!(run_each(
        &host,
        "source",
        1,
        &[
            "offsets-decrease",
            "offsets-outside",
            "utf8-broken",
            "page-huge",
            "stream-stranger",
            "split-twice",
        ],
    ));
    assert!(host.records("out").is_empty());
    intact(&host);
}

#[test]
fn a_transform_that_is_refused_and_goes_on() {
    let host = host();
    insta::assert_snapshot!(run_each(&host, "transform", 0, &["read-undeclared"]));
    assert_eq!(host.records("out"), [json!({ "id": 1, "name": "Ada" })]);
    intact(&host);
}

#[test]
fn a_transform_that_goes_beyond_its_columns() {
    let host = host();
    insta::assert_snapshot!(run_each(
        &host,
        "transform",
        1,
        &[
            "write-undeclared",
            "drop-undeclared",
            "replace-undeclared",
            "keep-twice",
            "output-differs",
        ],
    ));
    assert!(host.records("out").is_empty());
    intact(&host);
}

#[test]
fn a_sink_that_lies() {
    let host = host();
    let manifest = format!("{HOSTILE}\n[sink]\nidempotent = true\n");
    drop(host.pack("hostile", &manifest, "hostile.wasm").done());
    insta::assert_snapshot!(run_each(
        &host,
        "sink",
        1,
        &["sink-reject-part", "sink-reject-row"]
    ));
    intact(&host);
}

#[test]
fn a_file_that_is_no_plugin() {
    let host = host();
    let mut page = String::new();
    let mut tell = |title: &str, text: &str, code: Option<i32>| {
        assert_eq!(code, Some(2), "{title}: {text}");
        writeln!(page, "# {title}\n{}", host.shown(text)).expect("memory");
    };
    host.write("bad.toml", pipeline("bad", &hostile("honest"), "", OUT));
    let packed = std::fs::read(host.path("hostile.wasm")).expect("the plugin");
    let raw =
        std::path::Path::new(&std::env::var_os("SLUICE_GUESTS").expect("`cargo x test` sets it"))
            .join("sluice_hostile.wasm");
    let raw = std::fs::read(raw).expect("the guest");
    let header = b"\0asm\x01\0\0\0";
    let cut = &packed[..packed.len() / 2];
    let mut flipped = packed.clone();
    flipped[packed.len() / 3] ^= 0xff;
    let files: [(&str, &[u8]); 5] = [
        ("a component without a manifest", &raw),
        ("a text", b"#!/bin/sh\n"),
        ("an empty file", b""),
        ("a module", header),
        ("a component that is cut off", cut),
    ];
    for (title, bytes) in files {
        host.write("hostile.wasm", bytes);
        let answer = host.sluice(&["check", "bad.toml"]);
        assert!(
            answer.err.contains("is not a component") || answer.err.contains("has no manifest"),
            "{title}: {answer:#?}"
        );
        // What is expected at which byte is the parser's to say.
        if !matches!(title, "a text" | "a component that is cut off") {
            tell(title, &answer.err, answer.code);
        }
        assert_eq!(answer.code, Some(2), "{title}: {answer:#?}");
        let inspected = host.sluice(&["plugin", "inspect", "hostile.wasm"]);
        assert_eq!(inspected.code, Some(2), "{title}: {inspected:#?}");
    }
    std::fs::remove_file(host.path("hostile.wasm")).expect("it is there");
    let answer = host.sluice(&["check", "bad.toml"]);
    tell("no file", &answer.err, answer.code);

    // Any change to its bytes is another plugin, or none.
    host.write("hostile.wasm", &packed);
    host.grant("bad.toml");
    host.write("hostile.wasm", &flipped);
    let answer = host.sluice(&["check", "bad.toml"]);
    assert_eq!(answer.code, Some(2), "{answer:#?}");
    insta::assert_snapshot!(page);
    intact(&host);
}

#[test]
fn an_import_that_the_manifest_does_not_explain() {
    let host = host();
    let (start, rest) = HOSTILE.split_once("[[http]]").expect("it has one");
    let (_, end) = rest.split_once("[[dir]]").expect("it has one");
    let silent = format!("{start}[[dir]]{end}");
    drop(host.pack("hostile", &silent, "hostile.wasm").done());
    host.write("bad.toml", pipeline("bad", &hostile("honest"), "", OUT));
    let checked = host.sluice(&["check", "bad.toml"]);
    assert_eq!(checked.code, Some(2), "{checked:#?}");
    let inspected = host
        .sluice(&["plugin", "inspect", "hostile.wasm"])
        .done()
        .out;
    let unexplained: Vec<&str> = inspected
        .lines()
        .filter(|line| line.contains("UNEXPLAINED"))
        .collect();
    assert_eq!(unexplained.len(), 2, "{inspected}");
    // The patch version is whatever the guest was built with.
    let text = host.shown(&checked.err);
    let versions = text
        .split("@0.2.")
        .skip(1)
        .filter_map(|rest| rest.split_once('`'));
    let plain = versions.fold(text.clone(), |text, (patch, _)| {
        text.replace(&format!("@0.2.{patch}`"), "@0.2.x`")
    });
    insta::assert_snapshot!(plain);
    intact(&host);
}

#[test]
fn a_manifest_that_is_written_wrongly_is_not_packed() {
    let host = host();
    let mut page = String::new();
    for (title, from, to) in [
        ("an unknown key", "[[dir]]\npath", "[[dir]]\npth"),
        (
            "another interface",
            "sluice:plugin@0.1",
            "sluice:plugin@9.0",
        ),
        ("no vendor", "acme/hostile", "hostile"),
        (
            "no reason",
            "reason = \"To have something to go beyond.\"\n",
            "",
        ),
        ("memory that is no size", "\"64MiB\"", "\"64TiB\""),
        ("a time without a unit", "\"3s\"", "\"3\""),
        ("a column that is no name", "[\"id\"]", "[7]"),
    ] {
        let answer = host.pack("hostile", &HOSTILE.replacen(from, to, 1), "new.wasm");
        assert_eq!(answer.code, Some(2), "{title}: {answer:#?}");
        assert!(!host.path("new.wasm").exists(), "{title}");
        writeln!(page, "# {title}\n{}", host.shown(&answer.err)).expect("memory");
    }
    insta::assert_snapshot!(page);
}
