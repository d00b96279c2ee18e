//! Sizes and durations as people write them: `64MiB`, `10s`. Kept as typed numbers, written back as they came.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A number of bytes: `512`, `64KiB`, `8MiB`, `1GiB` (powers of 1,024 only).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ByteSize(pub u64);

/// A length of time: `250ms`, `10s`, `5m`, `6h`, `30d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(pub Duration);

/// Not a size or a length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not a {what}")]
pub struct SizeError {
    value: String,
    what: &'static str,
}

const BYTE_UNITS: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("", 1),
];
const TIME_UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

fn split(text: &str) -> Option<(u64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, unit) = split(text)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*factor)
}

fn show(value: u64, units: &[(&str, u64)]) -> String {
    let (unit, factor) = units
        .iter()
        .find(|(_, factor)| value >= *factor && value.is_multiple_of(*factor))
        .unwrap_or(&units[units.len() - 1]);
    format!("{}{unit}", value / factor)
}

macro_rules! text_form {
    ($type:ident, $what:literal, $units:ident, $to:expr, $from:expr) => {
        impl FromStr for $type {
            type Err = SizeError;
            fn from_str(text: &str) -> Result<Self, SizeError> {
                parse(text, &$units).map($to).ok_or_else(|| SizeError {
                    value: text.to_owned(),
                    what: $what,
                })
            }
        }
        impl TryFrom<String> for $type {
            type Error = SizeError;
            fn try_from(text: String) -> Result<Self, SizeError> {
                text.parse()
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&show($from(self), &$units))
            }
        }
        impl From<$type> for String {
            fn from(value: $type) -> String {
                value.to_string()
            }
        }
    };
}

text_form!(
    ByteSize,
    "size (`512`, `64KiB`, `8MiB`, `1GiB`)",
    BYTE_UNITS,
    ByteSize,
    |size: &ByteSize| size.0
);
text_form!(
    Span,
    "length of time (`250ms`, `10s`, `5m`, `6h`, `30d`)",
    TIME_UNITS,
    |ms| Span(Duration::from_millis(ms)),
    |span: &Span| u64::try_from(span.0.as_millis()).unwrap_or(u64::MAX)
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_spans() {
        for (text, value) in [
            ("0", 0),
            ("512", 512),
            ("64KiB", 65_536),
            ("8MiB", 8 << 20),
            ("1GiB", 1 << 30),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(value)));
            assert_eq!(ByteSize(value).to_string(), text);
        }
        for (text, ms) in [
            ("250ms", 250),
            ("10s", 10_000),
            ("5m", 300_000),
            ("6h", 21_600_000),
            ("30d", 2_592_000_000),
        ] {
            assert_eq!(text.parse(), Ok(Span(Duration::from_millis(ms))));
            assert_eq!(Span(Duration::from_millis(ms)).to_string(), text);
        }
        for bad in [
            "",
            "MiB",
            "8MB",
            "-1",
            "1.5s",
            "99999999999999999999",
            "18446744073709551615GiB",
        ] {
            assert!(bad.parse::<ByteSize>().is_err(), "{bad}");
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }
}
