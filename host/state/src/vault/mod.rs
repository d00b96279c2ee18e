//! The vault: a deployment's secrets, sealed, each with its versions.
//!
//! It is a file of its own and not part of the state store, for that one is a single process's while it runs, and a secret
//! must be rotated beside it. Whoever changes the vault holds its lock for as long as that takes, and replaces the file
//! whole; whoever reads looks at each use whether the file is still the one it read. So a rotation by another process is
//! in use with the next request.
//!
//! Invariant: a value that was set is durable when `Ok` is given, and the one before it is there until then.

mod document;
mod file;

use crate::durable::FileIdentity;
use crate::keys::{Kek, KeyError, KeySource};
use document::{Document, Entry};
use file::Read;
use serde::Serialize;
use sluice_model::guards::Guard;
use sluice_model::ids::SecretName;
use sluice_model::limits::SECRET_BYTES_MAX;
use sluice_model::secret::Secret;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long another process may take to change the vault. It takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);
/// When a secret was last used is known to this: a write for each use would be too many.
const LAST_USED_STEP_MS: u64 = 60 * 60 * 1_000;

/// Why a vault does not do it. Never says anything of a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// Its key is missing, or is another.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// It is not as it was written.
    #[error("vault `{file}`: {reason}")]
    Damaged {
        /// Which.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// The change is not made.
    #[error("vault `{file}` cannot be written: {reason}")]
    Unwritten {
        /// Which.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// There is none of this name.
    #[error("the vault has no secret `{0}`")]
    None(SecretName),
    /// There is one of this name.
    #[error("the vault has a secret `{0}` already")]
    There(SecretName),
    /// It has another value by now.
    #[error("secret `{0}` has another value by now")]
    Changed(SecretName),
    /// No earlier version of it is kept.
    #[error("no earlier version of secret `{0}` is kept")]
    NoEarlier(SecretName),
    /// Too large to be a secret.
    #[error("a secret has {SECRET_BYTES_MAX} bytes at most, and one at least")]
    Size,
}

impl VaultError {
    fn damaged(path: &Path, reason: &str) -> Self {
        Self::Damaged {
            file: path.display().to_string(),
            reason: format!("{reason}; restore it from a backup"),
        }
    }
}

/// A secret as it is listed: all but its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SecretView {
    /// Its name.
    pub name: SecretName,
    /// Which value is in use, from 1.
    pub version: u64,
    /// When that was set, in milliseconds since 1970.
    pub created_ms: u64,
    /// From when on it is refused.
    pub expires_ms: Option<u64>,
    /// When it was last used, to the hour.
    pub last_used_ms: Option<u64>,
    /// Earlier values that may be taken back.
    pub earlier: usize,
}

/// A secret in use.
pub struct Found {
    /// Its value.
    pub value: Secret,
    /// From when on it is refused, in milliseconds since 1970.
    pub expires_ms: Option<u64>,
}

/// A vault in a file.
pub struct Vault {
    path: PathBuf,
    keks: Vec<Kek>,
    /// Where the keys are from, as messages name it.
    place: String,
    clock: fn() -> u64,
    read: Mutex<Option<Read>>,
    has_warned: AtomicBool,
}

impl Vault {
    /// The vault in this file, with the key from there. The file need not be there yet.
    pub fn open(path: &Path, source: &dyn KeySource) -> Result<Self, VaultError> {
        let vault = Self::with_keys(path, source)?;
        vault.current(&mut vault.lock())?;
        Ok(vault)
    }

    fn with_keys(path: &Path, source: &dyn KeySource) -> Result<Self, VaultError> {
        Ok(Self {
            path: path.to_owned(),
            keks: source.keys()?,
            place: source.place(),
            clock: now_ms,
            read: Mutex::default(),
            has_warned: AtomicBool::new(false),
        })
    }

    /// With this clock, in milliseconds since 1970.
    #[must_use]
    pub fn with_clock(mut self, clock: fn() -> u64) -> Self {
        self.clock = clock;
        self
    }

    /// All secrets, by name.
    pub fn list(&self) -> Result<Vec<SecretView>, VaultError> {
        let mut read = self.lock();
        let secrets = self.current(&mut read)?.map(|document| &document.secrets);
        let views = secrets.into_iter().flatten().map(|(name, entry)| {
            let current = entry.current();
            SecretView {
                name: name.clone(),
                version: current.number,
                created_ms: current.created_ms,
                expires_ms: current.expires_ms,
                last_used_ms: entry.last_used_ms,
                earlier: entry.versions.len() - 1,
            }
        });
        Ok(views.collect())
    }

    /// The value in use, expired or not, without counting as a use.
    pub fn look(&self, name: &SecretName) -> Result<Option<Found>, VaultError> {
        let mut read = self.lock();
        let document = self.current(&mut read)?;
        let entry = document.and_then(|document| document.secrets.get(name));
        Ok(entry.map(|entry| Found {
            value: entry.current().value.clone(),
            expires_ms: entry.current().expires_ms,
        }))
    }

    /// The value in use, to be used. Asked at each use: looks at the file, and reads it where it was replaced.
    pub fn take(&self, name: &SecretName) -> Result<Option<Found>, VaultError> {
        let found = self.look(name)?;
        let is_expired = |found: &Found| found.expires_ms.is_some_and(|at| at <= (self.clock)());
        if found.as_ref().is_some_and(|found| !is_expired(found)) {
            self.note_use(name);
        }
        Ok(found)
    }

    /// A vault that cannot be written to is no reason not to use what is in it.
    fn note_use(&self, name: &SecretName) {
        let now_ms = (self.clock)();
        let is_noted = self.lock().as_ref().is_some_and(|read| {
            let entry = read.document.secrets.get(name);
            let last_ms = entry.and_then(|entry| entry.last_used_ms);
            last_ms.is_some_and(|last_ms| now_ms.saturating_sub(last_ms) < LAST_USED_STEP_MS)
        });
        if is_noted {
            return;
        }
        let noted = self.change(|document| {
            if let Some(entry) = document.secrets.get_mut(name) {
                entry.last_used_ms = Some(now_ms);
            }
            Ok(())
        });
        if let Err(error) = noted
            && !self.has_warned.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(%error, "when secrets are used cannot be noted");
        }
    }

    /// Adds a secret.
    pub fn set(
        &self,
        name: &SecretName,
        value: Secret,
        expires_ms: Option<u64>,
    ) -> Result<(), VaultError> {
        is_secret(&value)?;
        let now_ms = (self.clock)();
        self.change(|document| {
            if Guard::SecretThere.bars(document.secrets.contains_key(name)) {
                return Err(VaultError::There(name.clone()));
            }
            let entry = Entry::new(value, now_ms, expires_ms);
            document.secrets.insert(name.clone(), entry);
            Ok(())
        })
    }

    /// Puts a new value in use, and keeps the one before for so long.
    pub fn rotate(
        &self,
        name: &SecretName,
        value: Secret,
        expires_ms: Option<u64>,
        keep: Duration,
    ) -> Result<(), VaultError> {
        is_secret(&value)?;
        let (now_ms, keep_ms) = ((self.clock)(), millis(keep));
        self.change(|document| {
            entry(document, name)?.rotate(value, now_ms, expires_ms, keep_ms);
            Ok(())
        })
    }

    /// Puts a new value in the place of this one, until the same moment. Whether it still was the one in use: where it was
    /// not, nothing is changed.
    pub fn renew(
        &self,
        name: &SecretName,
        old: &Secret,
        value: Secret,
    ) -> Result<bool, VaultError> {
        is_secret(&value)?;
        let renewed = self.change(|document| {
            let entry = entry(document, name)?;
            if Guard::VaultRenew.bars(entry.current().value.expose() != old.expose()) {
                return Err(VaultError::Changed(name.clone()));
            }
            entry.renew(value);
            Ok(())
        });
        match renewed {
            Ok(()) => Ok(true),
            Err(VaultError::Changed(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Puts the value before the one in use back in use.
    pub fn take_back(&self, name: &SecretName) -> Result<(), VaultError> {
        let now_ms = (self.clock)();
        self.change(|document| {
            let is_back = entry(document, name)?.take_back(now_ms);
            is_back
                .then_some(())
                .ok_or_else(|| VaultError::NoEarlier(name.clone()))
        })
    }

    /// Removes a secret with all its versions.
    pub fn remove(&self, name: &SecretName) -> Result<(), VaultError> {
        self.change(|document| {
            let removed = document.secrets.remove(name);
            removed
                .map(drop)
                .ok_or_else(|| VaultError::None(name.clone()))
        })
    }

    /// Seals the vault in this file with another key of the deployment. Gives whether there was anything to do.
    pub fn rewrap(path: &Path, source: &dyn KeySource, to: &Kek) -> Result<bool, VaultError> {
        let mut vault = Self::with_keys(path, source)?;
        vault.keks.push(to.clone());
        let _lock = vault.lock_file()?;
        let mut read = vault.lock();
        vault.current(&mut read)?;
        match &*read {
            Some(read) if read.kek.id() != to.id() => {
                let mut next = read.document.clone();
                next.generation += 1;
                file::write(path, read.id, to, &next)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Read>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The document as the file holds it now; none where no secret was ever set.
    fn current<'a>(
        &self,
        read: &'a mut MutexGuard<'_, Option<Read>>,
    ) -> Result<Option<&'a Document>, VaultError> {
        let told = |reason: &str| VaultError::damaged(&self.path, reason);
        let identity = FileIdentity::of(&self.path).map_err(|error| told(&error.to_string()))?;
        match (&**read, identity) {
            (Some(_), None) if Guard::VaultRollback.stands() => {
                return Err(told("it was removed"));
            }
            (_, None) => return Ok(None),
            (Some(known), Some(identity)) if known.identity == identity => {}
            (known, Some(_)) => {
                let next = file::read(&self.path, &self.keks, &self.place)?;
                if let Some(known) = known
                    && Guard::VaultRollback.bars(
                        next.id != known.id || next.document.generation < known.document.generation,
                    )
                {
                    return Err(told(
                        "an older vault was put in its place while this host runs",
                    ));
                }
                **read = Some(next);
            }
        }
        Ok(read.as_ref().map(|read| &read.document))
    }

    /// Changes the vault as it is now, whoever wrote it last.
    fn change(
        &self,
        change: impl FnOnce(&mut Document) -> Result<(), VaultError>,
    ) -> Result<(), VaultError> {
        let _lock = self.lock_file()?;
        let mut read = self.lock();
        let mut next = self.current(&mut read)?.cloned().unwrap_or_default();
        let (id, kek) = match &*read {
            Some(read) => (read.id, read.kek.clone()),
            None => self.new_vault()?,
        };
        change(&mut next)?;
        next.generation += 1;
        let now_ms = (self.clock)();
        for entry in next.secrets.values_mut() {
            entry.prune(now_ms);
        }
        file::write(&self.path, id, &kek, &next)?;
        *read = Some(file::read(&self.path, &[kek], &self.place)?);
        Ok(())
    }

    fn new_vault(&self) -> Result<([u8; 16], Kek), VaultError> {
        let kek = self.keks.first().cloned();
        let kek = kek.ok_or_else(|| KeyError::new(&self.place, "there is no key"))?;
        let id = crate::keys::random().map_err(|error| self.unwritten(&error))?;
        Ok((id, kek))
    }

    fn unwritten(&self, error: &dyn std::fmt::Display) -> VaultError {
        VaultError::Unwritten {
            file: self.path.display().to_string(),
            reason: error.to_string(),
        }
    }

    /// Held by whoever changes the vault, in whichever process.
    fn lock_file(&self) -> Result<File, VaultError> {
        let mut path = self.path.as_os_str().to_owned();
        path.push(".lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| self.unwritten(&error))?;
        let (mut waited, step) = (Duration::ZERO, Duration::from_millis(5));
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(std::fs::TryLockError::WouldBlock) if waited < PATIENCE => {
                    std::thread::sleep(step);
                    waited += step;
                }
                Err(std::fs::TryLockError::WouldBlock) => {
                    return Err(self.unwritten(&"another process has it locked"));
                }
                Err(std::fs::TryLockError::Error(error)) => return Err(self.unwritten(&error)),
            }
        }
    }
}

fn entry<'a>(document: &'a mut Document, name: &SecretName) -> Result<&'a mut Entry, VaultError> {
    let entry = document.secrets.get_mut(name);
    entry.ok_or_else(|| VaultError::None(name.clone()))
}

fn is_secret(value: &Secret) -> Result<(), VaultError> {
    let bytes = value.expose().len() as u64;
    (1..=Guard::SecretBytes.limit(SECRET_BYTES_MAX))
        .contains(&bytes)
        .then_some(())
        .ok_or(VaultError::Size)
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn now_ms() -> u64 {
    millis(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default(),
    )
}
