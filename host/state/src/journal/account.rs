//! What a pipeline's dead letters come to: kept durably, and moved in the same commits as they are.
//!
//! Invariant: the account is what a count of all letters gives, together with what was removed since (test:
//! `an_account_is_what_a_count_gives`).

use super::key;
use super::letter::StandingKind;
use super::letters::{ALL, Intents, stored};
use super::record::{JournalError, decode, encode};
use serde::{Deserialize, Serialize};
use sluice_model::guards::Guard;
use sluice_model::ids::PipelineName;
use sluice_model::ports::{Namespace, StateBatch, StateStore, StateWrite};

/// How many dead letters a pipeline ever had, by what became of them, and how much they take.
///
/// Invariant: `waiting + delivered + filtered + discarded + expired` is what the totals of all splits, but for those of
/// redrives, say was dead-lettered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Account {
    /// Letters whose unit is not settled: they count nowhere else yet.
    pub pending: u64,
    /// Letters that wait, those with an attempt that is not settled among them.
    pub waiting: u64,
    /// Letters that a redrive delivered.
    pub delivered: u64,
    /// Letters that a redrive left out.
    pub filtered: u64,
    /// Letters that a person gave up.
    pub discarded: u64,
    /// Letters that waited until their time was over.
    pub expired: u64,
    /// Bytes of keys and values of all letters that are there, whatever became of them.
    pub bytes: u64,
}

/// What the settling of one intent does to the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Pending {
    /// Letters that wait from then on.
    pub letters: u64,
    /// Letters that are delivered from then on.
    pub delivered: u64,
    /// Letters that are filtered from then on.
    pub filtered: u64,
    /// Not all of them are written, or some are deleted already: such an intent can only be undone.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
}

/// What a write does to a [`Pending`].
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Effect {
    pub letters: i64,
    pub delivered: i64,
    pub filtered: i64,
}

impl Pending {
    pub(super) fn apply(&mut self, effect: Effect) {
        add(&mut self.letters, effect.letters);
        add(&mut self.delivered, effect.delivered);
        add(&mut self.filtered, effect.filtered);
    }

    pub(super) fn is_nothing(self) -> bool {
        (self.letters, self.delivered, self.filtered) == (0, 0, 0)
    }
}

pub(super) fn add(number: &mut u64, change: i64) {
    *number = number.saturating_add_signed(change);
}

/// What letters take more once something of so many bytes has so many instead.
pub(super) fn change(before: usize, after: usize) -> i64 {
    let signed = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
    signed(after) - signed(before)
}

impl Account {
    /// An intent is settled.
    pub(super) fn settle(&mut self, pending: Pending) {
        let settled = pending.delivered + pending.filtered;
        self.pending = self.pending.saturating_sub(pending.letters);
        self.waiting = (self.waiting + pending.letters).saturating_sub(settled);
        self.delivered += pending.delivered;
        self.filtered += pending.filtered;
    }
}

/// The account of a pipeline. Where an older version kept none: a count of what is there, which reads it all.
pub fn account(store: &dyn StateStore, pipeline: &PipelineName) -> Result<Account, JournalError> {
    Ok(Books::open(store, pipeline)?.account)
}

/// What is there, counted: every letter is read. What was removed is not in it.
pub fn counted(store: &dyn StateStore, pipeline: &PipelineName) -> Result<Account, JournalError> {
    let (mut account, mut intents) = (Account::default(), Intents::new(store, pipeline));
    for stored in stored(store, pipeline, ALL) {
        let (key, bytes) = stored?;
        let kept = intents.kept(&key, bytes)?;
        account.bytes += kept.bytes;
        let field = match kept.letter.standing.kind() {
            StandingKind::Waiting if kept.pending => &mut account.pending,
            StandingKind::Waiting => &mut account.waiting,
            StandingKind::Delivered => &mut account.delivered,
            StandingKind::Filtered => &mut account.filtered,
            StandingKind::Discarded => &mut account.discarded,
        };
        *field += 1;
    }
    Ok(account)
}

/// A pipeline's account while batches that move it are built.
pub(super) struct Books {
    key: Vec<u8>,
    /// As it is stored, or will be after the batches that were built so far.
    stored: Option<Vec<u8>>,
    pub account: Account,
}

impl Books {
    pub fn open(store: &dyn StateStore, pipeline: &PipelineName) -> Result<Self, JournalError> {
        let key = key::account(pipeline);
        let stored = store.get(Namespace::Meta, &key)?;
        let account = match &stored {
            Some(bytes) => decode("the account of dead letters", bytes)?,
            None => counted(store, pipeline)?,
        };
        Ok(Self {
            key,
            stored,
            account,
        })
    }

    /// Adds the account as it is now to a batch, which is written only where nobody else has moved it.
    pub fn enter(&mut self, batch: &mut StateBatch) {
        let bytes = encode(&self.account);
        if self.stored.as_ref() == Some(&bytes) {
            return;
        }
        let before = self.stored.replace(bytes.clone());
        if Guard::AccountFence.stands() {
            let expect = (Namespace::Meta, self.key.clone(), before);
            batch.expect.push(expect);
        }
        let put = StateWrite::Put(Namespace::Meta, self.key.clone(), bytes);
        batch.writes.push(put);
    }
}
