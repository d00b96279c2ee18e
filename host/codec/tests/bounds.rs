//! Documents whose header is the attack.

use sluice_codec::{Document, DocumentFormat, Outcome, Target, decode};
use sluice_model::contract::Drift;
use sluice_model::ids::StreamName;
use sluice_model::limits;
use sluice_model::schema::{Field, FieldType, Schema};
use std::sync::Arc;

fn told(header: &str) -> String {
    let stream: StreamName = "orders".parse().expect("a name");
    let fields = vec![Field::new("a", FieldType::Int64, true)];
    let schema = Arc::new(Schema::new(fields, vec![]).expect("a schema"));
    let target = Target {
        stream: &stream,
        schema: &schema,
        drift: Drift::Evolve,
        batch_rows: 2,
    };
    let format = DocumentFormat::Csv {
        delimiter: b',',
        header: None,
    };
    let document = Document {
        format: &format,
        bytes: header.as_bytes(),
        name: "file",
        first_line: 1,
    };
    match decode(&document, &target) {
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
