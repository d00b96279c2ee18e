//! The values of a batch as SQL has them. Every session says first that a backslash is a letter like any other.

use sluice_sdk::{Batch, Date, Fault, FieldType, Schema, Timestamp, Values, decimal};
use sluice_sql::push_hex;
use std::fmt::Write as _;

/// A column of a batch, and what it holds.
pub(super) struct Cells {
    name: String,
    kind: FieldType,
    column: sluice_sdk::Column,
}

/// The columns of a batch, in the order of its schema.
pub(super) fn of(batch: &Batch, schema: &Schema) -> Result<Vec<Cells>, Fault> {
    let cells = schema.fields.iter().map(|field| {
        Ok(Cells {
            name: field.name.clone(),
            kind: field.kind,
            column: batch.column(&field.name)?,
        })
    });
    cells.collect()
}

impl Cells {
    /// The field's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether the row's value is a number that SQL has no word for.
    pub(super) fn is_lost(&self, row: usize) -> bool {
        let Values::Float64(values) = &self.column.values else {
            return false;
        };
        !values[row].is_finite() && !self.column.is_null(row)
    }

    /// Appends the row's value.
    pub(super) fn push(&self, row: usize, out: &mut String) -> Result<(), Fault> {
        if self.column.is_null(row) {
            out.push_str("NULL");
            return Ok(());
        }
        let column = &self.column;
        match self.kind {
            FieldType::Boolean => {
                let is_true = column.boolean()?.get(row).unwrap_or_default();
                out.push(if is_true { '1' } else { '0' });
            }
            FieldType::Int64 => {
                let value = column.int64()?.get(row).unwrap_or_default();
                out.push_str(itoa::Buffer::new().format(value));
            }
            FieldType::Float64 => {
                let value = column.float64()?.get(row).unwrap_or_default();
                let _ = write!(out, "{value:e}"); // Into memory, as all that follows.
            }
            FieldType::Decimal(size) => {
                let value = column.decimal()?.get(row).unwrap_or_default();
                let scale = u8::try_from(size.scale);
                let scale = scale.map_err(|_| Fault::broken("a decimal of a negative scale"))?;
                out.push_str(&decimal::format(value, scale));
            }
            FieldType::Date => {
                let value = column.date()?.get(row).unwrap_or_default();
                let _ = write!(out, "'{}'", Date(value));
            }
            FieldType::Timestamp => {
                let value = column.timestamp()?.get(row).unwrap_or_default();
                // The session's zone is UTC, and the server takes no `Z`.
                let text = Timestamp(value).to_string();
                let _ = write!(out, "'{}'", text.trim_end_matches('Z').replace('T', " "));
            }
            FieldType::Text => push_text(out, column.text()?.get(row).unwrap_or_default()),
            FieldType::Json => push_text(out, column.json()?.get(row).unwrap_or_default()),
            FieldType::Binary => {
                out.push_str("x'");
                push_hex(out, column.binary()?.get(row).unwrap_or_default());
                out.push('\'');
            }
        }
        Ok(())
    }
}

fn push_text(out: &mut String, text: &str) {
    out.push('\'');
    for (at, piece) in text.split('\'').enumerate() {
        if at > 0 {
            out.push_str("''");
        }
        out.push_str(piece);
    }
    out.push('\'');
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_sdk::{Column, Mask};

    fn written(kind: FieldType, values: Values) -> String {
        let cells = Cells {
            name: "a".to_owned(),
            kind,
            column: Column::new(values, None),
        };
        let mut out = String::new();
        cells.push(0, &mut out).expect("a value");
        out
    }

    #[test]
    fn each_value_is_one_that_the_server_reads() {
        for (kind, values, expected) in [
            (FieldType::Boolean, Values::Boolean(vec![1]), "1"),
            (
                FieldType::Int64,
                Values::Int64(vec![i64::MIN]),
                "-9223372036854775808",
            ),
            (FieldType::Float64, Values::Float64(vec![-0.1]), "-1e-1"),
            (
                FieldType::Float64,
                Values::Float64(vec![f64::MAX]),
                "1.7976931348623157e308",
            ),
            (FieldType::Date, Values::Date(vec![20_784]), "'2026-11-27'"),
            (
                FieldType::Timestamp,
                Values::Timestamp(vec![1_795_766_400_500_000]),
                "'2026-11-27 08:00:00.500000'",
            ),
            (
                FieldType::decimal(10, 2),
                Values::Decimal((-1_234_i128).to_le_bytes().to_vec()),
                "-12.34",
            ),
        ] {
            assert_eq!(written(kind, values), expected);
        }
    }

    #[test]
    fn no_text_ends_its_quotes() {
        let mut out = String::new();
        push_text(&mut out, "it's \\' \\");
        assert_eq!(out, "'it''s \\'' \\'");
    }

    #[test]
    fn what_has_no_word_is_found_and_nothing_is_null() {
        let values = Values::Float64(vec![f64::NAN, 1.0, f64::INFINITY, f64::NAN]);
        let validity = Mask::from_bytes(vec![0b0111], 4);
        let cells = Cells {
            name: "a".to_owned(),
            kind: FieldType::Float64,
            column: Column::new(values, Some(validity)),
        };
        let lost: Vec<bool> = (0..4).map(|row| cells.is_lost(row)).collect();
        assert_eq!(lost, [true, false, true, false]);
        let mut out = String::new();
        cells.push(3, &mut out).expect("nothing");
        assert_eq!(out, "NULL");
    }
}
