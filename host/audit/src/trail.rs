//! A trail that is written. Several processes may have it open: whoever appends holds a lock, reads what others wrote
//! since, and adds to it.

use crate::action::Act;
use crate::actor::Actor;
use crate::desk::Desk;
use crate::error::{AuditError, io};
use crate::folder::Folder;
use crate::note::Note;
use sluice_model::limits::{
    AUDIT_SEGMENT_BYTES, AUDIT_UNSIGNED_ENTRIES_MAX, AUDIT_UNSIGNED_TIME_MAX,
};
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What can be set.
#[derive(Debug, Clone)]
pub struct Options {
    /// A second place for it.
    pub copy: Option<PathBuf>,
    /// A file before the next begins.
    pub segment_bytes: u64,
    /// Entries without a signature over them.
    pub unsigned_entries_max: u64,
    /// How long an entry stays without one, where others follow it.
    pub unsigned_time_max: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            copy: None,
            segment_bytes: AUDIT_SEGMENT_BYTES,
            unsigned_entries_max: AUDIT_UNSIGNED_ENTRIES_MAX,
            unsigned_time_max: AUDIT_UNSIGNED_TIME_MAX,
        }
    }
}

/// A trail, open.
pub struct Trail {
    lock: File,
    lock_path: PathBuf,
    /// None where a write failed: what is on the disk since then is not known.
    desk: Mutex<Option<Desk>>,
}

impl Trail {
    /// Opens the trail in this folder, or begins one. Blocking, as all of it is. An error where the trail is not what
    /// hosts wrote; a last line that a crash left half written is taken off by the next entry, which says so.
    pub fn open(dir: &Path, options: Options) -> Result<Self, AuditError> {
        let folder = Folder::new(dir);
        folder.create()?;
        let lock_path = folder.lock();
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock_path);
        let lock = lock.map_err(io(&lock_path))?;
        let held = Held::of(&lock, &lock_path)?;
        let desk = Desk::open(folder, options)?;
        drop(held);
        Ok(Self {
            lock,
            lock_path,
            desk: Mutex::new(Some(desk)),
        })
    }

    /// Writes it down, and gives its number. Durable when this returns; where it fails, what was to be done must not
    /// happen.
    pub fn act(&self, actor: &Actor, act: impl Into<Act>) -> Result<u64, AuditError> {
        self.acts(actor, &[act.into()])
    }

    /// Several at once, for the price of one; the number of the first.
    pub fn acts(&self, actor: &Actor, acts: &[Act]) -> Result<u64, AuditError> {
        self.with(|desk| desk.append(actor, acts))
    }

    /// Signs all there is, and brings the copy up to it. [`Trail::act`] does so now and then.
    pub fn sign(&self) -> Result<(), AuditError> {
        self.with(Desk::sign_all)
    }

    /// Another key from here on.
    pub fn rotate_key(&self, actor: &Actor) -> Result<(), AuditError> {
        self.with(|desk| desk.rotate_key(actor))
    }

    /// The public half of the key that signs, as text.
    pub fn key(&self) -> Result<String, AuditError> {
        self.look(|desk| desk.key().text())
    }

    /// The last checkpoint that was signed.
    pub fn checkpoint(&self) -> Result<Option<Note>, AuditError> {
        self.look(|desk| desk.note().cloned())
    }

    /// Entries there are.
    pub fn size(&self) -> Result<u64, AuditError> {
        self.look(|desk| desk.standing().size())
    }

    /// The last commit of the state store that an entry tells of.
    pub fn commit(&self) -> Result<Option<u64>, AuditError> {
        self.look(|desk| desk.standing().commit)
    }

    /// The entry of a host that began and did not say that it ended.
    pub fn host(&self) -> Result<Option<u64>, AuditError> {
        self.look(|desk| desk.standing().host)
    }

    fn desk(&self) -> MutexGuard<'_, Option<Desk>> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look<T>(&self, look: impl FnOnce(&Desk) -> T) -> Result<T, AuditError> {
        self.desk().as_ref().map(look).ok_or(AuditError::Poisoned)
    }

    fn with<T>(
        &self,
        work: impl FnOnce(&mut Desk) -> Result<T, AuditError>,
    ) -> Result<T, AuditError> {
        let mut slot = self.desk();
        let desk = slot.as_mut().ok_or(AuditError::Poisoned)?;
        let held = Held::of(&self.lock, &self.lock_path)?;
        let outcome = work(desk);
        drop(held);
        if outcome.is_err() {
            *slot = None;
        }
        outcome
    }
}

impl Drop for Trail {
    /// What is not signed yet is, if that can be done.
    fn drop(&mut self) {
        if let Err(error) = self.sign() {
            tracing::error!(%error, "the audit trail was not signed at its end");
        }
    }
}

/// The lock of a trail, held. A lock of the system: one that a process held ends with it.
struct Held<'a>(&'a File);

impl<'a> Held<'a> {
    fn of(lock: &'a File, path: &Path) -> Result<Self, AuditError> {
        lock.lock().map_err(io(path))?;
        Ok(Self(lock))
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let _ = self.0.unlock(); // It ends with the file at the latest.
    }
}
