//! Record batches to bytes: NDJSON, one JSON array, CSV, or one JSON object a row.
//!
//! Mirrors decoding: what is written here reads back as the same values. Floats are written as the shortest text that
//! reads back, timestamps as RFC 3339 in UTC, decimals as numbers with all digits of their scale, binary as base64,
//! JSON as it is. No value is `null`, in CSV an empty field; a float that is no number is no value.

mod cells;
pub mod csv;
pub mod json;

use arrow_array::RecordBatch;
pub(crate) use cells::{Cells, Values};
use sluice_model::schema::Schema;

/// How records become bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line, each line ended by `\n`.
    Ndjson,
    /// One JSON array of objects.
    JsonArray,
    /// RFC 4180 with `\n` line ends and `,` between fields. A text that looks like a formula stays what it is.
    ///
    /// A line of one empty field would be an empty line, which no reader takes for a record: where there is only one
    /// column, no value is written `""`, and reads back as an empty text in a text or binary field.
    Csv {
        /// Whether it begins with a line of names.
        header: bool,
    },
}

/// Why records have no bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A column was asked for that the schema does not have.
    #[error("there is no column {0}")]
    NoSuchColumn(usize),
    /// The data are not of the schema.
    #[error("column `{field}` is not of type {expected}")]
    Mismatch {
        /// The field.
        field: String,
        /// What it should hold.
        expected: sluice_model::schema::FieldType,
    },
    /// More bytes than were wanted at most, or than offsets of 32 bits can cut.
    #[error("the rows take more than {0} bytes\n  hint: encode fewer rows at once")]
    TooLarge(usize),
}

/// Appends the rows to `out`, which then has `bytes_max` at most: one row more is written before that is seen. `columns`
/// says which, in which order; none: all of them.
pub fn encode(
    schema: &Schema,
    data: &RecordBatch,
    columns: Option<&[usize]>,
    format: &Format,
    bytes_max: usize,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let cells = Cells::of_batch(schema, data, columns)?;
    let rows = data.num_rows();
    match format {
        Format::Ndjson => {
            let writer = json::RowWriter::new(cells);
            out.reserve(writer.bytes_guess(rows).min(bytes_max));
            for row in 0..rows {
                writer.write(row, out);
                out.push(b'\n');
                fits(out, bytes_max)?;
            }
        }
        Format::JsonArray => {
            let writer = json::RowWriter::new(cells);
            out.reserve(writer.bytes_guess(rows).min(bytes_max));
            out.push(b'[');
            for row in 0..rows {
                if row > 0 {
                    out.push(b',');
                }
                writer.write(row, out);
                fits(out, bytes_max)?;
            }
            out.push(b']');
        }
        Format::Csv { header } => {
            if *header {
                csv::header(&cells, out);
            }
            let mut laid_out = Vec::new();
            for row in 0..rows {
                csv::write(&cells, row, &mut laid_out, out);
                fits(out, bytes_max)?;
            }
        }
    }
    fits(out, bytes_max)
}

fn fits(out: &[u8], bytes_max: usize) -> Result<(), EncodeError> {
    if out.len() > bytes_max {
        return Err(EncodeError::TooLarge(bytes_max));
    }
    Ok(())
}

/// One JSON object a row: `offsets`, one more than there are rows, cut the bytes, which are `bytes_max` at most.
pub fn encode_rows(
    schema: &Schema,
    data: &RecordBatch,
    columns: Option<&[usize]>,
    bytes_max: usize,
) -> Result<(Vec<i32>, Vec<u8>), EncodeError> {
    let bytes_max = bytes_max.min(i32::MAX as usize);
    let writer = json::RowWriter::new(Cells::of_batch(schema, data, columns)?);
    let rows = data.num_rows();
    let mut out = Vec::with_capacity(writer.bytes_guess(rows).min(bytes_max));
    let mut offsets = Vec::with_capacity(rows + 1);
    offsets.push(0);
    for row in 0..rows {
        writer.write(row, &mut out);
        fits(&out, bytes_max)?;
        offsets.push(i32::try_from(out.len()).map_err(|_| EncodeError::TooLarge(bytes_max))?);
    }
    Ok((offsets, out))
}

/// One row as a JSON object: what a dead letter keeps.
pub fn record_json(schema: &Schema, data: &RecordBatch, row: usize) -> String {
    if row >= data.num_rows() {
        return "{}".to_owned();
    }
    let mut out = Vec::new();
    let one = data.slice(row, 1);
    match Cells::of_batch(schema, &one, None).map(json::RowWriter::new) {
        Ok(writer) => writer.write(0, &mut out),
        Err(_) => out.extend_from_slice(b"{}"),
    }
    // Texts are UTF-8 in Arrow, and JSON's own marks are ASCII.
    String::from_utf8(out).unwrap_or_default()
}
