//! What became of the records of the unit at hand, so that a unit that is written again, because a request in its
//! middle failed, goes on where it was.

use crate::answer::Outcome;
use sluice_sdk::sink::Commit;
use std::collections::{BTreeMap, VecDeque};

/// A record's key: see `request`.
pub(crate) type Key = [u8; 16];

/// The outcomes of one unit. The same record may stand in it more than once, and each time has its own.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    mark: Option<(u64, u64)>,
    settled: BTreeMap<Key, VecDeque<Outcome>>,
    earlier: BTreeMap<Key, VecDeque<Outcome>>,
}

impl Progress {
    /// A unit begins, for the first time or again.
    pub(crate) fn begin(&mut self, commit: &Commit) {
        let mark = Some((commit.epoch, commit.sequence));
        if self.mark != mark {
            *self = Self {
                mark,
                ..Self::default()
            };
            return;
        }
        // What an earlier attempt settled and the last one did not reach again comes behind what it did reach.
        let mut settled = std::mem::take(&mut self.settled);
        for (key, rest) in std::mem::take(&mut self.earlier) {
            settled.entry(key).or_default().extend(rest);
        }
        self.earlier = settled;
    }

    /// What an earlier attempt made of this record.
    pub(crate) fn earlier(&mut self, key: &Key) -> Option<Outcome> {
        let outcome = self.earlier.get_mut(key)?.pop_front()?;
        self.settle(*key, outcome.clone());
        Some(outcome)
    }

    /// Notes what became of a record.
    pub(crate) fn settle(&mut self, key: Key, outcome: Outcome) {
        self.settled.entry(key).or_default().push_back(outcome);
    }

    /// The unit is done.
    pub(crate) fn finish(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(sequence: u64) -> Commit {
        Commit {
            pipeline: "p".to_owned(),
            split: "s".to_owned(),
            cursor: Vec::new(),
            epoch: 1,
            sequence,
        }
    }

    #[test]
    fn a_unit_goes_on_where_it_was() {
        let mut progress = Progress::default();
        progress.begin(&commit(1));
        progress.settle([1; 16], None);
        progress.settle([1; 16], None);
        progress.settle([2; 16], None);
        for _ in 0..2 {
            progress.begin(&commit(1));
            assert_eq!(
                progress.earlier(&[1; 16]),
                Some(None),
                "and no further: the second time stays for later"
            );
        }
        progress.begin(&commit(1));
        let found = [[1; 16], [1; 16], [1; 16], [2; 16], [3; 16]]
            .map(|key| progress.earlier(&key).is_some());
        assert_eq!(found, [true, true, false, true, false]);
        progress.begin(&commit(2));
        assert_eq!(
            progress.earlier(&[1; 16]),
            None,
            "another unit is not the same"
        );
        progress.settle([1; 16], None);
        progress.finish();
        progress.begin(&commit(2));
        assert_eq!(
            progress.earlier(&[1; 16]),
            None,
            "a unit that is done is forgotten"
        );
    }
}
