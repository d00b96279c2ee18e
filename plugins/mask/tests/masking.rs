//! The transform on a batch, as the host applies it.

use serde_json::{Value, json};
use sluice_mask::Mask;
use sluice_sdk::testing::{self, Table};
use sluice_sdk::{Date, Fault, Record, Timestamp};

const KEY: &str = "0123456789abcdef0123456789abcdef";

#[derive(Record, Clone)]
struct Person {
    #[record(key)]
    id: i64,
    email: Option<String>,
    phone: String,
    note: String,
    age: i64,
    weight: f64,
    born: Date,
    seen: Timestamp,
    address: String,
    zip: String,
}

fn people() -> Table {
    let person = |id: i64, email: Option<&str>, address: &str| Person {
        id,
        email: email.map(str::to_owned),
        phone: "+46 70 123 45 67".to_owned(),
        note: "asked for Björn".to_owned(),
        age: 37,
        weight: 71.3,
        born: Date(10_000),
        seen: Timestamp(1_700_000_000_123_456),
        address: address.to_owned(),
        zip: "12345".to_owned(),
    };
    Table::from_records(vec![
        person(1, Some("a@b.example"), "203.0.113.9"),
        person(2, None, "not an address"),
    ])
}

fn masked(config: &Value) -> Result<Table, Fault> {
    testing::apply::<Mask>(&config.to_string(), &people().into_batch()).map(|applied| applied.batch)
}

#[test]
fn each_rule_hides_what_it_says() {
    let config = json!({
        "key": KEY, "hash": ["email", "id"], "hash_bytes": 16,
        "redact": ["note"], "redact_with": "[redacted]",
        "truncate": [{ "columns": ["phone"], "characters": 6 }],
        "generalise": [
            { "columns": ["age"], "bucket": 10 },
            { "columns": ["weight"], "bucket": 5 },
            { "columns": ["born"], "to": "year" },
            { "columns": ["seen"], "to": "day" },
            { "columns": ["address"], "to": "network" },
            { "columns": ["zip"], "keep": 3 },
        ],
    });
    let rows = masked(&config).expect("masked").objects();
    let first = &rows[0];
    assert_eq!(first["email"].as_str().map(str::len), Some(32));
    assert_ne!(first["id"], rows[1]["id"]);
    assert_eq!(rows[1]["email"], Value::Null, "what is null stays null");
    assert_eq!(first["note"], "[redacted]");
    assert_eq!(first["phone"], "+46 70");
    assert_eq!(
        (&first["age"], &first["weight"]),
        (&json!(30), &json!(70.0))
    );
    assert_eq!(first["born"], "1997-01-01");
    assert!(
        first["seen"]
            .as_str()
            .is_some_and(|text| text.starts_with("2023-11-14T00:00:00")),
        "{first}"
    );
    assert_eq!(
        (&first["address"], &rows[1]["address"]),
        (&json!("203.0.113.0/24"), &Value::Null)
    );
    assert_eq!(first["zip"], "123*");
}

#[test]
fn the_hash_depends_on_the_key_and_the_value_alone() {
    let hash = |key: &str, columns: Value| {
        masked(&json!({ "key": key, "hash": columns }))
            .expect("masked")
            .object(0)
    };
    let one = hash(KEY, json!(["email"]));
    assert_eq!(one["email"], hash(KEY, json!(["phone", "email"]))["email"]);
    assert_ne!(
        one["email"],
        hash(&KEY.to_uppercase(), json!(["email"]))["email"]
    );
}

#[test]
fn a_redacted_column_is_never_read() {
    for name in ["email", "phone", "age", "weight", "born", "seen"] {
        let batch = people().deny(name).into_batch();
        let applied =
            testing::apply::<Mask>(&json!({ "redact": [name] }).to_string(), &batch).expect(name);
        let field = applied
            .batch
            .schema()
            .field(name)
            .expect("still there")
            .clone();
        assert!(field.nullable, "{name}");
    }
    assert_eq!(
        masked(&json!({ "redact": ["age"] }))
            .expect("masked")
            .object(0)["age"],
        Value::Null
    );
    let denied = testing::apply::<Mask>(
        &json!({ "truncate": [{ "columns": ["phone"], "characters": 3 }] }).to_string(),
        &people().deny("phone").into_batch(),
    );
    assert!(matches!(denied, Err(Fault::Denied(_))));
}

#[test]
fn settings_that_cannot_work_are_told_before_the_first_record() {
    let check = |config: Value, expected: &str| {
        let fault = masked(&config).map(|_| ()).expect_err(expected);
        assert!(
            matches!(fault, Fault::Misconfigured(_)) && fault.message().contains(expected),
            "{fault}"
        );
    };
    check(json!({}), "no column is named");
    check(
        json!({ "hash": ["email"] }),
        "`hash` needs a `key` of 32 characters",
    );
    check(
        json!({ "hash": ["email"], "key": "short" }),
        "`hash` needs a `key` of 32 characters",
    );
    check(
        json!({ "hash": ["email"], "key": KEY, "hash_bytes": 7 }),
        "`hash_bytes = 7` is not 8 to 32",
    );
    check(
        json!({ "hash": ["emai"], "key": KEY }),
        "there is no column `emai`; did you mean `email`?",
    );
    check(
        json!({ "hash": ["weight"], "key": KEY }),
        "column `weight` is float64: `hash` takes",
    );
    check(
        json!({ "redact": ["email", "email"] }),
        "column `email` stands in more than one rule",
    );
    check(
        json!({ "redact": ["id"] }),
        "column `id` identifies records",
    );
    check(
        json!({ "truncate": [{ "columns": ["age"], "characters": 3 }] }),
        "column `age` is int64: this rule takes text",
    );
    check(
        json!({ "truncate": [{ "columns": ["note"], "characters": 0 }] }),
        "`characters = 0` keeps nothing",
    );
    check(
        json!({ "generalise": [{ "columns": ["age"] }] }),
        "needs one of `to`, `bucket` and `keep`",
    );
    check(
        json!({ "generalise": [{ "columns": ["age"], "bucket": 10, "keep": 1 }] }),
        "needs one of",
    );
    check(
        json!({ "generalise": [{ "columns": ["age"], "bucket": 1.5 }] }),
        "`bucket = 1.5` of column `age`",
    );
    check(
        json!({ "generalise": [{ "columns": ["born"], "to": "day" }] }),
        "this rule takes timestamp",
    );
    check(
        json!({ "generalise": [{ "columns": ["note"], "to": "year" }] }),
        "this rule takes date and timestamp",
    );
    check(json!({ "redacts": ["email"] }), "unknown field `redacts`");
}
