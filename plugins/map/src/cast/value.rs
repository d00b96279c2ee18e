//! One value on its way from one type to another.

use sluice_sdk::{
    BinaryBuilder, BooleanBuilder, Column, Date, DateBuilder, DecimalBuilder, FieldType,
    Float64Builder, Int64Builder, JsonBuilder, TextBuilder, Timestamp, TimestampBuilder, Values,
    decimal,
};
use std::fmt::{Display, Write as _};

/// Microseconds in a day.
const DAY_MICROS: i64 = 86_400_000_000;

/// A value as it stands in a column.
#[derive(Clone, Copy)]
pub(super) enum Cell<'a> {
    Boolean(bool),
    Int64(i64),
    Float64(f64),
    Decimal(i128, u8),
    Text(&'a str),
    /// Bytes that are not UTF-8.
    Bytes,
    Date(i32),
    Timestamp(i64),
}

/// The column that is cast.
pub(super) struct Source<'a> {
    column: &'a Column,
    scale: u8,
}

impl<'a> Source<'a> {
    pub(super) fn new(column: &'a Column, kind: FieldType) -> Self {
        Self {
            column,
            scale: scale(kind),
        }
    }

    /// The value of a row that has one.
    pub(super) fn get(&self, row: usize) -> Cell<'a> {
        match &self.column.values {
            Values::Boolean(bits) => Cell::Boolean(bits[row >> 3] >> (row & 7) & 1 == 1),
            Values::Int64(values) => Cell::Int64(values[row]),
            Values::Float64(values) => Cell::Float64(values[row]),
            Values::Decimal(bytes) => {
                let bytes = bytes[row * 16..row * 16 + 16]
                    .try_into()
                    .expect("the slice is 16 bytes long");
                Cell::Decimal(i128::from_le_bytes(bytes), self.scale)
            }
            Values::Text(packed) | Values::Json(packed) | Values::Binary(packed) => {
                std::str::from_utf8(packed.row(row)).map_or(Cell::Bytes, Cell::Text)
            }
            Values::Date(values) => Cell::Date(values[row]),
            Values::Timestamp(values) => Cell::Timestamp(values[row]),
        }
    }
}

fn scale(kind: FieldType) -> u8 {
    if let FieldType::Decimal(size) = kind {
        size.scale.unsigned_abs()
    } else {
        0
    }
}

/// The column that is made.
pub(super) struct Made {
    kind: FieldType,
    builder: Builder,
    /// What a number or a date is written to on its way to text, over and over.
    scratch: String,
}

enum Builder {
    Boolean(BooleanBuilder),
    Int64(Int64Builder),
    Float64(Float64Builder),
    Decimal(DecimalBuilder),
    Text(TextBuilder),
    Binary(BinaryBuilder),
    Date(DateBuilder),
    Timestamp(TimestampBuilder),
    Json(JsonBuilder),
}

impl Made {
    pub(super) fn new(kind: FieldType, rows: usize) -> Self {
        let builder = match kind {
            FieldType::Boolean => Builder::Boolean(BooleanBuilder::default()),
            FieldType::Int64 => Builder::Int64(Int64Builder::with_capacity(rows)),
            FieldType::Float64 => Builder::Float64(Float64Builder::with_capacity(rows)),
            FieldType::Decimal(_) => Builder::Decimal(DecimalBuilder::with_capacity(rows)),
            FieldType::Text => Builder::Text(TextBuilder::with_capacity(rows, 0)),
            FieldType::Binary => Builder::Binary(BinaryBuilder::with_capacity(rows, 0)),
            FieldType::Date => Builder::Date(DateBuilder::with_capacity(rows)),
            FieldType::Timestamp => Builder::Timestamp(TimestampBuilder::with_capacity(rows)),
            FieldType::Json => Builder::Json(JsonBuilder::with_capacity(rows, 0)),
        };
        Self {
            kind,
            builder,
            scratch: String::new(),
        }
    }

    /// Adds a row without a value.
    pub(super) fn push_null(&mut self) {
        match &mut self.builder {
            Builder::Boolean(builder) => builder.push(None),
            Builder::Int64(builder) => builder.push(None),
            Builder::Float64(builder) => builder.push(None),
            Builder::Decimal(builder) => builder.push(None),
            Builder::Text(builder) => builder.push(None),
            Builder::Binary(builder) => builder.push(None),
            Builder::Date(builder) => builder.push(None),
            Builder::Timestamp(builder) => builder.push(None),
            Builder::Json(builder) => builder.push(None),
        }
    }

    /// Adds a row with some value: for a row that is refused.
    pub(super) fn push_any(&mut self) {
        match &mut self.builder {
            Builder::Boolean(builder) => builder.push(false),
            Builder::Int64(builder) => builder.push(0),
            Builder::Float64(builder) => builder.push(0.0),
            Builder::Decimal(builder) => builder.push(0),
            Builder::Text(builder) => builder.push(""),
            Builder::Binary(builder) => builder.push(&b""[..]),
            Builder::Date(builder) => builder.push(0),
            Builder::Timestamp(builder) => builder.push(0),
            Builder::Json(builder) => builder.push("null"),
        }
    }

    /// Adds a row, or nothing at all where the value has no meaning in this type.
    pub(super) fn push(&mut self, cell: Cell<'_>) -> bool {
        let Self {
            kind,
            builder,
            scratch,
        } = self;
        let pushed = match builder {
            Builder::Boolean(builder) => boolean(&cell).map(|value| builder.push(value)),
            Builder::Int64(builder) => int64(&cell).map(|value| builder.push(value)),
            Builder::Float64(builder) => float64(&cell).map(|value| builder.push(value)),
            Builder::Decimal(builder) => {
                unscaled(&cell, *kind, scratch).map(|value| builder.push(value))
            }
            Builder::Text(builder) => text(cell, scratch).map(|text| builder.push(text)),
            Builder::Binary(builder) => {
                text(cell, scratch).map(|text| builder.push(text.as_bytes()))
            }
            Builder::Date(builder) => date(&cell).map(|value| builder.push(value)),
            Builder::Timestamp(builder) => timestamp(&cell).map(|value| builder.push(value)),
            Builder::Json(builder) => text(cell, scratch)
                .filter(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok())
                .map(|text| builder.push(text)),
        };
        pushed.is_some()
    }

    pub(super) fn finish(self) -> Column {
        match self.builder {
            Builder::Boolean(builder) => builder.finish(),
            Builder::Int64(builder) => builder.finish(),
            Builder::Float64(builder) => builder.finish(),
            Builder::Decimal(builder) => builder.finish(),
            Builder::Text(builder) => builder.finish(),
            Builder::Binary(builder) => builder.finish(),
            Builder::Date(builder) => builder.finish(),
            Builder::Timestamp(builder) => builder.finish(),
            Builder::Json(builder) => builder.finish(),
        }
    }
}

fn boolean(cell: &Cell<'_>) -> Option<bool> {
    let Cell::Text(text) = cell else { return None };
    let is = |words: [&str; 3]| {
        words
            .iter()
            .any(|word| text.trim().eq_ignore_ascii_case(word))
    };
    if is(["true", "yes", "1"]) {
        return Some(true);
    }
    is(["false", "no", "0"]).then_some(false)
}

fn int64(cell: &Cell<'_>) -> Option<i64> {
    match cell {
        Cell::Boolean(value) => Some(i64::from(*value)),
        Cell::Text(text) => text.trim().parse().ok(),
        Cell::Float64(value) => whole(*value),
        Cell::Decimal(value, scale) => {
            let whole = decimal::rescale(*value, *scale, 0)?;
            (decimal::rescale(whole, 0, *scale) == Some(*value))
                .then(|| i64::try_from(whole).ok())?
        }
        _ => None,
    }
}

/// A float that is an integer. The bounds are exact: the upper is the first float beyond int64.
fn whole(value: f64) -> Option<i64> {
    const END: f64 = 9_223_372_036_854_775_808.0;
    ((-END..END).contains(&value) && value.fract() == 0.0).then_some(value as i64)
}

fn float64(cell: &Cell<'_>) -> Option<f64> {
    match cell {
        Cell::Int64(value) => Some(*value as f64),
        Cell::Text(text) => text
            .trim()
            .parse()
            .ok()
            .filter(|value: &f64| value.is_finite()),
        // By way of text, which rounds once and right.
        Cell::Decimal(value, scale) => decimal::format(*value, *scale).parse().ok(),
        _ => None,
    }
}

fn unscaled(cell: &Cell<'_>, kind: FieldType, scratch: &mut String) -> Option<i128> {
    let FieldType::Decimal(size) = kind else {
        return None;
    };
    let to = scale(kind);
    let value = match cell {
        Cell::Int64(value) => decimal::rescale(i128::from(*value), 0, to),
        Cell::Decimal(value, from) => decimal::rescale(*value, *from, to),
        Cell::Text(text) => decimal::parse(text.trim(), to),
        Cell::Float64(value) if value.is_finite() => {
            scratch.clear();
            write!(scratch, "{value:.digits$}", digits = usize::from(to)).ok()?;
            decimal::parse(scratch, to)
        }
        _ => None,
    };
    value.filter(|value| decimal::fits(*value, size.precision))
}

fn text<'a>(cell: Cell<'a>, scratch: &'a mut String) -> Option<&'a str> {
    let mut written = |value: &dyn Display| {
        scratch.clear();
        write!(scratch, "{value}").ok()
    };
    match cell {
        Cell::Text(text) => return Some(text),
        Cell::Bytes => return None,
        Cell::Boolean(value) => written(&value)?,
        Cell::Int64(value) => written(&value)?,
        Cell::Float64(value) => written(&value)?,
        Cell::Decimal(value, scale) => written(&decimal::format(value, scale))?,
        Cell::Date(value) => written(&Date(value))?,
        Cell::Timestamp(value) => written(&Timestamp(value))?,
    }
    Some(scratch)
}

fn date(cell: &Cell<'_>) -> Option<i32> {
    match cell {
        Cell::Text(text) => text.trim().parse::<Date>().ok().map(|date| date.0),
        Cell::Timestamp(micros) => i32::try_from(micros.div_euclid(DAY_MICROS)).ok(),
        _ => None,
    }
}

fn timestamp(cell: &Cell<'_>) -> Option<i64> {
    match cell {
        Cell::Text(text) => text
            .trim()
            .parse::<Timestamp>()
            .ok()
            .map(|instant| instant.0),
        Cell::Date(days) => i64::from(*days).checked_mul(DAY_MICROS),
        _ => None,
    }
}
