//! `sluice/postgres`, run natively against a real server, on which something happens meanwhile: a table is changed between
//! two units of one writer, a slot is made.

use sluice_e2e::postgres::Postgres;
use sluice_postgres::{PostgresSink, PostgresSource};
use sluice_sdk::sink::Target;
use sluice_sdk::testing::{Table, Writer};
use sluice_sdk::{Decimal, Fault, Record, Source as _};

#[derive(Record, Clone)]
struct Price {
    #[record(key)]
    id: i64,
    amount: Option<Decimal<20, 2>>,
}

fn unit(id: i64) -> Vec<(&'static str, Table)> {
    let amount = Some(Decimal(1_250));
    vec![("prices", Table::from_records(vec![Price { id, amount }]))]
}

#[test]
fn a_column_that_comes_to_round_is_refused_by_the_next_unit() {
    let server =
        Postgres::start("CREATE TABLE prices (id bigint PRIMARY KEY, amount numeric(20, 2))");
    server.reach();
    let targets = vec![Target {
        stream: "prices".to_owned(),
        schema: Price::schema(),
    }];
    let mut writer: Writer<PostgresSink> =
        Writer::open(&server.settings("", ""), targets).expect("it opens");
    let written = writer.write(unit(1)).expect("it writes");
    assert!(written.is_empty(), "{written:?}");
    writer.publish().expect("it publishes");
    server.sql("ALTER TABLE prices ALTER amount TYPE numeric(20, 0)");
    let fault = writer.write(unit(2)).expect_err("it would round");
    assert!(matches!(fault, Fault::Misconfigured(_)), "{fault}");
    assert!(
        fault.message().contains("the column `amount` would change"),
        "{fault}"
    );
    // Once it holds all of it, the same writer goes on.
    server.sql("ALTER TABLE prices ALTER amount TYPE numeric(20, 4)");
    writer.write(unit(2)).expect("it writes");
    writer.publish().expect("it publishes");
    assert_eq!(
        server.sql("SELECT * FROM prices ORDER BY id"),
        "1|13.0000\n2|12.5000"
    );
}

#[test]
fn a_slot_is_made_and_nothing_is_left_of_how() {
    let server = Postgres::start_logical(
        "CREATE TABLE t (id bigint PRIMARY KEY); \
         CREATE PUBLICATION p FOR TABLE t WITH (publish = 'insert, update, delete')",
    );
    server.reach();
    let settings = server.settings(
        "",
        ", \"changes\": {\"publication\": \"p\", \"slot\": \"s\"}",
    );
    let config = sluice_sdk::parse_config(&settings).expect("settings");
    for _ in 0..2 {
        PostgresSource::prepare(&config, &["t".to_owned()]).expect("a slot");
    }
    let standing = "SELECT slot_name, temporary, confirmed_flush_lsn IS NULL FROM pg_replication_slots \
                    WHERE slot_name = 's'";
    assert_eq!(server.sql(standing), "s|f|f");
    // What it was made of goes with the session, which the server may end a little later.
    let is_alone = |_| server.sql("SELECT count(*) FROM pg_replication_slots") == "1";
    assert!((0..500).any(is_alone), "a slot is left over");
}
