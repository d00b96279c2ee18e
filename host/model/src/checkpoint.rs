//! Where a split is: what the host keeps durably of it, and what it hands a sink to keep with its data. The rules by
//! which it moves live in `delivery`; its encoding and its key live in `state`.

use crate::guards::Guard;
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
    /// Those of which it is known what became of them.
    pub fn settled(self) -> u64 {
        self.written + self.filtered + self.dead_lettered
    }

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
    /// Where the source had it begin; none where that is its own beginning. The bounds of a key range stand in it, which
    /// must be those of the ranges beside it: a split that is moved to its beginning on its own begins here again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Cursor>,
    /// Whether `place` was the source's end when it was read.
    #[serde(default)]
    pub ended: bool,
    /// What became of all records before `place`.
    pub totals: Totals,
    /// A unit that a transactional sink may or may not have published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<Intent>,
    /// A person moved `place` when this was the epoch, one that no run ever had: what sinks committed up to it says
    /// nothing of where to go on. Stays for ever; 0 where nobody did. Set by [`Checkpoint::moved_to`] alone.
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

    /// As it stands once a person has moved the place here (none: to the beginning). To be stored while no run has
    /// the split, if the store still holds what was read.
    ///
    /// The epoch rises, and `moved` is that epoch: it lies between those of all runs before and of all runs after, so
    /// commits of before are told from commits of after. The sequence stays, for no unit's name is used again.
    ///
    /// Whether the unit of an intent was published is not known, and nobody asks any more. Its dead letters are kept:
    /// they become real, and are counted, because one that stands twice does less harm than one that is lost. The rest
    /// of the unit is neither counted nor delivered, and what it redrives stays to be redriven.
    #[must_use]
    pub fn moved_to(mut self, place: Option<Cursor>) -> Self {
        let intent = self.intent.take();
        let marks = self.mark.iter().chain(intent.iter().map(|it| &it.mark));
        let epochs = marks.map(|mark| mark.epoch).chain([self.epoch, self.moved]);
        self.epoch = epochs.max().unwrap_or(0) + 1;
        self.moved = self.epoch;
        if let Some(intent) = intent.filter(|intent| intent.redriven.is_none()) {
            let letters = intent.totals.dead_lettered;
            let letters = letters.saturating_sub(self.totals.dead_lettered);
            self.totals.read += letters;
            self.totals.dead_lettered += letters;
            self.mark = Some(intent.mark); // By which the store keeps its letters.
        }
        self.place = place;
        self.ended = false;
        self
    }

    /// The last unit that its sinks must hold: none before the first, and none since a person moved the place.
    pub fn delivered(&self) -> Option<Mark> {
        self.mark.filter(|mark| !self.is_before_the_move(*mark))
    }

    /// Whether this unit was cut before a person moved the place.
    pub fn is_before_the_move(&self, mark: Mark) -> bool {
        Guard::MovedPlace.bars(mark.epoch <= self.moved)
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

impl Numbers {
    /// Whether this one is among them.
    pub fn contains(self, number: u64) -> bool {
        (self.first..=self.last).contains(&number)
    }
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

    /// With a mark, and an intent of the next sequence that adds five records, two of them dead letters.
    fn undecided(redriven: Option<Numbers>) -> Checkpoint {
        let mark = |sequence| Mark { epoch: 3, sequence };
        let totals = |read, dead_lettered| Totals {
            read,
            written: read - dead_lettered,
            filtered: 0,
            dead_lettered,
        };
        Checkpoint {
            epoch: 3,
            sequence: 8,
            mark: Some(mark(7)),
            place: Some(Cursor::from(vec![7])),
            ended: true,
            totals: totals(10, 1),
            intent: Some(Intent {
                mark: mark(8),
                place: Cursor::from(vec![8]),
                ended: true,
                totals: totals(15, 3),
                dead_letters: Some(Numbers { first: 1, last: 2 }),
                redriven,
            }),
            moved: 0,
            start: None,
        }
    }

    #[test]
    fn a_move_lies_between_the_epochs_and_keeps_dead_letters() {
        let place = Some(Cursor::from(vec![2]));
        let moved = undecided(None).moved_to(place.clone());
        assert_eq!((moved.epoch, moved.moved, moved.sequence), (4, 4, 8));
        assert_eq!(
            (&moved.place, moved.ended, &moved.intent),
            (&place, false, &None)
        );
        // The store keeps the letters of an intent that the mark has reached; nothing else of the unit counts.
        let kept = Totals {
            read: 12,
            written: 9,
            filtered: 0,
            dead_lettered: 3,
        };
        assert_eq!(
            (moved.mark.map(|mark| mark.sequence), moved.totals),
            (Some(8), kept)
        );
        assert_eq!(moved.delivered(), None);
        let again = moved.moved_to(None);
        assert_eq!((again.epoch, again.moved, again.place), (5, 5, None));
        assert_eq!(again.totals, kept);
    }

    #[test]
    fn a_move_settles_nothing_that_is_redriven() {
        let held = undecided(Some(Numbers { first: 3, last: 4 }));
        let moved = held.clone().moved_to(None);
        assert_eq!((moved.mark, moved.totals), (held.mark, held.totals));
        assert_eq!((moved.intent.as_ref(), moved.moved), (None, 4));
    }

    #[test]
    fn what_was_cut_before_a_move_says_nothing() {
        let mark = |epoch| Mark { epoch, sequence: 9 };
        let moved = Checkpoint {
            mark: Some(mark(4)),
            moved: 4,
            ..Checkpoint::default()
        };
        assert!(moved.is_before_the_move(mark(4)) && !moved.is_before_the_move(mark(5)));
        assert_eq!(moved.delivered(), None);
        let after = Checkpoint {
            mark: Some(mark(5)),
            ..moved
        };
        assert_eq!(after.delivered(), Some(mark(5)));
        assert!(!Checkpoint::default().is_before_the_move(mark(1)));
    }
}
