//! What one step does to single dead letters, each a write with what it changes in the account: a letter that comes, an
//! attempt that is entered, and both undone again with their intent.

use super::account::{Books, Effect, Pending, change};
use super::checkpoints::Held;
use super::key;
use super::letter::{Attempt, DeadLetter, Fate};
use super::letters::{Intents, WHAT, is_under, stored};
use super::record::{JournalError, decode, encode};
use crate::bounds;
use sluice_model::checkpoint::Intent;
use sluice_model::guards::Guard;
use sluice_model::ids::PipelineName;
use sluice_model::ports::{Namespace, StateBatch, StateStore, StateWrite, StoreError};
use std::collections::{HashMap, HashSet};

/// How the redrive of one letter ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redriven {
    /// The letter.
    pub number: u64,
    /// Its edits when it was read to be redriven: where it was edited or discarded since, the step is fenced.
    pub edits: u32,
    /// How it ended.
    pub fate: Fate,
}

/// One write to a dead letter.
pub(super) struct Row {
    /// What the letter must be as it is stored.
    expect: Option<Vec<u8>>,
    write: StateWrite,
    /// What the letters take more than before.
    pub bytes: i64,
    pub effect: Effect,
    /// It changes what an earlier row of the same step leaves.
    follows: bool,
}

impl Row {
    /// What it counts for in a batch.
    pub fn weight(&self) -> usize {
        bounds::bytes_of(&self.write) + self.expect.as_ref().map_or(0, Vec::len)
    }

    /// Adds it to a batch. `is_after`: what it follows is in an earlier batch.
    pub fn enter(
        self,
        batch: &mut StateBatch,
        books: &mut Books,
        pending: &mut Pending,
        is_after: bool,
    ) {
        let (StateWrite::Put(_, key, _) | StateWrite::Delete(_, key)) = &self.write;
        if let Some(expect) = self.expect
            && (is_after || !self.follows)
            && Guard::LetterFence.stands()
        {
            let guard = (Namespace::DeadLetter, key.clone(), Some(expect));
            batch.expect.push(guard);
        }
        batch.writes.push(self.write);
        super::account::add(&mut books.account.bytes, self.bytes);
        super::account::add(&mut books.account.pending, self.effect.letters);
        pending.apply(self.effect);
    }
}

/// Letters as they will be stored, by number.
type Left = HashMap<u64, Vec<u8>>;

/// Letters and attempts undone with the intent they came with; and the letters as they are then, by number.
pub(super) fn undone(
    store: &dyn StateStore,
    held: &Held,
    intent: &Intent,
) -> Result<(Vec<Row>, Left), JournalError> {
    let mut rows = Vec::new();
    if let Some(numbers) = intent.dead_letters {
        for stored in stored(store, &held.pipeline, numbers) {
            let (key, bytes) = stored?;
            rows.push(deleted(key, bytes.len()));
        }
    }
    let mut left = Left::new();
    if let Some(numbers) = intent.redriven {
        for stored in stored(store, &held.pipeline, numbers) {
            let (key, bytes) = stored?;
            let letter: DeadLetter = decode(WHAT, &bytes)?;
            let is_ours = |attempt: &Attempt| attempt.split == held.split;
            if letter.attempt.as_ref().is_some_and(is_ours) && is_under(intent, &letter) {
                let (number, row, after) = taken_back(key, bytes, letter);
                left.insert(number, after);
                rows.push(row);
            }
        }
    }
    Ok((rows, left))
}

fn deleted(key: Vec<u8>, value_bytes: usize) -> Row {
    Row {
        expect: None,
        bytes: change(key.len() + value_bytes, 0),
        write: StateWrite::Delete(Namespace::DeadLetter, key),
        effect: Effect {
            letters: -1,
            ..Effect::default()
        },
        follows: false,
    }
}

fn taken_back(key: Vec<u8>, bytes: Vec<u8>, letter: DeadLetter) -> (u64, Row, Vec<u8>) {
    let number = letter.number;
    let attempt = letter.attempt.as_ref();
    let effect = attempt.map(|attempt| effect(&attempt.fate, -1));
    let after = encode(&letter.without_attempt());
    let row = Row {
        bytes: change(bytes.len(), after.len()),
        expect: Some(bytes),
        write: StateWrite::Put(Namespace::DeadLetter, key, after.clone()),
        effect: effect.unwrap_or_default(),
        follows: false,
    };
    (number, row, after)
}

fn effect(fate: &Fate, change: i64) -> Effect {
    let none = Effect::default();
    match fate {
        Fate::Delivered => Effect {
            delivered: change,
            ..none
        },
        Fate::Filtered => Effect {
            filtered: change,
            ..none
        },
        Fate::Refused { .. } => none,
    }
}

/// A letter that comes.
pub(super) fn came(letter: &DeadLetter) -> Row {
    let key = key::letter(&letter.pipeline, letter.number);
    let bytes = encode(letter);
    Row {
        expect: None,
        bytes: change(0, key.len() + bytes.len()),
        write: StateWrite::Put(Namespace::DeadLetter, key, bytes),
        effect: Effect {
            letters: 1,
            ..Effect::default()
        },
        follows: false,
    }
}

/// What enters attempts into letters.
pub(super) struct Redriving<'a> {
    pub store: &'a dyn StateStore,
    pub pipeline: &'a PipelineName,
    pub intents: Intents<'a>,
    /// Letters as the same step leaves them before.
    pub left: Left,
    /// The attempt, but for its fate.
    pub made: Attempt,
    /// The letters it was entered into.
    pub seen: HashSet<u64>,
}

impl Redriving<'_> {
    /// An attempt that is entered into its letter. Fenced where that is not the letter any more that was redriven.
    pub fn attempted(&mut self, redriven: &Redriven) -> Result<Row, JournalError> {
        let key = key::letter(self.pipeline, redriven.number);
        let (stored, follows) = match self.left.remove(&redriven.number) {
            Some(left) => (Some(left), true),
            None => (self.store.get(Namespace::DeadLetter, &key)?, false),
        };
        let Some(stored) = stored else {
            return Err(fenced());
        };
        let kept = self.intents.kept(&key, stored)?;
        let is_same = kept.is_open()
            && kept.letter.edits == redriven.edits
            && self.seen.insert(redriven.number);
        if Guard::RedriveFence.bars(!is_same) {
            return Err(fenced());
        }
        let mut letter = kept.letter.without_attempt();
        letter.attempt = Some(Attempt {
            fate: redriven.fate.clone().stripped(),
            ..self.made.clone()
        });
        let bytes = encode(&letter);
        Ok(Row {
            bytes: change(kept.stored.len(), bytes.len()),
            expect: Some(kept.stored),
            write: StateWrite::Put(Namespace::DeadLetter, key, bytes),
            effect: effect(&redriven.fate, 1),
            follows,
        })
    }
}

fn fenced() -> JournalError {
    StoreError::Fenced.into()
}
