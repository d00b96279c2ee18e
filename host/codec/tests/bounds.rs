//! Documents whose header is the attack.

use sluice_codec::{Document, DocumentFormat, Outcome, Target, decode};
use sluice_model::contract::Drift;
use sluice_model::ids::StreamName;
use sluice_model::limits;
use sluice_model::rejection::Record;
use sluice_model::schema::{Field, FieldType, Schema};
use std::sync::Arc;

fn read(text: &str, header: Option<&str>) -> Outcome {
    let stream: StreamName = "orders".parse().expect("a name");
    let fields = vec![Field::new("a", FieldType::Int64, true)];
    let schema = Arc::new(Schema::new(fields, vec![]).expect("a schema"));
    let target = Target {
        stream: &stream,
        schema: &schema,
        drift: Drift::DiscardValue,
        batch_rows: 2,
    };
    let format = DocumentFormat::Csv {
        delimiter: b',',
        header: header.map(|header| header.as_bytes().to_vec()),
    };
    let document = Document {
        format: &format,
        bytes: text.as_bytes(),
        name: "file",
        first_line: 1,
        changes: None,
    };
    decode(&document, &target)
}

fn told(header: &str) -> String {
    match read(header, None) {
        Outcome::Unreadable(fault) => fault.message,
        _ => "it was read".to_owned(),
    }
}

#[test]
fn a_header_is_bounded() {
    let names: Vec<String> = (0..=limits::FIELDS_MAX)
        .map(|at| format!("c{at}"))
        .collect();
    let wide = told(&(names.join(",") + "\n"));
    assert!(
        wide.contains("its header has more than 2000 columns"),
        "{wide}"
    );
    let long = told(&("n".repeat(limits::FIELD_NAME_BYTES_MAX + 1) + "\n"));
    assert!(long.contains("a name of more than 1024 bytes"), "{long}");
    assert_eq!(told("a\n"), "it was read");
}

/// With it, the row alone is what it was.
#[test]
fn a_refused_row_keeps_its_header() {
    let refused = |header: &str, row: &str| {
        // One field less than the row that is refused.
        let good = &row[..row.len() - 2];
        let text = format!("{header}\n{row}\n{good}\n");
        let Outcome::Decoded(mut decoded) = read(&text, None) else {
            panic!("it can be read")
        };
        assert_eq!(decoded.batches.len(), 1);
        let rejection = decoded.rejections.remove(0);
        (rejection.csv, rejection.record)
    };
    let (csv, record) = refused("a,\"b \"\"2\"\",\"", "1,2,3");
    let csv = csv.expect("a header");
    assert_eq!(
        (csv.delimiter, csv.header.as_str()),
        (b',', "\"a\",\"b \"\"2\"\",\"")
    );
    let Record::Raw(row) = record else {
        panic!("{record:?}")
    };
    let row = String::from_utf8(row).expect("text");
    let Outcome::Decoded(again) = read(&row, Some(&csv.header)) else {
        panic!("it can be read")
    };
    assert_eq!(again.rejections[0].code, "ragged-row");
    let long = "n".repeat(limits::FIELD_NAME_BYTES_MAX);
    let names: Vec<String> = (0..32).map(|at| format!("{at}{}", &long[2..])).collect();
    let row = vec!["1"; 34].join(",");
    let (csv, _) = refused(&format!("a,{}", names.join(",")), &row);
    assert!(csv.is_none(), "of more than 16 KiB");
}
