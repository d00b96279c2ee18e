//! Columns while they grow, row by row. Any number of rows can be taken back at the end, which is how a record that
//! turns out bad leaves nothing behind.

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array,
    StringArray, TimestampMicrosecondArray,
};
use arrow_buffer::{
    BooleanBuffer, BooleanBufferBuilder, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer,
};
use sluice_model::schema::FieldType;
use std::mem::take;
use std::sync::Arc;

/// Values of differing length, end to end.
#[derive(Debug)]
pub struct Packed {
    /// Where each begins, and where the last ends.
    offsets: Vec<i32>,
    /// The values.
    pub bytes: Vec<u8>,
}

impl Packed {
    fn with_capacity(rows: usize, bytes: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self {
            offsets,
            bytes: Vec::with_capacity(bytes),
        }
    }

    /// Ends the value that was appended to `bytes`.
    ///
    /// A batch is cut long before its bytes reach what an offset holds: see `assembly::BATCH_BYTES_MAX`.
    #[inline]
    pub fn end(&mut self) {
        self.offsets.push(
            i32::try_from(self.bytes.len()).expect("a batch is cut long before two gigabytes"),
        );
    }

    /// Appends a whole value.
    #[inline]
    pub fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.end();
    }

    fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        self.bytes.truncate(
            self.offsets
                .last()
                .map_or(0, |end| end.unsigned_abs() as usize),
        );
    }

    /// The values so far; what follows begins with as much room as these took.
    fn take(&mut self) -> (OffsetBuffer<i32>, Buffer) {
        let next = Self::with_capacity(self.offsets.len(), self.bytes.len() + self.bytes.len() / 8);
        let full = std::mem::replace(self, next);
        (
            OffsetBuffer::new(ScalarBuffer::from(full.offsets)),
            Buffer::from_vec(full.bytes),
        )
    }
}

/// The values of a growing column, by type.
#[derive(Debug)]
pub enum Values {
    /// True or false.
    Boolean(Vec<bool>),
    /// 64-bit signed.
    Int64(Vec<i64>),
    /// 64-bit IEEE 754.
    Float64(Vec<f64>),
    /// Scaled by the field's scale.
    Decimal {
        /// The scaled values.
        values: Vec<i128>,
        /// Digits in all.
        precision: u8,
        /// Digits behind the point.
        scale: i8,
    },
    /// UTF-8.
    Text(Packed),
    /// Bytes.
    Binary(Packed),
    /// Days since 1970-01-01.
    Date(Vec<i32>),
    /// Microseconds since 1970-01-01T00:00:00Z.
    Timestamp(Vec<i64>),
    /// Compact JSON.
    Json(Packed),
}

/// A growing column.
#[derive(Debug)]
pub struct Column {
    /// Its values, nulls included: one a row.
    pub values: Values,
    /// The rows without a value, in order.
    nulls: Vec<u32>,
    rows: usize,
}

/// What a text column is given at first, in bytes a row.
const TEXT_BYTES_GUESS: usize = 24;

impl Column {
    /// An empty column with room for so many rows.
    pub fn new(kind: FieldType, rows: usize) -> Self {
        let packed = || Packed::with_capacity(rows, rows * TEXT_BYTES_GUESS);
        let values = match kind {
            FieldType::Boolean => Values::Boolean(Vec::with_capacity(rows)),
            FieldType::Int64 => Values::Int64(Vec::with_capacity(rows)),
            FieldType::Float64 => Values::Float64(Vec::with_capacity(rows)),
            FieldType::Decimal { precision, scale } => Values::Decimal {
                values: Vec::with_capacity(rows),
                precision,
                scale,
            },
            FieldType::Text => Values::Text(packed()),
            FieldType::Binary => Values::Binary(packed()),
            FieldType::Date => Values::Date(Vec::with_capacity(rows)),
            FieldType::Timestamp => Values::Timestamp(Vec::with_capacity(rows)),
            FieldType::Json => Values::Json(packed()),
        };
        Self {
            values,
            nulls: Vec::new(),
            rows: 0,
        }
    }

    /// How many rows it has.
    #[inline]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Counts the row whose value was appended to `values`.
    #[inline]
    pub fn count_row(&mut self) {
        self.rows += 1;
    }

    /// Appends a row without a value.
    pub fn push_null(&mut self) {
        match &mut self.values {
            Values::Boolean(values) => values.push(false),
            Values::Int64(values) | Values::Timestamp(values) => values.push(0),
            Values::Float64(values) => values.push(0.0),
            Values::Decimal { values, .. } => values.push(0),
            Values::Date(values) => values.push(0),
            Values::Text(packed) | Values::Binary(packed) | Values::Json(packed) => packed.end(),
        }
        self.nulls.push(self.rows as u32);
        self.rows += 1;
    }

    /// Takes back all but the first `rows`, and whatever a value left half written.
    pub fn truncate(&mut self, rows: usize) {
        match &mut self.values {
            Values::Boolean(values) => values.truncate(rows),
            Values::Int64(values) | Values::Timestamp(values) => values.truncate(rows),
            Values::Float64(values) => values.truncate(rows),
            Values::Decimal { values, .. } => values.truncate(rows),
            Values::Date(values) => values.truncate(rows),
            Values::Text(packed) | Values::Binary(packed) | Values::Json(packed) => {
                packed.truncate(rows);
            }
        }
        while self.nulls.last().is_some_and(|&row| row as usize >= rows) {
            self.nulls.pop();
        }
        self.rows = rows;
    }

    /// The rows so far as an array; the column is empty after it.
    pub fn take(&mut self) -> ArrayRef {
        let rows = take(&mut self.rows);
        let nulls = validity(&take(&mut self.nulls), rows);
        match &mut self.values {
            Values::Boolean(values) => {
                let bits = BooleanBuffer::from(values.as_slice());
                values.clear();
                Arc::new(BooleanArray::new(bits, nulls))
            }
            Values::Int64(values) => Arc::new(Int64Array::new(refilled(values).into(), nulls)),
            Values::Float64(values) => Arc::new(Float64Array::new(refilled(values).into(), nulls)),
            Values::Decimal {
                values,
                precision,
                scale,
            } => Arc::new(
                Decimal128Array::new(refilled(values).into(), nulls)
                    .with_precision_and_scale(*precision, *scale)
                    .expect("a schema's decimals have a precision and scale that Arrow allows"),
            ),
            Values::Date(values) => Arc::new(Date32Array::new(refilled(values).into(), nulls)),
            Values::Timestamp(values) => Arc::new(
                TimestampMicrosecondArray::new(refilled(values).into(), nulls).with_timezone("UTC"),
            ),
            Values::Text(packed) | Values::Json(packed) => {
                let (offsets, bytes) = packed.take();
                Arc::new(StringArray::new(offsets, bytes, nulls))
            }
            Values::Binary(packed) => {
                let (offsets, bytes) = packed.take();
                Arc::new(BinaryArray::new(offsets, bytes, nulls))
            }
        }
    }
}

/// Takes the values and leaves an empty vector with as much room.
fn refilled<T>(values: &mut Vec<T>) -> Vec<T> {
    let next = Vec::with_capacity(values.len());
    std::mem::replace(values, next)
}

fn validity(nulls: &[u32], rows: usize) -> Option<NullBuffer> {
    if nulls.is_empty() {
        return None;
    }
    let mut bits = BooleanBufferBuilder::new(rows);
    bits.append_n(rows, true);
    for &row in nulls {
        bits.set_bit(row as usize, false);
    }
    Some(NullBuffer::new(bits.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{Array as _, cast::AsArray as _};

    #[test]
    fn rows_can_be_taken_back() {
        let mut column = Column::new(FieldType::Text, 0);
        let text = |column: &mut Column, value: &str| {
            if let Values::Text(packed) = &mut column.values {
                packed.push(value.as_bytes());
            }
            column.count_row();
        };
        text(&mut column, "one");
        column.push_null();
        text(&mut column, "three");
        if let Values::Text(packed) = &mut column.values {
            packed.bytes.extend_from_slice(b"half");
        }
        column.truncate(1);
        column.push_null();
        text(&mut column, "two");
        let array = column.take();
        let values: Vec<_> = array.as_string::<i32>().iter().collect();
        assert_eq!(values, [Some("one"), None, Some("two")]);
        assert_eq!((column.rows(), column.take().len()), (0, 0));
    }
}
