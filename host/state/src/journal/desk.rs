//! Where those who write dead letters of one pipeline side by side come to an order: numbers are given out here, and whoever
//! writes letters has the pipeline's turn while it does.

use super::key;
use super::record::{JournalError, decode, encode};
use sluice_model::checkpoint::Numbers;
use sluice_model::ids::PipelineName;
use sluice_model::ports::{Namespace, StateBatch, StateStore, StateWrite};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Numbers are set aside in blocks of so many, so that splits side by side need no commit for each. What is left of a
/// block when the host stops is never used.
const BLOCK: u64 = 1_024;

/// Gives out the numbers of dead letters, and turns at writing them. One for the whole host: of two, each would fence the
/// other's writers.
#[derive(Debug, Default)]
pub struct Desk {
    /// For each pipeline the numbers that are set aside: the next, and the first that is not.
    blocks: Mutex<HashMap<PipelineName, (u64, u64)>>,
    turns: Arc<Turns>,
}

/// The pipelines whose turn is taken.
#[derive(Debug, Default)]
struct Turns {
    taken: Mutex<HashSet<PipelineName>>,
    given_back: Condvar,
}

/// The turn at one pipeline's dead letters and their account, until it is dropped. To be held from when a batch that
/// touches them is built until it is committed: else the account's guard fences one of two who write at once.
#[derive(Debug)]
pub struct Turn {
    pipeline: PipelineName,
    turns: Arc<Turns>,
}

impl Turn {
    /// Whose.
    pub fn pipeline(&self) -> &PipelineName {
        &self.pipeline
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let taken = self.turns.taken.lock();
        taken
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.pipeline);
        self.turns.given_back.notify_all();
    }
}

impl Desk {
    /// Waits for the turn at a pipeline's dead letters. Blocking, and for ever where the same thread has it already.
    pub fn turn(&self, pipeline: &PipelineName) -> Turn {
        let taken = self.turns.taken.lock();
        let taken = taken.unwrap_or_else(PoisonError::into_inner);
        let free = self
            .turns
            .given_back
            .wait_while(taken, |taken| taken.contains(pipeline));
        free.unwrap_or_else(PoisonError::into_inner)
            .insert(pipeline.clone());
        Turn {
            pipeline: pipeline.clone(),
            turns: Arc::clone(&self.turns),
        }
    }

    /// `count` numbers that follow on one another, at least 1. Commits when a new block is needed.
    pub fn reserve(
        &self,
        store: &dyn StateStore,
        pipeline: &PipelineName,
        count: u64,
    ) -> Result<Numbers, JournalError> {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        let (next, end) = blocks.get(pipeline).copied().unwrap_or_default();
        let (next, end) = if end - next >= count {
            (next, end)
        } else {
            set_aside(store, pipeline, count.max(BLOCK))?
        };
        blocks.insert(pipeline.clone(), (next + count, end));
        Ok(Numbers {
            first: next,
            last: next + count.max(1) - 1,
        })
    }
}

fn set_aside(
    store: &dyn StateStore,
    pipeline: &PipelineName,
    count: u64,
) -> Result<(u64, u64), JournalError> {
    let key = key::numbering(pipeline);
    let held = store.get(Namespace::Meta, &key)?;
    let next = held
        .as_deref()
        .map(|bytes| decode("the numbering of dead letters", bytes))
        .transpose()?
        .unwrap_or(1);
    let end: u64 = next + count;
    store.commit(StateBatch {
        expect: vec![(Namespace::Meta, key.clone(), held)],
        writes: vec![StateWrite::Put(Namespace::Meta, key, encode(&end))],
    })?;
    Ok((next, end))
}
