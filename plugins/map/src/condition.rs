//! Conditions on rows: a column against values, combined by all, any and not. There are two answers, not three: a
//! missing value is not equal to anything, and neither less nor greater.

use crate::config;
use crate::constant::Constant;
use crate::frame::Frame;
use crate::plan::Planner;
use sluice_sdk::{Column, Fault, FieldType, Mask, Packed, Values};
use std::cmp::Ordering;

/// A condition whose columns are found and whose values have their types.
#[derive(Debug)]
pub(crate) enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Null(usize),
    Is(usize, Constant),
    In(usize, Vec<Constant>),
    Order(usize, Constant, Orders),
    Part(usize, Part, Box<str>),
}

/// The orders of value and constant that satisfy a comparison.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Orders {
    less: bool,
    equal: bool,
}

/// Where in a text another is looked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Part {
    Anywhere,
    Start,
    End,
}

/// Nesting beyond this is a mistake or an attack on the stack.
const DEPTH_MAX: usize = 16;

impl Condition {
    /// Finds the columns and reads the values.
    pub(crate) fn plan(written: &config::Condition, planner: &Planner) -> Result<Self, Fault> {
        Self::nested(written, planner, 0)
    }

    fn nested(written: &config::Condition, planner: &Planner, depth: usize) -> Result<Self, Fault> {
        if depth == DEPTH_MAX {
            return Err(Fault::misconfigured(format!(
                "a condition is nested more than {DEPTH_MAX} deep"
            )));
        }
        let inner = |written: &config::Condition| Self::nested(written, planner, depth + 1);
        let list =
            |list: &[config::Condition]| list.iter().map(inner).collect::<Result<Vec<_>, _>>();
        let tests = tests(written, planner)?;
        match (&written.all, &written.any, &written.not, tests) {
            (Some(all), None, None, None) => Ok(Self::All(list(all)?)),
            (None, Some(any), None, None) => Ok(Self::Any(list(any)?)),
            (None, None, Some(not), None) => Ok(Self::Not(Box::new(inner(not)?))),
            (None, None, None, Some(mut tests)) => Ok(match tests.len() {
                1 => tests.remove(0),
                _ => Self::All(tests),
            }),
            _ => Err(Fault::misconfigured(
                "a condition is one of `all`, `any` and `not`, or a `column` with a test such as `is`",
            )),
        }
    }

    /// The rows for which it holds. Answers for rows that are gone mean nothing.
    pub(crate) fn rows(&self, frame: &mut Frame<'_>) -> Result<Mask, Fault> {
        let rows = frame.rows();
        Ok(match self {
            Self::All(inner) => {
                let mut all = Mask::all(rows);
                for condition in inner {
                    all.and(&condition.rows(frame)?);
                }
                all
            }
            Self::Any(inner) => {
                let mut any = Mask::none(rows);
                for condition in inner {
                    any.or(&condition.rows(frame)?);
                }
                any
            }
            Self::Not(inner) => inner.rows(frame)?.inverted(),
            Self::Null(slot) => {
                frame.load(*slot)?;
                let validity = frame.get(*slot).validity.clone();
                validity.map_or_else(|| Mask::none(rows), Mask::inverted)
            }
            Self::Is(slot, constant) => test(frame, *slot, |column| equal(column, constant, rows))?,
            Self::In(slot, constants) => test(frame, *slot, |column| {
                let mut any = Mask::none(rows);
                for constant in constants {
                    any.or(&equal(column, constant, rows));
                }
                any
            })?,
            Self::Order(slot, constant, orders) => test(frame, *slot, |column| {
                ordered(column, constant, *orders, rows)
            })?,
            Self::Part(slot, part, text) => {
                test(frame, *slot, |column| contains(column, *part, text, rows))?
            }
        })
    }
}

/// The tests of one column; none where no column is named.
fn tests(written: &config::Condition, planner: &Planner) -> Result<Option<Vec<Condition>>, Fault> {
    let Some(name) = &written.column else {
        return if has_test(written) {
            Err(Fault::misconfigured("a test needs a `column`"))
        } else {
            Ok(None)
        };
    };
    let slot = planner.find(name)?;
    let kind = planner.field(slot).kind;
    let value = |value| {
        Constant::new(value, kind).map_err(|fault| fault.context(format!("column `{name}`")))
    };
    let mut tests = Vec::new();
    if let Some(is) = &written.is {
        tests.push(Condition::Is(slot, value(is)?));
    }
    if let Some(is_not) = &written.is_not {
        tests.push(Condition::Not(Box::new(Condition::Is(
            slot,
            value(is_not)?,
        ))));
    }
    if let Some(among) = &written.among {
        tests.push(Condition::In(
            slot,
            among.iter().map(value).collect::<Result<_, _>>()?,
        ));
    }
    for (bound, orders) in bounds(written) {
        if kind == FieldType::Boolean {
            return Err(Fault::misconfigured(format!(
                "column `{name}` is boolean, and has no less or greater"
            )));
        }
        tests.push(Condition::Order(slot, value(bound)?, orders));
    }
    if let Some(null) = written.is_null {
        let test = Condition::Null(slot);
        tests.push(if null {
            test
        } else {
            Condition::Not(Box::new(test))
        });
    }
    for (text, part) in parts(written) {
        planner.text(name)?;
        tests.push(Condition::Part(slot, part, text.as_str().into()));
    }
    if tests.is_empty() {
        return Err(Fault::misconfigured(format!(
            "column `{name}` stands without a test such as `is`"
        )));
    }
    Ok(Some(tests))
}

fn has_test(written: &config::Condition) -> bool {
    written.is.is_some()
        || written.is_not.is_some()
        || written.among.is_some()
        || written.is_null.is_some()
        || bounds(written).next().is_some()
        || parts(written).next().is_some()
}

fn bounds(written: &config::Condition) -> impl Iterator<Item = (&serde_json::Value, Orders)> {
    let orders = |less, equal| Orders { less, equal };
    [
        (&written.less, orders(true, false)),
        (&written.less_or_equal, orders(true, true)),
        (&written.greater, orders(false, false)),
        (&written.greater_or_equal, orders(false, true)),
    ]
    .into_iter()
    .filter_map(|(bound, orders)| bound.as_ref().map(|bound| (bound, orders)))
}

fn parts(written: &config::Condition) -> impl Iterator<Item = (&String, Part)> {
    [
        (&written.contains, Part::Anywhere),
        (&written.starts_with, Part::Start),
        (&written.ends_with, Part::End),
    ]
    .into_iter()
    .filter_map(|(text, part)| text.as_ref().map(|text| (text, part)))
}

/// The rows with a value for which a test holds.
fn test(
    frame: &mut Frame<'_>,
    slot: usize,
    holds: impl FnOnce(&Column) -> Mask,
) -> Result<Mask, Fault> {
    frame.load(slot)?;
    let column = frame.get(slot);
    let mut rows = holds(column);
    if let Some(validity) = &column.validity {
        rows.and(validity);
    }
    Ok(rows)
}

fn equal(column: &Column, constant: &Constant, rows: usize) -> Mask {
    match (&column.values, constant) {
        (Values::Text(packed), Constant::Text(text)) => equal_text(packed, text.as_bytes(), rows),
        (Values::Int64(values), Constant::Int64(constant))
        | (Values::Timestamp(values), Constant::Timestamp(constant)) => {
            Mask::from_fn(rows, |row| values[row] == *constant)
        }
        _ => compared(column, constant, rows, Ordering::is_eq),
    }
}

/// The hot path of most filters.
fn equal_text(packed: &Packed, text: &[u8], rows: usize) -> Mask {
    let (offsets, bytes) = (&packed.offsets[..=rows], packed.bytes.as_slice());
    if (WORD..=2 * WORD).contains(&text.len()) {
        return equal_words(offsets, bytes, text, rows);
    }
    // Lengths first, bytes only where they agree.
    Mask::from_fn(rows, |row| {
        let (start, end) = place(offsets, row);
        end - start == text.len() && bytes[start..end] == *text
    })
}

/// Bytes that are compared at once.
const WORD: usize = 8;

/// A text of one to two words is its first and its last word, which may overlap. Both are read whatever the row's
/// length is, from a place that is moved into the column where the row is shorter: what is read there does not matter,
/// for the length decides. So there is no branch on what the row holds.
fn equal_words(offsets: &[i32], bytes: &[u8], text: &[u8], rows: usize) -> Mask {
    let Some(last) = bytes.len().checked_sub(WORD) else {
        return Mask::none(rows);
    };
    let word = |bytes: &[u8], at: usize| {
        let word = bytes[at..at + WORD].try_into();
        u64::from_le_bytes(word.expect("the slice is a word long"))
    };
    let (head, tail) = (word(text, 0), word(text, text.len() - WORD));
    Mask::from_fn(rows, |row| {
        let (start, end) = place(offsets, row);
        (end - start == text.len())
            & (word(bytes, start.min(last)) == head)
            & (word(bytes, end.max(WORD) - WORD) == tail)
    })
}

/// Where a row begins and ends. Offsets never decrease and are never negative: the host sends no others.
#[inline]
fn place(offsets: &[i32], row: usize) -> (usize, usize) {
    let at = |offset: i32| offset.unsigned_abs() as usize;
    (at(offsets[row]), at(offsets[row + 1]))
}

fn ordered(column: &Column, constant: &Constant, orders: Orders, rows: usize) -> Mask {
    compared(column, constant, rows, |order| match order {
        Ordering::Less => orders.less,
        Ordering::Equal => orders.equal,
        Ordering::Greater => !orders.less,
    })
}

/// The rows whose order to the constant passes. What cannot be ordered (not a number) never does.
fn compared(
    column: &Column,
    constant: &Constant,
    rows: usize,
    pass: impl Fn(Ordering) -> bool,
) -> Mask {
    match (&column.values, constant) {
        (Values::Boolean(bits), Constant::Boolean(constant)) => Mask::from_fn(rows, |row| {
            pass((bits[row >> 3] >> (row & 7) & 1 == 1).cmp(constant))
        }),
        (Values::Int64(values), Constant::Int64(constant))
        | (Values::Timestamp(values), Constant::Timestamp(constant)) => {
            Mask::from_fn(rows, |row| pass(values[row].cmp(constant)))
        }
        (Values::Date(values), Constant::Date(constant)) => {
            Mask::from_fn(rows, |row| pass(values[row].cmp(constant)))
        }
        (Values::Float64(values), Constant::Float64(constant)) => Mask::from_fn(rows, |row| {
            values[row].partial_cmp(constant).is_some_and(&pass)
        }),
        (Values::Decimal(bytes), Constant::Decimal(constant)) => Mask::from_fn(rows, |row| {
            let value = bytes[row * 16..row * 16 + 16]
                .try_into()
                .expect("the slice is 16 bytes long");
            pass(i128::from_le_bytes(value).cmp(constant))
        }),
        (Values::Text(packed), Constant::Text(text)) => {
            Mask::from_fn(rows, |row| pass(packed.row(row).cmp(text.as_bytes())))
        }
        // The plan gave the constant the column's type; the host gives the column the type of its schema.
        _ => Mask::none(rows),
    }
}

fn contains(column: &Column, part: Part, text: &str, rows: usize) -> Mask {
    let Values::Text(packed) = &column.values else {
        return Mask::none(rows);
    };
    let finder = memchr::memmem::Finder::new(text.as_bytes());
    Mask::from_fn(rows, |row| match part {
        Part::Anywhere => finder.find(packed.row(row)).is_some(),
        Part::Start => packed.row(row).starts_with(text.as_bytes()),
        Part::End => packed.row(row).ends_with(text.as_bytes()),
    })
}
