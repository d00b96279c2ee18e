//! The store on disk. One process, one writer thread; reads go beside it.
//!
//! Invariant: `Ok` from `commit` means that the batch survives `kill -9` and power loss, whole (test: `kill`).
//! Invariant: after any failure of the engine every call fails until [`SledStore::reopen`]: a store that failed may
//! show what is not durable.

mod layout;
mod migrate;
mod open;
mod read;
mod writer;

pub(crate) use migrate::{finish, migrate};
pub(crate) use open::{Place, found, lock};

use crate::bounds;
use crate::sealed::SEAL_BYTES;
use open::Engine;
use sluice_model::guards::Guard;
use sluice_model::ports::{
    CommitNumber, Namespace, Pairs, StateBatch, StateStats, StateStore, StoreError,
};
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use writer::Request;

/// Requests that may wait for the writer before callers are held back.
const QUEUE_REQUESTS_MAX: usize = 1_024;

/// What can be set.
#[derive(Debug, Clone)]
pub struct Options {
    /// Of the engine's page cache.
    pub cache_bytes: u64,
    /// How long the engine may take to open, or to make one group of commits durable, before it is taken to hang.
    pub patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cache_bytes: 64 << 20,
            patience: Duration::from_mins(1),
        }
    }
}

/// A state store in a directory.
#[derive(Debug)]
pub struct SledStore {
    dir: PathBuf,
    options: Options,
    place: Place,
    running: Mutex<Option<Arc<Running>>>,
    last_commit: AtomicU64,
    /// Held for as long as the store is.
    _lock: File,
}

/// An open engine and its writer.
#[derive(Debug)]
struct Running {
    engine: Engine,
    requests: SyncSender<Request>,
    writer: JoinHandle<()>,
    /// Why it must not be used any more.
    failure: Arc<OnceLock<String>>,
}

impl SledStore {
    /// Opens the store in this directory, or creates it where none ever was.
    pub fn open(dir: &Path, options: Options) -> Result<Self, StoreError> {
        Self::open_locked(dir, lock(dir)?, Place::Plain, options)
    }

    /// The same, by whoever has the directory's lock already.
    pub(crate) fn open_locked(
        dir: &Path,
        lock: File,
        place: Place,
        options: Options,
    ) -> Result<Self, StoreError> {
        let store = Self {
            dir: dir.to_owned(),
            options,
            place,
            running: Mutex::default(),
            last_commit: AtomicU64::new(0),
            _lock: lock,
        };
        let running = store.start()?;
        *store.running() = Some(Arc::new(running));
        Ok(store)
    }

    /// Closes the engine and opens it again, which settles what is durable. The only way on after a failure.
    pub fn reopen(&self) -> Result<(), StoreError> {
        let mut slot = self.running();
        if let Some(running) = slot.take() {
            running
                .failure
                .get_or_init(|| "it is being reopened".to_owned());
            close(running, self.options.patience)?;
        }
        *slot = Some(Arc::new(self.start()?));
        tracing::info!(dir = %self.dir.display(), "state store reopened");
        Ok(())
    }

    /// The engine is opened on the writer's thread, for opening can panic or hang.
    fn start(&self) -> Result<Running, StoreError> {
        let (dir, place) = (self.dir.clone(), self.place);
        let cache_bytes = self.options.cache_bytes;
        let (requests, inbox) = sync_channel(QUEUE_REQUESTS_MAX);
        let (opened, opening) = sync_channel(1);
        let failure = Arc::new(OnceLock::new());
        let failing = Arc::clone(&failure);
        let run = move || write((&dir, place), cache_bytes, &opened, &inbox, &failing);
        let writer = std::thread::Builder::new()
            .name("state-writer".to_owned())
            .spawn(run);
        let writer = writer.map_err(|error| StoreError::Unopenable(error.to_string()))?;
        match opening.recv_timeout(self.options.patience) {
            Ok(engine) => {
                let engine: Engine = engine?;
                self.last_commit
                    .store(engine.last_commit()?, Ordering::Release);
                Ok(Running {
                    engine,
                    requests,
                    writer,
                    failure,
                })
            }
            Err(RecvTimeoutError::Timeout) => Err(StoreError::Unopenable(format!(
                "it did not open within {:?}",
                self.options.patience
            ))),
            Err(RecvTimeoutError::Disconnected) => {
                Err(StoreError::Unopenable("it panicked".to_owned()))
            }
        }
    }

    fn running(&self) -> MutexGuard<'_, Option<Arc<Running>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The engine, unless it failed.
    fn usable(&self) -> Result<Arc<Running>, StoreError> {
        let running = self.running().clone();
        let running = running.ok_or_else(|| StoreError::Failed("it is closed".to_owned()))?;
        match running.failure.get() {
            Some(reason) if Guard::StorePoisoned.stands() => {
                Err(StoreError::Failed(reason.clone()))
            }
            _ => Ok(running),
        }
    }

    /// Reads, and takes any failure to mean that the engine is not to be trusted.
    fn read<T>(
        &self,
        read: impl FnOnce(&Engine) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let running = self.usable()?;
        let outcome = catch_unwind(AssertUnwindSafe(|| read(&running.engine)));
        let outcome = outcome
            .unwrap_or_else(|_| Err(StoreError::Failed("it panicked while reading".to_owned())));
        if let Err(error) = &outcome {
            fail(&running.failure, error);
        }
        outcome
    }
}

impl StateStore for SledStore {
    fn commit(&self, batch: StateBatch) -> Result<CommitNumber, StoreError> {
        let seal_bytes = match self.place {
            Place::Plain => 0,
            Place::Sealed => SEAL_BYTES,
        };
        bounds::check_beneath(&batch, seal_bytes)?;
        let running = self.usable()?;
        let (answer, answered) = sync_channel(1);
        // A writer that panicked answers nobody, and may not have said so yet.
        let gone = |running: &Running| {
            fail(
                &running.failure,
                &StoreError::Failed("its writer is gone".to_owned()),
            );
            StoreError::Failed(running.failure.get().cloned().unwrap_or_default())
        };
        running
            .requests
            .send(Request { batch, answer })
            .map_err(|_| gone(&running))?;
        match answered.recv_timeout(self.options.patience) {
            Ok(outcome) => {
                if let Ok(number) = outcome {
                    self.last_commit.fetch_max(number.0, Ordering::AcqRel);
                }
                outcome
            }
            Err(RecvTimeoutError::Disconnected) => Err(gone(&running)),
            Err(RecvTimeoutError::Timeout) => {
                let error = StoreError::Failed(format!(
                    "a commit took longer than {:?}",
                    self.options.patience
                ));
                fail(&running.failure, &error);
                Err(error)
            }
        }
    }

    fn get(&self, namespace: Namespace, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|engine| read::get(engine, namespace, key))
    }

    fn scan(
        &self,
        namespace: Namespace,
        prefix: &[u8],
        after: &[u8],
        limit: usize,
    ) -> Result<Pairs, StoreError> {
        self.read(|engine| read::scan(engine, namespace, prefix, after, limit))
    }

    fn stats(&self) -> StateStats {
        let running = self.running().clone();
        let bytes = running.as_ref().map_or(0, |running| running.engine.bytes());
        let poisoned = running.is_none_or(|running| running.failure.get().is_some());
        StateStats {
            bytes,
            last_commit: CommitNumber(self.last_commit.load(Ordering::Acquire)),
            poisoned,
        }
    }
}

impl Drop for SledStore {
    /// Waits for the writer, so that the directory can be opened again at once.
    fn drop(&mut self) {
        if let Some(running) = self.running().take() {
            let _ = close(running, self.options.patience);
        }
    }
}

/// The writer's thread, from opening to the end.
fn write(
    (dir, place): (&Path, Place),
    cache_bytes: u64,
    opened: &SyncSender<Result<Engine, StoreError>>,
    requests: &Receiver<Request>,
    failure: &OnceLock<String>,
) {
    let engine = catch_unwind(AssertUnwindSafe(|| open::open(dir, place, cache_bytes)));
    let engine = engine.unwrap_or_else(|_| {
        Err(StoreError::Unopenable(
            "it panicked while opening".to_owned(),
        ))
    });
    let is_open = engine.is_ok();
    let kept = engine.as_ref().ok().cloned();
    if opened.send(engine).is_err() || !is_open {
        return;
    }
    let Some(engine) = kept else { return };
    let served = catch_unwind(AssertUnwindSafe(|| {
        writer::serve(&engine, requests, |error| fail(failure, error));
    }));
    if served.is_err() {
        fail(
            failure,
            &StoreError::Failed("it panicked while writing".to_owned()),
        );
    }
}

/// From here on every call fails until the store is reopened.
fn fail(failure: &OnceLock<String>, error: &StoreError) {
    let StoreError::Failed(reason) = error else {
        return;
    };
    if failure.set(reason.clone()).is_ok() {
        tracing::error!(
            reason,
            "state store failed; it refuses work until it is reopened"
        );
    }
}

/// Ends the writer and drops the engine; fails where something still holds it.
fn close(running: Arc<Running>, patience: Duration) -> Result<(), StoreError> {
    let hangs = || StoreError::Failed("it hangs and cannot be closed; restart the host".to_owned());
    let mut running = running;
    let mut waited = Duration::ZERO;
    let step = Duration::from_millis(1);
    let running = loop {
        match Arc::try_unwrap(running) {
            Ok(running) => break running,
            Err(shared) if waited < patience => {
                running = shared; // A read or a commit is under way; it ends by itself.
                std::thread::sleep(step);
                waited += step;
            }
            Err(_) => return Err(hangs()),
        }
    };
    let Running {
        engine,
        requests,
        writer,
        failure: _,
    } = running;
    drop((engine, requests));
    while !writer.is_finished() {
        if waited >= patience {
            return Err(hangs());
        }
        std::thread::sleep(step);
        waited += step;
    }
    writer.join().map_err(|_| hangs())
}
