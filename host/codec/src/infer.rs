//! What kind of value stands in a field, and a schema from a sample of records.
//!
//! Two kinds in one field make the narrower one that holds both: `int64` and `float64` make `float64`, a date and any
//! other text make `text`. What has nothing in common makes `json` in JSON, which holds any value as it is written,
//! and `text` in CSV, where every value is a text. A field that was null throughout is `json`, or `text` in CSV, so
//! that nothing it may hold later is refused.

use crate::csv::Records;
use crate::document::{Document, DocumentFormat};
use crate::json::items::{Items, ItemsError};
use crate::json::number::Number;
use crate::json::scan::{Flaw, Found, Scanner};
use crate::moment::{self, Offset};
use crate::ndjson::Lines;
use crate::parquet;
use crate::problem::shown;
use sluice_model::guards::Guard;
use sluice_model::limits;
use sluice_model::schema::{Field, FieldType, Schema, SchemaError};
use std::collections::HashMap;

/// The kind of one value, or of all values of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// No value.
    Null,
    /// True or false.
    Boolean,
    /// An integer of 64 bits.
    Int64,
    /// A number that a float holds.
    Float64,
    /// `YYYY-MM-DD`.
    Date,
    /// RFC 3339.
    Timestamp,
    /// Other text.
    Text,
    /// A nested value, a number beyond all others, or a mixture.
    Json,
}

impl Kind {
    /// The kind of the JSON value that begins here, which is stepped over.
    pub fn of_json(scanner: &mut Scanner<'_>, depth: usize) -> Result<Self, Flaw> {
        let found = scanner.found();
        match found {
            Found::Number => Number::read(scanner).map(|number| Self::of_number(&number)),
            Found::Text => {
                let mut unescaped = Vec::new();
                let plain = scanner.string(&mut unescaped)?;
                Ok(Self::of_text(plain.unwrap_or(&unescaped), Offset::Required))
            }
            _ => {
                scanner.skip_value(depth)?;
                Ok(match found {
                    Found::Null => Self::Null,
                    Found::Boolean => Self::Boolean,
                    _ => Self::Json,
                })
            }
        }
    }

    fn of_number(number: &Number<'_>) -> Self {
        if number.is_integer_text() {
            // An integer beyond 64 bits is kept digit by digit, not rounded to a float.
            return if number.int64().is_ok() {
                Self::Int64
            } else {
                Self::Json
            };
        }
        if number.float64().is_some() {
            Self::Float64
        } else {
            Self::Json
        }
    }

    fn of_text(text: &[u8], offset: Offset) -> Self {
        if moment::parse_date(text).is_some() {
            Self::Date
        } else if moment::parse_timestamp(text, offset).is_some() {
            Self::Timestamp
        } else {
            Self::Text
        }
    }

    /// The kind of a CSV field that has a value. Digits with a leading zero or a plus are text: they are telephone
    /// numbers and postal codes.
    pub fn of_csv(text: &[u8]) -> Self {
        if text.eq_ignore_ascii_case(b"true") || text.eq_ignore_ascii_case(b"false") {
            return Self::Boolean;
        }
        let mut scanner = Scanner::new(text);
        match (scanner.found(), Number::read(&mut scanner)) {
            (Found::Number, Ok(number)) if scanner.peek().is_none() => {
                match Self::of_number(&number) {
                    Self::Json => Self::Text,
                    kind => kind,
                }
            }
            _ => Self::of_text(text, Offset::Optional),
        }
    }

    /// The kind that holds both.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        use Kind::{Date, Float64, Int64, Json, Null, Text, Timestamp};
        match (self, other) {
            (same, kind) | (kind, same) if same == kind || same == Null => kind,
            (Int64, Float64) | (Float64, Int64) => Float64,
            (Date | Timestamp | Text, Date | Timestamp | Text) => Text,
            _ => Json,
        }
    }

    /// The field type that holds it.
    pub fn field_type(self) -> FieldType {
        match self {
            Self::Boolean => FieldType::Boolean,
            Self::Int64 => FieldType::Int64,
            Self::Float64 => FieldType::Float64,
            Self::Date => FieldType::Date,
            Self::Timestamp => FieldType::Timestamp,
            Self::Text => FieldType::Text,
            Self::Null | Self::Json => FieldType::Json,
        }
    }

    /// The same for CSV, where what is nothing else is a text.
    pub fn csv_field_type(self) -> FieldType {
        match self.field_type() {
            FieldType::Json => FieldType::Text,
            kind => kind,
        }
    }
}

/// Why no schema could be inferred.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InferError {
    /// The document as a whole cannot be read.
    #[error("`{name}` cannot be read: {reason}")]
    Unreadable {
        /// The document.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no record in it that could be read.
    #[error(
        "`{0}` holds no record that could be read\n  hint: give the stream's schema in the pipeline file, or a sample with records"
    )]
    Empty(String),
    /// What was found makes no schema.
    #[error("`{name}` makes no schema: {reason}")]
    NoSchema {
        /// The document.
        name: String,
        /// Why not.
        reason: String,
    },
}

/// The schema of a document's first `records_max` records that can be read, all fields nullable. The fields of
/// `previous` stay where they are, with wider types where the sample asks for them, and keep their key.
pub fn infer(
    document: &Document<'_>,
    records_max: usize,
    previous: Option<&Schema>,
) -> Result<Schema, InferError> {
    let mut sample = Sample::default();
    let text_only = matches!(document.format, DocumentFormat::Csv { .. });
    let unreadable = |reason| InferError::Unreadable {
        name: document.name.to_owned(),
        reason,
    };
    match document.format {
        DocumentFormat::Ndjson => {
            for line in
                Lines::new(document.bytes, document.first_line).filter(|line| !line.is_blank())
            {
                if sample.records >= records_max {
                    break;
                }
                let mut scanner = Scanner::new(line.bytes);
                scanner.skip_space();
                if std::str::from_utf8(line.bytes).is_ok() {
                    sample.object(&mut scanner, true);
                }
            }
        }
        DocumentFormat::Json { pointer } => {
            sample_items(document.bytes, pointer, records_max, &mut sample)
                .map_err(|error| unreadable(error.to_string()))?;
        }
        DocumentFormat::Csv { delimiter, header } => {
            let records = Records::new(document, *delimiter, header.as_deref());
            let records = records.map_err(|error| unreadable(error.to_string()))?;
            sample_csv(records, records_max, &mut sample);
        }
        DocumentFormat::Parquet(rows) => {
            let found = parquet::schema(&rows.footer).map_err(unreadable)?;
            return of_columns(document.name, &found, previous);
        }
    }
    sample.schema(document.name, text_only, previous)
}

/// A file that says the types of its columns.
fn of_columns(name: &str, found: &Schema, previous: Option<&Schema>) -> Result<Schema, InferError> {
    let mut fields: Vec<Field> = previous.map_or(&[][..], Schema::fields).to_vec();
    for new in found.fields() {
        match fields.iter_mut().find(|field| field.name == new.name) {
            Some(field) => field.kind = parquet::both(field.kind, new.kind),
            None => fields.push(new.clone()),
        }
    }
    for field in &mut fields {
        field.nullable = true;
    }
    let key = previous.map_or(&[][..], Schema::key).to_vec();
    Schema::new(fields, key).map_err(|error| InferError::NoSchema {
        name: name.to_owned(),
        reason: reason(&error),
    })
}

fn sample_items(
    bytes: &[u8],
    pointer: &str,
    records_max: usize,
    sample: &mut Sample,
) -> Result<(), ItemsError> {
    if let Err(error) = std::str::from_utf8(bytes) {
        return Err(ItemsError::Utf8(error.valid_up_to()));
    }
    let mut items = Items::open(bytes, pointer)?;
    while sample.records < records_max && items.advance()? {
        let start = items.scanner.at();
        sample.object(&mut items.scanner, false);
        items.scanner.go(start);
        items.skip()?;
    }
    Ok(())
}

fn sample_csv(mut records: Records<'_>, records_max: usize, sample: &mut Sample) {
    for name in records.header().to_vec() {
        sample.see(&name, Kind::Null);
    }
    sample.commit();
    while sample.records < records_max {
        let Some(record) = records.advance() else {
            break;
        };
        if record.problem(records.header().len()).is_some() {
            continue;
        }
        for (at, name) in records.header().iter().enumerate() {
            if let Some(value) = records
                .row()
                .field(at)
                .filter(|value| !value.bytes.is_empty())
            {
                sample.see(name, Kind::of_csv(value.bytes));
            }
        }
        sample.commit();
        sample.records += 1;
    }
}

/// What was seen of each field, in the order they were first seen.
#[derive(Debug, Default)]
struct Sample {
    kinds: Vec<(String, Kind)>,
    places: HashMap<String, usize>,
    pending: Vec<(String, Kind)>,
    records: usize,
}

impl Sample {
    fn see(&mut self, name: &str, kind: Kind) {
        self.pending.push((name.to_owned(), kind));
    }

    fn commit(&mut self) {
        for (name, kind) in self.pending.drain(..) {
            if let Some(&place) = self.places.get(&name) {
                self.kinds[place].1 = self.kinds[place].1.or(kind);
            } else if self.kinds.len() <= Guard::SchemaFields.limit(limits::FIELDS_MAX) {
                // One more than a schema may have is enough to refuse them all.
                self.places.insert(name.clone(), self.kinds.len());
                self.kinds.push((name, kind));
            }
        }
    }

    /// Counts the object that begins here, if it is one; with `alone`, nothing may follow it.
    fn object(&mut self, scanner: &mut Scanner<'_>, alone: bool) {
        let read = self.members(scanner).is_ok();
        scanner.skip_space();
        if read && !(alone && scanner.peek().is_some()) {
            self.commit();
            self.records += 1;
        } else {
            self.pending.clear();
        }
    }

    fn members(&mut self, scanner: &mut Scanner<'_>) -> Result<(), Flaw> {
        if !scanner.eat(b'{') {
            return Err(scanner.expected("an object"));
        }
        scanner.skip_space();
        if scanner.eat(b'}') {
            return Ok(());
        }
        loop {
            if scanner.peek() != Some(b'"') {
                return Err(scanner.expected("a field name in quotes"));
            }
            let mut unescaped = Vec::new();
            let plain = scanner.string(&mut unescaped)?;
            let name = String::from_utf8_lossy(plain.unwrap_or(&unescaped)).into_owned();
            scanner.colon()?;
            let kind = Kind::of_json(scanner, crate::json::value::FIELD_DEPTH)?;
            if name.len() <= Guard::WidenName.limit(limits::FIELD_NAME_BYTES_MAX) {
                self.see(&name, kind);
            }
            scanner.skip_space();
            if scanner.eat(b'}') {
                return Ok(());
            }
            scanner.comma()?;
        }
    }

    fn schema(
        self,
        name: &str,
        text_only: bool,
        previous: Option<&Schema>,
    ) -> Result<Schema, InferError> {
        if self.kinds.is_empty() && previous.is_none() {
            return Err(InferError::Empty(name.to_owned()));
        }
        let mut fields: Vec<Field> = previous
            .map(|schema| schema.fields().to_vec())
            .unwrap_or_default();
        let known: HashMap<String, usize> = fields
            .iter()
            .enumerate()
            .map(|(at, field)| (field.name.clone(), at))
            .collect();
        for (name, kind) in self.kinds {
            match known.get(&name) {
                Some(&at) => fields[at].kind = widened(fields[at].kind, kind, text_only),
                None if text_only => fields.push(Field::new(name, kind.csv_field_type(), true)),
                None => fields.push(Field::new(name, kind.field_type(), true)),
            }
        }
        for field in &mut fields {
            field.nullable = true;
        }
        let key = previous
            .map(|schema| schema.key().to_vec())
            .unwrap_or_default();
        Schema::new(fields, key).map_err(|error| InferError::NoSchema {
            name: name.to_owned(),
            reason: reason(&error),
        })
    }
}

fn reason(error: &SchemaError) -> String {
    match error {
        SchemaError::Twice(name) => format!("field `{}` stands twice", shown(name)),
        other => other.to_string(),
    }
}

/// The type that holds what a field held before and what was seen now. What someone declared by hand (a decimal,
/// binary, json) is not guessed away.
fn widened(before: FieldType, seen: Kind, text_only: bool) -> FieldType {
    let before_kind = match before {
        FieldType::Boolean => Kind::Boolean,
        FieldType::Int64 => Kind::Int64,
        FieldType::Float64 => Kind::Float64,
        FieldType::Date => Kind::Date,
        FieldType::Timestamp => Kind::Timestamp,
        FieldType::Text => Kind::Text,
        FieldType::Decimal { .. } | FieldType::Binary | FieldType::Json => return before,
    };
    if seen == Kind::Null {
        return before;
    }
    let both = before_kind.or(seen);
    if text_only {
        both.csv_field_type()
    } else {
        both.field_type()
    }
}
