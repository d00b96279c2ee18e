//! Making a pipeline's data unreadable: its keys are destroyed first, then its rows are removed. What a crash leaves
//! between the two is removed when the store is next opened.

use super::{Inner, SealedStore};
use crate::journal::{self, Owner};
use sluice_model::ids::PipelineName;
use sluice_model::ports::{Namespace, StateBatch, StateStore, StateWrite, StoreError};

/// Rows removed in one commit.
const PAGE: usize = 1_024;

/// What was shredded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Shred {
    /// Keys destroyed.
    pub keys: usize,
    /// Places of splits.
    pub checkpoints: u64,
    /// Records that could not be delivered.
    pub dead_letters: u64,
    /// Schemas that were fixed for it.
    pub schemas: u64,
}

impl<S: StateStore + 'static> SealedStore<S> {
    /// Shreds all that is kept for a pipeline, but for the number up to which its dead letters were counted.
    pub fn shred(&self, pipeline: &PipelineName) -> Result<Shred, StoreError> {
        let owner = journal::owner_of(pipeline);
        let keys = self
            .inner
            .keyring_mut()
            .shred(owner, (self.inner.clock)())?;
        let shred = self.inner.sweep(owner)?;
        Ok(Shred { keys, ..shred })
    }
}

impl<S: StateStore> Inner<S> {
    pub(super) fn sweep_what_was_shredded(&self) -> Result<(), StoreError> {
        let owners = self.keyring().unswept();
        for owner in owners {
            self.sweep(owner)?;
        }
        Ok(())
    }

    fn sweep(&self, owner: Owner) -> Result<Shred, StoreError> {
        let remove = |(namespace, prefix): (Namespace, Vec<u8>)| self.remove(namespace, &prefix);
        let [checkpoints, dead_letters, schemas, rest @ ..] = journal::places_of(owner).map(remove);
        let shred = Shred {
            keys: 0,
            checkpoints: checkpoints?,
            dead_letters: dead_letters?,
            schemas: schemas?,
        };
        rest.into_iter().collect::<Result<Vec<_>, _>>()?;
        self.keyring_mut().swept(owner)?;
        Ok(shred)
    }

    fn remove(&self, namespace: Namespace, prefix: &[u8]) -> Result<u64, StoreError> {
        let mut removed = 0;
        loop {
            let pairs = self.below.scan(namespace, prefix, b"", PAGE)?;
            if pairs.is_empty() {
                return Ok(removed);
            }
            removed += pairs.len() as u64;
            let delete = |(key, _)| StateWrite::Delete(namespace, key);
            self.below.commit(StateBatch {
                expect: Vec::new(),
                writes: pairs.into_iter().map(delete).collect(),
            })?;
        }
    }
}
