//! The window of a source that repeats itself: what was delivered of late is remembered, durably, and what comes again
//! is left out and counted.
//!
//! A record is remembered once the checkpoint says that it is delivered, in the same commit; while it is under way, in
//! memory. So a unit that is read again after a crash is not taken for a repetition of itself.

use sluice_codec::RowKey;
use sluice_model::batch::Batch;
use sluice_model::checkpoint::Mark;
use sluice_model::guards::Guard;
use sluice_model::ids::SplitId;
use sluice_model::pipeline::Dedupe;
use sluice_state::journal::{Block, Digest};
use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

/// The most records of one window. Stops a pipeline from taking the host's memory: 40 bytes each, about.
pub const RECORDS_MAX: u64 = 4_000_000;

/// What a pipeline has seen of late. Shared by the splits of a run.
pub struct Window {
    settings: Dedupe,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// Delivered, or under way.
    digests: HashSet<Digest>,
    /// What is delivered, the oldest first.
    blocks: VecDeque<Remembered>,
    /// How many those are.
    records: u64,
    /// Not yet told.
    forgotten: Vec<Forgotten>,
}

impl Seen {
    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.blocks.pop_front() {
            self.forget(&oldest);
            self.forgotten.push((oldest.split, oldest.mark));
        }
    }

    fn forget(&mut self, block: &Remembered) {
        self.records -= block.digests.len() as u64;
        for digest in &block.digests {
            self.digests.remove(digest);
        }
    }
}

struct Remembered {
    split: SplitId,
    mark: Mark,
    at_ms: u64,
    digests: Vec<Digest>,
}

/// A block that is forgotten: its place in the store.
pub type Forgotten = (SplitId, Mark);

impl Window {
    /// As the store holds it.
    pub fn new(settings: Dedupe, blocks: Vec<(Block, Vec<Digest>)>) -> Self {
        let mut blocks: Vec<Remembered> = blocks
            .into_iter()
            .map(|(block, digests)| Remembered {
                split: block.split,
                mark: block.mark,
                at_ms: block.at_ms,
                digests,
            })
            .collect();
        blocks.sort_by_key(|block| block.at_ms);
        let digests = blocks.iter().flat_map(|block| &block.digests).copied();
        let seen = Seen {
            digests: digests.collect(),
            records: blocks.iter().map(|block| block.digests.len() as u64).sum(),
            blocks: blocks.into(),
            forgotten: Vec::new(),
        };
        Self {
            settings,
            seen: Mutex::new(seen),
        }
    }

    /// Which records of a batch are new, and their digests, which count as seen from now on. One bit a row.
    pub fn admit(&self, batch: &Batch, row_key: &RowKey, now_ms: u64) -> (Vec<bool>, Vec<Digest>) {
        let fields = Some(&*self.settings.by).filter(|fields| !fields.is_empty());
        let digests = sluice_codec::digests(batch, fields, row_key);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        self.forget_old(&mut seen, now_ms);
        let (mut stays, mut new) = (Vec::with_capacity(digests.len()), Vec::new());
        for digest in digests {
            let is_new = digest.is_none_or(|digest| seen.digests.insert(digest));
            stays.push(Guard::Dedupe.holds(is_new));
            new.extend(digest.filter(|_| is_new));
        }
        (stays, new)
    }

    /// Remembers what is delivered, and says which blocks are too old, or too many by now.
    pub fn delivered(
        &self,
        split: SplitId,
        mark: Mark,
        at_ms: u64,
        digests: Vec<Digest>,
    ) -> Vec<Forgotten> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.records += digests.len() as u64;
        seen.digests.extend(&digests); // A unit that is stored anew was taken back before.
        seen.blocks.push_back(Remembered {
            split,
            mark,
            at_ms,
            digests,
        });
        self.forget_old(&mut seen, at_ms);
        let records_max = Guard::DedupeRecords.limit(self.settings.records.min(RECORDS_MAX));
        while seen.blocks.len() > 1 && seen.records > records_max {
            seen.forget_oldest();
        }
        std::mem::take(&mut seen.forgotten)
    }

    /// A unit that counted as delivered was not: its records are read again, and are no repetitions.
    pub fn undelivered(&self, split: &SplitId, mark: Mark) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |block: &Remembered| block.mark == mark && block.split == *split;
        if let Some(at) = seen.blocks.iter().rposition(is_it)
            && let Some(block) = seen.blocks.remove(at)
        {
            seen.forget(&block);
        }
    }

    fn forget_old(&self, seen: &mut Seen, now_ms: u64) {
        let window_ms = u64::try_from(self.settings.window.0.as_millis()).unwrap_or(u64::MAX);
        let oldest_ms = now_ms.saturating_sub(window_ms);
        while seen
            .blocks
            .front()
            .is_some_and(|oldest| oldest.at_ms < oldest_ms)
        {
            seen.forget_oldest();
        }
    }
}
