//! CSV: records, values and columns.

use super::{csv, decoded, run, schema, told};
use sluice_codec::{DocumentFormat, Outcome};
use sluice_model::contract::Drift;

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
