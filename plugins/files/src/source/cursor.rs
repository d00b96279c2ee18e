//! Where a file is, and how it is known again: by the bytes it begins with.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sluice_sdk::Fault;
use sluice_sdk::files::{FileError, Readable};
use std::fmt::Write as _;

/// How much of a file's beginning is remembered. Only bytes that were read count, so a file may grow.
const HEAD_BYTES_MAX: u64 = 4 << 10;

/// Where a file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// All before this byte is read.
    pub(crate) offset: u64,
    /// The hash of the first bytes read, [`HEAD_BYTES_MAX`] at most.
    pub(crate) head: String,
    /// How many those are.
    pub(crate) head_bytes: u64,
    /// Set in the middle of a record that is being skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) skipping: Option<Skipping>,
}

/// In the middle of a record that is longer than any the host takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Skipping {
    /// CSV: whether the place is inside quotes.
    pub(crate) quoted: bool,
}

impl Cursor {
    /// At the beginning of a file.
    pub(crate) fn start() -> Self {
        Self {
            offset: 0,
            head: head_hash(&[]),
            head_bytes: 0,
            skipping: None,
        }
    }

    /// Whether the file at `path` is still the one this cursor was made for.
    pub(crate) fn verify(&self, dir: &Readable, path: &str) -> Result<(), Fault> {
        let head = match read_exact(dir, path, self.head_bytes) {
            Err(FileError::NotFound(_)) => return Err(lost(path, "is gone")),
            other => other?,
        };
        if head.len() as u64 != self.head_bytes || head_hash(&head) != self.head {
            return Err(lost(path, "is not the file it was"));
        }
        let last = self.offset.saturating_sub(1);
        if self.offset > 0 && dir.read(path, last, 1)?.is_empty() {
            return Err(lost(path, "is shorter than it was"));
        }
        Ok(())
    }

    /// Moves on, remembering more of the file's beginning while there is more to remember.
    pub(crate) fn advance(
        &mut self,
        dir: &Readable,
        path: &str,
        bytes: usize,
    ) -> Result<(), Fault> {
        self.offset += bytes as u64;
        let head_bytes = self.offset.min(HEAD_BYTES_MAX);
        if head_bytes > self.head_bytes {
            let head = read_exact(dir, path, head_bytes)?;
            self.head_bytes = head.len() as u64;
            self.head = head_hash(&head);
        }
        Ok(())
    }
}

fn lost(path: &str, what: &str) -> Fault {
    Fault::cursor_lost(format!(
        "`{path}` {what} since it was read; hint: reset the checkpoint of this split to read it again"
    ))
}

/// The file's first bytes: `count` of them, or all there are.
fn read_exact(dir: &Readable, path: &str, count: u64) -> Result<Vec<u8>, FileError> {
    let mut head = Vec::new();
    while (head.len() as u64) < count {
        let missing = u32::try_from(count - head.len() as u64).unwrap_or(u32::MAX);
        let more = dir.read(path, head.len() as u64, missing)?;
        if more.is_empty() {
            break;
        }
        head.extend_from_slice(&more);
    }
    Ok(head)
}

/// Half of SHA-256: enough to know a file again, and short in a checkpoint.
fn head_hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes)[..16]
        .iter()
        .fold(String::new(), |mut hex, byte| {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}
