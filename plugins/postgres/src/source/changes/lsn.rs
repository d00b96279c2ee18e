//! A place in the server's log, as PostgreSQL writes it.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A byte of the log, `16/B374D848`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Lsn(pub(crate) u64);

impl fmt::Display for Lsn {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:X}/{:X}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

impl FromStr for Lsn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let part = |digits: &str| {
            let is_plain = (1..=8).contains(&digits.len()) && !digits.starts_with('+');
            u64::from_str_radix(digits, 16).ok().filter(|_| is_plain)
        };
        let halves = text.split_once('/');
        let halves = halves.and_then(|(high, low)| Some((part(high)?, part(low)?)));
        match halves {
            Some((high, low)) => Ok(Self(high << 32 | low)),
            None => Err(format!(
                "`{text}` is no place in a log: such as `16/B374D848`"
            )),
        }
    }
}

impl TryFrom<String> for Lsn {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Lsn> for String {
    fn from(lsn: Lsn) -> Self {
        lsn.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_written_as_the_server_does() {
        for (text, place) in [
            ("0/0", 0),
            ("16/B374D848", 0x16_b374_d848),
            ("FFFFFFFF/FFFFFFFF", u64::MAX),
        ] {
            assert_eq!(text.parse(), Ok(Lsn(place)));
            assert_eq!(Lsn(place).to_string(), text);
        }
        for wrong in [
            "",
            "/",
            "1",
            "1/",
            "1/123456789",
            "+1/2",
            "1/+2",
            "g/1",
            "1/2/3",
        ] {
            assert!(wrong.parse::<Lsn>().is_err(), "{wrong}");
        }
    }
}
