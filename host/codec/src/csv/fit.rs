//! Fits one CSV field, a text, into the column of its field.
//!
//! - `boolean`: `true` or `false` in any case. `int64`, `float64`, `decimal`: a number as JSON writes it, or with
//!   leading zeros or a `+`. `timestamp`: RFC 3339, or without an offset and then UTC.
//! - `json`: a JSON text. All others as in JSON.

use super::records::Value;
use crate::columns::{Column, Values};
use crate::json::number::Number;
use crate::json::scan::Scanner;
use crate::json::value::{FIELD_DEPTH, decimal_misfit, misfit, push_base64};
use crate::moment::{self, Offset};
use crate::problem::Problem;
use sluice_model::schema::Field;

/// Appends the value to `column`; none where the file has no such column. On a problem the column may hold a part of
/// the value.
pub fn read(
    value: Option<Value<'_>>,
    field: &Field,
    column: &mut Column,
) -> Result<(), Box<Problem>> {
    let is_text = matches!(column.values, Values::Text(_) | Values::Binary(_));
    let Some(value) = value.filter(|value| !value.bytes.is_empty() || (value.quoted && is_text))
    else {
        if !field.nullable {
            return Err(Problem::missing(field, "found nothing"));
        }
        column.push_null();
        return Ok(());
    };
    push(value.bytes, field, &mut column.values)?;
    column.count_row();
    Ok(())
}

fn push(text: &[u8], field: &Field, values: &mut Values) -> Result<(), Box<Problem>> {
    let number = || {
        Number::of_text(text).ok_or_else(|| Problem::wrong_type(field, "text that is no number"))
    };
    match values {
        Values::Text(packed) => packed.push(text),
        Values::Int64(values) => values.push(
            number()?
                .int64()
                .map_err(|inexact| misfit(field, inexact))?,
        ),
        Values::Float64(values) => {
            let value = number()?.float64();
            values.push(
                value.ok_or_else(|| Problem::out_of_range(field, "a number beyond its range"))?,
            );
        }
        Values::Decimal {
            values,
            precision,
            scale,
        } => {
            values.push(
                number()?
                    .scaled(*scale, *precision)
                    .map_err(|inexact| decimal_misfit(field, inexact))?,
            );
        }
        Values::Boolean(values) if text.eq_ignore_ascii_case(b"true") => values.push(true),
        Values::Boolean(values) if text.eq_ignore_ascii_case(b"false") => values.push(false),
        Values::Boolean(_) => {
            return Err(Problem::wrong_type(
                field,
                "text that is neither `true` nor `false`",
            ));
        }
        Values::Date(values) => {
            let date = moment::parse_date(text);
            values.push(
                date.ok_or_else(|| {
                    Problem::wrong_type(field, "text that is no `YYYY-MM-DD` date")
                })?,
            );
        }
        Values::Timestamp(values) => {
            let moment = moment::parse_timestamp(text, Offset::Optional);
            values.push(
                moment.ok_or_else(|| Problem::wrong_type(field, "text that is no timestamp"))?,
            );
        }
        Values::Binary(packed) => push_base64(text, field, packed)?,
        Values::Json(packed) => {
            let mut scanner = Scanner::new(text);
            scanner.skip_space();
            let kept = scanner.keep_value(FIELD_DEPTH, &mut packed.bytes);
            scanner.skip_space();
            if kept.is_err() || scanner.peek().is_some() {
                return Err(Problem::wrong_type(field, "text that is no JSON"));
            }
            packed.end();
        }
    }
    Ok(())
}
