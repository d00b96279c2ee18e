//! The pipelines that the READMEs of plugins show, run as they are written: only hosts, ports and secrets are others.

use serde_json::Value;
use sluice_e2e::postgres::Postgres;
use sluice_e2e::service::{self, Service};
use sluice_e2e::sql::PASSWORD;
use sluice_e2e::storage::{BUCKET, REGION, Storage};
use sluice_e2e::{TestHost, examples};

/// A text with another in its place, where it must stand.
fn with(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "`{from}` in {text}");
    text.replace(from, to)
}

/// A server with the database `shop` and a few rows in it.
fn shop() -> Postgres {
    let server = Postgres::start_logical("");
    for database in ["shop", "warehouse"] {
        server.sql(&format!("CREATE DATABASE {database}"));
    }
    let tables = "CREATE TABLE orders (id bigint PRIMARY KEY, customer int, amount numeric(10,2)); \
                  CREATE TABLE customers (id int PRIMARY KEY, name text); \
                  INSERT INTO orders SELECT n, n % 10, n / 3.0 FROM generate_series(1, 500) AS n; \
                  INSERT INTO customers SELECT n, 'customer ' || n FROM generate_series(0, 9) AS n";
    let made = server.client().to("shop").sql(tables);
    made.expect("tables");
    server
}

#[test]
fn postgres() {
    let server = shop();
    let (shop, warehouse) = (server.client().to("shop"), server.client().to("warehouse"));
    // What the README has whoever keeps the database type.
    for sql in examples("postgres", "sql") {
        shop.sql(&sql)
            .unwrap_or_else(|said| panic!("{sql}: {said}"));
    }
    // Nobody's but what the README says that a sink needs.
    let writer = format!(
        "CREATE ROLE writer LOGIN PASSWORD '{PASSWORD}'; CREATE SCHEMA shop; GRANT USAGE, CREATE ON SCHEMA shop TO writer"
    );
    warehouse.sql(&writer).expect("a role");
    let examples = examples("postgres", "toml");
    let [pipeline] = &examples[..] else {
        panic!("one pipeline: {examples:#?}");
    };
    let here = format!("host = \"localhost\"\nport = {}", server.port);
    let pipeline = with(pipeline, "host = \"shop.db.example\"", &here);
    let pipeline = with(&pipeline, "host = \"warehouse.db.example\"", &here);
    let host = service::deployment();
    for secret in ["shop-reader", "warehouse-writer"] {
        host.secret(secret, PASSWORD);
    }
    let file = "pipelines/orders.toml";
    host.write(file, pipeline);
    host.grant_trusting(file, &server);
    drop(host.sluice(&["check", file]).done());
    let mut service = Service::start(&host);
    let sums = "SELECT (SELECT count(*) FROM orders), (SELECT sum(amount) FROM orders), (SELECT count(*) FROM customers)";
    let is_equal = |_: &Service<'_>| {
        let there = warehouse.sql(&format!("SET search_path = shop; {sums}"));
        there.is_ok() && there == shop.sql(sums)
    };
    service.until("the tables", is_equal);
    shop.sql("DELETE FROM orders WHERE id < 100; UPDATE orders SET amount = 7 WHERE id > 400")
        .expect("changes");
    service.until("what changed", is_equal);
    service.stops();
    assert_eq!(host.dead_letters(file), Vec::<Value>::new());
}

#[test]
fn s3() {
    let (server, storage) = (shop(), Storage::start());
    let examples = examples("s3", "toml");
    let [pipeline] = &examples[..] else {
        panic!("one pipeline: {examples:#?}");
    };
    let here = format!("host = \"localhost\", port = {}", server.port);
    let pipeline = with(pipeline, "host = \"db.internal\"", &here);
    let there = format!("http://127.0.0.1:{}", storage.port);
    let pipeline = with(&pipeline, "https://s3.eu-north-1.amazonaws.com", &there);
    for said in [BUCKET, REGION] {
        assert!(pipeline.contains(&format!("\"{said}\"")), "{said}");
    }
    let host = TestHost::new();
    host.secret("shop-reader", PASSWORD);
    host.secret("lake-writer", &storage.keys);
    host.write("lake.toml", pipeline);
    host.grant_trusting("lake.toml", &server);
    drop(host.sluice(&["check", "lake.toml"]).done());
    assert_eq!(host.run("lake.toml")["written"], 500);
    let keys = storage.data("shop/orders/");
    assert_eq!(keys.len(), 1, "{keys:?}");
    let rows = storage.parquet(&keys[0])["rows"].clone();
    assert_eq!(rows.as_array().map(Vec::len), Some(500));
    assert_eq!(rows[0]["amount"], "0.33", "{}", rows[0]);
    assert_eq!(host.run("lake.toml")["read"], 0);
}
