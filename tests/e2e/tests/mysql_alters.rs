//! `sluice/mysql` as a sink, run natively against a real server: tables that somebody changes while one writer lives.

use sluice_e2e::mysql::Mariadb;
use sluice_mysql::MysqlSink;
use sluice_sdk::sink::Target;
use sluice_sdk::testing::{Table, Writer};
use sluice_sdk::{Fault, Record, Rejection};

#[derive(Record, Clone, Default)]
struct Order {
    #[record(key)]
    id: i64,
    code: i64,
}

/// A writer that has written the rows (1, 10) and (2, 20).
fn begun(server: &Mariadb) -> Writer<MysqlSink> {
    server.reach();
    let targets = vec![Target {
        stream: "orders".to_owned(),
        schema: Order::schema(),
    }];
    let mut writer = Writer::open(&server.settings("there", ""), targets).expect("it opens");
    let refused = deliver(&mut writer, &[(1, 10), (2, 20)]).expect("it writes");
    assert!(refused.is_empty(), "{refused:?}");
    writer
}

/// One unit, published.
fn deliver(writer: &mut Writer<MysqlSink>, rows: &[(i64, i64)]) -> Result<Vec<Rejection>, Fault> {
    let records = rows.iter().map(|&(id, code)| Order { id, code });
    let table = Table::from_records(records.collect());
    let rejections = writer.write(vec![("orders", table)])?;
    writer.publish()?;
    Ok(rejections)
}

const TABLE: &str = "CREATE TABLE there.orders (id bigint PRIMARY KEY, code bigint);";
const ALL: &str = "SELECT id, code FROM there.orders ORDER BY id";

#[test]
fn a_unique_index_that_is_added_between_two_units_guards_the_next() {
    let server = Mariadb::start(TABLE);
    let mut writer = begun(&server);
    server.sql("ALTER TABLE there.orders ADD UNIQUE by_code (code)");
    let refused = deliver(&mut writer, &[(3, 10), (4, 40)]).expect("it writes");
    let refused: Vec<_> = refused.iter().map(|one| (one.row, &*one.code)).collect();
    assert_eq!(refused, [(0, "unique")]);
    assert_eq!(server.sql(ALL), "1|10\n2|20\n4|40", "no row of another");
}

#[test]
fn a_table_that_no_longer_fits_between_two_units_takes_no_more() {
    for (change, told) in [
        ("DROP PRIMARY KEY", "no unique index"),
        ("MODIFY code double", "`code` would change values"),
        ("ENGINE = MyISAM", "has no transactions"),
    ] {
        let server = Mariadb::start(TABLE);
        let mut writer = begun(&server);
        server.sql(&format!("ALTER TABLE there.orders {change}"));
        let fault = deliver(&mut writer, &[(3, 30)]).expect_err(change);
        assert!(fault.message().contains(told), "{change}: {fault}");
        assert_eq!(server.sql(ALL), "1|10\n2|20", "{change}");
    }
}
