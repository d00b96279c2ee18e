//! What the host checks of every column that a plugin hands over. The words are the test's; the rules are the host's.

use super::Table;
use crate::{Column, FieldType, NamedColumn, Packed, Schema, Values};

/// Why a column is not what it says.
pub(super) fn check(named: &NamedColumn, rows: usize) -> Result<(), String> {
    let (name, column) = (&named.field.name, &named.column);
    let wrong = |what: String| Err(format!("column `{name}` {what}"));
    if let Some(problem) = values(column, named.field.kind, rows) {
        return wrong(problem);
    }
    match &column.validity {
        Some(mask) if mask.rows() != rows => {
            wrong(format!("has {} validity bits for {rows} rows", mask.rows()))
        }
        Some(mask) if !mask.is_all() && !named.field.nullable => {
            wrong("lacks values and is not nullable".to_owned())
        }
        _ => Ok(()),
    }
}

/// The columns in the order that was promised, or why they are not what was.
pub(super) fn ordered(mut table: Table, promised: &Schema) -> Result<Table, String> {
    let found = table
        .schema
        .fields
        .iter()
        .map(|field| promised.fields.iter().position(|other| other == field));
    let places: Option<Vec<usize>> = found.collect();
    let Some(places) = places.filter(|places| places.len() == promised.fields.len()) else {
        return Err(format!(
            "`apply` gave [{}], and `output` promised [{}]",
            words(&table.schema),
            words(promised)
        ));
    };
    let mut columns: Vec<(usize, Column)> = places.into_iter().zip(table.columns).collect();
    columns.sort_by_key(|(place, _)| *place);
    table.columns = columns.into_iter().map(|(_, column)| column).collect();
    table.schema = promised.clone();
    Ok(table)
}

fn words(schema: &Schema) -> String {
    let word = |field: &crate::Field| {
        format!(
            "{}: {}{}",
            field.name,
            field.kind,
            if field.nullable { "?" } else { "" }
        )
    };
    schema
        .fields
        .iter()
        .map(word)
        .collect::<Vec<_>>()
        .join(", ")
}

fn values(column: &Column, kind: FieldType, rows: usize) -> Option<String> {
    let count =
        |found: usize| (found != rows).then(|| format!("has {found} values for {rows} rows"));
    match (&column.values, kind) {
        (Values::Boolean(bits), FieldType::Boolean) => (bits.len() != rows.div_ceil(8))
            .then(|| format!("has {} bytes of bits for {rows} rows", bits.len())),
        (Values::Int64(values), FieldType::Int64)
        | (Values::Timestamp(values), FieldType::Timestamp) => count(values.len()),
        (Values::Float64(values), FieldType::Float64) => count(values.len()),
        (Values::Date(values), FieldType::Date) => count(values.len()),
        (Values::Decimal(bytes), FieldType::Decimal(size)) => {
            let most = 10_i128.pow(u32::from(size.precision.min(38)));
            let too_big = |row: &usize| {
                column
                    .decimal()
                    .ok()
                    .and_then(|view| view.get(*row))
                    .is_some_and(|value| value <= -most || value >= most)
            };
            (bytes.len() != rows * 16)
                .then(|| format!("has {} bytes of decimals for {rows} rows", bytes.len()))
                .or_else(|| {
                    (0..rows)
                        .find(too_big)
                        .map(|row| format!("row {row} does not fit {kind}"))
                })
        }
        (Values::Binary(packed), FieldType::Binary) => offsets(packed, rows),
        (Values::Text(packed), FieldType::Text) => offsets(packed, rows).or_else(|| utf8(packed)),
        (Values::Json(packed), FieldType::Json) => {
            offsets(packed, rows).or_else(|| utf8(packed)).or_else(|| {
                let bad = |row: &usize| {
                    !column.is_null(*row)
                        && serde_json::from_slice::<serde::de::IgnoredAny>(packed.row(*row))
                            .is_err()
                };
                (0..rows)
                    .find(bad)
                    .map(|row| format!("row {row} is not JSON"))
            })
        }
        (other, _) => Some(format!(
            "is said to be {kind} and holds {}",
            crate::column::type_word(other)
        )),
    }
}

fn offsets(packed: &Packed, rows: usize) -> Option<String> {
    let Packed { offsets, bytes } = packed;
    if offsets.len() != rows + 1 {
        return Some(format!("has {} offsets for {rows} rows", offsets.len()));
    }
    let sound = offsets[0] == 0
        && offsets.windows(2).all(|pair| pair[0] <= pair[1])
        && usize::try_from(offsets[rows]) == Ok(bytes.len());
    (!sound)
        .then(|| "has offsets that do not begin with 0, grow, and end with the bytes".to_owned())
}

fn utf8(packed: &Packed) -> Option<String> {
    packed
        .iter()
        .position(|bytes| std::str::from_utf8(bytes).is_err())
        .map(|row| format!("row {row} is not UTF-8"))
}
