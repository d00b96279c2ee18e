//! What survives a crash: the source, the sinks, the store; and what must be true of them.

use crate::chance::Chance;
use sluice_delivery::{RetrySettings, Settings, SinkMode, Standing};
use sluice_model::checkpoint::{Checkpoint, Commit, Cursor, Mark};
use sluice_model::ids::{PipelineName, SplitId};
use sluice_model::ports::{Namespace, StateStore};
use sluice_state::MemStore;
use sluice_state::journal::{Desk, Step, dead_letter, hold};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What is to become of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Written,
    Filtered,
    RejectedOnTheWay,
    /// The transform traps on it.
    PoisonOnTheWay,
    /// By the sinks of which the bit is set.
    RejectedAtSinks(u8),
    /// They trap on it.
    PoisonAtSinks(u8),
}

impl Fate {
    pub fn reaches_sinks(self) -> bool {
        !matches!(
            self,
            Fate::Filtered | Fate::RejectedOnTheWay | Fate::PoisonOnTheWay
        )
    }

    pub fn is_taken_by(self, sink: usize) -> bool {
        match self {
            Fate::Written => true,
            Fate::Filtered | Fate::RejectedOnTheWay | Fate::PoisonOnTheWay => false,
            Fate::RejectedAtSinks(sinks) | Fate::PoisonAtSinks(sinks) => sinks & (1 << sink) == 0,
        }
    }

    pub fn is_dead(self) -> bool {
        !matches!(self, Fate::Written | Fate::Filtered)
    }
}

pub struct Sink {
    pub mode: SinkMode,
    /// How often each record is there.
    pub held: Vec<u32>,
    pub committed: Option<Commit>,
    /// What a transactional sink's instance has ready; gone with the instance.
    pub staged: Option<(Vec<u64>, Commit)>,
}

pub struct World {
    pub fates: Vec<Fate>,
    pub sinks: Vec<Sink>,
    pub store: MemStore,
    pub settings: Settings,
    /// Records up to here have been acknowledged to the source.
    pub acknowledged: u64,
    /// Whether anything fails at all.
    pub fails: bool,
    pub page_rows_max: u64,
    pub empty_percent: u64,
    pub wait_percent: u64,
    pub fault_percent: u64,
    pub crash_per_mille: u64,
    /// Before this record, the DLQ was lost with the store.
    pub letters_lost_before: u64,
    pub store_was_lost: bool,
    /// How often a place before each record was moved to: so often it may be there once more.
    moved_before: Vec<u32>,
    /// Records that a person's last move left out.
    skipped: Vec<bool>,
    /// Records that any of them did: with the store, a move back to them is lost.
    ever_skipped: Vec<bool>,
    /// Where the counts stood when a person last moved the place, and where to.
    counted_from: (u64, u64),
    pub move_percent: u64,
    pub sick_percent: u64,
    pub outage_per_mille: u64,
    pub failures_to_open: u32,
    /// How many times larger the transforms make what they are given.
    pub growth: u64,
    /// Where pages end; none: by chance.
    pub page_ends: Option<Vec<u64>>,
    known_letters: RefCell<BTreeMap<u64, (u64, Mark)>>,
}

pub fn pipeline() -> PipelineName {
    "simulated".parse().expect("a name")
}

pub fn split() -> SplitId {
    "split".parse().expect("a name")
}

/// A cursor is the number of the next record, and how many empty pages were given there.
pub fn cursor(position: u64, empties: u64) -> Cursor {
    Cursor::from([position.to_be_bytes(), empties.to_be_bytes()].concat())
}

pub fn position(cursor: Option<&Cursor>) -> (u64, u64) {
    let Some(cursor) = cursor else { return (0, 0) };
    let (position, empties) = cursor
        .as_bytes()
        .split_first_chunk::<8>()
        .expect("16 bytes");
    (
        u64::from_be_bytes(*position),
        u64::from_be_bytes(empties.try_into().expect("16 bytes")),
    )
}

impl World {
    pub fn new(chance: &mut Chance) -> Self {
        use SinkMode::{Plain, Transactional};
        let modes: &[SinkMode] = match chance.below(8) {
            0 | 1 => &[Plain],
            2..=4 => &[Transactional],
            5 => &[Plain, Plain],
            6 => &[Plain, Transactional],
            _ => &[Transactional, Transactional],
        };
        let count = 20 + chance.below(120);
        let kept = [50, 90, 100, 0][chance.below(4) as usize];
        let fates: Vec<Fate> = (0..count)
            .map(|_| fate(chance, kept, modes.len()))
            .collect();
        let retry = RetrySettings {
            budget: Duration::from_secs(5 + chance.below(120)),
            base_delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(10),
        };
        let settings = Settings {
            sinks: modes.to_vec(),
            unit_bytes: 1 + chance.below(2_000),
            unit_rows: 1 + chance.below(60),
            linger: Duration::from_secs(chance.below(3)),
            in_flight_bytes_max: 100 + chance.below(3_000),
            in_flight_pages_max: 1 + chance.below(12) as usize,
            page_bytes: 100,
            retry,
        };
        Self {
            page_rows_max: 1 + chance.below(25),
            empty_percent: chance.below(40),
            wait_percent: chance.below(30),
            fault_percent: [0, 3, 10, 25][chance.below(4) as usize],
            crash_per_mille: [0, 5, 30, 100][chance.below(4) as usize],
            move_percent: [0, 0, 5, 15][chance.below(4) as usize],
            sick_percent: [0, 0, 5][chance.below(3) as usize],
            outage_per_mille: [0, 0, 5, 20][chance.below(4) as usize],
            failures_to_open: 1 + chance.below(5) as u32,
            growth: [1, 1, 1, 20][chance.below(4) as usize],
            ..Self::of(settings, fates)
        }
    }

    /// One in which nothing happens by itself.
    pub fn of(settings: Settings, fates: Vec<Fate>) -> Self {
        let sink = |mode: &SinkMode| Sink {
            mode: *mode,
            held: vec![0; fates.len()],
            committed: None,
            staged: None,
        };
        Self {
            sinks: settings.sinks.iter().map(sink).collect(),
            moved_before: vec![0; fates.len()],
            skipped: vec![false; fates.len()],
            ever_skipped: vec![false; fates.len()],
            fates,
            store: MemStore::new(),
            settings,
            acknowledged: 0,
            fails: true,
            page_rows_max: 1,
            empty_percent: 0,
            wait_percent: 0,
            fault_percent: 0,
            crash_per_mille: 0,
            letters_lost_before: 0,
            store_was_lost: false,
            counted_from: (0, 0),
            move_percent: 0,
            sick_percent: 0,
            outage_per_mille: 0,
            failures_to_open: 5,
            growth: 1,
            page_ends: None,
            known_letters: RefCell::default(),
        }
    }

    /// Pages as they were read; and where they grow, the units behind them, each bound overrun by one page.
    pub fn in_flight_bytes_max(&self) -> u64 {
        let (max, page) = (self.settings.in_flight_bytes_max, 25 * 10);
        if self.growth == 1 {
            return max + page;
        }
        let units = max + self.settings.unit_bytes + 2 * page * self.growth;
        max + page + units
    }

    /// Whether the source says with its last records that they are.
    pub fn ends_with_rows(&self, chance: &mut Chance) -> bool {
        self.page_ends.is_some() || chance.percent(50)
    }

    /// A person moves the place: gives from where to where. Not where nothing is stored.
    pub fn move_place(&mut self, chance: &mut Chance) -> Option<(u64, u64)> {
        let held = hold(&self.store, &pipeline(), &split()).expect("reads");
        let checkpoint = held.checkpoint()?.clone();
        let (from, to) = (
            position(checkpoint.place.as_ref()).0,
            chance.below(self.records() + 1),
        );
        let place = (to > 0 || chance.percent(50)).then(|| cursor(to, 0));
        let moved = checkpoint.moved_to(place);
        self.counted_from = (moved.totals.read, to);
        let desk = Desk::default();
        let steps = held.steps(&self.store, &desk, &Step::to(moved, 0));
        let (batch, _) = steps.expect("reads").next().expect("a batch");
        self.store.commit(batch).expect("nobody else writes");
        for record in 0..self.records() {
            let at = record as usize;
            if record >= to {
                self.moved_before[at] += 1;
                self.skipped[at] = false;
            } else if record >= from {
                self.skipped[at] = true;
                self.ever_skipped[at] = true;
            }
        }
        self.acknowledged = self.acknowledged.min(to);
        Some((from, to))
    }

    pub fn records(&self) -> u64 {
        self.fates.len() as u64
    }

    pub fn is_exactly_once(&self) -> bool {
        self.settings.sinks == [SinkMode::Transactional]
    }

    pub fn checkpoint(&self) -> Option<Checkpoint> {
        hold(&self.store, &pipeline(), &split())
            .expect("reads")
            .checkpoint()
            .cloned()
    }

    /// What each sink says when it is opened. Opening one anew forgets what it staged.
    pub fn standings(&mut self) -> Vec<Standing> {
        let stand = |sink: &mut Sink| {
            sink.staged = None;
            Standing {
                mode: sink.mode,
                committed: sink.committed.clone(),
            }
        };
        self.sinks.iter_mut().map(stand).collect()
    }

    /// How often each record is at each sink.
    pub fn delivered(&self) -> Vec<Vec<u32>> {
        self.sinks.iter().map(|sink| sink.held.clone()).collect()
    }

    /// Dead letters that are real, and those that are pending, by record. A letter never changes under its number, so
    /// each is decoded once.
    fn letters(&self, checkpoint: &Checkpoint) -> (Vec<u64>, BTreeSet<u64>) {
        let intended = checkpoint.intent.as_ref().map(|intent| intent.mark);
        let (mut real, mut pending) = (Vec::new(), BTreeSet::new());
        let mut known = self.known_letters.borrow_mut();
        for (key, _) in self
            .store
            .scan(Namespace::DeadLetter, b"", b"", usize::MAX)
            .expect("scans")
        {
            let number = u64::from_be_bytes(*key.last_chunk().expect("a key ends in its number"));
            let (record, mark) = *known.entry(number).or_insert_with(|| {
                let kept = dead_letter(&self.store, &pipeline(), number)
                    .expect("reads")
                    .expect("is there");
                assert_eq!(kept.pending, intended == Some(kept.letter.mark));
                (
                    kept.letter
                        .rejection
                        .place
                        .line
                        .expect("a letter names its record"),
                    kept.letter.mark,
                )
            });
            if intended == Some(mark) {
                pending.insert(record);
            } else {
                real.push(record);
            }
        }
        (real, pending)
    }

    /// The state lost: the next run has only the sink's word.
    pub fn lose_store(&mut self) {
        self.store = MemStore::new();
        self.known_letters.borrow_mut().clear();
        self.store_was_lost = true;
        self.letters_lost_before = position(
            self.sinks[0]
                .committed
                .as_ref()
                .map(|commit| &commit.cursor),
        )
        .0;
        self.acknowledged = 0;
        let before = self.letters_lost_before as usize;
        self.skipped[..before].copy_from_slice(&self.ever_skipped[..before]);
        self.skipped[before..].fill(false);
    }

    /// All up to here is delivered, by the world's own count, and that is stored.
    pub fn check_settled(&self, end: u64) {
        let checkpoint = self.checkpoint().expect("stored");
        let (real, pending) = self.letters(&checkpoint);
        self.check_up_to(end, &real.iter().chain(&pending).copied().collect());
        assert!(
            end <= position(checkpoint.promoted().place.as_ref()).0,
            "not stored yet"
        );
    }

    /// The checkpoint is not ahead of the sinks and the DLQ.
    pub fn check_never_ahead(&self) {
        let Some(checkpoint) = self.checkpoint() else {
            return;
        };
        let (real, _) = self.letters(&checkpoint);
        let (end, _) = position(checkpoint.place.as_ref());
        self.check_up_to(end, &real.iter().copied().collect());
        if !self.store_was_lost {
            let totals = checkpoint.totals;
            let letters = real.len() as u64;
            let (counted, from) = self.counted_from;
            assert_eq!(totals.read - counted, end - from);
            assert_eq!(
                totals.read,
                totals.written + totals.filtered + totals.dead_lettered
            );
            assert_eq!(totals.dead_lettered, letters);
        }
    }

    fn check_up_to(&self, end: u64, letters: &BTreeSet<u64>) {
        for record in 0..end {
            let fate = self.fates[record as usize];
            if self.skipped[record as usize] {
                continue;
            }
            let has_letter = letters.contains(&record) || record < self.letters_lost_before;
            assert!(has_letter || !fate.is_dead(), "record {record} is nowhere");
            for (at, sink) in self.sinks.iter().enumerate() {
                let is_there = sink.held[record as usize] > 0;
                assert!(
                    is_there || !fate.is_taken_by(at),
                    "record {record} is not at sink {at}"
                );
            }
        }
    }

    /// Every record is where it belongs, and as often.
    pub fn check_end(&self) {
        let checkpoint = self.checkpoint().expect("stored");
        assert_eq!(position(checkpoint.place.as_ref()).0, self.records());
        assert!(checkpoint.ended || self.store_was_lost);
        assert_eq!(checkpoint.intent, None);
        assert_eq!(self.acknowledged, self.records());
        self.check_never_ahead();
        let (real, pending) = self.letters(&checkpoint);
        assert!(pending.is_empty());
        for (record, fate) in self.fates.iter().enumerate() {
            let letters = real.iter().filter(|it| **it == record as u64).count() as u32;
            let again = self.moved_before[record];
            assert!(
                letters <= 1 + again,
                "{letters} dead letters of record {record}"
            );
            let is_known = record as u64 >= self.letters_lost_before && !self.skipped[record];
            if is_known {
                assert_eq!(fate.is_dead(), letters > 0, "record {record}: {fate:?}");
            }
            assert!(fate.is_dead() || letters == 0, "record {record}: {fate:?}");
            for (at, sink) in self.sinks.iter().enumerate() {
                let held = sink.held[record];
                let belongs = fate.is_taken_by(at);
                let is_right = (held > 0) == belongs || (self.skipped[record] && held == 0);
                assert!(
                    is_right,
                    "record {record} at sink {at}: {fate:?}, {held} times"
                );
                assert!(
                    held <= 1 + again || !self.is_exactly_once(),
                    "record {record} is there {held} times"
                );
            }
        }
    }
}

fn fate(chance: &mut Chance, kept_percent: u64, sinks: usize) -> Fate {
    if chance.percent(kept_percent) {
        return Fate::Written;
    }
    let at_sinks = 1 + chance.below((1 << sinks) - 1) as u8;
    match chance.below(16) {
        0..5 => Fate::Filtered,
        5..10 => Fate::RejectedOnTheWay,
        10..14 => Fate::RejectedAtSinks(at_sinks),
        14 => Fate::PoisonOnTheWay,
        _ => Fate::PoisonAtSinks(at_sinks),
    }
}
