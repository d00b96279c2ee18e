//! Each step as a table: records in, steps, records out; and what is refused before any record is seen.

mod told;
mod values;

use serde_json::{Value, json};
use sluice_map::Map;
use sluice_sdk::testing::{self, Applied, Table};
use sluice_sdk::transform::Edit;
use sluice_sdk::{Date, Decimal, Json, Record, Timestamp};

#[derive(Record, Clone)]
struct Order {
    #[record(key)]
    id: i64,
    name: String,
    note: Option<String>,
    qty: Option<i64>,
    price: f64,
    cost: Decimal<10, 2>,
    paid: bool,
    day: Date,
    at: Option<Timestamp>,
    raw: Vec<u8>,
    extra: Json,
}

fn orders() -> Table {
    let order = Order {
        id: 1,
        name: " Ada ".into(),
        note: Some("straße".into()),
        qty: Some(3),
        price: 1.125,
        cost: Decimal(250),
        paid: true,
        day: Date(0),
        at: Some(Timestamp(1_500_000)),
        raw: b"raw".to_vec(),
        extra: Json("{\"a\":1}".into()),
    };
    let missing = Order {
        id: 2,
        name: "bob".into(),
        note: None,
        qty: None,
        paid: false,
        at: None,
        ..order.clone()
    };
    let large = Order {
        id: i64::MAX,
        name: String::new(),
        note: Some("12".into()),
        qty: Some(0),
        price: -2.0,
        cost: Decimal(-1),
        raw: vec![0xff],
        ..order.clone()
    };
    Table::from_records(vec![order, missing, large])
}

fn run(steps: &Value) -> Applied {
    let config = json!({ "steps": steps }).to_string();
    testing::apply::<Map>(&config, &orders().into_batch())
        .unwrap_or_else(|fault| panic!("{steps}: {fault}"))
}

/// One column of what comes out, and `row code` of what is refused.
fn check(steps: &Value, column: &str, values: &Value, refused: &[&str]) {
    let applied = run(steps);
    let found: Vec<Value> = applied
        .batch
        .objects()
        .iter()
        .map(|row| row[column].clone())
        .collect();
    assert_eq!(&Value::from(found), values, "{steps}");
    let codes: Vec<String> = applied
        .rejections
        .iter()
        .map(|rejection| format!("{} {}", rejection.row, rejection.code))
        .collect();
    assert_eq!(codes, refused, "{steps}");
}

#[test]
fn conditions() {
    let keep = |condition: &Value| json!([{"keep": condition}]);
    let (one, two, max) = (json!(1), json!(2), json!(i64::MAX));
    for (condition, ids) in [
        (json!({"column": "name", "is": "bob"}), json!([two])),
        (
            json!({"column": "name", "is_not": "bob"}),
            json!([one, max]),
        ),
        (json!({"column": "note", "is_not": "12"}), json!([one, two])),
        (
            json!({"column": "note", "in": ["12", "straße"]}),
            json!([one, max]),
        ),
        (json!({"column": "note", "in": []}), json!([])),
        (json!({"column": "note", "is_null": true}), json!([two])),
        (
            json!({"column": "note", "is_null": false}),
            json!([one, max]),
        ),
        (json!({"column": "id", "is_null": true}), json!([])),
        (json!({"column": "qty", "less": 3}), json!([max])),
        (
            json!({"column": "qty", "less_or_equal": 3}),
            json!([one, max]),
        ),
        (json!({"column": "qty", "greater": 0}), json!([one])),
        (
            json!({"column": "qty", "greater_or_equal": 0}),
            json!([one, max]),
        ),
        (
            json!({"column": "id", "greater": 1, "less": 3}),
            json!([two]),
        ),
        (json!({"column": "price", "is": 1.125}), json!([one, two])),
        (json!({"column": "price", "less": 0}), json!([max])),
        (json!({"column": "cost", "is": 2.5}), json!([one, two])),
        (json!({"column": "cost", "less": "0.00"}), json!([max])),
        (json!({"column": "paid", "is": false}), json!([two])),
        (
            json!({"column": "day", "is": "1970-01-01"}),
            json!([one, two, max]),
        ),
        (json!({"column": "day", "greater": "1970-01-01"}), json!([])),
        (
            json!({"column": "at", "greater": "1970-01-01T00:00:01Z"}),
            json!([one, max]),
        ),
        (json!({"column": "name", "less": "a"}), json!([one, max])),
        (json!({"column": "name", "contains": "d"}), json!([one])),
        (
            json!({"column": "name", "contains": ""}),
            json!([one, two, max]),
        ),
        (
            json!({"column": "note", "starts_with": "str"}),
            json!([one]),
        ),
        (json!({"column": "note", "ends_with": "2"}), json!([max])),
        (
            json!({"column": "note", "contains": "a", "starts_with": "s"}),
            json!([one]),
        ),
        (
            json!({"not": {"column": "note", "contains": "a"}}),
            json!([two, max]),
        ),
        (
            json!({"all": [{"column": "paid", "is": true}, {"column": "qty", "greater": 0}]}),
            json!([one]),
        ),
        (
            json!({"any": [{"column": "paid", "is": false}, {"column": "qty", "greater": 0}]}),
            json!([one, two]),
        ),
        (json!({"all": []}), json!([one, two, max])),
        (json!({"any": []}), json!([])),
    ] {
        check(&keep(&condition), "id", &ids, &[]);
        let applied = run(&keep(&condition));
        assert_eq!(applied.filtered + applied.batch.rows(), 3, "{condition}");
    }
}

#[test]
fn a_row_is_counted_once() {
    let zero = json!({"compute": {"into": "c", "op": "divide", "left": 1, "right": "qty"}});
    let gone = json!({"keep": {"column": "qty", "is_not": 0}});
    let refuse = json!({"reject": {"when": {"column": "qty", "is": 0}, "code": "empty", "message": "nothing ordered"}});
    for (steps, filtered, refused) in [
        (json!([gone, zero, refuse]), 1, &[][..]),
        (json!([zero, gone, refuse]), 0, &["division-by-zero"]),
        (json!([refuse, zero, gone]), 0, &["empty"]),
        (json!([gone, {"keep": {"column": "id", "is": 1}}]), 2, &[]),
    ] {
        let applied = run(&steps);
        let codes: Vec<&str> = applied
            .rejections
            .iter()
            .map(|rejection| rejection.code.as_str())
            .collect();
        assert_eq!(
            (applied.filtered, codes.as_slice()),
            (filtered, refused),
            "{steps}"
        );
        assert_eq!(applied.batch.rows() + filtered + refused.len(), 3);
    }
}

#[test]
fn steps_see_what_the_steps_before_made() {
    let steps = json!([
        {"compute": {"into": "total", "op": "multiply", "left": "price", "right": "qty"}},
        {"rename": {"from": "total", "to": "sum"}},
        {"compute": {"into": "sum", "op": "add", "left": "sum", "right": 1}},
        {"cast": {"column": "sum", "to": "text"}},
        {"rename": {"from": "name", "to": "total"}},
        {"drop": ["note"]},
        {"concat": {"into": "note", "from": ["total", "sum"], "separator": "="}},
        {"trim": ["note"]},
        {"drop": ["price", "cost", "paid", "day", "at", "raw", "extra"]},
    ]);
    let applied = run(&steps);
    assert_eq!(
        applied.batch.object(0),
        json!({"id": 1, "total": " Ada ", "qty": 3, "sum": "4.375", "note": "Ada =4.375"})
    );
    let puts = applied
        .edits
        .as_slice()
        .iter()
        .filter(|edit| matches!(edit, Edit::Put(_)))
        .count();
    assert_eq!(puts, 2, "each column is put once");
}
