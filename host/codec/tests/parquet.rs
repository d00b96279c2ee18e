//! Parquet as others write it, and files that are the attack.

use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, DictionaryArray, FixedSizeBinaryArray, Float32Array, Int32Array, Int64Array,
    ListArray, RecordBatch, StringArray, TimestampMillisecondArray, TimestampNanosecondArray,
    UInt64Array,
};
use arrow_schema::{DataType, Field as ArrowField, Schema as ArrowSchema};
use parquet::arrow::arrow_writer::ArrowWriter;
use parquet::basic::{Compression, Encoding};
use parquet::file::properties::WriterProperties;
use sluice_codec::{
    Decoded, Document, DocumentFormat, EncodeError, Outcome, ParquetRows, Target, decode,
    encode_parquet, record_json,
};
use sluice_model::batch::Batch;
use sluice_model::contract::Drift;
use sluice_model::fault::{Fault, FaultKind};
use sluice_model::limits;
use sluice_model::rejection::Record;
use sluice_model::schema::{Field, FieldType, Schema};
use std::sync::Arc;

fn schema(fields: &[(&str, &str, bool)]) -> Arc<Schema> {
    let field = |(name, kind, nullable): &(&str, &str, bool)| {
        Field::new(*name, kind.parse::<FieldType>().expect("a type"), *nullable)
    };
    Arc::new(Schema::new(fields.iter().map(field).collect(), vec![]).expect("a schema"))
}

fn written(columns: Vec<(&str, ArrayRef)>, properties: WriterProperties) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns).expect("a batch");
    let mut writer =
        ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).expect("a writer");
    writer.write(&batch).expect("written");
    writer.into_inner().expect("a file")
}

fn plain() -> WriterProperties {
    WriterProperties::builder().build()
}

fn footer(bytes: &[u8]) -> Vec<u8> {
    let tail = bytes.len() - 8;
    let length = u32::from_le_bytes(bytes[tail..tail + 4].try_into().expect("four bytes"));
    bytes[tail - length as usize..].to_vec()
}

fn run(bytes: &[u8], rows: ParquetRows, schema: &Arc<Schema>, drift: Drift) -> Outcome {
    let format = DocumentFormat::Parquet(rows);
    let stream = "s".parse().expect("a name");
    let target = Target {
        stream: &stream,
        schema,
        drift,
        batch_rows: 1_024,
    };
    let document = Document {
        format: &format,
        bytes,
        name: "a.parquet",
        first_line: 1,
        changes: None,
    };
    decode(&document, &target)
}

fn all(bytes: &[u8]) -> ParquetRows {
    ParquetRows {
        offset: 0,
        footer: footer(bytes),
        group: 0,
        first: 0,
        count: u32::MAX,
    }
}

fn read(bytes: &[u8], schema: &Arc<Schema>) -> Decoded {
    match run(bytes, all(bytes), schema, Drift::DeadLetter) {
        Outcome::Decoded(decoded) => decoded,
        other => panic!("{other:?}"),
    }
}

fn refused(bytes: &[u8], schema: &Arc<Schema>) -> Fault {
    match run(bytes, all(bytes), schema, Drift::DeadLetter) {
        Outcome::Unreadable(fault) => fault,
        other => panic!("{other:?}"),
    }
}

fn lines(decoded: &Decoded) -> Vec<String> {
    let rows = |batch: &Batch| {
        (0..batch.rows())
            .map(|row| record_json(&batch.schema, &batch.data, row))
            .collect::<Vec<_>>()
    };
    decoded.batches.iter().flat_map(rows).collect()
}

/// The types of other writers, as the contract's.
fn foreign() -> Vec<u8> {
    let fixed =
        FixedSizeBinaryArray::try_from_iter([[1_u8, 2], [3, 4]].into_iter()).expect("bytes");
    written(
        vec![
            ("small", Arc::new(Int32Array::from(vec![Some(-7), None]))),
            ("large", Arc::new(UInt64Array::from(vec![u64::MAX, 0]))),
            ("single", Arc::new(Float32Array::from(vec![0.5, -2.0]))),
            (
                "nanos",
                Arc::new(TimestampNanosecondArray::from(vec![1_999, -1])),
            ),
            (
                "millis",
                Arc::new(TimestampMillisecondArray::from(vec![0, 1_500])),
            ),
            ("fixed", Arc::new(fixed)),
        ],
        plain(),
    )
}

#[test]
fn what_others_write_is_read_as_the_nearest_type() {
    let natural = schema(&[
        ("small", "int64", true),
        ("large", "decimal(20,0)", true),
        ("single", "float64", true),
        ("nanos", "timestamp", true),
        ("millis", "timestamp", true),
        ("fixed", "binary", true),
    ]);
    let bytes = foreign();
    let expected = [
        r#"{"small":-7,"large":18446744073709551615,"single":0.5,"nanos":"1970-01-01T00:00:00.000001Z","millis":"1970-01-01T00:00:00Z","fixed":"AQI="}"#,
        r#"{"small":null,"large":0,"single":-2.0,"nanos":"1969-12-31T23:59:59.999999Z","millis":"1970-01-01T00:00:01.5Z","fixed":"AwQ="}"#,
    ];
    assert_eq!(lines(&read(&bytes, &natural)), expected);
    let format = DocumentFormat::Parquet(all(&bytes));
    let document = Document {
        format: &format,
        bytes: &bytes,
        name: "a.parquet",
        first_line: 1,
        changes: None,
    };
    let inferred = sluice_codec::infer(&document, 10, None).expect("a schema");
    assert_eq!(inferred, *natural);
}

/// Where the stream has other types or columns, records are fitted as the same records in JSON would be.
#[test]
fn records_are_fitted_to_the_streams_schema() {
    let bytes = written(
        vec![
            ("id", Arc::new(Int64Array::from(vec![1, 2, 3]))),
            (
                "name",
                Arc::new(StringArray::from(vec![Some("a"), None, Some("c")])),
            ),
        ],
        plain(),
    );
    let decoded = read(
        &bytes,
        &schema(&[
            ("name", "text", false),
            ("id", "float64", true),
            ("more", "date", true),
        ]),
    );
    assert_eq!(
        lines(&decoded),
        [
            r#"{"name":"a","id":1.0,"more":null}"#,
            r#"{"name":"c","id":3.0,"more":null}"#
        ]
    );
    let rejection = &decoded.rejections[0];
    assert_eq!(
        (rejection.code.as_str(), rejection.place.item),
        ("missing-field", Some(1))
    );
    assert_eq!(
        rejection.record,
        Record::Raw(br#"{"id":2,"name":null}"#.to_vec())
    );
    assert_eq!(decoded.records, 3);

    let narrow = schema(&[("id", "int64", true)]);
    let decoded = read(&bytes, &narrow);
    assert_eq!(decoded.rejections.len(), 3);
    assert_eq!(decoded.rejections[2].code, "unknown-field");
    let Outcome::Evolve(wider) = run(&bytes, all(&bytes), &narrow, Drift::Evolve) else {
        panic!("the schema did not grow");
    };
    assert_eq!(
        wider,
        schema(&[("id", "int64", true), ("name", "text", true)])
    );
    let Outcome::Decoded(discarding) = run(&bytes, all(&bytes), &narrow, Drift::DiscardValue)
    else {
        panic!("it is read");
    };
    assert_eq!((discarding.records, discarding.discarded_values), (3, 2));
}

#[test]
fn a_text_that_is_no_json_is_refused_with_its_record() {
    let json = schema(&[("j", "json", true)]);
    let texts: ArrayRef = Arc::new(StringArray::from(vec![r#"{"a": 1}"#, r#"1,"j":2"#]));
    let batch = RecordBatch::try_new(Arc::clone(json.arrow()), vec![texts]).expect("a batch");
    let bytes = encode_parquet(&json, &[&batch], None, usize::MAX).expect("a file");
    let decoded = read(&bytes, &json);
    assert_eq!(lines(&decoded), [r#"{"j":{"a":1}}"#]);
    let rejection = &decoded.rejections[0];
    assert_eq!(rejection.code, "wrong-type");
    assert_eq!(
        rejection.record,
        Record::Raw(br#"{"j":"1,\"j\":2"}"#.to_vec())
    );
}

#[test]
fn a_row_group_is_read_from_its_bytes_alone() {
    let ids: Vec<i64> = (0..1_000).collect();
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(400))
        .build();
    let bytes = written(vec![("id", Arc::new(Int64Array::from(ids)))], properties);
    let metadata = parquet::file::metadata::ParquetMetaDataReader::decode_metadata(
        &footer(&bytes)[..footer(&bytes).len() - 8],
    );
    let (start, length) = metadata
        .expect("metadata")
        .row_group(1)
        .column(0)
        .byte_range();
    let piece = &bytes[start as usize..(start + length) as usize];
    let rows = ParquetRows {
        offset: start,
        footer: footer(&bytes),
        group: 1,
        first: 100,
        count: 50,
    };
    let ids = schema(&[("id", "int64", true)]);
    let Outcome::Decoded(decoded) = run(piece, rows.clone(), &ids, Drift::DeadLetter) else {
        panic!("it is read");
    };
    let told = lines(&decoded);
    assert_eq!((told.len(), told[0].as_str()), (50, r#"{"id":500}"#));
    assert_eq!(decoded.batches[0].origin.entered.places.numbers[0], 500);
    let cut = run(
        &piece[..piece.len() - 1],
        rows.clone(),
        &ids,
        Drift::DeadLetter,
    );
    assert!(
        matches!(cut, Outcome::Unreadable(fault) if fault.message.contains("outside its row group"))
    );
    let none = run(
        piece,
        ParquetRows { group: 9, ..rows },
        &ids,
        Drift::DeadLetter,
    );
    assert!(matches!(none, Outcome::Unreadable(fault) if fault.message.contains("no row group 9")));
}

#[test]
fn what_is_not_read_is_named() {
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1)])]);
    let nested = refused(
        &written(vec![("tags", Arc::new(list))], plain()),
        &schema(&[("tags", "json", true)]),
    );
    assert_eq!(nested.kind, FaultKind::Misconfigured);
    assert_eq!(
        nested.message,
        "`a.parquet` is Parquet with a nested column, `tags`"
    );
    let time: ArrayRef = Arc::new(arrow_array::Time64MicrosecondArray::from(vec![1]));
    let time = refused(
        &written(vec![("at", time)], plain()),
        &schema(&[("at", "json", true)]),
    );
    assert!(
        time.message
            .contains("column `at` of a type that is not read"),
        "{}",
        time.message
    );
    let no_file = run(
        b"x",
        ParquetRows {
            footer: b"PAR1".to_vec(),
            offset: 0,
            group: 0,
            first: 0,
            count: 1,
        },
        &schema(&[]),
        Drift::DeadLetter,
    );
    assert!(
        matches!(no_file, Outcome::Unreadable(fault) if fault.message.contains("has no footer"))
    );
    let mut sealed = written(vec![("a", Arc::new(Int64Array::from(vec![1])))], plain());
    let end = sealed.len();
    sealed[end - 1] = b'E';
    assert!(
        refused(&sealed, &schema(&[("a", "int64", true)]))
            .message
            .contains("an encrypted footer")
    );
}

fn text_of(bytes: usize) -> ArrayRef {
    Arc::new(StringArray::from(vec!["x".repeat(bytes)]))
}

fn without_dictionary() -> WriterProperties {
    WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_compression(Compression::SNAPPY)
        .set_encoding(Encoding::PLAIN)
        .set_statistics_truncate_length(Some(8))
        .set_column_index_truncate_length(Some(8))
        .build()
}

#[test]
fn a_footer_that_is_too_long_is_refused() {
    let long = vec![parquet::file::metadata::KeyValue::new(
        "k".to_owned(),
        "v".repeat(limits::PARQUET_FOOTER_BYTES_MAX),
    )];
    let properties = WriterProperties::builder()
        .set_key_value_metadata(Some(long))
        .build();
    let bytes = written(vec![("a", Arc::new(Int64Array::from(vec![1])))], properties);
    let fault = refused(&bytes, &schema(&[("a", "int64", true)]));
    assert_eq!(fault.kind, FaultKind::LimitExceeded);
    assert!(
        fault.message.contains("has a footer of"),
        "{}",
        fault.message
    );
}

#[test]
fn a_page_that_unpacks_to_too_much_is_refused() {
    let bytes = written(
        vec![("a", text_of(limits::PARQUET_PAGE_BYTES_MAX + 1))],
        without_dictionary(),
    );
    assert!(bytes.len() < 2 << 20, "{}", bytes.len());
    let fault = refused(&bytes, &schema(&[("a", "text", true)]));
    assert_eq!(fault.kind, FaultKind::LimitExceeded);
    assert!(
        fault.message.contains("has a page of 16777"),
        "{}",
        fault.message
    );
}

#[test]
fn a_row_group_that_unpacks_to_too_much_is_refused() {
    let names: Vec<String> = (0..18).map(|at| format!("c{at}")).collect();
    let columns = names
        .iter()
        .map(|name| (name.as_str(), text_of(15 << 20)))
        .collect();
    let bytes = written(columns, without_dictionary());
    let fields: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), "text", true))
        .collect();
    let fault = refused(&bytes, &schema(&fields));
    assert_eq!(fault.kind, FaultKind::LimitExceeded);
    assert!(
        fault.message.contains("has a row group of more than"),
        "{}",
        fault.message
    );
}

#[test]
fn a_dictionary_cannot_become_more_than_memory_holds() {
    let values = StringArray::from(vec!["x".repeat(1 << 20)]);
    let keys = Int32Array::from(vec![0; 400]);
    let array =
        DictionaryArray::<Int32Type>::try_new(keys, Arc::new(values)).expect("a dictionary");
    let kind = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let arrow = Arc::new(ArrowSchema::new(vec![ArrowField::new("a", kind, false)]));
    let batch = RecordBatch::try_new(Arc::clone(&arrow), vec![Arc::new(array)]).expect("a batch");
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_dictionary_page_size_limit(4 << 20)
        .set_statistics_truncate_length(Some(8))
        .set_column_index_truncate_length(Some(8))
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), arrow, Some(properties)).expect("a writer");
    writer.write(&batch).expect("written");
    let bytes = writer.into_inner().expect("a file");
    assert!(bytes.len() < 1 << 20, "{}", bytes.len());
    let fault = refused(&bytes, &schema(&[("a", "text", true)]));
    assert_eq!(fault.kind, FaultKind::LimitExceeded);
    assert!(
        fault.message.contains("rows that take more than"),
        "{}",
        fault.message
    );
}

#[test]
fn a_record_that_is_too_large_is_refused_alone() {
    let texts = StringArray::from(vec![
        "a".to_owned(),
        "x".repeat(limits::RECORD_BYTES_MAX + 1),
    ]);
    let bytes = written(vec![("a", Arc::new(texts))], without_dictionary());
    let decoded = read(&bytes, &schema(&[("a", "text", true)]));
    assert_eq!(lines(&decoded), [r#"{"a":"a"}"#]);
    assert_eq!(decoded.rejections[0].code, "record-too-large");
}

#[test]
fn a_file_is_bounded_and_of_one_schema() {
    let wide = schema(&[("a", "text", false), ("b", "int64", true)]);
    let columns: Vec<ArrayRef> = vec![text_of(3), Arc::new(Int64Array::from(vec![1]))];
    let batch = RecordBatch::try_new(Arc::clone(wide.arrow()), columns).expect("a batch");
    let file = encode_parquet(&wide, &[&batch, &batch], Some(&[1]), usize::MAX).expect("a file");
    let narrow = schema(&[("b", "int64", true)]);
    assert_eq!(lines(&read(&file, &narrow)), [r#"{"b":1}"#, r#"{"b":1}"#]);
    assert_eq!(
        encode_parquet(&wide, &[&batch], None, 100),
        Err(EncodeError::TooLarge(100))
    );
    assert_eq!(
        encode_parquet(&wide, &[&batch], Some(&[7]), 100),
        Err(EncodeError::NoSuchColumn(7))
    );
    let other =
        RecordBatch::try_from_iter(vec![("a", text_of(1)), ("b", text_of(1))]).expect("a batch");
    assert!(matches!(
        encode_parquet(&wide, &[&other], None, usize::MAX),
        Err(EncodeError::Mismatch { .. })
    ));
}
