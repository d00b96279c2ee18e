//! The record beside the objects: which unit of a split was published last, where it ends, and which uploads its objects
//! are made of.

use serde::{Deserialize, Serialize};
use sluice_sdk::Fault;
use sluice_sdk::sink::Commit;

/// What a record may hold: a cursor of 64 KiB and some thousands of names. Stops a file that is no record from filling
/// the plugin's memory.
pub(super) const RECORD_BYTES_MAX: usize = 8 << 20;

/// The last unit published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    pub(super) pipeline: String,
    pub(super) split: String,
    pub(super) epoch: u64,
    pub(super) sequence: u64,
    #[serde(with = "hex")]
    pub(super) cursor: Vec<u8>,
    pub(super) objects: Vec<Pending>,
    /// Whether all of them are completed: they may be taken away then.
    pub(super) completed: bool,
}

/// An object of the unit: its key, and the parts that it is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pending {
    pub(super) key: String,
    pub(super) upload: String,
    /// Their ETags.
    pub(super) parts: Vec<String>,
}

impl Record {
    pub(super) fn new(commit: &Commit, objects: Vec<Pending>) -> Self {
        Self {
            pipeline: commit.pipeline.clone(),
            split: commit.split.clone(),
            epoch: commit.epoch,
            sequence: commit.sequence,
            cursor: commit.cursor.clone(),
            objects,
            completed: false,
        }
    }

    pub(super) fn commit(&self) -> Commit {
        Commit {
            pipeline: self.pipeline.clone(),
            split: self.split.clone(),
            cursor: self.cursor.clone(),
            epoch: self.epoch,
            sequence: self.sequence,
        }
    }

    /// Units of a split in order.
    pub(super) fn mark(&self) -> (u64, u64) {
        (self.epoch, self.sequence)
    }

    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, Fault> {
        serde_json::to_vec(self)
            .map_err(|error| Fault::broken(format!("the record cannot be written: {error}")))
    }

    /// A record that cannot be read stops the pipeline: to go on without it would publish records twice.
    pub(super) fn from_bytes(path: &str, bytes: &[u8]) -> Result<Self, Fault> {
        serde_json::from_slice(bytes).map_err(|error| {
            Fault::misconfigured(format!(
                "`{path}` is not a record that this version of the plugin wrote: {error}"
            ))
        })
    }
}

mod hex {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};
    use std::fmt::Write as _;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        let text = bytes
            .iter()
            .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
                // Writing to a string cannot fail.
                let _ = write!(text, "{byte:02x}");
                text
            });
        serializer.serialize_str(&text)
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

    #[test]
    fn a_record_survives_its_file() {
        let commit = Commit {
            pipeline: "p".into(),
            split: "s\"".into(),
            cursor: vec![0, 0xff, b'{'],
            epoch: 3,
            sequence: u64::MAX,
        };
        let record = Record::new(
            &commit,
            vec![Pending {
                key: "x/y".into(),
                upload: "u".into(),
                parts: vec!["\"e\"".into()],
            }],
        );
        let bytes = record.to_bytes().expect("bytes");
        let back = Record::from_bytes("r", &bytes).expect("a record");
        assert_eq!(back, record);
        assert_eq!(
            (back.commit().cursor, back.commit().split),
            (commit.cursor, commit.split)
        );
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for bytes in [&b""[..], b"{}", b"\xff", br#"{"pipeline":"p","split":"s","epoch":1,"sequence":1,"cursor":"zz","objects":[],"completed":true}"#] {
            assert!(Record::from_bytes("r", bytes).is_err());
        }
    }
}
