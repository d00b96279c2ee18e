//! The one thread that writes. It opens the engine, takes the requests that have gathered while it was busy, applies
//! them as one transaction, makes that durable and answers each. Being the only writer, it checks guards before it
//! writes, and a request that is refused leaves the others as they are.

use super::layout::{CHUNK_BYTES, COMMIT_KEY, Chunked, Entry, tree_key};
use super::open::Engine;
use sluice_model::guards::Guard;
use sluice_model::ports::{CommitNumber, StateBatch, StateWrite, StoreError};
use std::collections::HashMap;
use std::sync::mpsc::{Receiver, SyncSender};

/// Requests in one transaction.
const GROUP_REQUESTS_MAX: usize = 128;
/// A group takes no further request once it has so much: a transaction is held in memory whole.
const GROUP_BYTES_MAX: usize = 1 << 20;

/// A batch and whom to tell.
pub(super) struct Request {
    pub batch: StateBatch,
    pub answer: SyncSender<Result<CommitNumber, StoreError>>,
}

/// Answers requests until nobody can send any more, or until the engine fails. `failed` hears of that before anybody
/// is answered.
pub(super) fn serve(engine: &Engine, requests: &Receiver<Request>, failed: impl Fn(&StoreError)) {
    let mut last_commit = match engine.last_commit() {
        Ok(number) => number,
        Err(error) => return failed(&error),
    };
    while let Ok(first) = requests.recv() {
        let mut group = Group {
            engine,
            last_commit,
            writes: HashMap::new(),
            bytes: 0,
        };
        let mut answers = Vec::new();
        let filled = fill(&mut group, first, requests, &mut answers);
        match filled.and_then(|outcomes| Ok((outcomes, group.commit()?))) {
            Ok((outcomes, number)) => {
                last_commit = number;
                for (answer, outcome) in answers.into_iter().zip(outcomes) {
                    // Whoever asked may have given up; the commit stands all the same.
                    let _ = answer.send(outcome);
                }
            }
            Err(error) => {
                failed(&error);
                for answer in answers {
                    let _ = answer.send(Err(error.clone()));
                }
                return;
            }
        }
    }
}

/// One batch, at once: for whoever has the engine alone.
pub(super) fn apply(engine: &Engine, batch: StateBatch) -> Result<CommitNumber, StoreError> {
    let mut group = Group {
        engine,
        last_commit: engine.last_commit()?,
        writes: HashMap::new(),
        bytes: 0,
    };
    let outcome = group.take(batch)?;
    group.commit()?;
    outcome
}

/// What each request of a group is told once the group is durable.
type Outcomes = Vec<Result<CommitNumber, StoreError>>;

/// Takes what has gathered, up to the bounds of a group.
fn fill(
    group: &mut Group,
    first: Request,
    requests: &Receiver<Request>,
    answers: &mut Vec<SyncSender<Result<CommitNumber, StoreError>>>,
) -> Result<Outcomes, StoreError> {
    let mut outcomes = Vec::new();
    let mut next = Some(first);
    while let Some(Request { batch, answer }) = next {
        answers.push(answer);
        outcomes.push(group.take(batch)?);
        let is_full = answers.len() >= GROUP_REQUESTS_MAX || group.bytes >= GROUP_BYTES_MAX;
        next = if is_full {
            None
        } else {
            requests.try_recv().ok()
        };
    }
    Ok(outcomes)
}

/// Requests that become one transaction.
struct Group<'a> {
    engine: &'a Engine,
    last_commit: u64,
    /// By key in the tree; none deletes.
    writes: HashMap<Vec<u8>, Option<Vec<u8>>>,
    bytes: usize,
}

impl Group<'_> {
    /// Adds the batch if its guards hold. The outer error is the engine's.
    fn take(&mut self, batch: StateBatch) -> Result<Result<CommitNumber, StoreError>, StoreError> {
        for (namespace, key, expected) in &batch.expect {
            let now = self.value(&tree_key(*namespace, key))?;
            if Guard::StateFence.bars(now != *expected) {
                return Ok(Err(StoreError::Fenced));
            }
        }
        self.last_commit += 1;
        for (at, write) in batch.writes.into_iter().enumerate() {
            match write {
                StateWrite::Put(namespace, key, value) => {
                    let key = tree_key(namespace, &key);
                    self.remove_chunks(&key)?;
                    self.put(key, value, (self.last_commit, at as u32));
                }
                StateWrite::Delete(namespace, key) => {
                    let key = tree_key(namespace, &key);
                    self.remove_chunks(&key)?;
                    self.writes.insert(key, None);
                }
            }
        }
        Ok(Ok(CommitNumber(self.last_commit)))
    }

    /// Applies everything and makes it durable; gives the number of the last commit.
    fn commit(self) -> Result<u64, StoreError> {
        if self.writes.is_empty() && self.last_commit == self.engine.last_commit()? {
            return Ok(self.last_commit);
        }
        let mut batch = sled::Batch::default();
        for (key, value) in self.writes {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        batch.insert(COMMIT_KEY, &self.last_commit.to_be_bytes());
        self.engine
            .db
            .apply_batch(batch)
            .map_err(|error| StoreError::Failed(error.to_string()))?;
        self.engine.sync()?;
        Ok(self.last_commit)
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>, generation: (u64, u32)) {
        self.bytes += key.len() + value.len();
        if value.len() <= CHUNK_BYTES {
            self.writes.insert(key, Some(Entry::Inline(value).encode()));
            return;
        }
        let chunked = Chunked {
            generation,
            count: value.len().div_ceil(CHUNK_BYTES) as u32,
        };
        for (key, chunk) in chunked.keys().zip(value.chunks(CHUNK_BYTES)) {
            self.writes.insert(key, Some(chunk.to_vec()));
        }
        self.writes
            .insert(key, Some(Entry::Chunked(chunked).encode()));
    }

    fn remove_chunks(&mut self, key: &[u8]) -> Result<(), StoreError> {
        if let Some(Entry::Chunked(chunked)) = self.entry(key)? {
            self.writes.extend(chunked.keys().map(|key| (key, None)));
        }
        Ok(())
    }

    fn entry(&self, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        let bytes = self.raw(key)?;
        bytes
            .map(|bytes| Entry::decode(&bytes).ok_or_else(malformed))
            .transpose()
    }

    fn value(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.entry(key)? {
            None => Ok(None),
            Some(Entry::Inline(value)) => Ok(Some(value)),
            Some(Entry::Chunked(chunked)) => {
                let mut value = Vec::new();
                for key in chunked.keys() {
                    value.extend(self.raw(&key)?.ok_or_else(malformed)?);
                }
                Ok(Some(value))
            }
        }
    }

    fn raw(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if let Some(written) = self.writes.get(key) {
            return Ok(written.clone());
        }
        let found = self
            .engine
            .db
            .get(key)
            .map_err(|error| StoreError::Failed(error.to_string()))?;
        Ok(found.map(|bytes| bytes.to_vec()))
    }
}

/// A value is not what this store writes.
pub(super) fn malformed() -> StoreError {
    StoreError::Failed("a value cannot be read back: the store is damaged".to_owned())
}
