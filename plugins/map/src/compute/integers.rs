//! Arithmetic in int64, with every overflow seen.

use super::{Failure, Operand, has_value, validity};
use crate::config::Operator;
use crate::frame::{Frame, Operation};
use sluice_sdk::{Column, Fault, Values};

pub(super) struct Integers {
    op: Operator,
    left: Operand,
    right: Operand,
    into: usize,
}

impl Integers {
    /// `op` is not division, whose result is a float.
    pub(super) fn new(op: Operator, left: Operand, right: Operand, into: usize) -> Self {
        Self {
            op,
            left,
            right,
            into,
        }
    }
}

impl Operation for Integers {
    fn run(&self, frame: &mut Frame<'_>) -> Result<(), Fault> {
        self.left.load(frame)?;
        self.right.load(frame)?;
        let rows = frame.rows();
        let validity = validity(frame, self.left, self.right);
        let (left, right) = (
            owned(self.left, frame, rows),
            owned(self.right, frame, rows),
        );
        let apply = match self.op {
            Operator::Add => i64::overflowing_add,
            Operator::Subtract | Operator::Divide => i64::overflowing_sub,
            Operator::Multiply => i64::overflowing_mul,
        };
        let pairs = left.into_iter().zip(right).enumerate();
        let values = pairs.map(|(row, (left, right))| {
            let (value, overflowed) = apply(left, right);
            if overflowed && has_value(validity.as_ref(), row) {
                Failure::Overflow.reject(frame, row);
            }
            value
        });
        let values = values.collect();
        frame.put(self.into, Column::new(Values::Int64(values), validity));
        Ok(())
    }
}

fn owned(side: Operand, frame: &Frame<'_>, rows: usize) -> Vec<i64> {
    match (side, side.column(frame).map(|column| &column.values)) {
        (_, Some(Values::Int64(values))) => values.clone(),
        (Operand::Integer(value), _) => vec![value; rows],
        // The plan lets only integers come here.
        _ => vec![0; rows],
    }
}
