//! Each step as a table: records in, steps, records out; and what is refused before any record is seen.

use serde_json::{Value, json};
use sluice_map::Map;
use sluice_sdk::testing::{self, Applied, Table};
use sluice_sdk::transform::Edit;
use sluice_sdk::{Date, Decimal, Fault, Json, Record, Timestamp};

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
fn names_change_and_go() {
    let applied = run(&json!([
        {"rename": {"from": "name", "to": "customer"}},
        {"drop": ["note", "raw"]},
        {"rename": {"from": "customer", "to": "note"}},
        {"drop": ["extra"]},
    ]));
    let names: Vec<&str> = applied
        .batch
        .schema()
        .fields
        .iter()
        .map(|field| field.name.as_str())
        .collect();
    assert_eq!(
        names,
        ["id", "note", "qty", "price", "cost", "paid", "day", "at"]
    );
    let values = applied
        .edits
        .as_slice()
        .iter()
        .filter(|edit| matches!(edit, Edit::Put(_)))
        .count();
    assert_eq!(values, 0, "names alone read and put nothing");
}

#[test]
fn the_key_follows_its_columns() {
    let key = |steps: Value| {
        let config = json!({ "steps": steps }).to_string();
        testing::output::<Map>(&config, orders().schema()).map(|schema| schema.key)
    };
    assert_eq!(
        key(json!([{"rename": {"from": "id", "to": "number"}}])),
        Ok(vec!["number".to_owned()])
    );
    assert_eq!(key(json!([{"drop": ["id"]}])), Ok(vec![]));
}

#[test]
fn letters_and_space() {
    for (steps, column, values) in [
        (
            json!([{"upper": ["name"]}]),
            "name",
            json!([" ADA ", "BOB", ""]),
        ),
        (
            json!([{"lower": ["name"]}]),
            "name",
            json!([" ada ", "bob", ""]),
        ),
        (
            json!([{"trim": ["name"]}]),
            "name",
            json!(["Ada", "bob", ""]),
        ),
        (
            json!([{"upper": ["note"]}]),
            "note",
            json!(["STRASSE", null, "12"]),
        ),
        (
            json!([{"upper": ["note"]}, {"lower": ["note"]}]),
            "note",
            json!(["strasse", null, "12"]),
        ),
    ] {
        check(&steps, column, &values, &[]);
    }
}

#[test]
fn constants() {
    for (steps, column, values) in [
        (
            json!([{"set": {"column": "source", "value": "crm"}}]),
            "source",
            json!(["crm", "crm", "crm"]),
        ),
        (
            json!([{"set": {"column": "n", "value": 7}}]),
            "n",
            json!([7, 7, 7]),
        ),
        (
            json!([{"set": {"column": "n", "value": 7.5}}]),
            "n",
            json!([7.5, 7.5, 7.5]),
        ),
        (
            json!([{"set": {"column": "n", "value": false}}]),
            "n",
            json!([false, false, false]),
        ),
        (
            json!([{"set": {"column": "n", "value": 7, "type": "decimal(5,2)"}}]),
            "n",
            json!(["7.00", "7.00", "7.00"]),
        ),
        (
            json!([{"set": {"column": "n", "value": "2026-01-31", "type": "date"}}]),
            "n",
            json!(["2026-01-31", "2026-01-31", "2026-01-31"]),
        ),
        (
            json!([{"set": {"column": "name", "value": 7, "type": "int64"}}]),
            "name",
            json!([7, 7, 7]),
        ),
        (
            json!([{"set": {"column": "note", "value": "-", "when": {"column": "note", "is_null": true}}}]),
            "note",
            json!(["straße", "-", "12"]),
        ),
        (
            json!([{"set": {"column": "qty", "value": 9, "when": {"column": "id", "less": 3}}}]),
            "qty",
            json!([9, 9, 0]),
        ),
        (
            json!([{"set": {"column": "paid", "value": true, "when": {"column": "id", "is": 2}}}]),
            "paid",
            json!([true, true, true]),
        ),
        (
            json!([{"set": {"column": "cost", "value": "1.5", "when": {"column": "id", "is": 2}}}]),
            "cost",
            json!(["2.50", "1.50", "-0.01"]),
        ),
        (
            json!([{"set": {"column": "price", "value": 1, "when": {"column": "id", "is": 2}}}]),
            "price",
            json!([1.125, 1.0, -2.0]),
        ),
        (
            json!([{"set": {"column": "day", "value": "2000-02-29", "when": {"column": "id", "is": 2}}}]),
            "day",
            json!(["1970-01-01", "2000-02-29", "1970-01-01"]),
        ),
        (
            json!([{"set": {"column": "new", "value": "x", "when": {"column": "id", "is": 2}}}]),
            "new",
            json!([null, "x", null]),
        ),
        (
            json!([{"clear": {"column": "name", "when": {"column": "name", "is": ""}}}]),
            "name",
            json!([" Ada ", "bob", null]),
        ),
        (
            json!([{"clear": {"column": "note"}}]),
            "note",
            json!([null, null, null]),
        ),
    ] {
        check(&steps, column, &values, &[]);
    }
}

#[test]
fn texts_are_joined() {
    for (steps, values) in [
        (
            json!([{"concat": {"into": "c", "from": ["name", "note"], "separator": "-"}}]),
            json!([" Ada -straße", "bob", "-12"]),
        ),
        (
            json!([{"concat": {"into": "c", "from": ["note"]}}]),
            json!(["straße", null, "12"]),
        ),
        (
            json!([{"concat": {"into": "c", "from": ["note", "note"]}}]),
            json!(["straßestraße", null, "1212"]),
        ),
    ] {
        check(&steps, "c", &values, &[]);
    }
    check(
        &json!([{"concat": {"into": "name", "from": ["name", "name"]}}]),
        "name",
        &json!([" Ada  Ada ", "bobbob", ""]),
        &[],
    );
}

#[test]
fn casts() {
    let cast = |column: &str, to: &str| json!([{"cast": {"column": column, "to": to}}]);
    for (column, to, values, refused) in [
        ("qty", "text", json!(["3", null, "0"]), &[][..]),
        ("qty", "float64", json!([3.0, null, 0.0]), &[]),
        ("qty", "decimal(3,1)", json!(["3.0", null, "0.0"]), &[]),
        ("id", "decimal(1,0)", json!(["1", "2"]), &["2 cast"]),
        ("price", "text", json!(["1.125", "1.125", "-2"]), &[]),
        ("price", "int64", json!([-2]), &["0 cast", "1 cast"]),
        (
            "price",
            "decimal(5,2)",
            json!(["1.12", "1.12", "-2.00"]),
            &[],
        ),
        ("cost", "float64", json!([2.5, 2.5, -0.01]), &[]),
        ("cost", "int64", json!([]), &["0 cast", "1 cast", "2 cast"]),
        ("cost", "decimal(3,1)", json!(["2.5", "2.5", "0.0"]), &[]),
        ("cost", "text", json!(["2.50", "2.50", "-0.01"]), &[]),
        ("paid", "int64", json!([1, 0, 1]), &[]),
        ("paid", "text", json!(["true", "false", "true"]), &[]),
        (
            "day",
            "timestamp",
            json!([
                "1970-01-01T00:00:00Z",
                "1970-01-01T00:00:00Z",
                "1970-01-01T00:00:00Z"
            ]),
            &[],
        ),
        ("at", "date", json!(["1970-01-01", null, "1970-01-01"]), &[]),
        (
            "at",
            "text",
            json!([
                "1970-01-01T00:00:01.500000Z",
                null,
                "1970-01-01T00:00:01.500000Z"
            ]),
            &[],
        ),
        ("raw", "text", json!(["raw", "raw"]), &["2 cast"]),
        (
            "extra",
            "text",
            json!(["{\"a\":1}", "{\"a\":1}", "{\"a\":1}"]),
            &[],
        ),
        ("note", "int64", json!([null, 12]), &["0 cast"]),
        ("note", "boolean", json!([null]), &["0 cast", "2 cast"]),
        ("note", "json", json!([null, 12]), &["0 cast"]),
        ("name", "binary", json!(["IEFkYSA=", "Ym9i", ""]), &[]),
        ("qty", "int64", json!([3, null, 0]), &[]),
    ] {
        check(&cast(column, to), column, &values, refused);
    }
    check(
        &json!([{"cast": {"column": "note", "to": "float64", "on_error": "null"}}]),
        "note",
        &json!([null, null, 12.0]),
        &[],
    );
    let texts = |text: &str, to: &str| json!([{"set": {"column": "t", "value": text}}, {"cast": {"column": "t", "to": to, "on_error": "null"}}]);
    for (text, to, value) in [
        (" 42 ", "int64", json!(42)),
        ("4.2", "int64", Value::Null),
        ("9223372036854775808", "int64", Value::Null),
        ("1e3", "float64", json!(1000.0)),
        ("NaN", "float64", Value::Null),
        ("inf", "float64", Value::Null),
        ("12.345", "decimal(5,2)", Value::Null),
        ("12.3", "decimal(5,2)", json!("12.30")),
        ("Yes", "boolean", json!(true)),
        ("2026-02-30", "date", Value::Null),
        ("2026-02-28", "date", json!("2026-02-28")),
        (
            "2026-02-28T10:00:00+01:00",
            "timestamp",
            json!("2026-02-28T09:00:00Z"),
        ),
        ("[1", "json", Value::Null),
    ] {
        check(&texts(text, to), "t", &json!([value, value, value]), &[]);
    }
}

#[test]
fn arithmetic() {
    let compute = |op: &str, left: Value, right: Value| json!([{"compute": {"into": "c", "op": op, "left": left, "right": right}}]);
    for (op, left, right, values, refused) in [
        ("add", json!("qty"), json!(1), json!([4, null, 1]), &[][..]),
        (
            "subtract",
            json!(1),
            json!("qty"),
            json!([-2, null, 1]),
            &[],
        ),
        (
            "multiply",
            json!("id"),
            json!(2),
            json!([2, 4]),
            &["2 overflow"],
        ),
        (
            "add",
            json!("id"),
            json!("id"),
            json!([2, 4]),
            &["2 overflow"],
        ),
        (
            "divide",
            json!("id"),
            json!("qty"),
            json!([1.0 / 3.0, null]),
            &["2 division-by-zero"],
        ),
        (
            "divide",
            json!("price"),
            json!(0),
            json!([]),
            &[
                "0 division-by-zero",
                "1 division-by-zero",
                "2 division-by-zero",
            ],
        ),
        (
            "multiply",
            json!("qty"),
            json!("price"),
            json!([3.375, null, -0.0]),
            &[],
        ),
        (
            "multiply",
            json!("price"),
            json!(1.7e308),
            json!([]),
            &["0 overflow", "1 overflow", "2 overflow"],
        ),
        (
            "add",
            json!("cost"),
            json!("price"),
            json!([3.625, 3.625, -2.01]),
            &[],
        ),
        (
            "add",
            json!("cost"),
            json!("qty"),
            json!(["5.50", null, "-0.01"]),
            &[],
        ),
        (
            "subtract",
            json!("cost"),
            json!(1),
            json!(["1.50", "1.50", "-1.01"]),
            &[],
        ),
        (
            "multiply",
            json!("cost"),
            json!("cost"),
            json!(["6.2500", "6.2500", "0.0001"]),
            &[],
        ),
        (
            "divide",
            json!("cost"),
            json!(3),
            json!(["0.833333", "0.833333", "-0.003333"]),
            &[],
        ),
        (
            "divide",
            json!("cost"),
            json!("qty"),
            json!(["0.833333", null]),
            &["2 division-by-zero"],
        ),
        (
            "multiply",
            json!(2),
            json!(3.5),
            json!([7.0, 7.0, 7.0]),
            &[],
        ),
    ] {
        check(&compute(op, left, right), "c", &values, refused);
    }
    for (steps, values, refused) in [
        (
            json!([{"compute": {"into": "c", "op": "multiply", "left": "price", "right": 1, "round": 2}}]),
            json!([1.13, 1.13, -2.0]),
            &[][..],
        ),
        (
            json!([{"compute": {"into": "c", "op": "divide", "left": "cost", "right": 3, "round": 0}}]),
            json!(["1", "1", "0"]),
            &[],
        ),
        (
            json!([{"compute": {"into": "c", "op": "multiply", "left": "cost", "right": "cost", "round": 38}}]),
            // 0.0001 has few enough digits for 38 places, 6.25 does not.
            json!(["0.00010000000000000000000000000000000000"]),
            &["0 overflow", "1 overflow"],
        ),
        (
            json!([{"compute": {"into": "id", "op": "multiply", "left": "id", "right": 2}}, {"set": {"column": "c", "value": 1}}]),
            json!([1, 1]),
            &["2 overflow"],
        ),
    ] {
        check(&steps, "c", &values, refused);
    }
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

#[test]
fn only_named_columns_are_read() {
    let table = [
        "note", "qty", "price", "cost", "paid", "day", "at", "raw", "extra", "id",
    ]
    .into_iter()
    .fold(orders(), Table::deny);
    let steps = json!({"steps": [
        {"rename": {"from": "qty", "to": "count"}},
        {"drop": ["note"]},
        {"set": {"column": "price", "value": 1}},
        {"upper": ["name"]},
        {"keep": {"column": "name", "is": "BOB"}},
    ]});
    let applied = testing::apply::<Map>(&steps.to_string(), &table.into_batch())
        .expect("nothing denied is read");
    assert_eq!(applied.batch.rows(), 1);
}

#[test]
fn what_cannot_work_is_told_with_its_step() {
    let bad = |step: Value| {
        let config = json!({"steps": [{"drop": ["raw"]}, step]}).to_string();
        match testing::output::<Map>(&config, orders().schema()) {
            Err(Fault::Misconfigured(text)) => text,
            other => panic!("{config}: {other:?}"),
        }
    };
    for (step, problem) in [
        (
            json!({"upper": ["nam"]}),
            "step 2 (`upper`): there is no column `nam`; did you mean `name`?",
        ),
        (
            json!({"upper": ["raw"]}),
            "step 2 (`upper`): there is no column `raw`",
        ),
        (
            json!({"upper": ["qty"]}),
            "step 2 (`upper`): column `qty` is int64, not text: cast it first",
        ),
        (
            json!({"rename": {"from": "name", "to": "note"}}),
            "step 2 (`rename`): there is a column `note` already: drop it first",
        ),
        (
            json!({"rename": {"from": "name", "to": ""}}),
            "step 2 (`rename`): a column needs a name",
        ),
        (
            json!({"rename": {"form": "name", "to": "x"}}),
            "step 2 (`rename`): config `rename.form`: unknown field `form`, expected `from` or `to`",
        ),
        (
            json!({"uper": ["name"]}),
            "step 2 (`uper`): config: unknown variant `uper`, expected one of",
        ),
        (
            json!({"set": {"column": "", "value": 1}}),
            "step 2 (`set`): a column needs a name",
        ),
        (
            json!({"set": {"column": "x", "value": null}}),
            "step 2 (`set`): `null` is neither text, number nor boolean",
        ),
        (
            json!({"set": {"column": "qty", "value": "many"}}),
            "step 2 (`set`): `\"many\"` is not a value of type int64",
        ),
        (
            json!({"set": {"column": "qty", "value": "x", "type": "text", "when": {"column": "id", "is": 1}}}),
            "step 2 (`set`): column `qty` is int64: with `when` it cannot become text",
        ),
        (
            json!({"cast": {"column": "paid", "to": "date"}}),
            "step 2 (`cast`): column `paid` is boolean, which cannot become date",
        ),
        (
            json!({"cast": {"column": "paid", "to": "string"}}),
            "step 2 (`cast`): `string` is not a type",
        ),
        (
            json!({"concat": {"into": "x", "from": []}}),
            "step 2 (`concat`): `from` names no column",
        ),
        (
            json!({"compute": {"into": "x", "op": "add", "left": "name", "right": 1}}),
            "step 2 (`compute`): column `name` is text, not a number: cast it first",
        ),
        (
            json!({"compute": {"into": "x", "op": "add", "left": "qty", "right": 1, "round": 2}}),
            "step 2 (`compute`): `round` has no meaning here: the result is int64",
        ),
        (
            json!({"compute": {"into": "x", "op": "add", "left": "price", "right": 1, "round": 16}}),
            "step 2 (`compute`): `round` is at most 15 digits",
        ),
        (
            json!({"compute": {"into": "x", "op": "add", "left": "cost", "right": 1, "round": 39}}),
            "step 2 (`compute`): `round` is at most 38 digits",
        ),
        (
            json!({"compute": {"into": "x", "op": "add", "left": true, "right": 1}}),
            "expected a column's name or a number",
        ),
        (
            json!({"keep": {}}),
            "step 2 (`keep`): a condition is one of `all`, `any` and `not`, or a `column`",
        ),
        (
            json!({"keep": {"is": 1}}),
            "step 2 (`keep`): a test needs a `column`",
        ),
        (
            json!({"keep": {"column": "qty"}}),
            "step 2 (`keep`): column `qty` stands without a test",
        ),
        (
            json!({"keep": {"column": "qty", "is": 1, "any": []}}),
            "step 2 (`keep`): a condition is one of",
        ),
        (
            json!({"keep": {"column": "qty", "is": 1.5}}),
            "step 2 (`keep`): column `qty`: `1.5` is not a value of type int64",
        ),
        (
            json!({"keep": {"column": "cost", "is": 1.555}}),
            "step 2 (`keep`): column `cost`: `1.555` is not a value of type decimal(10,2)",
        ),
        (
            json!({"keep": {"column": "day", "is": "31.1.2026"}}),
            "is not a value of type date such as",
        ),
        (
            json!({"keep": {"column": "paid", "less": true}}),
            "step 2 (`keep`): column `paid` is boolean, and has no less or greater",
        ),
        (
            json!({"keep": {"column": "qty", "contains": "1"}}),
            "step 2 (`keep`): column `qty` is int64, not text: cast it first",
        ),
        (
            json!({"reject": {"when": {"all": []}, "code": "", "message": "x"}}),
            "step 2 (`reject`): `code` is empty",
        ),
    ] {
        let found = bad(step);
        assert!(found.contains(problem), "{found}\n{problem}");
    }
    let deep = (0..20).fold(json!({"all": []}), |inner, _| json!({ "not": inner }));
    assert!(bad(json!({ "keep": deep })).contains("nested more than 16 deep"));
}

#[test]
fn nothing_in_nothing_out() {
    let steps = json!({"steps": [
        {"upper": ["name"]},
        {"compute": {"into": "c", "op": "divide", "left": "price", "right": "qty", "round": 2}},
        {"concat": {"into": "d", "from": ["name", "note"]}},
        {"cast": {"column": "qty", "to": "text"}},
        {"set": {"column": "e", "value": "x", "when": {"column": "c", "is_null": true}}},
        {"keep": {"column": "note", "contains": "x"}},
    ]});
    let empty = Table::from_records(Vec::<Order>::new());
    let applied = testing::apply::<Map>(&steps.to_string(), &empty.into_batch()).expect("sound");
    assert_eq!(applied.batch.rows(), 0);
}

/// The example in the README works on a stream that has its columns.
#[test]
fn the_readme_is_right() {
    #[derive(Record)]
    struct Sale<'a> {
        customer_name: &'a str,
        email: &'a str,
        internal_flag: bool,
        currency: &'a str,
        placed_at: &'a str,
        qty: i64,
        unit_price: f64,
        region: Option<&'a str>,
        status: &'a str,
    }
    let readme = include_str!("../README.md");
    let example = readme
        .split("```toml")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .expect("an example");
    let example: toml::Value = toml::from_str(example).expect("TOML");
    let config = serde_json::to_string(&example["transform"][0]["config"]).expect("JSON");
    let sale = |status, qty| Sale {
        customer_name: "Ada",
        email: "ada@example.org",
        internal_flag: false,
        currency: " sek ",
        placed_at: "2026-01-31T08:30:00Z",
        qty,
        unit_price: 9.99,
        region: None,
        status,
    };
    let table = Table::from_records(vec![
        sale("paid", 3),
        sale("cancelled", 1),
        sale("paid", -1),
    ]);
    let applied = testing::apply::<Map>(&config, &table.into_batch()).expect("it works");
    let expected = json!({
        "customer": "Ada", "currency": "SEK", "placed_at": "2026-01-31T08:30:00Z", "qty": 3, "unit_price": 9.99,
        "region": "unknown", "status": "paid", "total": 29.97, "source": "shop", "label": "Ada / SEK",
    });
    assert_eq!(applied.batch.objects(), [expected]);
    assert_eq!(
        (applied.filtered, applied.rejections[0].code.as_str()),
        (1, "negative-total")
    );
}

/// The schema the host checks settings with names the same steps and tests as the code.
#[test]
fn the_schema_names_what_the_code_knows() {
    let schema: Value = serde_json::from_str(include_str!("../config.schema.json")).expect("JSON");
    let names = |definition: &str| -> Vec<String> {
        let mut names: Vec<String> = schema["$defs"][definition]["properties"]
            .as_object()
            .expect("an object")
            .keys()
            .cloned()
            .collect();
        names.sort();
        names
    };
    // The code says what it expects when it meets what it does not know.
    let expected = |step: Value| -> Vec<String> {
        let config = json!({"steps": [step]}).to_string();
        let fault = testing::output::<Map>(&config, orders().schema())
            .expect_err("unknown")
            .to_string();
        let (_, list) = fault.split_once("expected one of ").expect("a list");
        let mut names: Vec<String> = list
            .split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect();
        names.sort();
        names
    };
    assert_eq!(names("step"), expected(json!({"unknown": 1})));
    assert_eq!(
        names("condition"),
        expected(json!({"keep": {"unknown": 1}}))
    );
}

#[test]
fn a_text_is_equal_to_itself_alone_at_every_length() {
    #[derive(Record)]
    struct Text {
        text: Option<String>,
    }
    const WHOLE: &str = "abcdefghijklmnopqrst";
    let mut texts = vec![None];
    for end in 0..=WHOLE.len() {
        let text = &WHOLE[..end];
        texts.push(Some(text.to_owned()));
        for at in 0..end {
            texts.push(Some(text[at..].to_owned()));
            texts.push(Some(format!("{}X{}", &text[..at], &text[at + 1..])));
        }
    }
    // Each alone too: a column may be shorter than what is compared at once.
    let alone = texts.iter().map(|text| vec![text.clone()]);
    let columns: Vec<Vec<Option<String>>> = std::iter::once(texts.clone()).chain(alone).collect();
    for constant in (0..=WHOLE.len()).map(|end| &WHOLE[..end]) {
        let steps = json!({"steps": [{"keep": {"column": "text", "is": constant}}]}).to_string();
        for column in &columns {
            let records = column.iter().map(|text| Text { text: text.clone() });
            let batch = Table::from_records(records.collect()).into_batch();
            let applied =
                testing::apply::<Map>(&steps, &batch).unwrap_or_else(|fault| panic!("{fault}"));
            let expected = column
                .iter()
                .filter(|text| text.as_deref() == Some(constant));
            assert_eq!(
                applied.batch.rows(),
                expected.count(),
                "`{constant}` in {column:?}"
            );
        }
    }
}
