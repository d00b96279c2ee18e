//! A record refused: the rejection as it happens, and the dead letter that is kept.

use crate::ids::{StageId, StreamName};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Where a record stood in its source.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Place {
    /// A file's path, a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// The line of a text file, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The item of an array, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<u64>,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.document.as_deref().unwrap_or("-"))?;
        match (self.line, self.item) {
            (Some(line), _) => write!(f, ":{line}"),
            (None, Some(item)) => write!(f, " item {item}"),
            (None, None) => Ok(()),
        }
    }
}

/// A record as it entered, for a person to read: bounded by [`crate::limits::DEAD_LETTER_RECORD_BYTES_MAX`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Record {
    /// The bytes as the source sent them, where they could not be decoded. Broken UTF-8 is kept as it is.
    Raw(#[serde(with = "bytes_as_text")] Vec<u8>),
    /// The decoded record as a JSON object.
    Json(String),
}

impl Record {
    /// How long it is.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Raw(bytes) => bytes.len(),
            Self::Json(text) => text.len(),
        }
    }
}

/// How a row of CSV is read: without it, its fields have no names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Csv {
    /// What stands between two fields, in ASCII.
    pub delimiter: u8,
    /// The names of its fields, as a row of CSV.
    pub header: String,
}

/// One record refused, before it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// The stage that refused it; the source's own stage for what could not be decoded.
    pub stage: StageId,
    /// Whose record.
    pub stream: StreamName,
    /// A short stable word: `wrong-type`, `invalid-utf8`, `invalid-json`, `ragged-row`, …, or the plugin's own.
    pub code: String,
    /// What was wrong with this record.
    pub message: String,
    /// Where it stood.
    pub place: Place,
    /// The record itself.
    pub record: Record,
    /// How `record` is read, where it is a row of CSV that could not be decoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csv: Option<Arc<Csv>>,
    /// Whether `record` was cut to fit.
    #[serde(default)]
    pub truncated: bool,
    /// Whether the record is to be removed at the sinks rather than written.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removal: bool,
    /// The record as the stage was given it, where the transforms before it had changed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given: Option<String>,
    /// The other sinks that refused it too; where `stage` is no sink, those that refused it before and lack it still.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<StageId>,
    /// Its row's identity, in hexadecimal: what a sink was handed, and is handed again when it is redriven. None for what
    /// could not be decoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
}

/// Bytes as a JSON string where they are UTF-8, else as `{"hex": "…"}`: readable in an export, and exact.
pub(crate) mod bytes_as_text {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::fmt::Write as _;

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Shape {
        Text(String),
        Hex { hex: String },
    }

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Shape::Text(text.to_owned()),
            Err(_) => Shape::Hex {
                hex: bytes.iter().fold(String::new(), |mut hex, byte| {
                    let _ = write!(hex, "{byte:02x}");
                    hex
                }),
            },
        }
        .serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        match Shape::deserialize(deserializer)? {
            Shape::Text(text) => Ok(text.into_bytes()),
            Shape::Hex { hex } => (0..hex.len())
                .step_by(2)
                .map(|at| {
                    hex.get(at..at + 2)
                        .and_then(|pair| u8::from_str_radix(pair, 16).ok())
                })
                .collect::<Option<_>>()
                .ok_or_else(|| serde::de::Error::custom("not hexadecimal")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_bytes_survive_json() {
        for bytes in [&b"plain"[..], b"\xff\xfe broken", b""] {
            let record = Record::Raw(bytes.to_vec());
            let json = serde_json::to_string(&record).expect("json");
            assert_eq!(
                serde_json::from_str::<Record>(&json).expect("back"),
                record,
                "{json}"
            );
        }
    }
}
