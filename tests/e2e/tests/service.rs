//! What an operator does with a pipeline day by day: stops it, starts it twice, gives it several sinks and files, looks
//! at its dead letters and grants, begins again.

use serde_json::{Value, json};
use sluice_e2e::{TestHost, balanced, lines, parts};
use sluice_upstream::{Options, Upstream};
use std::fmt::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Far more than the host reads ahead, so that a run that is stopped has something left.
const MANY: usize = 60_000;

fn rows(count: usize) -> String {
    let mut text = String::new();
    for id in 1..=count {
        writeln!(text, "{{\"id\": {id}, \"note\": \"{}\"}}", "x".repeat(100)).expect("memory");
    }
    text
}

/// A pipeline that sends rows to a server.
fn push(server: &Upstream) -> String {
    format!(
        "[pipeline]\nname = \"push\"\n\n\
         [source]\nplugin = \"sluice/files@0.1\"\nconfig = {{ dir = \"in\", format = \"ndjson\", stream = \"rows\" }}\n\n\
         [[sink]]\nplugin = \"sluice/http@0.1\"\n\
         config = {{ url = \"{}\", path = \"/v1/rows\", mode = \"batch\", batch_size = 200, results = \"\" }}\n",
        server.address()
    )
}

/// A deployment that sends many rows to a server, whose first answer does not come before it is told to.
fn held() -> (TestHost, Upstream, Child) {
    let server = Upstream::start(Options::default()).expect("a server");
    let host = TestHost::new();
    host.write("in/rows.ndjson", rows(MANY));
    host.write("push.toml", push(&server));
    host.grant_local("push.toml");
    server.hold_next(1);
    let child = host
        .command(&["run", "push.toml", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    while server.requests() == 0 {
        std::thread::sleep(Duration::from_millis(2));
    }
    (host, server, child)
}

#[test]
fn told_to_stop_it_delivers_what_it_has_read() {
    let (host, server, child) = held();
    let told = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status();
    assert!(told.expect("kill runs").success());
    server.release();
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    balanced(&report);
    assert_eq!(report["ending"], "drained", "{report}");
    assert_eq!(report["in_flight"], 0);
    let first = report["written"].as_u64().expect("a count");
    assert!(first > 0 && first < MANY as u64, "{report}");
    assert_eq!(server.collection("rows").len() as u64, first);

    let rest = host.run("push.toml");
    assert_eq!(rest["ending"], "done");
    assert_eq!(rest["written"], MANY as u64 - first);
    assert_eq!(server.collection("rows").len(), MANY);
    assert_eq!(server.counts().repeated, 0);
}

#[test]
fn two_runs_of_one_deployment_do_not_meet() {
    let (host, server, child) = held();
    let second = host.sluice(&["run", "push.toml"]);
    assert_eq!(second.code, Some(3), "{second:#?}");
    // Whose it is: its pid and its start differ each time.
    let told = host.seen(&second);
    let (told, since) = told.split_once(" since ").expect("since when");
    assert!(since.starts_with("20"), "{since}");
    let pid = format!("pid {}", child.id());
    insta::assert_snapshot!(told.replace(&pid, "pid …"));
    server.release();
    let first = child.wait_with_output().expect("it ends");
    assert_eq!(first.status.code(), Some(0), "the first is not disturbed");
    assert_eq!(server.collection("rows").len(), MANY);
}

#[test]
fn several_sinks_and_several_files() {
    let host = TestHost::new();
    for file in 0..5 {
        let mut text = String::new();
        for row in 0..100 {
            writeln!(text, "{{\"id\": {}}}", file * 100 + row).expect("memory");
        }
        host.write(&format!("in/{file}/rows.ndjson"), text);
    }
    host.write(
        "copy.toml",
        "[pipeline]\nname = \"copy\"\n\n\
         [source]\nplugin = \"sluice/files@0.1\"\nconfig = { dir = \"in\", format = \"ndjson\", stream = \"rows\" }\n\n\
         [[sink]]\nplugin = \"sluice/files@0.1\"\nconfig = { dir = \"out\", format = \"ndjson\", prefix = \"one-\" }\n\n\
         [[sink]]\nplugin = \"sluice/files@0.1\"\nconfig = { dir = \"out\", format = \"csv\", prefix = \"two-\" }\n",
    );
    host.grant("copy.toml");
    let report = host.run("copy.toml");
    assert_eq!(
        (report["read"].as_u64(), report["written"].as_u64()),
        (Some(500), Some(500)),
        "{report}"
    );
    assert_eq!(report["splits"].as_array().map(Vec::len), Some(5));
    let (mut json, mut csv) = (Vec::new(), Vec::new());
    for part in parts(&host.path("out")) {
        let text = std::fs::read_to_string(&part).expect("a part");
        let name = part
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        if name.starts_with("one-") {
            json.extend(lines(&text).iter().filter_map(|row| row["id"].as_u64()));
        } else {
            assert!(name.starts_with("two-"), "{name}");
            let mut rows = text.lines();
            assert_eq!(rows.next(), Some("id"));
            csv.extend(rows.map(|row| row.parse::<u64>().expect("a number")));
        }
    }
    json.sort_unstable();
    csv.sort_unstable();
    let all: Vec<u64> = (0..500).collect();
    assert_eq!(json, all);
    assert_eq!(csv, all);
    assert_eq!(host.run("copy.toml")["read"], 0);
    host.write("in/5/rows.ndjson", "{\"id\": 500}\n");
    assert_eq!(host.run("copy.toml")["written"], 1);
}

/// A deployment with a good record and three bad ones, each bad in its own way.
fn letters() -> TestHost {
    let host = TestHost::new();
    host.write(
        "in/rows.ndjson",
        "{\"id\": 1, \"name\": \"Ada\"}\n{\"id\": \"two\"}\n{\"id\": 3, \"name\n{\"name\": \"none\"}\n{\"id\": 5, \"name\": \"Bo\"}\n",
    );
    host.write(
        "rows.toml",
        "[pipeline]\nname = \"rows\"\n\n\
         [source]\nplugin = \"sluice/files@0.1\"\nconfig = { dir = \"in\", format = \"ndjson\", stream = \"rows\" }\n\n\
         [schema.rows]\nkey = [\"id\"]\nfields = { id = \"int64\", name = \"text\" }\n\n\
         [[transform]]\nplugin = \"sluice/map@0.1\"\n\
         config = { steps = [ { reject = { when = { column = \"name\", is = \"Bo\" }, code = \"not-bo\", message = \"Bo is not wanted\" } } ] }\n\n\
         [[sink]]\nplugin = \"sluice/files@0.1\"\nconfig = { dir = \"out\", format = \"ndjson\" }\n",
    );
    host.grant("rows.toml");
    host
}

/// What commands say, each under its own line.
fn session(host: &TestHost, commands: &[&[&str]]) -> String {
    let mut page = String::new();
    for command in commands {
        let answer = host.sluice(command);
        let words = command.join(" ");
        let said = host.shown(&format!("{}{}", answer.out, answer.err));
        writeln!(
            page,
            "$ sluice {words}   → {}\n{said}",
            answer.code.expect("an exit code")
        )
        .expect("memory");
    }
    page
}

/// Takes days and times of day out.
fn without_times(text: &str) -> String {
    let digits = |word: &str| {
        let shape: String = word
            .chars()
            .map(|c| if c.is_ascii_digit() { '0' } else { c })
            .collect();
        shape.contains("0000-00-00") || shape.contains("00:00")
    };
    text.split_inclusive([' ', '\n', '"'])
        .map(|word| {
            if digits(word) {
                word.replace(|c: char| c.is_ascii_digit(), "0")
            } else {
                word.to_owned()
            }
        })
        .collect()
}

#[test]
fn dead_letters_are_listed_shown_and_exported() {
    let host = letters();
    assert_eq!(host.run("rows.toml")["dead_lettered"], 4);
    insta::assert_snapshot!(without_times(&session(
        &host,
        &[
            &["dlq", "list", "rows.toml"],
            &["dlq", "list", "rows.toml", "--code", "not-bo"],
            &["dlq", "list", "rows.toml", "--limit", "1", "--after", "1"],
            &["dlq", "show", "rows.toml", "1"],
            &["dlq", "show", "rows.toml", "4"],
            &["dlq", "show", "rows.toml", "99"],
            &["dlq", "export", "rows.toml", "--out", "letters.ndjson"],
        ],
    )));
    let exported = lines(&host.read("letters.ndjson"));
    assert_eq!(exported, host.dead_letters("rows.toml"));
    assert_eq!(exported.len(), 4);
    let file = std::fs::metadata(host.path("letters.ndjson")).expect("the export");
    let mode = std::os::unix::fs::PermissionsExt::mode(&file.permissions());
    assert_eq!(mode & 0o777, 0o600, "records are in it");
    let again = host.sluice(&["dlq", "export", "rows.toml", "--out", "letters.ndjson"]);
    assert_eq!(again.code, Some(2), "{again:#?}");
    assert!(again.err.contains("not overwritten"), "{again:#?}");
    let told = host
        .sluice(&["audit", "export", "--action", "dlq.exported"])
        .done();
    let to_file = told.out.matches("\"to\":\"letters.ndjson\"").count();
    assert_eq!(to_file, 1, "{told:#?}");
    let to_output = told.out.matches("\"to\":\"-\"").count();
    assert_eq!(to_output, 1, "{told:#?}");
}

#[test]
fn grants_are_listed_and_shown() {
    let host = letters();
    insta::assert_snapshot!(session(
        &host,
        &[
            &["grant", "list"],
            &["grant", "show", "sluice/files"],
            &["grant", "show", "sluice/rest"],
            &["grant", "new", "rows.toml"],
        ],
    ));
}

#[test]
fn a_pipeline_is_made_to_begin_again() {
    let host = letters();
    assert_eq!(host.run("rows.toml")["written"], 1);
    assert_eq!(host.run("rows.toml")["read"], 0);
    let refused = host.sluice(&["checkpoint", "reset", "rows.toml"]);
    assert_eq!(refused.code, Some(2), "{refused:#?}");
    assert_eq!(
        host.run("rows.toml")["read"],
        0,
        "nothing is forgotten without a yes"
    );
    let page = session(
        &host,
        &[
            &["checkpoint", "list", "rows.toml"],
            &["checkpoint", "show", "rows.toml", "rows.ndjson"],
            &["checkpoint", "reset", "rows.toml"],
            &["checkpoint", "reset", "rows.toml", "--yes"],
            &["checkpoint", "list", "rows.toml"],
        ],
    );
    insta::assert_snapshot!(without_times(&page));
    // This sink is transactional: where it is stands beside its records, and a person's word counts all the same.
    let again = host.run("rows.toml");
    assert_eq!(
        (again["read"].as_u64(), again["written"].as_u64()),
        (Some(5), Some(1))
    );
    let ada = json!({ "id": 1, "name": "Ada" });
    assert_eq!(host.records("out"), [ada.clone(), ada]);
}

#[test]
fn records_that_are_sent_again_keep_their_keys() {
    let server = Upstream::start(Options::default()).expect("a server");
    let host = TestHost::new();
    host.write("in/rows.ndjson", rows(100));
    host.write("push.toml", push(&server));
    host.grant_local("push.toml");
    assert_eq!(host.run("push.toml")["written"], 100);
    drop(
        host.sluice(&["checkpoint", "reset", "push.toml", "--yes"])
            .done(),
    );
    assert_eq!(host.run("push.toml")["written"], 100);
    assert_eq!(server.counts().repeated, 100);
    assert_eq!(server.collection("rows").len(), 100);
}

#[test]
fn nothing_is_asked_of_a_deployment_that_never_ran() {
    let host = letters();
    insta::assert_snapshot!(session(
        &host,
        &[
            &["dlq", "list", "rows.toml"],
            &["checkpoint", "list", "rows.toml"],
            &["checkpoint", "reset", "rows.toml", "--yes"],
        ],
    ));
}
