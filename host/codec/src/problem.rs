//! Why a record is refused: the code people filter by, and the words. Made only for a record that is refused, so
//! nothing here is on the fast path. A message names the field, what was found and where, and never quotes a value:
//! the record itself is kept beside it.

use crate::json::scan::{Flaw, FlawKind, Found};
use sluice_model::limits;
use sluice_model::schema::{Field, FieldType};

/// How much of a field's name a message shows. The name may be the attacker's own.
const NAME_SHOWN_CHARS_MAX: usize = 64;

/// Why one record is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// Not JSON, or nested too deeply.
    Json(Flaw),
    /// JSON, but not an object.
    NotAnObject(Found),
    /// Not UTF-8 from this byte on.
    InvalidUtf8 {
        /// Counted from the record's start.
        at: usize,
    },
    /// Larger than [`limits::RECORD_BYTES_MAX`].
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// A value of another kind than its field.
    WrongType {
        /// The field's name.
        field: String,
        /// What it holds.
        expected: FieldType,
        /// What was found, in a few words.
        found: &'static str,
    },
    /// A value of the right kind that its field cannot hold.
    OutOfRange {
        /// The field's name.
        field: String,
        /// What it holds.
        expected: FieldType,
        /// In what way, in a few words.
        found: &'static str,
    },
    /// A field that must have a value has none.
    Missing {
        /// The field's name.
        field: String,
        /// In what way, in a few words.
        found: &'static str,
    },
    /// A field the schema does not have.
    Unknown {
        /// Its name.
        field: String,
        /// Why it cannot be taken in.
        reason: &'static str,
    },
    /// A field that stands twice in the record.
    Duplicate {
        /// Its name.
        field: String,
    },
    /// A CSV record with another number of fields than its header.
    Ragged {
        /// How many it has.
        found: usize,
        /// How many the header has.
        expected: usize,
    },
    /// A CSV record whose quotes are still open where the document ends.
    OpenQuote,
}

impl Problem {
    /// A value of the wrong kind.
    pub fn wrong_type(field: &Field, found: &'static str) -> Box<Self> {
        Box::new(Self::WrongType {
            field: field.name.clone(),
            expected: field.kind,
            found,
        })
    }

    /// A value of the right kind that does not fit.
    pub fn out_of_range(field: &Field, found: &'static str) -> Box<Self> {
        Box::new(Self::OutOfRange {
            field: field.name.clone(),
            expected: field.kind,
            found,
        })
    }

    /// No value where one must be.
    pub fn missing(field: &Field, found: &'static str) -> Box<Self> {
        Box::new(Self::Missing {
            field: field.name.clone(),
            found,
        })
    }

    /// Whether a value does not fit its field, which a contract may allow to be dropped.
    pub fn is_misfit(&self) -> bool {
        matches!(self, Self::WrongType { .. } | Self::OutOfRange { .. })
    }

    /// Whether the record is well formed and only differs from the schema.
    pub fn is_drift(&self) -> bool {
        self.is_misfit() || matches!(self, Self::Missing { .. } | Self::Unknown { .. })
    }

    /// The stable word for it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Json(Flaw {
                kind: FlawKind::TooDeep,
                ..
            }) => "too-deep",
            Self::Json(_) => "invalid-json",
            Self::NotAnObject(_) => "not-an-object",
            Self::InvalidUtf8 { .. } => "invalid-utf8",
            Self::TooLarge { .. } => "record-too-large",
            Self::WrongType { .. } => "wrong-type",
            Self::OutOfRange { .. } => "out-of-range",
            Self::Missing { .. } => "missing-field",
            Self::Unknown { .. } => "unknown-field",
            Self::Duplicate { .. } => "duplicate-field",
            Self::Ragged { .. } => "ragged-row",
            Self::OpenQuote => "open-quote",
        }
    }

    /// What was wrong, for people.
    pub fn message(&self) -> String {
        match self {
            Self::Json(flaw) => flaw_message(*flaw),
            Self::NotAnObject(found) => {
                format!("the record is {}; it must be an object", found.word())
            }
            Self::InvalidUtf8 { at } => format!("not UTF-8 from byte {at} on"),
            Self::TooLarge { bytes } => {
                format!(
                    "the record has {bytes} bytes; at most {} are allowed",
                    limits::RECORD_BYTES_MAX
                )
            }
            Self::WrongType {
                field,
                expected,
                found,
            }
            | Self::OutOfRange {
                field,
                expected,
                found,
            } => {
                format!("field `{}` is {expected}, found {found}", shown(field))
            }
            Self::Missing { field, found } => {
                format!("field `{}` must have a value, {found}", shown(field))
            }
            Self::Unknown { field, reason } => format!("field `{}` {reason}", shown(field)),
            Self::Duplicate { field } => format!("field `{}` stands twice", shown(field)),
            Self::Ragged { found, expected } => {
                format!("{found} fields; the header has {expected}")
            }
            Self::OpenQuote => "a quote is still open where the document ends".to_owned(),
        }
    }
}

/// A flaw in words.
pub fn flaw_message(flaw: Flaw) -> String {
    match flaw.kind {
        FlawKind::Truncated => format!("the text ends at byte {}, inside a value", flaw.at),
        FlawKind::Expected(what) => format!("expected {what} at byte {}", flaw.at),
        FlawKind::TooDeep => {
            format!(
                "nested more than {} levels deep at byte {}",
                limits::JSON_DEPTH_MAX,
                flaw.at
            )
        }
    }
}

impl From<Flaw> for Box<Problem> {
    #[cold]
    fn from(flaw: Flaw) -> Self {
        Box::new(Problem::Json(flaw))
    }
}

/// A name that fits in a line of text, whatever it holds.
pub fn shown(name: &str) -> String {
    let mut shown: String = name
        .chars()
        .take(NAME_SHOWN_CHARS_MAX)
        .flat_map(char::escape_debug)
        .collect();
    if name.chars().nth(NAME_SHOWN_CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_bounded_and_has_no_control_characters() {
        let field = "\u{1b}[2J\n".repeat(100_000);
        let message = Problem::Duplicate { field }.message();
        assert!(
            message.len() < limits::REJECTION_MESSAGE_BYTES_MAX,
            "{}",
            message.len()
        );
        assert!(!message.chars().any(char::is_control));
    }
}
