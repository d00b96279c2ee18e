//! Checkpoints as a place to work: moved, begun again, read again beside the pipeline; and what a source repeats.

use serde_json::Value;
use sluice_e2e::service::{PATIENCE, push};
use sluice_e2e::{TestHost, numbered};
use sluice_upstream::{Options, Upstream};
use std::collections::BTreeMap;

const PIPELINE: &str = "p.toml";

fn pipeline(source: &str) -> String {
    format!(
        "[pipeline]\nname = \"places\"\n\
         [source]\nplugin = \"sluice/files@0.1\"\n{source}config = {{ dir = \"in\", format = \"ndjson\", stream = \"rows\" }}\n\
         [schema.rows]\nrequired = [\"id\"]\nfields = {{ id = \"int64\", name = \"text\" }}\n\
         [[sink]]\nplugin = \"sluice/files@0.1\"\nconfig = {{ dir = \"out\", format = \"ndjson\" }}\n"
    )
}

fn host(source: &str) -> TestHost {
    let host = TestHost::new();
    host.write("in/rows.ndjson", numbered(0..1_000, 10));
    host.write(PIPELINE, pipeline(source));
    host.grant(PIPELINE);
    assert_eq!(host.run(PIPELINE)["written"], 1_000);
    host
}

/// How often each id is at the destination.
fn times(host: &TestHost) -> BTreeMap<u64, usize> {
    let mut times = BTreeMap::new();
    for record in host.records("out") {
        *times
            .entry(record["id"].as_u64().expect("an id"))
            .or_default() += 1;
    }
    times
}

fn split(host: &TestHost) -> Value {
    let list = host
        .sluice(&["checkpoint", "list", PIPELINE, "--json"])
        .done()
        .json();
    list[0].clone()
}

/// A sink that keeps its own place does not win over a person.
#[test]
fn a_reset_delivers_everything_again() {
    let host = host("");
    let no = host.sluice(&["checkpoint", "reset", PIPELINE]);
    assert!(no.code == Some(2) && no.err.contains("--yes"), "{no:?}");
    drop(
        host.sluice(&["checkpoint", "reset", PIPELINE, "--yes"])
            .done(),
    );
    let again = host.run(PIPELINE);
    assert_eq!(again["written"], 1_000, "{again}");
    assert!(times(&host).values().all(|times| *times == 2));
    assert_eq!(host.run(PIPELINE)["read"], 0);
    // What was delivered before stays counted.
    assert_eq!(split(&host)["read"], 2_000);
}

#[test]
fn a_place_is_set() {
    let host = host("");
    let at = split(&host);
    let (id, place) = (
        at["split"].as_str().expect("a split"),
        at["place"].to_string(),
    );
    host.write("in/rows.ndjson", numbered(0..2_000, 10));
    assert_eq!(host.run(PIPELINE)["written"], 1_000);
    // Back to where it was after the first run.
    drop(
        host.sluice(&[
            "checkpoint",
            "set",
            PIPELINE,
            id,
            "--place",
            &place,
            "--yes",
        ])
        .done(),
    );
    assert_eq!(host.run(PIPELINE)["written"], 1_000);
    let times = times(&host);
    assert!((0..1_000).all(|id| times[&id] == 1) && (1_000..2_000).all(|id| times[&id] == 2));
    let wrong = host.sluice(&["checkpoint", "set", PIPELINE, id, "--place", "{", "--yes"]);
    assert!(
        wrong.code == Some(2) && wrong.err.contains("not JSON"),
        "{wrong:?}"
    );
    let log = host
        .sluice(&["audit", "log", "--action", "checkpoint.set"])
        .done()
        .out;
    assert!(log.contains("checkpoint.set"), "{log}");
}

/// As after a loss of the state: where a split is to begin, before any run has read it.
#[test]
fn a_split_that_nobody_has_read_is_given_a_place() {
    let host = host("");
    let place = split(&host)["place"].to_string();
    let set = |more: &[&str]| {
        let id = split(&host)["split"].as_str().expect("a split").to_owned();
        let mut arguments = vec!["checkpoint", "set", PIPELINE, &id];
        arguments.extend(["--place", &place, "--yes"]);
        arguments.extend(more);
        host.sluice(&arguments)
    };
    let there = set(&["--new"]);
    assert!(
        there.code == Some(2) && there.err.contains("has a checkpoint of split"),
        "{there:?}"
    );
    drop(set(&[]).done());
    // The file grows, and the state is lost.
    host.write("in/rows.ndjson", numbered(0..1_500, 10));
    let id = split(&host)["split"].as_str().expect("a split").to_owned();
    for lost in ["state", "audit"] {
        std::fs::remove_dir_all(host.path(&format!(".sluice/{lost}"))).expect("removed");
    }
    std::fs::remove_dir_all(host.path("out")).expect("removed");
    std::fs::create_dir(host.path(".sluice/state")).expect("a folder");
    let unknown = host.sluice(&[
        "checkpoint",
        "set",
        PIPELINE,
        &id,
        "--place",
        &place,
        "--yes",
    ]);
    assert!(
        unknown.code == Some(2) && unknown.err.contains("no checkpoint of split"),
        "{unknown:?}"
    );
    let given = [
        "checkpoint",
        "set",
        PIPELINE,
        &id,
        "--new",
        "--place",
        &place,
        "--yes",
    ];
    drop(host.sluice(&given).done());
    assert_eq!(host.run(PIPELINE)["written"], 500);
    assert!(times(&host).keys().copied().eq(1_000..1_500));
}

/// What joins while a run goes on is read by that run, beside the rest.
#[test]
fn splits_that_appear_are_read_by_the_run_under_way() {
    let server = Upstream::start(Options::default()).expect("a server");
    let host = TestHost::new();
    host.write("in/a.ndjson", numbered(0..100, 10));
    host.write(
        PIPELINE,
        format!(
            "[pipeline]\nname = \"places\"\n\
             [source]\nplugin = \"sluice/files@0.1\"\nsplits_every = \"1s\"\n\
             config = {{ dir = \"in\", format = \"ndjson\", stream = \"rows\" }}\n\
             [schema.rows]\nfields = {{ id = \"int64\", name = \"text\" }}\n\
             [[sink]]\nplugin = \"sluice/http@0.1\"\nconfig = {{ url = \"{}\", path = \"/v1/rows\" }}\n",
            server.address()
        ),
    );
    host.grant_local(PIPELINE);
    server.hold_next(1);
    let mut run = host.command(&["run", PIPELINE, "--json"]);
    let run = run.stdout(std::process::Stdio::piped()).spawn();
    let mut run = run.expect("the binary runs");
    let until = |what: &str, is_so: &dyn Fn() -> bool| {
        let began = std::time::Instant::now();
        while !is_so() {
            assert!(began.elapsed() < PATIENCE, "waited for: {what}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    };
    until("the first request", &|| server.requests() > 0);
    host.write("in/b.ndjson", numbered(100..150, 10));
    until("the new file, while the first request is held", &|| {
        server.collection("rows").len() == 50
    });
    assert!(run.try_wait().expect("a child").is_none());
    server.release();
    let output = run.wait_with_output().expect("it ends");
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    assert_eq!(report["written"], 150, "{report}");
    assert_eq!(report["ending"], "done");
    assert_eq!(report["splits"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_backfill_reads_again_beside_the_pipeline() {
    let host = host("");
    let id = split(&host)["split"].as_str().expect("a split").to_owned();
    let backfill = |more: &[&str]| {
        let mut arguments = vec!["checkpoint", "backfill", PIPELINE, &id, "--json"];
        arguments.extend(more);
        host.sluice(&arguments)
    };
    let job = backfill(&["--from-start"]).done().json();
    assert_eq!(
        (&job["job"]["done"], &job["job"]["totals"]["written"]),
        (&true.into(), &1_000.into())
    );
    assert!(times(&host).values().all(|times| *times == 2));
    // The pipeline is where it was; and the backfill is over.
    assert_eq!(host.run(PIPELINE)["read"], 0);
    assert_eq!(backfill(&[]).done().json()["job"]["totals"]["read"], 0);
    let stranger = host.sluice(&["checkpoint", "backfill", PIPELINE, "other", "--from-start"]);
    assert!(
        stranger.code == Some(1) && stranger.err.contains("no split `other`"),
        "{stranger:?}"
    );
}

/// The window is on disk: what one run has delivered, the next leaves out.
#[test]
fn what_a_source_repeats_is_left_out_and_counted() {
    let host = host("dedupe = { by = [\"id\"], for = \"1h\" }\n");
    // 500 that are known, 500 that are new, and each of them twice.
    host.write("in/again.ndjson", numbered(500..1_500, 3).repeat(2));
    let report = host.run(PIPELINE);
    assert_eq!(
        (&report["read"], &report["written"], &report["filtered"]),
        (&2_000.into(), &500.into(), &1_500.into())
    );
    assert!(times(&host).values().all(|times| *times == 1));
    assert_eq!(times(&host).len(), 1_500);
}

/// No more is remembered than the pipeline says: the oldest are forgotten first.
#[test]
fn a_window_forgets() {
    let host = host("dedupe = { for = \"1h\", records = 100 }\n");
    host.write("in/b.ndjson", numbered(5_000..5_100, 10));
    assert_eq!(host.run(PIPELINE)["written"], 100);
    host.write(
        "in/c.ndjson",
        numbered(0..10, 10) + &numbered(5_000..5_010, 10),
    );
    let report = host.run(PIPELINE);
    assert_eq!(
        (&report["written"], &report["filtered"]),
        (&10.into(), &10.into())
    );
}

const SNAPSHOT: &str = r#"[plugin]
name = "acme/snapshot"
version = "0.1.0"
interface = "sluice:plugin@0.1"
description = "A table, and the log of what changes in it."

[[http]]
host = "api.example"
methods = ["GET"]
paths = ["/v1/**"]
reason = "Imported, and not used here."

[[dir]]
path = "{config.dir}"
mode = "read"
as = "source"
reason = "Imported, and not used here."

[config]
schema = "config.schema.json"
"#;

fn snapshot(settings: &str) -> TestHost {
    let host = TestHost::new();
    drop(host.pack("hostile", SNAPSHOT, "snapshot.wasm").done());
    host.write("made/.keep", "");
    host.write(
        PIPELINE,
        format!(
            "[pipeline]\nname = \"snapshot\"\n[source]\nplugin = \"snapshot.wasm\"\n\
             config = {{ try = \"honest\", dir = \"made\", splits = \"snapshot\", {settings} }}\n\
             [schema.things]\nfields = {{ split = \"text\", from = \"text\" }}\n\
             [[sink]]\nplugin = \"sluice/files@0.1\"\nconfig = {{ dir = \"out\", format = \"ndjson\" }}\n"
        ),
    );
    host.grant(PIPELINE);
    host
}

/// Where each split was opened, in order.
fn opened(host: &TestHost) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let mut opened: Vec<(String, String)> = host
        .records("out")
        .iter()
        .map(|record| (text(&record["split"]), text(&record["from"])))
        .collect();
    opened.sort();
    opened
}

fn places(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let pairs = pairs.iter();
    pairs
        .map(|(split, from)| ((*split).to_owned(), (*from).to_owned()))
        .collect()
}

/// The log begins where it was before the table was read, and goes on from there ever after.
#[test]
fn a_snapshot_is_followed_by_what_changed_meanwhile() {
    let host = snapshot("start = \"5\", fails = \"table\"");
    let stopped = host.sluice(&["run", PIPELINE]);
    assert_eq!(stopped.code, Some(1), "{stopped:?}");
    // Not opened before the table is read; where it will be is kept.
    assert_eq!(opened(&host), []);
    host.edit(
        PIPELINE,
        "start = \"5\", fails = \"table\"",
        "start = \"7\"",
    );
    host.run(PIPELINE);
    assert_eq!(opened(&host), places(&[("log", "5"), ("table", "")]));
    host.run(PIPELINE);
    assert_eq!(
        opened(&host),
        places(&[("log", "5"), ("log", "9"), ("table", ""), ("table", "9")])
    );
}

/// The other would go on for ever, and nobody would hear of this one.
#[test]
fn one_split_that_stops_stops_the_run() {
    let host = snapshot("start = \"5\", order = \"free\", tails = \"log\", fails = \"table\"");
    let stopped = host.sluice(&["run", PIPELINE]);
    assert_eq!(stopped.code, Some(1), "{stopped:?}");
    assert!(
        stopped.out.contains("`table` is told to fail"),
        "{stopped:?}"
    );
    // It may have been told to stop before its first page.
    assert!(opened(&host).iter().all(|(split, _)| split == "log"));
}

/// A source that waits between its pages has more: a backfill reads on, and ends at a page without records.
#[test]
fn a_backfill_reads_to_where_nothing_more_is() {
    let server = Upstream::start(Options::default()).expect("a server");
    let host = TestHost::new();
    host.write("in/a.ndjson", numbered(0..30, 10));
    host.write("fill.toml", push("fill", "once", &server.address()));
    host.grant_local("fill.toml");
    host.run("fill.toml");
    host.write(
        PIPELINE,
        format!(
            "[pipeline]\nname = \"places\"\n\
             [source]\nplugin = \"sluice/rest@0.1\"\n[source.config]\nbase_url = \"{}\"\nrequests_per_second = 20\n\
             streams = [{{ name = \"rows\", path = \"/v1/rows\", records = \"/data\", pagination = {{ style = \"cursor\", \
             cursor_pointer = \"/next_cursor\", size_param = \"limit\", size = 10 }} }}]\n\
             [[sink]]\nplugin = \"sluice/files@0.1\"\nconfig = {{ dir = \"out\", format = \"ndjson\" }}\n",
            server.address()
        ),
    );
    host.grant_local(PIPELINE);
    assert_eq!(host.run(PIPELINE)["written"], 30);
    let id = split(&host)["split"].as_str().expect("a split").to_owned();
    let backfill = [
        "checkpoint",
        "backfill",
        PIPELINE,
        &id,
        "--from-start",
        "--json",
    ];
    let job = host.sluice(&backfill).done().json();
    assert_eq!(job["job"]["totals"]["written"], 30, "{job}");
    assert!(times(&host).values().all(|times| *times == 2));
}

/// What is read again was told to the source once, which may have forgotten what lies before.
#[test]
fn a_source_is_told_nothing_of_what_is_read_again() {
    let host = snapshot("start = \"5\"");
    let first = host.sluice(&["-v", "run", PIPELINE]).done();
    assert!(first.err.contains("log is told"), "{}", first.err);
    let again = host
        .sluice(&[
            "-v",
            "checkpoint",
            "backfill",
            PIPELINE,
            "log",
            "--place",
            "3",
        ])
        .done();
    assert!(!again.err.contains("is told"), "{}", again.err);
    assert_eq!(
        opened(&host),
        places(&[("log", "3"), ("log", "5"), ("table", "")])
    );
}

#[test]
fn a_split_that_is_not_there_is_not_moved() {
    let host = host("");
    for command in [
        &[
            "checkpoint",
            "set",
            PIPELINE,
            "row.ndjson",
            "--place",
            "{}",
            "--yes",
        ][..],
        &[
            "checkpoint",
            "reset",
            PIPELINE,
            "--split",
            "row.ndjson",
            "--yes",
        ],
    ] {
        let refused = host.sluice(command);
        assert!(
            refused.code == Some(2) && refused.err.contains("no checkpoint of split"),
            "{refused:?}"
        );
    }
}
