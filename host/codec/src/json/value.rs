//! Fits one JSON value into the column of its field.
//!
//! - `boolean`: `true`, `false`. `text`: a string; a number is not text.
//! - `int64`: a number without a fraction, however it is written (`1`, `1.0`, `1e3`). `float64`: any number.
//! - `decimal`: a number, or a string that is one, exactly within precision and scale; never by way of a float.
//! - `date`: `"YYYY-MM-DD"`. `timestamp`: an RFC 3339 string. `binary`: a base64 string (RFC 4648 §4, padded).
//! - `json`: any value, kept as it is written but for whitespace.
//! - `null` is no value, in every field.

use super::number::{Inexact, Number};
use super::scan::{Found, Scanner};
use crate::columns::{Column, Packed, Values};
use crate::moment::{self, Offset};
use crate::problem::Problem;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sluice_model::schema::Field;

type Fit = Result<(), Box<Problem>>;

/// How many arrays and objects are open around a field's value: the record itself.
pub const FIELD_DEPTH: usize = 1;

/// Reads the value that begins here into `column`. On a problem the column may hold a part of the value.
#[inline]
pub fn read(
    scanner: &mut Scanner<'_>,
    field: &Field,
    column: &mut Column,
    scratch: &mut Vec<u8>,
) -> Fit {
    match &mut column.values {
        Values::Text(packed) => {
            if scanner.peek() != Some(b'"') {
                return other(scanner, field, column);
            }
            if let Some(plain) = scanner.string(&mut packed.bytes)? {
                packed.bytes.extend_from_slice(plain);
            }
            packed.end();
        }
        Values::Int64(values) => {
            if !is_number(scanner) {
                return other(scanner, field, column);
            }
            values.push(
                Number::read(scanner)?
                    .int64()
                    .map_err(|inexact| misfit(field, inexact))?,
            );
        }
        Values::Float64(values) => {
            if !is_number(scanner) {
                return other(scanner, field, column);
            }
            let value = Number::read(scanner)?.float64();
            values.push(value.ok_or_else(|| misfit(field, Inexact::TooLarge))?);
        }
        Values::Boolean(values) => match scanner.peek() {
            Some(b't') => {
                scanner.word("true")?;
                values.push(true);
            }
            Some(b'f') => {
                scanner.word("false")?;
                values.push(false);
            }
            _ => return other(scanner, field, column),
        },
        Values::Timestamp(values) => {
            let Some(text) = short_text(scanner, scratch)? else {
                return other(scanner, field, column);
            };
            let moment = moment::parse_timestamp(text, Offset::Required);
            values.push(
                moment.ok_or_else(|| {
                    Problem::wrong_type(field, "text that is no RFC 3339 timestamp")
                })?,
            );
        }
        Values::Date(values) => {
            let Some(text) = short_text(scanner, scratch)? else {
                return other(scanner, field, column);
            };
            let date = moment::parse_date(text);
            values.push(
                date.ok_or_else(|| {
                    Problem::wrong_type(field, "text that is no `YYYY-MM-DD` date")
                })?,
            );
        }
        Values::Decimal {
            values,
            precision,
            scale,
        } => {
            let number = if is_number(scanner) {
                Number::read(scanner)?
            } else {
                let Some(text) = short_text(scanner, scratch)? else {
                    return other(scanner, field, column);
                };
                Number::of_text(text)
                    .ok_or_else(|| Problem::wrong_type(field, "text that is no number"))?
            };
            values.push(
                number
                    .scaled(*scale, *precision)
                    .map_err(|inexact| decimal_misfit(field, inexact))?,
            );
        }
        Values::Binary(packed) => {
            let Some(text) = short_text(scanner, scratch)? else {
                return other(scanner, field, column);
            };
            push_base64(text, field, packed)?;
        }
        Values::Json(packed) => {
            if scanner.peek() == Some(b'n') {
                return other(scanner, field, column);
            }
            scanner.keep_value(FIELD_DEPTH, &mut packed.bytes)?;
            packed.end();
        }
    }
    column.count_row();
    Ok(())
}

/// Appends what a base64 text means.
pub fn push_base64(text: &[u8], field: &Field, packed: &mut Packed) -> Fit {
    if STANDARD.decode_vec(text, &mut packed.bytes).is_err() {
        return Err(Problem::wrong_type(field, "text that is no padded base64"));
    }
    packed.end();
    Ok(())
}

/// A number that an integer or float field cannot hold.
pub fn misfit(field: &Field, inexact: Inexact) -> Box<Problem> {
    match inexact {
        Inexact::Fraction => Problem::wrong_type(field, "a number with a fraction"),
        Inexact::TooLarge => Problem::out_of_range(field, "a number beyond its range"),
    }
}

/// A number that a decimal field cannot hold.
pub fn decimal_misfit(field: &Field, inexact: Inexact) -> Box<Problem> {
    match inexact {
        Inexact::Fraction => {
            Problem::out_of_range(field, "a number with more digits behind the point")
        }
        Inexact::TooLarge => {
            Problem::out_of_range(field, "a number with more digits before the point")
        }
    }
}

#[inline]
fn is_number(scanner: &Scanner<'_>) -> bool {
    matches!(scanner.peek(), Some(b'-' | b'0'..=b'9'))
}

/// The text that begins here, if one does.
#[inline]
fn short_text<'a: 't, 't>(
    scanner: &mut Scanner<'a>,
    scratch: &'t mut Vec<u8>,
) -> Result<Option<&'t [u8]>, Box<Problem>> {
    if scanner.peek() != Some(b'"') {
        return Ok(None);
    }
    scratch.clear();
    match scanner.string(scratch)? {
        Some(plain) => Ok(Some(plain)),
        None => Ok(Some(scratch)),
    }
}

/// A value of another kind than its column: null, or a misfit.
#[cold]
fn other(scanner: &mut Scanner<'_>, field: &Field, column: &mut Column) -> Fit {
    match scanner.found() {
        Found::Nothing => Err(scanner.expected("a JSON value").into()),
        Found::Null => {
            scanner.word("null")?;
            if !field.nullable {
                return Err(Problem::missing(field, "found null"));
            }
            column.push_null();
            Ok(())
        }
        found => Err(Problem::wrong_type(field, found.word())),
    }
}
