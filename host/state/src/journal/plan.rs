//! What one step comes to, before any batch of it is made: what it undoes or settles of the step before, what it writes,
//! and whether there is room for it.

use super::account::{Books, Pending};
use super::checkpoints::Held;
use super::desk::{Desk, Turn};
use super::letter::{Attempt, DeadLetter, Fate};
use super::letters::{Intents, stored};
use super::record::JournalError;
use super::rows::{Redriven, Redriving, Row, came, undone};
use super::steps::{Phase, Step, Steps};
use crate::bounds::FILLED_BYTES_MAX;
use sluice_model::checkpoint::{Checkpoint, Cursor, Intent, Mark, Numbers};
use sluice_model::guards::Guard;
use sluice_model::ports::StateStore;
use std::collections::{HashMap, HashSet};

impl Held {
    /// The batches that make a step: one, where that takes it.
    ///
    /// An intent held until now is settled: its letters and its attempts stay where `next.mark` has reached it, else
    /// they are undone.
    ///
    /// # Errors
    /// [`JournalError::Full`] where the letters would take more than they may. `Fenced` where a letter is not as it was
    /// when it was redriven.
    pub fn steps<'a>(
        &self,
        store: &'a dyn StateStore,
        desk: &Desk,
        step: &Step<'_>,
    ) -> Result<Steps<'a>, JournalError> {
        let is_touching = !step.letters.is_empty()
            || !step.fates.is_empty()
            || self
                .intent()
                .is_some_and(|intent| intent.dead_letters.is_some() || intent.redriven.is_some());
        let turn = is_touching.then(|| desk.turn(&self.pipeline));
        let books = match &turn {
            Some(turn) => Some(Books::open(store, turn.pipeline())?),
            None => None,
        };
        self.steps_with(store, books, turn, step)
    }

    pub(super) fn steps_with<'a>(
        &self,
        store: &'a dyn StateStore,
        books: Option<Books>,
        turn: Option<Turn>,
        step: &Step<'_>,
    ) -> Result<Steps<'a>, JournalError> {
        let mut next = step.next.clone();
        let held_intent = self.intent();
        let is_undone =
            held_intent.is_some_and(|intent| self.is_partial() || next.mark < Some(intent.mark));
        let (undo, left) = match held_intent {
            Some(intent) if is_undone => undone(store, self, intent)?,
            _ => (Vec::new(), HashMap::new()),
        };
        let settles = match held_intent {
            Some(intent) if !is_undone => Some(self.to_settle(store, intent)?),
            _ => None,
        };
        let mark = mark_of(&next);
        let mut rows: Vec<Row> = step.letters.iter().map(came).collect();
        if let Some(books) = &books {
            check_quota(books, &undo, &rows, step.bytes_max)?;
        }
        rows.extend(self.attempts(store, left, mark, step)?);
        let opened = self.opened(&mut next, mark, is_undone, step.letters, step.fates);
        Ok(Steps {
            store,
            books,
            _turn: turn,
            held: self.clone(),
            next,
            opened,
            settles,
            undo: undo.into(),
            rows: rows.into(),
            also: step.also.to_vec(),
            now_ms: step.now_ms,
            filled_bytes_max: FILLED_BYTES_MAX,
            phase: Phase::Begin,
        })
    }

    /// The fates of a step, each entered into its letter.
    fn attempts(
        &self,
        store: &dyn StateStore,
        left: HashMap<u64, Vec<u8>>,
        mark: Mark,
        step: &Step<'_>,
    ) -> Result<Vec<Row>, JournalError> {
        let mut redriving = Redriving {
            store,
            pipeline: &self.pipeline,
            intents: Intents::new(store, &self.pipeline),
            left,
            made: Attempt {
                split: self.split.clone(),
                mark,
                at_ms: step.now_ms,
                run: step.run.to_owned(),
                fate: Fate::Delivered,
            },
            seen: HashSet::new(),
        };
        let fates = step.fates.iter();
        fates.map(|fate| redriving.attempted(fate)).collect()
    }

    fn is_partial(&self) -> bool {
        let pending = self.record.as_ref().and_then(|record| record.pending);
        pending.is_some_and(|pending| pending.partial)
    }

    /// What settling the held intent does to the account. An older version did not write it: it knew letters alone.
    fn to_settle(&self, store: &dyn StateStore, intent: &Intent) -> Result<Pending, JournalError> {
        if let Some(pending) = self.record.as_ref().and_then(|record| record.pending) {
            return Ok(pending);
        }
        let numbers = intent.dead_letters.into_iter();
        let mut letters = 0;
        for letter in numbers.flat_map(|numbers| stored(store, &self.pipeline, numbers)) {
            letter?;
            letters += 1;
        }
        Ok(Pending {
            letters,
            ..Pending::default()
        })
    }

    /// How the checkpoint stands while the letters of a step are written: `next` itself where that has an intent; else
    /// where the split was before it, with an intent that says what `next` is. Fills in the numbers of the letters.
    fn opened(
        &self,
        next: &mut Checkpoint,
        mark: Mark,
        is_undone: bool,
        letters: &[DeadLetter],
        fates: &[Redriven],
    ) -> Checkpoint {
        let ends = letters.first().zip(letters.last());
        let dead_letters = ends.map(|(first, last)| Numbers {
            first: first.number,
            last: last.number,
        });
        let numbers = fates.iter().map(|redriven| redriven.number);
        let redriven = numbers.clone().min().zip(numbers.max());
        let redriven = redriven.map(|(first, last)| Numbers { first, last });
        if let Some(intent) = &mut next.intent {
            (intent.dead_letters, intent.redriven) = (dead_letters, redriven);
            return next.clone();
        }
        let mut before = self.stored().cloned().unwrap_or_default();
        if is_undone {
            before.intent = None;
        }
        let nowhere = || Cursor::from(Vec::new());
        Checkpoint {
            epoch: next.epoch,
            sequence: next.sequence,
            moved: next.moved,
            intent: Some(Intent {
                mark,
                place: next.place.clone().unwrap_or_else(nowhere),
                ended: next.ended,
                totals: next.totals,
                dead_letters,
                redriven,
            }),
            ..before.promoted()
        }
    }
}

/// The unit that letters and attempts of a step are of.
fn mark_of(next: &Checkpoint) -> Mark {
    next.intent.as_ref().map_or(
        Mark {
            epoch: next.epoch,
            sequence: next.sequence,
        },
        |intent| intent.mark,
    )
}

fn check_quota(
    books: &Books,
    undo: &[Row],
    rows: &[Row],
    bytes_max: Option<u64>,
) -> Result<(), JournalError> {
    let (Some(limit), false) = (bytes_max, rows.is_empty()) else {
        return Ok(());
    };
    let change = undo.iter().chain(rows).map(|row| row.bytes).sum();
    let bytes = books.account.bytes.saturating_add_signed(change);
    if bytes > Guard::DlqQuota.limit(limit) {
        return Err(JournalError::Full { bytes, limit });
    }
    Ok(())
}
