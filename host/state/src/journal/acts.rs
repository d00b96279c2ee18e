//! What people and time do to dead letters: discarding, editing, expiring, making room. Each is a batch for the caller to
//! commit, once it is audited, while it has the pipeline's turn. It holds only where the letters are still as they were
//! read: of an act and a redrive of the same letter, one fences the other.

use super::account::{Books, add, change};
use super::desk::Turn;
use super::key;
use super::letter::{DeadLetter, Edit, Standing, StandingKind};
use super::letters::{ALL, Intents, Kept, stored};
use super::record::{JournalError, encode};
use crate::bounds::FILLED_BYTES_MAX;
use sluice_model::checkpoint::Numbers;
use sluice_model::guards::Guard;
use sluice_model::limits::DEAD_LETTER_RECORD_BYTES_MAX;
use sluice_model::ports::{Namespace, StateBatch, StateStore, StateWrite};
use sluice_model::rejection::Record;
use std::collections::HashSet;

/// The batch that gives these letters up. Their records go; number, code, place and reason stay.
///
/// # Errors
/// Where one of them does not wait, or is not settled.
pub fn discard(
    store: &dyn StateStore,
    turn: &Turn,
    letters: &[Kept],
    by: &str,
    reason: &str,
    now_ms: u64,
) -> Result<StateBatch, JournalError> {
    let mut act = Act::begin(store, turn)?;
    let mut seen = HashSet::new();
    for kept in letters {
        check_open(kept)?;
        if !seen.insert(kept.letter.number) {
            continue;
        }
        let mut letter = kept.letter.clone().without_attempt();
        letter.rejection.record = Record::Raw(Vec::new());
        letter.rejection.message = String::new();
        letter.rejection.csv = None;
        letter.rejection.given = None;
        letter.edited = None;
        letter.standing = Standing::Discarded {
            at_ms: now_ms,
            by: by.to_owned(),
            reason: reason.to_owned(),
        };
        act.put(kept, &letter);
        add(&mut act.books.account.waiting, -1);
        act.books.account.discarded += 1;
    }
    Ok(act.end())
}

/// The batch that has another record redriven in the place of a letter's own, which stays.
///
/// # Errors
/// Where it does not wait, or is not settled; where the record is no JSON object, or larger than
/// [`DEAD_LETTER_RECORD_BYTES_MAX`].
pub fn edit(
    store: &dyn StateStore,
    turn: &Turn,
    kept: &Kept,
    record: Record,
    by: &str,
    now_ms: u64,
) -> Result<StateBatch, JournalError> {
    check_open(kept)?;
    check_record(kept.letter.number, &record)?;
    let mut act = Act::begin(store, turn)?;
    let mut letter = kept.letter.clone().without_attempt();
    letter.edits = letter.edits.saturating_add(1);
    letter.edited = Some(Edit {
        by: by.to_owned(),
        at_ms: now_ms,
        record,
    });
    act.put(kept, &letter);
    Ok(act.end())
}

fn check_open(kept: &Kept) -> Result<(), JournalError> {
    let (number, standing) = (kept.letter.number, kept.letter.standing.kind());
    if Guard::AttemptPending.bars(kept.pending || kept.redriving) {
        let attempt = kept.letter.attempt.as_ref().filter(|_| kept.redriving);
        let split = attempt.map_or(&kept.letter.split, |attempt| &attempt.split);
        let split = split.clone();
        return Err(JournalError::Unsettled { number, split });
    }
    if Guard::LetterWaiting.bars(standing != StandingKind::Waiting) {
        return Err(JournalError::NotWaiting { number, standing });
    }
    Ok(())
}

fn check_record(number: u64, record: &Record) -> Result<(), JournalError> {
    let refused = |reason: String| Err(JournalError::Edit { number, reason });
    let bytes_max = Guard::LetterEditBytes.limit(DEAD_LETTER_RECORD_BYTES_MAX);
    if record.bytes() > bytes_max {
        let bytes = record.bytes();
        return refused(format!("it has {bytes} bytes, and may have {bytes_max}"));
    }
    let is_object = match record {
        Record::Json(text) => {
            serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text).is_ok()
        }
        Record::Raw(_) => false,
    };
    if Guard::LetterEditObject.bars(!is_object) {
        return refused("it is no JSON object".to_owned());
    }
    Ok(())
}

/// What one sweep looks at: some tenths of a second.
const LOOKED_AT_BYTES_MAX: u64 = 16 << 20;

/// Letters that are removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sweep {
    /// The batch that removes them.
    pub batch: StateBatch,
    /// How many.
    pub letters: u64,
    /// What they take.
    pub bytes: u64,
    /// The number to go on after; none where all were looked at.
    pub next: Option<u64>,
}

/// The batch that removes letters whose time is over, at most `limit`, after this number (0: from the first): those that
/// came before `before_ms` and wait, and those that were settled before it.
pub fn expire(
    store: &dyn StateStore,
    turn: &Turn,
    before_ms: u64,
    after: u64,
    limit: usize,
) -> Result<Sweep, JournalError> {
    sweep(store, turn, after, limit, |letter| {
        let since = letter.standing.since_ms().unwrap_or(letter.at_ms);
        since < before_ms
    })
}

/// The batch that removes letters that wait no more, at most `limit`, after this number (0: from the first).
pub fn purge(
    store: &dyn StateStore,
    turn: &Turn,
    after: u64,
    limit: usize,
) -> Result<Sweep, JournalError> {
    sweep(store, turn, after, limit, |letter| {
        letter.standing.kind() != StandingKind::Waiting
    })
}

/// Removes settled letters that are over, so many at most; never more bytes than a batch may hold, for what is removed is
/// guarded by what it was, and never more than some of those there are looked at: others wait for their turn.
fn sweep(
    store: &dyn StateStore,
    turn: &Turn,
    after: u64,
    letters_max: usize,
    is_over: impl Fn(&DeadLetter) -> bool,
) -> Result<Sweep, JournalError> {
    let (mut act, mut swept) = (Act::begin(store, turn)?, Sweep::default());
    let mut intents = Intents::new(store, turn.pipeline());
    let (first, mut last) = (after.saturating_add(1), after);
    let (letters_max, mut looked_at) = (letters_max.max(1) as u64, 0);
    for stored in stored(store, turn.pipeline(), Numbers { first, ..ALL }) {
        let (key, bytes) = stored?;
        if swept.letters >= letters_max
            || swept.bytes >= FILLED_BYTES_MAX as u64
            || looked_at >= LOOKED_AT_BYTES_MAX
        {
            swept.next = Some(last);
            break;
        }
        let kept = intents.kept(&key, bytes)?;
        last = kept.letter.number;
        looked_at += kept.bytes;
        let is_pending = Guard::AttemptPending.bars(kept.pending || kept.redriving);
        if is_pending || !is_over(&kept.letter) {
            continue;
        }
        act.delete(&kept);
        swept.letters += 1;
        swept.bytes += kept.bytes;
        if kept.letter.standing.kind() == StandingKind::Waiting {
            add(&mut act.books.account.waiting, -1);
            act.books.account.expired += 1;
        }
    }
    if swept.letters > 0 {
        swept.batch = act.end();
    }
    Ok(swept)
}

/// A batch of changes to letters, with the account.
struct Act<'a> {
    turn: &'a Turn,
    batch: StateBatch,
    books: Books,
}

impl<'a> Act<'a> {
    fn begin(store: &dyn StateStore, turn: &'a Turn) -> Result<Self, JournalError> {
        Ok(Self {
            turn,
            batch: StateBatch::default(),
            books: Books::open(store, turn.pipeline())?,
        })
    }

    fn put(&mut self, kept: &Kept, letter: &DeadLetter) {
        let key = self.expect(kept);
        let bytes = encode(letter);
        let grown = change(kept.stored.len(), bytes.len());
        add(&mut self.books.account.bytes, grown);
        let put = StateWrite::Put(Namespace::DeadLetter, key, bytes);
        self.batch.writes.push(put);
    }

    fn delete(&mut self, kept: &Kept) {
        let key = self.expect(kept);
        let gone = change(key.len() + kept.stored.len(), 0);
        add(&mut self.books.account.bytes, gone);
        let delete = StateWrite::Delete(Namespace::DeadLetter, key);
        self.batch.writes.push(delete);
    }

    /// A letter of another pipeline than whose turn it is, is not there.
    fn expect(&mut self, kept: &Kept) -> Vec<u8> {
        let key = key::letter(self.turn.pipeline(), kept.letter.number);
        if Guard::LetterFence.stands() {
            let expect = (
                Namespace::DeadLetter,
                key.clone(),
                Some(kept.stored.clone()),
            );
            self.batch.expect.push(expect);
        }
        key
    }

    fn end(mut self) -> StateBatch {
        self.books.enter(&mut self.batch);
        self.batch
    }
}
