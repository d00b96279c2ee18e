//! The state store, sealed: what is written to the store below is encrypted and bound to its place, and nothing opens
//! it but the key of the deployment. Keys in the store stay readable: they hold digests of names, and numbers.
//!
//! Invariant: no value reaches the store below unsealed, and none that does not open is ever given (test: `sealed`).
//! What this does not see: a row put back as it was before. A run that holds it does, for its guard compares the value;
//! that a whole store was put back is for the number of the last commit to show.

mod keyring;
mod keyring_file;
mod open;
mod reseal;
mod seal;
mod shred;

pub use keyring::{Class, Wear};
pub use keyring_file::Status;
pub use open::{Sealing, above, is_sealed, open, rewrap};
pub use reseal::Resealed;
pub use shred::Shred;

pub(crate) use seal::{Dek, Place, SEAL_BYTES, StoreId};
pub(crate) use seal::{open as open_value, seal as seal_value};

use crate::bounds;
use crate::keys::{KeyError, KeyId};
use keyring::{Keyring, Needs, Shared, whose};
use reseal::Resealer;
use sluice_model::guards::Guard;
use sluice_model::ports::{
    CommitNumber, Namespace, Pairs, StateBatch, StateStats, StateStore, StateWrite, StoreError,
};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// How often a commit looks again because a row it guards was sealed anew meanwhile.
const ATTEMPTS_MAX: usize = 100;

/// Why a sealed store does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Its key is missing, or is another.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The store itself.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A store whose values are sealed, above one that keeps them.
pub struct SealedStore<S: StateStore> {
    inner: Arc<Inner<S>>,
    /// Ends with the store.
    resealer: Option<Resealer>,
}

/// What the store shares with the thread that seals anew.
pub(crate) struct Inner<S> {
    below: S,
    keyring: Shared,
    clock: fn() -> u64,
}

/// One of the keys that seal data, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct KeyView {
    /// Which.
    pub id: KeyId,
    /// What it seals.
    pub class: Class,
    /// Whether it still does.
    pub status: Status,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// Seals made, or set aside to be made.
    pub seals: u64,
}

impl<S: StateStore + 'static> SealedStore<S> {
    /// Seals what this store holds with the keys of this keyring.
    pub(crate) fn above(below: S, keyring: Keyring, sealing: &Sealing) -> Result<Self, StoreError> {
        let inner = Arc::new(Inner {
            below,
            keyring: Arc::new(RwLock::new(keyring)),
            clock: sealing.clock,
        });
        inner.sweep_what_was_shredded()?;
        let resealer = sealing
            .in_background
            .then(|| Resealer::start(&inner))
            .transpose()?;
        Ok(Self { inner, resealer })
    }

    /// The key of the deployment that opens this.
    pub fn key(&self) -> KeyId {
        self.inner.keyring().kek_id()
    }

    /// The keys that seal its data.
    pub fn keys(&self) -> Vec<KeyView> {
        let keyring = self.inner.keyring();
        let keys = keyring.kept().keys.iter().map(|record| KeyView {
            id: record.id,
            class: record.class,
            status: record.status,
            created_ms: record.created_ms,
            seals: record.seals,
        });
        keys.collect()
    }

    /// Seals anew what is under retired keys, then destroys those. In the background this happens by itself, once their
    /// time is over.
    pub fn reseal(&self) -> Result<Resealed, StoreError> {
        let retired = self.inner.keyring().retired();
        self.inner.reseal(&retired, &|| true)
    }
}

impl<S> Inner<S> {
    fn keyring(&self) -> RwLockReadGuard<'_, Keyring> {
        self.keyring.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A keyring is changed in one step, after its file: a panic leaves it whole.
    fn keyring_mut(&self) -> RwLockWriteGuard<'_, Keyring> {
        self.keyring.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The keyring with so many seals taken, and whether a key was retired for that. Whoever seals keeps it until what
    /// is sealed is committed.
    fn provided(&self, needs: &Needs) -> Result<(RwLockReadGuard<'_, Keyring>, bool), StoreError> {
        let now_ms = (self.clock)();
        let keyring = self.keyring();
        if keyring.take(needs, now_ms) {
            return Ok((keyring, false));
        }
        drop(keyring);
        let mut keyring = self.keyring_mut();
        let has_retired = !keyring.take(needs, now_ms) && {
            let has_retired = keyring.provide(needs, now_ms)?;
            if !keyring.take(needs, now_ms) {
                let reason = "its keys cannot be used as often as was set aside".to_owned();
                return Err(StoreError::Failed(reason));
            }
            has_retired
        };
        Ok((RwLockWriteGuard::downgrade(keyring), has_retired))
    }
}

fn needs(writes: &[StateWrite]) -> Needs {
    let mut needs = Needs::new();
    for write in writes {
        if let StateWrite::Put(namespace, key, _) = write {
            *needs.entry(whose(*namespace, key)).or_default() += 1;
        }
    }
    needs
}

fn sealed(keyring: &Keyring, writes: Vec<StateWrite>) -> Result<Vec<StateWrite>, StoreError> {
    let seal = |write| match write {
        StateWrite::Put(namespace, key, value) => {
            let value = keyring.seal(namespace, &key, &value)?;
            Ok(StateWrite::Put(namespace, key, value))
        }
        delete @ StateWrite::Delete(..) => Ok(delete),
    };
    writes.into_iter().map(seal).collect()
}

type Guards = Vec<(Namespace, Vec<u8>, Option<Vec<u8>>)>;

impl<S: StateStore> Inner<S> {
    /// Guards on values as guards on what is stored for them; none where one does not hold.
    fn guards(&self, keyring: &Keyring, expect: &Guards) -> Result<Option<Guards>, StoreError> {
        let mut guards = Guards::with_capacity(expect.len());
        for (namespace, key, expected) in expect {
            let stored = self.below.get(*namespace, key)?;
            let value = match &stored {
                Some(sealed) => Some(keyring.open_value(*namespace, key, sealed.clone())?),
                None => None,
            };
            if Guard::StateFence.bars(value != *expected) {
                return Ok(None);
            }
            guards.push((*namespace, key.clone(), stored));
        }
        Ok(Some(guards))
    }

    fn commit(&self, batch: StateBatch) -> Result<(CommitNumber, bool), StoreError> {
        bounds::check(&batch)?;
        let StateBatch { expect, writes } = batch;
        let (keyring, has_retired) = self.provided(&needs(&writes))?;
        let writes = sealed(&keyring, writes)?;
        for _ in 0..ATTEMPTS_MAX {
            let Some(expect) = self.guards(&keyring, &expect)? else {
                break;
            };
            let writes = writes.clone();
            match self.below.commit(StateBatch { expect, writes }) {
                // Changed since it was looked at, or only sealed anew: looking again tells.
                Err(StoreError::Fenced) => {}
                outcome => return outcome.map(|number| (number, has_retired)),
            }
        }
        Err(StoreError::Fenced)
    }
}

impl<S: StateStore + 'static> StateStore for SealedStore<S> {
    fn commit(&self, batch: StateBatch) -> Result<CommitNumber, StoreError> {
        let (number, has_retired) = self.inner.commit(batch)?;
        if has_retired && let Some(resealer) = &self.resealer {
            resealer.wake();
        }
        Ok(number)
    }

    fn get(&self, namespace: Namespace, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let keyring = self.inner.keyring();
        let stored = self.inner.below.get(namespace, key)?;
        stored
            .map(|sealed| keyring.open_value(namespace, key, sealed))
            .transpose()
    }

    fn scan(
        &self,
        namespace: Namespace,
        prefix: &[u8],
        after: &[u8],
        limit: usize,
    ) -> Result<Pairs, StoreError> {
        let keyring = self.inner.keyring();
        let pairs = self.inner.below.scan(namespace, prefix, after, limit)?;
        let open = |(key, sealed): (Vec<u8>, Vec<u8>)| {
            let value = keyring.open_value(namespace, &key, sealed)?;
            Ok((key, value))
        };
        pairs.into_iter().map(open).collect()
    }

    fn stats(&self) -> StateStats {
        self.inner.below.stats()
    }
}
