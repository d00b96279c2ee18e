//! Sinks for tables, run natively against real servers: what becomes of rows, whole units and their places.

use sluice_e2e::mysql::{Mariadb, MariadbKind};
use sluice_e2e::postgres::{Postgres, PostgresKind};
use sluice_e2e::sql::{Kind, Server, on_both};
use sluice_mysql::MysqlSink;
use sluice_postgres::PostgresSink;
use sluice_sdk::sink::{Sink, Target};
use sluice_sdk::testing::{self, Table, Writer};
use sluice_sdk::{Change, Decimal, Fault, Json, Record, Rejection, Timestamp};

/// What is one plugin's own.
trait Plugin: Kind {
    type Sink: Sink;
    /// Rows of [`what_the_server_refuses_is_a_row_of_its_own_and_the_others_are_written`].
    const REFUSED: &'static [(u32, &'static str)];
    /// What is asked of the table of [`a_table_is_made_and_holds_what_it_is_given`], and the answer.
    const WIDE: &'static [(&'static str, &'static str)];
    /// How it calls a table `nothing`.
    const NOTHING: &'static str;
}

impl Plugin for PostgresKind {
    type Sink = PostgresSink;
    const REFUSED: &'static [(u32, &'static str)] = &[
        (7, "out-of-range"),
        (20, "bad-text"),
        (100, "check"),
        (101, "check"),
        (200, "too-long"),
    ];
    const WIDE: &'static [(&'static str, &'static str)] = &[
        (
            "SELECT * FROM there.wide ORDER BY id",
            "|||||||\n\
             it's \\ \"x\"|t|-9223372036854775808|0.1|-1.2345|\\x00ff0a|2023-11-14 22:13:20.123456+00|{\"a\": [1, null]}",
        ),
        (
            "SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum) \
             FROM pg_attribute WHERE attrelid = 'there.wide'::regclass AND attnum > 0",
            "id text, yes boolean, whole bigint, float double precision, amount numeric(20,4), raw bytea, \
             at timestamp with time zone, any jsonb",
        ),
    ];
    const NOTHING: &'static str = "\"there\".\"nothing\"";
}

impl Plugin for MariadbKind {
    type Sink = MysqlSink;
    const REFUSED: &'static [(u32, &'static str)] = &[
        (7, "out-of-range"),
        (100, "check"),
        (101, "check"),
        (200, "too-long"),
    ];
    const WIDE: &'static [(&'static str, &'static str)] = &[
        (
            "SELECT id, yes, whole, `float`, amount, HEX(raw), at, any FROM there.wide ORDER BY id",
            "|NULL|NULL|NULL|NULL|NULL|NULL|NULL\n\
             it's \\\\ \"x\"|1|-9223372036854775808|0.1|-1.2345|00FF0A|2023-11-14 22:13:20.123456|{\"a\": [1, null]}",
        ),
        (
            "SELECT GROUP_CONCAT(column_name, ' ', column_type ORDER BY ordinal_position SEPARATOR ', ') \
             FROM information_schema.columns WHERE table_schema = 'there' AND table_name = 'wide'",
            "id varchar(255), yes tinyint(1), whole bigint(20), float double, amount decimal(20,4), raw longblob, \
             at datetime(6), any longtext",
        ),
        (
            "SELECT check_clause FROM information_schema.check_constraints \
             WHERE constraint_schema = 'there' AND table_name = 'wide'",
            "json_valid(`any`)",
        ),
    ];
    const NOTHING: &'static str = "`nothing`";
}

#[derive(Record, Clone, Default)]
struct Order {
    #[record(key)]
    id: i64,
    note: Option<String>,
}

fn order(id: i64, note: &str) -> Order {
    Order {
        id,
        note: Some(note.to_owned()),
    }
}

fn target<R: Record>(stream: &str) -> Target {
    Target {
        stream: stream.to_owned(),
        schema: R::schema(),
    }
}

fn open<P: Plugin, R: Record>(
    server: &Server<P>,
    stream: &str,
    more: &str,
) -> Result<Writer<P::Sink>, Fault> {
    server.reach();
    Writer::open(&server.settings("there", more), vec![target::<R>(stream)])
}

fn orders<P: Plugin>(server: &Server<P>, more: &str) -> Writer<P::Sink> {
    open::<P, Order>(server, "orders", more).expect("it opens")
}

/// One unit, published.
fn deliver<S: Sink>(writer: &mut Writer<S>, table: Table) -> Vec<Rejection> {
    let rejections = writer.write(vec![("orders", table)]).expect("it writes");
    writer.publish().expect("it publishes");
    rejections
}

fn refused(rejections: &[Rejection]) -> Vec<(u32, &str)> {
    let mut refused: Vec<_> = rejections.iter().map(|one| (one.row, &*one.code)).collect();
    refused.sort_unstable();
    refused
}

const TABLE: &str = "CREATE TABLE there.orders (id bigint PRIMARY KEY, note text);";
const ALL: &str = "SELECT id, note FROM there.orders ORDER BY id";

#[test]
fn rows_are_replaced_and_deleted_by_key_and_the_last_of_a_key_counts() {
    fn of<P: Plugin>() {
        let server = Server::<P>::start(TABLE);
        let mut writer = orders(&server, "");
        let first = (0..5).map(|id| order(id, "first")).collect();
        assert!(deliver(&mut writer, Table::from_records(first)).is_empty());
        let changes = vec![
            (order(1, "second"), Change::Upsert),
            (order(2, ""), Change::Delete),
            (order(3, "x"), Change::Delete),
            (order(3, "again"), Change::Upsert),
            (order(4, "y"), Change::Upsert),
            (order(4, ""), Change::Delete),
            (order(9, ""), Change::Delete),
        ];
        let (records, changes): (Vec<_>, Vec<_>) = changes.into_iter().unzip();
        let table = Table::from_records(records).with_changes(changes);
        assert!(deliver(&mut writer, table).is_empty());
        assert_eq!(server.sql(ALL), "0|first\n1|second\n3|again");
    }
    on_both(of::<PostgresKind>, of::<MariadbKind>);
}

#[test]
fn a_unit_is_seen_with_its_place_or_not_at_all() {
    fn of<P: Plugin>() {
        let server = Server::<P>::start(TABLE);
        let mut writer = orders(&server, "");
        assert_eq!(writer.committed(), Ok(None));
        let unit = || vec![("orders", Table::from_records(vec![order(1, "one")]))];
        writer.write(unit()).expect("it writes");
        assert_eq!(server.sql(ALL), "");
        drop(writer);
        let mut writer = orders(&server, "");
        assert_eq!(writer.committed(), Ok(None));
        assert_eq!(server.sql(ALL), "");
        writer.write(unit()).expect("it writes");
        let commit = writer.commit();
        writer.publish().expect("it publishes");
        assert_eq!(server.sql(ALL), "1|one");
        // Whoever lost the answer asks again, and is told.
        let mut writer = orders(&server, "");
        assert_eq!(writer.committed(), Ok(Some(commit)));
        // That unit once more is nothing; one from before is another run's.
        writer.write(unit()).expect("it writes");
        writer.publish().expect("it publishes");
        server.sql("UPDATE there.sluice_commits SET epoch = 2");
        let overtaken = writer.write(unit()).expect_err("another run");
        let told = overtaken.message();
        assert!(told.contains("another run writes this split"), "{told}");
        assert_eq!(server.sql("SELECT COUNT(*) FROM there.orders"), "1");
    }
    on_both(of::<PostgresKind>, of::<MariadbKind>);
}

#[test]
fn what_the_server_refuses_is_a_row_of_its_own_and_the_others_are_written() {
    fn of<P: Plugin>() {
        let server = Server::<P>::start(
            "CREATE TABLE there.orders (id int PRIMARY KEY, note varchar(30) CHECK (note <> 'bad'));",
        );
        let mut writer = orders(&server, "");
        let records = (0..500).map(|id| match id {
            7 => order(5_000_000_000, "far"),
            20 => order(20, "a\0b"),
            100 | 101 => order(id, "bad"),
            200 => order(id, "long, long, long, long, long, long"),
            300 => order(id, "two\nlines, \"quoted\""),
            _ => order(id, ""),
        });
        let rejections = deliver(&mut writer, Table::from_records(records.collect()));
        assert_eq!(refused(&rejections), P::REFUSED);
        for rejection in &rejections {
            let message = &rejection.message;
            let is_quoted = ["5000000000", "long, "].map(|value| message.contains(value));
            assert_eq!(is_quoted, [false; 2], "{rejection:?}");
        }
        let is_told = |one: &Rejection| one.message.contains("column `id`");
        assert!(rejections.iter().any(is_told));
        let written = 500 - P::REFUSED.len();
        assert_eq!(
            server.sql("SELECT COUNT(*), COUNT(note) FROM there.orders"),
            format!("{written}|{written}")
        );
        let quoted = "SELECT id FROM there.orders WHERE note = 'two\nlines, \"quoted\"'";
        assert_eq!(server.sql(quoted), "300");
    }
    on_both(of::<PostgresKind>, of::<MariadbKind>);
}

#[derive(Record, Clone)]
struct Wide {
    #[record(key)]
    id: String,
    yes: Option<bool>,
    whole: Option<i64>,
    float: Option<f64>,
    amount: Option<Decimal<20, 4>>,
    raw: Option<Vec<u8>>,
    at: Option<Timestamp>,
    any: Option<Json>,
}

#[test]
fn a_table_is_made_and_holds_what_it_is_given() {
    fn of<P: Plugin>() {
        let server = Server::<P>::start("");
        let mut writer = open::<P, Wide>(&server, "wide", ", \"create\": true").expect("it opens");
        let full = Wide {
            id: "it's \\ \"x\"".to_owned(),
            yes: Some(true),
            whole: Some(i64::MIN),
            float: Some(0.1),
            amount: Some(Decimal(-12_345)),
            raw: Some(vec![0, 255, 10]),
            at: Some(Timestamp(1_700_000_000_123_456)),
            any: Some(Json("{\"a\": [1, null]}".to_owned())),
        };
        let none = Wide {
            id: String::new(),
            yes: None,
            whole: None,
            float: None,
            amount: None,
            raw: None,
            at: None,
            any: None,
        };
        let lost = Wide {
            id: "lost".to_owned(),
            float: Some(f64::NAN),
            ..none.clone()
        };
        let unit = vec![("wide", Table::from_records(vec![lost, full, none]))];
        let rejections = writer.write(unit).expect("it writes");
        let refused = refused(&rejections);
        assert_eq!(refused, [(0, "not-finite")], "never nothing in its place");
        writer.publish().expect("it publishes");
        for (sql, said) in P::WIDE {
            assert_eq!(server.sql(sql), *said);
        }
    }
    on_both(of::<PostgresKind>, of::<MariadbKind>);
}

#[derive(Record, Clone)]
struct Grown {
    #[record(key)]
    id: i64,
    note: Option<String>,
    more: Option<i64>,
}

#[test]
fn columns_are_added_where_that_is_allowed() {
    fn of<P: Plugin>() {
        let server = Server::<P>::start(TABLE);
        let grown = |id| {
            Table::from_records(vec![Grown {
                id,
                note: None,
                more: Some(1),
            }])
        };
        let mut writer = orders(&server, "");
        let refused = writer.write(vec![("orders", grown(1))]);
        let refused = refused.expect_err("no column");
        let told = refused.message();
        assert!(told.contains("has no column `more`"), "{told}");
        let mut writer = orders(&server, ", \"create\": true");
        deliver(&mut writer, Table::from_records(vec![order(1, "one")]));
        deliver(&mut writer, grown(2));
        assert_eq!(
            server.sql("SELECT id, COALESCE(more, -1) FROM there.orders ORDER BY id"),
            "1|-1\n2|1"
        );
    }
    on_both(of::<PostgresKind>, of::<MariadbKind>);
}

#[test]
fn whoever_is_wrong_is_told() {
    fn of<P: Plugin>() {
        let server = Server::<P>::start(TABLE);
        let fault = open::<P, Order>(&server, "nothing", "").map(drop);
        let told = fault.expect_err("a mistake").to_string();
        let table = format!("there is no table {}", P::NOTHING);
        assert!(told.contains(&table), "{told}");
        testing::secrets(&[("password", Some("wrong"))]);
        let fault = Writer::<P::Sink>::open(&server.settings("there", ""), Vec::new()).map(drop);
        assert!(matches!(fault, Err(Fault::Unauthorized(_))), "{fault:?}");
    }
    on_both(of::<PostgresKind>, of::<MariadbKind>);
}

/// One of PostgreSQL's that is not said is `public`.
#[test]
fn a_schema_that_is_not_there_is_told() {
    let server = Postgres::start("");
    server.reach();
    for (schema, told) in [
        ("", "there is no table \"public\".\"orders\""),
        ("lost", "there is no schema `lost`"),
    ] {
        let targets = vec![target::<Order>("orders")];
        let fault = Writer::<PostgresSink>::open(&server.settings(schema, ""), targets).map(drop);
        let fault = fault.expect_err("a mistake").to_string();
        assert!(fault.contains(told), "{fault}");
    }
}

#[derive(Record, Clone)]
struct Lonely {
    #[record(key)]
    text: Option<String>,
}

/// As PostgreSQL copies rows.
#[test]
fn a_table_of_one_column_tells_nothing_from_empty_and_ends_at_no_dot() {
    let server = Postgres::start("CREATE TABLE there.orders (text text)");
    let mut writer = open::<PostgresKind, Lonely>(&server, "orders", ", \"mode\": \"append\"")
        .expect("it opens");
    let texts = [Some("a"), None, Some(""), Some("\\."), Some("b")];
    let records = texts.map(|text| Lonely {
        text: text.map(ToOwned::to_owned),
    });
    assert!(deliver(&mut writer, Table::from_records(records.to_vec())).is_empty());
    let all = server.sql("SELECT coalesce('<' || text || '>', 'none') FROM there.orders");
    assert_eq!(all, "<a>\nnone\n<>\n<\\.>\n<b>");
}

#[derive(Record, Clone)]
struct Measure {
    #[record(key)]
    id: i64,
    value: Option<f64>,
}

/// The first rows of a table are all refused before any is copied to PostgreSQL, and more come behind another table's.
#[test]
fn tables_that_are_written_by_turns_begin_anew_each_time() {
    let server = Postgres::start(
        "CREATE TABLE there.orders (id bigint PRIMARY KEY, note text); \
         CREATE TABLE there.measures (id bigint PRIMARY KEY, value double precision)",
    );
    server.reach();
    let targets = vec![target::<Order>("orders"), target::<Measure>("measures")];
    let settings = server.settings("there", "");
    let mut writer = Writer::<PostgresSink>::open(&settings, targets).expect("it opens");
    let measure = |id, value| {
        let value = Some(value);
        ("measures", Table::from_records(vec![Measure { id, value }]))
    };
    let note = |id, note| ("orders", Table::from_records(vec![order(id, note)]));
    let many = (2..=1_200).map(|id| order(id, "many")).collect();
    let unit = vec![
        measure(1, f64::NAN),
        note(1, "one"),
        measure(1, 1.5),
        note(1, "two"),
        measure(2, f64::INFINITY),
        // More than is left where it is.
        ("orders", Table::from_records(many)),
        measure(3, 3.5),
        note(1, "three"),
        measure(2, 2.5),
    ];
    let rejections = writer.write(unit).expect("it writes");
    writer.publish().expect("it publishes");
    let refused: Vec<u32> = rejections.iter().map(|rejection| rejection.part).collect();
    assert_eq!(refused, [0, 4]);
    let orders = "SELECT note, count(*) FROM there.orders GROUP BY 1 ORDER BY 1";
    assert_eq!(server.sql(orders), "many|1199\nthree|1");
    let measures = server.sql("SELECT id, value FROM there.measures ORDER BY id");
    assert_eq!(measures, "1|1.5\n2|2.5\n3|3.5");
}

#[test]
fn mariadb_has_text_as_it_is_byte_for_byte() {
    let server = Mariadb::start(TABLE);
    let unit = vec![order(1, "a\0b"), order(2, "two\nlines, \"quoted\"")];
    let rejections = deliver(&mut orders(&server, ""), Table::from_records(unit));
    assert!(rejections.is_empty());
    assert_eq!(
        server.sql("SELECT HEX(note) FROM there.orders ORDER BY id"),
        "610062\n74776F0A6C696E65732C202271756F74656422"
    );
}

/// Another row of MariaDB that has the value is left as it is, also one that comes in the same unit.
#[test]
fn a_unique_value_of_another_row_is_never_written_over() {
    let server = Mariadb::start(
        "CREATE TABLE there.orders (id bigint PRIMARY KEY, note varchar(30) UNIQUE); \
         INSERT INTO there.orders VALUES (1, 'taken'), (2, 'mine');",
    );
    let mut writer = orders(&server, "");
    let unit = vec![
        order(2, "mine"),
        order(3, "taken"),
        order(4, "new"),
        order(5, "new"),
        order(1, "taken"),
    ];
    let rejections = deliver(&mut writer, Table::from_records(unit));
    assert_eq!(refused(&rejections), [(1, "unique"), (3, "unique")]);
    assert_eq!(server.sql(ALL), "1|taken\n2|mine\n4|new");
}

#[derive(Record, Clone)]
struct Named {
    #[record(key)]
    note: String,
    id: i64,
}

/// Keys that MariaDB's collation takes for one are one row there: the last counts, as with any other.
#[test]
fn keys_are_as_alike_as_the_table_has_them() {
    let server =
        Mariadb::start("CREATE TABLE there.orders (id bigint, note varchar(30) PRIMARY KEY);");
    let named = |note: &str, id| Named {
        note: note.to_owned(),
        id,
    };
    let mut writer = open::<MariadbKind, Named>(&server, "orders", "").expect("it opens");
    let unit = vec![named("a", 1), named("A", 2), named("b", 3), named("b ", 4)];
    assert!(deliver(&mut writer, Table::from_records(unit)).is_empty());
    assert_eq!(
        server.sql("SELECT id FROM there.orders ORDER BY id"),
        "2\n4"
    );
}
