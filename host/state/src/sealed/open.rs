//! Opening a sealed store: its key first, then its keyring, then the store itself; and making it, or sealing one that
//! was not sealed yet.
//!
//! Invariant: where the keyring says that the store was opened as a sealed one, nothing that is not sealed is taken for
//! it (test: `a_plain_store_in_the_place_of_a_sealed_one_is_refused`).

use super::keyring::{Keyring, Wear};
use super::{OpenError, SealedStore, needs, sealed};
use crate::keys::{Kek, KeyError, KeySource};
use crate::sled_store::{self, Options, Place, SledStore};
use sluice_model::guards::Guard;
use sluice_model::ports::{StateBatch, StateStore, StoreError};
use std::path::{Path, PathBuf};
use std::sync::RwLock;
use std::time::{SystemTime, UNIX_EPOCH};

/// The file of wrapped keys, in the store's directory.
const KEYRING_FILE: &str = "keys";

/// How a store is sealed.
#[derive(Debug, Clone, Copy)]
pub struct Sealing {
    /// When a key is worn.
    pub wear: Wear,
    /// Milliseconds since 1970.
    pub clock: fn() -> u64,
    /// Whether what retired keys have sealed is sealed anew by itself.
    pub in_background: bool,
}

impl Default for Sealing {
    fn default() -> Self {
        Self {
            wear: Wear::default(),
            clock: now_ms,
            in_background: true,
        }
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

fn keyring_file(dir: &Path) -> PathBuf {
    dir.join(KEYRING_FILE)
}

/// Whether something in this directory needs a key that was made before.
pub fn is_sealed(dir: &Path) -> bool {
    keyring_file(dir).exists()
}

/// Opens the store in this directory with the key from there, or creates it. A store that was not sealed is sealed.
pub fn open(
    dir: &Path,
    options: Options,
    sealing: Sealing,
    source: &dyn KeySource,
) -> Result<SealedStore<SledStore>, OpenError> {
    let lock = sled_store::lock(dir)?;
    let keks = source.keys()?;
    let found = sled_store::found(dir)?;
    let keyring = keyring(dir, &keks, &source.place(), sealing.wear, found)?;
    let mut keyring = match found {
        Some(Place::Plain) if Guard::StoreSealed.bars(keyring.kept().is_sealed) => {
            return Err(replaced(dir).into());
        }
        Some(Place::Plain) => seal_all(dir, options.cache_bytes, keyring, sealing)?,
        Some(Place::Sealed) => {
            sled_store::finish(dir)?;
            keyring
        }
        None => keyring,
    };
    let below = SledStore::open_locked(dir, lock, Place::Sealed, options)?;
    // After the store: what a crash leaves in between is a sealed store, and is marked when it is opened again.
    keyring.store_is_sealed()?;
    Ok(SealedStore::above(below, keyring, &sealing)?)
}

/// Seals what another store holds, with the keys in this file. For stores that are not on this disk.
pub fn above<S: StateStore + 'static>(
    below: S,
    keyring_file: &Path,
    sealing: Sealing,
    source: &dyn KeySource,
) -> Result<SealedStore<S>, OpenError> {
    let (keks, place) = (source.keys()?, source.place());
    let keyring = if keyring_file.exists() {
        Keyring::open(keyring_file, &keks, &place, sealing.wear)?
    } else {
        Keyring::create(keyring_file, first(&keks, &place)?, sealing.wear)?
    };
    Ok(SealedStore::above(below, keyring, &sealing)?)
}

fn first(keks: &[Kek], place: &str) -> Result<Kek, KeyError> {
    let first = keks.first().cloned();
    first.ok_or_else(|| KeyError::new(place, "there is no key"))
}

fn keyring(
    dir: &Path,
    keks: &[Kek],
    place: &str,
    wear: Wear,
    found: Option<Place>,
) -> Result<Keyring, OpenError> {
    let file = keyring_file(dir);
    if file.exists() {
        return Keyring::open(&file, keks, place, wear);
    }
    if Guard::KeyringThere.bars(found == Some(Place::Sealed)) {
        let reason = format!(
            "`{}` is missing, and without the keys in it nothing there can be read; restore it from a backup",
            file.display()
        );
        return Err(StoreError::Unopenable(reason).into());
    }
    Ok(Keyring::create(&file, first(keks, place)?, wear)?)
}

/// Nobody makes a sealed store plain again: whoever put this there has no key, and would have his rows sealed with ours.
fn replaced(dir: &Path) -> StoreError {
    StoreError::Unopenable(format!(
        "`{}` holds a store that is not encrypted, and its keys say that it was: another was put in its place; restore \
         the directory from a backup",
        dir.display()
    ))
}

fn seal_all(
    dir: &Path,
    cache_bytes: u64,
    keyring: Keyring,
    sealing: Sealing,
) -> Result<Keyring, OpenError> {
    tracing::warn!(dir = %dir.display(), "the state is not encrypted yet: encrypting it now");
    let keyring = RwLock::new(keyring);
    let poisoned = || StoreError::Unopenable("it panicked while it was sealed".to_owned());
    let seal = |batch: StateBatch| {
        let mut keyring = keyring.write().map_err(|_| poisoned())?;
        let (needs, now_ms) = (needs(&batch.writes), (sealing.clock)());
        while !keyring.take(&needs, now_ms) {
            keyring.provide(&needs, now_ms)?;
        }
        let writes = sealed(&keyring, batch.writes)?;
        Ok(StateBatch { writes, ..batch })
    };
    let rows = sled_store::migrate(dir, cache_bytes, &seal)?;
    tracing::warn!(
        rows,
        "the state is encrypted; what held it before is removed"
    );
    Ok(keyring.into_inner().map_err(|_| poisoned())?)
}

/// Wraps the keys of a store with `to`, so that its key may be changed. Gives whether there was anything to do. The data
/// stays as it is. Nobody may have the store open.
pub fn rewrap(dir: &Path, source: &dyn KeySource, to: &Kek) -> Result<bool, OpenError> {
    if !is_sealed(dir) {
        return Ok(false);
    }
    let _lock = sled_store::lock(dir)?;
    let mut keks = source.keys()?;
    keks.push(to.clone());
    let wear = Wear::default();
    let mut keyring = Keyring::open(&keyring_file(dir), &keks, &source.place(), wear)?;
    if keyring.kek_id() == to.id() {
        return Ok(false);
    }
    keyring.rewrap(to)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::super::keyring_file;
    use super::*;
    use crate::keys::{KeyFile, make_key_file};

    fn told<T>(outcome: Result<T, OpenError>) -> T {
        outcome.unwrap_or_else(|error| panic!("{error}"))
    }

    /// What an earlier version leaves, and a crash between the rename of the format file and the mark.
    #[test]
    fn a_keyring_without_the_mark_gets_it_when_its_store_is_opened() {
        let dir = tempfile::tempdir().expect("a directory");
        let (path, state) = (dir.path().join("key"), dir.path().join("state"));
        make_key_file(&path).expect("a key");
        let source = KeyFile { path };
        let sealing = Sealing {
            in_background: false,
            ..Sealing::default()
        };
        drop(told(open(&state, Options::default(), sealing, &source)));
        let keks = source.keys().unwrap_or_else(|error| panic!("{error}"));
        let read = || told(keyring_file::read(&keyring_file(&state), &keks, "key"));
        let (kek, mut kept) = read();
        assert!(kept.is_sealed, "a store that is new is marked");
        kept.is_sealed = false;
        keyring_file::write(&keyring_file(&state), &kek, &kept).expect("writes");
        drop(told(open(&state, Options::default(), sealing, &source)));
        assert!(read().1.is_sealed);
    }
}
