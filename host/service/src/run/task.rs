//! What a run is for: to read its source, or to do again a part of what was done.

use super::redriving::Entry;
use crate::keeping::LetterFilter;
use serde::{Deserialize, Serialize};
use sluice_model::ids::{HOST_OWN, NameError, SplitId};
use std::fmt;

/// What a run is for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "kebab-case")]
pub enum Task {
    /// Reads its source, from where it is to its end.
    #[default]
    Source,
    /// Sends dead letters again.
    Redrive {
        /// Which of those that wait.
        filter: LetterFilter,
        /// Where they enter.
        entry: Entry,
    },
    /// Reads a split again, beside what is kept of where it is.
    Backfill {
        /// Which.
        split: SplitId,
        /// From where.
        from: Begin,
    },
}

/// Where a backfill begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Begin {
    /// Where the last one of this split was cut off.
    Resume,
    /// At the beginning.
    Start,
    /// At this place: in the source's own encoding.
    Place(String),
}

impl fmt::Display for Begin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resume => "where the last one was",
            Self::Start => "the beginning",
            Self::Place(_) => "a place",
        })
    }
}

/// What the checkpoint of a split's backfill is kept under.
pub fn backfill_of(split: &SplitId) -> Result<SplitId, NameError> {
    format!("{HOST_OWN}backfill/{split}").parse()
}
