//! What a pipeline has seen of late, for sources that repeat themselves: one block a unit, of digests of its records,
//! written with the checkpoint that says that they are delivered.

use super::key;
use super::record::{JournalError, decode, encode};
use serde::{Deserialize, Serialize};
use sluice_model::checkpoint::Mark;
use sluice_model::ids::{PipelineName, SplitId};
use sluice_model::ports::{Namespace, StateBatch, StateStore, StateWrite};
use std::fmt::Write as _;

const WHAT: &str = "a block of what was seen";
/// Blocks read at a time.
const PAGE: usize = 256;

/// The digest of a record.
pub type Digest = [u8; 16];

/// The digests of one unit's records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// Of which split.
    pub split: SplitId,
    /// Which unit.
    pub mark: Mark,
    /// When it was delivered, in milliseconds since 1970.
    pub at_ms: u64,
    /// End to end, in hexadecimal.
    digests: String,
}

impl Block {
    /// Of these.
    pub fn new(split: SplitId, mark: Mark, at_ms: u64, digests: &[Digest]) -> Self {
        let mut text = String::with_capacity(2 * size_of_val(digests));
        for byte in digests.iter().flatten() {
            let _ = write!(text, "{byte:02x}"); // A string takes every write.
        }
        Self {
            split,
            mark,
            at_ms,
            digests: text,
        }
    }

    /// What it holds; none where it is not what was written.
    pub fn digests(&self) -> Result<Vec<Digest>, JournalError> {
        let texts = self.digests.as_bytes().chunks(2 * size_of::<Digest>());
        let digest = |text: &[u8]| {
            let text = std::str::from_utf8(text).ok()?;
            let whole = text.len() == 2 * size_of::<Digest>();
            u128::from_str_radix(text, 16).ok().filter(|_| whole)
        };
        let digests: Option<Vec<Digest>> = texts
            .map(|text| digest(text).map(u128::to_be_bytes))
            .collect();
        digests.ok_or_else(|| JournalError::Malformed {
            what: WHAT,
            reason: "not digests".to_owned(),
        })
    }
}

/// Adds a block to a batch.
pub fn put_seen(batch: &mut StateBatch, pipeline: &PipelineName, block: &Block) {
    let key = key::seen(pipeline, &block.split, block.mark);
    let write = StateWrite::Put(Namespace::Meta, key, encode(block));
    batch.writes.push(write);
}

/// Adds to a batch that the block of this unit goes: it is too old, or its unit was never delivered.
pub fn delete_seen(batch: &mut StateBatch, pipeline: &PipelineName, split: &SplitId, mark: Mark) {
    let key = key::seen(pipeline, split, mark);
    batch.writes.push(StateWrite::Delete(Namespace::Meta, key));
}

/// Every block of a pipeline, in no order.
pub fn seen(store: &dyn StateStore, pipeline: &PipelineName) -> Result<Vec<Block>, JournalError> {
    let (prefix, mut after, mut blocks) = (key::all_seen(pipeline), Vec::new(), Vec::new());
    loop {
        let pairs = store.scan(Namespace::Meta, &prefix, &after, PAGE)?;
        let Some((last, _)) = pairs.last() else {
            return Ok(blocks);
        };
        after.clone_from(last);
        for (_, bytes) in &pairs {
            blocks.push(decode(WHAT, bytes)?);
        }
    }
}
