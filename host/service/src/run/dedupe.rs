//! The window of a source that repeats itself: what was delivered of late is remembered, durably, and what comes again
//! is left out and counted.
//!
//! A record is remembered once the checkpoint says that it is delivered, in the same commit; while it is under way, in
//! memory, for its own split alone. So a unit that is read again after a crash is not taken for a repetition of itself,
//! and nothing is left out for the sake of what may never be delivered.

use sluice_codec::RowKey;
use sluice_model::batch::Batch;
use sluice_model::checkpoint::Mark;
use sluice_model::guards::Guard;
use sluice_model::ids::SplitId;
use sluice_model::pipeline::Dedupe;
use sluice_state::journal::{Block, Digest};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

/// The most records of one window. Stops a pipeline from taking the host's memory: 50 bytes each, about.
pub const RECORDS_MAX: u64 = 4_000_000;

/// What is forgotten in the commit of one unit, at most: after a quiet while there may be more than one commit takes.
const FORGOTTEN_AT_ONCE: usize = 4_096;

/// What a pipeline has seen of late. Shared by the splits of a run.
pub struct Window {
    settings: Dedupe,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// Delivered, each with the number of blocks that it is in.
    delivered: HashMap<Digest, u32>,
    /// Under way in a split. Another split that reads the same is not held up by it: this one may never be delivered.
    under_way: HashMap<SplitId, HashSet<Digest>>,
    /// What is delivered, the oldest first.
    blocks: VecDeque<Remembered>,
    /// How many those are.
    records: u64,
    /// Not yet told.
    forgotten: Vec<Forgotten>,
}

impl Seen {
    fn remember(&mut self, block: Remembered) {
        self.records += block.digests.len() as u64;
        for digest in &block.digests {
            *self.delivered.entry(*digest).or_default() += 1;
        }
        self.blocks.push_back(block);
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.blocks.pop_front() {
            self.forget(&oldest);
            self.forgotten.push((oldest.split, oldest.mark));
        }
    }

    fn forget(&mut self, block: &Remembered) {
        self.records -= block.digests.len() as u64;
        for digest in &block.digests {
            if let Entry::Occupied(mut times) = self.delivered.entry(*digest) {
                *times.get_mut() -= 1;
                if *times.get() == 0 {
                    times.remove();
                }
            }
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
        let mut seen = Seen::default();
        for block in blocks {
            seen.remember(block);
        }
        Self {
            settings,
            seen: Mutex::new(seen),
        }
    }

    /// Which records of a split's batch are new, and their digests, which count as seen in this split from now on. One
    /// bit a row.
    pub fn admit(
        &self,
        split: &SplitId,
        batch: &Batch,
        row_key: &RowKey,
        now_ms: u64,
    ) -> (Vec<bool>, Vec<Digest>) {
        let fields = Some(&*self.settings.by).filter(|fields| !fields.is_empty());
        let digests = sluice_codec::digests(batch, fields, row_key);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        self.forget_old(&mut seen, now_ms);
        let (mut stays, mut new) = (Vec::with_capacity(digests.len()), Vec::new());
        let Seen {
            delivered,
            under_way,
            ..
        } = &mut *seen;
        let under_way = under_way.entry(split.clone()).or_default();
        for digest in digests {
            let is_new = digest
                .is_none_or(|digest| !delivered.contains_key(&digest) && under_way.insert(digest));
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
        if let Some(under_way) = seen.under_way.get_mut(&split) {
            for digest in &digests {
                under_way.remove(digest);
            }
        }
        // A unit that is stored anew was taken back before.
        seen.remember(Remembered {
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
        // The rest goes with the next.
        let now = seen.forgotten.len().min(FORGOTTEN_AT_ONCE);
        seen.forgotten.drain(..now).collect()
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

    /// A split is over: what was under way in it is read again, and is no repetition.
    pub fn over(&self, split: &SplitId) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.under_way.remove(split);
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

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_model::batch::Places;
    use sluice_model::schema::{Field, FieldType, Schema};
    use sluice_model::sizes::Span;
    use std::sync::Arc;
    use std::time::Duration;

    const KEY: RowKey = [7; 32];

    fn window(records: u64) -> Window {
        let settings = Dedupe {
            by: Vec::new(),
            window: Span(Duration::from_mins(1)),
            records,
        };
        Window::new(settings, Vec::new())
    }

    fn batch(numbers: &[i64]) -> Batch {
        let schema = Schema::new(vec![Field::new("n", FieldType::Int64, false)], vec![]);
        let schema = Arc::new(schema.unwrap());
        let column = arrow_array::Int64Array::from(numbers.to_vec());
        let data =
            arrow_array::RecordBatch::try_new(Arc::clone(schema.arrow()), vec![Arc::new(column)]);
        Batch::entering(
            "s".parse().unwrap(),
            schema,
            data.unwrap(),
            None,
            Places::none(),
        )
    }

    fn split(name: &str) -> SplitId {
        name.parse().unwrap()
    }

    fn mark(sequence: u64) -> Mark {
        Mark { epoch: 1, sequence }
    }

    fn new(window: &Window, name: &str, numbers: &[i64]) -> (Vec<bool>, Vec<Digest>) {
        window.admit(&split(name), &batch(numbers), &KEY, 1_000)
    }

    #[test]
    fn what_is_under_way_is_left_out_of_its_own_split_alone() {
        let window = window(100);
        let (stays, digests) = new(&window, "a", &[1, 2, 1]);
        assert_eq!(stays, [true, true, false]);
        // The other may never be delivered.
        assert_eq!(new(&window, "b", &[1]).0, [true]);
        assert!(
            window
                .delivered(split("a"), mark(1), 1_000, digests)
                .is_empty()
        );
        assert_eq!(new(&window, "c", &[1, 3]).0, [false, true]);
        // A split that ended in the middle reads it again.
        window.over(&split("c"));
        assert_eq!(new(&window, "c", &[3]).0, [true]);
    }

    #[test]
    fn what_was_not_delivered_comes_again_and_what_two_delivered_is_forgotten_with_the_last() {
        let window = window(100);
        let (_, digests) = new(&window, "a", &[1]);
        for name in ["a", "b"] {
            let _ = window.delivered(split(name), mark(1), 1_000, digests.clone());
        }
        window.undelivered(&split("a"), mark(1));
        assert_eq!(new(&window, "c", &[1]).0, [false], "the other has it still");
        window.undelivered(&split("b"), mark(1));
        assert_eq!(new(&window, "c", &[1]).0, [true]);
    }

    #[test]
    fn no_commit_has_to_forget_more_than_it_can() {
        let window = window(u64::MAX);
        for number in 0..FORGOTTEN_AT_ONCE as u64 + 10 {
            let _ = window.delivered(split("a"), mark(number), 1_000, Vec::new());
        }
        let first = window.delivered(split("a"), mark(99_999), 100_000, Vec::new());
        assert_eq!(first.len(), FORGOTTEN_AT_ONCE);
        let rest = window.delivered(split("a"), mark(100_000), 100_000, Vec::new());
        assert_eq!(rest.len(), 10);
    }
}
