//! What each rule makes of one column. Rows without a value stay without one.

use crate::calendar::{Grain, floor_days, floor_us, iso_date};
use crate::hash::{Form, Hasher};
use sluice_sdk::{
    Column, DateBuilder, Fault, FieldType, Float64Builder, Int64Builder, Mask, Packed, TextBuilder,
    TimestampBuilder, Values,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Replaces each value by its hash. Hashed is a value's text, so that `7` in a text and in an int64 column agree.
pub(crate) fn hash(column: &Column, kind: FieldType, hasher: &Hasher) -> Result<Column, Fault> {
    let mut form = Form::new();
    let mut out = TextBuilder::with_capacity(column.rows(), column.rows() * 64);
    let mut push = |value: Option<&[u8]>| match value {
        Some(value) => out.push(hasher.hash(value, &mut form)),
        None => out.push(None),
    };
    match kind {
        FieldType::Text => column
            .text()?
            .iter()
            .for_each(|value| push(value.map(str::as_bytes))),
        FieldType::Binary => {
            let view = column.binary()?;
            (0..view.packed().rows()).for_each(|row| push(view.get(row)));
        }
        FieldType::Int64 => {
            column.int64()?.iter().for_each(|value| {
                push(
                    value
                        .map(|value| value.to_string())
                        .as_deref()
                        .map(str::as_bytes),
                );
            });
        }
        FieldType::Date => {
            let text = |days: i32| iso_date(i64::from(days));
            column
                .date()?
                .iter()
                .for_each(|value| push(value.map(text).as_deref().map(str::as_bytes)));
        }
        FieldType::Decimal(size) => {
            let text = |value: i128| decimal_text(value, usize::try_from(size.scale).unwrap_or(0));
            column
                .decimal()?
                .iter()
                .for_each(|value| push(value.map(text).as_deref().map(str::as_bytes)));
        }
        other => {
            return Err(Fault::broken(format!(
                "a column of type {other} is not hashed"
            )));
        }
    }
    Ok(out.finish())
}

/// `-12.34` of -1234 with scale 2; no point where the scale is 0.
fn decimal_text(unscaled: i128, scale: usize) -> String {
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if unscaled < 0 { "-" } else { "" };
    if scale == 0 {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{fraction}")
    }
}

/// A column of this type without any value.
pub(crate) fn nothing(kind: FieldType, rows: usize) -> Column {
    let packed = || Packed {
        offsets: vec![0; rows + 1],
        bytes: Vec::new(),
    };
    let values = match kind {
        FieldType::Boolean => Values::Boolean(vec![0; rows.div_ceil(8)]),
        FieldType::Int64 => Values::Int64(vec![0; rows]),
        FieldType::Float64 => Values::Float64(vec![0.0; rows]),
        FieldType::Decimal(_) => Values::Decimal(vec![0; rows * 16]),
        FieldType::Text => Values::Text(packed()),
        FieldType::Binary => Values::Binary(packed()),
        FieldType::Date => Values::Date(vec![0; rows]),
        FieldType::Timestamp => Values::Timestamp(vec![0; rows]),
        FieldType::Json => Values::Json(packed()),
    };
    Column::new(values, Some(Mask::none(rows)))
}

/// A text column with the same words in every row.
pub(crate) fn constant(text: &str, rows: usize) -> Column {
    let mut out = TextBuilder::with_capacity(rows, rows * text.len());
    (0..rows).for_each(|_| out.push(text));
    out.finish()
}

/// The first characters of each text; a shorter one stays as it is.
pub(crate) fn truncate(column: &Column, characters: usize) -> Result<Column, Fault> {
    let view = column.text()?;
    let mut out = TextBuilder::with_capacity(view.packed().rows(), view.packed().bytes.len());
    view.iter()
        .for_each(|value| out.push(value.map(|text| first(text, characters))));
    Ok(out.finish())
}

/// The first characters of each text, and a `*` behind them, so that a short text looks no different.
pub(crate) fn keep(column: &Column, characters: usize) -> Result<Column, Fault> {
    let view = column.text()?;
    let mut out = TextBuilder::with_capacity(view.packed().rows(), view.packed().bytes.len());
    let mut kept = String::new();
    for value in view.iter() {
        let Some(text) = value else {
            out.push(None);
            continue;
        };
        kept.clear();
        kept.push_str(first(text, characters));
        kept.push('*');
        out.push(kept.as_str());
    }
    Ok(out.finish())
}

fn first(text: &str, characters: usize) -> &str {
    text.char_indices()
        .nth(characters)
        .map_or(text, |(end, _)| &text[..end])
}

/// The /24 of an IPv4 and the /48 of an IPv6 address; nothing for any other text, which must not pass as it is.
pub(crate) fn network(column: &Column) -> Result<Column, Fault> {
    let view = column.text()?;
    let mut out = TextBuilder::with_capacity(view.packed().rows(), view.packed().bytes.len() + 8);
    view.iter()
        .for_each(|value| out.push(value.and_then(network_of).as_deref()));
    Ok(out.finish())
}

fn network_of(text: &str) -> Option<String> {
    Some(match text.trim().parse::<IpAddr>().ok()?.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            format!("{}/24", Ipv4Addr::new(a, b, c, 0))
        }
        IpAddr::V6(address) => {
            let [a, b, c, ..] = address.segments();
            format!("{}/48", Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0))
        }
    })
}

/// The beginning of the year, month, day or hour of each date or timestamp.
pub(crate) fn round_down(column: &Column, kind: FieldType, grain: Grain) -> Result<Column, Fault> {
    if kind == FieldType::Date {
        let mut out = DateBuilder::with_capacity(column.rows());
        let floor =
            |days: i32| i32::try_from(floor_days(i64::from(days), grain)).unwrap_or(i32::MIN);
        column
            .date()?
            .iter()
            .for_each(|value| out.push(value.map(floor)));
        return Ok(out.finish());
    }
    let mut out = TimestampBuilder::with_capacity(column.rows());
    column
        .timestamp()?
        .iter()
        .for_each(|value| out.push(value.map(|us| floor_us(us, grain))));
    Ok(out.finish())
}

/// The lower end of the bucket that each whole number lies in.
pub(crate) fn int64_bucket(column: &Column, width: i64) -> Result<Column, Fault> {
    let floor = |value: i64| value.div_euclid(width).saturating_mul(width);
    let mut out = Int64Builder::with_capacity(column.rows());
    column
        .int64()?
        .iter()
        .for_each(|value| out.push(value.map(floor)));
    Ok(out.finish())
}

/// The lower end of the bucket that each number lies in. Infinities and NaN have no bucket and stay.
pub(crate) fn float64_bucket(column: &Column, width: f64) -> Result<Column, Fault> {
    let mut out = Float64Builder::with_capacity(column.rows());
    column
        .float64()?
        .iter()
        .for_each(|value| out.push(value.map(|value| (value / width).floor() * width)));
    Ok(out.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Encoding;

    fn texts(values: &[Option<&str>]) -> Column {
        let mut out = TextBuilder::default();
        for value in values {
            out.push(*value);
        }
        out.finish()
    }

    fn read(column: &Column) -> Vec<Option<String>> {
        column
            .text()
            .expect("text")
            .iter()
            .map(|value| value.map(str::to_owned))
            .collect()
    }

    fn check(column: Result<Column, Fault>, expected: &[Option<&str>]) {
        assert_eq!(
            read(&column.expect("a column")),
            expected
                .iter()
                .map(|v| v.map(str::to_owned))
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn texts_are_cut_at_characters() {
        let column = texts(&[Some("Göteborg"), None, Some("ö"), Some("")]);
        check(
            truncate(&column, 2),
            &[Some("Gö"), None, Some("ö"), Some("")],
        );
        check(
            keep(&column, 2),
            &[Some("Gö*"), None, Some("ö*"), Some("*")],
        );
    }

    #[test]
    fn addresses_become_networks_and_nothing_else_passes() {
        let column = texts(&[
            Some("203.0.113.77"),
            Some("2001:db8:1:2::3"),
            Some("::ffff:203.0.113.77"),
            Some("alice@example.com"),
            Some(""),
            None,
        ]);
        check(
            network(&column),
            &[
                Some("203.0.113.0/24"),
                Some("2001:db8:1::/48"),
                Some("203.0.113.0/24"),
                None,
                None,
                None,
            ],
        );
    }

    #[test]
    fn equal_values_hash_alike_whatever_their_type() {
        let hasher = Hasher::new(&[7; 32], 16, Encoding::Hex);
        let mut numbers = Int64Builder::default();
        for value in [Some(-5), None] {
            numbers.push(value);
        }
        let mut dates = DateBuilder::default();
        dates.push(0);
        let from_text = read(
            &hash(
                &texts(&[Some("-5"), None, Some("1970-01-01")]),
                FieldType::Text,
                &hasher,
            )
            .expect("a"),
        );
        let from_int = read(&hash(&numbers.finish(), FieldType::Int64, &hasher).expect("b"));
        let from_date = read(&hash(&dates.finish(), FieldType::Date, &hasher).expect("c"));
        assert_eq!(from_text[..2], from_int[..]);
        assert_eq!(from_text[2], from_date[0]);
        assert_ne!(from_text[0], from_text[2]);
    }

    #[test]
    fn decimals_have_one_text() {
        for (value, scale, text) in [
            (1234, 2, "12.34"),
            (-5, 2, "-0.05"),
            (0, 0, "0"),
            (-7, 0, "-7"),
            (i128::MIN, 1, "-17014118346046923173168730371588410572.8"),
        ] {
            assert_eq!(decimal_text(value, scale), text);
        }
    }

    #[test]
    fn numbers_fall_into_buckets() {
        let mut numbers = Int64Builder::default();
        for value in [Some(37), Some(40), Some(-1), None, Some(i64::MIN)] {
            numbers.push(value);
        }
        let floors: Vec<_> = int64_bucket(&numbers.finish(), 10)
            .expect("a")
            .int64()
            .expect("b")
            .iter()
            .collect();
        assert_eq!(
            floors,
            [Some(30), Some(40), Some(-10), None, Some(i64::MIN)]
        );
        let mut numbers = Float64Builder::default();
        for value in [Some(0.7), Some(-0.1), None] {
            numbers.push(value);
        }
        let floors: Vec<_> = float64_bucket(&numbers.finish(), 0.5)
            .expect("a")
            .float64()
            .expect("b")
            .iter()
            .collect();
        assert_eq!(floors, [Some(0.5), Some(-0.5), None]);
    }
}
