//! The host's cursor: the source's own, and where the line count of the document being read stands. It is what a
//! checkpoint keeps and a sink is handed, so that a resumed run still names lines rightly.

use crate::Error;
use serde::{Deserialize, Serialize};
use sluice_model::checkpoint::Cursor;
use sluice_model::fault::{Fault, FaultKind};

/// A place in a split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// In the source's own encoding.
    pub source: Cursor,
    /// The document last read from, and the number of its next line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<Line>,
}

/// The next line of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The document.
    pub name: String,
    /// Its next line, from 1.
    pub next: u64,
}

impl Place {
    /// As it is stored.
    pub fn encode(&self) -> Cursor {
        Cursor::from(serde_json::to_vec(self).expect("a place is plain data, which JSON holds"))
    }

    /// As it was stored.
    pub fn decode(cursor: &Cursor) -> Result<Self, Fault> {
        serde_json::from_slice(cursor.as_bytes()).map_err(|error| {
            Fault::new(
                FaultKind::Host,
                format!("a stored place cannot be read: {error}"),
            )
        })
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Error::failed("run", fault)
    }
}
