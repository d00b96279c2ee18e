//! What records look like: the contract's own types, with the constructors and look-ups that an author wants.

use crate::Fault;
use crate::bindings::source::sluice::plugin::records;
use std::fmt;
use std::str::FromStr;

pub use records::{Change, CsvOutput, DecimalSize, Field, FieldType, Format, Schema};

impl FieldType {
    /// A decimal of `precision` digits in all (1 to 38), `scale` of them behind the point.
    pub fn decimal(precision: u8, scale: u8) -> Self {
        Self::Decimal(DecimalSize {
            precision,
            scale: i8::try_from(scale).unwrap_or(i8::MAX),
        })
    }
}

impl Eq for FieldType {}
impl Eq for DecimalSize {}

impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Boolean => "boolean",
            Self::Int64 => "int64",
            Self::Float64 => "float64",
            Self::Decimal(size) => return write!(f, "decimal({},{})", size.precision, size.scale),
            Self::Text => "text",
            Self::Binary => "binary",
            Self::Date => "date",
            Self::Timestamp => "timestamp",
            Self::Json => "json",
        })
    }
}

impl FromStr for FieldType {
    type Err = Fault;

    /// `boolean`, `int64`, `float64`, `decimal(P,S)`, `text`, `binary`, `date`, `timestamp` or `json`; anything else
    /// is [`Fault::Misconfigured`].
    fn from_str(text: &str) -> Result<Self, Fault> {
        Ok(match text {
            "boolean" => Self::Boolean,
            "int64" => Self::Int64,
            "float64" => Self::Float64,
            "text" => Self::Text,
            "binary" => Self::Binary,
            "date" => Self::Date,
            "timestamp" => Self::Timestamp,
            "json" => Self::Json,
            other => return decimal(other).ok_or_else(|| not_a_type(other)),
        })
    }
}

fn decimal(text: &str) -> Option<FieldType> {
    let (precision, scale) = text
        .strip_prefix("decimal(")?
        .strip_suffix(')')?
        .split_once(',')?;
    let (precision, scale): (u8, u8) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
    ((1..=38).contains(&precision) && scale <= precision)
        .then(|| FieldType::decimal(precision, scale))
}

fn not_a_type(text: &str) -> Fault {
    Fault::misconfigured(format!(
        "`{text}` is not a type: boolean, int64, float64, decimal(PRECISION,SCALE), text, binary, date, timestamp or json"
    ))
}

impl Field {
    /// A field that every record has a value for.
    pub fn new(name: impl Into<String>, kind: FieldType) -> Self {
        Self {
            name: name.into(),
            kind,
            nullable: false,
        }
    }

    /// The same field, and a record may be without it.
    #[must_use]
    pub fn nullable(mut self) -> Self {
        self.nullable = true;
        self
    }
}

impl Schema {
    /// These fields, and no key.
    pub fn new(fields: Vec<Field>) -> Self {
        Self {
            fields,
            key: Vec::new(),
        }
    }

    /// The same fields, with the names of those that identify a record.
    #[must_use]
    pub fn with_key<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.key = names.into_iter().map(Into::into).collect();
        self
    }

    /// Where the field of this name stands.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.name == name)
    }

    /// The field of this name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The field of this name, else [`Fault::Misconfigured`] with the nearest name there is. For `open`, where a
    /// configuration names columns.
    pub fn expect(&self, name: &str) -> Result<&Field, Fault> {
        self.field(name).ok_or_else(|| {
            let mut message = format!("there is no column `{name}`");
            if let Some(near) = nearest(name, self.fields.iter().map(|field| field.name.as_str())) {
                message = format!("{message}; did you mean `{near}`?");
            }
            Fault::misconfigured(message)
        })
    }
}

/// The word nearest to `name`, where one is near enough to have been meant: at most a third of its letters differ.
pub fn nearest<'a>(name: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let most = (name.chars().count() / 3).max(1);
    words
        .into_iter()
        .map(|word| (edits(name, word), word))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// How many letters must be added, removed or changed (Levenshtein).
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn the_nearest_name_is_offered() {
        let words = ["status", "currency", "total"];
        for (name, near) in [
            ("statis", Some("status")),
            ("Total", Some("total")),
            ("email", None),
            ("x", None),
        ] {
            assert_eq!(nearest(name, words), near, "{name}");
        }
        let schema = Schema::new(vec![Field::new("status", FieldType::Text)]);
        assert_eq!(
            schema.expect("statsu").map_err(|fault| fault.to_string()),
            Err("misconfigured: there is no column `statsu`; did you mean `status`?".to_owned())
        );
    }
}
