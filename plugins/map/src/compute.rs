//! Arithmetic on two columns, or a column and a number. Integers stay integers but for division; a float makes all
//! float; decimals are exact. A row whose result cannot be said is refused, and the others go on.

mod decimals;
mod floats;
mod integers;

use crate::config::{self, Operator};
use crate::frame::{Frame, Operation};
use crate::plan::Planner;
use decimals::Decimals;
use floats::Floats;
use integers::Integers;
use sluice_sdk::{Column, Fault, FieldType, Mask};

/// One side: a slot or a number.
#[derive(Debug, Clone, Copy)]
enum Operand {
    Column {
        slot: usize,
        kind: FieldType,
        nullable: bool,
    },
    Integer(i64),
    Float(f64),
}

/// Digits behind the point that rounding a float may ask for: more than a float holds make no sense.
const ROUND_MAX: u8 = 15;

/// Finds the kernel for the types of the two sides.
pub(crate) fn plan(
    compute: &config::Compute,
    planner: &mut Planner,
) -> Result<Box<dyn Operation>, Fault> {
    let left = Operand::plan(&compute.left, planner)?;
    let right = Operand::plan(&compute.right, planner)?;
    let (op, round) = (compute.op, compute.round);
    let nullable = left.nullable() || right.nullable();
    if left.is_float()
        || right.is_float()
        || (op == Operator::Divide && !left.is_decimal() && !right.is_decimal())
    {
        let round = round.map_or(Ok(None), |digits| {
            if digits > ROUND_MAX {
                Err(too_fine())
            } else {
                Ok(Some(digits))
            }
        })?;
        let into = planner.write(&compute.into, FieldType::Float64, nullable)?;
        return Ok(Box::new(Floats::new(op, left, right, round, into)));
    }
    if left.is_decimal() || right.is_decimal() {
        let scale = decimals::scale(op, left.scale(), right.scale(), round)?;
        let into = planner.write(
            &compute.into,
            FieldType::decimal(sluice_sdk::decimal::DIGITS_MAX, scale),
            nullable,
        )?;
        return Ok(Box::new(Decimals::new(op, left, right, scale, into)));
    }
    if round.is_some() {
        return Err(Fault::misconfigured(
            "`round` has no meaning here: the result is int64",
        ));
    }
    let into = planner.write(&compute.into, FieldType::Int64, nullable)?;
    Ok(Box::new(Integers::new(op, left, right, into)))
}

fn too_fine() -> Fault {
    Fault::misconfigured(format!(
        "`round` is at most {ROUND_MAX} digits for a float64"
    ))
}

impl Operand {
    fn plan(written: &config::Operand, planner: &Planner) -> Result<Self, Fault> {
        match written {
            config::Operand::Integer(value) => Ok(Self::Integer(*value)),
            config::Operand::Float(value) => Ok(Self::Float(*value)),
            config::Operand::Column(name) => {
                let slot = planner.find(name)?;
                let field = planner.field(slot);
                match field.kind {
                    kind @ (FieldType::Int64 | FieldType::Float64 | FieldType::Decimal(_)) => {
                        Ok(Self::Column {
                            slot,
                            kind,
                            nullable: field.nullable,
                        })
                    }
                    kind => Err(Fault::misconfigured(format!(
                        "column `{name}` is {kind}, not a number: cast it first"
                    ))),
                }
            }
        }
    }

    fn nullable(&self) -> bool {
        matches!(self, Self::Column { nullable: true, .. })
    }

    fn is_float(&self) -> bool {
        matches!(
            self,
            Self::Float(_)
                | Self::Column {
                    kind: FieldType::Float64,
                    ..
                }
        )
    }

    fn is_decimal(&self) -> bool {
        matches!(
            self,
            Self::Column {
                kind: FieldType::Decimal(_),
                ..
            }
        )
    }

    /// Digits behind the point; none but for a decimal.
    fn scale(&self) -> u8 {
        match self {
            Self::Column {
                kind: FieldType::Decimal(size),
                ..
            } => size.scale.unsigned_abs(),
            _ => 0,
        }
    }

    fn load(&self, frame: &mut Frame<'_>) -> Result<(), Fault> {
        if let Self::Column { slot, .. } = self {
            frame.load(*slot)
        } else {
            Ok(())
        }
    }

    /// The column of a side that is one; it was loaded.
    fn column<'a>(&self, frame: &'a Frame<'_>) -> Option<&'a Column> {
        if let Self::Column { slot, .. } = self {
            Some(frame.get(*slot))
        } else {
            None
        }
    }
}

/// Where both sides have a value; none where they always do.
fn validity(frame: &Frame<'_>, left: Operand, right: Operand) -> Option<Mask> {
    let of = |side: Operand| {
        side.column(frame)
            .and_then(|column| column.validity.clone())
    };
    match (of(left), of(right)) {
        (Some(mut both), Some(other)) => {
            both.and(&other);
            Some(both)
        }
        (one, other) => one.or(other),
    }
}

/// Why a row has no result.
#[derive(Debug, Clone, Copy)]
enum Failure {
    Overflow,
    DivisionByZero,
}

impl Failure {
    fn reject(self, frame: &mut Frame<'_>, row: usize) {
        match self {
            Self::Overflow => frame.reject(row, "overflow", "the result is too large"),
            Self::DivisionByZero => frame.reject(row, "division-by-zero", "the divisor is zero"),
        }
    }
}

/// Whether a row of the result has a value.
fn has_value(validity: Option<&Mask>, row: usize) -> bool {
    validity.is_none_or(|mask| mask.get(row))
}
