//! What cannot work and who is told of it; and that the README and the schema say what the code does.

use crate::{Order, orders};
use serde_json::{Value, json};
use sluice_map::Map;
use sluice_sdk::testing::{self, Table};
use sluice_sdk::{Fault, Record};

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
    let readme = include_str!("../../README.md");
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
    let schema: Value =
        serde_json::from_str(include_str!("../../config.schema.json")).expect("JSON");
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
