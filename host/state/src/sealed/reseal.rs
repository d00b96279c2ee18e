//! Sealing anew what retired keys have sealed, in small steps beside the work of the store, and destroying those keys
//! once nothing is left under them. A crash costs nothing: each row says which key it is under.

use super::keyring::whose;
use super::seal::key_id;
use super::{Inner, Needs};
use crate::keys::KeyId;
use sluice_model::ports::{Namespace, StateBatch, StateStore, StateWrite, StoreError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Rows looked at in one step, and bytes sealed anew in one commit: small, so that whoever commits beside it waits for
/// one such step at most.
const STEP_ROWS: usize = 64;
const STEP_BYTES: usize = 256 << 10;
/// Between two steps that sealed something.
const PAUSE: Duration = Duration::from_millis(5);
/// How often a host that runs for long looks whether a key has become too old.
const LOOK_EVERY: Duration = Duration::from_mins(10);

const SPACES: [Namespace; 3] = [
    Namespace::Checkpoint,
    Namespace::DeadLetter,
    Namespace::Meta,
];

/// What one pass over the store did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resealed {
    /// Rows that are under another key now.
    pub rows: u64,
    /// Rows that do not open, and so stay as they are; their keys stay too.
    pub unreadable: u64,
    /// Keys that are destroyed.
    pub keys: usize,
}

/// A row that is to be sealed anew: as it lies in the store, and its value.
struct Row {
    key: Vec<u8>,
    stored: Vec<u8>,
    value: Vec<u8>,
}

impl<S: StateStore> Inner<S> {
    /// One pass over the whole store for what these keys sealed, for as long as `go_on` says so.
    pub(super) fn reseal(
        &self,
        retired: &[KeyId],
        go_on: &dyn Fn() -> bool,
    ) -> Result<Resealed, StoreError> {
        let mut done = Resealed::default();
        if retired.is_empty() {
            return Ok(done);
        }
        for namespace in SPACES {
            let mut after = Vec::new();
            loop {
                if !go_on() {
                    return Ok(done);
                }
                let pairs = self.below.scan(namespace, b"", &after, STEP_ROWS)?;
                let Some((last, _)) = pairs.last() else { break };
                after.clone_from(last);
                let is_last = pairs.len() < STEP_ROWS;
                self.step(namespace, pairs, retired, &mut done)?;
                if is_last {
                    break;
                }
            }
        }
        // Whoever seals holds the keyring until it has committed, so nothing came under these keys since they retired.
        if done.unreadable == 0 {
            self.keyring_mut().destroy(retired)?;
            done.keys = retired.len();
        }
        Ok(done)
    }

    /// Keys whose time is over, retired if they were not.
    fn due(&self) -> Result<Vec<KeyId>, StoreError> {
        let (mut keyring, now_ms) = (self.keyring_mut(), (self.clock)());
        keyring.retire_old(now_ms)?;
        Ok(keyring.due(now_ms))
    }

    fn step(
        &self,
        namespace: Namespace,
        pairs: Vec<(Vec<u8>, Vec<u8>)>,
        retired: &[KeyId],
        done: &mut Resealed,
    ) -> Result<(), StoreError> {
        let (mut rows, mut bytes) = (Vec::new(), 0);
        for (key, stored) in pairs {
            if !key_id(&stored).is_ok_and(|id| retired.contains(&id)) {
                continue;
            }
            let opened = self.keyring().open_value(namespace, &key, stored.clone());
            match opened {
                Ok(value) => {
                    bytes += value.len();
                    rows.push(Row { key, stored, value });
                }
                Err(error) => {
                    done.unreadable += 1;
                    tracing::error!(%error, "a row cannot be sealed anew");
                }
            }
            if bytes >= STEP_BYTES {
                self.seal_anew(namespace, &std::mem::take(&mut rows), done)?;
                bytes = 0;
            }
        }
        self.seal_anew(namespace, &rows, done)
    }

    /// A row that changed meanwhile was sealed by whoever changed it, and holds up no other.
    fn seal_anew(
        &self,
        namespace: Namespace,
        rows: &[Row],
        done: &mut Resealed,
    ) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        match self.replace(namespace, rows) {
            Ok(()) => done.rows += rows.len() as u64,
            Err(StoreError::Fenced) if rows.len() > 1 => {
                for row in rows {
                    self.seal_anew(namespace, std::slice::from_ref(row), done)?;
                }
            }
            Err(StoreError::Fenced) => {}
            Err(error) => return Err(error),
        }
        std::thread::sleep(PAUSE);
        Ok(())
    }

    fn replace(&self, namespace: Namespace, rows: &[Row]) -> Result<(), StoreError> {
        let mut needs = Needs::new();
        for row in rows {
            *needs.entry(whose(namespace, &row.key)).or_default() += 1;
        }
        let (keyring, _) = self.provided(&needs)?;
        let mut batch = StateBatch::default();
        for Row { key, stored, value } in rows {
            let sealed = keyring.seal(namespace, key, value)?;
            batch
                .expect
                .push((namespace, key.clone(), Some(stored.clone())));
            batch
                .writes
                .push(StateWrite::Put(namespace, key.clone(), sealed));
        }
        self.below.commit(batch)?;
        Ok(())
    }
}

/// The thread that does it. Dropping it ends it after the step it is at.
pub(super) struct Resealer {
    is_over: Arc<AtomicBool>,
    wake: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Resealer {
    pub fn start<S: StateStore + 'static>(inner: &Arc<Inner<S>>) -> Result<Self, StoreError> {
        let (wake, woken) = channel();
        let inner = Arc::clone(inner);
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let thread = std::thread::Builder::new()
            .name("state-reseal".to_owned())
            .spawn(move || work(&inner, &woken, &over))
            .map_err(|error| StoreError::Failed(error.to_string()))?;
        Ok(Self {
            is_over,
            wake: Some(wake),
            thread: Some(thread),
        })
    }

    /// A key has been retired.
    pub fn wake(&self) {
        if let Some(wake) = &self.wake {
            // A thread that ended has said why.
            let _ = wake.send(());
        }
    }
}

impl Drop for Resealer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn work<S: StateStore>(inner: &Inner<S>, woken: &Receiver<()>, is_over: &AtomicBool) {
    let go_on = || !is_over.load(Ordering::Acquire);
    loop {
        match inner.due().and_then(|due| inner.reseal(&due, &go_on)) {
            Ok(done) if done.keys > 0 => {
                tracing::info!(rows = done.rows, keys = done.keys, "sealed anew");
            }
            Ok(_) => {}
            Err(error) => {
                tracing::error!(%error, "sealing anew stopped; it begins again when the store is next opened");
                return;
            }
        }
        match woken.recv_timeout(LOOK_EVERY) {
            Ok(()) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
