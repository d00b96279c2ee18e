//! What survives a crash: the source, the sinks, the store; and what must be true of them.

use crate::chance::Chance;
use sluice_delivery::{RetrySettings, Settings, SinkMode, Standing};
use sluice_model::checkpoint::{Checkpoint, Commit, Cursor, Mark};
use sluice_model::ids::{PipelineName, SplitId};
use sluice_model::ports::{Namespace, StateStore};
use sluice_state::MemStore;
use sluice_state::journal::{dead_letter, hold};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What is to become of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Written,
    Filtered,
    RejectedOnTheWay,
    /// By the sinks of which the bit is set.
    RejectedAtSinks(u8),
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
        let sink = |mode: &SinkMode| Sink {
            mode: *mode,
            held: vec![0; fates.len()],
            committed: None,
            staged: None,
        };
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
            sinks: modes.iter().map(sink).collect(),
            fates,
            store: MemStore::new(),
            settings,
            acknowledged: 0,
            fails: true,
            page_rows_max: 1 + chance.below(25),
            empty_percent: chance.below(40),
            wait_percent: chance.below(30),
            fault_percent: [0, 3, 10, 25][chance.below(4) as usize],
            crash_per_mille: [0, 5, 30, 100][chance.below(4) as usize],
            letters_lost_before: 0,
            store_was_lost: false,
            known_letters: RefCell::default(),
        }
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
            assert_eq!(totals.read, end);
            assert_eq!(
                totals.read,
                totals.written + totals.filtered + totals.dead_lettered
            );
            assert_eq!(totals.dead_lettered, real.len() as u64);
        }
    }

    fn check_up_to(&self, end: u64, letters: &BTreeSet<u64>) {
        for record in 0..end {
            let fate = self.fates[record as usize];
            let is_dead = letters.contains(&record) || record < self.letters_lost_before;
            match fate {
                Fate::Filtered => {}
                Fate::Written => self.check_at_sinks(record, 0),
                Fate::RejectedOnTheWay => assert!(is_dead, "record {record} is nowhere"),
                Fate::RejectedAtSinks(sinks) => {
                    assert!(is_dead, "record {record} is nowhere");
                    self.check_at_sinks(record, sinks);
                }
            }
        }
    }

    fn check_at_sinks(&self, record: u64, but: u8) {
        for (at, sink) in self.sinks.iter().enumerate() {
            if but & (1 << at) == 0 {
                assert!(
                    sink.held[record as usize] > 0,
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
        let mut unique = real.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), real.len(), "a dead letter stands twice");
        for (record, fate) in self.fates.iter().enumerate() {
            let dead = matches!(fate, Fate::RejectedOnTheWay | Fate::RejectedAtSinks(_));
            if record as u64 >= self.letters_lost_before {
                assert_eq!(
                    dead,
                    real.contains(&(record as u64)),
                    "record {record}: {fate:?}"
                );
            }
            for (at, sink) in self.sinks.iter().enumerate() {
                let held = sink.held[record];
                let belongs = match fate {
                    Fate::Written => true,
                    Fate::Filtered | Fate::RejectedOnTheWay => false,
                    Fate::RejectedAtSinks(sinks) => sinks & (1 << at) == 0,
                };
                assert_eq!(held > 0, belongs, "record {record} at sink {at}: {fate:?}");
                assert!(
                    held <= 1 || !self.is_exactly_once(),
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
    match chance.below(3) {
        0 => Fate::Filtered,
        1 => Fate::RejectedOnTheWay,
        _ => Fate::RejectedAtSinks(1 + chance.below((1 << sinks) - 1) as u8),
    }
}
