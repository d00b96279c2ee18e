//! What a column holds: a type of the server's as one of the contract's, and its values as the host reads them in CSV and
//! as SQL has them.

use crate::config::{literal, quoted};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sluice_sdk::FieldType;
use sluice_sql::hex;
use std::borrow::Cow;

/// Digits that a decimal of the contract has at most.
const DIGITS_MAX: u8 = 38;
/// Digits of the greatest whole number without a sign.
const UNSIGNED_DIGITS: u8 = 20;

/// A type, as the catalog has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Base<'a> {
    /// Its name: `bigint`.
    pub(crate) name: &'a str,
    /// All of it: `bigint(20) unsigned zerofill`.
    pub(crate) whole: &'a str,
    /// Digits of a number in all, and bits of a `bit`.
    pub(crate) precision: Option<u64>,
    /// Digits behind its point.
    pub(crate) scale: Option<u64>,
    /// Whether the server checks that it is JSON, where that is no type.
    pub(crate) is_json: bool,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Boolean,
    Integer,
    /// A `bit`, which the server gives as bytes.
    Bits {
        bits: u8,
    },
    /// A `float`, which the server would give with six digits.
    Single,
    Double,
    Decimal {
        precision: u8,
        scale: u8,
    },
    /// A decimal of more digits than the contract has.
    Digits,
    Date,
    /// Without a time zone: taken for UTC. One of a `timestamp` is in the session's, which is UTC.
    Moment,
    Json,
    Binary,
    /// An `enum` or a `set`: text, whose order is another.
    Chosen,
    /// All others, as the server writes them.
    Text,
}

impl Kind {
    pub(crate) fn of(base: Base<'_>) -> Self {
        let is_unsigned = base.whole.contains("unsigned");
        match base.name {
            "tinyint" if base.whole.starts_with("tinyint(1)") && !is_unsigned => Self::Boolean,
            "bigint" if is_unsigned => Self::Decimal {
                precision: UNSIGNED_DIGITS,
                scale: 0,
            },
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "year" => Self::Integer,
            "bit" => Self::Bits {
                bits: base.precision.map_or(64, |bits| bits as u8),
            },
            "float" => Self::Single,
            "double" => Self::Double,
            "decimal" => decimal(base).unwrap_or(Self::Digits),
            "date" => Self::Date,
            "datetime" | "timestamp" => Self::Moment,
            "json" => Self::Json,
            "enum" | "set" => Self::Chosen,
            _ if base.is_json => Self::Json,
            name if name.contains("blob") || name.contains("binary") => Self::Binary,
            "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring"
            | "multipolygon" | "geometrycollection" | "geomcollection" | "vector" => Self::Binary,
            _ => Self::Text,
        }
    }

    pub(crate) fn field_type(self) -> FieldType {
        match self {
            Self::Boolean | Self::Bits { bits: 1 } => FieldType::Boolean,
            Self::Bits { bits: 64.. } => FieldType::decimal(UNSIGNED_DIGITS, 0),
            Self::Integer | Self::Bits { .. } => FieldType::Int64,
            Self::Single | Self::Double => FieldType::Float64,
            Self::Decimal { precision, scale } => FieldType::decimal(precision, scale),
            Self::Date => FieldType::Date,
            Self::Moment => FieldType::Timestamp,
            Self::Json => FieldType::Json,
            Self::Binary => FieldType::Binary,
            Self::Digits | Self::Chosen | Self::Text => FieldType::Text,
        }
    }

    /// Of this column, what the server is asked for.
    pub(crate) fn expression(self, table: &str, column: &str) -> String {
        let column = format!("{table}.{}", quoted(column));
        match self {
            Self::Single => format!("({column} * 1e0)"),
            _ => column,
        }
    }

    /// What it gave, as the host reads it. What is no value of the kind is left as it is, for the host to refuse.
    pub(crate) fn written(self, value: &[u8]) -> Cow<'_, [u8]> {
        match self {
            Self::Boolean => match value {
                b"0" => Cow::Borrowed(b"false"),
                b"1" => Cow::Borrowed(b"true"),
                other => Cow::Borrowed(other),
            },
            Self::Bits { bits: 1 } => match value {
                [0] => Cow::Borrowed(b"false"),
                [1] => Cow::Borrowed(b"true"),
                other => Cow::Borrowed(other),
            },
            Self::Bits { .. } => Cow::Owned(number(value).to_string().into_bytes()),
            Self::Binary => Cow::Owned(STANDARD.encode(value).into_bytes()),
            _ => Cow::Borrowed(value),
        }
    }

    /// What it gave, as a place has it: text that an operator reads, and that [`literal_of`](Self::literal_of) takes.
    pub(crate) fn kept(self, value: &[u8]) -> String {
        match self {
            Self::Bits { .. } => number(value).to_string(),
            Self::Binary => hex(value),
            _ => String::from_utf8_lossy(value).into_owned(),
        }
    }

    /// A value of a place as SQL has it.
    pub(crate) fn literal_of(self, text: &str) -> String {
        let is_number = || {
            let digits = text.strip_prefix('-').unwrap_or(text);
            !digits.is_empty()
                && digits
                    .bytes()
                    .all(|byte| byte.is_ascii_digit() || byte == b'.')
        };
        match self {
            Self::Boolean
            | Self::Integer
            | Self::Bits { .. }
            | Self::Decimal { .. }
            | Self::Digits
                if is_number() =>
            {
                text.to_owned()
            }
            Self::Binary if text.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                format!("x'{text}'")
            }
            _ => literal(text),
        }
    }

    /// Whether the server compares it as a number, and with one.
    pub(crate) fn is_number(self) -> bool {
        matches!(
            self,
            Self::Boolean
                | Self::Integer
                | Self::Bits { .. }
                | Self::Single
                | Self::Double
                | Self::Decimal { .. }
                | Self::Digits
        )
    }

    /// Whether a table can be read in the order of such a column: values that a comparison finds again, in the order that
    /// the server sorts them in.
    pub(crate) fn has_order(self) -> bool {
        !matches!(
            self,
            Self::Single | Self::Double | Self::Chosen | Self::Json
        )
    }
}

/// A decimal whose precision and scale the contract has.
fn decimal(base: Base<'_>) -> Option<Kind> {
    let precision = u8::try_from(base.precision?).ok()?;
    let scale = u8::try_from(base.scale?).ok()?;
    let fits = (1..=DIGITS_MAX).contains(&precision) && scale <= precision;
    fits.then_some(Kind::Decimal { precision, scale })
}

/// The number that these bytes are, the greatest first.
fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(whole: &str, precision: Option<u64>, scale: Option<u64>) -> Kind {
        let name = whole.split(['(', ' ']).next().unwrap_or_default();
        Kind::of(Base {
            name,
            whole,
            precision,
            scale,
            is_json: false,
        })
    }

    #[test]
    fn each_type_has_one_of_the_contract() {
        for (whole, precision, scale, field_type) in [
            ("tinyint(1)", Some(3), Some(0), FieldType::Boolean),
            ("tinyint(4)", Some(3), Some(0), FieldType::Int64),
            ("tinyint(1) unsigned", Some(3), Some(0), FieldType::Int64),
            (
                "int(10) unsigned zerofill",
                Some(10),
                Some(0),
                FieldType::Int64,
            ),
            ("bigint(20)", Some(19), Some(0), FieldType::Int64),
            ("bigint", Some(19), Some(0), FieldType::Int64),
            (
                "bigint(20) unsigned",
                Some(20),
                Some(0),
                FieldType::decimal(20, 0),
            ),
            ("year(4)", None, None, FieldType::Int64),
            ("bit(1)", Some(1), None, FieldType::Boolean),
            ("bit(63)", Some(63), None, FieldType::Int64),
            ("bit(64)", Some(64), None, FieldType::decimal(20, 0)),
            ("float", Some(12), None, FieldType::Float64),
            ("double", Some(22), None, FieldType::Float64),
            (
                "decimal(10,2)",
                Some(10),
                Some(2),
                FieldType::decimal(10, 2),
            ),
            (
                "decimal(38,38)",
                Some(38),
                Some(38),
                FieldType::decimal(38, 38),
            ),
            ("decimal(65,30)", Some(65), Some(30), FieldType::Text),
            ("date", None, None, FieldType::Date),
            ("datetime(6)", None, None, FieldType::Timestamp),
            ("timestamp", None, None, FieldType::Timestamp),
            ("time(6)", None, None, FieldType::Text),
            ("json", None, None, FieldType::Json),
            ("varbinary(16)", None, None, FieldType::Binary),
            ("longblob", None, None, FieldType::Binary),
            ("point", None, None, FieldType::Binary),
            ("enum('a','b')", None, None, FieldType::Text),
            ("longtext", None, None, FieldType::Text),
            ("uuid", None, None, FieldType::Text),
        ] {
            assert_eq!(
                kind(whole, precision, scale).field_type(),
                field_type,
                "{whole}"
            );
        }
        let checked = Base {
            name: "longtext",
            whole: "longtext",
            precision: None,
            scale: None,
            is_json: true,
        };
        assert_eq!(Kind::of(checked), Kind::Json);
    }

    #[test]
    fn values_are_written_as_the_host_reads_them_and_kept_as_sql_takes_them() {
        let bits = Kind::Bits { bits: 10 };
        for (kind, value, written, kept, sql) in [
            (Kind::Boolean, &b"1"[..], "true", "1", "1"),
            (Kind::Boolean, b"2", "2", "2", "2"),
            (Kind::Bits { bits: 1 }, b"\x00", "false", "0", "0"),
            (bits, b"\x02\x01", "513", "513", "513"),
            (Kind::Binary, b"\x00\xff", "AP8=", "00ff", "x'00ff'"),
            (Kind::Integer, b"-17", "-17", "-17", "-17"),
            (Kind::Integer, b"1 OR 1", "1 OR 1", "1 OR 1", "'1 OR 1'"),
            (Kind::Binary, b"", "", "", "x''"),
            (Kind::Digits, b"-0.5", "-0.5", "-0.5", "-0.5"),
            (Kind::Text, b"it's", "it's", "it's", "'it''s'"),
            (
                Kind::Moment,
                b"2026-11-27 08:00:00",
                "2026-11-27 08:00:00",
                "2026-11-27 08:00:00",
                "'2026-11-27 08:00:00'",
            ),
        ] {
            assert_eq!(kind.written(value), written.as_bytes(), "{kind:?}");
            assert_eq!(kind.kept(value), kept, "{kind:?}");
            assert_eq!(kind.literal_of(kept), sql, "{kind:?}");
        }
        let all = Kind::Bits { bits: 64 };
        assert_eq!(all.kept(&[0xff; 8]), u64::MAX.to_string());
    }
}
