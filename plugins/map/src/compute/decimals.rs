//! Exact arithmetic on decimals, and on decimals and integers.

use super::{Failure, Operand, has_value, validity};
use crate::config::Operator;
use crate::frame::{Frame, Operation};
use sluice_sdk::{DecimalBuilder, Fault, Values, decimal};

/// Digits behind the point of a quotient, where the sides have fewer and `round` does not say.
const QUOTIENT_SCALE: u8 = 6;

pub(super) struct Decimals {
    op: Operator,
    left: Operand,
    right: Operand,
    scale: u8,
    into: usize,
}

/// The scale of the result: what `round` says, else that of the finer side; of a product, both together.
pub(super) fn scale(op: Operator, left: u8, right: u8, round: Option<u8>) -> Result<u8, Fault> {
    let scale = round.unwrap_or(match op {
        Operator::Add | Operator::Subtract => left.max(right),
        Operator::Multiply => (left + right).min(decimal::DIGITS_MAX),
        Operator::Divide => left.max(right).max(QUOTIENT_SCALE),
    });
    if scale > decimal::DIGITS_MAX {
        return Err(Fault::misconfigured(format!(
            "`round` is at most {} digits",
            decimal::DIGITS_MAX
        )));
    }
    Ok(scale)
}

impl Decimals {
    pub(super) fn new(op: Operator, left: Operand, right: Operand, scale: u8, into: usize) -> Self {
        Self {
            op,
            left,
            right,
            scale,
            into,
        }
    }

    fn value(&self, left: i128, right: i128) -> Result<i128, Failure> {
        let (from_left, from_right) = (self.left.scale(), self.right.scale());
        let value = match self.op {
            Operator::Add | Operator::Subtract => {
                let fine = from_left.max(from_right);
                let sides = (
                    decimal::rescale(left, from_left, fine),
                    decimal::rescale(right, from_right, fine),
                );
                let sum = |(left, right): (Option<i128>, Option<i128>)| match self.op {
                    Operator::Add => left?.checked_add(right?),
                    _ => left?.checked_sub(right?),
                };
                sum(sides).and_then(|value| decimal::rescale(value, fine, self.scale))
            }
            Operator::Multiply => left
                .checked_mul(right)
                .and_then(|value| decimal::rescale(value, from_left + from_right, self.scale)),
            Operator::Divide if right == 0 => return Err(Failure::DivisionByZero),
            Operator::Divide => quotient(
                left,
                right,
                i16::from(self.scale) + i16::from(from_right) - i16::from(from_left),
            ),
        };
        value
            .filter(|value| decimal::fits(*value, decimal::DIGITS_MAX))
            .ok_or(Failure::Overflow)
    }
}

/// `left × 10^shift / right`.
fn quotient(left: i128, right: i128, shift: i16) -> Option<i128> {
    let power = decimal::power(u8::try_from(shift.unsigned_abs()).ok()?);
    if shift >= 0 {
        return decimal::divide(left.checked_mul(power?)?, right);
    }
    // A divisor beyond all numbers leaves nothing.
    power
        .and_then(|power| right.checked_mul(power))
        .map_or(Some(0), |right| decimal::divide(left, right))
}

impl Operation for Decimals {
    fn run(&self, frame: &mut Frame<'_>) -> Result<(), Fault> {
        self.left.load(frame)?;
        self.right.load(frame)?;
        let rows = frame.rows();
        let validity = validity(frame, self.left, self.right);
        let mut result = DecimalBuilder::with_capacity(rows);
        for row in 0..rows {
            let value = self.value(
                unscaled(self.left, frame, row),
                unscaled(self.right, frame, row),
            );
            match value {
                _ if !has_value(validity.as_ref(), row) => result.push(None),
                Ok(value) => result.push(value),
                Err(failure) => {
                    failure.reject(frame, row);
                    result.push(0);
                }
            }
        }
        frame.put(self.into, result.finish());
        Ok(())
    }
}

fn unscaled(side: Operand, frame: &Frame<'_>, row: usize) -> i128 {
    match (side, side.column(frame).map(|column| &column.values)) {
        (_, Some(Values::Decimal(bytes))) => i128::from_le_bytes(
            bytes[row * 16..row * 16 + 16]
                .try_into()
                .expect("the slice is 16 bytes long"),
        ),
        (_, Some(Values::Int64(values))) => i128::from(values[row]),
        (Operand::Integer(value), _) => i128::from(value),
        // The plan lets only decimals and integers come here.
        _ => 0,
    }
}
