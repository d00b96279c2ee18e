//! A destination that goes away in the middle of a unit and comes back: the run goes on, with another session.

use serde_json::Value;
use sluice_e2e::TestHost;
use sluice_e2e::mysql::{self, Mariadb};
use sluice_e2e::postgres::{self, Postgres, USER};
use sluice_e2e::service::{self, PATIENCE};
use std::time::{Duration, Instant};

const PIPELINE: &str = "pipelines/rows.toml";

/// Ten rows on their way into a sink, which is tried for as long as a server needs to come back.
fn deployment(sink: &str, secret: (&str, &str), port: u16, authority: &str) -> TestHost {
    let host = service::deployment();
    host.secret(secret.0, secret.1);
    host.write("in/rows.ndjson", service::rows(1, 10));
    let files = service::copy("rows", "once", "in", "out");
    let (source, _) = files.split_once("[[sink]]").expect("a sink");
    let retry = "[delivery]\nretry = { for = \"30s\", max_delay = \"500ms\" }\n";
    host.write(PIPELINE, format!("{source}[[sink]]\n{sink}\n{retry}"));
    host.grant_at(PIPELINE, port, authority);
    host
}

/// Somebody else holds one of the rows, so that the unit is under way when the server goes down.
fn goes_on(
    host: &TestHost,
    hold: impl FnOnce() + Send + 'static,
    waits: impl Fn() -> bool,
    restart: impl FnOnce(),
) {
    let holding = std::thread::spawn(hold);
    let mut run = host.start(&["run", PIPELINE]);
    let began = Instant::now();
    while !waits() {
        let is_over = run.try_wait().expect("a child").is_some();
        assert!(!is_over && began.elapsed() < PATIENCE, "nobody waits");
        std::thread::sleep(Duration::from_millis(20));
    }
    restart();
    holding.join().expect("its session is over");
    assert_eq!(run.wait().expect("a child").code(), Some(0));
    assert_eq!(host.dead_letters(PIPELINE), Vec::<Value>::new());
}

#[test]
fn postgresql_is_met_again_by_the_same_run() {
    let mut server = Postgres::start("CREATE TABLE rows (id bigint PRIMARY KEY, note text)");
    let sink = format!(
        "plugin = \"sluice/postgres@0.1\"\nsecrets = {{ password = \"warehouse\" }}\n\
         config = {{ host = \"localhost\", port = {}, user = \"{USER}\", database = \"postgres\" }}\n",
        server.port
    );
    let secret = ("warehouse", postgres::PASSWORD);
    let host = deployment(&sink, secret, server.port, &server.authority);
    let (client, other) = (server.client(), server.client());
    let hold = move || {
        let held = other.sql("BEGIN; INSERT INTO rows VALUES (5); SELECT pg_sleep(600)");
        held.expect_err("the server went down");
    };
    let waits = || {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
        client.sql(waiting).as_deref() == Ok("1")
    };
    goes_on(&host, hold, waits, || server.restart());
    assert_eq!(client.sql("SELECT count(*) FROM rows").as_deref(), Ok("10"));
}

#[test]
fn mariadb_is_met_again_by_the_same_run() {
    let mut server = Mariadb::start("CREATE TABLE there.rows (id bigint PRIMARY KEY, note text);");
    let sink = server.stage("there", "");
    let secret = ("shop", mysql::PASSWORD);
    let host = deployment(&sink, secret, server.port, &server.authority);
    let (client, other) = (server.client(), server.client());
    let hold = move || {
        let held = "START TRANSACTION; INSERT INTO there.rows VALUES (5, ''); SELECT SLEEP(600)";
        other.sql(held).expect_err("the server went down");
    };
    let waits = || {
        // The one who holds the row sleeps.
        let waiting = "SELECT COUNT(*) FROM information_schema.processlist WHERE state = 'Update' AND info LIKE '%`rows`%'";
        client.sql(waiting).as_deref() == Ok("1")
    };
    goes_on(&host, hold, waits, || server.restart());
    let count = client.sql("SELECT COUNT(*) FROM there.rows");
    assert_eq!(count.as_deref(), Ok("10"));
}
