//! A Parquet column as one of the contract's types: the one that holds all its values, whatever the stream's schema says.

use super::file::Flaw;
use crate::json::scan::Scanner;
use crate::json::value::FIELD_DEPTH;
use crate::problem::{Problem, shown};
use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    ArrowPrimitiveType, Decimal128Type, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, BinaryArray, PrimitiveArray};
use arrow_schema::{DataType, TimeUnit};
use parquet::basic::{ConvertedType, LogicalType};
use parquet::schema::types::SchemaDescriptor;
use sluice_model::schema::{Field, FieldType, Schema};
use std::sync::Arc;

/// Digits of the largest `UInt64`.
const UINT64_DIGITS: u8 = 20;

/// A row whose value its column's type cannot hold.
#[derive(Debug)]
pub struct Misfit {
    /// Counted in the batch.
    pub row: usize,
    /// Why it is refused.
    pub problem: Problem,
}

/// The schema that a file's columns make: Arrow's types, and which text is JSON.
pub fn schema(arrow: &arrow_schema::Schema, file: &SchemaDescriptor) -> Result<Schema, Flaw> {
    let fields = arrow
        .fields()
        .iter()
        .zip(file.columns())
        .map(|(field, column)| {
            let json = matches!(column.logical_type_ref(), Some(LogicalType::Json))
                || column.converted_type() == ConvertedType::JSON;
            let kind = match field.data_type() {
                DataType::Utf8 if json => FieldType::Json,
                other => kind(other).ok_or_else(|| {
                    let name = shown(field.name());
                    let what: String = other.to_string().chars().take(40).collect();
                    Flaw::Unsupported(format!(
                        "column `{name}` of a type that is not read ({what})"
                    ))
                })?,
            };
            Ok(Field::new(field.name(), kind, true))
        });
    let fields = fields.collect::<Result<Vec<_>, Flaw>>()?;
    Schema::new(fields, Vec::new()).map_err(Flaw::broken)
}

fn kind(arrow: &DataType) -> Option<FieldType> {
    Some(match arrow {
        DataType::Boolean => FieldType::Boolean,
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32 => FieldType::Int64,
        DataType::UInt64 => FieldType::Decimal {
            precision: UINT64_DIGITS,
            scale: 0,
        },
        DataType::Float16 | DataType::Float32 | DataType::Float64 => FieldType::Float64,
        DataType::Decimal128(precision, scale)
            if u8::try_from(*scale).is_ok_and(|scale| scale <= *precision) =>
        {
            FieldType::Decimal {
                precision: *precision,
                scale: *scale,
            }
        }
        DataType::Utf8 => FieldType::Text,
        DataType::Binary | DataType::FixedSizeBinary(_) => FieldType::Binary,
        DataType::Date32 => FieldType::Date,
        DataType::Timestamp(..) => FieldType::Timestamp,
        _ => return None,
    })
}

/// A column's values in the type that [`schema`] gave it. What does not fit is among `misfits`, and stands in the column
/// as something harmless.
pub fn column(
    array: &ArrayRef,
    field: &Field,
    misfits: &mut Vec<Misfit>,
) -> Result<ArrayRef, Flaw> {
    Ok(match array.data_type() {
        DataType::Utf8 if field.kind == FieldType::Json => json(array, field, misfits),
        DataType::Boolean
        | DataType::Int64
        | DataType::Float64
        | DataType::Utf8
        | DataType::Binary
        | DataType::Date32 => Arc::clone(array),
        DataType::Int8 => wider::<Int8Type, Int64Type>(array, i64::from),
        DataType::Int16 => wider::<Int16Type, Int64Type>(array, i64::from),
        DataType::Int32 => wider::<Int32Type, Int64Type>(array, i64::from),
        DataType::UInt8 => wider::<UInt8Type, Int64Type>(array, i64::from),
        DataType::UInt16 => wider::<UInt16Type, Int64Type>(array, i64::from),
        DataType::UInt32 => wider::<UInt32Type, Int64Type>(array, i64::from),
        DataType::Float16 => wider::<Float16Type, Float64Type>(
            array,
            <Float16Type as ArrowPrimitiveType>::Native::to_f64,
        ),
        DataType::Float32 => wider::<Float32Type, Float64Type>(array, f64::from),
        DataType::UInt64 => {
            let values: PrimitiveArray<Decimal128Type> =
                array.as_primitive::<UInt64Type>().unary(i128::from);
            Arc::new(
                values
                    .with_precision_and_scale(UINT64_DIGITS, 0)
                    .map_err(Flaw::broken)?,
            )
        }
        DataType::Decimal128(precision, _) => decimal(array, *precision, field, misfits),
        DataType::FixedSizeBinary(_) => {
            Arc::new(array.as_fixed_size_binary().iter().collect::<BinaryArray>())
        }
        DataType::Timestamp(unit, _) => timestamp(array, *unit, field, misfits),
        other => return Err(Flaw::broken(format!("a column came as {other}"))),
    })
}

fn wider<F: ArrowPrimitiveType, T: ArrowPrimitiveType>(
    array: &ArrayRef,
    widen: impl Fn(F::Native) -> T::Native,
) -> ArrayRef {
    Arc::new(array.as_primitive::<F>().unary::<_, T>(widen))
}

/// Nothing in a file holds a decimal to the digits that its type names.
fn decimal(array: &ArrayRef, precision: u8, field: &Field, misfits: &mut Vec<Misfit>) -> ArrayRef {
    let values = array.as_primitive::<Decimal128Type>();
    let beyond = 10_u128.pow(precision.into());
    let too_large = (0..values.len())
        .filter(|row| values.is_valid(*row) && values.value(*row).unsigned_abs() >= beyond);
    let before = misfits.len();
    misfits.extend(too_large.map(|row| Misfit {
        row,
        problem: *Problem::out_of_range(field, "a number of more digits"),
    }));
    if misfits.len() == before {
        return Arc::clone(array);
    }
    let held = values.unary::<_, Decimal128Type>(|value| {
        if value.unsigned_abs() >= beyond {
            0
        } else {
            value
        }
    });
    Arc::new(held.with_data_type(array.data_type().clone()))
}

/// Microseconds in UTC. A time without a zone is taken to be UTC; what is finer than a microsecond is cut off.
fn timestamp(
    array: &ArrayRef,
    unit: TimeUnit,
    field: &Field,
    misfits: &mut Vec<Misfit>,
) -> ArrayRef {
    let micros: PrimitiveArray<TimestampMicrosecondType> = match unit {
        TimeUnit::Microsecond => array.as_primitive::<TimestampMicrosecondType>().clone(),
        TimeUnit::Nanosecond => array
            .as_primitive::<TimestampNanosecondType>()
            .unary(|value| value.div_euclid(1_000)),
        TimeUnit::Millisecond => scaled(
            array.as_primitive::<TimestampMillisecondType>(),
            1_000,
            field,
            misfits,
        ),
        TimeUnit::Second => scaled(
            array.as_primitive::<TimestampSecondType>(),
            1_000_000,
            field,
            misfits,
        ),
    };
    Arc::new(micros.with_timezone("UTC"))
}

fn scaled<T: ArrowPrimitiveType<Native = i64>>(
    values: &PrimitiveArray<T>,
    by: i64,
    field: &Field,
    misfits: &mut Vec<Misfit>,
) -> PrimitiveArray<TimestampMicrosecondType> {
    for row in 0..values.len() {
        if values.is_valid(row) && values.value(row).checked_mul(by).is_none() {
            misfits.push(Misfit {
                row,
                problem: *Problem::out_of_range(field, "a time beyond its range"),
            });
        }
    }
    values.unary(|value| value.checked_mul(by).unwrap_or_default())
}

/// JSON as the contract has it; a text that is none stands in its place as a JSON string.
fn json(array: &ArrayRef, field: &Field, misfits: &mut Vec<Misfit>) -> ArrayRef {
    let texts = array.as_string::<i32>();
    let mut kept = StringBuilder::with_capacity(texts.len(), texts.value_data().len());
    let mut one = Vec::new();
    for (row, text) in texts.iter().enumerate() {
        let Some(text) = text else {
            kept.append_null();
            continue;
        };
        one.clear();
        if is_json(text, &mut one) {
            // What is kept of valid JSON is a part of its text.
            kept.append_value(String::from_utf8_lossy(&one));
        } else {
            misfits.push(Misfit {
                row,
                problem: *Problem::wrong_type(field, "text that is no JSON"),
            });
            one.clear();
            crate::encode::json::write_text(&mut one, text.as_bytes());
            kept.append_value(String::from_utf8_lossy(&one));
        }
    }
    Arc::new(kept.finish())
}

fn is_json(text: &str, kept: &mut Vec<u8>) -> bool {
    let mut scanner = Scanner::new(text.as_bytes());
    scanner.skip_space();
    let is_sound = scanner.keep_value(FIELD_DEPTH, kept).is_ok();
    scanner.skip_space();
    is_sound && scanner.peek().is_none()
}
