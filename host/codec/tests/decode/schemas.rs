//! What becomes of a schema: drift, growth, and the guess where there is none.

use super::{NDJSON, csv, decoded, json, run, schema, told};
use arrow_array::Array as _;
use arrow_array::cast::AsArray as _;
use arrow_array::types::{Decimal128Type, Int64Type};
use sluice_codec::{Document, DocumentFormat, Outcome, infer};
use sluice_model::contract::Drift;
use sluice_model::fault::FaultKind;
use sluice_model::limits;
use sluice_model::schema::Schema;

#[test]
fn the_contract_decides_about_drift() {
    let text = b"{\"a\":1}\n{\"a\":\"x\"}\n{\"b\":2}\n{\"a\":3,\"b\":null,\"c\":[1]}\n";
    let dead = decoded(&NDJSON, text, "a int64!", Drift::DeadLetter);
    assert_eq!(
        told(&dead),
        "{\"a\":1} wrong-type@11 unknown-field@12 unknown-field@13"
    );

    let discarded = decoded(&NDJSON, text, "a int64", Drift::DiscardValue);
    assert_eq!(
        told(&discarded),
        "{\"a\":1} {\"a\":null} {\"a\":null} {\"a\":3}"
    );
    assert_eq!(discarded.discarded_values, 3);
    let discarded = decoded(&NDJSON, text, "a int64!", Drift::DiscardValue);
    assert_eq!(
        told(&discarded),
        "{\"a\":1} {\"a\":3} wrong-type@11 missing-field@12"
    );
    assert_eq!(discarded.discarded_values, 1);

    match run(&NDJSON, text, &schema("a int64"), Drift::Freeze) {
        Outcome::Frozen(fault) => {
            assert_eq!(fault.kind, FaultKind::Drift);
            assert_eq!(fault.message, "file:11: field `a` is int64, found text");
            assert!(fault.hint.is_some());
        }
        other => panic!("{other:?}"),
    }
    let broken = decoded(&NDJSON, b"{\"b\":1\n{\"a\":1}\n", "a int64", Drift::Freeze);
    assert_eq!(told(&broken), "{\"a\":1} invalid-json@10");
}

#[test]
fn a_schema_evolves_until_everything_fits() {
    let text = concat!(
        "{\"a\":1,\"n\":null}\n{\"a\":\"bad\",\"z\":1}\n{\"f\":1,\"t\":\"2024-01-01\"}\n",
        "{\"f\":1.5,\"t\":\"x\",\"j\":{},\"m\":1}\n{\"m\":\"x\",\"b\":true,\"w\":\"2024-01-01T00:00:00Z\"}\n{\"q\":1} broken\n",
    );
    // Without `a` most records are refused, and what is refused adds no field.
    assert!(matches!(
        run(&NDJSON, text.as_bytes(), &schema("a int64!"), Drift::Evolve),
        Outcome::Decoded(_)
    ));
    let wider = match run(&NDJSON, text.as_bytes(), &schema("a int64"), Drift::Evolve) {
        Outcome::Evolve(wider) => wider,
        other => panic!("{other:?}"),
    };
    let fields: Vec<_> = wider
        .fields()
        .iter()
        .map(|field| format!("{} {}", field.name, field.kind))
        .collect();
    assert_eq!(
        fields,
        [
            "a int64",
            "f float64",
            "t text",
            "j json",
            "m json",
            "b boolean",
            "w timestamp"
        ]
    );
    match run(&NDJSON, text.as_bytes(), &wider, Drift::Evolve) {
        Outcome::Decoded(decoded) => {
            assert_eq!(decoded.records, 6);
            let codes: Vec<_> = decoded
                .rejections
                .iter()
                .map(|rejection| rejection.code.as_str())
                .collect();
            assert_eq!(codes, ["wrong-type", "invalid-json"]);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_full_schema_takes_no_more_fields() {
    let full = (0..limits::FIELDS_MAX)
        .map(|at| format!("f{at} int64"))
        .collect::<Vec<_>>()
        .join(", ");
    assert_eq!(
        told(&decoded(&NDJSON, b"{\"new\":1}", &full, Drift::Evolve)),
        "unknown-field@10"
    );
    let long = format!("{{\"{}\":1}}", "n".repeat(limits::FIELD_NAME_BYTES_MAX + 1));
    assert_eq!(
        told(&decoded(&NDJSON, long.as_bytes(), "a int64", Drift::Evolve)),
        "unknown-field@10"
    );
}

#[test]
fn columns_are_of_the_schema() {
    let decoded = decoded(
        &NDJSON,
        b"{\"a\":1,\"d\":-1.5}\n{}",
        "a int64, d decimal(9,3)",
        Drift::DeadLetter,
    );
    let data = &decoded.batches[0].data;
    assert_eq!(
        data.column(0)
            .as_primitive::<Int64Type>()
            .iter()
            .collect::<Vec<_>>(),
        [Some(1), None]
    );
    assert_eq!(
        data.column(1).as_primitive::<Decimal128Type>().value(0),
        -1_500
    );
    assert_eq!(data.column(1).null_count(), 1);
}

#[test]
fn a_schema_is_inferred() {
    let text = concat!(
        "{\"i\":1,\"f\":1,\"m\":1,\"big\":12345678901234567890,\"n\":null,\"d\":\"2024-01-01\",\"s\":\"2024-01-01\"}\n",
        "broken\n",
        "{\"i\":-2,\"f\":2.5,\"m\":\"x\",\"t\":\"2024-01-01T00:00:00+02:00\",\"s\":\"other\",\"b\":false,\"o\":{},\"l\":[1]}\n",
        "{\"i\":1.5,\"late\":1}\n",
    );
    let infer_with = |format: &DocumentFormat, text: &str, records, previous: Option<&Schema>| {
        infer(
            &Document {
                format,
                bytes: text.as_bytes(),
                name: "file",
                first_line: 1,
                changes: None,
            },
            records,
            previous,
        )
        .map(|schema| {
            assert!(schema.fields().iter().all(|field| field.nullable));
            schema
                .fields()
                .iter()
                .map(|field| format!("{} {}", field.name, field.kind))
                .collect::<Vec<_>>()
                .join(", ")
        })
        .map_err(|error| error.to_string())
    };
    let two = "i int64, f float64, m json, big json, n json, d date, s text, t timestamp, b boolean, o json, l json";
    assert_eq!(infer_with(&NDJSON, text, 2, None).as_deref(), Ok(two));
    let before = schema("late decimal(9,2), i text!, s date, gone text");
    let merged = infer_with(&NDJSON, text, 10, Some(&before)).expect("a schema");
    assert!(
        merged.starts_with("late decimal(9,2), i json, s text, gone text, f float64, "),
        "{merged}"
    );
    let array = format!(
        "{{\"x\":[{}]}}",
        text.replace("broken\n", "5 ")
            .trim()
            .replace('\n', ",")
            .replace("5 {", "5,{")
    );
    assert_eq!(infer_with(&json("/x"), &array, 2, None).as_deref(), Ok(two));
    let table = "i,f,b,d,t,z,e,m\n1,1,True,2024-01-01,2024-01-01 00:00:00,007,,1\n2,2.5,false,2024-01-02,,8,,x\n";
    assert_eq!(
        infer_with(&csv(), table, 9, None).as_deref(),
        Ok("i int64, f float64, b boolean, d date, t timestamp, z text, e text, m text")
    );
    let wide: Vec<String> = (0..=limits::FIELDS_MAX)
        .map(|at| format!("{{\"f{at}\":1}}\n"))
        .collect();
    assert!(infer_with(&NDJSON, &wide.concat(), usize::MAX, None).is_err());
    for (format, text) in [
        (NDJSON, "\nx\n"),
        (json(""), "[]"),
        (json(""), "[5"),
        (csv(), "a,a\n"),
    ] {
        assert!(infer_with(&format, text, 9, None).is_err(), "{text}");
    }
}

#[test]
fn any_order_of_fields_is_read() {
    let reversed = "{\"c\":3,\"b\":2,\"a\":1}\n";
    let text = [
        reversed,
        reversed,
        "{\"b\":2}\n{\"a\":1,\"c\":3}\n{\"a\":1,\"b\":2,\"c\":3}\n",
    ]
    .concat();
    let all = "{\"a\":1,\"b\":2,\"c\":3}";
    let some = "{\"a\":null,\"b\":2,\"c\":null} {\"a\":1,\"b\":null,\"c\":3}";
    let decoded = decoded(
        &NDJSON,
        text.as_bytes(),
        "a int64, b int64, c int64",
        Drift::DeadLetter,
    );
    assert_eq!(told(&decoded), format!("{all} {all} {some} {all}"));
}
