//! Constants, and values taken away: for every row, or where a condition holds.

use crate::condition::Condition;
use crate::config;
use crate::constant::Constant;
use crate::frame::{Frame, Operation};
use crate::plan::Planner;
use crate::text::end;
use sluice_sdk::{Column, Fault, Field, Mask, Packed, Values};

struct Set {
    slot: usize,
    constant: Constant,
    when: Option<Condition>,
    /// Whether the column is there already, so that rows for which `when` does not hold keep their values.
    exists: bool,
}

struct Clear {
    slot: usize,
    when: Option<Condition>,
}

/// A value for every row, or for those that meet a condition.
pub(crate) fn plan(set: &config::Set, planner: &mut Planner) -> Result<Box<dyn Operation>, Fault> {
    let when = set
        .when
        .as_ref()
        .map(|when| Condition::plan(when, planner))
        .transpose()?;
    let existing = planner
        .find(&set.column)
        .ok()
        .map(|slot| planner.field(slot).clone());
    let kind = match (&set.kind, &existing) {
        (Some(kind), _) => kind.parse()?,
        (None, Some(field)) => field.kind,
        (None, None) => Constant::kind_of(&set.value).ok_or_else(|| {
            Fault::misconfigured(format!(
                "`{}` is neither text, number nor boolean",
                set.value
            ))
        })?,
    };
    let constant = Constant::new(&set.value, kind)?;
    let partly = |field: &Field| {
        (field.kind == kind)
            .then_some(field.nullable)
            .ok_or_else(|| {
                let (name, is) = (&field.name, field.kind);
                Fault::misconfigured(format!(
                    "column `{name}` is {is}: with `when` it cannot become {kind}"
                ))
            })
    };
    let nullable = match (&when, &existing) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(_), Some(field)) => partly(field)?,
    };
    let slot = planner.write(&set.column, kind, nullable)?;
    Ok(Box::new(Set {
        slot,
        constant,
        when,
        exists: existing.is_some(),
    }))
}

/// No value, for every row or for those that meet a condition.
pub(crate) fn clear(
    clear: &config::Clear,
    planner: &mut Planner,
) -> Result<Box<dyn Operation>, Fault> {
    let when = clear
        .when
        .as_ref()
        .map(|when| Condition::plan(when, planner))
        .transpose()?;
    let kind = planner.field(planner.find(&clear.column)?).kind;
    let slot = planner.write(&clear.column, kind, true)?;
    Ok(Box::new(Clear { slot, when }))
}

impl Operation for Set {
    fn run(&self, frame: &mut Frame<'_>) -> Result<(), Fault> {
        let rows = frame.rows();
        let Some(when) = &self.when else {
            frame.put(self.slot, everywhere(&self.constant, rows, None));
            return Ok(());
        };
        let when = when.rows(frame)?;
        let column = if self.exists {
            let mut column = frame.take(self.slot)?;
            replace(&mut column.values, &self.constant, &when);
            if let Some(validity) = &mut column.validity {
                validity.or(&when);
            }
            column
        } else {
            everywhere(&self.constant, rows, Some(when))
        };
        frame.put(self.slot, column);
        Ok(())
    }
}

impl Operation for Clear {
    fn run(&self, frame: &mut Frame<'_>) -> Result<(), Fault> {
        let rows = frame.rows();
        let when = self
            .when
            .as_ref()
            .map(|when| when.rows(frame))
            .transpose()?;
        let stays = when.map_or_else(|| Mask::none(rows), Mask::inverted);
        let mut column = frame.take(self.slot)?;
        match &mut column.validity {
            Some(validity) => validity.and(&stays),
            None => column.validity = Some(stays),
        }
        frame.put(self.slot, column);
        Ok(())
    }
}

/// A column of one value.
fn everywhere(constant: &Constant, rows: usize, validity: Option<Mask>) -> Column {
    let values = match constant {
        Constant::Boolean(value) => Values::Boolean(
            if *value {
                Mask::all(rows)
            } else {
                Mask::none(rows)
            }
            .into_bytes(),
        ),
        Constant::Int64(value) => Values::Int64(vec![*value; rows]),
        Constant::Float64(value) => Values::Float64(vec![*value; rows]),
        Constant::Decimal(value) => Values::Decimal(value.to_le_bytes().repeat(rows)),
        Constant::Text(text) => Values::Text(Packed {
            offsets: (0..=rows).map(|row| end(row * text.len())).collect(),
            bytes: text.as_bytes().repeat(rows),
        }),
        Constant::Date(value) => Values::Date(vec![*value; rows]),
        Constant::Timestamp(value) => Values::Timestamp(vec![*value; rows]),
    };
    Column::new(values, validity)
}

/// Puts the value into some rows.
fn replace(values: &mut Values, constant: &Constant, rows: &Mask) {
    match (values, constant) {
        (Values::Boolean(bits), Constant::Boolean(value)) => {
            for (byte, mask) in bits.iter_mut().zip(rows.as_bytes()) {
                *byte = if *value { *byte | mask } else { *byte & !mask };
            }
        }
        (Values::Int64(values), Constant::Int64(value))
        | (Values::Timestamp(values), Constant::Timestamp(value)) => {
            rows.ones().for_each(|row| values[row] = *value);
        }
        (Values::Float64(values), Constant::Float64(value)) => {
            rows.ones().for_each(|row| values[row] = *value);
        }
        (Values::Date(values), Constant::Date(value)) => {
            rows.ones().for_each(|row| values[row] = *value);
        }
        (Values::Decimal(bytes), Constant::Decimal(value)) => {
            rows.ones().for_each(|row| {
                bytes[row * 16..row * 16 + 16].copy_from_slice(&value.to_le_bytes());
            });
        }
        (Values::Text(packed), Constant::Text(text)) => *packed = with_text(packed, text, rows),
        // The plan gave the constant the column's type.
        _ => {}
    }
}

fn with_text(packed: &Packed, text: &str, rows: &Mask) -> Packed {
    let bytes = Vec::with_capacity(packed.bytes.len() + rows.count() * text.len());
    let mut out = Packed {
        offsets: Vec::with_capacity(packed.offsets.len()),
        bytes,
    };
    out.offsets.push(0);
    for (row, old) in packed.iter().enumerate() {
        out.bytes
            .extend_from_slice(if rows.get(row) { text.as_bytes() } else { old });
        out.offsets.push(end(out.bytes.len()));
    }
    out
}
