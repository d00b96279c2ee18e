//! Arithmetic in float64: two passes over whole columns, with no branch a row. Only where the second has seen a result
//! that is no number are the rows looked at one by one.

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
        let mut result = combine(
            self.op,
            &side(self.left, frame, rows),
            &side(self.right, frame, rows),
        );
        if !finish(&mut result, self.unit) {
            let divisors =
                (self.op == Operator::Divide).then(|| side(self.right, frame, rows).into_floats());
            for (row, value) in result
                .iter_mut()
                .enumerate()
                .filter(|(_, value)| !value.is_finite())
            {
                // Only zero, among finite divisors, makes a quotient of finite numbers neither.
                let zero = divisors
                    .as_ref()
                    .is_some_and(|divisors| divisors[row] == 0.0);
                *value = 0.0;
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
        frame.put(self.into, Column::new(Values::Float64(result), validity));
        Ok(())
    }
}

/// One side's numbers, as they lie in the column where they can.
enum Side<'a> {
    Floats(&'a [f64]),
    Integers(&'a [i64]),
    Made(Vec<f64>),
}

impl Side<'_> {
    fn into_floats(self) -> Vec<f64> {
        match self {
            Self::Floats(values) => values.to_vec(),
            Self::Integers(values) => values.iter().map(|value| *value as f64).collect(),
            Self::Made(values) => values,
        }
    }
}

fn side<'a>(side: Operand, frame: &'a Frame<'_>, rows: usize) -> Side<'a> {
    match (side, side.column(frame).map(|column| &column.values)) {
        (_, Some(Values::Float64(values))) => Side::Floats(values),
        (_, Some(Values::Int64(values))) => Side::Integers(values),
        (_, Some(Values::Decimal(bytes))) => {
            let unit = decimal::power(side.scale()).unwrap_or(1) as f64;
            let value = |bytes: &[u8]| {
                i128::from_le_bytes(bytes.try_into().expect("chunks of 16 bytes")) as f64 / unit
            };
            Side::Made(bytes.chunks_exact(16).map(value).collect())
        }
        (Operand::Integer(value), _) => Side::Made(vec![value as f64; rows]),
        (Operand::Float(value), _) => Side::Made(vec![value; rows]),
        // The plan lets only numbers come here.
        _ => Side::Made(vec![0.0; rows]),
    }
}

/// One loop for each pair of types and each operator.
fn combine(op: Operator, left: &Side<'_>, right: &Side<'_>) -> Vec<f64> {
    match left {
        Side::Floats(left) => with_right(op, left.iter().copied(), right),
        Side::Made(left) => with_right(op, left.iter().copied(), right),
        Side::Integers(left) => with_right(op, left.iter().map(|value| *value as f64), right),
    }
}

fn with_right(
    op: Operator,
    left: impl ExactSizeIterator<Item = f64>,
    right: &Side<'_>,
) -> Vec<f64> {
    match right {
        Side::Floats(right) => each(op, left.zip(right.iter().copied())),
        Side::Made(right) => each(op, left.zip(right.iter().copied())),
        Side::Integers(right) => each(op, left.zip(right.iter().map(|value| *value as f64))),
    }
}

fn each(op: Operator, pairs: impl Iterator<Item = (f64, f64)>) -> Vec<f64> {
    match op {
        Operator::Add => pairs.map(|(left, right)| left + right).collect(),
        Operator::Subtract => pairs.map(|(left, right)| left - right).collect(),
        Operator::Multiply => pairs.map(|(left, right)| left * right).collect(),
        Operator::Divide => pairs.map(|(left, right)| left / right).collect(),
    }
}

/// Rounds, and says whether every value is a number.
fn finish(values: &mut [f64], unit: Option<f64>) -> bool {
    let mut finite = true;
    match unit {
        Some(unit) => values.iter_mut().for_each(|value| {
            *value = round(*value, unit);
            finite &= value.is_finite();
        }),
        None => values.iter().for_each(|value| finite &= value.is_finite()),
    }
    finite
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
