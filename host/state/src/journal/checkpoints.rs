//! Checkpoints, and the batch that moves one: with its dead letters, and guarded so that an older owner is fenced.

use super::key;
use super::letters::{DeadLetter, delete_letters, put_letter};
use super::record::{JournalError, decode, encode};
use serde::{Deserialize, Serialize};
use sluice_model::checkpoint::{Checkpoint, Numbers};
use sluice_model::ids::{PipelineName, SplitId};
use sluice_model::ports::{Namespace, StateBatch, StateStore, StateWrite};

const WHAT: &str = "a checkpoint";
/// Checkpoints read at a time.
const PAGE: usize = 256;

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
}

/// A split's checkpoint as this run believes the store holds it. Every change of it is guarded by that belief: where
/// another run has written, the store answers `Fenced` and writes nothing.
#[derive(Debug, Clone)]
pub struct Held {
    pipeline: PipelineName,
    split: SplitId,
    checkpoint: Option<Checkpoint>,
    /// The exact bytes: the guard.
    bytes: Option<Vec<u8>>,
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
    let checkpoint = record.map(|record| record.checkpoint);
    Ok(Held {
        pipeline: pipeline.clone(),
        split: split.clone(),
        checkpoint,
        bytes,
    })
}

impl Held {
    /// What the store holds; none where it holds nothing.
    pub fn checkpoint(&self) -> Option<&Checkpoint> {
        self.checkpoint.as_ref()
    }

    /// The batch that makes `next` the checkpoint, together with these dead letters, whose numbers must follow on one
    /// another (see [`super::Numbering`]); and what is held once that is durable.
    ///
    /// If `next` carries an intent, the letters are pending with it. An intent held until now is settled: its letters
    /// stay where `next.mark` has reached it, else they are deleted.
    pub fn step(
        &self,
        mut next: Checkpoint,
        letters: &[DeadLetter],
        updated_ms: u64,
    ) -> (StateBatch, Held) {
        if let Some(intent) = &mut next.intent {
            let numbers = letters.first().zip(letters.last());
            intent.dead_letters = numbers.map(|(first, last)| Numbers {
                first: first.number,
                last: last.number,
            });
        }
        let key = key::checkpoint(&self.pipeline, &self.split);
        let expect = vec![(Namespace::Checkpoint, key.clone(), self.bytes.clone())];
        let mut batch = StateBatch {
            expect,
            writes: Vec::with_capacity(letters.len() + 1),
        };
        if let Some(intent) = self
            .checkpoint
            .as_ref()
            .and_then(|held| held.intent.as_ref())
            && next.mark < Some(intent.mark)
        {
            delete_letters(&mut batch, &self.pipeline, intent.dead_letters);
        }
        for letter in letters {
            put_letter(&mut batch, letter);
        }
        let (pipeline, split) = (self.pipeline.clone(), self.split.clone());
        let record = CheckpointRecord {
            pipeline,
            split,
            checkpoint: next,
            updated_ms,
        };
        let bytes = encode(&record);
        batch
            .writes
            .push(StateWrite::Put(Namespace::Checkpoint, key, bytes.clone()));
        let CheckpointRecord {
            pipeline,
            split,
            checkpoint,
            ..
        } = record;
        (
            batch,
            Held {
                pipeline,
                split,
                checkpoint: Some(checkpoint),
                bytes: Some(bytes),
            },
        )
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

/// The batch that forgets where a pipeline is (or one split of it), with the dead letters that were pending: the next
/// run delivers everything again. Guarded: a run that is going on is fenced by it, or it by the run.
pub fn reset(
    store: &dyn StateStore,
    pipeline: &PipelineName,
    split: Option<&SplitId>,
) -> Result<StateBatch, JournalError> {
    let (mut batch, mut after) = (StateBatch::default(), Vec::new());
    loop {
        let pairs = store.scan(
            Namespace::Checkpoint,
            &key::pipeline(pipeline),
            &after,
            PAGE,
        )?;
        let Some((last, _)) = pairs.last() else {
            return Ok(batch);
        };
        after.clone_from(last);
        for (key, bytes) in pairs {
            let record: CheckpointRecord = decode(WHAT, &bytes)?;
            if split.is_some_and(|split| *split != record.split) {
                continue;
            }
            let pending = record
                .checkpoint
                .intent
                .and_then(|intent| intent.dead_letters);
            delete_letters(&mut batch, pipeline, pending);
            batch
                .expect
                .push((Namespace::Checkpoint, key.clone(), Some(bytes)));
            batch
                .writes
                .push(StateWrite::Delete(Namespace::Checkpoint, key));
        }
    }
}
