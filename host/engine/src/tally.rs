//! Which columns an instance copied in and wrote, counted where it happens and told now and then: a look-up a column
//! on the data path, and no call to whoever listens.

use sluice_model::ids::StageId;
use sluice_model::ports::{Observer, Used};
use std::collections::HashMap;

/// Counts that are gathered before they are told. Keeps a run of days from telling all of it at its end.
const COUNTS_MAX: u32 = 4_096;

/// Names that are kept before they are told. Keeps a plugin that makes up ever new ones from filling memory with them.
const NAMES_MAX: usize = 256;

/// The capabilities that are counted.
const CAPABILITIES: [&str; 2] = ["data.reads", "data.writes"];

/// What one instance did with columns.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    columns: [HashMap<String, u64>; 2],
    counts: u32,
}

impl Tally {
    /// A batch's column was copied in, or encoded.
    pub(crate) fn read(&mut self, column: &str) {
        self.count(0, column);
    }

    /// A batch's column was put, renamed or dropped.
    pub(crate) fn wrote(&mut self, column: &str) {
        self.count(1, column);
    }

    fn count(&mut self, of: usize, column: &str) {
        self.counts += 1;
        match self.columns[of].get_mut(column) {
            Some(times) => *times += 1,
            None => drop(self.columns[of].insert(column.to_owned(), 1)),
        }
    }

    /// Whether there is enough to tell.
    pub(crate) fn is_full(&self) -> bool {
        let names = self
            .columns
            .iter()
            .any(|columns| columns.len() >= NAMES_MAX);
        self.counts >= COUNTS_MAX || names
    }

    /// Tells all of it, and begins anew.
    pub(crate) fn tell(&mut self, observer: &dyn Observer, stage: StageId) {
        self.counts = 0;
        for (capability, columns) in CAPABILITIES.into_iter().zip(&mut self.columns) {
            for (name, times) in columns.drain() {
                let used = Used {
                    capability,
                    name: &name,
                    times,
                    bytes_out: 0,
                    bytes_in: 0,
                };
                observer.used(stage, &used);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_model::ids::Role;
    use sluice_model::ports::{LogLine, Refusal};
    use std::sync::Mutex;

    #[derive(Default)]
    struct Told(Mutex<Vec<(String, String, u64)>>);

    impl Observer for Told {
        fn refused(&self, _: StageId, _: &Refusal) {}
        fn logged(&self, _: LogLine) {}
        fn used(&self, _: StageId, used: &Used<'_>) {
            let told = (used.capability.to_owned(), used.name.to_owned(), used.times);
            self.0.lock().unwrap().push(told);
        }
    }

    #[test]
    fn columns_are_counted_and_told_once() {
        let (told, mut tally) = (Told::default(), Tally::default());
        for _ in 0..COUNTS_MAX {
            assert!(!tally.is_full());
            tally.read("email");
        }
        assert!(tally.is_full());
        tally.wrote("hash");
        let stage = StageId {
            role: Role::Sink,
            index: 0,
        };
        tally.tell(&told, stage);
        tally.tell(&told, stage);
        assert_eq!(
            *told.0.lock().unwrap(),
            [
                (
                    "data.reads".to_owned(),
                    "email".to_owned(),
                    u64::from(COUNTS_MAX)
                ),
                ("data.writes".to_owned(), "hash".to_owned(), 1)
            ]
        );
    }
}
