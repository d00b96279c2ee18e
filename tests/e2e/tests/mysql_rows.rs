//! `sluice/mysql` as a sink, run natively against a real server: what becomes of rows, whole units and their places.

use sluice_e2e::mysql::Mariadb;
use sluice_mysql::MysqlSink;
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

fn open<R: Record>(server: &Mariadb, stream: &str, more: &str) -> Result<Writer<MysqlSink>, Fault> {
    server.reach();
    let targets = vec![Target {
        stream: stream.to_owned(),
        schema: R::schema(),
    }];
    Writer::open(&server.settings("there", more), targets)
}

fn orders(server: &Mariadb, more: &str) -> Writer<MysqlSink> {
    open::<Order>(server, "orders", more).expect("it opens")
}

/// One unit, published.
fn deliver(writer: &mut Writer<MysqlSink>, table: Table) -> Vec<Rejection> {
    let rejections = writer.write(vec![("orders", table)]).expect("it writes");
    writer.publish().expect("it publishes");
    rejections
}

const TABLE: &str = "CREATE TABLE there.orders (id bigint PRIMARY KEY, note text);";
const ALL: &str = "SELECT id, note FROM there.orders ORDER BY id";

#[test]
fn rows_are_replaced_and_deleted_by_key_and_the_last_of_a_key_counts() {
    let server = Mariadb::start(TABLE);
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
    assert_eq!(server.sql(ALL), "0\tfirst\n1\tsecond\n3\tagain");
}

#[test]
fn a_unit_is_seen_with_its_place_or_not_at_all() {
    let server = Mariadb::start(TABLE);
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
    assert_eq!(server.sql(ALL), "1\tone");
    // Whoever lost the answer asks again, and is told.
    let mut writer = orders(&server, "");
    assert_eq!(writer.committed(), Ok(Some(commit)));
    // That unit once more is nothing; one from before is another run's.
    writer.write(unit()).expect("it writes");
    writer.publish().expect("it publishes");
    server.sql("UPDATE there.sluice_commits SET epoch = 2");
    let overtaken = writer.write(unit()).expect_err("another run");
    assert!(
        overtaken
            .message()
            .contains("another run writes this split"),
        "{overtaken}"
    );
    assert_eq!(server.sql("SELECT COUNT(*) FROM there.orders"), "1");
}

#[test]
fn what_the_server_refuses_is_a_row_of_its_own_and_the_others_are_written() {
    let server = Mariadb::start(
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
    let mut refused: Vec<_> = rejections
        .iter()
        .map(|rejection| (rejection.row, &*rejection.code))
        .collect();
    refused.sort_unstable();
    assert_eq!(
        refused,
        [
            (7, "out-of-range"),
            (100, "check"),
            (101, "check"),
            (200, "too-long"),
        ]
    );
    for rejection in &rejections {
        let message = &rejection.message;
        assert!(
            !message.contains("5000000000") && !message.contains("long, "),
            "{rejection:?}"
        );
    }
    assert!(
        rejections
            .iter()
            .any(|one| one.message.contains("column `id`"))
    );
    assert_eq!(server.sql("SELECT COUNT(*) FROM there.orders"), "496");
    assert_eq!(
        server.sql("SELECT HEX(note) FROM there.orders WHERE id IN (20, 300) ORDER BY id"),
        "610062\n74776F0A6C696E65732C202271756F74656422"
    );
}

/// Another row that has the value is left as it is, also one that comes in the same unit.
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
    let mut refused: Vec<_> = rejections.iter().map(|one| (one.row, &*one.code)).collect();
    refused.sort_unstable();
    assert_eq!(refused, [(1, "unique"), (3, "unique")]);
    assert_eq!(server.sql(ALL), "1\ttaken\n2\tmine\n4\tnew");
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
    let server = Mariadb::start("");
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
        server.sql(
            "SELECT id, yes, whole, `float`, amount, HEX(raw), at, any FROM there.wide ORDER BY id"
        ),
        "NULL\tNULL\tNULL\tNULL\tNULL\tNULL\tNULL\n\
         it's \\\\ \"x\"\t1\t-9223372036854775808\t0.1\t-1.2345\t00FF0A\t2023-11-14 22:13:20.123456\t{\"a\": [1, null]}"
    );
    assert_eq!(
        server.sql(
            "SELECT GROUP_CONCAT(column_name, ' ', column_type ORDER BY ordinal_position SEPARATOR ', ') \
             FROM information_schema.columns WHERE table_schema = 'there' AND table_name = 'wide'"
        ),
        "id varchar(255), yes tinyint(1), whole bigint(20), float double, amount decimal(20,4), raw longblob, \
         at datetime(6), any longtext"
    );
    assert!(
        server
            .sql("SHOW CREATE TABLE there.wide")
            .contains("json_valid(`any`)"),
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
    let server = Mariadb::start(TABLE);
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
        server.sql("SELECT id, more FROM there.orders ORDER BY id"),
        "1\tNULL\n2\t1"
    );
}

#[derive(Record, Clone)]
struct Named {
    #[record(key)]
    note: String,
    id: i64,
}

/// Keys that the table's collation takes for one are one row there: the last counts, as with any other.
#[test]
fn keys_are_as_alike_as_the_table_has_them() {
    let server =
        Mariadb::start("CREATE TABLE there.orders (id bigint, note varchar(30) PRIMARY KEY);");
    let named = |note: &str, id| Named {
        note: note.to_owned(),
        id,
    };
    let mut writer = open::<Named>(&server, "orders", "").expect("it opens");
    let unit = vec![named("a", 1), named("A", 2), named("b", 3), named("b ", 4)];
    assert!(deliver(&mut writer, Table::from_records(unit)).is_empty());
    assert_eq!(
        server.sql("SELECT id FROM there.orders ORDER BY id"),
        "2\n4"
    );
}

#[test]
fn whoever_is_wrong_is_told() {
    let server = Mariadb::start(TABLE);
    let told = |stream: &str, more: &str| {
        let fault = open::<Order>(&server, stream, more).map(drop);
        fault.expect_err("a mistake").to_string()
    };
    assert!(told("nothing", "").contains("there is no table `nothing`"));
    testing::secrets(&[("password", Some("wrong"))]);
    let targets = Vec::new();
    let fault = Writer::<MysqlSink>::open(&server.settings("there", ""), targets).map(drop);
    assert!(matches!(fault, Err(Fault::Unauthorized(_))), "{fault:?}");
}
