//! Dead letters as a place to work: redriven after a fix, edited, given up, hidden, expired; and what stops a pipeline
//! rather than have them flood or be dropped.

use serde_json::Value;
use sluice_e2e::service::{PATIENCE, push};
use sluice_e2e::{TestHost, numbered, parts};
use sluice_upstream::{Options, Upstream};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

const PIPELINE: &str = "p.toml";
/// Refuses bad notes.
const REJECT: &str = "{ reject = { when = { column = \"note\", is = \"bad\" }, code = \"bad-note\", message = \"the note is bad\" } },";

/// Records of which every tenth has a bad note.
fn noted(ids: std::ops::Range<u64>) -> String {
    ids.fold(String::new(), |mut text, id| {
        let note = if id % 10 == 7 { "bad" } else { "good" };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{{\"id\": {id}, \"note\": \"{note}\"}}");
        text
    })
}

/// A pipeline that refuses bad notes, with more settings behind.
fn pipeline(steps: &str, more: &str) -> String {
    format!(
        "[pipeline]\nname = \"notes\"\n\
         [source]\nplugin = \"sluice/files@0.1\"\nconfig = {{ dir = \"in\", format = \"ndjson\", stream = \"rows\" }}\n\
         [schema.rows]\nrequired = [\"id\"]\nfields = {{ id = \"int64\", note = \"text\" }}\n\
         [[transform]]\nplugin = \"sluice/map@0.1\"\n[transform.config]\nsteps = [\n\
         {{ set = {{ column = \"source\", value = \"shop\" }} }},\n{steps}\n]\n\
         [[sink]]\nplugin = \"sluice/files@0.1\"\nconfig = {{ dir = \"out\", format = \"ndjson\" }}\n{more}"
    )
}

fn host(records: &str, more: &str) -> TestHost {
    let host = TestHost::new();
    host.write("in/rows.ndjson", records);
    host.write(PIPELINE, pipeline(REJECT, more));
    host.grant(PIPELINE);
    host
}

/// How many letters of each standing there are.
fn standings(host: &TestHost) -> BTreeMap<String, usize> {
    let mut standings = BTreeMap::new();
    for letter in host.dead_letters(PIPELINE) {
        let kind = letter["standing"]["kind"].as_str().unwrap_or("waiting");
        *standings.entry(kind.to_owned()).or_default() += 1;
    }
    standings
}

fn of(pairs: &[(&str, usize)]) -> BTreeMap<String, usize> {
    let pairs = pairs.iter();
    pairs
        .map(|(kind, count)| ((*kind).to_owned(), *count))
        .collect()
}

/// Ids at the destination; each must be there once.
fn ids(host: &TestHost) -> BTreeSet<u64> {
    let records = host.records("out");
    let ids: BTreeSet<u64> = records
        .iter()
        .map(|record| record["id"].as_u64().expect("an id"))
        .collect();
    assert_eq!(ids.len(), records.len(), "a record came twice");
    ids
}

fn redrive(host: &TestHost, more: &[&str]) -> Value {
    let mut arguments = vec!["dlq", "redrive", PIPELINE, "--json"];
    arguments.extend(more);
    host.sluice(&arguments).done().json()["job"].take()
}

#[test]
fn ten_thousand_are_sent_again_after_a_fix_and_each_has_its_standing() {
    const RECORDS: u64 = 100_000;
    let host = host(&noted(0..RECORDS), "");
    let report = host.run(PIPELINE);
    assert_eq!(report["dead_lettered"], 10_000);
    // From here on in units of a few hundred.
    let small = sluice_e2e::manifest("files").replace("sluice/files", "acme/small");
    let small = small.replace("rows = 500000", "rows = 300");
    drop(host.pack("files", &small, "small.wasm").done());
    host.edit(
        PIPELINE,
        "[[sink]]\nplugin = \"sluice/files@0.1\"",
        "[[sink]]\nplugin = \"small.wasm\"",
    );
    host.grant(PIPELINE);
    assert_eq!(ids(&host).len(), 90_000);
    // Nothing is mended: each is refused again, and waits still.
    let again = redrive(&host, &["--number", "1-100"]);
    assert_eq!(
        (&again["totals"]["read"], &again["totals"]["dead_lettered"]),
        (&100.into(), &100.into())
    );
    let shown = host.sluice(&["dlq", "show", PIPELINE, "1"]).done().out;
    assert!(
        shown.contains("waiting, sent again once, and refused"),
        "{shown}"
    );
    // Mended; and killed in the middle, whenever it has delivered something.
    host.edit(PIPELINE, REJECT, "");
    for kill in 0..4 {
        let before = parts(&host.path("out")).len();
        let began = Instant::now();
        let mut child = host.start(&["dlq", "redrive", PIPELINE]);
        while parts(&host.path("out")).len() == before {
            assert!(
                child.try_wait().expect("a child").is_none(),
                "it delivers nothing"
            );
            assert!(began.elapsed() < PATIENCE);
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(kill * 7));
        child.kill().expect("a signal");
        child.wait().expect("an end");
        assert!(standings(&host)["waiting"] > 0, "it was over");
    }
    assert!(
        standings(&host).contains_key("delivered"),
        "all kills came too early"
    );
    let rest = redrive(&host, &[]);
    assert_eq!(rest["done"], true, "{rest}");
    assert_eq!(standings(&host), of(&[("delivered", 10_000)]));
    assert_eq!(ids(&host), (0..RECORDS).collect());
    // There is nothing left to send, and the source is where it was.
    assert_eq!(redrive(&host, &[])["totals"]["read"], 0);
    assert_eq!(host.run(PIPELINE)["read"], 0);
    let list = host
        .sluice(&["dlq", "list", PIPELINE, "--limit", "1"])
        .done()
        .out;
    assert!(list.contains("0 waiting, 10,000 delivered since"), "{list}");
}

/// What a stage was given is sent from there: the transforms before it are not gone through again.
#[test]
fn one_may_enter_where_it_was_refused() {
    let host = host(&noted(0..20), "");
    // A second transform refuses; the first has made another record of it by then.
    let two = pipeline("", "").replace(
        "[[sink]]",
        &format!("[[transform]]\nplugin = \"sluice/map@0.1\"\n[transform.config]\nsteps = [\n{REJECT}\n]\n[[sink]]"),
    );
    host.write(PIPELINE, &two);
    host.grant(PIPELINE);
    assert_eq!(host.run(PIPELINE)["dead_lettered"], 2);
    let shown = host.sluice(&["dlq", "show", PIPELINE, "1"]).done().out;
    assert!(
        shown.contains("as it was refused") && shown.contains("shop"),
        "{shown}"
    );
    // The first transform says something else by now.
    host.write(
        PIPELINE,
        two.replace("\"shop\"", "\"web\"")
            .replace(REJECT, "{ trim = [\"note\"] },"),
    );
    assert_eq!(
        redrive(&host, &["--number", "1", "--enter", "stage"])["totals"]["written"],
        1
    );
    assert_eq!(redrive(&host, &["--number", "2"])["totals"]["written"], 1);
    let records = host.records("out");
    let source = |id: u64| {
        let found = records.iter().find(|record| record["id"] == id);
        found.expect("it was sent")["source"].clone()
    };
    assert_eq!((source(7), source(17)), ("shop".into(), "web".into()));
}

#[test]
fn an_edited_record_is_sent_in_the_place_of_the_one_that_entered() {
    let host = host(
        "{\"id\": \"seven\", \"note\": \"good\"}\n{\"id\": 8, \"note\": \"bad\"}\n{\"id\": 9, \"note\": \"bad\"}\n",
        "",
    );
    assert_eq!(host.run(PIPELINE)["dead_lettered"], 3);
    let edit = |number: &str, record: &str| {
        host.sluice(&["dlq", "edit", PIPELINE, number, "--record", record])
    };
    drop(edit("1", "{\"id\": 7, \"note\": \"mended\"}").done());
    let wrong = edit("2", "[1, 2]");
    assert!(
        wrong.code != Some(0) && wrong.err.contains("JSON object"),
        "{wrong:?}"
    );
    let missing = edit("99", "{}");
    assert!(
        missing.code == Some(2) && missing.err.contains("no dead letter 99"),
        "{missing:?}"
    );
    let sent = redrive(&host, &["--number", "1"]);
    assert_eq!(sent["totals"]["written"], 1, "{sent}");
    assert_eq!(host.records("out")[0]["note"], "mended");
    let shown = host.sluice(&["dlq", "show", PIPELINE, "1"]).done().out;
    assert!(
        shown.contains("delivered") && shown.contains("\"seven\"") && shown.contains("mended"),
        "{shown}"
    );
    // Given up: it is never sent, its record is gone, and that it was there is kept.
    let no = host.sluice(&[
        "dlq", "discard", PIPELINE, "--number", "2", "--reason", "a test",
    ]);
    assert!(no.code == Some(2) && no.err.contains("--yes"), "{no:?}");
    drop(
        host.sluice(&[
            "dlq", "discard", PIPELINE, "--number", "2", "--reason", "a test", "--yes",
        ])
        .done(),
    );
    let shown = host.sluice(&["dlq", "show", PIPELINE, "2"]).done().out;
    assert!(
        shown.contains("discarded") && shown.contains("a test") && !shown.contains("\"bad\""),
        "{shown}"
    );
    host.edit(PIPELINE, REJECT, "");
    assert_eq!(redrive(&host, &[])["totals"]["read"], 1);
    assert_eq!(standings(&host), of(&[("delivered", 2), ("discarded", 1)]));
    let log = host.sluice(&["audit", "log", "--action", "dlq"]).done().out;
    for action in ["dlq.edited", "dlq.redriven", "dlq.discarded"] {
        assert!(log.contains(action), "{log}");
    }
}

/// With its header and what stands between its fields, which its letter keeps.
#[test]
fn a_row_of_csv_that_was_never_decoded_is_sent_again() {
    let host = TestHost::new();
    host.write(
        "in/rows.csv",
        "\"the id\";note\n1;one\nten;two\n3;\"three; and\"\n",
    );
    let pipeline = |kind: &str| {
        format!(
            "[pipeline]\nname = \"notes\"\n\
             [source]\nplugin = \"sluice/files@0.1\"\n\
             config = {{ dir = \"in\", format = \"csv\", delimiter = \";\", stream = \"rows\" }}\n\
             [schema.rows]\nfields = {{ \"the id\" = \"{kind}\", note = \"text\" }}\n\
             [[sink]]\nplugin = \"sluice/files@0.1\"\nconfig = {{ dir = \"out\", format = \"ndjson\" }}\n"
        )
    };
    host.write(PIPELINE, pipeline("int64"));
    host.grant(PIPELINE);
    assert_eq!(host.run(PIPELINE)["dead_lettered"], 1);
    // The file is gone meanwhile: its letter is all there is.
    std::fs::remove_file(host.path("in/rows.csv")).expect("removed");
    host.write(PIPELINE, pipeline("text"));
    let job = redrive(&host, &[]);
    assert_eq!(
        (&job["done"], &job["totals"]["written"]),
        (&true.into(), &1.into()),
        "{job}"
    );
    assert_eq!(standings(&host), of(&[("delivered", 1)]));
    let records = host.records("out");
    assert!(
        records.contains(&serde_json::json!({ "the id": "ten", "note": "two" })),
        "{records:?}"
    );
}

/// A letter keeps so much of a record and no more: what is left of a row may read as a shorter one.
#[test]
fn a_row_of_csv_that_was_cut_is_never_sent() {
    let host = TestHost::new();
    let long = "x".repeat(300_000);
    host.write(
        "in/rows.csv",
        format!("id;note\n1;one\n2;{long};too much\n"),
    );
    host.write(
        PIPELINE,
        "[pipeline]\nname = \"notes\"\n\
         [source]\nplugin = \"sluice/files@0.1\"\n\
         config = { dir = \"in\", format = \"csv\", delimiter = \";\", stream = \"rows\" }\n\
         [schema.rows]\nfields = { id = \"int64\", note = \"text\" }\n\
         [[sink]]\nplugin = \"sluice/files@0.1\"\nconfig = { dir = \"out\", format = \"ndjson\" }\n",
    );
    host.grant(PIPELINE);
    assert_eq!(host.run(PIPELINE)["dead_lettered"], 1);
    let job = redrive(&host, &[]);
    assert_eq!(job["totals"]["dead_lettered"], 1, "{job}");
    assert_eq!(standings(&host), of(&[("waiting", 1)]));
    assert_eq!(host.records("out").len(), 1);
}

/// Its streams' schemas are kept.
#[test]
fn a_redrive_needs_no_source() {
    let server = Upstream::start(Options::default()).expect("a server");
    let host = TestHost::new();
    host.write(
        "in/notes.ndjson",
        "{\"id\": 1, \"note\": \"good\"}\n{\"id\": 2, \"note\": \"bad\"}\n",
    );
    host.write(
        "fill.toml",
        push("fill", "once", &server.address()).replace("/v1/rows", "/v1/notes"),
    );
    host.grant_local("fill.toml");
    assert_eq!(host.run("fill.toml")["written"], 2);
    let address = server.address();
    let pipeline = |steps: &str| {
        format!(
            "[pipeline]\nname = \"notes\"\n\
             [source]\nplugin = \"sluice/rest@0.1\"\n[source.config]\nbase_url = \"{address}\"\n\
             streams = [{{ name = \"notes\", path = \"/v1/notes\", records = \"/data\" }}]\n\
             [[transform]]\nplugin = \"sluice/map@0.1\"\n[transform.config]\nsteps = [\n{steps}\n]\n\
             [[sink]]\nplugin = \"sluice/files@0.1\"\nconfig = {{ dir = \"out\", format = \"ndjson\" }}\n\
             [delivery]\nretry = {{ for = \"1s\" }}\n"
        )
    };
    host.write(PIPELINE, pipeline(REJECT));
    host.grant_local(PIPELINE);
    assert_eq!(host.run(PIPELINE)["dead_lettered"], 1);
    drop(server);
    host.write(PIPELINE, pipeline("{ upper = [\"note\"] }"));
    let away = host.sluice(&["run", PIPELINE]);
    assert_eq!(away.code, Some(1), "{away:?}");
    let job = redrive(&host, &[]);
    assert_eq!(
        (&job["done"], &job["totals"]["written"]),
        (&true.into(), &1.into()),
        "{job}"
    );
    assert!(
        host.records("out")
            .iter()
            .any(|record| record["note"] == "BAD")
    );
}

#[test]
fn letters_are_found_by_what_they_are() {
    let host = host(&noted(0..40), "");
    host.run(PIPELINE);
    let found = |filter: &[&str]| {
        let mut arguments = vec!["dlq", "list", PIPELINE, "--json"];
        arguments.extend(filter);
        let letters = host.sluice(&arguments).done().json();
        letters.as_array().expect("a list").len()
    };
    for (filter, count) in [
        (&[][..], 4),
        (&["--code", "bad-note"], 4),
        (&["--code", "other"], 0),
        (&["--plugin", "sluice/map"], 4),
        (&["--plugin", "sluice/files"], 0),
        (&["--stream", "rows"], 4),
        (&["--split", "other"], 0),
        (&["--number", "2-3"], 2),
        (&["--text", "BAD"], 4),
        (&["--text", "\"id\":17"], 1),
        (&["--since", "1h"], 4),
        (&["--until", "2020-01-01"], 0),
        (&["--standing", "delivered"], 0),
        (&["--standing", "waiting"], 4),
    ] {
        assert_eq!(found(filter), count, "{filter:?}");
    }
    let wrong = host.sluice(&["dlq", "list", PIPELINE, "--standing", "lost"]);
    assert!(
        wrong.code == Some(2) && wrong.err.contains("discarded"),
        "{wrong:?}"
    );
}

/// A class of the policy hides its columns from whoever looks; who asks for them is written down.
#[test]
fn columns_of_a_class_are_hidden() {
    let host = host(&noted(0..10), "");
    host.run(PIPELINE);
    host.write(
        "policy.toml",
        "[[class]]\nname = \"pii\"\ncolumns = [\"note\"]\nhosts = []\n",
    );
    let shown = host.sluice(&["dlq", "show", PIPELINE, "1"]).done().out;
    assert!(
        shown.contains("(hidden)") && !shown.contains("\"bad\""),
        "{shown}"
    );
    let list = host.sluice(&["dlq", "list", PIPELINE, "--json"]).done().out;
    assert!(!list.contains("\\\"bad\\\""), "{list}");
    // Nor is it told by how many letters a text is in.
    let text = "\"bad\"";
    let guess = format!("dlq discard {PIPELINE} --reason guess --text {text} --yes --json");
    let guessed = host.sluice(&guess.split(' ').collect::<Vec<_>>()).done();
    assert_eq!(guessed.json()["discarded"], 0);
    assert_eq!(redrive(&host, &["--text", text])["totals"]["read"], 0);
    let shown = host
        .sluice(&["dlq", "show", PIPELINE, "1", "--reveal"])
        .done()
        .out;
    assert!(shown.contains("\"bad\""), "{shown}");
    let log = host
        .sluice(&["audit", "log", "--action", "dlq.revealed"])
        .done()
        .out;
    assert!(log.contains("dlq.revealed"), "{log}");
}

#[test]
fn a_pipeline_that_refuses_too_much_stops() {
    let all_bad = numbered(0..5_000, 2).replace("\"name\": \"xx\"", "\"note\": \"bad\"");
    let host = host(
        &all_bad,
        "[delivery]\nstop_when = { dead_letters = \"50% of 1000\" }\n",
    );
    let stopped = host.sluice(&["run", PIPELINE, "--json"]);
    assert_eq!(stopped.code, Some(1), "{stopped:?}");
    let report = stopped.json();
    let fault = report["splits"][0]["fault"].to_string();
    assert!(
        fault.contains("too-many-rejected") && fault.contains("stop_when"),
        "{fault}"
    );
    // What was read is accounted for, and no more than a unit or two of it.
    let dead = report["dead_lettered"].as_u64().expect("a count");
    assert!((1_000..=5_000).contains(&dead), "{dead}");
    assert_eq!(report["read"], report["dead_lettered"]);
}

#[test]
fn a_full_dlq_stops_and_drops_nothing() {
    let limit =
        "[dlq]\nlimit = \"2KiB\"\n[delivery]\nstop_when = { dead_letters = \"100% of 1\" }\n";
    let host = host(&noted(0..100), limit);
    let stopped = host.sluice(&["run", PIPELINE, "--json"]);
    assert_eq!(stopped.code, Some(1), "{stopped:?}");
    let fault = stopped.json()["splits"][0]["fault"].to_string();
    assert!(
        fault.contains("dlq-full") && fault.contains("`[dlq] limit`"),
        "{fault}"
    );
    assert_eq!(
        (host.records("out").len(), host.dead_letters(PIPELINE).len()),
        (0, 0)
    );
    host.edit(PIPELINE, "2KiB", "1MiB");
    assert_eq!(host.run(PIPELINE)["dead_lettered"], 10);
    assert_eq!(ids(&host).len(), 90);
    // Full at the start: not a record is read.
    host.edit(PIPELINE, "1MiB", "2KiB");
    host.write("in/more.ndjson", noted(100..110));
    let full = host.sluice(&["run", PIPELINE, "--json"]);
    assert!(
        full.code == Some(1) && full.err.contains("dead letters"),
        "{full:?}"
    );
    assert_eq!(ids(&host).len(), 90);
    // Settled ones make room.
    host.edit(PIPELINE, REJECT, "");
    assert_eq!(redrive(&host, &[])["totals"]["written"], 10);
    assert_eq!(host.run(PIPELINE)["written"], 10);
    assert_eq!(ids(&host), (0..110).collect());
}

#[test]
fn letters_whose_time_is_over_go() {
    let host = host(&noted(0..30), "[dlq]\nkeep = \"1ms\"\n");
    assert_eq!(host.run(PIPELINE)["dead_lettered"], 3);
    host.write("in/more.ndjson", noted(30..40));
    host.run(PIPELINE);
    let log = host
        .sluice(&["audit", "log", "--action", "dlq.expired"])
        .done()
        .out;
    assert!(log.contains("dlq.expired"), "{log}");
    let list = host.sluice(&["dlq", "list", PIPELINE]).done().out;
    assert!(list.contains("expired"), "{list}");
}
