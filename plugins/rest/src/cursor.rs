//! Where a stream is: on which page of which reading, and what a later reading has to ask for.

use crate::answer::Mark;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::cmp::Ordering;
use std::fmt::Write as _;

/// Records of the latest value that are known again by the next reading. Keeps the cursor below the host's 64 KiB;
/// what is beyond comes twice.
pub(crate) const KNOWN_MAX: usize = 1_024;

/// Where a stream is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// The page to ask for.
    pub(crate) place: Place,
    /// How many pages of this reading came before it.
    #[serde(default)]
    pub(crate) pages: u64,
    /// The latest value before this reading: what it asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<Latest>,
    /// The latest value of this reading so far: what the next one asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) seen: Option<Latest>,
    /// The last reading's `ETag`, where one request gave all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tag: Option<Tag>,
}

/// An `ETag`. Stops a server from filling the cursor.
const TAG_BYTES_MAX: usize = 256;

/// What an answer is known by, and what was asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tag {
    /// A hash of the path and the query.
    target: String,
    pub(crate) etag: String,
}

impl Tag {
    /// None for a tag that is longer than any should be.
    pub(crate) fn of(target: &str, etag: &str) -> Option<Self> {
        (etag.len() <= TAG_BYTES_MAX).then(|| Self {
            target: fingerprint(target),
            etag: etag.to_owned(),
        })
    }

    pub(crate) fn is_of(&self, target: &str) -> bool {
        self.target == fingerprint(target)
    }
}

/// A page.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Place {
    /// The first.
    #[default]
    Start,
    /// The page of this number.
    Page(u64),
    /// From this record on.
    Offset(u64),
    /// What the last answer's token stands for.
    Token(String),
    /// At this path and query.
    Target(String),
    /// None: all is read.
    Done,
}

/// The latest value among records, and which records had it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Latest {
    pub(crate) value: Mark,
    /// Hashes of the records that have it.
    pub(crate) records: Vec<String>,
}

impl Latest {
    pub(crate) fn new(value: Mark) -> Self {
        Self {
            value,
            records: Vec::new(),
        }
    }

    /// Whether this very record was read before.
    pub(crate) fn knows(&self, value: &Mark, record: &str) -> bool {
        value.order(&self.value) == Some(Ordering::Equal)
            && self.records.contains(&fingerprint(record))
    }

    fn remember(&mut self, hash: String) {
        if self.records.len() < KNOWN_MAX && !self.records.contains(&hash) {
            self.records.push(hash);
        }
    }
}

impl Cursor {
    /// Notes a record of this reading.
    pub(crate) fn note(&mut self, value: Mark, record: &str) {
        match &mut self.seen {
            None => {
                self.seen = Some(Latest {
                    value,
                    records: vec![fingerprint(record)],
                });
            }
            Some(seen) => match value.order(&seen.value) {
                Some(Ordering::Greater) => {
                    *seen = Latest {
                        value,
                        records: vec![fingerprint(record)],
                    }
                }
                Some(Ordering::Equal) => seen.remember(fingerprint(record)),
                Some(Ordering::Less) | None => {}
            },
        }
    }

    /// At the beginning of the next reading.
    pub(crate) fn next_reading(self) -> Self {
        let since = match (self.since, self.seen) {
            (None, seen) => seen,
            (since, None) => since,
            (Some(mut since), Some(seen)) => match seen.value.order(&since.value) {
                Some(Ordering::Equal) => {
                    seen.records
                        .into_iter()
                        .for_each(|hash| since.remember(hash));
                    Some(since)
                }
                // What a server gives although it is older than what was asked for moves nothing back.
                Some(Ordering::Less) => Some(since),
                Some(Ordering::Greater) | None => Some(seen),
            },
        };
        Self {
            since,
            tag: self.tag,
            ..Self::default()
        }
    }
}

/// A text, as far as it takes to know it again.
fn fingerprint(text: &str) -> String {
    Sha256::digest(text)[..8]
        .iter()
        .fold(String::new(), |mut hex, byte| {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Mark {
        Mark::Text(value.to_owned())
    }

    #[test]
    fn a_reading_asks_for_what_came_last() {
        let mut cursor = Cursor::default();
        for (value, record) in [("1", "a"), ("3", "b"), ("2", "c"), ("3", "d"), ("3", "d")] {
            cursor.note(text(value), record);
        }
        let mut cursor = cursor.next_reading();
        let since = cursor.since.clone().expect("a value");
        assert_eq!((since.value.clone(), since.records.len()), (text("3"), 2));
        assert!(since.knows(&text("3"), "b") && since.knows(&text("3"), "d"));
        assert!(!since.knows(&text("3"), "e") && !since.knows(&text("2"), "b"));

        cursor.note(text("3"), "e");
        let cursor = cursor.next_reading();
        let since = cursor.since.clone().expect("a value");
        assert!(since.knows(&text("3"), "b") && since.knows(&text("3"), "e"));
        assert_eq!(
            cursor.clone().next_reading(),
            cursor,
            "nothing new moves nothing"
        );
    }

    #[test]
    fn the_largest_cursor_fits_the_host() {
        let latest = || Latest {
            value: text("2026-11-22T21:00:00.000000Z"),
            records: (0..KNOWN_MAX)
                .map(|at| fingerprint(&at.to_string()))
                .collect(),
        };
        let place = Place::Target("x".repeat(8 << 10));
        let cursor = Cursor {
            place,
            pages: u64::MAX,
            since: Some(latest()),
            seen: Some(latest()),
            tag: Tag::of("/x", &"x".repeat(TAG_BYTES_MAX)),
        };
        assert_eq!(Tag::of("/x", &"x".repeat(TAG_BYTES_MAX + 1)), None);
        assert!(serde_json::to_vec(&cursor).expect("json").len() <= 64 << 10);
    }

    #[test]
    fn more_than_can_be_known_is_forgotten() {
        let mut cursor = Cursor::default();
        (0..2 * KNOWN_MAX).for_each(|at| cursor.note(text("1"), &at.to_string()));
        assert_eq!(cursor.seen.map(|seen| seen.records.len()), Some(KNOWN_MAX));
    }
}
