//! The encoding of every value: one byte of version, then JSON.

use super::letter::StandingKind;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sluice_model::fault::{Fault, FaultKind};
use sluice_model::ids::SplitId;
use sluice_model::ports::StoreError;

/// The version written now.
const VERSION: u8 = 1;

/// Why something kept could not be read, or not be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A newer version of the host wrote it.
    #[error(
        "{what} is kept in version {version}, and this version of sluice knows up to {VERSION}"
    )]
    Version {
        /// What was read.
        what: &'static str,
        /// Its first byte.
        version: u8,
    },
    /// It is not what any version wrote.
    #[error("{what} cannot be read back: {reason}")]
    Malformed {
        /// What was read.
        what: &'static str,
        /// What was wrong.
        reason: String,
    },
    /// The pipeline's dead letters would take more than they may. Nothing was written.
    #[error("its dead letters would take {bytes} bytes, and may take {limit}")]
    Full {
        /// What they would take.
        bytes: u64,
        /// What they may.
        limit: u64,
    },
    /// Its unit, or the unit of its redrive, may still turn out either way.
    #[error("dead letter {number} is in a unit of split `{split}` that is not settled yet")]
    Unsettled {
        /// The letter.
        number: u64,
        /// Whose unit.
        split: SplitId,
    },
    /// It was delivered, filtered or discarded.
    #[error("dead letter {number} waits no more: it is {standing}")]
    NotWaiting {
        /// The letter.
        number: u64,
        /// What became of it.
        standing: StandingKind,
    },
    /// What a person made of a record is none.
    #[error("dead letter {number} cannot be edited so: {reason}")]
    Edit {
        /// The letter.
        number: u64,
        /// What is wrong.
        reason: String,
    },
}

impl From<JournalError> for Fault {
    fn from(error: JournalError) -> Fault {
        let told = error.to_string();
        match error {
            JournalError::Full { .. } => Fault::new(FaultKind::DlqFull, told)
                .hint("redrive, discard or export dead letters, or raise what they may take"),
            _ => Fault::new(FaultKind::Host, told),
        }
    }
}

pub(super) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    serde_json::to_writer(&mut bytes, value)
        .expect("records have string keys, and a vector takes every write");
    bytes
}

pub(super) fn decode<T: DeserializeOwned>(
    what: &'static str,
    bytes: &[u8],
) -> Result<T, JournalError> {
    let malformed = |reason: String| JournalError::Malformed { what, reason };
    match bytes.split_first() {
        None => Err(malformed("it is empty".to_owned())),
        Some((&VERSION, json)) => {
            serde_json::from_slice(json).map_err(|error| malformed(error.to_string()))
        }
        Some((&version, _)) => Err(JournalError::Version { what, version }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_version_is_said() {
        assert_eq!(decode::<u32>("a number", &encode(&7u32)), Ok(7));
        let check = |bytes: &[u8], message: &str| {
            let error = decode::<u32>("a number", bytes)
                .expect_err("refused")
                .to_string();
            assert!(error.contains(message), "{error}");
        };
        check(b"\x027", "version 2");
        check(b"", "empty");
        check(b"\x01seven", "expected");
    }
}
