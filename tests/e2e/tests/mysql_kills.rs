//! Tables of MariaDB that are copied while rows change, while the host is killed and while the server goes down: source and
//! destination end equal, row by row. `SLUICE_ROWS` says how many rows; `cargo x storm` gives a million.

#![allow(
    clippy::print_stdout,
    reason = "the figures, for whoever asked for them"
)]

use serde_json::Value;
use sluice_e2e::TestHost;
use sluice_e2e::mysql::{Client, Mariadb};
use sluice_e2e::service::{self, Service};
use sluice_e2e::sql::{PASSWORD, SECRET};
use sluice_e2e::writer::Writer;
use std::time::Duration;

const PIPELINE: &str = "pipelines/copy.toml";
/// Units that the rows are cut into.
const UNITS: u64 = 120;
/// The same where nothing goes on beside, and all would be over before it is killed.
const UNITS_ALONE: u64 = 300;
const KILLS: u64 = 8;
const RESTARTS: u64 = 2;

fn rows() -> u64 {
    let said = std::env::var("SLUICE_ROWS").ok();
    let said = said.map_or(0, |said| said.parse().expect("`SLUICE_ROWS` is a number"));
    said.max(60_000)
}

/// Fifty rows at a time have the same time.
fn ledger(rows: u64) -> String {
    format!(
        "CREATE TABLE here.ledger (id bigint PRIMARY KEY, account int NOT NULL, amount decimal(14,2), note varchar(60), tags json, \
           changed timestamp(6) NOT NULL DEFAULT NOW(6) ON UPDATE NOW(6), KEY (changed, id));\n\
         INSERT INTO here.ledger SELECT seq, seq % 1000, seq / 7.0, CONCAT('entry ', seq), CONCAT('[\"a\",', seq, ']'), \
           '2026-01-01' + INTERVAL seq DIV 50 SECOND FROM here.seq_1_to_{rows};\n"
    )
}

/// With a sink that takes few rows at a time, so that there is a middle to be killed in.
fn deployment(server: &Mariadb, units: u64, source: &str, sink: &str) -> TestHost {
    let host = service::deployment();
    let manifest = sluice_e2e::manifest("mysql");
    let is_unit = |line: &&str| line.starts_with("unit = ");
    let unit = manifest.lines().find(is_unit).expect("it says its unit");
    let few = format!(
        "unit = {{ bytes = \"1MiB\", rows = {}, linger = \"1s\" }}",
        rows() / units
    );
    let packed = host.pack("mysql", &manifest.replace(unit, &few), "few.wasm");
    drop(packed.done());
    host.secret(SECRET, PASSWORD);
    let pipeline = format!(
        "[pipeline]\nname = \"copy\"\nschedule = \"continuous\"\n\n[source]\n{}\n[[sink]]\n{}\n\
         [delivery]\nretry = {{ for = \"2m\", max_delay = \"500ms\" }}\n",
        server.stage("here", source),
        server.stage("there", sink)
    );
    host.write(PIPELINE, pipeline.replace("sluice/mysql@0.1", "few.wasm"));
    host.grant_trusting(PIPELINE, server);
    host
}

/// Kills the host again and again while it delivers, and the server now and then. How often there was still something to
/// deliver.
fn through_kills(host: &TestHost, server: &mut Mariadb, is_done: impl Fn() -> bool) -> u64 {
    let client = server.client();
    let (mut before, mut amidst) = (0, 0);
    for kill in 0..KILLS {
        let mut service = Service::spawn(host).patient(rows());
        if kill % (KILLS / RESTARTS) == 1 {
            service.until("a unit", |_| client.units() > before || is_done());
            server.restart();
            before = client.units();
        }
        service.until("a unit", |_| client.units() > before || is_done());
        // Anywhere in the next one.
        std::thread::sleep(Duration::from_millis(67 * kill % 400));
        before = client.units();
        amidst += u64::from(!is_done());
        service.kill();
    }
    amidst
}

/// Lets the host end what it does.
fn ends(host: &TestHost, what: &str, is_done: impl Fn() -> bool) {
    let mut service = Service::start(host).patient(rows());
    service.until(what, |_| is_done());
    service.stops();
    assert_eq!(host.dead_letters(PIPELINE), Vec::<Value>::new());
}

/// Added, not replaced: what came twice would stand there twice.
#[test]
fn a_table_arrives_once_whatever_is_killed() {
    let rows = rows();
    let mut server = Mariadb::start(&ledger(rows));
    let source = ", tables = { ledger = { splits = 2 } }";
    let sink = ", mode = \"append\"";
    server.sql(
        "CREATE TABLE there.ledger LIKE here.ledger; ALTER TABLE there.ledger DROP PRIMARY KEY",
    );
    let host = deployment(&server, UNITS_ALONE, source, sink);
    let client = server.client();
    let all = Ok(format!("{rows}|{rows}"));
    let is_done = || client.sql("SELECT COUNT(*), COUNT(DISTINCT id) FROM there.ledger") == all;
    let amidst = through_kills(&host, &mut server, is_done);
    ends(&host, "every row", is_done);
    assert_eq!(server.difference("here.ledger", "there.ledger"), "");
    assert!(amidst > 0, "killed {amidst} times while it delivered");
    println!(
        "{rows} rows once each after {amidst} kills while they were delivered and {RESTARTS} restarts of the server"
    );
}

#[test]
fn rows_that_change_arrive_as_they_are_whatever_is_killed() {
    let rows = rows();
    let mut server = Mariadb::start(&ledger(rows));
    let source = ", tables = { ledger = { cursor = \"changed\" } }";
    let host = deployment(&server, UNITS, source, ", create = true");
    let client = server.client();
    let writer = changing(client.clone(), rows);
    let amidst = through_kills(&host, &mut server, || false);
    let changes = writer.stop();
    let sum = |database: &str| {
        client.sql(&format!(
            "SELECT COUNT(*), SUM(CRC32(CONCAT_WS('|', id, account, amount, note, changed))) FROM {database}.ledger"
        ))
    };
    ends(&host, "source and destination are equal", || {
        let (here, there) = (sum("here"), sum("there"));
        here.is_ok() && here == there
    });
    assert_eq!(server.difference("here.ledger", "there.ledger"), "");
    assert_eq!(amidst, KILLS);
    assert!(changes > KILLS, "changed {changes} times");
    let count = server.sql("SELECT COUNT(*) FROM there.ledger");
    println!(
        "{rows} rows and {changes} transactions beside: {count} rows equal after {KILLS} kills while it delivered and \
         {RESTARTS} restarts of the server"
    );
}

/// Somebody who changes and adds rows, many at the same time.
fn changing(client: Client, rows: u64) -> Writer {
    Writer::start(move |number| {
        let number = u64::from(number);
        let ids = (1..=60).map(|one| (number * 7_919 + one * one * 104_729) % rows + 1);
        let ids: Vec<String> = ids.map(|id| id.to_string()).collect();
        let sql = format!(
            "START TRANSACTION; \
             UPDATE here.ledger SET amount = amount + 1, note = 'changed {number}' WHERE id IN ({}); \
             INSERT INTO here.ledger (id, account, amount, note) \
             SELECT {rows} + {number} * 10 + seq, seq, seq, NULL FROM here.seq_1_to_8; COMMIT;",
            ids.join(", ")
        );
        // The host and the server have work to do, too.
        std::thread::sleep(Duration::from_millis(20));
        client.sql(&sql).is_ok()
    })
}
