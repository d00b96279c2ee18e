//! `sluice/postgres` as a sink, run natively against a real server: what becomes of rows, whole units and their places.

use sluice_e2e::postgres::Postgres;
use sluice_postgres::PostgresSink;
use sluice_sdk::sink::Target;
use sluice_sdk::testing::{self, Table, Writer};
use sluice_sdk::{Change, Decimal, Fault, Json, Record, Rejection, Timestamp};

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

fn open<R: Record>(
    server: &Postgres,
    stream: &str,
    more: &str,
) -> Result<Writer<PostgresSink>, Fault> {
    server.reach();
    let targets = vec![Target {
        stream: stream.to_owned(),
        schema: R::schema(),
    }];
    Writer::open(&server.settings(more), targets)
}

fn orders(server: &Postgres, more: &str) -> Writer<PostgresSink> {
    open::<Order>(server, "orders", more).expect("it opens")
}

/// One unit, published.
fn deliver(writer: &mut Writer<PostgresSink>, table: Table) -> Vec<Rejection> {
    let rejections = writer.write(vec![("orders", table)]).expect("it writes");
    writer.publish().expect("it publishes");
    rejections
}

const TABLE: &str = "CREATE TABLE orders (id bigint PRIMARY KEY, note text)";
const ALL: &str = "SELECT id, note FROM orders ORDER BY id";

#[test]
fn rows_are_replaced_and_deleted_by_key_and_the_last_of_a_key_counts() {
    let server = Postgres::start(TABLE);
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

#[test]
fn a_unit_is_seen_with_its_place_or_not_at_all() {
    let server = Postgres::start(TABLE);
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
    server.sql("UPDATE sluice_commits SET epoch = 2");
    let overtaken = writer.write(unit()).expect_err("another run");
    assert!(
        overtaken
            .message()
            .contains("another run writes this split"),
        "{overtaken}"
    );
    assert_eq!(server.sql("SELECT count(*) FROM orders"), "1");
}

#[test]
fn what_the_server_refuses_is_a_row_of_its_own_and_the_others_are_written() {
    let server = Postgres::start(
        "CREATE TABLE orders (id int PRIMARY KEY, note text CHECK (note <> 'bad'))",
    );
    let mut writer = orders(&server, "");
    let records = (0..500).map(|id| match id {
        7 => order(5_000_000_000, "far"),
        20 => order(20, "a\0b"),
        100 | 101 => order(id, "bad"),
        300 => order(id, "two\nlines, \"quoted\""),
        _ => order(id, ""),
    });
    let rejections = deliver(&mut writer, Table::from_records(records.collect()));
    let mut refused: Vec<_> = rejections
        .iter()
        .map(|rejection| (rejection.row, &*rejection.code))
        .collect();
    refused.sort_unstable();
    assert_eq!(
        refused,
        [
            (7, "out-of-range"),
            (20, "bad-text"),
            (100, "check"),
            (101, "check")
        ]
    );
    for rejection in &rejections {
        assert!(!rejection.message.contains("5000000000"), "{rejection:?}");
    }
    assert!(
        rejections
            .iter()
            .any(|one| one.message.contains("column `id`"))
    );
    assert_eq!(
        server.sql("SELECT count(*), count(note) FROM orders"),
        "496|496"
    );
    assert_eq!(
        server.sql("SELECT note FROM orders WHERE id = 300"),
        "two\nlines, \"quoted\""
    );
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
    let server = Postgres::start("SELECT 1");
    let mut writer = open::<Wide>(&server, "wide", ", \"create\": true").expect("it opens");
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
    let refused: Vec<_> = rejections.iter().map(|one| (one.row, &*one.code)).collect();
    assert_eq!(refused, [(0, "not-finite")], "never nothing in its place");
    writer.publish().expect("it publishes");
    assert_eq!(
        server.sql("SELECT * FROM wide ORDER BY id"),
        "|||||||\n\
         it's \\ \"x\"|t|-9223372036854775808|0.1|-1.2345|\\x00ff0a|2023-11-14 22:13:20.123456+00|{\"a\": [1, null]}"
    );
    assert_eq!(
        server.sql(
            "SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum) \
             FROM pg_attribute WHERE attrelid = 'wide'::regclass AND attnum > 0"
        ),
        "id text, yes boolean, whole bigint, float double precision, amount numeric(20,4), raw bytea, \
         at timestamp with time zone, any jsonb"
    );
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
    let server = Postgres::start(TABLE);
    let grown = |id| {
        Table::from_records(vec![Grown {
            id,
            note: None,
            more: Some(1),
        }])
    };
    let mut writer = orders(&server, "");
    let refused = writer
        .write(vec![("orders", grown(1))])
        .expect_err("no column");
    assert!(
        refused.message().contains("has no column `more`"),
        "{refused}"
    );
    let mut writer = orders(&server, ", \"create\": true");
    deliver(&mut writer, Table::from_records(vec![order(1, "one")]));
    deliver(&mut writer, grown(2));
    assert_eq!(
        server.sql("SELECT id, more FROM orders ORDER BY id"),
        "1|\n2|1"
    );
}

#[derive(Record, Clone)]
struct Lonely {
    #[record(key)]
    text: Option<String>,
}

#[test]
fn a_table_of_one_column_tells_nothing_from_empty_and_ends_at_no_dot() {
    let server = Postgres::start("CREATE TABLE orders (text text)");
    let mut writer = open::<Lonely>(&server, "orders", ", \"mode\": \"append\"").expect("it opens");
    let texts = [Some("a"), None, Some(""), Some("\\."), Some("b")];
    let records = texts.map(|text| Lonely {
        text: text.map(ToOwned::to_owned),
    });
    assert!(deliver(&mut writer, Table::from_records(records.to_vec())).is_empty());
    let all = server.sql("SELECT coalesce('<' || text || '>', 'none') FROM orders");
    assert_eq!(all, "<a>\nnone\n<>\n<\\.>\n<b>");
}

#[test]
fn whoever_is_wrong_is_told() {
    let server = Postgres::start(TABLE);
    let told = |stream: &str, more: &str| {
        let fault = open::<Order>(&server, stream, more).map(drop);
        fault.expect_err("a mistake").to_string()
    };
    assert!(told("nothing", "").contains("there is no table \"public\".\"nothing\""));
    assert!(told("orders", ", \"schema\": \"lost\"").contains("there is no schema `lost`"));
    testing::secrets(&[("password", Some("wrong"))]);
    let targets = Vec::new();
    let fault = Writer::<PostgresSink>::open(&server.settings(""), targets).map(drop);
    assert!(matches!(fault, Err(Fault::Unauthorized(_))), "{fault:?}");
}

#[derive(Record, Clone)]
struct Measure {
    #[record(key)]
    id: i64,
    value: Option<f64>,
}

/// The first rows of a table are all refused before any is copied, and more come behind another table's.
#[test]
fn tables_that_are_written_by_turns_begin_anew_each_time() {
    let server = Postgres::start(
        "CREATE TABLE orders (id bigint PRIMARY KEY, note text); \
         CREATE TABLE measures (id bigint PRIMARY KEY, value double precision)",
    );
    server.reach();
    let target = |stream: &str, schema| Target {
        stream: stream.to_owned(),
        schema,
    };
    let targets = vec![
        target("orders", Order::schema()),
        target("measures", Measure::schema()),
    ];
    let mut writer = Writer::<PostgresSink>::open(&server.settings(""), targets).expect("it opens");
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
    let orders = "SELECT note, count(*) FROM orders GROUP BY 1 ORDER BY 1";
    assert_eq!(server.sql(orders), "many|1199\nthree|1");
    let measures = server.sql("SELECT id, value FROM measures ORDER BY id");
    assert_eq!(measures, "1|1.5\n2|2.5\n3|3.5");
}
