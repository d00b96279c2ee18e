//! A column of one type to another, value by value. What cannot be said exactly in the new type is an error of its
//! row; only digits behind a decimal's last place are rounded, half away from zero.

mod value;

use crate::config::{self, OnError};
use crate::frame::{Frame, Operation};
use crate::plan::Planner;
use sluice_sdk::{Fault, FieldType};
use value::{Made, Source};

struct Cast {
    slot: usize,
    name: String,
    from: FieldType,
    to: FieldType,
    on_error: OnError,
}

/// None where the column has that type already.
pub(crate) fn plan(
    cast: &config::Cast,
    planner: &mut Planner,
) -> Result<Option<Box<dyn Operation>>, Fault> {
    let field = planner.field(planner.find(&cast.column)?).clone();
    let to: FieldType = cast.to.parse()?;
    let from = field.kind;
    if from == to {
        return Ok(None);
    }
    if !possible(from, to) {
        return Err(Fault::misconfigured(format!(
            "column `{}` is {from}, which cannot become {to}",
            field.name
        )));
    }
    let slot = planner.write(
        &field.name,
        to,
        field.nullable || cast.on_error == OnError::Null,
    )?;
    Ok(Some(Box::new(Cast {
        slot,
        name: field.name,
        from,
        to,
        on_error: cast.on_error,
    })))
}

/// Every type becomes text, and text every type; between the others, only what has one plain meaning.
fn possible(from: FieldType, to: FieldType) -> bool {
    use FieldType::{Boolean, Date, Decimal, Float64, Int64, Text, Timestamp};
    matches!(
        (from, to),
        (Text, _)
            | (_, Text)
            | (Int64, Float64 | Decimal(_))
            | (Float64, Int64 | Decimal(_))
            | (Decimal(_), Int64 | Float64 | Decimal(_))
            | (Boolean, Int64)
            | (Date, Timestamp)
            | (Timestamp, Date)
    )
}

impl Operation for Cast {
    fn run(&self, frame: &mut Frame<'_>) -> Result<(), Fault> {
        let (rows, column) = (frame.rows(), frame.take(self.slot)?);
        let source = Source::new(&column, self.from);
        let mut made = Made::new(self.to, rows);
        for row in 0..rows {
            if column.is_null(row) {
                made.push_null();
            } else if !made.push(source.get(row)) {
                match self.on_error {
                    OnError::Null => made.push_null(),
                    OnError::Reject => {
                        made.push_any();
                        let message = format!("`{}` is not a value of type {}", self.name, self.to);
                        frame.reject(row, "cast", &message);
                    }
                }
            }
        }
        frame.put(self.slot, made.finish());
        Ok(())
    }
}
