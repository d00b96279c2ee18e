//! Values written in the settings, read as the type of the column they stand beside.

use serde_json::Value;
use sluice_sdk::{Date, Fault, FieldType, Timestamp, decimal};

/// A value of one type.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Constant {
    Boolean(bool),
    Int64(i64),
    Float64(f64),
    /// Unscaled, at the scale of the column.
    Decimal(i128),
    Text(String),
    /// Days.
    Date(i32),
    /// Microseconds.
    Timestamp(i64),
}

impl Constant {
    /// Reads a value as this type, exactly: `1.5` is no int64, and no decimal without a scale.
    pub(crate) fn new(value: &Value, kind: FieldType) -> Result<Self, Fault> {
        Self::read(value, kind).ok_or_else(|| {
            let hint = match kind {
                FieldType::Date => " such as `\"2026-01-31\"`",
                FieldType::Timestamp => " such as `\"2026-01-31T08:30:00Z\"`",
                _ => "",
            };
            Fault::misconfigured(format!("`{value}` is not a value of type {kind}{hint}"))
        })
    }

    fn read(value: &Value, kind: FieldType) -> Option<Self> {
        Some(match (kind, value) {
            (FieldType::Boolean, Value::Bool(value)) => Self::Boolean(*value),
            (FieldType::Int64, Value::Number(number)) => Self::Int64(number.as_i64()?),
            (FieldType::Float64, Value::Number(number)) => Self::Float64(number.as_f64()?),
            (FieldType::Decimal(size), Value::Number(number)) => {
                Self::decimal(&number.to_string(), size.precision, size.scale)?
            }
            (FieldType::Decimal(size), Value::String(text)) => {
                Self::decimal(text, size.precision, size.scale)?
            }
            (FieldType::Text, Value::String(text)) => Self::Text(text.clone()),
            (FieldType::Date, Value::String(text)) => Self::Date(text.parse::<Date>().ok()?.0),
            (FieldType::Timestamp, Value::String(text)) => {
                Self::Timestamp(text.parse::<Timestamp>().ok()?.0)
            }
            _ => return None,
        })
    }

    fn decimal(text: &str, precision: u8, scale: i8) -> Option<Self> {
        let value = decimal::parse(text, scale.unsigned_abs())?;
        decimal::fits(value, precision).then_some(Self::Decimal(value))
    }

    /// The type of a value where nothing else says it.
    pub(crate) fn kind_of(value: &Value) -> Option<FieldType> {
        match value {
            Value::Bool(_) => Some(FieldType::Boolean),
            Value::Number(number) if number.is_i64() => Some(FieldType::Int64),
            Value::Number(_) => Some(FieldType::Float64),
            Value::String(_) => Some(FieldType::Text),
            _ => None,
        }
    }
}
