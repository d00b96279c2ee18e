//! Letters and white space: whole columns at once where they are ASCII, text by text where they are not.

use crate::frame::{Frame, Operation};
use crate::plan::Planner;
use sluice_sdk::{Fault, Packed, Values};

/// What is done to each text.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change {
    Upper,
    Lower,
    Trim,
}

struct Text {
    slot: usize,
    change: Change,
}

/// Changes the columns of these names.
pub(crate) fn plan(
    names: &[String],
    change: Change,
    planner: &mut Planner,
    operations: &mut Vec<Box<dyn Operation>>,
) -> Result<(), Fault> {
    for name in names {
        let field = planner.field(planner.text(name)?).clone();
        let slot = planner.write(name, field.kind, field.nullable)?;
        operations.push(Box::new(Text { slot, change }));
    }
    Ok(())
}

impl Operation for Text {
    fn run(&self, frame: &mut Frame<'_>) -> Result<(), Fault> {
        let mut column = frame.take(self.slot)?;
        if let Values::Text(packed) = &mut column.values {
            match self.change {
                Change::Upper if packed.bytes.is_ascii() => packed.bytes.make_ascii_uppercase(),
                Change::Lower if packed.bytes.is_ascii() => packed.bytes.make_ascii_lowercase(),
                Change::Upper => rebuild(packed, |text, out| {
                    out.extend(text.chars().flat_map(char::to_uppercase));
                }),
                Change::Lower => rebuild(packed, |text, out| out.push_str(&text.to_lowercase())),
                Change::Trim => rebuild(packed, |text, out| out.push_str(text.trim())),
            }
        }
        frame.put(self.slot, column);
        Ok(())
    }
}

/// The same texts, each written anew behind the last.
fn rebuild(packed: &mut Packed, write: impl Fn(&str, &mut String)) {
    let mut out = String::with_capacity(packed.bytes.len() + packed.bytes.len() / 8);
    let mut offsets = Vec::with_capacity(packed.offsets.len());
    offsets.push(0);
    for bytes in packed.iter() {
        write(std::str::from_utf8(bytes).unwrap_or_default(), &mut out);
        offsets.push(end(out.len()));
    }
    *packed = Packed {
        offsets,
        bytes: out.into_bytes(),
    };
}

/// A column's length as an offset.
pub(crate) fn end(bytes: usize) -> i32 {
    i32::try_from(bytes).expect("a batch is far below 2 GiB")
}
