//! Steps cut into many batches, with a bound small enough to cut them anywhere: crashes between any two, owners that go
//! on, and the account held against a count of all there is after each.

mod random;

use super::*;
use crate::MemStore;
use sluice_model::checkpoint::{Checkpoint, Cursor, Intent, Mark, Totals};
use sluice_model::ids::{PipelineName, Role, StageId};
use sluice_model::ports::{StateStore, StoreError};
use sluice_model::rejection::{Place, Record, Rejection};
use std::collections::BTreeMap;

/// Three letters and their account, about.
const SMALL: usize = 1_500;

fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("a name")
}

fn pipeline() -> PipelineName {
    name("orders")
}

fn rejection(code: &str) -> Rejection {
    Rejection {
        stage: StageId {
            role: Role::Sink,
            index: 0,
        },
        stream: name("lines"),
        code: code.to_owned(),
        message: "no such day".to_owned(),
        place: Place::default(),
        record: Record::Json("{}".to_owned()),
        csv: None,
        truncated: false,
        removal: false,
        given: None,
        also: Vec::new(),
        identity: None,
    }
}

fn refused() -> Fate {
    Fate::Refused {
        plugin: name("acme/mask"),
        rejection: Box::new(rejection("again")),
    }
}

/// A store, and the desk of a host that has it open.
#[derive(Default)]
struct World {
    store: MemStore,
    desk: Desk,
    /// What was removed, by how it stood.
    removed: BTreeMap<&'static str, u64>,
    now_ms: u64,
}

/// What is seen of each letter: how it stands, its attempts, its edits, whether it is pending or being redriven.
type Seen = BTreeMap<u64, (StandingKind, u32, u32, bool, bool)>;

impl World {
    fn hold(&self, split: &str) -> Held {
        hold(&self.store, &pipeline(), &name(split)).expect("reads")
    }

    fn all(&self) -> Vec<Kept> {
        dead_letters(&self.store, &pipeline(), &Filter::default(), 0, 10_000).expect("reads")
    }

    fn seen(&self) -> Seen {
        let see = |kept: Kept| {
            let letter = &kept.letter;
            let kind = letter.standing.kind();
            let seen = (
                kind,
                letter.attempts,
                letter.edits,
                kept.pending,
                kept.redriving,
            );
            (letter.number, seen)
        };
        self.all().into_iter().map(see).collect()
    }

    fn letters(&self, split: &str, mark: Mark, count: u64) -> Vec<DeadLetter> {
        if count == 0 {
            return Vec::new();
        }
        let numbers = self.desk.reserve(&self.store, &pipeline(), count);
        let numbers = numbers.expect("numbers");
        let letter = |number| DeadLetter {
            number,
            pipeline: pipeline(),
            split: name(split),
            run: "run-1".to_owned(),
            mark,
            plugin: name("sluice/postgres"),
            at_ms: self.now_ms,
            rejection: rejection("refused"),
            standing: Standing::Waiting,
            attempts: 0,
            attempt: None,
            edits: 0,
            edited: None,
        };
        (numbers.first..=numbers.last).map(letter).collect()
    }

    /// The batches of a unit of this split, with so many letters that come and these fates.
    fn unit(
        &self,
        split: &str,
        letters: u64,
        fates: &[Redriven],
        is_intent: bool,
        bytes_max: usize,
    ) -> (Vec<(sluice_model::ports::StateBatch, Held)>, Checkpoint) {
        let held = self.hold(split);
        let next = unit_after(held.checkpoint(), letters, is_intent);
        let mark = Mark {
            epoch: next.epoch,
            sequence: next.sequence,
        };
        let letters = self.letters(split, mark, letters);
        let step = Step {
            next: next.clone(),
            letters: &letters,
            fates,
            also: &[],
            now_ms: self.now_ms,
            run: "run-2",
            bytes_max: None,
        };
        let mut steps = held.steps(&self.store, &self.desk, &step).expect("reads");
        steps.filled_bytes_max = bytes_max;
        (steps.collect(), next)
    }

    /// A new run takes a split over, and gives up what was under way.
    fn recover(&self, split: &str, bytes_max: usize) {
        let held = self.hold(split);
        let before = held.checkpoint().cloned().unwrap_or_default();
        let next = Checkpoint {
            epoch: before.epoch + 1,
            intent: None,
            ..before
        };
        let mut steps = held
            .steps(&self.store, &self.desk, &Step::to(next, self.now_ms))
            .expect("reads");
        steps.filled_bytes_max = bytes_max;
        for (batch, _) in steps {
            self.store.commit(batch).expect("commits");
            self.check();
        }
    }

    /// The account is what a count gives, with what was removed.
    fn check(&self) {
        let kept = account(&self.store, &pipeline()).expect("reads");
        let removed = |what| self.removed.get(what).copied().unwrap_or_default();
        let there = counted(&self.store, &pipeline()).expect("reads");
        let expected = Account {
            delivered: there.delivered + removed("delivered"),
            filtered: there.filtered + removed("filtered"),
            discarded: there.discarded + removed("discarded"),
            expired: removed("waiting"),
            ..there
        };
        assert_eq!(kept, expected);
        let (records, _) = checkpoints(&self.store, &pipeline(), None, 100).expect("reads");
        let ever: u64 = records
            .iter()
            .map(|record| record.checkpoint.totals.dead_lettered)
            .sum();
        let settled = kept.waiting + kept.delivered + kept.filtered + kept.discarded + kept.expired;
        assert_eq!(
            ever, settled,
            "each letter that ever came is in the account"
        );
    }
}

fn unit_after(held: Option<&Checkpoint>, letters: u64, is_intent: bool) -> Checkpoint {
    let before = held.cloned().unwrap_or_default().promoted();
    let sequence = before.sequence + 1;
    let mark = Mark {
        epoch: before.epoch,
        sequence,
    };
    let place = Cursor::from(sequence.to_be_bytes().to_vec());
    let totals = Totals {
        dead_lettered: before.totals.dead_lettered + letters,
        ..before.totals
    };
    if is_intent {
        let intent = Intent {
            mark,
            place,
            ended: false,
            totals,
            dead_letters: None,
            redriven: None,
        };
        return Checkpoint {
            sequence,
            intent: Some(intent),
            ..before
        };
    }
    Checkpoint {
        sequence,
        mark: Some(mark),
        place: Some(place),
        totals,
        ..before
    }
}

fn redriven(kept: &Kept, fate: Fate) -> Redriven {
    Redriven {
        number: kept.letter.number,
        edits: kept.letter.edits,
        fate,
    }
}

/// A store with twelve letters that wait.
fn begun() -> World {
    let world = World::default();
    let (batches, _) = world.unit("a", 12, &[], false, usize::MAX);
    assert_eq!(batches.len(), 1);
    for (batch, _) in batches {
        world.store.commit(batch).expect("commits");
    }
    world
}

fn fates(world: &World) -> Vec<Redriven> {
    let fates = [Fate::Delivered, Fate::Filtered, refused()];
    let all = world.all().into_iter().zip(fates.into_iter().cycle());
    all.map(|(kept, fate)| redriven(&kept, fate)).collect()
}

#[test]
fn a_crash_between_two_batches_leaves_all_or_nothing() {
    for is_intent in [false, true] {
        let total = {
            let world = begun();
            world.unit("r", 9, &fates(&world), is_intent, SMALL).0.len()
        };
        assert!(total > 8, "{total} batches");
        for committed in 0..=total {
            let world = begun();
            let before = world.seen();
            let (batches, next) = world.unit("r", 9, &fates(&world), is_intent, SMALL);
            for (batch, held) in batches.into_iter().take(committed) {
                world.store.commit(batch).expect("commits");
                world.check();
                assert_eq!(world.hold("r").checkpoint(), held.checkpoint());
            }
            let held = world.hold("r").checkpoint().cloned();
            if committed < total {
                let sees = held.and_then(|held| held.intent);
                assert_eq!(sees, None, "it can only be undone");
            } else {
                assert_eq!(held.map(|held| held.sequence), Some(next.sequence));
                if is_intent {
                    let told = world.hold("r");
                    let told = told.checkpoint().and_then(|held| held.intent.clone());
                    assert_eq!(
                        told.map(|intent| intent.mark),
                        next.intent.map(|it| it.mark)
                    );
                }
            }
            let is_all = committed == total && !is_intent;
            world.recover("r", SMALL);
            let after = world.seen();
            if is_all {
                assert_eq!(after.len(), 12 + 9);
                assert_eq!(after[&1].0, StandingKind::Delivered);
                assert_eq!(after[&2].0, StandingKind::Filtered);
                assert_eq!((after[&3].0, after[&3].1), (StandingKind::Waiting, 1));
            } else {
                assert_eq!(after, before, "{committed} of {total}");
            }
        }
    }
}

/// The last batch of a unit with an intent makes it whole: from then on it can be published, and promoted.
#[test]
fn an_intent_is_promoted_with_all_its_letters() {
    let world = begun();
    let (batches, _) = world.unit("r", 9, &fates(&world), true, SMALL);
    for (batch, _) in batches {
        world.store.commit(batch).expect("commits");
    }
    let seen = world.seen();
    assert_eq!(seen[&1], (StandingKind::Waiting, 0, 0, false, true));
    let pending = seen.values().filter(|seen| seen.3).count();
    assert_eq!(pending, 9);
    let held = world.hold("r");
    let promoted = held.checkpoint().expect("is there").clone().promoted();
    let steps = held.steps(&world.store, &world.desk, &Step::to(promoted, 1));
    let mut steps = steps.expect("reads");
    steps.filled_bytes_max = SMALL;
    assert_eq!(steps.by_ref().count(), 1, "one small write");
    drop(steps);
    let held = world.hold("r");
    let promoted = held.checkpoint().expect("is there").clone().promoted();
    let steps = held.steps(&world.store, &world.desk, &Step::to(promoted, 1));
    steps.expect("reads").commit().expect("commits");
    world.check();
    let seen = world.seen();
    assert_eq!(seen[&1], (StandingKind::Delivered, 0, 0, false, false));
    assert!(seen.values().all(|seen| !seen.3 && !seen.4));
}

#[test]
fn a_unit_half_written_is_not_told_as_intended() {
    for committed in [1, 2, 3] {
        let world = begun();
        let (batches, _) = world.unit("a", 9, &[], true, SMALL);
        for (batch, _) in batches.into_iter().take(committed) {
            world.store.commit(batch).expect("commits");
        }
        let held = world.hold("a");
        let checkpoint = held.checkpoint().expect("is there");
        assert_eq!(checkpoint.intent, None);
        assert_eq!(checkpoint.totals.dead_lettered, 12);
        // Nor does it count where somebody goes on as if it were delivered.
        let next = unit_after(Some(checkpoint), 0, false);
        let steps = held.steps(&world.store, &world.desk, &Step::to(next, 1));
        steps.expect("reads").commit().expect("commits");
        assert_eq!(world.seen().len(), 12);
        world.check();
    }
}

#[test]
fn an_older_owner_is_fenced_between_two_batches() {
    for committed in 0..4 {
        let world = begun();
        let (batches, _) = world.unit("a", 9, &[], false, SMALL);
        let mut batches = batches.into_iter();
        for (batch, _) in batches.by_ref().take(committed) {
            world.store.commit(batch).expect("commits");
        }
        world.recover("a", SMALL);
        let after = world.seen();
        for (late, _) in batches {
            assert_eq!(world.store.commit(late), Err(StoreError::Fenced));
        }
        assert_eq!(world.seen(), after);
    }
}

/// Two hosts that each believe they are alone: neither waits for the other's turn.
#[test]
fn two_who_count_at_once_fence_one_another() {
    let world = begun();
    let one = world.unit("a", 1, &[], false, usize::MAX).0.remove(0).0;
    let two = world.unit("b", 1, &[], false, usize::MAX).0.remove(0).0;
    world.store.commit(one).expect("commits");
    assert_eq!(world.store.commit(two), Err(StoreError::Fenced));
    world.check();
}
