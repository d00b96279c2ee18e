//! What holds for any bytes and any batch: nothing panics, every record is accounted for, what is encoded reads back,
//! and where a document is cut makes no difference.

use arrow_array::{
    Array as _, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array,
    Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow_select::concat::concat_batches;
use proptest::prelude::*;
use sluice_codec::{
    Decoded, Document, DocumentFormat, Format, Outcome, ParquetRows, Target, decode, encode,
    encode_parquet, encode_rows, infer, row_ids,
};
use sluice_model::contract::Drift;
use sluice_model::ids::StreamName;
use sluice_model::schema::{Field, FieldType, Schema};
use std::sync::Arc;

fn kinds() -> Vec<(&'static str, FieldType)> {
    [
        "boolean",
        "int64",
        "float64",
        "decimal(38,7)",
        "text",
        "binary",
        "date",
        "timestamp",
        "json",
    ]
    .into_iter()
    .map(|kind| {
        (
            kind.split('(').next().expect("a name"),
            kind.parse().expect("a type"),
        )
    })
    .collect()
}

fn every_kind(nullable: bool) -> Arc<Schema> {
    let fields = kinds()
        .into_iter()
        .map(|(name, kind)| Field::new(name, kind, nullable))
        .collect();
    Arc::new(Schema::new(fields, vec![]).expect("a schema"))
}

fn run(
    format: &DocumentFormat,
    bytes: &[u8],
    first_line: u64,
    schema: &Arc<Schema>,
    drift: Drift,
) -> Outcome {
    let stream: StreamName = "s".parse().expect("a name");
    let target = Target {
        stream: &stream,
        schema,
        drift,
        batch_rows: 3,
    };
    decode(
        &Document {
            format,
            bytes,
            name: "file",
            first_line,
            changes: None,
        },
        &target,
    )
}

fn decoded(
    format: &DocumentFormat,
    bytes: &[u8],
    first_line: u64,
    schema: &Arc<Schema>,
) -> Decoded {
    match run(format, bytes, first_line, schema, Drift::DeadLetter) {
        Outcome::Decoded(decoded) => decoded,
        other => panic!("{other:?}"),
    }
}

/// The first row group of a whole file.
fn parquet(bytes: &[u8]) -> DocumentFormat {
    let length = bytes.len().checked_sub(8).map(|at| &bytes[at..at + 4]);
    let length = length.map_or(0, |length| {
        u32::from_le_bytes(length.try_into().expect("four bytes")) as usize
    });
    let at = bytes.len().saturating_sub(length.saturating_add(8));
    DocumentFormat::Parquet(ParquetRows {
        offset: 0,
        footer: bytes[at..].to_vec(),
        group: 0,
        first: 0,
        count: u32::MAX,
    })
}

fn formats() -> impl Strategy<Value = DocumentFormat> {
    prop_oneof![
        Just(DocumentFormat::Ndjson),
        Just(DocumentFormat::Json {
            pointer: String::new()
        }),
        Just(DocumentFormat::Json {
            pointer: "/text".to_owned()
        }),
        Just(DocumentFormat::Csv {
            delimiter: b',',
            header: None
        }),
        Just(DocumentFormat::Csv {
            delimiter: b';',
            header: Some(b"text;int64".to_vec())
        }),
    ]
}

fn drifts() -> impl Strategy<Value = Drift> {
    prop_oneof![
        Just(Drift::DeadLetter),
        Just(Drift::Evolve),
        Just(Drift::Freeze),
        Just(Drift::DiscardValue)
    ]
}

/// Bytes that come near to being records.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => prop::sample::select(vec![
            "{", "}", "[", "]", ":", ",", ";", "\"", "\\", "\n", "\r\n", " ", "{\"text\":", "\"int64\":", "\"float64\":",
            "\"json\":", "\"date\":", "\"timestamp\":", "\"decimal\":", "\"binary\":", "\"new\":", "\"boolean\":", "null",
            "true", "1", "-1.5e3", "1e999", "99999999999999999999", "\"x\"", "\"2024-01-01\"", "\"2024-01-01T00:00:00Z\"",
            "\"AA==\"", "\"\\u00e9\"", "\"\\ud83d\"", "{}", "[]", "{\"text\":\"a\",\"int64\":1}\n", "text,int64\n", "é",
            "\u{feff}",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..8),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn json_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        ".{0,12}".prop_map(serde_json::Value::from),
    ];
    let value = leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            prop::collection::btree_map(".{0,6}", inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    });
    value.prop_map(|value| value.to_string())
}

fn column<T: Clone + std::fmt::Debug + 'static>(
    values: impl Strategy<Value = T> + 'static,
    rows: usize,
) -> BoxedStrategy<Vec<Option<T>>> {
    prop::collection::vec(prop::option::weighted(0.8, values), rows).boxed()
}

/// A batch of every type, with nulls and extremes.
fn batches() -> impl Strategy<Value = RecordBatch> {
    (0_usize..12).prop_flat_map(|rows| {
        let extremes = prop_oneof![3 => any::<i64>(), 1 => prop::sample::select(vec![i64::MIN, i64::MAX, 0, -1])];
        let decimals = prop_oneof![-(10_i128.pow(38) - 1)..10_i128.pow(38), -1_000_i128..1_000];
        let numbers = (
            column(any::<bool>(), rows),
            column(extremes, rows),
            column(any::<f64>().prop_filter("a number", |value| value.is_finite()), rows),
            column(decimals, rows),
        );
        let texts = (
            column(prop_oneof![any::<String>(), "[\u{0}-\u{1f}\"\\\\,;\n\r\u{feff} é]{0,20}"], rows),
            column(prop::collection::vec(any::<u8>(), 0..20), rows),
            column(any::<i32>(), rows),
            column(any::<i64>(), rows),
            column(json_text(), rows),
        );
        (numbers, texts).prop_map(|((booleans, integers, floats, decimals), (texts, bytes, dates, moments, jsons))| {
            let columns: Vec<ArrayRef> = vec![
                Arc::new(BooleanArray::from(booleans)),
                Arc::new(Int64Array::from(integers)),
                Arc::new(Float64Array::from(floats)),
                Arc::new(Decimal128Array::from(decimals).with_precision_and_scale(38, 7).expect("decimals")),
                Arc::new(StringArray::from(texts)),
                Arc::new(bytes.iter().map(Option::as_deref).collect::<BinaryArray>()),
                Arc::new(Date32Array::from(dates)),
                Arc::new(TimestampMicrosecondArray::from(moments).with_timezone("UTC")),
                Arc::new(StringArray::from(jsons)),
            ];
            RecordBatch::try_new(Arc::clone(every_kind(true).arrow()), columns).expect("a batch")
        })
    })
}

fn whole(decoded: &Decoded, schema: &Schema) -> RecordBatch {
    concat_batches(
        schema.arrow(),
        decoded.batches.iter().map(|batch| &batch.data),
    )
    .expect("one batch")
}

/// Equal, floats bit by bit: `-0.0` is not `0.0`.
fn assert_same(left: &RecordBatch, right: &RecordBatch) {
    assert_eq!(left, right);
    let bits = |batch: &RecordBatch| {
        let floats = batch
            .column(2)
            .as_any()
            .downcast_ref::<Float64Array>()
            .expect("floats")
            .clone();
        (0..floats.len())
            .filter(|&row| floats.is_valid(row))
            .map(|row| floats.value(row).to_bits())
            .collect::<Vec<_>>()
    };
    assert_eq!(bits(left), bits(right));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_record_is_accounted_for(format in formats(), drift in drifts(), bytes in nearly(), nullable in any::<bool>()) {
        let schema = every_kind(nullable);
        let outcome = run(&format, &bytes, 1, &schema, drift);
        if let Outcome::Evolve(wider) = &outcome {
            prop_assert_eq!(drift, Drift::Evolve);
            prop_assert!(wider.fields().len() > schema.fields().len());
            prop_assert_eq!(&wider.fields()[..schema.fields().len()], schema.fields());
            let again = run(&format, &bytes, 1, wider, drift);
            prop_assert!(!matches!(again, Outcome::Evolve(_)), "{:?}", again);
        }
        prop_assert!(!matches!(outcome, Outcome::Frozen(_)) || drift == Drift::Freeze);
        if let Outcome::Decoded(decoded) = outcome {
            let rows: usize = decoded.batches.iter().map(sluice_model::batch::Batch::rows).sum();
            prop_assert_eq!(decoded.records as usize, rows + decoded.rejections.len());
            prop_assert_eq!(decoded.lines as usize, bytes.split(|&byte| byte == b'\n').count() - 1);
            prop_assert!(decoded.discarded_values == 0 || drift == Drift::DiscardValue);
            for batch in &decoded.batches {
                prop_assert!((1..=3).contains(&batch.rows()));
                prop_assert_eq!(batch.data.schema(), Arc::clone(schema.arrow()));
                prop_assert_eq!(batch.origin.entered.places.numbers.len(), batch.rows());
                prop_assert_eq!(row_ids(batch, &[7; 32]).len(), batch.rows() * 16);
            }
            for rejection in &decoded.rejections {
                prop_assert!(!rejection.code.is_empty() && rejection.message.len() <= 1_024);
            }
        }
        let _ = infer(&Document { format: &format, bytes: &bytes, name: "file", first_line: 1, changes: None }, 5, None);
    }

    #[test]
    fn an_inferred_schema_takes_its_sample(bytes in nearly(), csv in any::<bool>()) {
        let format = if csv { DocumentFormat::Csv { delimiter: b',', header: None } } else { DocumentFormat::Ndjson };
        let document = Document { format: &format, bytes: &bytes, name: "file", first_line: 1, changes: None };
        if let Ok(schema) = infer(&document, usize::MAX, None) {
            let decoded = decoded(&format, &bytes, 1, &Arc::new(schema));
            for rejection in decoded.rejections {
                let misfits = ["wrong-type", "out-of-range", "missing-field", "unknown-field"];
                prop_assert!(!misfits.contains(&rejection.code.as_str()), "{:?}", rejection);
            }
        }
    }

    #[test]
    fn what_is_encoded_reads_back(batch in batches()) {
        let schema = every_kind(true);
        for (format, read) in [
            (Format::Ndjson, DocumentFormat::Ndjson),
            (Format::JsonArray, DocumentFormat::Json { pointer: String::new() }),
            (Format::Csv { header: true }, DocumentFormat::Csv { delimiter: b',', header: None }),
        ] {
            let mut bytes = Vec::new();
            encode(&schema, &batch, None, &format, usize::MAX, &mut bytes).expect("encoded");
            let decoded = decoded(&read, &bytes, 1, &schema);
            prop_assert_eq!(&decoded.rejections, &vec![], "{}", String::from_utf8_lossy(&bytes));
            assert_same(&whole(&decoded, &schema), &batch);
        }
    }

    #[test]
    fn parquet_reads_back(batch in batches(), cut in any::<prop::sample::Index>()) {
        prop_assume!(batch.num_rows() > 0);
        let schema = every_kind(true);
        let cut = cut.index(batch.num_rows());
        let (head, tail) = (batch.slice(0, cut), batch.slice(cut, batch.num_rows() - cut));
        let bytes = encode_parquet(&schema, &[&head, &tail], None, usize::MAX).expect("encoded");
        let decoded = decoded(&parquet(&bytes), &bytes, 1, &schema);
        prop_assert_eq!(&decoded.rejections, &vec![]);
        assert_same(&whole(&decoded, &schema), &batch);
        let inferred = infer(&Document { format: &parquet(&bytes), bytes: &bytes, name: "file", first_line: 1, changes: None }, 5, None);
        prop_assert_eq!(inferred.expect("a schema"), (*schema).clone());
    }

    /// Damaged anywhere, it is refused, or its records are all accounted for; it never takes the host with it.
    #[test]
    fn damaged_parquet_is_harmless(
        batch in batches(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        drift in drifts(),
    ) {
        prop_assume!(batch.num_rows() > 0);
        let schema = every_kind(true);
        let mut bytes = encode_parquet(&schema, &[&batch], None, usize::MAX).expect("encoded");
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Outcome::Decoded(decoded) = run(&parquet(&bytes), &bytes, 1, &schema, drift) {
            let rows: usize = decoded.batches.iter().map(sluice_model::batch::Batch::rows).sum();
            prop_assert_eq!(decoded.records as usize, rows + decoded.rejections.len());
        }
        let _ = infer(&Document { format: &parquet(&bytes), bytes: &bytes, name: "file", first_line: 1, changes: None }, 5, None);
    }

    #[test]
    fn json_that_is_written_is_json(batch in batches(), skip in 0_usize..4) {
        let schema = every_kind(true);
        let batch = batch.slice(skip.min(batch.num_rows()), batch.num_rows().saturating_sub(skip));
        let (offsets, bytes) = encode_rows(&schema, &batch, Some(&[4, 0, 8]), usize::MAX).expect("encoded");
        prop_assert_eq!(offsets.len(), batch.num_rows() + 1);
        let mut lines = Vec::new();
        encode(&schema, &batch, Some(&[4, 0, 8]), &Format::Ndjson, usize::MAX, &mut lines).expect("encoded");
        prop_assert_eq!(lines.split(|&byte| byte == b'\n').count() - 1, batch.num_rows());
        for (cut, line) in offsets.windows(2).zip(lines.split(|&byte| byte == b'\n')) {
            let row = &bytes[cut[0].unsigned_abs() as usize..cut[1].unsigned_abs() as usize];
            prop_assert_eq!(row, line);
            let value: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(row).expect("json");
            prop_assert_eq!(value.keys().map(String::as_str).collect::<Vec<_>>().len(), 3);
        }
    }

    #[test]
    fn where_a_document_is_cut_makes_no_difference(lines in prop::collection::vec(nearly(), 0..12), at in any::<prop::sample::Index>()) {
        let schema = every_kind(true);
        // A byte order mark counts at the start of a document only.
        let lines: Vec<Vec<u8>> = lines.into_iter().map(|line| line.into_iter().filter(|byte| *byte != 0xef).collect()).collect();
        let bytes = lines.join(&b'\n');
        let ends: Vec<usize> = std::iter::once(0)
            .chain(bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1))
            .collect();
        let (head, tail) = bytes.split_at(ends[at.index(ends.len())]);
        let one = decoded(&DocumentFormat::Ndjson, &bytes, 1, &schema);
        let first = decoded(&DocumentFormat::Ndjson, head, 1, &schema);
        let second = decoded(&DocumentFormat::Ndjson, tail, 1 + first.lines, &schema);
        prop_assert_eq!(one.records, first.records + second.records);
        prop_assert_eq!(one.lines, first.lines + second.lines);
        let both = [first.rejections, second.rejections].concat();
        prop_assert_eq!(&one.rejections, &both);
        let rows = |parts: &[&[sluice_model::batch::Batch]]| {
            let batches: Vec<_> = parts.iter().copied().flatten().collect();
            let numbers: Vec<u64> = batches.iter().flat_map(|b| b.origin.entered.places.numbers.clone()).collect();
            let ids: Vec<u8> = batches.iter().flat_map(|batch| row_ids(batch, &[7; 32])).collect();
            (concat_batches(schema.arrow(), batches.iter().map(|b| &b.data)).expect("one batch"), numbers, ids)
        };
        prop_assert_eq!(rows(&[&one.batches]), rows(&[&first.batches, &second.batches]));
    }
}
