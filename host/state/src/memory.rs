//! A store that forgets: for simulation and tests. Not durable, by intent.

use crate::bounds;
use crate::sealed::SEAL_BYTES;
use sluice_model::guards::Guard;
use sluice_model::ports::{
    CommitNumber, Namespace, Pairs, StateBatch, StateStats, StateStore, StateWrite, StoreError,
};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A state store in memory.
#[derive(Debug, Default)]
pub struct MemStore {
    held: Mutex<Held>,
    /// What a store above adds to each value.
    seal_bytes: usize,
}

#[derive(Debug, Default)]
struct Held {
    values: BTreeMap<(Namespace, Vec<u8>), Vec<u8>>,
    last_commit: u64,
}

impl MemStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store, to be beneath a sealed one.
    pub fn beneath_a_seal() -> Self {
        Self {
            seal_bytes: SEAL_BYTES,
            ..Self::default()
        }
    }

    /// No code that holds the lock can panic halfway through a change.
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateStore for MemStore {
    fn commit(&self, batch: StateBatch) -> Result<CommitNumber, StoreError> {
        bounds::check_beneath(&batch, self.seal_bytes)?;
        let mut held = self.held();
        let holds = |(namespace, key, value): &(Namespace, Vec<u8>, Option<Vec<u8>>)| {
            held.values.get(&(*namespace, key.clone())) == value.as_ref()
        };
        if Guard::StateFence.bars(!batch.expect.iter().all(holds)) {
            return Err(StoreError::Fenced);
        }
        for write in batch.writes {
            match write {
                StateWrite::Put(namespace, key, value) => {
                    held.values.insert((namespace, key), value)
                }
                StateWrite::Delete(namespace, key) => held.values.remove(&(namespace, key)),
            };
        }
        held.last_commit += 1;
        Ok(CommitNumber(held.last_commit))
    }

    fn get(&self, namespace: Namespace, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.held().values.get(&(namespace, key.to_vec())).cloned())
    }

    fn scan(
        &self,
        namespace: Namespace,
        prefix: &[u8],
        after: &[u8],
        limit: usize,
    ) -> Result<Pairs, StoreError> {
        let start = if after < prefix || after.is_empty() {
            Bound::Included((namespace, prefix.to_vec()))
        } else {
            Bound::Excluded((namespace, after.to_vec()))
        };
        let held = self.held();
        let found = held.values.range((start, Bound::Unbounded));
        let found = found.take_while(|((ns, key), _)| *ns == namespace && key.starts_with(prefix));
        Ok(found
            .take(limit)
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect())
    }

    fn stats(&self) -> StateStats {
        let held = self.held();
        let bytes = held
            .values
            .iter()
            .map(|((_, key), value)| (key.len() + value.len()) as u64)
            .sum();
        StateStats {
            bytes,
            last_commit: CommitNumber(held.last_commit),
            poisoned: false,
        }
    }
}
