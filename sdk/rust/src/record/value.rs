//! The types a record's field may have.

use crate::bindings::source::sluice::plugin::records::DecimalSize;
use crate::{
    Batch, BinaryBuilder, BooleanBuilder, Column, DateBuilder, DecimalBuilder, Fault, Field,
    FieldType, Float64Builder, Int64Builder, JsonBuilder, NamedColumn, Rejection, TextBuilder,
    TimestampBuilder, Values,
};

/// Days since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(pub i32);

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

/// A decimal number, unscaled: `12.34` is `Decimal::<18, 2>(1234)`. `P` digits in all, `S` of them behind the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decimal<const P: u8, const S: u8>(pub i128);

/// One JSON text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Json(pub String);

/// A type that a record's field may have.
pub trait Value: Sized {
    /// Whether a record may be without it.
    #[doc(hidden)]
    const NULLABLE: bool = false;

    /// The column type.
    fn kind() -> FieldType;

    /// A column of these values.
    #[doc(hidden)]
    fn into_column(values: impl ExactSizeIterator<Item = Option<Self>>) -> Column;
}

/// A [`Value`] that can be read from a row.
pub trait FromValue: Value {
    /// The value of one row; none where there is none, or where the column is of another type.
    #[doc(hidden)]
    fn get(column: &Column, row: usize) -> Option<Self>;
}

macro_rules! copied {
    ($type:ty, $builder:ident, $kind:ident, |$value:ident| $raw:expr, |$wire:ident| $typed:expr) => {
        impl Value for $type {
            fn kind() -> FieldType {
                FieldType::$kind
            }

            fn into_column(values: impl ExactSizeIterator<Item = Option<Self>>) -> Column {
                let mut builder = $builder::with_capacity(values.len());
                values.for_each(|value| builder.push(value.map(|$value| $raw)));
                builder.finish()
            }
        }

        impl FromValue for $type {
            #[inline]
            fn get(column: &Column, row: usize) -> Option<Self> {
                match &column.values {
                    Values::$kind(values) if !column.is_null(row) => {
                        values.get(row).map(|$wire| $typed)
                    }
                    _ => None,
                }
            }
        }
    };
}

copied!(i64, Int64Builder, Int64, |value| value, |wire| *wire);
copied!(f64, Float64Builder, Float64, |value| value, |wire| *wire);
copied!(Date, DateBuilder, Date, |value| value.0, |wire| Date(*wire));
copied!(
    Timestamp,
    TimestampBuilder,
    Timestamp,
    |value| value.0,
    |wire| Timestamp(*wire)
);

macro_rules! packed {
    ($type:ty, $builder:ident, $kind:ident, |$value:ident| $raw:expr, |$bytes:ident| $typed:expr) => {
        impl Value for $type {
            fn kind() -> FieldType {
                FieldType::$kind
            }

            fn into_column(values: impl ExactSizeIterator<Item = Option<Self>>) -> Column {
                let mut builder = $builder::with_capacity(values.len(), 0);
                values.for_each(|value| match value {
                    Some($value) => builder.push($raw),
                    None => builder.push(None),
                });
                builder.finish()
            }
        }

        impl FromValue for $type {
            #[inline]
            fn get(column: &Column, row: usize) -> Option<Self> {
                match &column.values {
                    Values::$kind(packed) if !column.is_null(row) => {
                        let $bytes = packed.row(row);
                        $typed
                    }
                    _ => None,
                }
            }
        }
    };
}

fn text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

packed!(String, TextBuilder, Text, |value| value.as_str(), |bytes| {
    text(bytes)
});
packed!(Json, JsonBuilder, Json, |value| value.0.as_str(), |bytes| {
    text(bytes).map(Json)
});
packed!(
    Vec<u8>,
    BinaryBuilder,
    Binary,
    |value| value.as_slice(),
    |bytes| Some(bytes.to_vec())
);

/// To write only.
impl Value for &str {
    fn kind() -> FieldType {
        FieldType::Text
    }

    fn into_column(values: impl ExactSizeIterator<Item = Option<Self>>) -> Column {
        let mut builder = TextBuilder::with_capacity(values.len(), 0);
        values.for_each(|value| builder.push(value));
        builder.finish()
    }
}

impl Value for bool {
    fn kind() -> FieldType {
        FieldType::Boolean
    }

    fn into_column(values: impl ExactSizeIterator<Item = Option<Self>>) -> Column {
        let mut builder = BooleanBuilder::default();
        values.for_each(|value| builder.push(value));
        builder.finish()
    }
}

impl FromValue for bool {
    fn get(column: &Column, row: usize) -> Option<Self> {
        column.boolean().ok().and_then(|view| view.get(row))
    }
}

impl<const P: u8, const S: u8> Value for Decimal<P, S> {
    fn kind() -> FieldType {
        FieldType::decimal(P, S)
    }

    fn into_column(values: impl ExactSizeIterator<Item = Option<Self>>) -> Column {
        let mut builder = DecimalBuilder::with_capacity(values.len());
        values.for_each(|value| builder.push(value.map(|decimal| decimal.0)));
        builder.finish()
    }
}

impl<const P: u8, const S: u8> FromValue for Decimal<P, S> {
    fn get(column: &Column, row: usize) -> Option<Self> {
        column
            .decimal()
            .ok()
            .and_then(|view| view.get(row))
            .map(Decimal)
    }
}

impl<T: Value> Value for Option<T> {
    const NULLABLE: bool = true;

    fn kind() -> FieldType {
        T::kind()
    }

    fn into_column(values: impl ExactSizeIterator<Item = Option<Self>>) -> Column {
        T::into_column(values.map(Option::flatten))
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn get(column: &Column, row: usize) -> Option<Self> {
        Some(T::get(column, row))
    }
}

/// The field of a struct's field.
#[doc(hidden)]
pub fn field<T: Value>(name: &str) -> Field {
    Field {
        name: name.to_owned(),
        kind: T::kind(),
        nullable: T::NULLABLE,
    }
}

/// The column of a struct's field.
#[doc(hidden)]
pub fn column<T: Value>(name: &str, values: impl ExactSizeIterator<Item = T>) -> NamedColumn {
    NamedColumn::new(field::<T>(name), T::into_column(values.map(Some)))
}

/// Reads the column of a struct's field, which must be of its type.
#[doc(hidden)]
pub fn bind<T: FromValue>(
    batch: &Batch,
    schema: &crate::Schema,
    name: &str,
) -> Result<Column, Fault> {
    let field = schema.expect(name)?;
    let (is, wanted) = (field.kind, T::kind());
    let fits = match (is, wanted) {
        // A narrower decimal fits a wider one of the same scale.
        (FieldType::Decimal(is), FieldType::Decimal(DecimalSize { precision, scale })) => {
            is.scale == scale && is.precision <= precision
        }
        _ => is == wanted,
    };
    if !fits {
        return Err(Fault::misconfigured(format!(
            "column `{name}` is {is}, and this plugin reads it as {wanted}"
        )));
    }
    batch.column(name)
}

/// One row of a struct's field.
#[doc(hidden)]
pub fn get<T: FromValue>(column: &Column, row: usize, name: &str) -> Result<T, Rejection> {
    T::get(column, row)
        .ok_or_else(|| Rejection::new(row, "missing-value", format!("`{name}` has no value")))
}
