//! Sources of tables, run natively against real servers: tables of every shape are read whole, each row once, whatever the
//! page.

use serde_json::Value;
use sluice_e2e::mysql::MariadbKind;
use sluice_e2e::postgres::{Postgres, PostgresKind};
use sluice_e2e::sql::{Kind, Server, on_both};
use sluice_mysql::MysqlSource;
use sluice_postgres::PostgresSource;
use sluice_sdk::source::{Limit, Source, Split};
use sluice_sdk::{Fault, testing};
use std::collections::BTreeSet;

const LIMIT: Limit = Limit {
    rows: 8_192,
    bytes: 1 << 20,
    wait_ms: 0,
};

fn small(rows: u32) -> Limit {
    Limit { rows, ..LIMIT }
}

/// What is one plugin's own.
trait Plugin: Kind {
    type Source: Source;
    /// Tables, most of which each server has.
    const SHAPES: &'static str;
    /// Those that only this one has: how many rows, and how many at a time.
    const MORE: &'static [(&'static str, usize, u32)];
    /// Whether a range is cut from any key, and not from a whole number alone.
    const ANY_RANGE: bool;
    /// The time a minute ago.
    const A_MINUTE_AGO: &'static str;
    /// What only this one does not read, and what it says to that.
    const UNREADABLE: &'static [(&'static str, &'static str)];
}

impl Plugin for PostgresKind {
    type Source = PostgresSource;
    const SHAPES: &'static str = r#"SET search_path = here;
CREATE TABLE big (id bigint PRIMARY KEY, t text);
INSERT INTO big SELECT g, repeat('x', 90) FROM generate_series(1, 25000) g;
CREATE TABLE comp (doc text, line int, t text, PRIMARY KEY (doc, line));
INSERT INTO comp SELECT 'd' || (g / 7), g % 7, E'it''s \\ here' || g FROM generate_series(1, 5000) g;
INSERT INTO comp VALUES (E'qu''ote\\back"slash', 1, NULL), ('', 1, '');
CREATE TABLE wide (id int PRIMARY KEY, t text);
INSERT INTO wide SELECT g, repeat(md5(g::text), 640) FROM generate_series(1, 2000) g;
INSERT INTO wide SELECT 3000, repeat('y', 11000000);
CREATE TABLE u (id uuid PRIMARY KEY, v text);
INSERT INTO u SELECT gen_random_uuid(), repeat('v', 200) FROM generate_series(1, 20000);
CREATE TABLE empty_one (id uuid PRIMARY KEY, v int);
CREATE TABLE empty_int (id int PRIMARY KEY);
CREATE TABLE part (id int, t text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE part_a PARTITION OF part FOR VALUES FROM (0) TO (100);
CREATE TABLE part_b PARTITION OF part FOR VALUES FROM (100) TO (1000);
INSERT INTO part SELECT g, 'p' FROM generate_series(1, 500) g;
CREATE TYPE mood AS ENUM ('sad','ok','happy');
CREATE TABLE ch (k char(4), n "char", e mood, PRIMARY KEY (k, n, e));
INSERT INTO ch VALUES ('a','x','sad'),('a','x','happy'),('b ','y','ok'),('abcd','z','ok');
CREATE TABLE dt (d timestamptz, f float8, n numeric(10,3), b bytea, i interval, PRIMARY KEY (d, f, n, b, i));
INSERT INTO dt SELECT now() + g * interval '1.234567 s', random(), random()*1000, decode(md5(g::text),'hex'), g * interval '1 day 3 hours' FROM generate_series(1,300) g;
INSERT INTO dt VALUES ('infinity','NaN','NaN','\x','0'),('0044-01-01 BC',-1,1,'\x00','1 mon');
CREATE TABLE coll (k text COLLATE "C" PRIMARY KEY);
INSERT INTO coll SELECT chr(65 + (g*7) % 58) || g FROM generate_series(1, 3000) g;
CREATE TABLE changed (id int PRIMARY KEY, at timestamptz, v int);
INSERT INTO changed SELECT g, now() - interval '1 hour' + (g / 50) * interval '1 millisecond', g FROM generate_series(1, 3000) g;
INSERT INTO changed VALUES (5001, NULL, 1), (5002, now() + interval '1 minute', 1);
CREATE INDEX ON changed (at, id);
CREATE VIEW vw AS SELECT id, v FROM changed;
CREATE TABLE nokey (a int, b text);
CREATE TABLE huge (id int PRIMARY KEY, t text);
INSERT INTO huge VALUES (1, repeat('z', 13000000));
ANALYZE;
"#;
    const MORE: &'static [(&'static str, usize, u32)] =
        &[("ch", 4, 1), ("dt", 302, 7), ("coll", 3_000, 100)];
    const ANY_RANGE: bool = true;
    const A_MINUTE_AGO: &'static str = "now() - interval '1 minute'";
    const UNREADABLE: &'static [(&'static str, &'static str)] = &[];
}

impl Plugin for MariadbKind {
    type Source = MysqlSource;
    const SHAPES: &'static str = r#"USE here;
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
    const MORE: &'static [(&'static str, usize, u32)] = &[
        ("ch", 5, 1),
        ("dt", 302, 7),
        ("coll", 3_000, 100),
        ("coll_bin", 3_008, 100),
        ("unsigneds", 5, 1),
    ];
    const ANY_RANGE: bool = false;
    const A_MINUTE_AGO: &'static str = "UTC_TIMESTAMP(6) - INTERVAL 1 MINUTE";
    const UNREADABLE: &'static [(&'static str, &'static str)] =
        &[(r#"{"ch": {"key": ["e"]}}"#, "in the order of `e`")];
}

fn settings<P: Plugin>(server: &Server<P>, tables: &str) -> String {
    server.settings("here", &format!(", \"tables\": {tables}"))
}

/// What a split gave: its rows, the place behind them.
struct Read {
    rows: Vec<String>,
    cursor: Option<Value>,
}

fn read<S: Source>(
    settings: &str,
    split: Split,
    from: Option<&Value>,
    limit: Limit,
) -> Result<Read, Fault> {
    let start = split
        .start
        .as_deref()
        .map(|start| serde_json::from_slice(start).expect("a place"));
    let stream = split.streams[0].clone();
    let read = testing::read_split::<S>(settings, split, from.or(start.as_ref()), limit)?;
    let text = String::from_utf8(read.bytes(&stream)).expect("text");
    Ok(Read {
        rows: text.split_terminator('\n').map(ToOwned::to_owned).collect(),
        cursor: read.cursor,
    })
}

/// Every split of the first table that is named.
fn all<P: Plugin>(server: &Server<P>, tables: &str, limit: Limit) -> Vec<Read> {
    server.reach();
    let settings = settings(server, tables);
    let config = sluice_sdk::parse_config(&settings).expect("settings");
    P::Source::check(&config).expect(tables);
    let streams = P::Source::streams(&config).expect("streams");
    let streams: Vec<String> = streams.into_iter().map(|stream| stream.name).collect();
    let splits = P::Source::splits(&config, &streams).expect("splits");
    let splits = splits.into_iter();
    splits
        .map(|split| read::<P::Source>(&settings, split, None, limit).expect(tables))
        .collect()
}

/// How many rows there were, and how many different ones.
fn count<P: Plugin>(server: &Server<P>, tables: &str, limit: Limit) -> (usize, usize) {
    let reads = all(server, tables, limit);
    let rows: Vec<&String> = reads.iter().flat_map(|read| &read.rows).collect();
    (rows.len(), rows.iter().collect::<BTreeSet<_>>().len())
}

#[test]
fn tables_of_every_shape_are_read_whole_and_each_row_once() {
    fn of<P: Plugin>() {
        let server = Server::<P>::start(P::SHAPES);
        let by_number = [
            ("big", 25_000, 8_192),
            ("part", 500, 7),
            ("empty_int", 0, 7),
            ("wide", 2_001, 8_192),
        ];
        let others = [
            ("comp", 5_002, 13),
            ("u", 20_000, 8_192),
            ("empty_one", 0, 7),
        ];
        let reads = |(table, rows, most): (&str, usize, u32), how: &str| {
            let tables = format!("{{\"{table}\": {how}}}");
            let found = count(&server, &tables, small(most));
            assert_eq!(found, (rows, rows), "{tables}");
        };
        for table in by_number.iter().chain(&others).chain(P::MORE) {
            reads(*table, "{}");
            if P::ANY_RANGE || by_number.contains(table) {
                reads(*table, "{\"splits\": 4}");
            }
        }
        let view = r#"{"x": {"table": "vw", "key": ["id"], "splits": 3}}"#;
        assert_eq!(count(&server, view, LIMIT), (3_002, 3_002));
    }
    on_both(of::<PostgresKind>, of::<MariadbKind>);
}

#[test]
fn a_rising_column_is_read_over_ties_and_behind_its_lag() {
    fn of<P: Plugin>() {
        let server = Server::<P>::start(P::SHAPES);
        let tables = r#"{"changed": {"cursor": "at"}}"#;
        let first = all(&server, tables, small(37));
        assert_eq!(first[0].rows.len(), 3_000);
        let settings = settings(&server, tables);
        let again = || {
            let split = Split::new("changed", "changed");
            let read = read::<P::Source>(&settings, split, first[0].cursor.as_ref(), LIMIT);
            read.expect("it reads").rows.len()
        };
        assert_eq!(again(), 0);
        server.sql(&format!(
            "UPDATE here.changed SET at = {} WHERE id IN (7, 5001)",
            P::A_MINUTE_AGO
        ));
        assert_eq!(again(), 2);
        let at_once = r#"{"changed": {"cursor": "at", "lag_seconds": 0}}"#;
        let now = all(&server, at_once, LIMIT)[0].rows.len();
        assert_eq!(now, 3_002, "the future too");
    }
    on_both(of::<PostgresKind>, of::<MariadbKind>);
}

#[test]
fn what_cannot_be_read_is_told_before_it_is_tried() {
    fn of<P: Plugin>() {
        let server = Server::<P>::start(P::SHAPES);
        server.reach();
        let unreadable = [
            (r#"{"nokey": {}}"#, "no primary key"),
            (r#"{"nokey": {"key": ["a"]}}"#, "`a` may be null"),
            (r#"{"bigg": {}}"#, "did you mean `big`?"),
            (r#"{"changed": {"cursor": "when"}}"#, "no column `when`"),
        ];
        for (tables, told) in unreadable.iter().chain(P::UNREADABLE) {
            let config = sluice_sdk::parse_config(&settings(&server, tables)).expect("settings");
            let fault = P::Source::check(&config).expect_err(tables);
            assert!(matches!(fault, Fault::Misconfigured(_)), "{fault}");
            assert!(fault.message().contains(told), "{fault}");
        }
        let huge = Split::new("huge", "huge");
        let huge = read::<P::Source>(&settings(&server, "{}"), huge, None, LIMIT);
        let fault = huge.err().expect("one row is too long");
        let told = fault.message();
        assert!(told.contains("one row of `here.huge`"), "{told}");
    }
    on_both(of::<PostgresKind>, of::<MariadbKind>);
}

/// Rows of PostgreSQL that are alike in the key are told apart by nothing, and each is read.
#[test]
fn rows_that_are_alike_in_the_key_are_each_read() {
    let server = Postgres::start(
        "CREATE TABLE here.changed (id int PRIMARY KEY, v int); \
         INSERT INTO here.changed SELECT g, g FROM generate_series(1, 3000) g; \
         INSERT INTO here.changed VALUES (5001, 1), (5002, 1); \
         CREATE VIEW here.vw AS SELECT id, v FROM here.changed; ANALYZE",
    );
    let alike = r#"{"x": {"table": "vw", "key": ["v"]}}"#;
    assert_eq!(count(&server, alike, small(7)).0, 3_002);
}
