//! One step of the delivery protocol: the batch that moves a checkpoint with its dead letters and with the fates of those
//! that it redrives. Where they are more than one commit takes: the batches, in order.
//!
//! Those begin with an intent that names all letters and says that not all are there (`partial`). As long as it says so
//! it can only be undone, and [`Held::checkpoint`] does not tell of it: the unit counts as not delivered. The last batch
//! makes it whole, or puts the checkpoint in its place.
//!
//! Invariant: a crash between any two batches leaves all of a step or, once the next step is made, none of it (test:
//! `a_crash_between_two_batches_leaves_all_or_nothing`).

use super::account::{Books, Pending};
use super::checkpoints::Held;
use super::desk::Turn;
use super::letter::DeadLetter;
use super::record::JournalError;
use super::rows::{Redriven, Row};
use sluice_model::checkpoint::Checkpoint;
use sluice_model::guards::Guard;
use sluice_model::ports::{StateBatch, StateStore, StateWrite};
use std::collections::VecDeque;

/// What one step stores.
#[derive(Debug, Clone, Default)]
pub struct Step<'a> {
    /// The checkpoint that it makes. If it carries an intent, letters and fates are pending with it.
    pub next: Checkpoint,
    /// Dead letters that come, whose numbers follow on one another (see [`super::Desk::reserve`]).
    pub letters: &'a [DeadLetter],
    /// How redrives of dead letters ended. A letter stands in it once: where twice, the step is fenced.
    pub fates: &'a [Redriven],
    /// What is written with the batch that ends it, besides: small.
    pub also: &'a [StateWrite],
    /// The time, in milliseconds since 1970.
    pub now_ms: u64,
    /// The run that makes it.
    pub run: &'a str,
    /// What the pipeline's dead letters may take; none: as much as there is room for.
    pub bytes_max: Option<u64>,
}

impl Step<'_> {
    /// A step without letters.
    pub fn to(next: Checkpoint, now_ms: u64) -> Self {
        Self {
            next,
            now_ms,
            ..Self::default()
        }
    }
}

/// The batches of one step, each with what is held once it is durable. To be committed in order, and no further where one
/// fails. Where letters are touched it has the pipeline's turn: see [`Turn`].
pub struct Steps<'a> {
    pub(super) store: &'a dyn StateStore,
    /// None where no letter is touched.
    pub(super) books: Option<Books>,
    /// Held until all is committed.
    pub(super) _turn: Option<Turn>,
    pub(super) held: Held,
    pub(super) next: Checkpoint,
    /// How the checkpoint stands while the letters are written.
    pub(super) opened: Checkpoint,
    /// What settling the held intent does to the account; none where it is undone, or there is none.
    pub(super) settles: Option<Pending>,
    /// What is undone.
    pub(super) undo: VecDeque<Row>,
    /// What comes then.
    pub(super) rows: VecDeque<Row>,
    /// What is written with the last batch.
    pub(super) also: Vec<StateWrite>,
    pub(super) now_ms: u64,
    pub(super) filled_bytes_max: usize,
    pub(super) phase: Phase,
}

/// Which batch is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// None was made.
    Begin,
    Undo,
    Open,
    Fill,
    Close,
    Over,
}

impl Iterator for Steps<'_> {
    type Item = (StateBatch, Held);

    fn next(&mut self) -> Option<(StateBatch, Held)> {
        if self.phase == Phase::Begin {
            let weight: usize = self.undo.iter().chain(&self.rows).map(Row::weight).sum();
            self.phase = match (weight <= self.filled_bytes_max, self.undo.is_empty()) {
                (true, _) => return Some(self.whole()),
                (false, false) => Phase::Undo,
                (false, true) => Phase::Open,
            };
        }
        match self.phase {
            Phase::Undo if self.undo.is_empty() => {
                self.phase = Phase::Open;
                self.next()
            }
            Phase::Undo => Some(self.undo_some()),
            Phase::Open if self.rows.is_empty() => Some(self.whole()),
            Phase::Open => Some(self.open()),
            Phase::Fill if self.rows.is_empty() => {
                self.phase = Phase::Close;
                Some(self.close())
            }
            Phase::Fill => Some(self.fill()),
            Phase::Begin | Phase::Close | Phase::Over => None,
        }
    }
}

impl Steps<'_> {
    /// Commits all batches, in order; what is held then.
    pub fn commit(mut self) -> Result<Held, JournalError> {
        let mut held = self.held.clone();
        while let Some((batch, next)) = self.next() {
            self.store.commit(batch)?;
            held = next;
        }
        Ok(held)
    }

    /// What is left of the step in one batch.
    fn whole(&mut self) -> (StateBatch, Held) {
        self.phase = Phase::Over;
        let (mut batch, mut pending) = (self.begun(), Pending::default());
        if let Some(books) = &mut self.books {
            let mut given_up = Pending::default();
            for row in self.undo.drain(..) {
                row.enter(&mut batch, books, &mut given_up, false);
            }
            books
                .account
                .settle(self.settles.take().unwrap_or_default());
            for row in self.rows.drain(..) {
                row.enter(&mut batch, books, &mut pending, false);
            }
        }
        self.stored_next(batch, pending)
    }

    /// Some of what is undone, and that the held intent is not whole any more.
    fn undo_some(&mut self) -> (StateBatch, Held) {
        let held = self.held.record.as_ref();
        let held = held.expect("what is undone is of an intent that is held");
        let mut pending = held.pending.unwrap_or_default();
        let checkpoint = held.checkpoint.clone();
        let mut batch = self.begun();
        take(&mut self.undo, self.filled_bytes_max, |row| {
            let books = self.books.as_mut().expect("rows move the account");
            row.enter(&mut batch, books, &mut pending, true);
        });
        self.stored(batch, checkpoint, pending, true)
    }

    /// The intent that names all letters, before any of them.
    fn open(&mut self) -> (StateBatch, Held) {
        self.phase = Phase::Fill;
        let settles = self.settles.take().unwrap_or_default();
        if let Some(books) = &mut self.books {
            books.account.settle(settles);
        }
        let batch = self.begun();
        self.stored(batch, self.opened.clone(), Pending::default(), true)
    }

    /// Some of the letters.
    fn fill(&mut self) -> (StateBatch, Held) {
        let held = self.held.record.as_ref();
        let mut pending = held.and_then(|held| held.pending).unwrap_or_default();
        let mut batch = self.begun();
        take(&mut self.rows, self.filled_bytes_max, |row| {
            let books = self.books.as_mut().expect("rows move the account");
            row.enter(&mut batch, books, &mut pending, true);
        });
        let is_whole = self.rows.is_empty() && self.next.intent.is_some();
        if is_whole {
            self.phase = Phase::Over;
            batch.writes.append(&mut self.also);
        }
        self.stored(batch, self.opened.clone(), pending, !is_whole)
    }

    /// The checkpoint in the place of the intent that says what it is.
    fn close(&mut self) -> (StateBatch, Held) {
        let held = self.held.record.as_ref();
        let pending = held.and_then(|held| held.pending).unwrap_or_default();
        let batch = self.begun();
        self.stored_next(batch, pending)
    }

    /// A batch that holds only where nobody else has moved the checkpoint since the last one.
    fn begun(&self) -> StateBatch {
        let mut batch = StateBatch::default();
        let is_first = matches!(self.phase, Phase::Begin | Phase::Over);
        if is_first || Guard::ChunksFenced.stands() {
            self.held.expect(&mut batch);
        }
        batch
    }

    fn stored_next(&mut self, mut batch: StateBatch, pending: Pending) -> (StateBatch, Held) {
        batch.writes.append(&mut self.also);
        if self.next.intent.is_some() {
            return self.stored(batch, self.next.clone(), pending, false);
        }
        if let Some(books) = &mut self.books {
            books.account.settle(pending);
        }
        self.stored(batch, self.next.clone(), Pending::default(), false)
    }

    fn stored(
        &mut self,
        mut batch: StateBatch,
        checkpoint: Checkpoint,
        pending: Pending,
        partial: bool,
    ) -> (StateBatch, Held) {
        let pending = Pending { partial, ..pending };
        let is_told = partial || !pending.is_nothing();
        let pending = (is_told && checkpoint.intent.is_some()).then_some(pending);
        self.held = self.held.put(&mut batch, checkpoint, pending, self.now_ms);
        if let Some(books) = &mut self.books {
            books.enter(&mut batch);
        }
        (batch, self.held.clone())
    }
}

/// Rows up to a batch's bound, at least one.
fn take(rows: &mut VecDeque<Row>, bytes_max: usize, mut enter: impl FnMut(Row)) {
    let mut bytes = 0;
    while let Some(row) = rows.front() {
        bytes += row.weight();
        if bytes > bytes_max && bytes > row.weight() {
            return;
        }
        rows.pop_front().into_iter().for_each(&mut enter);
    }
}
