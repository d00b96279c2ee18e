//! Anything that can happen to a pipeline's dead letters, in any order, with crashes; the account is right after each.

use super::*;
use proptest::prelude::*;
use sluice_model::ports::StateBatch;

/// One thing that happens: what, and numbers that say how.
type Happening = (u8, u8, u8, u8, bool, bool);

impl World {
    fn open_letters(&self, from: u8, count: u8) -> Vec<Kept> {
        let open = self.all().into_iter().filter(Kept::is_open);
        open.skip(usize::from(from))
            .take(usize::from(count))
            .collect()
    }

    fn commit_some(
        &self,
        split: &str,
        batches: Vec<(StateBatch, Held)>,
        crash: Option<u8>,
        bytes_max: usize,
    ) {
        // A person may be quicker than the next run.
        let moves = crash.is_some_and(|crash| crash % 5 == 0);
        let total = batches.len();
        let committed = crash.map_or(total, |crash| usize::from(crash) % (total + 1));
        let before = self.seen();
        let is_staged = self
            .hold(split)
            .checkpoint()
            .is_some_and(|held| held.intent.is_some());
        for (batch, _) in batches.into_iter().take(committed) {
            self.store.commit(batch).expect("commits");
            self.check();
        }
        if committed < total {
            if moves {
                self.move_place(split);
                return;
            }
            self.recover(split, bytes_max);
            if !is_staged {
                assert_eq!(self.seen(), before, "a crash leaves nothing");
            }
        }
    }

    fn sweep(&mut self, is_purge: bool, before_ms: u64, limit: usize) {
        let turn = self.desk.turn(&pipeline());
        let before = self.seen();
        let mut after = 0;
        loop {
            let sweep = if is_purge {
                purge(&self.store, &turn, after, limit)
            } else {
                expire(&self.store, &turn, before_ms, after, limit)
            };
            let sweep = sweep.expect("reads");
            if sweep.letters > 0 {
                self.store.commit(sweep.batch).expect("commits");
            }
            match sweep.next {
                Some(next) => after = next,
                None => break,
            }
        }
        let left = self.seen();
        for (number, seen) in before {
            if !left.contains_key(&number) {
                let kind = match seen.0 {
                    StandingKind::Waiting => "waiting",
                    StandingKind::Delivered => "delivered",
                    StandingKind::Filtered => "filtered",
                    StandingKind::Discarded => "discarded",
                };
                assert!(!seen.3 && !seen.4, "what is not settled stays");
                *self.removed.entry(kind).or_default() += 1;
            }
        }
    }

    fn move_place(&self, split: &str) {
        let turn = self.desk.turn(&pipeline());
        let moves = set_place(&self.store, &turn, &name(split), None, self.now_ms);
        for batch in moves.expect("reads").batches {
            self.store.commit(batch).expect("commits");
        }
    }

    fn happen(&mut self, happening: Happening) {
        let (what, how, from, count, is_intent, crashes) = happening;
        let bytes_max = if how % 2 == 0 { SMALL } else { usize::MAX };
        let crash = crashes.then_some(from);
        let source = ["a", "b"][usize::from(how % 2)];
        self.now_ms += 1;
        match what % 9 {
            0 | 1 => {
                let (batches, _) = self.unit(source, count.into(), &[], is_intent, bytes_max);
                self.commit_some(source, batches, crash, bytes_max);
            }
            2 | 3 => {
                let fates = [Fate::Delivered, Fate::Filtered, refused(), Fate::Delivered];
                let fates: Vec<_> = self
                    .open_letters(from % 8, count)
                    .iter()
                    .zip(fates.into_iter().cycle())
                    .map(|(kept, fate)| redriven(kept, fate))
                    .collect();
                let (batches, _) = self.unit("r", 0, &fates, is_intent, bytes_max);
                self.commit_some("r", batches, crash, bytes_max);
            }
            4 => self.recover(["a", "b", "r"][usize::from(how % 3)], bytes_max),
            5 => {
                let turn = self.desk.turn(&pipeline());
                let letters = self.open_letters(from % 8, count % 4);
                let batch = discard(&self.store, &turn, &letters, "me", "old", self.now_ms);
                self.store.commit(batch.expect("open")).expect("commits");
            }
            6 => {
                let turn = self.desk.turn(&pipeline());
                for kept in self.open_letters(from % 8, 1) {
                    let record = Record::Json("{\"day\":1}".to_owned());
                    let batch = edit(&self.store, &turn, &kept, record, "me", self.now_ms);
                    self.store.commit(batch.expect("open")).expect("commits");
                }
            }
            7 => self.sweep(
                is_intent,
                self.now_ms.saturating_sub(8),
                1 + usize::from(count),
            ),
            _ => self.move_place(["a", "b", "r"][usize::from(how % 3)]),
        }
        self.check();
    }
}

proptest! {
    #[test]
    fn an_account_is_what_a_count_gives(
        happenings in prop::collection::vec(
            (any::<u8>(), any::<u8>(), any::<u8>(), 0u8..7, any::<bool>(), prop::bool::weighted(0.3)),
            1..30,
        )
    ) {
        let mut world = World::default();
        for happening in happenings {
            world.happen(happening);
        }
    }
}
