//! `encode` as the host has it, good enough for a test: the host's own is native and fast.

use super::Table;
use crate::{
    Batch, Change, Column, CsvOutput, Date, Fault, FieldType, Format, Packed, Timestamp, Values,
};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::fmt::Write as _;

/// In place of a Parquet file, its records as lines between the marks that one begins and ends with.
pub(crate) fn parquet(batches: &[Batch<'_>]) -> Vec<u8> {
    let mut file = b"PAR1".to_vec();
    for table in batches.iter().filter_map(Batch::as_table) {
        let changes = table.changes().unwrap_or_default();
        let kept = (0..table.rows).filter(|row| changes.get(*row) != Some(&Change::Delete));
        kept.for_each(|row| file.extend_from_slice((table.line(row) + "\n").as_bytes()));
    }
    file.extend_from_slice(b"PAR1");
    file
}

impl Table {
    pub(crate) fn encode(&self, format: Format) -> Vec<u8> {
        match format {
            Format::Ndjson => (0..self.rows)
                .map(|row| self.line(row) + "\n")
                .collect::<String>(),
            Format::JsonArray => {
                let lines = (0..self.rows).map(|row| self.line(row));
                format!("[{}]", lines.collect::<Vec<_>>().join(","))
            }
            Format::Csv(CsvOutput { header }) => self.csv(header),
        }
        .into_bytes()
    }

    pub(crate) fn encode_rows(&self) -> Result<Packed, Fault> {
        let mut packed = Packed {
            offsets: vec![0],
            bytes: Vec::new(),
        };
        for row in 0..self.rows {
            packed.bytes.extend_from_slice(self.line(row).as_bytes());
            packed.offsets.push(
                i32::try_from(packed.bytes.len())
                    .map_err(|_| Fault::broken("the batch is too large"))?,
            );
        }
        Ok(packed)
    }

    /// One row as a JSON object, its fields in the schema's order.
    fn line(&self, row: usize) -> String {
        let cell = |(name, kind, column)| {
            format!(
                "{}:{}",
                Value::from(name),
                cell(column, kind, row, self.rows)
            )
        };
        format!(
            "{{{}}}",
            self.granted().map(cell).collect::<Vec<_>>().join(",")
        )
    }

    /// One row as a JSON object, for a test to compare.
    pub fn object(&self, row: usize) -> Value {
        let cells = self
            .granted()
            .map(|(name, kind, column)| (name.to_owned(), cell(column, kind, row, self.rows)));
        Value::Object(cells.collect::<Map<_, _>>())
    }

    /// All rows as JSON objects.
    pub fn objects(&self) -> Vec<Value> {
        (0..self.rows).map(|row| self.object(row)).collect()
    }

    fn granted(&self) -> impl Iterator<Item = (&str, FieldType, &Column)> {
        let fields = self.schema.fields.iter().zip(&self.columns);
        fields
            .filter(|(field, _)| !self.denied.contains(&field.name))
            .map(|(field, column)| (field.name.as_str(), field.kind, column))
    }

    fn csv(&self, header: bool) -> String {
        let mut text = String::new();
        // As the host: no value is nothing, and an empty text is quoted.
        let mut line = |cells: Vec<Option<Cow<'_, str>>>| {
            let quoted = cells.iter().map(|cell| match cell {
                None => Cow::Borrowed(""),
                Some(cell) if cell.is_empty() || cell.contains([',', '"', '\n', '\r']) => {
                    format!("\"{}\"", cell.replace('"', "\"\"")).into()
                }
                Some(cell) => cell.clone(),
            });
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}", quoted.collect::<Vec<_>>().join(","));
        };
        if header {
            line(
                self.granted()
                    .map(|(name, _, _)| Some(Cow::Borrowed(name)))
                    .collect(),
            );
        }
        for row in 0..self.rows {
            let cells =
                self.granted().map(
                    |(_, kind, column)| match cell(column, kind, row, self.rows) {
                        Value::Null => None,
                        Value::String(text) => Some(text.into()),
                        other => Some(other.to_string().into()),
                    },
                );
            line(cells.collect());
        }
        text
    }
}

/// One value as JSON; null where there is none.
pub(super) fn cell(column: &Column, kind: FieldType, row: usize, rows: usize) -> Value {
    debug_assert!(row < rows, "row {row} of {rows}");
    if column.is_null(row) {
        return Value::Null;
    }
    let text = |packed: &Packed| String::from_utf8_lossy(packed.row(row)).into_owned();
    match &column.values {
        Values::Boolean(bits) => (bits[row >> 3] >> (row & 7) & 1 == 1).into(),
        Values::Int64(values) => values[row].into(),
        Values::Float64(values) => json!(values[row]),
        Values::Decimal(_) => decimal(column, kind, row).into(),
        Values::Text(packed) => text(packed).into(),
        Values::Binary(packed) => base64(packed.row(row)).into(),
        Values::Date(values) => Date(values[row]).to_string().into(),
        Values::Timestamp(values) => Timestamp(values[row]).to_string().into(),
        Values::Json(packed) => serde_json::from_slice(packed.row(row)).unwrap_or(Value::Null),
    }
}

fn decimal(column: &Column, kind: FieldType, row: usize) -> String {
    let value = column
        .decimal()
        .ok()
        .and_then(|view| view.get(row))
        .unwrap_or_default();
    let scale = if let FieldType::Decimal(size) = kind {
        size.scale.unsigned_abs()
    } else {
        0
    };
    crate::decimal::format(value, scale)
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |three: &[u8]| {
        let bits = three
            .iter()
            .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - three.len()));
        let letter = |at: usize| char::from(LETTERS[(bits >> (18 - 6 * at) & 63) as usize]);
        (0..4)
            .map(|at| if at <= three.len() { letter(at) } else { '=' })
            .collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}
