//! Where a split is: what the host keeps durably of it, and what it hands a sink to keep with its data. The rules by
//! which it moves live in `delivery`; its encoding and its key live in `state`.

use crate::rejection::bytes_as_text;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::sync::Arc;

/// A place in a split, in the source's own encoding; at most [`crate::limits::CURSOR_BYTES_MAX`]. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Cursor(Arc<[u8]>);

impl Cursor {
    /// The source's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Cursor {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl From<&[u8]> for Cursor {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

/// Its length only: a cursor may quote keys of records.
impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cursor({} bytes)", self.0.len())
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        bytes_as_text::serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        bytes_as_text::deserialize(deserializer).map(Self::from)
    }
}

/// What names one unit of a split for ever, and orders it among all others: `epoch` first, then `sequence`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Mark {
    /// Rises by one with each run that takes the split over.
    pub epoch: u64,
    /// Rises with each unit, over all runs.
    pub sequence: u64,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.sequence)
    }
}

/// What a sink is handed with a unit, and hands back where it keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Which unit.
    pub mark: Mark,
    /// The place after it.
    pub cursor: Cursor,
}

/// Records of a split whose fate is settled, over all runs. Counted as they entered the pipeline: a record that a
/// transform made three of counts once.
///
/// Invariant: `read = written + filtered + dead_lettered`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// All of them.
    pub read: u64,
    /// At every sink.
    pub written: u64,
    /// Left out by a transform, as it was told to.
    pub filtered: u64,
    /// In the DLQ: refused by a stage, or by at least one sink.
    pub dead_lettered: u64,
}

impl Totals {
    /// Both together.
    #[must_use]
    pub fn plus(self, more: Totals) -> Totals {
        Totals {
            read: self.read + more.read,
            written: self.written + more.written,
            filtered: self.filtered + more.filtered,
            dead_lettered: self.dead_lettered + more.dead_lettered,
        }
    }
}

/// The host's durable record of a split.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Of the run that owns the split.
    pub epoch: u64,
    /// The highest sequence that any unit of the split has had.
    pub sequence: u64,
    /// The last unit that went to the sinks; none before the first. A unit without rows moves `place` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<Mark>,
    /// All before it is delivered; none at the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Cursor>,
    /// Whether `place` was the source's end when it was read.
    #[serde(default)]
    pub ended: bool,
    /// What became of all records before `place`.
    pub totals: Totals,
    /// A unit that a transactional sink may or may not have published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<Intent>,
    /// A person moved `place` when this was the epoch: what sinks committed up to it says nothing of where to go on.
    /// 0 where nobody did.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub moved: u64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "what serde calls it with"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Checkpoint {
    /// As it stands once the intent is known to be published.
    #[must_use]
    pub fn promoted(mut self) -> Self {
        if let Some(intent) = self.intent.take() {
            self.mark = Some(intent.mark);
            self.place = Some(intent.place);
            self.ended = intent.ended;
            self.totals = intent.totals;
        }
        self
    }
}

/// What the checkpoint becomes if the sink has published this unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Which unit.
    pub mark: Mark,
    /// The place after it.
    pub place: Cursor,
    /// Whether that is the source's end.
    #[serde(default)]
    pub ended: bool,
    /// The totals after it.
    pub totals: Totals,
    /// Its dead letters' numbers, pending as the intent is; none where it has none. Filled in by whoever stores it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letters: Option<Numbers>,
    /// Where it redrives dead letters: between which numbers those stand that it settles, pending as the intent is.
    /// Filled in by whoever stores it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redriven: Option<Numbers>,
}

/// Numbers of dead letters, from the first to the last, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbers {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_survives_json_and_promotion() {
        let mark = Mark {
            epoch: 2,
            sequence: 7,
        };
        let totals = Totals {
            read: 3,
            written: 1,
            filtered: 1,
            dead_lettered: 1,
        };
        let dead_letters = Some(Numbers { first: 4, last: 5 });
        let intent = Intent {
            mark,
            place: Cursor::from(vec![0xff, 0]),
            ended: true,
            totals,
            dead_letters,
            redriven: None,
        };
        let checkpoint = Checkpoint {
            epoch: 2,
            sequence: 7,
            intent: Some(intent),
            ..Checkpoint::default()
        };
        let json = serde_json::to_string(&checkpoint).expect("json");
        assert_eq!(
            serde_json::from_str::<Checkpoint>(&json).expect("back"),
            checkpoint,
            "{json}"
        );
        let promoted = checkpoint.promoted();
        assert_eq!(
            (promoted.mark, promoted.totals, promoted.ended),
            (Some(mark), totals, true)
        );
        assert_eq!(promoted.intent, None);
    }
}
