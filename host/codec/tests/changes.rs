//! What the records of a document ask for.

use sluice_codec::{Decoded, Document, DocumentFormat, Outcome, Target, decode};
use sluice_model::batch::Change;
use sluice_model::contract::Drift;
use sluice_model::fault::FaultKind;
use sluice_model::ids::StreamName;
use sluice_model::schema::{Field, FieldType, Schema};
use std::sync::Arc;

const ASKED: [Change; 4] = [
    Change::Upsert,
    Change::Delete,
    Change::Delete,
    Change::Upsert,
];

fn run(format: &DocumentFormat, bytes: &[u8], changes: Option<&[Change]>) -> Outcome {
    let stream: StreamName = "orders".parse().expect("a name");
    let fields = vec![Field::new("id", FieldType::Int64, false)];
    let schema = Arc::new(Schema::new(fields, vec!["id".to_owned()]).expect("a schema"));
    let target = Target {
        stream: &stream,
        schema: &schema,
        drift: Drift::DeadLetter,
        batch_rows: 2,
    };
    let document = Document {
        format,
        bytes,
        name: "file",
        first_line: 1,
        changes,
    };
    decode(&document, &target)
}

fn asked(decoded: &Decoded) -> Vec<Option<Vec<Change>>> {
    let batches = decoded.batches.iter();
    batches
        .map(|batch| batch.changes.as_deref().cloned())
        .collect()
}

/// Also behind one that is refused, whose letter says what it asked for, and over the ends of batches.
#[test]
fn each_record_of_a_document_asks_for_what_it_was_told() {
    let csv = DocumentFormat::Csv {
        delimiter: b',',
        header: None,
    };
    let json = DocumentFormat::Json {
        pointer: String::new(),
    };
    let documents: [(DocumentFormat, &[u8]); 3] = [
        (csv, b"id\n1\nx\n3\n4\n"),
        (
            DocumentFormat::Ndjson,
            b"{\"id\":1}\n\n{\"id\":\"x\"}\n{\"id\":3}\n{\"id\":4}\n",
        ),
        (json, br#"[{"id":1},{"id":"x"},{"id":3},{"id":4}]"#),
    ];
    for (format, bytes) in documents {
        let Outcome::Decoded(decoded) = run(&format, bytes, Some(&ASKED)) else {
            panic!("{format:?}");
        };
        let wanted = [
            Some(vec![Change::Upsert, Change::Delete]),
            Some(vec![Change::Upsert]),
        ];
        assert_eq!(asked(&decoded), wanted, "{format:?}");
        assert!(decoded.rejections[0].removal, "{format:?}");

        for wrong in [&ASKED[..3], &[ASKED, ASKED].concat()[..5]] {
            let Outcome::Unreadable(fault) = run(&format, bytes, Some(wrong)) else {
                panic!("{format:?}: {} changes", wrong.len());
            };
            assert_eq!(fault.kind, FaultKind::Malformed);
            assert!(fault.message.as_str().contains("4 records"), "{fault}");
        }
        let Outcome::Decoded(decoded) = run(&format, bytes, None) else {
            panic!("{format:?}");
        };
        assert_eq!(asked(&decoded), [None, None]);
        assert!(!decoded.rejections[0].removal);
    }
}
