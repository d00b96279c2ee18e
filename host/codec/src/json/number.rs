//! A number as JSON writes it, and its exact value as an integer, a float or a decimal. Never a float on the way to
//! an integer or a decimal.

use super::scan::{Flaw, Scanner};

/// A number's text and its parts.
#[derive(Debug, Clone, Copy)]
pub struct Number<'a> {
    /// As it is written.
    pub text: &'a [u8],
    negative: bool,
    /// Its digits without point and exponent; meaningless where `long` is set.
    mantissa: u64,
    /// More digits than `mantissa` holds.
    long: bool,
    /// Digits behind the point.
    fraction_digits: i64,
    /// What is written behind `e`, kept within ±[`EXPONENT_MAX`].
    exponent: i64,
}

/// Why a number has no exact value of the wanted type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inexact {
    /// It has digits behind the point that do not fit.
    Fraction,
    /// It is too large.
    TooLarge,
}

/// Exponents beyond this are all the same: far out of range. Stops `1e99999999999999999999` from overflowing.
const EXPONENT_MAX: i64 = 1 << 40;
/// Every number of so many digits fits in 64 bits.
const MANTISSA_DIGITS_MAX: i64 = 19;

/// Powers of ten that a float holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

impl<'a> Number<'a> {
    /// Reads the number that begins here, with `-` or a digit.
    #[inline]
    pub fn read(scanner: &mut Scanner<'a>) -> Result<Self, Flaw> {
        let start = scanner.at();
        let negative = scanner.eat(b'-');
        let mut mantissa = 0_u64;
        let first = scanner.peek();
        let mut digits = take_digits(scanner, &mut mantissa);
        if digits == 0 || (digits > 1 && first == Some(b'0')) {
            return Err(scanner.expected("a number without leading zeros"));
        }
        let mut fraction_digits = 0;
        if scanner.eat(b'.') {
            fraction_digits = take_digits(scanner, &mut mantissa);
            digits += fraction_digits;
            if fraction_digits == 0 {
                return Err(scanner.expected("a digit behind the point"));
            }
        }
        let exponent = match scanner.peek() {
            Some(b'e' | b'E') => take_exponent(scanner)?,
            _ => 0,
        };
        let text = scanner.between(start, scanner.at());
        Ok(Self {
            text,
            negative,
            mantissa,
            long: digits > MANTISSA_DIGITS_MAX,
            fraction_digits,
            exponent,
        })
    }

    /// Reads a text that is nothing but a number, as JSON writes it but for leading zeros and a `+`, which CSV files
    /// have too.
    pub fn of_text(text: &'a [u8]) -> Option<Self> {
        let unsigned = text
            .strip_prefix(b"+")
            .filter(|rest| !rest.starts_with(b"-"))
            .unwrap_or(text);
        let negative = unsigned.starts_with(b"-");
        let digits = unsigned.strip_prefix(b"-").unwrap_or(unsigned);
        let zeros = digits.iter().take_while(|&&byte| byte == b'0').count();
        let has_more = digits.get(zeros).is_some_and(u8::is_ascii_digit);
        let mut scanner = Scanner::new(
            &digits[if has_more {
                zeros
            } else {
                zeros.saturating_sub(1)
            }..],
        );
        if scanner.peek() == Some(b'-') {
            return None;
        }
        let number = Self::read(&mut scanner).ok()?;
        scanner
            .peek()
            .is_none()
            .then_some(Self { negative, ..number })
    }

    /// Whether it is written without point and exponent.
    pub fn is_integer_text(&self) -> bool {
        self.fraction_digits == 0
            && self
                .text
                .iter()
                .all(|byte| byte.is_ascii_digit() || *byte == b'-')
    }

    /// Its value as a 64-bit integer. `1.0` and `1e3` are integers; `1.5` is not.
    #[inline]
    pub fn int64(&self) -> Result<i64, Inexact> {
        if self.long || self.fraction_digits != 0 || self.exponent != 0 {
            return i64::try_from(self.scaled(0, 38)?).map_err(|_| Inexact::TooLarge);
        }
        if self.negative {
            0_i64
                .checked_sub_unsigned(self.mantissa)
                .ok_or(Inexact::TooLarge)
        } else {
            i64::try_from(self.mantissa).map_err(|_| Inexact::TooLarge)
        }
    }

    /// The nearest float, ties to even; none where it is beyond the largest.
    ///
    /// Short numbers take Clinger's fast path (1990): both parts are exact as floats, so one division or
    /// multiplication rounds once. All others take the standard library's parser, which is exact too.
    #[inline]
    pub fn float64(&self) -> Option<f64> {
        let power = self.exponent - self.fraction_digits;
        if !self.long && self.mantissa <= 1 << 53 && (-22..=22).contains(&power) {
            let mantissa = self.mantissa as f64;
            let scale = POWERS[power.unsigned_abs() as usize];
            let value = if power < 0 {
                mantissa / scale
            } else {
                mantissa * scale
            };
            return Some(if self.negative { -value } else { value });
        }
        let text = std::str::from_utf8(self.text).ok()?;
        let value: f64 = text.parse().ok()?;
        let value = if self.negative { -value.abs() } else { value };
        value.is_finite().then_some(value)
    }

    /// Its value times ten to the `scale`, where that is an integer of at most `precision` digits.
    pub fn scaled(&self, scale: i8, precision: u8) -> Result<i128, Inexact> {
        let significant = Significant::of(self.text);
        if significant.digits == 0 {
            return Ok(0);
        }
        let power =
            self.exponent - self.fraction_digits + significant.zeros_behind + i64::from(scale);
        if power < 0 {
            return Err(Inexact::Fraction);
        }
        let digits = i64::from(significant.digits).saturating_add(power);
        if digits > i64::from(precision) {
            return Err(Inexact::TooLarge);
        }
        // At most 38 digits in all, so neither the value nor its power of ten overflows 127 bits.
        let power = u32::try_from(power).map_err(|_| Inexact::TooLarge)?;
        let value = significant
            .value
            .checked_mul(10_i128.pow(power))
            .ok_or(Inexact::TooLarge)?;
        Ok(if self.negative { -value } else { value })
    }
}

/// A number's digits from the first that is not zero to the last that is not.
struct Significant {
    /// Them as a number; meaningless where there are more than 38.
    value: i128,
    /// How many there are.
    digits: u32,
    /// How many zeros follow them in the text.
    zeros_behind: i64,
}

impl Significant {
    fn of(text: &[u8]) -> Self {
        let (mut value, mut digits, mut zeros) = (0_i128, 0_u32, 0_i64);
        for digit in text
            .iter()
            .take_while(|byte| !matches!(byte, b'e' | b'E'))
            .filter(|byte| byte.is_ascii_digit())
        {
            if *digit == b'0' {
                zeros += i64::from(digits > 0);
                continue;
            }
            let step = u32::try_from(zeros + 1).unwrap_or(u32::MAX);
            digits = digits.saturating_add(step);
            if digits <= 38 {
                value = value * 10_i128.pow(step) + i128::from(digit - b'0');
            }
            zeros = 0;
        }
        Self {
            value,
            digits,
            zeros_behind: zeros,
        }
    }
}

#[inline]
fn take_digits(scanner: &mut Scanner<'_>, mantissa: &mut u64) -> i64 {
    let mut digits = 0;
    for &byte in scanner.rest() {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        *mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
        digits += 1;
    }
    scanner.go(scanner.at() + digits);
    i64::try_from(digits).unwrap_or(i64::MAX)
}

#[cold]
fn take_exponent(scanner: &mut Scanner<'_>) -> Result<i64, Flaw> {
    scanner.go(scanner.at() + 1);
    let negative = scanner.peek() == Some(b'-');
    if let Some(b'+' | b'-') = scanner.peek() {
        scanner.go(scanner.at() + 1);
    }
    let (mut value, mut digits) = (0_i64, 0_usize);
    while let Some(digit @ b'0'..=b'9') = scanner.peek() {
        value = (value * 10 + i64::from(digit - b'0')).min(EXPONENT_MAX);
        digits += 1;
        scanner.go(scanner.at() + 1);
    }
    if digits == 0 {
        return Err(scanner.expected("a digit in the exponent"));
    }
    Ok(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(text: &str) -> Number<'_> {
        let mut scanner = Scanner::new(text.as_bytes());
        let number = Number::read(&mut scanner).expect("a number");
        assert_eq!(scanner.at(), text.len(), "{text}");
        number
    }

    #[test]
    fn integers_are_exact() {
        for (text, value) in [
            ("0", Ok(0)),
            ("-0", Ok(0)),
            ("9223372036854775807", Ok(i64::MAX)),
            ("-9223372036854775808", Ok(i64::MIN)),
            ("9223372036854775808", Err(Inexact::TooLarge)),
            ("-9223372036854775809", Err(Inexact::TooLarge)),
            (
                "99999999999999999999999999999999999999999",
                Err(Inexact::TooLarge),
            ),
            ("1.0", Ok(1)),
            ("1e3", Ok(1_000)),
            ("1200e-2", Ok(12)),
            ("1.5", Err(Inexact::Fraction)),
            ("1e-400", Err(Inexact::Fraction)),
            ("1e400", Err(Inexact::TooLarge)),
            ("0e99999999999999999999", Ok(0)),
            ("1e99999999999999999999", Err(Inexact::TooLarge)),
            ("1e-99999999999999999999", Err(Inexact::Fraction)),
            ("9223372036854775807.0", Ok(i64::MAX)),
        ] {
            assert_eq!(number(text).int64(), value, "{text}");
        }
    }

    #[test]
    fn decimals_are_exact() {
        for (text, scale, precision, value) in [
            ("1", 2, 5, Ok(100)),
            ("-1.25", 2, 5, Ok(-125)),
            ("1.250", 2, 5, Ok(125)),
            ("1.255", 2, 5, Err(Inexact::Fraction)),
            ("999.99", 2, 5, Ok(99_999)),
            ("1000", 2, 5, Err(Inexact::TooLarge)),
            ("1e2", 0, 3, Ok(100)),
            ("0.1e1", 0, 1, Ok(1)),
            ("1200", 0, 4, Ok(1_200)),
            ("0.000", 0, 1, Ok(0)),
            ("10203", 0, 5, Ok(10_203)),
            (
                "99999999999999999999999999999999999999",
                0,
                38,
                Ok(10_i128.pow(38) - 1),
            ),
            (
                "100000000000000000000000000000000000000",
                0,
                38,
                Err(Inexact::TooLarge),
            ),
            ("0.00000000000000000000000000000000000001", 38, 38, Ok(1)),
        ] {
            assert_eq!(number(text).scaled(scale, precision), value, "{text}");
        }
    }

    #[test]
    fn csv_numbers_may_have_leading_zeros_and_a_plus() {
        for (text, value) in [
            ("007", Some(Ok(7))),
            ("+7", Some(Ok(7))),
            ("-007", Some(Ok(-7))),
            ("0", Some(Ok(0))),
            ("00", Some(Ok(0))),
            ("-0", Some(Ok(0))),
            ("+-7", None),
            ("--7", None),
            ("", None),
            ("-", None),
            ("7 ", None),
            ("0x7", None),
            ("inf", None),
            ("nan", None),
        ] {
            assert_eq!(
                Number::of_text(text.as_bytes()).map(|number| number.int64()),
                value,
                "{text}"
            );
        }
        assert_eq!(
            Number::of_text(b"-00.5").and_then(|number| number.float64()),
            Some(-0.5)
        );
        assert_eq!(
            Number::of_text(b"-12345678901234567890e1").and_then(|n| n.float64()),
            Some(-123_456_789_012_345_678_900.0)
        );
    }

    proptest! {
        #[test]
        fn floats_are_rounded_as_the_standard_library_does(text in "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,24})?([eE][+-]?[0-9]{1,3})?") {
            let expected: f64 = text.parse().expect("a float");
            let ours = number(&text).float64();
            prop_assert_eq!(ours.map(f64::to_bits), expected.is_finite().then(|| expected.to_bits()));
        }

        #[test]
        fn every_float_comes_back(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            let text = serde_json::to_string(&value).expect("json");
            prop_assert_eq!(number(&text).float64().map(f64::to_bits), Some(bits));
        }

        #[test]
        fn every_integer_comes_back(value in any::<i64>()) {
            prop_assert_eq!(number(&value.to_string()).int64(), Ok(value));
        }

        #[test]
        fn every_decimal_comes_back(value in -(10_i128.pow(38) - 1)..10_i128.pow(38), scale in 0_i8..=38) {
            let digits = format!("{:039}", value.unsigned_abs());
            let (whole, fraction) = digits.split_at(39 - scale.unsigned_abs() as usize);
            let sign = if value < 0 { "-" } else { "" };
            let point = if scale == 0 { "" } else { "." };
            let text = format!("{sign}{}{point}{fraction}", whole.trim_start_matches('0'));
            let text = text.replacen("-.", "-0.", 1);
            let text = if text.starts_with('.') { format!("0{text}") } else { text };
            prop_assume!(!text.is_empty() && text != "-");
            prop_assert_eq!(number(&text).scaled(scale, 38), Ok(value));
        }
    }
}
