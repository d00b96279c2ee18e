//! A destination that goes away in the middle of a unit and comes back: the run goes on, with another session.

use serde_json::Value;
use sluice_e2e::mysql::MariadbKind;
use sluice_e2e::postgres::PostgresKind;
use sluice_e2e::service::{self, PATIENCE};
use sluice_e2e::sql::{Kind, PASSWORD, SECRET, Server};
use std::time::{Duration, Instant};

const PIPELINE: &str = "pipelines/rows.toml";

/// Ten rows on their way into a sink, which is tried for as long as a server needs to come back. Somebody else holds one of
/// them, so that the unit is under way when the server goes down.
fn goes_on<K: Kind>(hold: &'static str, waiting: &str) {
    let mut server =
        Server::<K>::start("CREATE TABLE there.rows (id bigint PRIMARY KEY, note text);");
    let host = service::deployment();
    host.secret(SECRET, PASSWORD);
    host.write("in/rows.ndjson", service::rows(1, 10));
    let files = service::copy("rows", "once", "in", "out");
    let (source, _) = files.split_once("[[sink]]").expect("a sink");
    let sink = server.stage("there", "");
    let retry = "[delivery]\nretry = { for = \"30s\", max_delay = \"500ms\" }\n";
    host.write(PIPELINE, format!("{source}[[sink]]\n{sink}\n{retry}"));
    host.grant_trusting(PIPELINE, &server);
    let (client, other) = (server.client(), server.client());
    let holding = std::thread::spawn(move || other.sql(hold));
    let mut run = host.start(&["run", PIPELINE]);
    let began = Instant::now();
    while client.sql(waiting).as_deref() != Ok("1") {
        let is_over = run.try_wait().expect("a child").is_some();
        assert!(!is_over && began.elapsed() < PATIENCE, "nobody waits");
        std::thread::sleep(Duration::from_millis(20));
    }
    server.restart();
    let held = holding.join().expect("its session is over");
    held.expect_err("the server went down");
    assert_eq!(run.wait().expect("a child").code(), Some(0));
    assert_eq!(host.dead_letters(PIPELINE), Vec::<Value>::new());
    assert_eq!(server.sql("SELECT COUNT(*) FROM there.rows"), "10");
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
