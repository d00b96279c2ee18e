//! `sluice/mysql` as a source, run natively against a real server: tables of every shape are read whole, each row once,
//! whatever the page.

use serde_json::Value;
use sluice_e2e::mysql::Mariadb;
use sluice_mysql::{Config, MysqlSource};
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

fn settings(server: &Mariadb, tables: &str) -> String {
    server.settings("here", &format!(", \"tables\": {tables}"))
}

/// What a split gave: its rows, the place behind them.
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
    let read = testing::read_split::<MysqlSource>(settings, split, from.or(start.as_ref()), limit)?;
    let text = String::from_utf8(read.bytes(&stream)).expect("text");
    Ok(Read {
        rows: text.split_terminator('\n').map(ToOwned::to_owned).collect(),
        cursor: read.cursor,
    })
}

/// Every split of the first table that is named.
fn all(server: &Mariadb, tables: &str, limit: Limit) -> Vec<Read> {
    server.reach();
    let settings = settings(server, tables);
    let config: Config = sluice_sdk::parse_config(&settings).expect("settings");
    MysqlSource::check(&config).expect(tables);
    let streams = MysqlSource::streams(&config).expect("streams");
    let streams: Vec<String> = streams.into_iter().map(|stream| stream.name).collect();
    let splits = MysqlSource::splits(&config, &streams).expect("splits");
    let splits = splits.into_iter();
    splits
        .map(|split| read(&settings, split, None, limit).expect(tables))
        .collect()
}

/// How many rows there were, and how many different ones.
fn count(server: &Mariadb, tables: &str, limit: Limit) -> (usize, usize) {
    let reads = all(server, tables, limit);
    let rows: Vec<&String> = reads.iter().flat_map(|read| &read.rows).collect();
    (rows.len(), rows.iter().collect::<BTreeSet<_>>().len())
}

const SHAPES: &str = r#"USE here;
CREATE TABLE big (id bigint PRIMARY KEY, t text);
INSERT INTO big SELECT seq, REPEAT('x', 90) FROM seq_1_to_25000;
CREATE TABLE comp (doc varchar(60), line int, t text, PRIMARY KEY (doc, line));
INSERT INTO comp SELECT CONCAT('d', seq DIV 7), seq % 7, CONCAT('it''s \\ here', seq) FROM seq_1_to_5000;
INSERT INTO comp VALUES ('qu''ote\\back"slash', 1, NULL), ('', 1, '');
CREATE TABLE wide (id int PRIMARY KEY, t longtext);
INSERT INTO wide SELECT seq, REPEAT(MD5(seq), 640) FROM seq_1_to_2000;
INSERT INTO wide SELECT 3000, REPEAT('y', 11000000);
CREATE TABLE u (id uuid PRIMARY KEY, v text);
INSERT INTO u SELECT UUID(), REPEAT('v', 200) FROM seq_1_to_20000;
CREATE TABLE empty_one (id uuid PRIMARY KEY, v int);
CREATE TABLE empty_int (id int PRIMARY KEY);
CREATE TABLE part (id int, t text, PRIMARY KEY (id)) PARTITION BY RANGE (id) (PARTITION a VALUES LESS THAN (100), PARTITION b VALUES LESS THAN (1000));
INSERT INTO part SELECT seq, 'p' FROM seq_1_to_500;
CREATE TABLE ch (k char(4), b binary(2), e enum('sad','ok','happy') NOT NULL, PRIMARY KEY (k, b), KEY (e));
INSERT INTO ch VALUES ('a','x','sad'),('a','y','happy'),('A','z','ok'),('b','y','ok'),('abcd','z','ok');
CREATE TABLE dt (d datetime(6), ts timestamp(6), ti time(6), n decimal(10,3), b varbinary(20), y year, bt bit(9), ip inet6,
 PRIMARY KEY (d, ts, ti, n, b, y, bt, ip));
INSERT INTO dt SELECT NOW(6) + INTERVAL seq * 1234567 MICROSECOND, NOW(6), SEC_TO_TIME(-seq * 1.5), RAND() * 1000, UNHEX(MD5(seq)), 2000 + seq % 9, seq % 512,
 CONCAT('::', HEX(seq)) FROM seq_1_to_300;
INSERT INTO dt VALUES ('1000-01-01', '1970-01-01 00:00:01', '-838:59:59', 1, '', 1901, 0, '::'), ('9999-12-31 23:59:59.999999', '2038-01-19 03:14:07', '838:59:59', -1, x'00', 2155, 511, 'ff::');
CREATE TABLE coll (k varchar(20) PRIMARY KEY);
INSERT INTO coll SELECT CONCAT(CHAR(65 + (seq * 7) % 58), seq) FROM seq_1_to_3000;
CREATE TABLE coll_bin (k varchar(20) COLLATE utf8mb4_bin PRIMARY KEY);
INSERT INTO coll_bin SELECT k FROM coll;
INSERT INTO coll_bin VALUES ('a'), ('A'), ('é'), ('É'), ('a\0'), (''), ('\\'), ('😀');
CREATE TABLE unsigneds (id bigint unsigned PRIMARY KEY);
INSERT INTO unsigneds VALUES (0), (1), (9223372036854775807), (9223372036854775808), (18446744073709551615);
CREATE TABLE changed (id int PRIMARY KEY, at datetime(6), v int, KEY (at, id));
INSERT INTO changed SELECT seq, UTC_TIMESTAMP(6) - INTERVAL 1 HOUR + INTERVAL (seq DIV 50) * 1000 MICROSECOND, seq FROM seq_1_to_3000;
INSERT INTO changed VALUES (5001, NULL, 1), (5002, UTC_TIMESTAMP(6) + INTERVAL 1 MINUTE, 1);
CREATE VIEW vw AS SELECT id, v FROM changed;
CREATE TABLE nokey (a int, b text);
CREATE TABLE huge (id int PRIMARY KEY, t longtext);
INSERT INTO huge VALUES (1, REPEAT('z', 13000000));
"#;

#[test]
fn tables_of_every_shape_are_read_whole_and_each_row_once() {
    let server = Mariadb::start(SHAPES);
    for (table, rows, most) in [
        ("big", 25_000, 8_192),
        ("comp", 5_002, 13),
        ("u", 20_000, 8_192),
        ("part", 500, 7),
        ("empty_one", 0, 7),
        ("empty_int", 0, 7),
        ("ch", 5, 1),
        ("dt", 302, 7),
        ("coll", 3_000, 100),
        ("coll_bin", 3_008, 100),
        ("unsigneds", 5, 1),
        ("wide", 2_001, 8_192),
    ] {
        let tables = format!("{{\"{table}\": {{}}}}");
        let found = count(&server, &tables, small(most));
        assert_eq!(found, (rows, rows), "{tables}");
        // A range is cut from a whole number.
        if ["big", "part", "empty_int", "wide"].contains(&table) {
            let tables = format!("{{\"{table}\": {{\"splits\": 4}}}}");
            let found = count(&server, &tables, small(most));
            assert_eq!(found, (rows, rows), "{tables}");
        }
    }
    let view = r#"{"x": {"table": "vw", "key": ["id"], "splits": 3}}"#;
    assert_eq!(count(&server, view, LIMIT), (3_002, 3_002));
}

#[test]
fn a_rising_column_is_read_over_ties_and_behind_its_lag() {
    let server = Mariadb::start(SHAPES);
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
    server.sql(
        "UPDATE here.changed SET at = UTC_TIMESTAMP(6) - INTERVAL 1 MINUTE WHERE id IN (7, 5001)",
    );
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
    let server = Mariadb::start(SHAPES);
    server.reach();
    for (tables, told) in [
        (r#"{"nokey": {}}"#, "no primary key"),
        (r#"{"nokey": {"key": ["a"]}}"#, "`a` may be null"),
        (r#"{"ch": {"key": ["e"]}}"#, "in the order of `e`"),
        (r#"{"bigg": {}}"#, "did you mean `big`?"),
        (r#"{"changed": {"cursor": "when"}}"#, "no column `when`"),
    ] {
        let config: Config =
            sluice_sdk::parse_config(&settings(&server, tables)).expect("settings");
        let fault = MysqlSource::check(&config).expect_err(tables);
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
    assert!(fault.message().contains("one row of"), "{fault}");
}
