//! Which records of a batch a plugin cannot take: the batch is halved, and each half that fails again, until the
//! records that cause it stand alone. Those go to the DLQ, the others go on. Pure: whoever drives it makes the tries.
//!
//! It begins when a plugin has failed on the whole. The whole is tried once more, with a fresh instance as every try
//! is after a failure: the fault may have been chance. Pieces come in the records' order. A plain sink keeps the pieces
//! that passed, for it has written them, and so does whoever transforms; a transactional one is given the whole once more
//! without the culprits, and where that fails too the plugin is sick.
//!
//! A plugin that fails on everything is told from one that fails on some records: so many of these alone, one after
//! another, and no piece passed in between.
//!
//! Invariant: the pieces that passed and the culprits are all records, each once (test: `finds_exactly_the_culprits`).

use sluice_model::guards::Guard;
use std::ops::Range;

/// When a plugin is taken to be sick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HalvingSettings {
    /// The most culprits in one batch. Each costs about twice as many tries as the batch can be halved.
    pub culprits_max: usize,
    /// The most records that fail alone in a row while nothing passes.
    pub alone_max: usize,
}

impl HalvingSettings {
    /// As many as there are.
    pub const UNBOUNDED: Self = Self {
        culprits_max: usize::MAX,
        alone_max: usize::MAX,
    };
}

impl Default for HalvingSettings {
    /// 64, and 8 in a row.
    fn default() -> Self {
        Self {
            culprits_max: 64,
            alone_max: 8,
        }
    }
}

/// What is known of the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// There are pieces to try.
    Trying,
    /// Every record has passed or is a culprit.
    Found,
    /// The plugin fails on more than records could be blamed for. Nothing more is tried, and nobody is a culprit.
    Sick,
}

/// The search in one batch.
#[derive(Debug, Clone)]
pub struct Halving {
    settings: HalvingSettings,
    /// Pieces to try, the next one last. No more than the batch can be halved, plus one.
    left: Vec<Range<usize>>,
    passed: Vec<Range<usize>>,
    culprits: Vec<usize>,
    /// Records that failed alone since a piece passed.
    alone: usize,
    is_sick: bool,
}

impl Halving {
    /// For a batch of so many records on which a plugin failed. `alone` is what [`Halving::alone`] said after the
    /// plugin's last batch, if nothing passed since; else 0. So a plugin that fails on everything is found out in
    /// batches of one record too.
    pub fn of(rows: usize, alone: usize, settings: HalvingSettings) -> Self {
        let whole = 0..rows;
        Self {
            settings,
            left: Some(whole)
                .filter(|it| !it.is_empty())
                .into_iter()
                .collect(),
            passed: Vec::new(),
            culprits: Vec::new(),
            alone,
            is_sick: false,
        }
    }

    /// The records to try next, until it is said what came of it: a transient fault leaves them to be tried again.
    /// None once there is a verdict.
    pub fn next_piece(&self) -> Option<Range<usize>> {
        self.left.last().filter(|_| !self.is_sick).cloned()
    }

    /// The plugin took them.
    pub fn passed(&mut self) {
        if let Some(piece) = self.left.pop() {
            self.passed.push(piece);
            self.alone = 0;
        }
    }

    /// The plugin failed on them, and not by a transient fault.
    pub fn failed(&mut self) {
        let Some(piece) = self.left.pop() else { return };
        if piece.len() > 1 {
            let middle = piece.start + piece.len() / 2;
            self.left.push(middle..piece.end);
            self.left.push(piece.start..middle);
            return;
        }
        self.culprits.push(piece.start);
        self.alone += 1;
        self.is_sick = self.alone > Guard::HalvingAlone.limit(self.settings.alone_max)
            || self.culprits.len() > Guard::HalvingCulprits.limit(self.settings.culprits_max);
    }

    /// What is known by now.
    pub fn verdict(&self) -> Verdict {
        match (self.is_sick, self.left.is_empty()) {
            (true, _) => Verdict::Sick,
            (false, false) => Verdict::Trying,
            (false, true) => Verdict::Found,
        }
    }

    /// Records that failed alone, in order: to be refused once [`Verdict::Found`].
    pub fn culprits(&self) -> &[usize] {
        &self.culprits
    }

    /// The pieces that passed, in order.
    pub fn pieces(&self) -> &[Range<usize>] {
        &self.passed
    }

    /// Records that failed alone in a row by now, for the plugin's next batch.
    pub fn alone(&self) -> usize {
        self.alone
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn bounds(culprits_max: usize, alone_max: usize) -> HalvingSettings {
        HalvingSettings {
            culprits_max,
            alone_max,
        }
    }

    /// Tries pieces until there is a verdict; gives the tries it took.
    fn search(halving: &mut Halving, fails: impl Fn(&Range<usize>) -> bool) -> usize {
        let mut tries = 0;
        while let Some(piece) = halving.next_piece() {
            tries += 1;
            if fails(&piece) {
                halving.failed();
            } else {
                halving.passed();
            }
        }
        tries
    }

    fn all_of(rows: usize, halving: &Halving) -> bool {
        let mut seen: Vec<usize> = halving.pieces().iter().cloned().flatten().collect();
        seen.extend(halving.culprits());
        seen.sort_unstable();
        seen == (0..rows).collect::<Vec<_>>()
    }

    #[test]
    fn a_fault_of_chance_costs_one_more_try() {
        let mut halving = Halving::of(1_000, 0, HalvingSettings::default());
        assert_eq!(search(&mut halving, |_| false), 1);
        assert_eq!(halving.verdict(), Verdict::Found);
        let whole = std::slice::from_ref(&(0..1_000));
        assert_eq!(halving.pieces(), whole);
        assert!(halving.culprits().is_empty());
    }

    #[test]
    fn pieces_come_in_order_and_wait_for_their_answer() {
        let mut halving = Halving::of(4, 0, HalvingSettings::default());
        let mut tried = Vec::new();
        while let Some(piece) = halving.next_piece() {
            assert_eq!(
                halving.next_piece(),
                Some(piece.clone()),
                "it stays until it is answered"
            );
            tried.push(piece.clone());
            if piece.contains(&1) {
                halving.failed();
            } else {
                halving.passed();
            }
        }
        assert_eq!(tried, [0..4, 0..2, 0..1, 1..2, 2..4]);
        assert_eq!(
            (halving.culprits(), halving.pieces()),
            (&[1][..], &[0..1, 2..4][..])
        );
        halving.failed();
        halving.passed();
        assert_eq!(halving.verdict(), Verdict::Found, "answers to nothing");
    }

    #[test]
    fn a_batch_of_nothing_has_no_culprits() {
        let halving = Halving::of(0, 0, HalvingSettings::default());
        assert_eq!(
            (halving.next_piece(), halving.verdict()),
            (None, Verdict::Found)
        );
    }

    /// Two records that are too much together, and neither alone.
    #[test]
    fn records_that_fail_only_together_all_pass() {
        let mut halving = Halving::of(8, 0, HalvingSettings::default());
        search(&mut halving, |piece| {
            piece.contains(&2) && piece.contains(&6)
        });
        assert!(halving.culprits().is_empty());
        assert!(all_of(8, &halving));
    }

    #[test]
    fn a_plugin_that_fails_on_everything_is_sick() {
        let mut halving = Halving::of(1_000, 0, HalvingSettings::default());
        let tries = search(&mut halving, |_| true);
        assert_eq!(
            (halving.verdict(), halving.next_piece()),
            (Verdict::Sick, None)
        );
        assert!(tries < 40, "{tries} tries");
        // Exactly so many in a row are no more than so many.
        let mut halving = Halving::of(8, 0, HalvingSettings::default());
        search(&mut halving, |_| true);
        assert_eq!(
            (halving.verdict(), halving.culprits().len()),
            (Verdict::Found, 8)
        );
        // And so over batches of one.
        let alone = halving.alone();
        let mut halving = Halving::of(1, alone, HalvingSettings::default());
        search(&mut halving, |_| true);
        assert_eq!(halving.verdict(), Verdict::Sick);
        let mut halving = Halving::of(1, alone, HalvingSettings::default());
        search(&mut halving, |_| false);
        assert_eq!((halving.verdict(), halving.alone()), (Verdict::Found, 0));
    }

    #[test]
    fn too_many_culprits_are_a_sick_plugin() {
        let every_other = |piece: &Range<usize>| piece.clone().any(|row| row % 2 == 0);
        for (rows, verdict) in [(128, Verdict::Found), (130, Verdict::Sick)] {
            let mut halving = Halving::of(rows, 0, HalvingSettings::default());
            search(&mut halving, every_other);
            assert_eq!(
                halving.verdict(),
                verdict,
                "{rows} records, every other one"
            );
        }
    }

    proptest! {
        #[test]
        fn finds_exactly_the_culprits(
            rows in 1_usize..600,
            picks in prop::collection::vec(0_usize..600, 0..20),
        ) {
            let poison: BTreeSet<usize> = picks.into_iter().filter(|row| *row < rows).collect();
            let mut halving = Halving::of(rows, 0, bounds(64, 600));
            let tries = search(&mut halving, |piece| poison.range(piece.clone()).next().is_some());
            prop_assert_eq!(halving.verdict(), Verdict::Found);
            prop_assert!(halving.culprits().iter().eq(&poison));
            prop_assert!(all_of(rows, &halving));
            prop_assert!(halving.pieces().windows(2).all(|two| two[0].end <= two[1].start));
            let halvings = rows.next_power_of_two().ilog2() as usize;
            prop_assert!(tries <= 2 * poison.len() * halvings + 1, "{} tries", tries);
        }

        /// However it fails, it ends, within what the bounds allow.
        #[test]
        fn it_ends(
            rows in 0_usize..2_000,
            answers in prop::collection::vec(any::<bool>(), 0..64),
            alone in 0_usize..8,
        ) {
            let mut halving = Halving::of(rows, alone, HalvingSettings::default());
            let mut tries = 0;
            while halving.next_piece().is_some() {
                if answers.get(tries % answers.len().max(1)).is_none_or(|passes| *passes) {
                    halving.passed();
                } else {
                    halving.failed();
                }
                tries += 1;
                prop_assert!(tries <= 2 * rows + 1);
            }
            prop_assert_ne!(halving.verdict(), Verdict::Trying);
            if halving.verdict() == Verdict::Found {
                prop_assert!(all_of(rows, &halving));
                prop_assert!(halving.culprits().len() <= 64);
            }
        }
    }
}
