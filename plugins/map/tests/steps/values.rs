//! Steps that name, cut, join, cast and reckon: one column in, one column out.

use crate::{check, orders, run};
use serde_json::{Value, json};
use sluice_map::Map;
use sluice_sdk::testing;
use sluice_sdk::transform::Edit;

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
