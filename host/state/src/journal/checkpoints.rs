//! Checkpoints as they are kept and read. The batches that move one: see `steps` and `moves`.

use super::account::Pending;
use super::key;
use super::record::{JournalError, decode, encode};
use serde::{Deserialize, Serialize};
use sluice_model::checkpoint::{Checkpoint, Cursor, Intent, Mark};
use sluice_model::guards::Guard;
use sluice_model::ids::{PipelineName, SplitId};
use sluice_model::ports::{Namespace, StateBatch, StateStore, StateWrite};

const WHAT: &str = "a checkpoint";

/// A checkpoint as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointRecord {
    /// Whose.
    pub pipeline: PipelineName,
    /// Of which split.
    pub split: SplitId,
    /// Where it is.
    pub checkpoint: Checkpoint,
    /// When it was stored, in milliseconds since 1970.
    pub updated_ms: u64,
    /// What settling the checkpoint's intent does to the account; none where that is nothing, or where an older version
    /// wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Pending>,
}

/// A split's checkpoint as this run believes the store holds it. Every change of it is guarded by that belief: where
/// another run has written, the store answers `Fenced` and writes nothing.
#[derive(Debug, Clone)]
pub struct Held {
    pub(super) pipeline: PipelineName,
    pub(super) split: SplitId,
    pub(super) record: Option<CheckpointRecord>,
    /// What is told of it.
    shown: Option<Checkpoint>,
    /// The exact bytes: the guard.
    pub(super) bytes: Option<Vec<u8>>,
}

/// Reads a split's checkpoint to go on from it.
pub fn hold(
    store: &dyn StateStore,
    pipeline: &PipelineName,
    split: &SplitId,
) -> Result<Held, JournalError> {
    let bytes = store.get(Namespace::Checkpoint, &key::checkpoint(pipeline, split))?;
    let record: Option<CheckpointRecord> = bytes
        .as_deref()
        .map(|bytes| decode(WHAT, bytes))
        .transpose()?;
    Ok(Held {
        pipeline: pipeline.clone(),
        split: split.clone(),
        shown: record.as_ref().map(shown),
        record,
        bytes,
    })
}

/// Keeps where splits begin, all in one commit, where no place of them is kept: they were never read, or moved to their
/// beginning with all others.
pub fn begin(
    store: &dyn StateStore,
    pipeline: &PipelineName,
    starts: &[(SplitId, Cursor)],
    now_ms: u64,
) -> Result<(), JournalError> {
    let mut batch = StateBatch::default();
    for (split, start) in starts {
        let held = hold(store, pipeline, split)?;
        let before = held.checkpoint().cloned().unwrap_or_default();
        // What undoes an intent that is not whole is the run's to write.
        if before.place.is_some() || held.intent().is_some() {
            continue;
        }
        let checkpoint = Checkpoint {
            place: Some(start.clone()),
            start: Some(start.clone()),
            ..before
        };
        held.expect(&mut batch);
        held.put(&mut batch, checkpoint, None, now_ms);
    }
    if !batch.writes.is_empty() {
        store.commit(batch)?;
    }
    Ok(())
}

/// The intent of a split, whether or not all its letters are written.
pub(super) fn intent(
    store: &dyn StateStore,
    pipeline: &PipelineName,
    split: &SplitId,
) -> Result<Option<Intent>, JournalError> {
    let record = hold(store, pipeline, split)?.record;
    Ok(record.and_then(|record| record.checkpoint.intent))
}

/// The checkpoint without an intent that can only be undone: its unit counts as not delivered, whatever a sink says.
fn shown(record: &CheckpointRecord) -> Checkpoint {
    let mut checkpoint = record.checkpoint.clone();
    let is_partial = record.pending.is_some_and(|pending| pending.partial);
    if Guard::IntentWhole.bars(is_partial) {
        checkpoint.intent = None;
    }
    checkpoint
}

impl Held {
    /// What the store holds; none where it holds nothing. An intent of which not all dead letters are there is not in it.
    pub fn checkpoint(&self) -> Option<&Checkpoint> {
        self.shown.as_ref()
    }

    /// The same, with such an intent.
    pub(super) fn stored(&self) -> Option<&Checkpoint> {
        self.record.as_ref().map(|record| &record.checkpoint)
    }

    pub(super) fn intent(&self) -> Option<&Intent> {
        self.stored()
            .and_then(|checkpoint| checkpoint.intent.as_ref())
    }

    /// The unit of the intent that the store holds, whether or not all its dead letters are there.
    pub fn under_way(&self) -> Option<Mark> {
        self.intent().map(|intent| intent.mark)
    }

    /// Adds to a batch that the split's checkpoint becomes this, where it is still what is held; what is held then is
    /// given back.
    pub(super) fn put(
        &self,
        batch: &mut StateBatch,
        checkpoint: Checkpoint,
        pending: Option<Pending>,
        updated_ms: u64,
    ) -> Held {
        let (pipeline, split) = (self.pipeline.clone(), self.split.clone());
        let key = key::checkpoint(&pipeline, &split);
        let record = CheckpointRecord {
            pipeline,
            split,
            checkpoint,
            updated_ms,
            pending,
        };
        let bytes = encode(&record);
        let put = StateWrite::Put(Namespace::Checkpoint, key, bytes.clone());
        batch.writes.push(put);
        Held {
            pipeline: self.pipeline.clone(),
            split: self.split.clone(),
            shown: Some(shown(&record)),
            record: Some(record),
            bytes: Some(bytes),
        }
    }

    /// Adds to a batch that it holds only where the split's checkpoint is still what is held.
    pub(super) fn expect(&self, batch: &mut StateBatch) {
        let key = key::checkpoint(&self.pipeline, &self.split);
        let expect = (Namespace::Checkpoint, key, self.bytes.clone());
        batch.expect.push(expect);
    }
}

/// Checkpoints of a pipeline, at most `limit`, after this key (none: from the first), with the key to go on from
/// (none: that was all).
pub fn checkpoints(
    store: &dyn StateStore,
    pipeline: &PipelineName,
    after: Option<&[u8]>,
    limit: usize,
) -> Result<(Vec<CheckpointRecord>, Option<Vec<u8>>), JournalError> {
    let prefix = key::pipeline(pipeline);
    let pairs = store.scan(
        Namespace::Checkpoint,
        &prefix,
        after.unwrap_or_default(),
        limit,
    )?;
    let next = pairs
        .last()
        .filter(|_| pairs.len() == limit)
        .map(|(key, _)| key.clone());
    let records = pairs
        .iter()
        .map(|(_, bytes)| decode(WHAT, bytes))
        .collect::<Result<_, _>>()?;
    Ok((records, next))
}
