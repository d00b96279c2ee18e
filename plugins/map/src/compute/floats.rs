//! Arithmetic in float64: a few passes over whole columns, each of which the compiler makes wide. Failures are looked
//! for once, and only then row by row.

use super::{Failure, Operand, has_value, validity};
use crate::config::Operator;
use crate::frame::{Frame, Operation};
use sluice_sdk::{Column, Fault, Values, decimal};

pub(super) struct Floats {
    op: Operator,
    left: Operand,
    right: Operand,
    /// Ten to the power of the digits that stay.
    unit: Option<f64>,
    into: usize,
}

impl Floats {
    pub(super) fn new(
        op: Operator,
        left: Operand,
        right: Operand,
        round: Option<u8>,
        into: usize,
    ) -> Self {
        Self {
            op,
            left,
            right,
            unit: round.map(|digits| 10_f64.powi(i32::from(digits))),
            into,
        }
    }
}

impl Operation for Floats {
    fn run(&self, frame: &mut Frame<'_>) -> Result<(), Fault> {
        self.left.load(frame)?;
        self.right.load(frame)?;
        let rows = frame.rows();
        let validity = validity(frame, self.left, self.right);
        let mut result = owned(self.left, frame, rows);
        let by_zero = combine(self.op, &mut result, self.right, frame);
        if let Some(unit) = self.unit {
            for value in &mut result {
                *value = round(*value, unit);
            }
        }
        if by_zero
            || !result
                .iter()
                .fold(true, |all, value| all & value.is_finite())
        {
            let divisors = (self.op == Operator::Divide).then(|| owned(self.right, frame, rows));
            for row in 0..rows {
                let zero = divisors
                    .as_ref()
                    .is_some_and(|divisors| divisors[row] == 0.0);
                if zero || !result[row].is_finite() {
                    result[row] = 0.0;
                    if has_value(validity.as_ref(), row) {
                        if zero {
                            Failure::DivisionByZero
                        } else {
                            Failure::Overflow
                        }
                        .reject(frame, row);
                    }
                }
            }
        }
        frame.put(self.into, Column::new(Values::Float64(result), validity));
        Ok(())
    }
}

/// One side as floats.
fn owned(side: Operand, frame: &Frame<'_>, rows: usize) -> Vec<f64> {
    match (side, side.column(frame).map(|column| &column.values)) {
        (_, Some(Values::Float64(values))) => values.clone(),
        (_, Some(Values::Int64(values))) => values.iter().map(|value| *value as f64).collect(),
        (_, Some(Values::Decimal(bytes))) => {
            let unit = decimal::power(side.scale()).unwrap_or(1) as f64;
            let value = |bytes: &[u8]| {
                i128::from_le_bytes(bytes.try_into().expect("chunks of 16 bytes")) as f64 / unit
            };
            bytes.chunks_exact(16).map(value).collect()
        }
        (Operand::Integer(value), _) => vec![value as f64; rows],
        (Operand::Float(value), _) => vec![value; rows],
        // The plan lets only numbers come here.
        _ => vec![0.0; rows],
    }
}

/// Puts the result in the place of the left side. True where a divisor may be zero.
fn combine(op: Operator, left: &mut [f64], right: Operand, frame: &Frame<'_>) -> bool {
    match (right, right.column(frame).map(|column| &column.values)) {
        (_, Some(Values::Float64(right))) => each(op, left, right.iter().copied()),
        (_, Some(Values::Int64(right))) => each(op, left, right.iter().map(|value| *value as f64)),
        _ => {
            let right = owned(right, frame, left.len());
            each(op, left, right.into_iter())
        }
    }
}

fn each(op: Operator, left: &mut [f64], right: impl Iterator<Item = f64>) -> bool {
    let pairs = left.iter_mut().zip(right);
    let mut zero = false;
    match op {
        Operator::Add => pairs.for_each(|(left, right)| *left += right),
        Operator::Subtract => pairs.for_each(|(left, right)| *left -= right),
        Operator::Multiply => pairs.for_each(|(left, right)| *left *= right),
        Operator::Divide => pairs.for_each(|(left, right)| {
            *left /= right;
            zero |= right == 0.0;
        }),
    }
    zero
}

/// Half away from zero, as `f64::round` does it, in operations that every target has in wide form. From 2^52 on a
/// scaled float has no digits left to round.
#[inline]
fn round(value: f64, unit: f64) -> f64 {
    const WHOLE: f64 = 4_503_599_627_370_496.0;
    /// The largest float below one half: one half itself would round 0.49999999999999994 up.
    const HALF: f64 = 0.499_999_999_999_999_94;
    let scaled = value * unit;
    let rounded = (scaled + HALF.copysign(scaled)).trunc() / unit;
    if scaled.abs() < WHOLE { rounded } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_half_away_from_zero() {
        for value in [
            0.0,
            -0.0,
            0.125,
            -0.125,
            2.675,
            1.005,
            -1.5,
            0.004_999_999_999_999_999,
            1e15,
            123_456.785,
            -0.005,
            1e300,
            f64::MAX,
            f64::MIN_POSITIVE,
        ] {
            let scaled: f64 = value * 100.0;
            let expected = if scaled.abs() < 4.5e15 {
                scaled.round() / 100.0
            } else {
                value
            };
            assert_eq!(round(value, 100.0).to_bits(), expected.to_bits(), "{value}");
        }
        assert_eq!(
            round(0.499_999_999_999_999_94, 1.0).to_bits(),
            0.0_f64.to_bits()
        );
        assert!(round(f64::NAN, 100.0).is_nan());
    }
}
