//! Dates and instants as ISO 8601 text and back, in the proleptic Gregorian calendar. Deliberately no time zones but
//! offsets, and no clock: a plugin has none.

use crate::{Date, Timestamp};
use std::fmt;
use std::str::FromStr;

/// Microseconds in a day.
const DAY_MICROS: i64 = 86_400_000_000;

/// A text that is not a date or an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotATime;

impl fmt::Display for NotATime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a date (`2026-01-31`) or an instant (`2026-01-31T08:30:00Z`)")
    }
}

impl std::error::Error for NotATime {}

impl FromStr for Date {
    type Err = NotATime;

    /// `2026-01-31`.
    fn from_str(text: &str) -> Result<Self, NotATime> {
        date(text)
            .and_then(|days| i32::try_from(days).ok())
            .map(Date)
            .ok_or(NotATime)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(i64::from(self.0));
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl FromStr for Timestamp {
    type Err = NotATime;

    /// `2026-01-31T08:30:00.25+01:00`; `T` may be a space, the fraction and the offset may be missing (then it is
    /// UTC), and what is finer than a microsecond is cut.
    fn from_str(text: &str) -> Result<Self, NotATime> {
        instant(text).map(Timestamp).ok_or(NotATime)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(self.0.div_euclid(DAY_MICROS));
        let of_day = self.0.rem_euclid(DAY_MICROS);
        let (second, micros) = (of_day / 1_000_000, of_day % 1_000_000);
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
        )?;
        if micros != 0 {
            write!(f, ".{micros:06}")?;
        }
        f.write_str("Z")
    }
}

fn date(text: &str) -> Option<i64> {
    let mut parts = text.splitn(3, '-');
    let (year, month, day) = (
        digits(parts.next()?, 4)?,
        digits(parts.next()?, 2)?,
        digits(parts.next()?, 2)?,
    );
    let count = days(year, month, day);
    // A day that the month does not have comes back as another.
    (civil(count) == (year, month, day)).then_some(count)
}

fn instant(text: &str) -> Option<i64> {
    let (day, rest) = (text.get(..10)?, text.get(10..)?);
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let end = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
    let (clock, zone) = rest.split_at(end);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut parts = clock.splitn(3, ':');
    let (hour, minute, second) = (
        digits(parts.next()?, 2)?,
        digits(parts.next()?, 2)?,
        digits(parts.next()?, 2)?,
    );
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = hour * 3_600 + (minute - offset_minutes(zone)?) * 60 + second;
    date(day)?
        .checked_mul(DAY_MICROS)?
        .checked_add(seconds * 1_000_000 + micros(fraction)?)
}

fn offset_minutes(zone: &str) -> Option<i64> {
    if zone.is_empty() || zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let (hour, minute) = zone.get(1..)?.split_once(':')?;
    let (hour, minute) = (digits(hour, 2)?, digits(minute, 2)?);
    (hour < 24 && minute < 60).then_some(sign * (hour * 60 + minute))
}

fn micros(fraction: &str) -> Option<i64> {
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(
        fraction
            .bytes()
            .chain(std::iter::repeat(b'0'))
            .take(6)
            .fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')),
    )
}

/// A number of exactly so many digits.
pub(crate) fn digits(text: &str, count: usize) -> Option<i64> {
    (text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())?
}

/// Days since 1970-01-01, after Howard Hinnant's `days_from_civil`.
pub(crate) fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year, month and day of days since 1970-01-01, after Howard Hinnant's `civil_from_days`.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let (day, month) = (
        of_year - (153 * shifted + 2) / 5 + 1,
        (shifted + 2) % 12 + 1,
    );
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (text, days) in [
            ("1970-01-01", 0),
            ("1969-12-31", -1),
            ("2000-02-29", 11_016),
            ("0001-01-01", -719_162),
            ("9999-12-31", 2_932_896),
        ] {
            assert_eq!(text.parse(), Ok(Date(days)), "{text}");
            assert_eq!(Date(days).to_string(), text);
        }
        for text in [
            "",
            "2001-02-29",
            "2000-13-01",
            "2000-00-01",
            "2000-1-1",
            "+200-01-01",
            "2000-01-01 ",
            "２000-01-01",
        ] {
            assert_eq!(text.parse::<Date>(), Err(NotATime), "{text}");
        }
    }

    #[test]
    fn instants() {
        for (text, micros, printed) in [
            ("1970-01-01T00:00:00Z", 0, "1970-01-01T00:00:00Z"),
            (
                "1970-01-01 01:00:00.5+01:00",
                500_000,
                "1970-01-01T00:00:00.500000Z",
            ),
            (
                "1969-12-31T23:59:59.9999999",
                -1,
                "1969-12-31T23:59:59.999999Z",
            ),
            (
                "2026-11-22t21:00:00-05:30",
                1_795_401_000_000_000,
                "2026-11-23T02:30:00Z",
            ),
        ] {
            assert_eq!(text.parse(), Ok(Timestamp(micros)), "{text}");
            assert_eq!(Timestamp(micros).to_string(), printed);
        }
        for text in [
            "",
            "1970-01-01",
            "1970-01-01T24:00:00Z",
            "1970-01-01T00:60:00Z",
            "1970-01-01T00:00:60Z",
            "1970-01-01T00:00Z",
            "1970-01-01T00:00:00.Z",
            "1970-01-01T00:00:00+1:00",
            "1970-01-01T00:00:00Zx",
            "1970-01-0éT00:00:00Z",
        ] {
            assert_eq!(text.parse::<Timestamp>(), Err(NotATime), "{text}");
        }
    }
}
