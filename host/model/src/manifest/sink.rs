//! `[sink]`: how a sink wants to be fed, and what it promises.

use crate::guards::Guard;
use crate::limits::{UNIT_BYTES_MAX, UNIT_LINGER_MAX, UNIT_ROWS_MAX};
use crate::sizes::{ByteSize, Span};
use serde::{Deserialize, Serialize};

/// `[sink]`: how a sink wants to be fed, and what it promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SinkShape {
    /// How much the host gathers before one write.
    #[serde(default)]
    pub unit: Unit,
    /// Whether it stores the commit with the records, in one step: `write` prepares, `publish` makes visible.
    #[serde(default)]
    pub transactional: bool,
    /// Whether it sends each record's stable identity, so that the other side drops what it has.
    #[serde(default)]
    pub idempotent: bool,
}

/// How much makes one write: whichever of these is reached first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Unit {
    /// Of records, as they stand in the host's memory.
    pub bytes: ByteSize,
    /// Records.
    pub rows: u64,
    /// The longest a record waits for others.
    pub linger: Span,
}

impl Default for Unit {
    fn default() -> Self {
        Self {
            bytes: ByteSize(1 << 20),
            rows: 100_000,
            linger: Span(std::time::Duration::from_secs(1)),
        }
    }
}

impl Unit {
    /// The first key that asks for more than the host gathers, and what is told of it.
    pub(super) fn beyond(&self) -> Option<(&'static str, String)> {
        let told = |key, asked: String, most: String| {
            let message = format!("`unit` with `{key} = {asked}` is above the ceiling of {most}");
            Some((key, message))
        };
        if self.bytes.0 > Guard::UnitBytes.limit(UNIT_BYTES_MAX) {
            let most = ByteSize(UNIT_BYTES_MAX).to_string();
            return told("bytes", format!("\"{}\"", self.bytes), most);
        }
        if self.rows > Guard::UnitRows.limit(UNIT_ROWS_MAX) {
            return told("rows", self.rows.to_string(), UNIT_ROWS_MAX.to_string());
        }
        if self.linger.0 > Guard::UnitLinger.limit(UNIT_LINGER_MAX) {
            let most = Span(UNIT_LINGER_MAX).to_string();
            return told("linger", format!("\"{}\"", self.linger), most);
        }
        None
    }
}
