//! Decimal numbers as text and back, and from one scale to another, on the unscaled value: `12.34` at scale 2 is
//! `1234`. Deliberately no arithmetic beyond that.

/// The most digits a decimal holds.
pub const DIGITS_MAX: u8 = 38;

/// Reads `-12.34` at this scale. None where it is no number, has more digits behind the point than `scale` (but for
/// zeros), or does not fit in 38 digits.
pub fn parse(text: &str, scale: u8) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let part = part.trim_end_matches('0');
    if digits.bytes().all(|byte| !byte.is_ascii_digit()) || part.len() > usize::from(scale) {
        return None;
    }
    let padding = std::iter::repeat_n(b'0', usize::from(scale) - part.len());
    let mut value: i128 = 0;
    for byte in whole.bytes().chain(part.bytes()).chain(padding) {
        let digit = byte.is_ascii_digit().then(|| i128::from(byte - b'0'))?;
        value = value.checked_mul(10)?.checked_add(digit)?;
    }
    let value = if negative { -value } else { value };
    fits(value, DIGITS_MAX).then_some(value)
}

/// Writes a value of this scale: `1234` at scale 2 is `12.34`.
pub fn format(value: i128, scale: u8) -> String {
    let scale = usize::from(scale);
    let digits = format!("{:0width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, part) = digits.split_at(digits.len() - scale);
    let (sign, point) = (
        if value < 0 { "-" } else { "" },
        if scale > 0 { "." } else { "" },
    );
    format!("{sign}{whole}{point}{part}")
}

/// The same number at another scale; digits that are lost round half away from zero. None where it overflows.
pub fn rescale(value: i128, from: u8, to: u8) -> Option<i128> {
    if to >= from {
        return value.checked_mul(power(to - from)?);
    }
    // What is lost is more than all the digits there are.
    let Some(unit) = power(from - to) else {
        return Some(0);
    };
    divide(value, unit)
}

/// `left / right`, rounded half away from zero. None at zero and on overflow.
pub fn divide(left: i128, right: i128) -> Option<i128> {
    let (quotient, rest) = (left.checked_div(right)?, left.checked_rem(right)?);
    let up = rest.unsigned_abs() >= right.unsigned_abs() - rest.unsigned_abs();
    let away = if (left < 0) == (right < 0) { 1 } else { -1 };
    if up && rest != 0 {
        quotient.checked_add(away)
    } else {
        Some(quotient)
    }
}

/// Whether a value has at most `precision` digits.
pub fn fits(value: i128, precision: u8) -> bool {
    power(precision).is_some_and(|limit| value.unsigned_abs() < limit.unsigned_abs())
}

/// Ten to the power of `exponent`; none above 38.
pub fn power(exponent: u8) -> Option<i128> {
    10_i128.checked_pow(u32::from(exponent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_there_and_back() {
        for (text, scale, value, printed) in [
            ("12.34", 2, 1_234, "12.34"),
            ("-0.05", 2, -5, "-0.05"),
            ("+7", 3, 7_000, "7.000"),
            ("1.500", 1, 15, "1.5"),
            (".5", 1, 5, "0.5"),
            ("5.", 0, 5, "5"),
            (
                "99999999999999999999999999999999999999",
                0,
                10_i128.pow(38) - 1,
                "99999999999999999999999999999999999999",
            ),
        ] {
            assert_eq!(parse(text, scale), Some(value), "{text}");
            assert_eq!(format(value, scale), printed);
        }
        for (text, scale) in [
            ("", 2),
            (".", 2),
            ("-", 2),
            ("1.234", 2),
            ("1e3", 2),
            ("1_0", 0),
            ("--1", 0),
            ("1.2.3", 4),
        ] {
            assert_eq!(parse(text, scale), None, "{text}");
        }
        assert_eq!(parse(&"9".repeat(39), 0), None);
        assert_eq!(parse(&"9".repeat(38), 1), None);
    }

    #[test]
    fn scales_change() {
        for (value, from, to, expected) in [
            (1_234, 2, 4, Some(123_400)),
            (1_235, 3, 2, Some(124)),
            (-1_235, 3, 2, Some(-124)),
            (1_234, 3, 2, Some(123)),
            (i128::MAX, 0, 1, None),
            (i128::MIN, 0, 0, Some(i128::MIN)),
            (5, 1, 0, Some(1)),
        ] {
            assert_eq!(rescale(value, from, to), expected, "{value}");
        }
        assert_eq!(
            (divide(1, 0), divide(i128::MIN, -1), divide(-7, 2)),
            (None, None, Some(-4))
        );
        assert!(fits(99, 2) && !fits(100, 2) && !fits(i128::MIN, 38));
    }
}
