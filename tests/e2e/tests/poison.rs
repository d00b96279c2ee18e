//! A plugin that misbehaves in the middle of a run: at certain records, at all from some on, or once. What it cannot
//! take are dead letters that say so, one by one; all others are delivered. One that can take nothing stops its
//! pipeline, and nothing is lost.

use serde_json::Value;
use sluice_e2e::checker::{Sent, Story, letter_id, readable};
use sluice_e2e::{TestHost, numbered};
use std::collections::BTreeSet;

/// Several pages of them, and so several units.
const RECORDS: u64 = 2_000;
/// Alone, side by side, the first and the last.
const POISON: [u64; 5] = [0, 777, 778, 1_234, 1_999];

const MANIFEST: &str = r#"[plugin]
name = "acme/poisoned"
version = "0.1.0"
interface = "sluice:plugin@0.1"
description = "Cannot take certain records."

[[http]]
host = "api.example"
methods = ["GET"]
paths = ["/v1/**"]
reason = "Imported, and not used here."

[[dir]]
path = "{config.out}"
mode = "write"
reason = "Leaves marks, and as a sink what it was given."

[data]
reads = ["id"]

[sink]
idempotent = true
unit = { rows = 250, bytes = "1MiB", linger = "1s" }

[limits]
memory = "64MiB"
call_time = "600ms"

[config]
schema = "config.schema.json"
"#;

/// Where the plugin stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum As {
    Transform,
    Sink,
}

/// A deployment whose pipeline runs through the plugin with these settings.
fn deployment(role: As, settings: &str) -> TestHost {
    let host = TestHost::new();
    host.write("in/rows.ndjson", numbered(0..RECORDS, 2_000));
    host.write("made/.keep", "");
    drop(host.pack("hostile", MANIFEST, "poisoned.wasm").done());
    host.write("bad.toml", pipeline(role, settings));
    host.grant("bad.toml");
    host
}

fn pipeline(role: As, settings: &str) -> String {
    let word = match role {
        As::Transform => "poison",
        As::Sink => "sink-poison",
    };
    let bad = format!(
        "plugin = \"poisoned.wasm\"\nconfig = {{ try = \"{word}\", out = \"made\", {settings} }}\n"
    );
    let files = "plugin = \"sluice/files@0.1\"\nconfig = { dir = \"out\", format = \"ndjson\" }\n";
    let (transform, sink) = match role {
        As::Transform => (format!("[[transform]]\n{bad}\n"), files),
        As::Sink => (String::new(), bad.as_str()),
    };
    format!(
        "[pipeline]\nname = \"bad\"\n\n\
         [source]\nplugin = \"sluice/files@0.1\"\nconfig = {{ dir = \"in\", format = \"ndjson\", stream = \"rows\" }}\n\n\
         [schema.rows]\nkey = [\"id\"]\nfields = {{ id = \"int64\", name = \"text\" }}\n\n\
         {transform}[[sink]]\n{sink}\n"
    )
}

fn ids(ids: &[u64]) -> String {
    let ids: Vec<String> = ids.iter().map(u64::to_string).collect();
    format!("ids = \"{}\"", ids.join(","))
}

/// One run: its report.
fn run(host: &TestHost) -> Value {
    let answer = host.sluice(&["run", "bad.toml", "--json"]);
    let said = format!("{}{}", answer.out, answer.err);
    // The plugin's own panic is told; that of the host is not to be.
    let of_host: Vec<String> = readable(&said.replace("panicked in `", ""))
        .into_iter()
        .filter(|breach| {
            ["panicked at host/", "control", "a defect of sluice"]
                .iter()
                .any(|word| breach.contains(word))
        })
        .collect();
    assert!(of_host.is_empty(), "{of_host:?}");
    answer.json()
}

/// Holds all that is there after the last run; gives the dead letters.
fn hold(host: &TestHost, role: As, refused: Option<&[u64]>, reports: Vec<Value>) -> Vec<Value> {
    let letters = host.dead_letters("bad.toml");
    let lettered: BTreeSet<u64> = letters.iter().filter_map(letter_id).collect();
    let delivered = delivered(host, role);
    let story = Story {
        splits: std::iter::once(0..RECORDS).collect(),
        refused: refused.map_or(lettered, |ids| ids.iter().copied().collect()),
        letters: letters.clone(),
        reports,
        checkpoints: host
            .sluice(&["checkpoint", "list", "bad.toml", "--json"])
            .done()
            .json(),
        sent: Vec::new(),
    };
    let breaches = match role {
        As::Transform => story.judge_read(&delivered, &BTreeSet::new()),
        As::Sink => {
            let sent = |id: &u64| Sent {
                id: *id,
                key: id.to_string(),
                status: 200,
            };
            let sent = delivered.iter().map(sent).collect();
            Story { sent, ..story }.judge()
        }
    };
    assert!(
        breaches.is_empty(),
        "{}",
        breaches[..breaches.len().min(20)].join("\n")
    );
    letters
}

/// What reached the other side, in order; for the plugin as a sink, each once, however often it was written.
fn delivered(host: &TestHost, role: As) -> Vec<u64> {
    if role == As::Transform {
        let records = host.records("out");
        let id = |record: &Value| record["id"].as_u64().expect("an id");
        return records.iter().map(id).collect();
    }
    let mut kept = BTreeSet::new();
    for part in sluice_e2e::parts(&host.path("made")) {
        let is_kept = part
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("kept-"));
        if is_kept {
            let text = std::fs::read_to_string(&part).expect("a file");
            kept.extend(text.lines().map(|line| line.parse::<u64>().expect("an id")));
        }
    }
    kept.into_iter().collect()
}

/// These records alone are dead letters of this code, that name the plugin.
fn are_letters(role: As, settings: &str, poison: &[u64], code: &str) {
    let host = deployment(role, &format!("{}, {settings}", ids(poison)));
    let report = run(&host);
    assert_eq!(report["ending"], "done", "{report}");
    for letter in hold(&host, role, Some(poison), vec![report]) {
        assert_eq!(letter["rejection"]["code"], code, "{letter}");
        assert_eq!(letter["plugin"], "acme/poisoned", "{letter}");
    }
}

/// It stops, its place held; with the plugin mended, what is left is delivered. Gives what it stopped with.
fn stops_and_goes_on(role: As, settings: &str) -> Value {
    let host = deployment(role, settings);
    let first = run(&host);
    assert_eq!(first["ending"], "stopped", "{first}");
    let fault = first["splits"][0]["fault"].clone();
    let message = fault["message"].as_str().expect("a message");
    assert!(message.contains("acme/poisoned ("), "{fault}");
    host.write("bad.toml", pipeline(role, "ids = \"-1\""));
    let second = run(&host);
    assert_eq!(second["ending"], "done", "{second}");
    for letter in hold(&host, role, None, vec![first, second]) {
        assert_eq!(letter["rejection"]["code"], "trapped", "{letter}");
    }
    fault
}

#[test]
fn a_plugin_that_traps_from_some_record_on_is_quarantined_and_loses_nothing() {
    for role in [As::Transform, As::Sink] {
        for from in [0, 900] {
            let fault = stops_and_goes_on(role, &format!("from = \"{from}\""));
            assert!(fault.to_string().contains("quarantin"), "{fault}");
        }
    }
}

#[test]
fn records_that_a_transform_traps_on_are_dead_letters() {
    are_letters(As::Transform, "how = \"panic\"", &POISON, "trapped");
}

#[test]
fn records_that_a_sink_traps_on_are_dead_letters() {
    are_letters(As::Sink, "how = \"panic\"", &POISON, "trapped");
}

/// Each try takes all of the call's time, so one record is enough.
#[test]
fn a_record_that_a_plugin_never_comes_back_from_is_a_dead_letter() {
    for role in [As::Transform, As::Sink] {
        are_letters(role, "how = \"loop\"", &[1_234], "timed-out");
    }
}

/// Nothing is wrong with the record: it is taken when it comes again.
#[test]
fn a_plugin_that_fails_once_refuses_nothing() {
    for role in [As::Transform, As::Sink] {
        for how in ["panic", "loop"] {
            let host = deployment(
                role,
                &format!("{}, how = \"{how}\", once = \"yes\"", ids(&[1_234])),
            );
            let report = run(&host);
            assert_eq!(report["ending"], "done", "{role:?} {how}: {report}");
            hold(&host, role, Some(&[]), vec![report]);
        }
    }
}

/// It fails at a record, and then on nothing but being opened, which no record makes it do.
#[test]
fn a_plugin_that_cannot_be_opened_any_more_blames_no_record() {
    for role in [As::Transform, As::Sink] {
        let host = deployment(
            role,
            &format!("{}, once = \"yes\", shut = \"yes\"", ids(&[1_995])),
        );
        let first = run(&host);
        assert_eq!(first["ending"], "stopped", "{role:?}: {first}");
        let fault = first["splits"][0]["fault"].to_string();
        assert!(
            fault.contains("it cannot be opened") && !fault.contains("quarantin"),
            "{fault}"
        );
        host.write("bad.toml", pipeline(role, "ids = \"-1\""));
        let second = run(&host);
        assert_eq!(second["ending"], "done", "{role:?}: {second}");
        hold(&host, role, Some(&[]), vec![first, second]);
    }
}

/// It is remembered, whoever starts the pipeline; a person may say otherwise.
#[test]
fn a_quarantined_plugin_is_not_run_again_until_somebody_says_so() {
    let host = deployment(As::Transform, "from = \"0\"");
    let quarantined = |answer: &sluice_e2e::Answer| {
        let said = format!("{}{}", answer.out, answer.err);
        assert!(
            answer.code == Some(1) && said.contains("quarantined"),
            "{said}"
        );
        said
    };
    quarantined(&host.sluice(&["run", "bad.toml"]));
    let refused = host.sluice(&["run", "bad.toml"]);
    assert!(
        quarantined(&refused).contains("sluice resume"),
        "{refused:?}"
    );
    assert!(refused.out.is_empty(), "it did not run: {refused:?}");
    drop(host.sluice(&["resume", "bad"]).done());
    let again = host.sluice(&["run", "bad.toml"]);
    quarantined(&again);
    assert!(!again.out.is_empty(), "it was run: {again:?}");
}
