//! What becomes of documents, in tables: which records pass, which are refused and with what code.

mod csv;
mod identity;
mod schemas;

use sluice_codec::{
    Decoded, Document, DocumentFormat, Format, Outcome, Target, decode, encode, record_json,
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
