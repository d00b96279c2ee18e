//! What changes in a database while it is copied, while the host is killed and while the server goes down: source and
//! destination end equal, row by row. `SLUICE_ROWS` says how many rows; `cargo x storm` gives a million.

use serde_json::Value;
use sluice_e2e::TestHost;
use sluice_e2e::postgres::{Client, Postgres};
use sluice_e2e::service::{self, Service};
use sluice_e2e::sql::{PASSWORD, SECRET};
use sluice_e2e::writer::Writer;
use std::time::Duration;

const PIPELINE: &str = "pipelines/copy.toml";
const KILLS: u64 = 10;
const RESTARTS: u64 = 3;

fn rows() -> u64 {
    let said = std::env::var("SLUICE_ROWS").ok();
    said.map_or(20_000, |said| {
        said.parse().expect("`SLUICE_ROWS` is a number")
    })
}

/// Rows of the tests that only copy.
fn copied() -> u64 {
    rows().max(60_000)
}

fn ledger(rows: u64) -> String {
    format!(
        "CREATE TABLE here.ledger (id bigint PRIMARY KEY, account int NOT NULL, amount numeric(14,2), note text, at timestamptz, tags text[]);\n\
         INSERT INTO here.ledger SELECT n, n % 1000, n / 7.0, 'entry ' || n, timestamptz '2026-01-01+00' + n * interval '1 s', ARRAY['a', n::text] \
         FROM generate_series(1, {rows}) AS n;\n\
         CREATE PUBLICATION everything FOR ALL TABLES WITH (publish = 'insert, update, delete');\n"
    )
}

/// Somebody who changes, adds and deletes rows.
fn changing(client: Client, rows: u64) -> Writer {
    Writer::start(move |number| {
        let sql = format!(
            "SELECT setseed({seed}); BEGIN; \
             UPDATE here.ledger SET amount = amount + 1, note = 'changed {number}' \
             WHERE id IN (SELECT 1 + floor(random() * {rows})::bigint FROM generate_series(1, 60)); \
             DELETE FROM here.ledger WHERE id IN (SELECT 1 + floor(random() * {rows})::bigint FROM generate_series(1, 6)); \
             INSERT INTO here.ledger SELECT {rows} + {number} * 10 + n, n, n, NULL, now(), NULL FROM generate_series(1, 8) AS n; \
             UPDATE here.ledger SET id = -id WHERE id = (SELECT 1 + floor(random() * {rows})::bigint); COMMIT",
            seed = 1.0 / f64::from(number % 997 + 1)
        );
        client.sql(&sql).is_ok()
    })
}

const CHANGES: &str = ", changes = { publication = \"everything\", slot = \"sluice_copy\" }, tables = { ledger = { splits = 2 } }";

fn deployment(server: &Postgres, source: &str, sink: &str) -> TestHost {
    let host = service::deployment();
    host.secret(SECRET, PASSWORD);
    host.write(
        PIPELINE,
        format!(
            "[pipeline]\nname = \"copy\"\nschedule = \"continuous\"\n\n[source]\n{source}\n[[sink]]\n{sink}\n\
             [delivery]\nretry = {{ for = \"2m\", max_delay = \"500ms\" }}\n"
        ),
    );
    host.grant_trusting(PIPELINE, server);
    host
}

/// Where the host is in the log; none before it is there.
fn place(host: &TestHost) -> Option<u64> {
    let shown = host.sluice(&["checkpoint", "show", PIPELINE, "log/sluice_copy", "--json"]);
    (shown.code == Some(0)).then_some(())?;
    let lsn = find(&shown.json(), "lsn")?;
    let (high, low) = lsn.split_once('/')?;
    let part = |digits| u64::from_str_radix(digits, 16).ok();
    Some(part(high)? << 32 | part(low)?)
}

/// The text of the first field of this name, however deep; a place is a JSON text of the plugin's own.
fn find(value: &Value, name: &str) -> Option<String> {
    match value {
        Value::Object(fields) => fields.iter().find_map(|(key, value)| match value {
            Value::String(text) if key == name => Some(text.clone()),
            value => find(value, name),
        }),
        Value::Array(items) => items.iter().find_map(|item| find(item, name)),
        Value::String(text) => find(
            serde_json::from_str(text)
                .ok()
                .filter(Value::is_object)
                .as_ref()?,
            name,
        ),
        _ => None,
    }
}

/// The slot never moves beyond what the host has stored. Asked in this order: the host only ever gets on.
fn judged(server: &Client, host: &TestHost) -> bool {
    let slot = server.sql("SELECT pg_wal_lsn_diff(confirmed_flush_lsn, '0/0') FROM pg_replication_slots WHERE slot_name = 'sluice_copy'");
    let Some(slot) = slot.ok().and_then(|slot| slot.parse::<u64>().ok()) else {
        return false;
    };
    let Some(place) = place(host) else {
        return false;
    };
    assert!(slot <= place, "the slot is at {slot}, the host at {place}");
    true
}

#[test]
fn source_and_destination_are_equal_whatever_is_killed() {
    let rows = rows();
    let mut server = Postgres::start_logical(&ledger(rows));
    let host = deployment(
        &server,
        &server.stage("here", CHANGES),
        &server.stage("there", ", create = true"),
    );
    let client = server.client();
    let writer = changing(client.clone(), rows);
    let (mut judgements, mut before) = (0, 0);
    for kill in 0..KILLS {
        let mut service = Service::spawn(&host).patient(copied());
        if kill % (KILLS / RESTARTS) == 1 {
            service.until("a unit", |_| client.units() > before);
            server.restart();
            before = client.units();
        }
        service.until("a unit", |_| client.units() > before);
        // Anywhere in the next one.
        std::thread::sleep(Duration::from_millis(137 * kill % 1_000));
        judgements += u64::from(judged(&client, &host));
        before = client.units();
        service.kill();
    }
    let mut service = Service::start(&host).patient(copied());
    service.until("what was behind is read", |_| judged(&client, &host));
    let changes = writer.stop();
    service.until("source and destination are equal", |_| {
        judged(&client, &host);
        client.difference("here.ledger", "there.ledger").as_deref() == Ok("")
    });
    service.stops();
    assert!(
        judgements > KILLS / 2,
        "the slot was compared {judgements} times"
    );
    assert_eq!(host.dead_letters(PIPELINE), Vec::<Value>::new());
    let count = client
        .sql("SELECT count(*) FROM there.ledger")
        .expect("a number");
    println!(
        "{rows} rows and {changes} transactions beside: {count} rows equal after {KILLS} kills while it delivered and \
         {RESTARTS} restarts of the server; the slot was asked {judgements} times and never ahead"
    );
}

const SHAPES: &str = r"CREATE TABLE here.docs (id int PRIMARY KEY, n int, body text);
ALTER TABLE here.docs ALTER COLUMN body SET STORAGE EXTERNAL;
INSERT INTO here.docs SELECT g, 0, repeat(md5(g::text), 200) FROM generate_series(1, 2000) AS g;
CREATE TABLE here.whole (id int PRIMARY KEY, n int NOT NULL, body text NOT NULL);
ALTER TABLE here.whole ALTER COLUMN body SET STORAGE EXTERNAL, REPLICA IDENTITY FULL;
INSERT INTO here.whole SELECT g, 0, repeat(md5(g::text), 200) FROM generate_series(1, 50) AS g;
CREATE TABLE here.codes (code char(4) PRIMARY KEY, ip inet, v int);
INSERT INTO here.codes SELECT g, '10.0.0.1', g FROM generate_series(1, 99) AS g;
CREATE TABLE here.bin (k bytea PRIMARY KEY, v int[]);
INSERT INTO here.bin SELECT decode(md5(g::text), 'hex'), ARRAY[g] FROM generate_series(1, 99) AS g;
CREATE TABLE here.lines (id int PRIMARY KEY, doc int);
INSERT INTO here.lines VALUES (1, 1);
CREATE PUBLICATION everything FOR TABLES IN SCHEMA here WITH (publish = 'insert, update, delete');
";

/// Two tables by turns, more of them than a page takes; long values that are left as they were; keys that are padded,
/// binary, and changed: all in one transaction, in the middle of which the host is killed.
const TURNS: &str = "BEGIN; \
     DO $$ BEGIN FOR g IN 5001..6100 LOOP INSERT INTO here.docs VALUES (g, 0, 'short'); INSERT INTO here.lines VALUES (g, g); END LOOP; END $$; \
     UPDATE here.docs SET n = n + 1; UPDATE here.docs SET body = body || 'x' WHERE id < 10; UPDATE here.docs SET n = n + 1 WHERE id < 2000; \
     UPDATE here.whole SET n = n + 1; DELETE FROM here.whole WHERE id < 5; \
     UPDATE here.codes SET v = -v; DELETE FROM here.codes WHERE v < -90; UPDATE here.codes SET code = 'x' || v WHERE v > -10; \
     UPDATE here.bin SET v = v || 7; DELETE FROM here.bin WHERE v[1] > 50; \
     DELETE FROM here.docs WHERE id % 10 = 3; UPDATE here.docs SET id = -id WHERE id % 10 = 4; COMMIT";

const TABLES: [&str; 5] = ["docs", "whole", "codes", "bin", "lines"];

fn differing(client: &Client) -> Vec<&'static str> {
    let is_equal = |table: &str| {
        let rows = |schema: &str| {
            client.sql(&format!(
                "SELECT count(*), md5(coalesce(string_agg(to_jsonb(t)::text, E'\\n' ORDER BY to_jsonb(t)::text), '')) FROM {schema}.{table} AS t"
            ))
        };
        matches!((rows("here"), rows("there")), (Ok(here), Ok(there)) if here == there)
    };
    TABLES
        .into_iter()
        .filter(|table| !is_equal(table))
        .collect()
}

#[test]
fn a_large_transaction_over_tables_of_every_kind_arrives_whole() {
    let server = Postgres::start_logical(SHAPES);
    let tables: Vec<String> = TABLES
        .iter()
        .map(|table| format!("{table} = {{}}"))
        .collect();
    let changes = format!(
        ", changes = {{ publication = \"everything\", slot = \"sluice_copy\" }}, tables = {{ {} }}",
        tables.join(", ")
    );
    let host = deployment(
        &server,
        &server.stage("here", &changes),
        &server.stage("there", ", create = true"),
    );
    let client = server.client();
    let mut service = Service::start(&host).patient(copied());
    service.until("the snapshot", |_| differing(&client).is_empty());
    server.sql(TURNS);
    let before = client.units();
    service.until("a part of it", |_| client.units() > before);
    service.kill();
    let mut service = Service::start(&host).patient(copied());
    service.until("all of it", |_| differing(&client).is_empty());
    judged(&client, &host);
    service.stops();
    assert_eq!(host.dead_letters(PIPELINE), Vec::<Value>::new());
}

/// Kills the host again and again as it works, and the server now and then, then lets it end what it does.
fn through_kills(host: &TestHost, server: &mut Postgres, what: &str, is_done: impl Fn() -> bool) {
    for kill in 0..KILLS {
        let service = Service::spawn(host);
        std::thread::sleep(Duration::from_millis(900 + copied() / 1_000));
        if kill % (KILLS / RESTARTS) == 1 {
            server.restart();
        }
        std::thread::sleep(Duration::from_millis(350 * (kill % 5)));
        service.kill();
    }
    let mut service = Service::start(host).patient(copied());
    service.until(what, |_| is_done());
    service.stops();
    assert_eq!(host.dead_letters(PIPELINE), Vec::<Value>::new());
}

#[test]
fn files_arrive_in_a_table_once_whatever_is_killed() {
    let rows = copied();
    let mut server = Postgres::start("");
    let source = "plugin = \"sluice/files@0.1\"\nconfig = { dir = \"in\", format = \"csv\", stream = \"ledger\" }\n\n\
                  [schema.ledger]\nkey = [\"id\"]\nfields = { id = \"int64\", note = \"text\", amount = \"decimal(12,2)\" }\n";
    let sink = server.stage("there", ", create = true, mode = \"append\"");
    let host = deployment(&server, source, &sink);
    for file in 0..4 {
        let csv = (0..rows / 4).fold("id,note,amount\n".to_owned(), |csv, row| {
            let id = file * (rows / 4) + row;
            csv + &format!("{id},\"entry, {id}\",{id}.25\n")
        });
        host.write(&format!("in/{file}.csv"), csv);
    }
    let client = server.client();
    // Added, not replaced: what came twice would be refused, or stand there twice.
    through_kills(&host, &mut server, "every row", || {
        let said = client.sql("SELECT count(*), count(DISTINCT id), sum(amount) FROM there.ledger");
        let sum = rows * (rows - 1) / 2 + rows / 4;
        said == Ok(format!("{rows}|{rows}|{sum}.00"))
    });
}

#[test]
fn a_table_arrives_in_files_once_whatever_is_killed() {
    let rows = copied();
    let mut server = Postgres::start(&ledger(rows));
    let sink = "plugin = \"sluice/files@0.1\"\nconfig = { dir = \"out\", format = \"ndjson\" }\n";
    let source = server.stage("here", ", tables = { ledger = { splits = 2 } }");
    let host = deployment(&server, &source, sink);
    let all: Vec<u64> = (1..=rows).collect();
    through_kills(&host, &mut server, "every row", || {
        let mut ids = service::ids(&host, "out");
        ids.sort_unstable();
        ids == all
    });
}
