//! The keys that seal data, by what they seal. In memory; how they lie on disk is in `keyring_file`.
//!
//! Invariant: a key that has sealed anything is on disk, with a count of seals that is never too low (test:
//! `seals_are_counted_before_they_are_made`). Counts are set aside in blocks, written before the first of a block.
//! Invariant: only the active key of a class and owner seals; whoever seals holds the keyring until its value is
//! committed, so that once a key is retired no value under it can still appear.

use super::keyring_file::{self, Kept, Record, Shredded, Status};
use super::seal::{self, Dek, Place};
use crate::journal::{Owner, owner};
use crate::keys::{Kek, KeyId, NoRandom, random};
use serde::{Deserialize, Serialize};
use sluice_model::guards::Guard;
use sluice_model::ports::{Namespace, StoreError};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use zeroize::Zeroizing;

/// Seals set aside at once: the first block of a process, and the largest. A block that is not used up when the
/// process ends counts as used.
const BLOCK_MIN: u64 = 1 << 10;
const BLOCK_MAX: u64 = 1 << 16;

/// What a key seals. One key for each class and pipeline, so that destroying it shreds that and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Where splits are.
    Checkpoint,
    /// Records that could not be delivered.
    DeadLetter,
    /// Schemas and counters.
    Meta,
}

/// Who a key is for: what it seals, and whose that is; none for what belongs to the store as a whole.
pub(super) type For = (Class, Option<Owner>);

/// How long a key seals, and how often.
#[derive(Debug, Clone, Copy)]
pub struct Wear {
    /// Far below 2^32, where random nonces begin to be likely to meet.
    pub seals_max: u64,
    /// So that a stolen key opens little.
    pub age_ms_max: u64,
}

impl Default for Wear {
    fn default() -> Self {
        Self {
            seals_max: 1 << 24,
            age_ms_max: 24 * 60 * 60 * 1_000,
        }
    }
}

/// How many seals under which keys.
pub(super) type Needs = HashMap<For, u64>;

pub(super) fn class(namespace: Namespace) -> (Class, u8) {
    match namespace {
        Namespace::Checkpoint => (Class::Checkpoint, 1),
        Namespace::DeadLetter => (Class::DeadLetter, 2),
        Namespace::Meta => (Class::Meta, 3),
    }
}

pub(super) fn whose(namespace: Namespace, key: &[u8]) -> For {
    (class(namespace).0, owner(namespace, key))
}

/// A key in use.
struct Open {
    dek: Dek,
    /// Seals made or set aside by others; up to the record's count they may be made.
    used: AtomicU64,
    block: u64,
}

pub(crate) struct Keyring {
    path: PathBuf,
    kek: Kek,
    kept: Kept,
    open: HashMap<KeyId, Open>,
    wear: Wear,
}

impl Keyring {
    /// Makes a keyring without keys, for a new store.
    pub fn create(path: &Path, kek: Kek, wear: Wear) -> Result<Self, StoreError> {
        let kept = Kept::new(random().map_err(failed)?, kek.id());
        keyring_file::write(path, &kek, &kept).map_err(|error| unopenable(path, &error))?;
        Ok(Self::of(path, kek, kept, HashMap::new(), wear))
    }

    /// Reads a keyring, and unwraps its keys.
    pub fn open(
        path: &Path,
        keks: &[Kek],
        place: &str,
        wear: Wear,
    ) -> Result<Self, super::OpenError> {
        let (kek, kept) = keyring_file::read(path, keks, place)?;
        let mut open = HashMap::new();
        for record in &kept.keys {
            let bytes = kek
                .unwrap(&record.context(&kept.store), &record.wrapped)
                .ok_or_else(|| unopenable(path, &format!("key `{}` was changed", record.id)))?;
            // What was set aside and not used is not known after a crash: it counts as used.
            open.insert(record.id, opened(record.id, &bytes, record.seals));
        }
        Ok(Self::of(path, kek, kept, open, wear))
    }

    fn of(path: &Path, kek: Kek, kept: Kept, open: HashMap<KeyId, Open>, wear: Wear) -> Self {
        Self {
            path: path.to_owned(),
            kek,
            kept,
            open,
            wear,
        }
    }

    /// The deployment's key, as it was when this was opened.
    pub fn kek_id(&self) -> KeyId {
        self.kek.id()
    }

    /// What is known of each key, and of those that were shredded.
    pub fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Keeps that the store was opened as a sealed one.
    pub fn store_is_sealed(&mut self) -> Result<(), StoreError> {
        if self.kept.is_sealed {
            return Ok(());
        }
        let mut next = self.kept.clone();
        next.is_sealed = true;
        self.replace(next)
    }

    fn active(&self, of: For) -> Option<&Record> {
        let mut keys = self.kept.keys.iter();
        keys.find(|record| record.status == Status::Active && record.of() == of)
    }

    /// Takes the right to make so many seals; no, where that has to be set aside first.
    pub fn take(&self, needs: &Needs, now_ms: u64) -> bool {
        needs.iter().all(|(of, seals)| {
            let Some(record) = self
                .active(*of)
                .filter(|record| !self.is_old(record, now_ms))
            else {
                return false;
            };
            let used = &self.open[&record.id].used;
            let take = |used: u64| {
                used.checked_add(*seals)
                    .filter(|used| *used <= record.seals)
            };
            used.fetch_update(Ordering::AcqRel, Ordering::Acquire, take)
                .is_ok()
        })
    }

    fn is_old(&self, record: &Record, now_ms: u64) -> bool {
        Guard::KeyAge.bars(now_ms.saturating_sub(record.created_ms) >= self.wear.age_ms_max)
    }

    /// Sets so many seals aside, and makes new keys where there are none or the old ones are worn. Durable when this
    /// returns; where it fails, nothing is changed. Whether a key was retired.
    pub fn provide(&mut self, needs: &Needs, now_ms: u64) -> Result<bool, StoreError> {
        let mut next = self.kept.clone();
        let mut made: Vec<(KeyId, Open)> = Vec::new();
        let mut blocks: Vec<(KeyId, u64)> = Vec::new();
        let mut has_retired = false;
        for (of, seals) in needs {
            let worn = |record: &Record| {
                let used = self.open[&record.id].used.load(Ordering::Acquire);
                self.is_old(record, now_ms)
                    || used.saturating_add(*seals) > Guard::KeySeals.limit(self.wear.seals_max)
            };
            let active = next
                .keys
                .iter_mut()
                .find(|record| record.status == Status::Active && record.of() == *of);
            match active {
                Some(record) if !worn(record) => {
                    let open = &self.open[&record.id];
                    let block = (open.block * 2).min(BLOCK_MAX);
                    let used = open.used.load(Ordering::Acquire);
                    let aside = used.saturating_add(block.max(*seals));
                    record.seals = record
                        .seals
                        .max(aside.min(Guard::KeySeals.limit(self.wear.seals_max)));
                    blocks.push((record.id, block));
                    continue;
                }
                Some(record) => {
                    record.status = Status::DecryptOnly;
                    has_retired = true;
                }
                None => {}
            }
            let (record, open) =
                self.make(*of, BLOCK_MIN.min(self.wear.seals_max).max(*seals), now_ms)?;
            made.push((record.id, open));
            next.keys.push(record);
        }
        self.replace(next)?;
        self.open.extend(made);
        for (id, block) in blocks {
            if let Some(open) = self.open.get_mut(&id) {
                open.block = block;
            }
        }
        Ok(has_retired)
    }

    fn make(&self, of: For, seals: u64, now_ms: u64) -> Result<(Record, Open), StoreError> {
        let id = KeyId(random().map_err(failed)?);
        let bytes = Zeroizing::new(random().map_err(failed)?);
        let mut record = Record {
            id,
            class: of.0,
            owner: of.1,
            created_ms: now_ms,
            seals,
            status: Status::Active,
            wrapped: Vec::new(),
        };
        let context = record.context(&self.kept.store);
        record.wrapped = self.kek.wrap(&context, &bytes).map_err(failed)?;
        Ok((record, opened(id, &bytes, 0)))
    }

    fn replace(&mut self, next: Kept) -> Result<(), StoreError> {
        keyring_file::write(&self.path, &self.kek, &next)
            .map_err(|error| StoreError::Failed(format!("`{}`: {error}", self.path.display())))?;
        self.kept = next;
        Ok(())
    }

    /// Seals a value for its place. The right to do so was taken.
    pub fn seal(
        &self,
        namespace: Namespace,
        key: &[u8],
        value: &[u8],
    ) -> Result<Vec<u8>, StoreError> {
        let record = self.active(whose(namespace, key));
        let record = record.expect("seals are taken before they are made");
        let place = self.place(namespace, key);
        seal::seal(&self.open[&record.id].dek, place, value).map_err(failed)
    }

    /// Opens a value. The error names the row, and why.
    pub fn open_value(
        &self,
        namespace: Namespace,
        key: &[u8],
        sealed: Vec<u8>,
    ) -> Result<Vec<u8>, StoreError> {
        let unreadable = |reason: String| {
            StoreError::Unreadable(format!("{} `{}`: {reason}", row(namespace), hex(key)))
        };
        let id = seal::key_id(&sealed).map_err(|error| unreadable(error.to_string()))?;
        let Some(open) = self.open.get(&id) else {
            let is_shredded = self.kept.shredded.iter().any(|shredded| shredded.id == id);
            return Err(unreadable(if is_shredded {
                format!("it was shredded: its key `{id}` is destroyed")
            } else {
                format!("it is sealed with key `{id}`, which this store does not have")
            }));
        };
        let opened = seal::open(&open.dek, self.place(namespace, key), sealed);
        opened.map_err(|error| unreadable(error.to_string()))
    }

    fn place<'a>(&'a self, namespace: Namespace, key: &'a [u8]) -> Place<'a> {
        Place {
            store: &self.kept.store,
            space: class(namespace).1,
            key,
        }
    }

    /// Retires every active key that is too old, without waiting for the next seal. Whether there was one.
    pub fn retire_old(&mut self, now_ms: u64) -> Result<bool, StoreError> {
        let mut next = self.kept.clone();
        let mut has_retired = false;
        for record in &mut next.keys {
            if record.status == Status::Active && self.is_old(record, now_ms) {
                record.status = Status::DecryptOnly;
                has_retired = true;
            }
        }
        if has_retired {
            self.replace(next)?;
        }
        Ok(has_retired)
    }

    /// Keys that open and seal no more.
    pub fn retired(&self) -> Vec<KeyId> {
        let keys = self.kept.keys.iter();
        let retired = keys.filter(|record| record.status == Status::DecryptOnly);
        retired.map(|record| record.id).collect()
    }

    /// Of those the ones whose time is over. One that was worn before waits for it: else a pipeline with more rows than one
    /// key may seal would be sealed anew without end.
    pub fn due(&self, now_ms: u64) -> Vec<KeyId> {
        let keys = self.kept.keys.iter();
        let due = keys
            .filter(|record| record.status == Status::DecryptOnly && self.is_old(record, now_ms));
        due.map(|record| record.id).collect()
    }

    /// Forgets keys under which no value is left.
    pub fn destroy(&mut self, ids: &[KeyId]) -> Result<(), StoreError> {
        let mut next = self.kept.clone();
        next.keys.retain(|record| !ids.contains(&record.id));
        self.replace(next)?;
        self.open.retain(|id, _| !ids.contains(id));
        Ok(())
    }

    /// Destroys every key of an owner. What they sealed is unreadable from here on; its rows are still there, until
    /// [`Keyring::swept`].
    pub fn shred(&mut self, owner: Owner, at_ms: u64) -> Result<usize, StoreError> {
        let mut next = self.kept.clone();
        let (gone, left): (Vec<Record>, Vec<Record>) = next
            .keys
            .into_iter()
            .partition(|record| record.owner == Some(owner));
        next.keys = left;
        next.shredded.extend(gone.iter().map(|record| Shredded {
            id: record.id,
            owner,
            at_ms,
            is_swept: false,
        }));
        // The file that is replaced still holds the keys, on blocks that the disk has not used again.
        let old = std::fs::OpenOptions::new().write(true).open(&self.path);
        self.replace(next)?;
        for record in &gone {
            self.open.remove(&record.id);
        }
        if let Err(error) = old.and_then(|old| crate::durable::wipe(&old)) {
            tracing::warn!(%error, "the replaced keyring could not be overwritten; it is removed all the same");
        }
        Ok(gone.len())
    }

    /// Owners whose shredded rows may still be there.
    pub fn unswept(&self) -> Vec<Owner> {
        let shredded = self.kept.shredded.iter().filter(|one| !one.is_swept);
        let mut owners: Vec<Owner> = shredded.map(|one| one.owner).collect();
        owners.sort_unstable();
        owners.dedup();
        owners
    }

    /// The shredded rows of this owner are gone.
    pub fn swept(&mut self, owner: Owner) -> Result<(), StoreError> {
        let mut next = self.kept.clone();
        for shredded in next.shredded.iter_mut().filter(|one| one.owner == owner) {
            shredded.is_swept = true;
        }
        self.replace(next)
    }

    /// Wraps every key with another key of the deployment.
    pub fn rewrap(&mut self, kek: &Kek) -> Result<(), StoreError> {
        let mut next = self.kept.clone();
        next.kek = kek.id();
        for record in &mut next.keys {
            let context = record.context(&next.store);
            let bytes = self.kek.unwrap(&context, &record.wrapped);
            let bytes = bytes.expect("it was unwrapped when the keyring was opened");
            record.wrapped = kek.wrap(&context, &bytes).map_err(failed)?;
        }
        keyring_file::write(&self.path, kek, &next)
            .map_err(|error| StoreError::Failed(format!("`{}`: {error}", self.path.display())))?;
        self.kek = kek.clone();
        self.kept = next;
        Ok(())
    }
}

fn opened(id: KeyId, bytes: &Zeroizing<[u8; 32]>, used: u64) -> Open {
    Open {
        dek: Dek::new(id, bytes),
        used: AtomicU64::new(used),
        block: BLOCK_MIN / 2,
    }
}

fn row(namespace: Namespace) -> &'static str {
    match namespace {
        Namespace::Checkpoint => "checkpoint",
        Namespace::DeadLetter => "dead letter",
        Namespace::Meta => "metadata",
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[allow(clippy::needless_pass_by_value, reason = "it is how `map_err` calls")]
pub(super) fn failed(error: NoRandom) -> StoreError {
    StoreError::Failed(error.to_string())
}

fn unopenable(path: &Path, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Unopenable(format!("`{}`: {error}", path.display()))
}

/// Shared by all who seal and open.
pub(super) type Shared = Arc<std::sync::RwLock<Keyring>>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{KeyFile, KeySource as _, make_key_file};

    const OURS: For = (Class::DeadLetter, Some([1; 16]));
    const WEAR: Wear = Wear {
        seals_max: 10_000,
        age_ms_max: 1_000,
    };

    struct Ground {
        folder: tempfile::TempDir,
        source: KeyFile,
    }

    impl Ground {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("key");
            make_key_file(&path).expect("a key");
            Self {
                folder,
                source: KeyFile { path },
            }
        }

        fn keks(&self) -> Vec<Kek> {
            self.source.keys().unwrap_or_else(|error| panic!("{error}"))
        }

        fn file(&self) -> PathBuf {
            self.folder.path().join("keys")
        }

        fn create(&self) -> Keyring {
            let kek = self.keks().remove(0);
            Keyring::create(&self.file(), kek, WEAR).unwrap_or_else(|error| panic!("{error}"))
        }

        fn open(&self) -> Keyring {
            let opened = Keyring::open(&self.file(), &self.keks(), "key", WEAR);
            opened.unwrap_or_else(|error| panic!("{error}"))
        }
    }

    fn taken(keyring: &mut Keyring, seals: u64, now_ms: u64) {
        let needs = Needs::from([(OURS, seals)]);
        if !keyring.take(&needs, now_ms) {
            keyring.provide(&needs, now_ms).expect("provides");
            assert!(keyring.take(&needs, now_ms));
        }
    }

    fn seals_on_disk(keyring: &Keyring) -> u64 {
        keyring.kept.keys.iter().map(|record| record.seals).sum()
    }

    #[test]
    fn seals_are_counted_before_they_are_made() {
        let ground = Ground::new();
        let mut keyring = ground.create();
        let mut made = 0;
        for round in 0..200 {
            taken(&mut keyring, 1 + round % 7, 0);
            made += 1 + round % 7;
            // What a crash here leaves: read from the file, not from memory.
            assert!(seals_on_disk(&ground.open()) >= made, "round {round}");
        }
        // A key that was opened again counts all that was set aside as made.
        let mut again = ground.open();
        let before = seals_on_disk(&again);
        assert!(
            !again.take(&Needs::from([(OURS, 1)]), 0),
            "nothing is set aside"
        );
        taken(&mut again, 1, 0);
        assert!(seals_on_disk(&ground.open()) > before);
    }

    #[test]
    fn a_key_is_retired_when_it_is_worn_or_old() {
        let ground = Ground::new();
        let mut keyring = ground.create();
        for _ in 0..100 {
            taken(&mut keyring, 100, 0);
        }
        assert_eq!(keyring.retired().len(), 0);
        taken(&mut keyring, 1, 0);
        assert_eq!((keyring.due(999).len(), keyring.due(1_000).len()), (0, 1));
        assert_eq!((keyring.retired().len(), keyring.kept.keys.len()), (1, 2));
        taken(&mut keyring, 1, 999);
        assert_eq!(keyring.retired().len(), 1);
        taken(&mut keyring, 1, 1_000);
        assert_eq!(keyring.retired().len(), 2, "too old");
        // A clock that was set back retires nothing, and the count still holds.
        taken(&mut keyring, 1, 500);
        assert_eq!(ground.open().retired().len(), 2);
    }

    #[test]
    fn a_changed_keyring_is_refused() {
        let ground = Ground::new();
        let mut keyring = ground.create();
        taken(&mut keyring, 5, 0);
        let whole = std::fs::read(ground.file()).expect("reads");
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            std::fs::write(ground.file(), &changed).expect("writes");
            let opened = Keyring::open(&ground.file(), &ground.keks(), "key", WEAR);
            assert!(opened.is_err(), "byte {at}");
        }
        for length in 0..whole.len() {
            std::fs::write(ground.file(), &whole[..length]).expect("writes");
            let opened = Keyring::open(&ground.file(), &ground.keks(), "key", WEAR);
            assert!(opened.is_err(), "{length} bytes");
        }
        std::fs::write(ground.file(), &whole).expect("writes");
        assert_eq!(ground.open().kept.keys.len(), 1);
    }

    #[test]
    fn another_key_of_the_deployment_changes_no_data() {
        let ground = Ground::new();
        let mut keyring = ground.create();
        taken(&mut keyring, 1, 0);
        let row = [[1; 16].as_slice(), b"7"].concat();
        let space = Namespace::DeadLetter;
        let sealed = keyring.seal(space, &row, b"v").expect("seals");
        let next = ground.folder.path().join("next");
        make_key_file(&next).expect("a key");
        let source = KeyFile { path: next };
        let keks = source.keys().unwrap_or_else(|error| panic!("{error}"));
        keyring.rewrap(&keks[0]).expect("rewraps");
        assert_eq!(
            keyring.open_value(space, &row, sealed.clone()),
            Ok(b"v".to_vec())
        );
        let old = Keyring::open(&ground.file(), &ground.keks(), "key file `key`", WEAR).err();
        let told = old.expect("the old key opens it no more").to_string();
        assert!(told.contains(&keks[0].id().to_string()), "{told}");
        let opened = Keyring::open(&ground.file(), &keks, "key", WEAR);
        let opened = opened.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(opened.open_value(space, &row, sealed), Ok(b"v".to_vec()));
    }
}
