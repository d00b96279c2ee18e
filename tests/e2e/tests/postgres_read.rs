//! `sluice/postgres` as a source, run natively against a real server: tables of every shape are read whole, each row once,
//! whatever the page.

use serde_json::Value;
use sluice_e2e::postgres::Postgres;
use sluice_postgres::{Config, PostgresSource};
use sluice_sdk::source::{Limit, Split};
use sluice_sdk::{Fault, Source as _, testing};
use std::collections::BTreeSet;

const LIMIT: Limit = Limit {
    rows: 8_192,
    bytes: 1 << 20,
    wait_ms: 0,
};

fn small(rows: u32) -> Limit {
    Limit { rows, ..LIMIT }
}

fn settings(server: &Postgres, tables: &str) -> String {
    server.settings(&format!(", \"schema\": \"s\", \"tables\": {tables}"))
}

/// What a split gave: its rows, the place behind them, how many pages.
struct Read {
    rows: Vec<String>,
    cursor: Option<Value>,
}

fn read(settings: &str, split: Split, from: Option<&Value>, limit: Limit) -> Result<Read, Fault> {
    let start = split
        .start
        .as_deref()
        .map(|start| serde_json::from_slice(start).expect("a place"));
    let stream = split.streams[0].clone();
    let read =
        testing::read_split::<PostgresSource>(settings, split, from.or(start.as_ref()), limit)?;
    let text = String::from_utf8(read.bytes(&stream)).expect("text");
    Ok(Read {
        rows: text.split_terminator('\n').map(ToOwned::to_owned).collect(),
        cursor: read.cursor,
    })
}

/// Every split of the first table that is named.
fn all(server: &Postgres, tables: &str, limit: Limit) -> Vec<Read> {
    server.reach();
    let settings = settings(server, tables);
    let config: Config = sluice_sdk::parse_config(&settings).expect("settings");
    PostgresSource::check(&config).expect(tables);
    let streams = PostgresSource::streams(&config).expect("streams");
    let streams: Vec<String> = streams.into_iter().map(|stream| stream.name).collect();
    let splits = PostgresSource::splits(&config, &streams).expect("splits");
    let splits = splits.into_iter();
    splits
        .map(|split| read(&settings, split, None, limit).expect(tables))
        .collect()
}

/// How many rows there were, and how many different ones.
fn count(server: &Postgres, tables: &str, limit: Limit) -> (usize, usize) {
    let reads = all(server, tables, limit);
    let rows: Vec<&String> = reads.iter().flat_map(|read| &read.rows).collect();
    (rows.len(), rows.iter().collect::<BTreeSet<_>>().len())
}

const SHAPES: &str = r#"CREATE SCHEMA s;
CREATE TABLE s.big (id bigint PRIMARY KEY, t text);
INSERT INTO s.big SELECT g, repeat('x', 90) FROM generate_series(1, 25000) g;
CREATE TABLE s.comp (doc text, line int, t text, PRIMARY KEY (doc, line));
INSERT INTO s.comp SELECT 'd' || (g / 7), g % 7, E'it''s \\ here' || g FROM generate_series(1, 5000) g;
INSERT INTO s.comp VALUES (E'qu''ote\\back"slash', 1, NULL), ('', 1, '');
CREATE TABLE s.wide (id int PRIMARY KEY, t text);
INSERT INTO s.wide SELECT g, repeat(md5(g::text), 640) FROM generate_series(1, 2000) g;
INSERT INTO s.wide SELECT 3000, repeat('y', 11000000);
CREATE TABLE s.u (id uuid PRIMARY KEY, v text);
INSERT INTO s.u SELECT gen_random_uuid(), repeat('v', 200) FROM generate_series(1, 20000);
CREATE TABLE s.empty_one (id uuid PRIMARY KEY, v int);
CREATE TABLE s.empty_int (id int PRIMARY KEY);
CREATE TABLE s.part (id int, t text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE s.part_a PARTITION OF s.part FOR VALUES FROM (0) TO (100);
CREATE TABLE s.part_b PARTITION OF s.part FOR VALUES FROM (100) TO (1000);
INSERT INTO s.part SELECT g, 'p' FROM generate_series(1, 500) g;
CREATE TYPE s.mood AS ENUM ('sad','ok','happy');
CREATE TABLE s.ch (k char(4), n "char", e s.mood, PRIMARY KEY (k, n, e));
INSERT INTO s.ch VALUES ('a','x','sad'),('a','x','happy'),('b ','y','ok'),('abcd','z','ok');
CREATE TABLE s.dt (d timestamptz, f float8, n numeric(10,3), b bytea, i interval, PRIMARY KEY (d, f, n, b, i));
INSERT INTO s.dt SELECT now() + g * interval '1.234567 s', random(), random()*1000, decode(md5(g::text),'hex'), g * interval '1 day 3 hours' FROM generate_series(1,300) g;
INSERT INTO s.dt VALUES ('infinity','NaN','NaN','\x','0'),('0044-01-01 BC',-1,1,'\x00','1 mon');
CREATE TABLE s.coll (k text COLLATE "C" PRIMARY KEY);
INSERT INTO s.coll SELECT chr(65 + (g*7) % 58) || g FROM generate_series(1, 3000) g;
CREATE TABLE s.changed (id int PRIMARY KEY, at timestamptz, v int);
INSERT INTO s.changed SELECT g, now() - interval '1 hour' + (g / 50) * interval '1 millisecond', g FROM generate_series(1, 3000) g;
INSERT INTO s.changed VALUES (5001, NULL, 1), (5002, now() + interval '1 minute', 1);
CREATE INDEX ON s.changed (at, id);
CREATE VIEW s.vw AS SELECT id, v FROM s.changed;
CREATE TABLE s.nokey (a int, b text);
CREATE TABLE s.huge (id int PRIMARY KEY, t text);
INSERT INTO s.huge VALUES (1, repeat('z', 13000000));
ANALYZE;
"#;

#[test]
fn tables_of_every_shape_are_read_whole_and_each_row_once() {
    let server = Postgres::start(SHAPES);
    for (table, rows, most) in [
        ("big", 25_000, 8_192),
        ("comp", 5_002, 13),
        ("u", 20_000, 8_192),
        ("part", 500, 7),
        ("empty_one", 0, 7),
        ("empty_int", 0, 7),
        ("ch", 4, 1),
        ("dt", 302, 7),
        ("coll", 3_000, 100),
        ("wide", 2_001, 8_192),
    ] {
        for splits in ["{}", "{\"splits\": 4}"] {
            let tables = format!("{{\"{table}\": {splits}}}");
            assert_eq!(
                count(&server, &tables, small(most)),
                (rows, rows),
                "{tables}"
            );
        }
    }
    let view = r#"{"x": {"table": "vw", "key": ["id"], "splits": 3}}"#;
    assert_eq!(count(&server, view, LIMIT), (3_002, 3_002));
    // Rows that are alike in the key are told apart by nothing, and each is read.
    let alike = r#"{"x": {"table": "vw", "key": ["v"]}}"#;
    assert_eq!(count(&server, alike, small(7)).0, 3_002);
}

#[test]
fn a_rising_column_is_read_over_ties_and_behind_its_lag() {
    let server = Postgres::start(SHAPES);
    let tables = r#"{"changed": {"cursor": "at"}}"#;
    let first = all(&server, tables, small(37));
    assert_eq!(first[0].rows.len(), 3_000);
    let settings = settings(&server, tables);
    let again = || {
        read(
            &settings,
            Split::new("changed", "changed"),
            first[0].cursor.as_ref(),
            LIMIT,
        )
    };
    assert_eq!(again().expect("it reads").rows.len(), 0);
    server.sql("UPDATE s.changed SET at = now() - interval '1 minute' WHERE id IN (7, 5001)");
    assert_eq!(again().expect("it reads").rows.len(), 2);
    let at_once = r#"{"changed": {"cursor": "at", "lag_seconds": 0}}"#;
    assert_eq!(
        all(&server, at_once, LIMIT)[0].rows.len(),
        3_002,
        "the future too"
    );
}

#[test]
fn what_cannot_be_read_is_told_before_it_is_tried() {
    let server = Postgres::start(SHAPES);
    server.reach();
    for (tables, told) in [
        (r#"{"nokey": {}}"#, "no primary key"),
        (r#"{"nokey": {"key": ["a"]}}"#, "`a` may be null"),
        (r#"{"bigg": {}}"#, "did you mean `big`?"),
        (r#"{"changed": {"cursor": "when"}}"#, "no column `when`"),
    ] {
        let config: Config =
            sluice_sdk::parse_config(&settings(&server, tables)).expect("settings");
        let fault = PostgresSource::check(&config).expect_err(tables);
        assert!(matches!(fault, Fault::Misconfigured(_)), "{fault}");
        assert!(fault.message().contains(told), "{fault}");
    }
    let huge = read(
        &settings(&server, "{}"),
        Split::new("huge", "huge"),
        None,
        LIMIT,
    );
    let fault = huge.err().expect("one row is too long");
    assert!(fault.message().contains("one row of `s.huge`"), "{fault}");
}
