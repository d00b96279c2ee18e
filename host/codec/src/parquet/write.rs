//! Batches as one Parquet file: one row group, Snappy, flat columns.
//!
//! | field | column |
//! |---|---|
//! | `boolean` | `BOOLEAN` |
//! | `int64` | `INT64` |
//! | `float64` | `DOUBLE` |
//! | `decimal(P,S)` | `FIXED_LEN_BYTE_ARRAY`, `DECIMAL(P,S)` |
//! | `text` | `BYTE_ARRAY`, `STRING` |
//! | `binary` | `BYTE_ARRAY` |
//! | `date` | `INT32`, `DATE` |
//! | `timestamp` | `INT64`, `TIMESTAMP(MICROS, isAdjustedToUTC)` |
//! | `json` | `BYTE_ARRAY`, `JSON` |
//!
//! A column that may be without a value is `OPTIONAL`.

use crate::encode::EncodeError;
use arrow_array::RecordBatch;
use parquet::arrow::arrow_writer::{ArrowWriter, ArrowWriterOptions};
use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::{SchemaDescriptor, Type};
use sluice_model::limits;
use sluice_model::schema::{Field, FieldType, Schema};
use std::sync::Arc;

/// The batches of one schema as one file of `bytes_max` at most. `columns` says which, in which order; none: all of them.
pub fn encode(
    schema: &Schema,
    batches: &[&RecordBatch],
    columns: Option<&[usize]>,
    bytes_max: usize,
) -> Result<Vec<u8>, EncodeError> {
    let all: Vec<usize> = (0..schema.fields().len()).collect();
    let columns = columns.unwrap_or(&all);
    let fields = columns.iter().map(|column| {
        schema
            .fields()
            .get(*column)
            .ok_or(EncodeError::NoSuchColumn(*column))
    });
    let fields = fields.collect::<Result<Vec<_>, _>>()?;
    let mut file = Bounded {
        bytes: Vec::new(),
        bytes_max,
    };
    let written = write(schema, &fields, batches, columns, &mut file);
    match written {
        Ok(()) => Ok(file.bytes),
        Err(ParquetError::ArrowError(_)) => Err(mismatch(&fields, batches, columns)),
        Err(_) => Err(EncodeError::TooLarge(bytes_max)),
    }
}

fn write(
    schema: &Schema,
    fields: &[&Field],
    batches: &[&RecordBatch],
    columns: &[usize],
    file: &mut Bounded,
) -> ParquetResult<()> {
    let types = fields.iter().map(|field| column(field).map(Arc::new));
    let root = Type::group_type_builder("schema")
        .with_fields(types.collect::<ParquetResult<_>>()?)
        .build()?;
    let arrow = Arc::new(schema.arrow().project(columns)?);
    // Statistics would say of each column its smallest and largest value, whole texts among them, twice.
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_statistics_truncate_length(Some(64))
        .set_max_row_group_row_count(Some(limits::UNIT_ROWS_MAX as usize))
        .set_created_by(concat!("sluice version ", env!("CARGO_PKG_VERSION")).to_owned())
        .build();
    let options = ArrowWriterOptions::new()
        .with_properties(properties)
        .with_skip_arrow_metadata(true)
        .with_parquet_schema(SchemaDescriptor::new(Arc::new(root)));
    let mut writer = ArrowWriter::try_new_with_options(file, Arc::clone(&arrow), options)?;
    for batch in batches {
        let projected = batch.project(columns)?;
        writer.write(&projected)?;
    }
    writer.close()?;
    Ok(())
}

fn column(field: &Field) -> ParquetResult<Type> {
    let (physical, logical) = match field.kind {
        FieldType::Boolean => (Physical::BOOLEAN, None),
        FieldType::Int64 => (Physical::INT64, None),
        FieldType::Float64 => (Physical::DOUBLE, None),
        FieldType::Decimal { precision, scale } => (
            Physical::FIXED_LEN_BYTE_ARRAY,
            Some(LogicalType::decimal(scale.into(), precision.into())),
        ),
        FieldType::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        FieldType::Json => (Physical::BYTE_ARRAY, Some(LogicalType::Json)),
        FieldType::Binary => (Physical::BYTE_ARRAY, None),
        FieldType::Date => (Physical::INT32, Some(LogicalType::Date)),
        FieldType::Timestamp => (
            Physical::INT64,
            Some(LogicalType::timestamp(true, TimeUnit::MICROS)),
        ),
    };
    let repetition = if field.nullable {
        Repetition::OPTIONAL
    } else {
        Repetition::REQUIRED
    };
    let mut builder = Type::primitive_type_builder(&field.name, physical)
        .with_repetition(repetition)
        .with_logical_type(logical);
    if let FieldType::Decimal { precision, scale } = field.kind {
        builder = builder
            .with_precision(precision.into())
            .with_scale(scale.into())
            .with_length(decimal_bytes(precision));
    }
    builder.build()
}

/// The fewest bytes whose two's complement holds so many digits.
fn decimal_bytes(precision: u8) -> i32 {
    let beyond = 10_u128.pow(u32::from(precision).min(38));
    (1..16)
        .find(|bytes| 1_u128 << (8 * bytes - 1) >= beyond)
        .unwrap_or(16)
}

fn mismatch(fields: &[&Field], batches: &[&RecordBatch], columns: &[usize]) -> EncodeError {
    let wrong = batches.iter().find_map(|batch| {
        let mut pairs = fields.iter().zip(columns);
        pairs.find(|(field, column)| {
            batch
                .columns()
                .get(**column)
                .is_none_or(|array| *arrow_array::Array::data_type(array) != field.kind.arrow())
        })
    });
    match wrong {
        Some((field, _)) => EncodeError::Mismatch {
            field: field.name.clone(),
            expected: field.kind,
        },
        None => EncodeError::NoSuchColumn(columns.len()),
    }
}

/// Takes no more than it may.
struct Bounded {
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.bytes_max {
            return Err(std::io::Error::other(
                "beyond the bytes that were wanted at most",
            ));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
