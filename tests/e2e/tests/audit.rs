//! The audit trail of the real binary: what people did, what plugins did, that it holds, and that what cannot be
//! audited does not happen.

use serde_json::Value;
use sluice_e2e::{TestHost, lines};
use sluice_upstream::{Options, Upstream};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Rows through a transform that sees one column, into files.
fn masked() -> TestHost {
    let host = TestHost::new();
    host.write(
        "in/rows.ndjson",
        "{\"id\": 1, \"name\": \"Ada\", \"email\": \"ada@x.test\"}\n",
    );
    host.write(
        "rows.toml",
        "[pipeline]\nname = \"rows\"\n\n\
         [source]\nplugin = \"sluice/files@0.1\"\nconfig = { dir = \"in\", format = \"ndjson\", stream = \"rows\" }\n\n\
         [[transform]]\nplugin = \"sluice/mask@0.1\"\nconfig = { redact = [\"email\"] }\n\n\
         [[sink]]\nplugin = \"sluice/files@0.1\"\nconfig = { dir = \"out\", format = \"ndjson\" }\n",
    );
    host
}

fn log(host: &TestHost, more: &[&str]) -> Vec<Value> {
    let arguments = [&["audit", "export"], more].concat();
    lines(&host.sluice(&arguments).done().out)
}

fn actions(entries: &[Value]) -> Vec<&str> {
    entries
        .iter()
        .map(|entry| entry["action"].as_str().expect("an action"))
        .collect()
}

fn of<'a>(entries: &'a [Value], action: &str) -> Vec<&'a Value> {
    entries
        .iter()
        .filter(|entry| entry["action"] == action)
        .collect()
}

fn verified(host: &TestHost) -> Value {
    host.sluice(&["audit", "verify", "--json"]).done().json()
}

#[test]
fn a_run_is_in_the_trail_from_its_grants_to_its_end() {
    let host = masked();
    host.grant("rows.toml");
    assert_eq!(host.run("rows.toml")["written"], 1);
    drop(
        host.sluice(&["checkpoint", "reset", "rows.toml", "--yes"])
            .done(),
    );
    let entries = log(&host, &[]);
    assert_eq!(
        actions(&entries),
        [
            "audit.begun",
            "grant.written",
            "grant.written",
            "host.started",
            "run.started",
            "plugin.loaded",
            "plugin.loaded",
            "plugin.loaded",
            "used",
            "used",
            "used",
            "used",
            "run.ended",
            "host.stopped",
            "checkpoint.reset",
        ]
    );
    let who = entries[1]["actor"].as_str().expect("an actor");
    assert!(who.ends_with(')') && who != "host", "{who}");
    assert_eq!(entries[3]["actor"], "host");
    let loaded = of(&entries, "plugin.loaded");
    assert_eq!(loaded[1]["fields"]["plugin"], "sluice/mask 0.1.0");
    assert_eq!(loaded[1]["fields"]["grant"], "grants/rows.sluice-mask.toml");
    assert_eq!(
        loaded[1]["fields"]["grant-digest"],
        of(&entries, "grant.written")[1]["fields"]["grant-digest"]
    );
    let used: Vec<(&str, &str)> = of(&entries, "used")
        .iter()
        .map(|entry| {
            let field = |key: &str| entry["fields"][key].as_str();
            (
                field("capability").expect("one"),
                field("name").or(field("names")).expect("one"),
            )
        })
        .collect();
    let sinks = "[[\"email\",1],[\"id\",1],[\"name\",1]]";
    for due in [
        ("dir", "read in"),
        ("data.writes", "[[\"email\",1]]"),
        ("dir", "write out"),
        ("data.reads", sinks),
    ] {
        assert!(used.contains(&due), "{due:?} in {used:?}");
    }
    let ended = of(&entries, "run.ended")[0];
    assert_eq!(
        (&ended["fields"]["ending"], &ended["fields"]["written"]),
        (&"done".into(), &"1".into())
    );
    assert!(ended["commit"].as_u64() > Some(0), "{ended}");
    assert_eq!(verified(&host)["outcome"], "holds");
}

#[test]
fn entries_are_filtered_and_shown() {
    let host = masked();
    host.grant("rows.toml");
    let _ = host.run("rows.toml");
    assert_eq!(log(&host, &["--action", "grant"]).len(), 2);
    assert_eq!(
        log(
            &host,
            &["--plugin", "sluice/mask", "--action", "plugin.loaded"]
        )
        .len(),
        1
    );
    assert_eq!(
        log(&host, &["--actor", "host", "--action", "host.started"]).len(),
        1
    );
    assert_eq!(log(&host, &["--pipeline", "other"]).len(), 0);
    assert_eq!(log(&host, &["--since", "1d"]), log(&host, &[]));
    assert_eq!(log(&host, &["--since", "2999-01-01"]).len(), 0);
    assert_eq!(
        log(&host, &["rows.sluice-mask.toml"]).len(),
        2,
        "a text anywhere"
    );
    let shown = host.sluice(&["audit", "log", "--limit", "1"]).done().out;
    assert!(
        shown.contains("host.stopped") && shown.contains("there are more"),
        "{shown}"
    );
}

#[test]
fn what_was_tampered_with_is_named_and_stops_the_host() {
    let host = masked();
    host.grant("rows.toml");
    let _ = host.run("rows.toml");
    let kept = host.sluice(&["audit", "checkpoint"]).done().out;
    host.write("kept", kept);
    host.edit(
        ".sluice/audit/00000001.log",
        "\"ending\":\"done\"",
        "\"ending\":\"gone\"",
    );
    let answer = host.sluice(&["audit", "verify", "--checkpoint", "kept"]);
    assert_eq!(answer.code, Some(1), "{answer:#?}");
    assert!(
        answer.out.contains("the trail does not hold: entry 13"),
        "{answer:#?}"
    );
    let answer = host.sluice(&["run", "rows.toml"]);
    assert_eq!(answer.code, Some(3), "{answer:#?}");
    assert!(
        answer.err.contains("entry 13") && answer.err.contains("hint: "),
        "{answer:#?}"
    );
    host.edit(
        ".sluice/audit/00000001.log",
        "\"ending\":\"gone\"",
        "\"ending\":\"done\"",
    );
    assert_eq!(verified(&host)["outcome"], "holds");
}

#[test]
fn a_store_that_was_rolled_back_is_found_until_somebody_says_so() {
    let host = masked();
    host.grant("rows.toml");
    let _ = host.run("rows.toml");
    copy(&host.path(".sluice/state"), &host.path("backup"));
    host.write(
        "in/more.ndjson",
        "{\"id\": 2, \"name\": \"Bo\", \"email\": \"bo@x.test\"}\n",
    );
    assert_eq!(host.run("rows.toml")["written"], 1);
    fs::remove_dir_all(host.path(".sluice/state")).expect("the store");
    copy(&host.path("backup"), &host.path(".sluice/state"));
    let answer = host.sluice(&["audit", "verify"]);
    assert_eq!(answer.code, Some(1), "{answer:#?}");
    assert!(answer.out.contains("rolled back"), "{answer:#?}");
    let answer = host.sluice(&["run", "rows.toml"]);
    assert_eq!(answer.code, Some(3), "{answer:#?}");
    assert!(answer.err.contains("rolled back"), "{answer:#?}");
    drop(
        host.sluice(&["audit", "restored", "--reason", "from the backup"])
            .done(),
    );
    let _ = host.run("rows.toml");
    assert_eq!(verified(&host)["outcome"], "holds");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry").path();
        let to = to.join(entry.file_name().expect("a name"));
        if entry.is_dir() {
            copy(&entry, &to);
        } else {
            fs::copy(&entry, &to).expect("a copy");
        }
    }
}

/// Where the trail should be stands a file: no grant is written, and no plugin is entered.
#[test]
fn nothing_runs_that_cannot_be_audited() {
    let host = masked();
    host.write(".sluice/audit", "in the way");
    let answer = host.sluice(&["grant", "new", "rows.toml"]);
    assert_eq!(answer.code, Some(3), "{answer:#?}");
    assert!(!host.path("grants/rows.sluice-files.toml").exists());
    fs::remove_file(host.path(".sluice/audit")).expect("what is in the way");
    host.grant("rows.toml");
    fs::rename(host.path(".sluice/audit"), host.path("away")).expect("the trail");
    host.write(".sluice/audit", "in the way");
    for command in [["run", "rows.toml"], ["check", "rows.toml"]] {
        let answer = host.sluice(&command);
        assert_eq!(answer.code, Some(3), "{answer:#?}");
    }
    assert!(!host.path("out").exists(), "no plugin was entered");
    assert!(host.path("grants/rows.sluice-mask.toml").exists());
    let answer = host.sluice(&["grant", "revoke", "sluice/mask"]);
    assert_eq!(answer.code, Some(3), "{answer:#?}");
    assert!(host.path("grants/rows.sluice-mask.toml").exists());
}

#[test]
fn a_grant_that_was_revoked_or_edited_is_told() {
    let host = masked();
    host.grant("rows.toml");
    let _ = host.run("rows.toml");
    host.edit(
        "grants/rows.sluice-mask.toml",
        "writes = [\"email\"]",
        "writes = [\"email\", \"name\"]",
    );
    let _ = host.run("rows.toml");
    let changed = log(&host, &["--action", "grant.changed"]);
    assert_eq!(changed.len(), 1);
    assert_eq!(changed[0]["fields"]["file"], "grants/rows.sluice-mask.toml");
    let several = host.sluice(&["grant", "revoke", "sluice/none"]);
    assert_eq!(several.code, Some(2), "{several:#?}");
    drop(
        host.sluice(&[
            "grant",
            "revoke",
            "grants/rows.sluice-mask.toml",
            "--reason",
            "not needed",
        ])
        .done(),
    );
    assert!(!host.path("grants/rows.sluice-mask.toml").exists());
    assert_eq!(host.sluice(&["run", "rows.toml"]).code, Some(2));
    let revoked = log(&host, &["--action", "grant.revoked"]);
    assert_eq!(revoked[0]["fields"]["reason"], "not needed");
}

#[test]
fn the_copy_holds_when_the_trail_is_gone() {
    let host = masked();
    host.edit(
        "sluice.toml",
        "[plugins]",
        "[audit]\ncopy = \"second\"\n\n[plugins]",
    );
    host.grant("rows.toml");
    let _ = host.run("rows.toml");
    assert_eq!(verified(&host)["copy"], "second");
    for name in ["00000001.log", "checkpoints", "key.pub"] {
        assert_eq!(
            host.read(&format!(".sluice/audit/{name}")),
            host.read(&format!("second/{name}")),
            "{name}"
        );
    }
    // A trail that begins anew beside a copy is no trail.
    fs::remove_dir_all(host.path(".sluice/audit")).expect("the trail");
    let answer = host.sluice(&["run", "rows.toml"]);
    assert_eq!(answer.code, Some(3), "{answer:#?}");
    assert!(answer.err.contains("audit"), "{answer:#?}");
}

fn push(server: &Upstream) -> String {
    format!(
        "[pipeline]\nname = \"push\"\n\n\
         [source]\nplugin = \"sluice/files@0.1\"\nconfig = {{ dir = \"in\", format = \"ndjson\", stream = \"rows\" }}\n\n\
         [[sink]]\nplugin = \"sluice/http@0.1\"\n\
         config = {{ url = \"{}\", path = \"/v1/rows\", mode = \"batch\", batch_size = 200, results = \"\" }}\n",
        server.address()
    )
}

/// While a run is under way in one process, another adds to the trail; the run is killed, and the next says so.
#[test]
fn processes_share_the_trail_and_a_killed_host_is_told() {
    let server = Upstream::start(Options::default()).expect("a server");
    let host = TestHost::new();
    host.write("in/rows.ndjson", "{\"id\": 1}\n");
    host.write("push.toml", push(&server));
    host.write("other.toml", push(&server).replace("\"push\"", "\"other\""));
    host.grant_local("push.toml");
    server.hold_next(1);
    let mut child = host.start(&["run", "push.toml"]);
    while server.requests() == 0 {
        std::thread::sleep(Duration::from_millis(2));
    }
    host.grant_local("other.toml");
    drop(host.sluice(&["audit", "key", "--rotate"]).done());
    let during = verified(&host);
    assert_eq!(
        (&during["outcome"], &during["store_in_use"]),
        (&"holds".into(), &true.into()),
        "{during}"
    );
    child.kill().expect("it runs");
    let _ = child.wait().expect("it ends");
    server.release();
    let _ = host.run("push.toml");
    let entries = log(&host, &[]);
    let lost = of(&entries, "host.lost");
    assert_eq!(lost.len(), 1);
    assert_eq!(
        lost[0]["fields"]["entry"],
        of(&entries, "host.started")[0]["seq"].to_string()
    );
    assert_eq!(verified(&host)["outcome"], "holds");
}

#[test]
fn declared_is_shown_beside_used() {
    let server = Upstream::start(Options::default()).expect("a server");
    let host = TestHost::new();
    host.write("in/rows.ndjson", "{\"id\": 1}\n");
    host.write("push.toml", push(&server));
    host.grant_local("push.toml");
    let items = |host: &TestHost| -> Vec<(String, String, u64, String)> {
        let usage = host.sluice(&["grant", "usage", "--json"]).done().json();
        let grants = usage.as_array().expect("grants").clone();
        let items = grants
            .iter()
            .flat_map(|grant| grant["items"].as_array().expect("items").clone());
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        items
            .map(|item| {
                let times = item["times"].as_u64().expect("a count");
                (
                    text(&item["capability"]),
                    text(&item["name"]),
                    times,
                    text(&item["remark"]),
                )
            })
            .collect()
    };
    let before = items(&host);
    assert!(
        before.len() >= 3 && before.iter().all(|item| item.3 == "never"),
        "{before:?}"
    );
    let _ = host.run("push.toml");
    let after = items(&host);
    for (capability, name) in [("dir", "read in"), ("data.reads", "*")] {
        let found = after
            .iter()
            .find(|item| item.0 == capability && item.1 == name);
        let found = found.unwrap_or_else(|| panic!("{capability} {name} in {after:?}"));
        assert!(found.2 >= 1 && found.3 == "used", "{found:?}");
    }
    let shown = host.sluice(&["grant", "usage", "sluice/files"]).done().out;
    assert!(shown.contains("read in"), "{shown}");
}

/// A broad grant, a recorded run, a tight grant: what the run did still works, what it did not is refused.
#[test]
fn a_grant_is_learnt_from_a_run() {
    let server = Upstream::start(Options::default()).expect("a server");
    let host = TestHost::new();
    host.write("in/rows.ndjson", "{\"id\": 1}\n");
    host.write("push.toml", push(&server));
    host.grant_local("push.toml");
    let broad = host.read("grants/push.sluice-http.toml");
    assert!(broad.contains("/**"), "{broad}");
    drop(
        host.sluice(&["run", "push.toml", "--record", "trial.json"])
            .done(),
    );
    let record = host.read("trial.json");
    assert!(
        record.contains("/v1/rows") && record.contains("read in"),
        "{record}"
    );
    let shown = host
        .sluice(&["grant", "new", "push.toml", "--learn", "trial.json"])
        .done()
        .out;
    assert!(
        shown.contains("\"/v1/rows\"") && shown.contains("not written"),
        "{shown}"
    );
    assert_eq!(
        host.read("grants/push.sluice-http.toml"),
        broad,
        "only shown"
    );
    drop(
        host.sluice(&[
            "grant",
            "new",
            "push.toml",
            "--learn",
            "trial.json",
            "--replace",
        ])
        .done(),
    );
    let tight = host.read("grants/push.sluice-http.toml");
    assert!(
        !tight.contains("/**") && tight.contains("paths = [\"/v1/rows\"]"),
        "{tight}"
    );
    assert_eq!(
        log(&host, &["--action", "grant.written", "learnt"]).len(),
        0
    );
    let written = log(&host, &["--action", "grant.written"]);
    assert!(
        written
            .iter()
            .any(|entry| entry["fields"]["learnt"] == "true"),
        "{written:?}"
    );
    drop(
        host.sluice(&["checkpoint", "reset", "push.toml", "--yes"])
            .done(),
    );
    assert_eq!(
        host.run("push.toml")["written"],
        1,
        "the run did no more than that"
    );
    // Another path was not in the trial.
    host.edit("push.toml", "/v1/rows", "/v1/others");
    drop(
        host.sluice(&["checkpoint", "reset", "push.toml", "--yes"])
            .done(),
    );
    let answer = host.sluice(&["run", "push.toml"]);
    assert_eq!(answer.code, Some(1), "{answer:#?}");
    let refused = log(&host, &["--action", "refused"]);
    assert!(
        refused[0]["fields"]["asked"]
            .as_str()
            .expect("text")
            .contains("/v1/others"),
        "{refused:?}"
    );
}
