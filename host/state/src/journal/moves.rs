//! A person moves a pipeline's splits to another place: forward, back, or to the beginning. Only while it does not run: a
//! run that is going on is fenced by it, or it by the run.

use super::account::Books;
use super::checkpoints::{Held, checkpoints, hold};
use super::desk::Turn;
use super::key;
use super::record::JournalError;
use super::steps::Step;
use crate::bounds::{FILLED_BYTES_MAX, bytes_of};
use sluice_model::checkpoint::{Checkpoint, Cursor};
use sluice_model::ids::SplitId;
use sluice_model::ports::{Namespace, StateBatch, StateStore, StateWrite};

/// Checkpoints read at a time.
const PAGE: usize = 256;
/// Blocks of what was seen read at a time: of the largest, 64 MiB.
const SEEN_PAGE: usize = 16;

/// Splits that are moved.
#[derive(Debug, Clone, Default)]
pub struct Moves {
    /// How many.
    pub splits: usize,
    /// The batches that do it, to be committed in order while the turn is held. Only where a split gives
    /// up more letters than one takes are there several for one.
    pub batches: Vec<StateBatch>,
}

/// Moves a split to this place; none: to the beginning. See [`Checkpoint::moved_to`]: what was delivered stays counted,
/// and a transactional sink's own place no longer counts. A unit under way is given up. The letters of a whole one
/// are kept, for nobody asks any more whether it was delivered; its attempts are undone.
pub fn set_place(
    store: &dyn StateStore,
    turn: &Turn,
    split: &SplitId,
    place: Option<Cursor>,
    now_ms: u64,
) -> Result<Moves, JournalError> {
    let mut moving = Moving::begin(store, turn, now_ms);
    moving.add(&hold(store, turn.pipeline(), split)?, place)?;
    Ok(moving.moves)
}

/// Moves a pipeline's splits (or one of them) to the beginning: the next run delivers everything again. One alone begins
/// where the source had it begin; all of them where it has them begin then.
pub fn reset(
    store: &dyn StateStore,
    turn: &Turn,
    split: Option<&SplitId>,
    now_ms: u64,
) -> Result<Moves, JournalError> {
    let mut moving = Moving::begin(store, turn, now_ms);
    let mut after = None;
    loop {
        let (records, next) = checkpoints(store, turn.pipeline(), after.as_deref(), PAGE)?;
        for record in records {
            if split.is_none_or(|split| *split == record.split) {
                let held = hold(store, turn.pipeline(), &record.split)?;
                let start = held.stored().and_then(|stored| stored.start.clone());
                moving.add(&held, start.filter(|_| split.is_some()))?;
            }
        }
        match next {
            Some(next) => after = Some(next),
            None => return Ok(moving.moves),
        }
    }
}

struct Moving<'a> {
    store: &'a dyn StateStore,
    turn: &'a Turn,
    books: Option<Books>,
    now_ms: u64,
    moves: Moves,
    /// What the last batch counts for.
    bytes: usize,
}

impl<'a> Moving<'a> {
    fn begin(store: &'a dyn StateStore, turn: &'a Turn, now_ms: u64) -> Self {
        Self {
            store,
            turn,
            books: None,
            now_ms,
            moves: Moves::default(),
            bytes: 0,
        }
    }

    /// What was seen of a split counts no more: what is read again is to be delivered again. Before it is moved, for a
    /// crash in between costs a record twice, and none once.
    fn forget_seen(&mut self, split: &SplitId) -> Result<(), JournalError> {
        let (prefix, mut after) = (key::seen_of(self.turn.pipeline(), split), Vec::new());
        loop {
            let pairs = self
                .store
                .scan(Namespace::Meta, &prefix, &after, SEEN_PAGE)?;
            let Some((last, _)) = pairs.last() else {
                return Ok(());
            };
            after.clone_from(last);
            let keys = pairs.into_iter().map(|(key, _)| key);
            let writes = keys.map(|key| StateWrite::Delete(Namespace::Meta, key));
            self.bytes = FILLED_BYTES_MAX; // A batch of its own.
            self.moves.batches.push(StateBatch {
                writes: writes.collect(),
                ..StateBatch::default()
            });
        }
    }

    fn add(&mut self, held: &Held, place: Option<Cursor>) -> Result<(), JournalError> {
        self.forget_seen(&held.split)?;
        // Letters of an intent that is not whole are deleted with the move: they count nowhere.
        let before = held.checkpoint().cloned().unwrap_or_default();
        let books = match self.books.take() {
            Some(books) => books,
            None => Books::open(self.store, self.turn.pipeline())?,
        };
        let step = Step::to(Checkpoint::moved_to(before, place), self.now_ms);
        let mut steps = held.steps_with(self.store, Some(books), None, &step)?;
        for (at, (batch, _)) in steps.by_ref().enumerate() {
            self.push(batch, at == 0);
        }
        self.books = steps.books;
        self.moves.splits += 1;
        Ok(())
    }

    /// Puts a batch into the one before it where that has room, and is of other splits: they do not wait for one another.
    fn push(&mut self, mut batch: StateBatch, is_first: bool) {
        let bytes: usize = batch.writes.iter().map(bytes_of).sum();
        match self.moves.batches.last_mut() {
            Some(last) if is_first && self.bytes + bytes <= FILLED_BYTES_MAX => {
                self.bytes += bytes;
                // What the account must be after the writes before is what they make it.
                let account = key::account(self.turn.pipeline());
                let is_written = last.writes.iter().any(
                    |write| matches!(write, StateWrite::Put(Namespace::Meta, key, _) if *key == account),
                );
                batch.expect.retain(|(namespace, key, _)| {
                    !is_written || *namespace != Namespace::Meta || *key != account
                });
                last.expect.append(&mut batch.expect);
                last.writes.append(&mut batch.writes);
            }
            _ => {
                self.bytes = bytes;
                self.moves.batches.push(batch);
            }
        }
    }
}
