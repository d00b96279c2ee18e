//! What becomes of documents, in tables: which records pass, which are refused and with what code.

use arrow_array::Array as _;
use arrow_array::cast::AsArray as _;
use arrow_array::types::{Decimal128Type, Int64Type};
use sluice_codec::{
    Decoded, Document, DocumentFormat, Format, Outcome, Target, decode, encode, infer, record_json,
    row_ids,
};
use sluice_model::contract::Drift;
use sluice_model::fault::FaultKind;
use sluice_model::ids::StreamName;
use sluice_model::limits;
use sluice_model::rejection::Record;
use sluice_model::schema::{Field, Schema};
use std::sync::Arc;

const NDJSON: DocumentFormat = DocumentFormat::Ndjson;

fn csv() -> DocumentFormat {
    DocumentFormat::Csv {
        delimiter: b',',
        header: None,
    }
}

fn json(pointer: &str) -> DocumentFormat {
    DocumentFormat::Json {
        pointer: pointer.to_owned(),
    }
}

/// `"a int64, b text!"`: a field with `!` is not nullable.
fn schema(fields: &str) -> Arc<Schema> {
    let fields = fields
        .split(", ")
        .filter(|field| !field.is_empty())
        .map(|field| {
            let (name, kind) = field.split_once(' ').expect("a name and a type");
            Field::new(
                name,
                kind.trim_end_matches('!').parse().expect("a type"),
                !kind.ends_with('!'),
            )
        });
    Arc::new(Schema::new(fields.collect(), vec![]).expect("a schema"))
}

fn run(format: &DocumentFormat, bytes: &[u8], schema: &Arc<Schema>, drift: Drift) -> Outcome {
    let stream: StreamName = "orders".parse().expect("a name");
    let target = Target {
        stream: &stream,
        schema,
        drift,
        batch_rows: 2,
    };
    decode(
        &Document {
            format,
            bytes,
            name: "file",
            first_line: 10,
            changes: None,
        },
        &target,
    )
}

fn decoded(format: &DocumentFormat, bytes: &[u8], fields: &str, drift: Drift) -> Decoded {
    match run(format, bytes, &schema(fields), drift) {
        Outcome::Decoded(decoded) => {
            let rows: usize = decoded
                .batches
                .iter()
                .map(sluice_model::batch::Batch::rows)
                .sum();
            assert_eq!(decoded.records as usize, rows + decoded.rejections.len());
            assert!(decoded.batches.iter().all(|batch| batch.rows() <= 2));
            decoded
        }
        other => panic!("{other:?}"),
    }
}

/// The rows as JSON, and the refusals as `code@place`, in one text.
fn told(decoded: &Decoded) -> String {
    let rows = decoded.batches.iter().map(|batch| {
        let mut out = Vec::new();
        encode(
            &batch.schema,
            &batch.data,
            None,
            &Format::Ndjson,
            usize::MAX,
            &mut out,
        )
        .expect("encoded");
        String::from_utf8(out).expect("text")
    });
    let refusals = decoded.rejections.iter().map(|rejection| {
        let number = rejection
            .place
            .line
            .or(rejection.place.item)
            .expect("a place");
        format!("{}@{number}\n", rejection.code)
    });
    rows.chain(refusals)
        .collect::<String>()
        .trim_end()
        .replace('\n', " ")
}

#[test]
fn values_fit_their_fields_or_not() {
    let cases = [
        ("boolean", "true", "true"),
        ("boolean", "false", "false"),
        ("boolean", "1", "wrong-type"),
        ("boolean", "\"true\"", "wrong-type"),
        ("boolean", "null", "null"),
        ("boolean", "tru", "invalid-json"),
        ("int64", "-9223372036854775808", "-9223372036854775808"),
        ("int64", "9223372036854775808", "out-of-range"),
        ("int64", "1.0", "1"),
        ("int64", "1e2", "100"),
        ("int64", "1.5", "wrong-type"),
        ("int64", "\"1\"", "wrong-type"),
        ("int64", "01", "invalid-json"),
        ("int64", "1e", "invalid-json"),
        ("float64", "1", "1.0"),
        ("float64", "0.1", "0.1"),
        ("float64", "-0", "-0.0"),
        ("float64", "1e400", "out-of-range"),
        ("float64", "NaN", "invalid-json"),
        ("decimal(5,2)", "1.1", "1.10"),
        ("decimal(5,2)", "-0.05", "-0.05"),
        ("decimal(5,2)", "\"12.340\"", "12.34"),
        ("decimal(5,2)", "1.001", "out-of-range"),
        ("decimal(5,2)", "1000", "out-of-range"),
        ("decimal(5,2)", "\"abc\"", "wrong-type"),
        (
            "decimal(38,0)",
            "99999999999999999999999999999999999999",
            "99999999999999999999999999999999999999",
        ),
        ("text", "\"\"", "\"\""),
        ("text", "\"a\\u0041\\n\\ud83d\\ude00\\/\"", "\"aA\\n😀/\""),
        ("text", "\"\\ud83d\"", "invalid-json"),
        ("text", "5", "wrong-type"),
        ("text", "{}", "wrong-type"),
        ("text", "\"open", "invalid-json"),
        ("binary", "\"AP8=\"", "\"AP8=\""),
        ("binary", "\"AP8\"", "wrong-type"),
        ("binary", "5", "wrong-type"),
        ("date", "\"2024-02-29\"", "\"2024-02-29\""),
        ("date", "\"2023-02-29\"", "wrong-type"),
        ("date", "\"2024-02-29T00:00:00Z\"", "wrong-type"),
        (
            "timestamp",
            "\"2024-02-29T01:02:03.4500+01:00\"",
            "\"2024-02-29T00:02:03.45Z\"",
        ),
        ("timestamp", "\"2024-02-29T01:02:03\"", "wrong-type"),
        (
            "timestamp",
            "\"2024-02-29 01:02:03Z\"",
            "\"2024-02-29T01:02:03Z\"",
        ),
        ("timestamp", "1709164800", "wrong-type"),
        (
            "json",
            " { \"b\" : [ 1.50 , \"x y\" ] } ",
            "{\"b\":[1.50,\"x y\"]}",
        ),
        ("json", "12345678901234567890123", "12345678901234567890123"),
        ("json", "{\"b\":}", "invalid-json"),
    ];
    for (kind, value, expected) in cases {
        let line = format!("{{\"a\":{value}}}\n");
        let decoded = decoded(
            &NDJSON,
            line.as_bytes(),
            &format!("a {kind}"),
            Drift::DeadLetter,
        );
        let expected = if decoded.rejections.is_empty() {
            format!("{{\"a\":{expected}}}")
        } else {
            format!("{expected}@10")
        };
        assert_eq!(told(&decoded), expected, "{kind} {value}");
    }
}

#[test]
fn ndjson_records_stand_alone() {
    let cases: [(&str, &str); 19] = [
        ("{\"a\":1}\n{\"a\":2}", "{\"a\":1} {\"a\":2}"),
        (
            "\u{feff}{\"a\":1}\r\n\r\n \t\r\n{\"a\":x}\r\n",
            "{\"a\":1} invalid-json@13",
        ),
        ("", ""),
        ("\n\n", ""),
        ("{}", "{\"a\":null}"),
        (" { \"a\" : 1 } ", "{\"a\":1}"),
        ("{\"\\u0061\":1}", "{\"a\":1}"),
        ("{\"a\":1}}\n{\"a\":2}", "{\"a\":2} invalid-json@10"),
        ("{\"a\":1}{\"a\":2}", "invalid-json@10"),
        ("{\"a\":1\n{\"a\":2}", "{\"a\":2} invalid-json@10"),
        ("{\"a\":1,}", "invalid-json@10"),
        ("{\"a\" 1}", "invalid-json@10"),
        (
            "[1]\n5\n\"x\"\nnull\nx",
            "not-an-object@10 not-an-object@11 not-an-object@12 not-an-object@13 invalid-json@14",
        ),
        ("{\"a\":1,\"a\":2}", "duplicate-field@10"),
        ("{\"a\":1,\"\\u0061\":2}", "duplicate-field@10"),
        ("{\"a\":1,\"b\":2}", "unknown-field@10"),
        ("{\"a\":\"x\",\"b\":}", "invalid-json@10"),
        ("{\"a\":\"x\"} trailing", "invalid-json@10"),
        ("{a:1}", "invalid-json@10"),
    ];
    for (text, expected) in cases {
        assert_eq!(
            told(&decoded(
                &NDJSON,
                text.as_bytes(),
                "a int64",
                Drift::DeadLetter
            )),
            expected,
            "{text}"
        );
    }
    assert_eq!(
        decoded(&NDJSON, b"\n{}\n\n{}", "", Drift::DeadLetter).lines,
        3
    );
}

#[test]
fn broken_text_harms_its_own_line_only() {
    let decoded = decoded(
        &NDJSON,
        b"{\"a\":\"\xff\"}\n{\"a\":\"\xc3\xa9\"}\n",
        "a text",
        Drift::DeadLetter,
    );
    assert_eq!(told(&decoded), "{\"a\":\"é\"} invalid-utf8@10");
    assert_eq!(
        decoded.rejections[0].record,
        Record::Raw(b"{\"a\":\"\xff\"}".to_vec())
    );
    assert!(!decoded.rejections[0].message.contains('\u{fffd}'));
}

#[test]
fn nesting_and_size_have_an_end() {
    let nested =
        |levels: usize| format!("{{\"a\":{}{}}}\n", "[".repeat(levels), "]".repeat(levels));
    let text =
        nested(limits::JSON_DEPTH_MAX - 1) + &nested(limits::JSON_DEPTH_MAX) + &nested(100_000);
    let deep = decoded(&NDJSON, text.as_bytes(), "a json", Drift::DeadLetter);
    assert_eq!((deep.batches[0].rows(), deep.rejections.len()), (1, 2));
    assert!(
        deep.rejections
            .iter()
            .all(|rejection| rejection.code == "too-deep")
    );

    let large = format!("{{\"a\":\"{}\"}}", "é".repeat(limits::RECORD_BYTES_MAX / 2));
    for (format, text) in [
        (NDJSON, large.clone() + "\n{}"),
        (json(""), format!("[{large},{{}}]")),
        (
            csv(),
            format!("a\nx\n{}\n", "é".repeat(limits::RECORD_BYTES_MAX / 2 + 1)),
        ),
    ] {
        let decoded = decoded(&format, text.as_bytes(), "a text", Drift::DeadLetter);
        let [rejection] = &decoded.rejections[..] else {
            panic!("{decoded:?}")
        };
        assert_eq!(
            (rejection.code.as_str(), rejection.truncated),
            ("record-too-large", true)
        );
        let Record::Raw(raw) = &rejection.record else {
            panic!("{rejection:?}")
        };
        assert!(
            raw.len() <= limits::DEAD_LETTER_RECORD_BYTES_MAX && std::str::from_utf8(raw).is_ok()
        );
        assert_eq!(decoded.batches[0].rows(), 1);
    }
}

#[test]
fn a_document_cannot_become_more_than_memory_holds() {
    let wide = (0..limits::FIELDS_MAX)
        .map(|at| format!("f{at} int64"))
        .collect::<Vec<_>>()
        .join(", ");
    let cases = [
        (
            "x\n".repeat(limits::DOCUMENT_REJECTIONS_MAX + 1),
            "a int64".to_owned(),
        ),
        (
            "{}\n".repeat(limits::PAGE_ROWS_MAX + 1),
            "a int64".to_owned(),
        ),
        (
            "{}\n".repeat(limits::DOCUMENT_CELLS_MAX / limits::FIELDS_MAX + 2),
            wide,
        ),
    ];
    for (text, fields) in cases {
        let (stream, schema): (StreamName, _) =
            ("orders".parse().expect("a name"), schema(&fields));
        let target = Target {
            stream: &stream,
            schema: &schema,
            drift: Drift::DeadLetter,
            batch_rows: 1 << 14,
        };
        match decode(
            &Document {
                format: &NDJSON,
                bytes: text.as_bytes(),
                name: "file",
                first_line: 1,
                changes: None,
            },
            &target,
        ) {
            Outcome::Unreadable(fault) => assert_eq!(fault.kind, FaultKind::LimitExceeded),
            _ => panic!("{} bytes of {} columns", text.len(), schema.fields().len()),
        }
    }
    let fits = "x\n".repeat(limits::DOCUMENT_REJECTIONS_MAX);
    assert_eq!(
        decoded(&NDJSON, fits.as_bytes(), "a int64", Drift::DeadLetter)
            .rejections
            .len(),
        limits::DOCUMENT_REJECTIONS_MAX
    );
}

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
fn json_items() {
    let cases = [
        (
            "",
            "[{\"a\":1},{\"a\":\"x\"}, 5 ,null,{\"a\":2}]",
            "{\"a\":1} {\"a\":2} wrong-type@1 not-an-object@2 not-an-object@3",
        ),
        ("", "\u{feff} [ ] ", ""),
        ("", "{\"a\":1}", "{\"a\":1}"),
        (
            "/x/1/y~1~0",
            "{\"w\":[{}],\"x\":[0,{\"y/~\":[\n{\"a\":1}\n]}],\"z\":1}",
            "{\"a\":1}",
        ),
        ("/x", "{\"x\":{\"a\":1}}", "{\"a\":1}"),
        (
            "/x",
            "{\"x\":[{\"a\":1,\"a\":1}],\"y\":{\"x\":1}}",
            "duplicate-field@0",
        ),
    ];
    for (pointer, text, expected) in cases {
        assert_eq!(
            told(&decoded(
                &json(pointer),
                text.as_bytes(),
                "a int64",
                Drift::DeadLetter
            )),
            expected,
            "{text}"
        );
    }
    let deep = format!(
        "[{}{},{{\"a\":1}}]",
        "{\"a\":[".repeat(100),
        "]}".repeat(100)
    );
    assert_eq!(
        told(&decoded(
            &json(""),
            deep.as_bytes(),
            "a int64",
            Drift::DeadLetter
        )),
        "{\"a\":1} too-deep@0"
    );
}

#[test]
fn json_documents_that_cannot_be_read() {
    let cases: [(&str, &[u8], FaultKind); 16] = [
        ("", b"", FaultKind::Broken),
        ("", b"[{\"a\":1},{\"a\"", FaultKind::Broken),
        ("", b"[{\"a\":1}", FaultKind::Broken),
        ("", b"[{\"a\":1},]", FaultKind::Broken),
        ("", b"[{\"a\":1}] x", FaultKind::Broken),
        ("", b"[\xff]", FaultKind::Broken),
        ("", b"5", FaultKind::Misconfigured),
        ("/x", b"{\"x\":null}", FaultKind::Misconfigured),
        ("/x", b"{\"y\":[]}", FaultKind::Misconfigured),
        ("/x/0", b"{\"x\":[]}", FaultKind::Misconfigured),
        ("/x/01", b"{\"x\":[[],[]]}", FaultKind::Misconfigured),
        ("/x/y", b"{\"x\":5}", FaultKind::Misconfigured),
        ("x", b"{\"x\":[]}", FaultKind::Misconfigured),
        ("/~2", b"{}", FaultKind::Misconfigured),
        ("/x", b"{\"x\":[],\"x\":[{}]}", FaultKind::Broken),
        ("/x", b"{\"x\":[]", FaultKind::Broken),
    ];
    for (pointer, bytes, kind) in cases {
        match run(&json(pointer), bytes, &schema("a int64"), Drift::DeadLetter) {
            Outcome::Unreadable(fault) => assert_eq!(fault.kind, kind, "{pointer} {fault}"),
            other => panic!("{pointer} {other:?}"),
        }
    }
}

#[test]
fn csv_records() {
    let cases = [
        (
            "a,b\n1,x\r\n2,\"y\n,\"\"z\"\n\n3,",
            "{\"a\":1,\"b\":\"x\"} {\"a\":2,\"b\":\"y\\n,\\\"z\"} {\"a\":3,\"b\":null}",
        ),
        ("\u{feff}b,a\n\"\",\"\"\n", "{\"a\":null,\"b\":\"\"}"),
        (
            "a,b\n\"x\ny\",1\n1\n1,2,3\n1,ok\n",
            "{\"a\":1,\"b\":\"ok\"} wrong-type@11 ragged-row@13 ragged-row@14",
        ),
        ("b\nx\n", "{\"a\":null,\"b\":\"x\"}"),
        ("", ""),
        ("a,b\n", ""),
        ("a,b\n1,\"x\n2,y\n", "open-quote@11"),
        (
            "a,b\n1, x \n+07,=1+1\n",
            "{\"a\":1,\"b\":\" x \"} {\"a\":7,\"b\":\"=1+1\"}",
        ),
        ("a,b,c\n1,2,3\n", "unknown-field@11"),
    ];
    for (text, expected) in cases {
        assert_eq!(
            told(&decoded(
                &csv(),
                text.as_bytes(),
                "a int64, b text",
                Drift::DeadLetter
            )),
            expected,
            "{text}"
        );
    }
    assert_eq!(
        told(&decoded(
            &csv(),
            b"b\nx\n",
            "a int64!, b text",
            Drift::DeadLetter
        )),
        "missing-field@11"
    );
    assert_eq!(
        told(&decoded(
            &csv(),
            b"a\n\xff\nx\n",
            "a text",
            Drift::DeadLetter
        )),
        "{\"a\":\"x\"} invalid-utf8@11"
    );
    let piece = DocumentFormat::Csv {
        delimiter: b';',
        header: Some(b"b;a\r\n".to_vec()),
    };
    assert_eq!(
        told(&decoded(
            &piece,
            b"x;1\n",
            "a int64, b text",
            Drift::DeadLetter
        )),
        "{\"a\":1,\"b\":\"x\"}"
    );
}

#[test]
fn csv_values() {
    let cases = [
        ("boolean", "TRUE", "true"),
        ("boolean", "yes", "wrong-type"),
        ("float64", "1e3", "1000.0"),
        ("float64", "inf", "wrong-type"),
        ("float64", "nan", "wrong-type"),
        ("decimal(5,2)", "007.5", "7.50"),
        ("date", "2024-01-31", "\"2024-01-31\""),
        (
            "timestamp",
            "2024-01-31 01:02:03.5",
            "\"2024-01-31T01:02:03.5Z\"",
        ),
        ("timestamp", "31.01.2024", "wrong-type"),
        ("binary", "AP8=", "\"AP8=\""),
        ("json", "[1, 2]", "[1,2]"),
        ("json", "[1", "wrong-type"),
        ("json", "\"\"", "null"),
        ("text", "\"\"", "\"\""),
    ];
    for (kind, value, expected) in cases {
        let value = if kind == "json" && value != "\"\"" {
            format!("\"{value}\"")
        } else {
            value.to_owned()
        };
        let text = format!("a,b\n{value},\n");
        let decoded = decoded(
            &csv(),
            text.as_bytes(),
            &format!("a {kind}, b text"),
            Drift::DeadLetter,
        );
        let expected = if decoded.rejections.is_empty() {
            format!("{{\"a\":{expected},\"b\":null}}")
        } else {
            format!("{expected}@11")
        };
        assert_eq!(told(&decoded), expected, "{kind} {value}");
    }
}

#[test]
fn csv_drift() {
    let text = b"a,n,e,z\n1,5,,007\nx,6.5,,\n2,,,7\n";
    let wider = match run(&csv(), text, &schema("a int64"), Drift::Evolve) {
        Outcome::Evolve(wider) => wider,
        other => panic!("{other:?}"),
    };
    let fields: Vec<_> = wider
        .fields()
        .iter()
        .map(|field| format!("{} {}", field.name, field.kind))
        .collect();
    assert_eq!(fields, ["a int64", "n int64", "z text"]);
    let discarded = decoded(&csv(), text, "a int64", Drift::DiscardValue);
    assert_eq!(told(&discarded), "{\"a\":1} {\"a\":null} {\"a\":2}");
    assert_eq!(discarded.discarded_values, 5);
    assert!(matches!(
        run(&csv(), text, &schema("a int64"), Drift::Freeze),
        Outcome::Frozen(_)
    ));
    for (format, text) in [
        (csv(), "a,a\n1,2\n"),
        (
            DocumentFormat::Csv {
                delimiter: b'"',
                header: None,
            },
            "a\n1\n",
        ),
        (
            DocumentFormat::Csv {
                delimiter: 200,
                header: None,
            },
            "a\n1\n",
        ),
    ] {
        assert!(matches!(
            run(
                &format,
                text.as_bytes(),
                &schema("a int64"),
                Drift::DeadLetter
            ),
            Outcome::Unreadable(_)
        ));
    }
}

#[test]
fn places_stay_with_their_rows() {
    let decoded = decoded(
        &NDJSON,
        b"\n{\"a\":1}\nx\n{\"a\":2}\n{\"a\":3}\n",
        "a int64",
        Drift::DeadLetter,
    );
    let places: Vec<_> = decoded
        .batches
        .iter()
        .flat_map(|batch| (0..batch.rows()).map(|row| batch.place(row).to_string()))
        .collect();
    assert_eq!(places, ["file:11", "file:13", "file:14"]);
    assert_eq!(decoded.rejections[0].place.to_string(), "file:12");
    assert_eq!(decoded.lines, 5);
    assert_eq!(
        record_json(&decoded.batches[1].schema, &decoded.batches[1].data, 0),
        "{\"a\":3}"
    );
    assert_eq!(
        record_json(&decoded.batches[1].schema, &decoded.batches[1].data, 9),
        "{}"
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

/// The identities of the rows of a document under a schema with this key.
fn ids(text: &str, fields: &str, key: &[&str]) -> Vec<Vec<u8>> {
    ids_by(&[7; 32], text, fields, key)
}

fn ids_by(row_key: &[u8; 32], text: &str, fields: &str, key: &[&str]) -> Vec<Vec<u8>> {
    let key = key.iter().map(|&name| name.to_owned()).collect();
    let schema = Schema::new(schema(fields).fields().to_vec(), key).expect("a schema");
    match run(
        &NDJSON,
        text.as_bytes(),
        &Arc::new(schema),
        Drift::DeadLetter,
    ) {
        Outcome::Decoded(decoded) => decoded
            .batches
            .iter()
            .flat_map(|batch| {
                row_ids(batch, row_key)
                    .chunks(16)
                    .map(<[u8]>::to_vec)
                    .collect::<Vec<_>>()
            })
            .collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn identities_are_of_the_key_or_of_all_values() {
    let text = concat!(
        "{\"k\":\"a\",\"v\":1}\n{\"k\":\"a\",\"v\":2}\n{\"v\":1}\n{\"v\":2}\n",
        "{\"k\":\"a\",\"v\":1}\n",
    );
    let keyed = ids(text, "k text, v int64", &["k"]);
    assert!(
        keyed[0] == keyed[1] && keyed[0] == keyed[4],
        "the key decides"
    );
    assert!(
        keyed[2] != keyed[3] && keyed[2] != keyed[0],
        "without a key's value, all values do"
    );
    let all = ids(text, "k text, v int64", &[]);
    assert!(all[0] != all[1] && all[0] == all[4] && all[0] != keyed[0]);
    assert_eq!(
        ids(text, "new text, v int64, k text", &[]),
        all,
        "neither order nor new fields count"
    );
    let text = concat!(
        "{\"a\":\"x\",\"b\":\"yz\"}\n{\"a\":\"xy\",\"b\":\"z\"}\n",
        "{\"a\":\"\"}\n{\"b\":\"\"}\n{}\n",
    );
    let apart: std::collections::HashSet<_> =
        ids(text, "a text, b text", &[]).into_iter().collect();
    assert_eq!(apart.len(), 5);
    assert_ne!(
        ids("{\"a\":1}", "a int64", &[]),
        ids("{\"a\":\"1\"}", "a text", &[])
    );
}

#[test]
fn another_pipelines_identities_are_others() {
    let text = "{\"email\": \"a@b.example\"}\n";
    let by = |row_key: [u8; 32]| ids_by(&row_key, text, "email text", &["email"]);
    assert_eq!(by([1; 32]), by([1; 32]));
    assert_ne!(by([1; 32]), by([2; 32]));
}
