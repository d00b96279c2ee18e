//! Dates and moments as text and as counts since 1970: `YYYY-MM-DD` and RFC 3339. Not a calendar: no time zones but
//! fixed offsets, no clock.
//!
//! Days are counted with Howard Hinnant's `days_from_civil` and `civil_from_days`, in the proleptic Gregorian
//! calendar. Years outside 0000–9999 are written with a sign, as ISO 8601 and ECMAScript do, so that every value a
//! column can hold has a text that reads back as itself.

const DAY_SECONDS: i64 = 86_400;
const DAY_MICROS: i64 = DAY_SECONDS * 1_000_000;
/// Days from 0000-03-01, where an era of 400 years begins, to 1970-01-01.
const ERA_TO_EPOCH_DAYS: i64 = 719_468;
/// Digits of a signed year. Seven reach every 32-bit count of days.
const SIGNED_YEAR_DIGITS_MAX: usize = 7;

/// Whether a timestamp without an offset is a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offset {
    /// RFC 3339: it must say its offset.
    Required,
    /// It may leave it out, and then means UTC: what databases print into CSV files.
    Optional,
}

#[inline]
fn two(high: u8, low: u8) -> Option<i64> {
    let (high, low) = (high.wrapping_sub(b'0'), low.wrapping_sub(b'0'));
    (high < 10 && low < 10).then_some(i64::from(high) * 10 + i64::from(low))
}

fn days_of(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        1..=12 => 31,
        _ => return None,
    };
    if day < 1 || day > length {
        return None;
    }
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - ERA_TO_EPOCH_DAYS)
}

fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + ERA_TO_EPOCH_DAYS;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The days at the start of a text, and what follows them.
#[inline]
fn leading_days(text: &[u8]) -> Option<(i64, &[u8])> {
    let (year, rest) = match text.first()? {
        b'+' | b'-' => signed_year(text)?,
        _ => {
            let [a, b, c, d] = *text.first_chunk::<4>()?;
            (two(a, b)? * 100 + two(c, d)?, &text[4..])
        }
    };
    let [dash, m1, m2, second_dash, d1, d2] = *rest.first_chunk::<6>()?;
    if dash != b'-' || second_dash != b'-' {
        return None;
    }
    Some((days_of(year, two(m1, m2)?, two(d1, d2)?)?, &rest[6..]))
}

#[cold]
fn signed_year(text: &[u8]) -> Option<(i64, &[u8])> {
    let digits = text[1..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    if !(4..=SIGNED_YEAR_DIGITS_MAX).contains(&digits) {
        return None;
    }
    let (year, rest) = text[1..].split_at(digits);
    let year = year
        .iter()
        .fold(0, |year, digit| year * 10 + i64::from(digit - b'0'));
    Some((if text[0] == b'-' { -year } else { year }, rest))
}

/// Days since 1970-01-01 of a text that is nothing but a date.
pub fn parse_date(text: &[u8]) -> Option<i32> {
    match leading_days(text)? {
        (days, []) => i32::try_from(days).ok(),
        _ => None,
    }
}

/// Microseconds since 1970-01-01T00:00:00Z of a text that is nothing but a timestamp. Between date and time stands
/// `T`, `t` or a space. Digits beyond the microsecond are dropped. A leap second is no moment that UTC counts know.
#[inline]
pub fn parse_timestamp(text: &[u8], offset: Offset) -> Option<i64> {
    let (days, rest) = leading_days(text)?;
    let [separator, h1, h2, colon, m1, m2, second_colon, s1, s2] = *rest.first_chunk::<9>()?;
    if !matches!(separator, b'T' | b't' | b' ') || colon != b':' || second_colon != b':' {
        return None;
    }
    let (hour, minute, second) = (two(h1, h2)?, two(m1, m2)?, two(s1, s2)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (micros, rest) = fraction(&rest[9..])?;
    let offset_seconds = match *rest {
        [b'Z' | b'z'] => 0,
        [] if offset == Offset::Optional => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (two(h1, h2)?, two(m1, m2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let seconds = hours * 3_600 + minutes * 60;
            if sign == b'-' { -seconds } else { seconds }
        }
        _ => return None,
    };
    let seconds_of_day = hour * 3_600 + minute * 60 + second - offset_seconds;
    // In 128 bits: the first day of all begins before the first moment that 64 bits hold.
    let micros =
        i128::from(days) * i128::from(DAY_MICROS) + i128::from(seconds_of_day * 1_000_000 + micros);
    i64::try_from(micros).ok()
}

#[inline]
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(digits) = text.strip_prefix(b".") else {
        return Some((0, text));
    };
    let count = digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    if count == 0 {
        return None;
    }
    let micros = (0..6).fold(0, |micros, place| {
        let digit = if place < count {
            digits[place] - b'0'
        } else {
            0
        };
        micros * 10 + i64::from(digit)
    });
    Some((micros, &digits[count..]))
}

/// `00` to `99`.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut at = 0;
    while at < 100 {
        pairs[at] = [b'0' + (at / 10) as u8, b'0' + (at % 10) as u8];
        at += 1;
    }
    pairs
};

#[inline]
fn pair(value: i64) -> [u8; 2] {
    PAIRS[(value.unsigned_abs() % 100) as usize]
}

/// Appends `YYYY-MM-DD`.
#[inline]
pub fn write_date(out: &mut Vec<u8>, days: i64) {
    let (year, month, day) = civil(days);
    let ([m1, m2], [d1, d2]) = (pair(month), pair(day));
    if (0..=9_999).contains(&year) {
        let ([y1, y2], [y3, y4]) = (pair(year / 100), pair(year));
        out.extend_from_slice(&[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2]);
    } else {
        out.extend_from_slice(format!("{year:+07}").as_bytes());
        out.extend_from_slice(&[b'-', m1, m2, b'-', d1, d2]);
    }
}

/// Appends `YYYY-MM-DDTHH:MM:SS[.ffffff]Z`, the fraction without trailing zeros.
#[inline]
pub fn write_timestamp(out: &mut Vec<u8>, micros: i64) {
    write_date(out, micros.div_euclid(DAY_MICROS));
    let of_day = micros.rem_euclid(DAY_MICROS);
    let (seconds, micros) = (of_day / 1_000_000, of_day % 1_000_000);
    let ([h1, h2], [m1, m2], [s1, s2]) = (
        pair(seconds / 3_600),
        pair(seconds / 60 % 60),
        pair(seconds % 60),
    );
    out.extend_from_slice(&[b'T', h1, h2, b':', m1, m2, b':', s1, s2]);
    if micros > 0 {
        let pairs = [pair(micros / 10_000), pair(micros / 100), pair(micros)];
        let mut fraction = [b'.'; 7];
        fraction[1..].copy_from_slice(pairs.as_flattened());
        let zeros = fraction
            .iter()
            .rev()
            .take_while(|digit| **digit == b'0')
            .count();
        out.extend_from_slice(&fraction[..fraction.len() - zeros]);
    }
    out.push(b'Z');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn timestamp_text(micros: i64) -> String {
        let mut out = Vec::new();
        write_timestamp(&mut out, micros);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn timestamps() {
        for (text, micros) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("1970-01-01t00:00:00z", Some(0)),
            ("1970-01-01 00:00:00+00:00", Some(0)),
            ("1969-12-31T23:59:59.999999Z", Some(-1)),
            ("2026-02-28T12:30:15.5+02:00", Some(1_772_274_615_500_000)),
            ("2024-02-29T00:00:00Z", Some(1_709_164_800_000_000)),
            ("2023-02-29T00:00:00Z", None),
            ("1900-02-29T00:00:00Z", None),
            ("2000-02-29T00:00:00Z", Some(951_782_400_000_000)),
            ("1970-01-01T00:00:00.1234567899Z", Some(123_456)),
            ("1970-01-01T00:00:00.Z", None),
            ("1970-01-01T00:00:00", None),
            ("1970-01-01T00:00Z", None),
            ("1970-01-01", None),
            ("1970-01-01T24:00:00Z", None),
            ("1970-01-01T00:00:60Z", None),
            ("1970-13-01T00:00:00Z", None),
            ("1970-00-01T00:00:00Z", None),
            ("1970-01-01T00:00:00+0200", None),
            ("1970-01-01T00:00:00+24:00", None),
            ("1970-01-01T00:00:00Zz", None),
            ("+294247-01-10T04:00:54.775807Z", Some(i64::MAX)),
            ("+294247-01-10T04:00:54.775808Z", None),
            ("-290308-12-21T19:59:05.224192Z", Some(i64::MIN)),
            ("-290308-12-21T19:59:05.224191Z", None),
            ("+99999999-01-01T00:00:00Z", None),
            ("", None),
            ("é970-01-01T00:00:00Z", None),
        ] {
            assert_eq!(
                parse_timestamp(text.as_bytes(), Offset::Required),
                micros,
                "{text}"
            );
        }
        assert_eq!(
            parse_timestamp(b"1970-01-01 00:00:01.5", Offset::Optional),
            Some(1_500_000)
        );
        assert_eq!(timestamp_text(1_500_000), "1970-01-01T00:00:01.5Z");
        assert_eq!(timestamp_text(1_000_000), "1970-01-01T00:00:01Z");
    }

    proptest! {
        #[test]
        fn every_timestamp_comes_back(micros in any::<i64>()) {
            prop_assert_eq!(parse_timestamp(timestamp_text(micros).as_bytes(), Offset::Required), Some(micros));
        }

        #[test]
        fn every_date_comes_back(days in any::<i32>()) {
            let mut out = Vec::new();
            write_date(&mut out, i64::from(days));
            prop_assert_eq!(parse_date(&out), Some(days));
        }

        #[test]
        fn agrees_with_chrono(micros in -62_167_219_200_000_000_i64..253_402_300_800_000_000) {
            let theirs = chrono::DateTime::from_timestamp_micros(micros).expect("in range");
            let parsed = chrono::DateTime::parse_from_rfc3339(&timestamp_text(micros)).expect("RFC 3339");
            prop_assert_eq!(parsed.timestamp_micros(), theirs.timestamp_micros());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = (parse_date(&bytes), parse_timestamp(&bytes, Offset::Optional));
        }
    }
}
