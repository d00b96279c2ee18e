//! Several texts to one. A missing value is left out together with its separator; where all are missing, so is the
//! result.

use crate::config;
use crate::frame::{Frame, Operation};
use crate::plan::Planner;
use crate::text::end;
use sluice_sdk::{Column, Fault, FieldType, Mask, Packed, Values};

struct Concat {
    from: Vec<usize>,
    into: usize,
    separator: String,
    nullable: bool,
}

pub(crate) fn plan(
    concat: &config::Concat,
    planner: &mut Planner,
) -> Result<Box<dyn Operation>, Fault> {
    if concat.from.is_empty() {
        return Err(Fault::misconfigured("`from` names no column"));
    }
    let from = concat
        .from
        .iter()
        .map(|name| planner.text(name))
        .collect::<Result<Vec<_>, _>>()?;
    let nullable = from.iter().all(|slot| planner.field(*slot).nullable);
    let into = planner.write(&concat.into, FieldType::Text, nullable)?;
    Ok(Box::new(Concat {
        from,
        into,
        separator: concat.separator.clone(),
        nullable,
    }))
}

impl Operation for Concat {
    fn run(&self, frame: &mut Frame<'_>) -> Result<(), Fault> {
        self.from.iter().try_for_each(|slot| frame.load(*slot))?;
        let columns: Vec<(&Column, &Packed)> = self
            .from
            .iter()
            .map(|slot| frame.get(*slot))
            .filter_map(|column| {
                if let Values::Text(packed) = &column.values {
                    Some((column, packed))
                } else {
                    None
                }
            })
            .collect();
        let rows = frame.rows();
        let bytes: usize = columns
            .iter()
            .map(|(_, packed)| packed.bytes.len() + rows * self.separator.len())
            .sum();
        let mut joined = Packed {
            offsets: Vec::with_capacity(rows + 1),
            bytes: Vec::with_capacity(bytes),
        };
        joined.offsets.push(0);
        for row in 0..rows {
            let mut first = true;
            for (_, packed) in columns.iter().filter(|(column, _)| !column.is_null(row)) {
                if !first {
                    joined.bytes.extend_from_slice(self.separator.as_bytes());
                }
                first = false;
                joined.bytes.extend_from_slice(packed.row(row));
            }
            joined.offsets.push(end(joined.bytes.len()));
        }
        let validity = self.nullable.then(|| {
            Mask::from_fn(rows, |row| {
                columns.iter().any(|(column, _)| !column.is_null(row))
            })
        });
        frame.put(self.into, Column::new(Values::Text(joined), validity));
        Ok(())
    }
}
