//! What the records of a stream look like: the contract's `schema`, and its Arrow form.
//!
//! A `json` field is an Arrow string field marked with the metadata key [`KIND`].

use crate::guards::Guard;
use arrow_schema::{DataType, Field as ArrowField, Schema as ArrowSchema, SchemaRef, TimeUnit};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The metadata key of an Arrow field that says what its bytes mean where Arrow's type does not.
pub const KIND: &str = "sluice.kind";

/// A field's type, as the contract has them. Written `boolean`, `int64`, `float64`, `decimal(P,S)`, `text`,
/// `binary`, `date`, `timestamp`, `json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum FieldType {
    /// True or false.
    Boolean,
    /// 64-bit signed.
    Int64,
    /// 64-bit IEEE 754.
    Float64,
    /// 128-bit, `precision` digits (1–38), `scale` of them behind the point (0–`precision`).
    Decimal {
        /// Digits in all.
        precision: u8,
        /// Digits behind the point.
        scale: i8,
    },
    /// UTF-8.
    Text,
    /// Bytes.
    Binary,
    /// Days since 1970-01-01.
    Date,
    /// Microseconds since 1970-01-01T00:00:00Z.
    Timestamp,
    /// One JSON text.
    Json,
}

impl FieldType {
    /// The Arrow type that holds it.
    pub fn arrow(self) -> DataType {
        match self {
            FieldType::Boolean => DataType::Boolean,
            FieldType::Int64 => DataType::Int64,
            FieldType::Float64 => DataType::Float64,
            FieldType::Decimal { precision, scale } => DataType::Decimal128(precision, scale),
            FieldType::Text | FieldType::Json => DataType::Utf8,
            FieldType::Binary => DataType::Binary,
            FieldType::Date => DataType::Date32,
            FieldType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }
}

impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FieldType::Boolean => f.write_str("boolean"),
            FieldType::Int64 => f.write_str("int64"),
            FieldType::Float64 => f.write_str("float64"),
            FieldType::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            FieldType::Text => f.write_str("text"),
            FieldType::Binary => f.write_str("binary"),
            FieldType::Date => f.write_str("date"),
            FieldType::Timestamp => f.write_str("timestamp"),
            FieldType::Json => f.write_str("json"),
        }
    }
}

/// Not a field type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a field type: boolean, int64, float64, decimal(PRECISION,SCALE), text, binary, date, timestamp or json"
)]
pub struct FieldTypeError(String);

impl FromStr for FieldType {
    type Err = FieldTypeError;
    fn from_str(text: &str) -> Result<Self, FieldTypeError> {
        Ok(match text {
            "boolean" => FieldType::Boolean,
            "int64" => FieldType::Int64,
            "float64" => FieldType::Float64,
            "text" => FieldType::Text,
            "binary" => FieldType::Binary,
            "date" => FieldType::Date,
            "timestamp" => FieldType::Timestamp,
            "json" => FieldType::Json,
            other => return decimal(other).ok_or_else(|| FieldTypeError(other.to_owned())),
        })
    }
}

fn decimal(text: &str) -> Option<FieldType> {
    let (precision, scale) = text
        .strip_prefix("decimal(")?
        .strip_suffix(')')?
        .split_once(',')?;
    let (precision, scale): (u8, i8) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
    let fits = (1..=38).contains(&precision) && scale >= 0 && scale.unsigned_abs() <= precision;
    fits.then_some(FieldType::Decimal { precision, scale })
}

impl TryFrom<String> for FieldType {
    type Error = FieldTypeError;
    fn try_from(text: String) -> Result<Self, FieldTypeError> {
        text.parse()
    }
}

impl From<FieldType> for String {
    fn from(kind: FieldType) -> String {
        kind.to_string()
    }
}

/// One field.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Unique in its schema.
    pub name: String,
    /// What it holds.
    #[serde(rename = "type")]
    pub kind: FieldType,
    /// Whether a record may be without it.
    #[serde(default = "yes")]
    pub nullable: bool,
}

fn yes() -> bool {
    true
}

impl Field {
    /// A field of this name and type.
    pub fn new(name: impl Into<String>, kind: FieldType, nullable: bool) -> Self {
        Self {
            name: name.into(),
            kind,
            nullable,
        }
    }

    fn arrow(&self) -> ArrowField {
        let field = ArrowField::new(&self.name, self.kind.arrow(), self.nullable);
        match self.kind {
            FieldType::Json => {
                field.with_metadata(HashMap::from([(KIND.to_owned(), "json".to_owned())]))
            }
            _ => field,
        }
    }
}

/// Why fields make no schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// Two fields of one name.
    #[error("field `{0}` stands twice")]
    Twice(String),
    /// A key names what is not there.
    #[error("key `{0}` is not a field")]
    NoSuchKey(String),
    /// More fields than [`crate::limits::FIELDS_MAX`].
    #[error("{0} fields; at most {max} are allowed", max = crate::limits::FIELDS_MAX)]
    TooMany(usize),
    /// Names longer together than [`crate::limits::SCHEMA_NAME_BYTES_MAX`].
    #[error("names of {0} bytes together; at most {max} are allowed", max = crate::limits::SCHEMA_NAME_BYTES_MAX)]
    LongNames(usize),
}

/// The fields of a stream's records, in order, and those that identify a record.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Plain", into = "Plain")]
pub struct Schema {
    fields: Vec<Field>,
    key: Vec<String>,
    arrow: SchemaRef,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plain {
    fields: Vec<Field>,
    #[serde(default)]
    key: Vec<String>,
}

impl Schema {
    /// Checks that names are unique and that `key` names fields.
    pub fn new(fields: Vec<Field>, key: Vec<String>) -> Result<Self, SchemaError> {
        if fields.len() > Guard::SchemaFields.limit(crate::limits::FIELDS_MAX) {
            return Err(SchemaError::TooMany(fields.len()));
        }
        let names = fields.iter().map(|field| field.name.len()).sum();
        if names > Guard::SchemaNames.limit(crate::limits::SCHEMA_NAME_BYTES_MAX) {
            return Err(SchemaError::LongNames(names));
        }
        let mut seen = std::collections::HashSet::new();
        if let Some(twice) = fields
            .iter()
            .find(|field| Guard::FieldOnce.bars(!seen.insert(field.name.as_str())))
        {
            return Err(SchemaError::Twice(twice.name.clone()));
        }
        if let Some(missing) = key.iter().find(|name| !seen.contains(name.as_str())) {
            return Err(SchemaError::NoSuchKey(missing.clone()));
        }
        let arrow = Arc::new(ArrowSchema::new(
            fields.iter().map(Field::arrow).collect::<Vec<_>>(),
        ));
        Ok(Self { fields, key, arrow })
    }

    /// The fields, in order.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The names of the fields that identify a record; empty where none is known.
    pub fn key(&self) -> &[String] {
        &self.key
    }

    /// The Arrow schema of a record batch of these fields.
    pub fn arrow(&self) -> &SchemaRef {
        &self.arrow
    }

    /// Where a field of this name stands.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.name == name)
    }

    /// The field of this name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema")
            .field("fields", &self.fields)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl TryFrom<Plain> for Schema {
    type Error = SchemaError;
    fn try_from(plain: Plain) -> Result<Self, SchemaError> {
        Self::new(plain.fields, plain.key)
    }
}

impl From<Schema> for Plain {
    fn from(schema: Schema) -> Plain {
        Plain {
            fields: schema.fields,
            key: schema.key,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_a_length_together() {
        let fields = |names: usize, length: usize| {
            let name = |number| format!("{number:0>length$}");
            let field = |number| Field::new(name(number), FieldType::Boolean, true);
            Schema::new((0..names).map(field).collect(), Vec::new())
        };
        assert!(fields(128, 1_024).is_ok());
        let error = fields(129, 1_024).expect_err("too long together");
        assert_eq!(error, SchemaError::LongNames(129 * 1_024));
    }

    #[test]
    fn types_have_names() {
        for text in [
            "boolean",
            "int64",
            "float64",
            "decimal(38,9)",
            "text",
            "binary",
            "date",
            "timestamp",
            "json",
        ] {
            assert_eq!(
                text.parse::<FieldType>().map(|kind| kind.to_string()),
                Ok(text.to_owned())
            );
        }
        for text in [
            "",
            "string",
            "decimal(0,0)",
            "decimal(39,1)",
            "decimal(3,4)",
            "decimal(3,-1)",
            "decimal(3)",
        ] {
            assert!(text.parse::<FieldType>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_schema_is_checked() {
        let field = |name: &str| Field::new(name, FieldType::Text, true);
        assert_eq!(
            Schema::new(vec![field("a"), field("a")], vec![]),
            Err(SchemaError::Twice("a".into()))
        );
        assert_eq!(
            Schema::new(vec![field("a")], vec!["b".into()]),
            Err(SchemaError::NoSuchKey("b".into()))
        );
        let schema =
            Schema::new(vec![Field::new("j", FieldType::Json, true)], vec![]).expect("a schema");
        assert_eq!(schema.arrow().field(0).metadata()[KIND], "json");
    }
}
