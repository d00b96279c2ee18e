//! Where an object is, and which object it is: a key is no more than a name, an ETag changes with the bytes.

use serde::{Deserialize, Serialize};
use sluice_sdk::Fault;

/// Where an object is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// Of the object that was read.
    pub(crate) etag: String,
    /// How long it is.
    pub(crate) bytes: u64,
    pub(crate) at: At,
}

/// The place in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum At {
    /// Text: all before this byte is read.
    Offset(u64),
    /// Text: in the middle of a record that is longer than any the host takes; whether inside quotes.
    Skipping { offset: u64, quoted: bool },
    /// Parquet: all before this row of this row group is read.
    Row { group: u32, row: u64 },
}

/// The object is not the one it was.
pub(crate) fn lost(key: &str, what: &str) -> Fault {
    Fault::cursor_lost(format!(
        "`{}` {what} since it was read; hint: reset the checkpoint of this split to read it again",
        key.escape_debug()
    ))
}
