//! What the targets for the codecs share: documents decoded to a schema with a field of each kind, and held to account.

use sluice_codec::{
    Decoded, Document, DocumentFormat, Format, Outcome, Target, decode, encode, infer,
};
use sluice_model::contract::Drift;
use sluice_model::ids::StreamName;
use sluice_model::schema::{Field, Schema};
use std::sync::{Arc, LazyLock};

/// Short names, so that they are soon found.
const FIELDS: [(&str, &str); 9] = [
    ("b", "boolean"),
    ("i", "int64"),
    ("f", "float64"),
    ("e", "decimal(38,7)"),
    ("s", "text"),
    ("x", "binary"),
    ("d", "date"),
    ("t", "timestamp"),
    ("j", "json"),
];

static SCHEMA: LazyLock<Arc<Schema>> = LazyLock::new(|| {
    let field = |(name, kind): (&str, &str)| {
        Field::new(name.to_owned(), kind.parse().expect("a type"), true)
    };
    Arc::new(Schema::new(FIELDS.map(field).to_vec(), Vec::new()).expect("a schema"))
});

fn read(format: &DocumentFormat, bytes: &[u8], schema: &Arc<Schema>, drift: Drift) -> Outcome {
    let stream: StreamName = "s".parse().expect("a name");
    let document = Document {
        format,
        bytes,
        name: "file",
        first_line: 1,
        changes: None,
    };
    let target = Target {
        stream: &stream,
        schema,
        drift,
        batch_rows: 3,
    };
    decode(&document, &target)
}

/// Decodes it under each contract, and holds what comes out to what went in.
///
/// # Panics
/// Where a record is lost, or what was decoded does not come back as it was once it is encoded.
pub fn document(format: &DocumentFormat, bytes: &[u8]) {
    for drift in [
        Drift::DeadLetter,
        Drift::Evolve,
        Drift::Freeze,
        Drift::DiscardValue,
    ] {
        match read(format, bytes, &SCHEMA, drift) {
            Outcome::Decoded(decoded) => account(&decoded),
            Outcome::Evolve(wider) => match read(format, bytes, &wider, drift) {
                Outcome::Decoded(decoded) => account(&decoded),
                Outcome::Evolve(_) => panic!("wider, and not wide enough"),
                Outcome::Frozen(_) | Outcome::Unreadable(_) => {}
            },
            Outcome::Frozen(_) | Outcome::Unreadable(_) => {}
        }
    }
    let document = Document {
        format,
        bytes,
        name: "file",
        first_line: 1,
        changes: None,
    };
    drop(infer(&document, 100, None));
}

fn account(decoded: &Decoded) {
    let rows: usize = decoded.batches.iter().map(|batch| batch.rows()).sum();
    assert_eq!(decoded.records, (rows + decoded.rejections.len()) as u64);
    for batch in &decoded.batches {
        let mut lines = Vec::new();
        encode(
            &batch.schema,
            &batch.data,
            None,
            &Format::Ndjson,
            usize::MAX,
            &mut lines,
        )
        .expect("lines");
        match read(
            &DocumentFormat::Ndjson,
            &lines,
            &batch.schema,
            Drift::DeadLetter,
        ) {
            Outcome::Decoded(again) => {
                let text = String::from_utf8_lossy(&lines);
                assert!(again.rejections.is_empty(), "{text}");
                assert_eq!(again.batches.len(), 1, "{text}");
                assert_eq!(again.batches[0].data, batch.data, "{text}");
            }
            other => panic!("{other:?}"),
        }
        let mut table = Vec::new();
        let header = Format::Csv { header: true };
        encode(
            &batch.schema,
            &batch.data,
            None,
            &header,
            usize::MAX,
            &mut table,
        )
        .expect("a table");
    }
}
