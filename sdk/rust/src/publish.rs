//! The record of what a sink published, for one that keeps it beside its data: which unit of a split was the last, where
//! it ends, and what it consists of. Deliberately not how a unit becomes visible: that is the destination's own.

use crate::sink::{Commit, Context};
use crate::{Batch, Change, Fault, Rejection};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// What a record may hold: a cursor of 64 KiB and some thousands of names. Stops a file that is no record from filling
/// the plugin's memory.
pub const RECORD_BYTES_MAX: usize = 8 << 20;

/// The last unit published: as JSON, the fields of `U` beside its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record<U> {
    pipeline: String,
    split: String,
    epoch: u64,
    sequence: u64,
    #[serde(with = "hex")]
    cursor: Vec<u8>,
    /// What it consists of.
    #[serde(flatten)]
    pub unit: U,
}

/// Whether a unit is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// It is.
    Fresh,
    /// It is published already: its acknowledgement was lost.
    Published,
}

impl<U: Serialize + DeserializeOwned> Record<U> {
    /// Of the unit that ends at this commit.
    pub fn new(commit: &Commit, unit: U) -> Self {
        Self {
            pipeline: commit.pipeline.clone(),
            split: commit.split.clone(),
            epoch: commit.epoch,
            sequence: commit.sequence,
            cursor: commit.cursor.clone(),
            unit,
        }
    }

    /// What `committed` answers.
    pub fn commit(&self) -> Commit {
        Commit {
            pipeline: self.pipeline.clone(),
            split: self.split.clone(),
            cursor: self.cursor.clone(),
            epoch: self.epoch,
            sequence: self.sequence,
        }
    }

    /// Units of a split in order.
    pub fn mark(&self) -> (u64, u64) {
        (self.epoch, self.sequence)
    }

    /// Whether the unit of this mark is to be written where `published` is the last one. An older run is stopped.
    pub fn begins(published: Option<&Self>, mark: (u64, u64)) -> Result<Begun, Fault> {
        match published.map(Self::mark) {
            Some(published) if published == mark => Ok(Begun::Published),
            Some(published) if published > mark => Err(Fault::misconfigured(format!(
                "unit {}.{} is published already, and {}.{} comes before it: another run writes this split",
                published.0, published.1, mark.0, mark.1
            ))),
            _ => Ok(Begun::Fresh),
        }
    }

    /// As it is kept.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Fault> {
        serde_json::to_vec(self)
            .map_err(|error| Fault::broken(format!("the record cannot be written: {error}")))
    }

    /// A record that cannot be read stops the pipeline, as does another split's: to go on without it would publish records
    /// twice. Keep it under a name of [`short_hash`]es, `path`, that the sink's setting `prefix` is part of.
    pub fn from_bytes(path: &str, bytes: &[u8], context: &Context) -> Result<Self, Fault> {
        let told = |what: String| Err(Fault::misconfigured(format!("`{path}` is {what}")));
        if bytes.len() > RECORD_BYTES_MAX {
            return told("too long to be a record".to_owned());
        }
        let record: Self = match serde_json::from_slice(bytes) {
            Ok(record) => record,
            Err(error) => {
                return told(format!(
                    "not a record that this version of the plugin wrote: {error}"
                ));
            }
        };
        if (&record.pipeline, &record.split) != (&context.pipeline, &context.split) {
            return told(format!(
                "the record of split `{}` of pipeline `{}`; hint: use another `prefix`",
                record.split, record.pipeline
            ));
        }
        Ok(record)
    }
}

/// That unit was to be published, and nothing of it is there.
pub fn not_written(mark: (u64, u64)) -> Fault {
    Fault::broken(format!(
        "unit {}.{} is to be published and was not written",
        mark.0, mark.1
    ))
}

/// A rejection for each row that asks for a deletion, of the batch of a part, for a sink that takes none.
pub fn refuse_deletes(part: usize, batch: &Batch, reason: &str) -> Vec<Rejection> {
    let changes = batch.changes().unwrap_or_default();
    let deletes = changes
        .iter()
        .enumerate()
        .filter(|(_, change)| **change == Change::Delete);
    let refused = |row| Rejection::new(row, "delete-not-supported", reason).in_part(part);
    deletes.map(|(row, _)| refused(row)).collect()
}

/// A stream's name as that of a folder: all but letters, digits, `-`, `_` and `.` written as `escape` and two digits, and
/// `inner` ones at its beginning as well; cut to `bytes_max` where it is longer, with a hash that keeps it apart.
pub fn folder_name(stream: &str, escape: char, inner: &[u8], bytes_max: usize) -> String {
    let mut name = String::new();
    for (at, byte) in stream.bytes().enumerate() {
        let is_plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if is_plain && (at > 0 || !inner.contains(&byte)) {
            name.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(name, "{escape}{byte:02X}");
        }
    }
    if name.len() > bytes_max {
        name.truncate(bytes_max - 17);
        name = format!("{name}-{}", short_hash(&[stream]));
    }
    name
}

/// 16 hexadecimal digits for these words in this order.
pub fn short_hash(words: &[&str]) -> String {
    let mut hash = Sha256::new();
    for word in words {
        hash.update((word.len() as u64).to_le_bytes());
        hash.update(word);
    }
    hex::text(&hash.finalize()[..8])
}

mod hex {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};
    use std::fmt::Write as _;

    pub(super) fn text(bytes: &[u8]) -> String {
        let text = String::with_capacity(bytes.len() * 2);
        bytes.iter().fold(text, |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&text(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.len() % 2 != 0 || !text.is_ascii() {
            return Err(D::Error::custom("not hexadecimal"));
        }
        (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16))
            .collect::<Result<_, _>>()
            .map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Unit {
        files: Vec<String>,
    }

    fn commit() -> Commit {
        Commit {
            pipeline: "p".into(),
            split: "s\"".into(),
            cursor: vec![0, 0xff, b'{'],
            epoch: 3,
            sequence: u64::MAX,
        }
    }

    fn context(split: &str) -> Context {
        Context {
            pipeline: "p".into(),
            split: split.into(),
        }
    }

    #[test]
    fn a_record_survives_its_file() {
        let files = vec!["x/y".into()];
        let record = Record::new(&commit(), Unit { files });
        let bytes = record.to_bytes().expect("bytes");
        let expected = r#"{"pipeline":"p","split":"s\"","epoch":3,"sequence":18446744073709551615,"cursor":"00ff7b","files":["x/y"]}"#;
        assert_eq!(String::from_utf8_lossy(&bytes), expected);
        let back = Record::from_bytes("r", &bytes, &context("s\"")).expect("a record");
        assert_eq!(back, record);
        let (back, commit) = (back.commit(), commit());
        assert_eq!((back.cursor, back.split), (commit.cursor, commit.split));
    }

    #[test]
    fn what_is_no_record_is_refused() {
        let valid =
            r#"{"pipeline":"p","split":"s","epoch":1,"sequence":1,"cursor":"7a","files":[]}"#;
        let check = |text: &str, split: &str| {
            Record::<Unit>::from_bytes("r", text.as_bytes(), &context(split))
                .map(|_| ())
                .map_err(|fault| fault.to_string())
        };
        assert_eq!(check(valid, "s"), Ok(()));
        let later = valid.replace("\"files\"", "\"later\":1,\"files\"");
        let (odd, short) = (valid.replace("7a", "zz"), valid.replace("7a", "7"));
        for text in ["", "{}", "\u{ff}", &later, &odd, &short] {
            let told = check(text, "s").expect_err(text);
            assert!(
                told.contains("`r` is not a record that this version"),
                "{told}"
            );
        }
        let other = "misconfigured: `r` is the record of split `s` of pipeline `p`; hint: use another `prefix`";
        assert_eq!(check(valid, "t"), Err(other.to_owned()));
        let long = "misconfigured: `r` is too long to be a record";
        assert_eq!(
            check(&" ".repeat(RECORD_BYTES_MAX + 1), "s"),
            Err(long.to_owned())
        );
    }

    #[test]
    fn a_stream_is_one_folder_whatever_it_is_called() {
        let name = |stream: &str| folder_name(stream, '%', b".", 200);
        for (stream, expected) in [
            ("orders", "orders"),
            ("public.order_lines", "public.order_lines"),
            ("_x", "_x"),
            (".sluice", "%2Esluice"),
            ("..", "%2E."),
            ("a/../b", "a%2F..%2Fb"),
            ("Größe", "Gr%C3%B6%C3%9Fe"),
            ("a%b", "a%25b"),
        ] {
            assert_eq!(name(stream), expected);
        }
        let (long, longer) = (name(&"é".repeat(64)), name(&"é".repeat(63)));
        assert!(long.len() <= 200 && longer.len() <= 200 && long != longer);
    }
}
