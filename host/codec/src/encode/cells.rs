//! The columns of a batch as slices that a row number leads into, checked against the schema once for all rows.

use super::EncodeError;
use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    ByteArrayType, Date32Type, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType,
};
use arrow_array::{Array, BooleanArray, GenericByteArray, RecordBatch};
use arrow_buffer::NullBuffer;
use sluice_model::schema::{Field, FieldType, Schema};

/// Values of differing length, end to end.
#[derive(Debug, Clone, Copy)]
pub struct Packed<'a> {
    offsets: &'a [i32],
    bytes: &'a [u8],
}

impl<'a> Packed<'a> {
    /// The value of this row.
    #[inline]
    pub fn get(&self, row: usize) -> &'a [u8] {
        match self.offsets.get(row..row + 2) {
            // Arrow's offsets begin at 0 and never decrease.
            Some(&[start, end]) => self
                .bytes
                .get(start.unsigned_abs() as usize..end.unsigned_abs() as usize)
                .unwrap_or_default(),
            _ => &[],
        }
    }

    /// All values of these rows, end to end.
    pub fn all(&self) -> &'a [u8] {
        match (self.offsets.first(), self.offsets.last()) {
            (Some(start), Some(end)) => self
                .bytes
                .get(start.unsigned_abs() as usize..end.unsigned_abs() as usize)
                .unwrap_or_default(),
            _ => &[],
        }
    }
}

/// One column's values.
#[derive(Debug)]
pub enum Values<'a> {
    /// True or false.
    Boolean(&'a BooleanArray),
    /// 64-bit signed.
    Int64(&'a [i64]),
    /// 64-bit IEEE 754.
    Float64(&'a [f64]),
    /// Scaled, with the digits behind the point.
    Decimal(&'a [i128], usize),
    /// UTF-8.
    Text(Packed<'a>),
    /// Bytes.
    Binary(Packed<'a>),
    /// Days since 1970-01-01.
    Date(&'a [i32]),
    /// Microseconds since 1970-01-01T00:00:00Z.
    Timestamp(&'a [i64]),
    /// JSON.
    Json(Packed<'a>),
}

/// One column.
#[derive(Debug)]
pub struct Cells<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its values.
    pub values: Values<'a>,
    nulls: Option<&'a NullBuffer>,
}

impl<'a> Cells<'a> {
    /// The chosen columns of a batch, in the chosen order.
    pub fn of_batch(
        schema: &'a Schema,
        data: &'a RecordBatch,
        columns: Option<&[usize]>,
    ) -> Result<Vec<Self>, EncodeError> {
        let one = |column: usize| {
            let field = schema
                .fields()
                .get(column)
                .ok_or(EncodeError::NoSuchColumn(column))?;
            let array = data
                .columns()
                .get(column)
                .ok_or(EncodeError::NoSuchColumn(column))?;
            Self::new(field, array)
        };
        match columns {
            Some(columns) => columns.iter().copied().map(one).collect(),
            None => (0..schema.fields().len()).map(one).collect(),
        }
    }

    fn new(field: &'a Field, array: &'a dyn Array) -> Result<Self, EncodeError> {
        let values = match field.kind {
            FieldType::Boolean => array.as_boolean_opt().map(Values::Boolean),
            FieldType::Int64 => array
                .as_primitive_opt::<Int64Type>()
                .map(|array| Values::Int64(array.values())),
            FieldType::Float64 => array
                .as_primitive_opt::<Float64Type>()
                .map(|array| Values::Float64(array.values())),
            FieldType::Decimal { scale, .. } => array
                .as_primitive_opt::<Decimal128Type>()
                .map(|array| Values::Decimal(array.values(), scale.unsigned_abs().into())),
            FieldType::Text => array
                .as_string_opt::<i32>()
                .map(|array| Values::Text(packed(array))),
            FieldType::Json => array
                .as_string_opt::<i32>()
                .map(|array| Values::Json(packed(array))),
            FieldType::Binary => array
                .as_binary_opt::<i32>()
                .map(|array| Values::Binary(packed(array))),
            FieldType::Date => array
                .as_primitive_opt::<Date32Type>()
                .map(|array| Values::Date(array.values())),
            FieldType::Timestamp => array
                .as_primitive_opt::<TimestampMicrosecondType>()
                .map(|array| Values::Timestamp(array.values())),
        };
        let mismatch = || EncodeError::Mismatch {
            field: field.name.clone(),
            expected: field.kind,
        };
        Ok(Self {
            name: &field.name,
            values: values.ok_or_else(mismatch)?,
            nulls: array.nulls(),
        })
    }

    /// Whether the row has a value that can be written.
    #[inline]
    pub fn has_value(&self, row: usize) -> bool {
        self.nulls.is_none_or(|nulls| nulls.is_valid(row))
            && match &self.values {
                Values::Float64(values) => values[row].is_finite(),
                _ => true,
            }
    }
}

fn packed<T: ByteArrayType<Offset = i32>>(array: &GenericByteArray<T>) -> Packed<'_> {
    Packed {
        offsets: array.value_offsets(),
        bytes: array.value_data(),
    }
}
