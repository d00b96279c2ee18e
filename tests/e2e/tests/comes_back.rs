//! A destination that goes away in the middle of a unit and comes back: the run goes on, with another session.

use serde_json::Value;
use sluice_e2e::TestHost;
use sluice_e2e::mysql::MariadbKind;
use sluice_e2e::postgres::{Postgres, PostgresKind};
use sluice_e2e::service::{self, PATIENCE};
use sluice_e2e::sql::{Kind, PASSWORD, SECRET, Server};
use sluice_upstream::{Options, Upstream};
use std::process::Child;
use std::time::{Duration, Instant};

const PIPELINE: &str = "pipelines/rows.toml";

const TABLE: &str = "CREATE TABLE there.rows (id bigint PRIMARY KEY, note text);";

/// Ten rows on their way into a table and what else is said, tried for as long as a server needs to come back.
fn deployment<K: Kind>(server: &Server<K>, other: &str) -> TestHost {
    let host = service::deployment();
    host.secret(SECRET, PASSWORD);
    host.write("in/rows.ndjson", service::rows(1, 10));
    let files = service::copy("rows", "once", "in", "out");
    let (source, _) = files.split_once("[[sink]]").expect("a sink");
    let sink = server.stage("there", "");
    let retry = "[delivery]\nretry = { for = \"30s\", max_delay = \"500ms\" }\n";
    host.write(
        PIPELINE,
        format!("{source}[[sink]]\n{sink}\n{other}\n{retry}"),
    );
    host.grant_trusting(PIPELINE, server);
    host
}

/// Waits until the server says `1` to this.
fn until_one<K: Kind>(server: &Server<K>, run: &mut Child, sql: &str) {
    let (client, began) = (server.client(), Instant::now());
    while client.sql(sql).as_deref() != Ok("1") {
        let is_over = run.try_wait().expect("a child").is_some();
        assert!(!is_over && began.elapsed() < PATIENCE, "not so: {sql}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The run ends well, and every row is there.
fn ends_well<K: Kind>(host: &TestHost, server: &Server<K>, mut run: Child) {
    assert_eq!(run.wait().expect("a child").code(), Some(0));
    assert_eq!(host.dead_letters(PIPELINE), Vec::<Value>::new());
    assert_eq!(server.sql("SELECT COUNT(*) FROM there.rows"), "10");
}

/// Somebody else holds one of the rows, so that the unit is under way when the server goes down.
fn goes_on<K: Kind>(hold: &'static str, waiting: &str) {
    let mut server = Server::<K>::start(TABLE);
    let host = deployment(&server, "");
    let other = server.client();
    let holding = std::thread::spawn(move || other.sql(hold));
    let mut run = host.start(&["run", PIPELINE]);
    until_one(&server, &mut run, waiting);
    server.restart();
    let held = holding.join().expect("its session is over");
    held.expect_err("the server went down");
    ends_well(&host, &server, run);
}

#[test]
fn postgresql_is_met_again_by_the_same_run() {
    goes_on::<PostgresKind>(
        "BEGIN; INSERT INTO there.rows VALUES (5); SELECT pg_sleep(600)",
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'",
    );
}

/// The one who holds the row sleeps.
#[test]
fn mariadb_is_met_again_by_the_same_run() {
    goes_on::<MariadbKind>(
        "START TRANSACTION; INSERT INTO there.rows VALUES (5, ''); SELECT SLEEP(600)",
        "SELECT COUNT(*) FROM information_schema.processlist WHERE state = 'Update' AND info LIKE '%`rows`%'",
    );
}

/// Its session is ended while another sink takes its time: it is written once more, and the other is not asked again.
#[test]
fn a_staged_unit_whose_session_was_ended_is_written_again() {
    let server = Postgres::start(TABLE);
    let upstream = Upstream::start(Options::default()).expect("a server");
    upstream.hold_next(1);
    let push = service::push("rows", "once", &upstream.address());
    let (_, other) = push.split_once("[[sink]]").expect("a sink");
    let host = deployment(&server, &format!("[[sink]]{other}"));
    let mut run = host.start(&["run", PIPELINE]);
    let staged = "FROM pg_stat_activity WHERE state = 'idle in transaction'";
    until_one(&server, &mut run, &format!("SELECT count(*) {staged}"));
    server.sql(&format!("SELECT pg_terminate_backend(pid) {staged}"));
    upstream.release();
    ends_well(&host, &server, run);
    assert_eq!(upstream.collection("rows").len(), 10);
    assert_eq!(upstream.requests(), 1);
}
