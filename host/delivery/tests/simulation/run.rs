//! One run of the split: a driver whose operations end in any order, fail before or after their effect, and are cut off
//! by a crash.

use crate::Tally;
use crate::chance::Chance;
use crate::world::{Fate, World, cursor, pipeline, position, split};
use sluice_delivery::{Action, Event, Next, PageNo, SinkMode, Split, Start, Step, UnitNo, resume};
use sluice_model::checkpoint::{Checkpoint, Commit, Cursor, Mark};
use sluice_model::fault::{Fault, FaultKind};
use sluice_model::ids::{Role, StageId};
use sluice_model::ports::{StateStore, StoreError};
use sluice_model::rejection::{Place, Record, Rejection};
use sluice_state::journal::{DeadLetter, Held, Numbering, hold};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

/// What must happen often enough, over all seeds, for the simulation to count.
pub const HAPPENINGS: &[&str] = &[
    "crashed",
    "crashed in recovery",
    "stopped",
    "drained",
    "start: checkpoint",
    "start: promoted",
    "start: discarded",
    "start: sink ahead",
    "fault before effect: read",
    "fault before effect: transform",
    "fault before effect: write",
    "fault before effect: publish",
    "fault before effect: acknowledge",
    "fault before effect: store",
    "fault after effect: write",
    "fault after effect: publish",
    "fault after effect: acknowledge",
    "fault after effect: store",
    "fatal fault",
    "sink reopened: published",
    "sink reopened: written again",
    "torn write at a crash",
    "page with nothing",
    "waited",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Ended,
    Drained,
    Stopped,
    Crashed,
}

struct Driver<'a> {
    world: &'a mut World,
    chance: &'a mut Chance,
    tally: &'a mut Tally,
    split: Split,
    held: Held,
    now: Duration,
    /// What was asked for and is not done.
    pending: Vec<Action>,
    reader: Option<(u64, u64)>,
    /// Their records.
    pages: BTreeMap<PageNo, Range<u64>>,
    /// Records that each sink refused of a unit.
    refused: BTreeMap<(UnitNo, usize), BTreeSet<u64>>,
    numbering: Numbering,
    /// Tells the story of a seed that is run alone.
    trace: bool,
}

fn count(tally: &mut Tally, what: &'static str) {
    *tally.entry(what).or_default() += 1;
}

/// From what is stored to the end, or to where it breaks.
pub fn run(world: &mut World, chance: &mut Chance, tally: &mut Tally) -> Ending {
    let crashes = |world: &World, chance: &mut Chance| {
        world.fails && chance.below(1_000) < world.crash_per_mille
    };
    if world.is_exactly_once()
        && world.fails
        && world.sinks[0].committed.is_some()
        && chance.percent(3)
    {
        world.lose_store();
    }
    let held = hold(&world.store, &pipeline(), &split()).expect("reads");
    let standings = world.standings();
    let begin = resume(held.checkpoint(), &standings).expect("sinks are never behind here");
    if std::env::var_os("SLUICE_TEST_SEED").is_some() {
        println!(
            "held {:?}\nsinks {standings:?}\nbegin {begin:?}",
            held.checkpoint()
        );
    }
    count(
        tally,
        match begin.start {
            Start::Beginning => "start: beginning",
            Start::Checkpoint => "start: checkpoint",
            Start::Promoted => "start: promoted",
            Start::Discarded => "start: discarded",
            Start::SinkAhead { .. } => "start: sink ahead",
        },
    );
    let (batch, held) = held.step(begin.checkpoint.clone(), &[], 0);
    for is_stored in [false, true] {
        if is_stored {
            world
                .store
                .commit(batch.clone())
                .expect("nobody else writes");
            world.check_never_ahead();
        }
        if crashes(world, chance) {
            count(tally, "crashed in recovery");
            return Ending::Crashed;
        }
    }
    let split = Split::new(world.settings.clone(), begin.checkpoint);
    let mut driver = Driver {
        world,
        chance,
        tally,
        split,
        held,
        now: Duration::ZERO,
        pending: Vec::new(),
        reader: None,
        pages: BTreeMap::new(),
        refused: BTreeMap::new(),
        numbering: Numbering::default(),
        trace: std::env::var_os("SLUICE_TEST_SEED").is_some(),
    };
    let mut ending = driver.tell(Event::Start);
    while ending.is_none() {
        if crashes(driver.world, driver.chance) {
            driver.crash();
            return Ending::Crashed;
        }
        ending = if driver.world.fails && driver.chance.below(1_000) < 2 {
            driver.tell(Event::Drain)
        } else {
            driver.step()
        };
    }
    ending.expect("the loop ended")
}

impl Driver<'_> {
    /// Feeds the machine, checks what must always hold, and takes its actions on.
    fn tell(&mut self, event: Event) -> Option<Ending> {
        let told = self.trace.then(|| format!("{event:?}"));
        let actions = self.split.on(self.now, event);
        if let Some(event) = told {
            println!("{:?} {event}\n    {actions:?}", self.now);
        }
        let counters = self.split.counters();
        assert_eq!(
            counters.read,
            counters.written + counters.filtered + counters.dead_lettered + counters.in_flight
        );
        let (pages, bytes) = self.split.in_flight();
        assert!(pages <= self.world.settings.in_flight_pages_max);
        assert!(pages <= 1 || bytes <= self.world.settings.in_flight_bytes_max + 25 * 10);
        let mut ending = None;
        for action in actions {
            match action {
                Action::Finish { ended } => {
                    count(self.tally, if ended { "ended" } else { "drained" });
                    ending = Some(if ended {
                        Ending::Ended
                    } else {
                        Ending::Drained
                    });
                }
                Action::Stop(fault) => {
                    assert!(!fault.message.contains("protocol was broken"), "{fault}");
                    count(self.tally, "stopped");
                    ending = Some(Ending::Stopped);
                }
                Action::Release { pages } => self.pages.retain(|page, _| !pages.contains(page)),
                action => {
                    self.pending.push(action);
                }
            }
        }
        ending
    }

    /// One of the pending operations ends.
    fn step(&mut self) -> Option<Ending> {
        assert!(!self.pending.is_empty(), "stuck: {:#?}", self.split);
        self.now += Duration::from_millis(self.chance.below(200));
        let at = self.chance.below(self.pending.len() as u64) as usize;
        // The reader is opened before it is used: these two stay in order.
        let at = match self.pending[at] {
            Action::Read { .. } | Action::Acknowledge { .. } => self
                .pending
                .iter()
                .position(|action| matches!(action, Action::OpenReader { .. }))
                .unwrap_or(at),
            _ => at,
        };
        let event = match self.pending.remove(at) {
            Action::OpenReader { cursor } => return self.open_reader(cursor.as_ref()),
            Action::Read { page } => self.read(page),
            Action::Transform { page } => self.transform(page),
            Action::StartLinger { unit, .. } => Event::LingerOver { unit },
            Action::Write {
                sink,
                unit,
                pages,
                commit,
            } => self.write(sink, unit, &pages, &commit),
            Action::Store {
                unit,
                pages,
                checkpoint,
            } => self.store(unit, &pages, checkpoint),
            Action::Publish { sink, unit, commit } => self.publish(sink, unit, &commit),
            Action::ReopenSink { sink, unit } => self.reopen_sink(sink, unit),
            Action::Acknowledge { cursor } => self.acknowledge(&cursor),
            Action::Sleep {
                step,
                at_least,
                ceiling,
                ..
            } => {
                self.now += at_least.max(ceiling / 2);
                Event::TimerFired { step }
            }
            action @ (Action::Release { .. } | Action::Finish { .. } | Action::Stop(_)) => {
                panic!("{action:?}")
            }
        };
        self.tell(event)
    }

    /// The fault that strikes now, if any.
    fn fault(&mut self) -> Option<Fault> {
        if !self.world.fails || !self.chance.percent(self.world.fault_percent) {
            return None;
        }
        if self.chance.percent(4) {
            count(self.tally, "fatal fault");
            return Some(Fault::new(FaultKind::Trapped, "unreachable"));
        }
        let retry_after = self
            .chance
            .percent(20)
            .then(|| Duration::from_secs(self.chance.below(5)));
        Some(Fault::new(
            FaultKind::Transient { retry_after },
            "connection reset",
        ))
    }

    fn open_reader(&mut self, cursor: Option<&Cursor>) -> Option<Ending> {
        let Some(fault) = self.fault() else {
            self.reader = Some(position(cursor));
            return None;
        };
        count(self.tally, "fault before effect: open");
        let is_use =
            |action: &Action| matches!(action, Action::Read { .. } | Action::Acknowledge { .. });
        let at = self
            .pending
            .iter()
            .position(is_use)
            .expect("a reader is opened to be used");
        let event = match self.pending.remove(at) {
            Action::Read { .. } => Event::ReadFailed { fault },
            _ => Event::AcknowledgeFailed { fault },
        };
        self.reader = None;
        self.tell(event)
    }

    fn read(&mut self, page: PageNo) -> Event {
        if let Some(fault) = self.fault() {
            count(self.tally, "fault before effect: read");
            self.reader = None;
            return Event::ReadFailed { fault };
        }
        let (from, empties) = self.reader.expect("open");
        let left = self.world.records() - from;
        let is_empty = left == 0 || self.chance.percent(self.world.empty_percent);
        let rows = if is_empty {
            0
        } else {
            1 + self.chance.below(self.world.page_rows_max.min(left))
        };
        // An empty page may say that the source went on all the same.
        let went_on = rows == 0 && left > 0 && self.chance.percent(50);
        let place = if rows > 0 {
            (from + rows, 0)
        } else {
            (from, empties + u64::from(went_on))
        };
        let next = if from + rows == self.world.records() && (rows == 0 || self.chance.percent(50))
        {
            Next::End
        } else if self.chance.percent(self.world.wait_percent) {
            count(self.tally, "waited");
            Next::Wait(Duration::from_secs(1))
        } else {
            Next::More
        };
        if rows == 0 && !went_on {
            count(self.tally, "page with nothing");
        }
        self.reader = Some(place);
        self.pages.insert(page, from..from + rows);
        Event::PageRead {
            page,
            bytes: rows * 10,
            cursor: cursor(place.0, place.1),
            next,
        }
    }

    fn transform(&mut self, page: PageNo) -> Event {
        if let Some(fault) = self.fault() {
            count(self.tally, "fault before effect: transform");
            return Event::TransformFailed { page, fault };
        }
        let records = self.pages[&page].clone();
        let of = |fate: Fate| {
            records
                .clone()
                .filter(|record| self.world.fates[*record as usize] == fate)
                .count() as u64
        };
        let (filtered, rejected) = (of(Fate::Filtered), of(Fate::RejectedOnTheWay));
        let read = records.end - records.start;
        let rows = read - filtered - rejected;
        Event::PageReady {
            page,
            tally: sluice_delivery::Tally {
                read,
                filtered,
                rejected,
                rows,
                bytes: read * 10,
            },
        }
    }

    fn records(&self, pages: &Range<PageNo>) -> Vec<u64> {
        (pages.start.0..pages.end.0)
            .flat_map(|page| self.pages[&PageNo(page)].clone())
            .collect()
    }

    /// What a sink gets, and what it refuses of it.
    fn sorted(&self, sink: usize, pages: &Range<PageNo>) -> (Vec<u64>, BTreeSet<u64>) {
        let given = self.records(pages).into_iter().filter(|record| {
            !matches!(
                self.world.fates[*record as usize],
                Fate::Filtered | Fate::RejectedOnTheWay
            )
        });
        let (refused, taken): (Vec<u64>, Vec<u64>) = given.partition(|record| {
            matches!(self.world.fates[*record as usize], Fate::RejectedAtSinks(sinks) if sinks & (1 << sink) != 0)
        });
        (taken, refused.into_iter().collect())
    }

    fn take_in(&mut self, sink: usize, records: Vec<u64>, commit: &Commit) {
        let sink = &mut self.world.sinks[sink];
        match sink.mode {
            SinkMode::Plain => {
                for record in records {
                    sink.held[record as usize] += 1;
                }
            }
            SinkMode::Transactional => sink.staged = Some((records, commit.clone())),
        }
    }

    fn write(
        &mut self,
        sink: usize,
        unit: UnitNo,
        pages: &Range<PageNo>,
        commit: &Commit,
    ) -> Event {
        self.refused.remove(&(unit, sink));
        let (taken, refused) = self.sorted(sink, pages);
        if let Some(fault) = self.fault() {
            if self.chance.percent(50) {
                count(self.tally, "fault after effect: write");
                self.take_in(sink, taken, commit);
            } else {
                count(self.tally, "fault before effect: write");
            }
            return Event::WriteFailed { sink, unit, fault };
        }
        self.take_in(sink, taken, commit);
        self.refused.insert((unit, sink), refused);
        Event::Wrote {
            sink,
            unit,
            rejected: self.refused_of(unit).len() as u64,
        }
    }

    fn refused_of(&self, unit: UnitNo) -> BTreeSet<u64> {
        self.refused
            .iter()
            .filter(|((of, _), _)| *of == unit)
            .flat_map(|(_, records)| records)
            .copied()
            .collect()
    }

    fn letters(&self, unit: UnitNo, pages: &Range<PageNo>, epoch: u64) -> Vec<DeadLetter> {
        let on_the_way = self
            .records(pages)
            .into_iter()
            .filter(|record| self.world.fates[*record as usize] == Fate::RejectedOnTheWay);
        let dead: BTreeSet<u64> = on_the_way.chain(self.refused_of(unit)).collect();
        if dead.is_empty() {
            return Vec::new();
        }
        let numbers = self
            .numbering
            .reserve(&self.world.store, &pipeline(), dead.len() as u64)
            .expect("reserves");
        let mark = Mark {
            epoch,
            sequence: unit.0,
        };
        dead.into_iter()
            .zip(numbers.first..)
            .map(|(record, number)| letter(number, mark, record))
            .collect()
    }

    fn store(
        &mut self,
        unit: Option<UnitNo>,
        pages: &Range<PageNo>,
        checkpoint: Checkpoint,
    ) -> Event {
        let fault = self.fault();
        let letters = unit.map_or(Vec::new(), |unit| {
            self.letters(unit, pages, checkpoint.epoch)
        });
        if fault.is_some() && self.chance.percent(50) {
            count(self.tally, "fault before effect: store");
            return Event::StoreFailed {
                fault: StoreError::Failed("disk full".to_owned()).into(),
            };
        }
        let (batch, held) = self.held.step(checkpoint, &letters, 0);
        self.world.store.commit(batch).expect("nobody else writes");
        self.world.check_never_ahead();
        if fault.is_some() {
            count(self.tally, "fault after effect: store");
            return Event::StoreFailed {
                fault: StoreError::Failed("no answer".to_owned()).into(),
            };
        }
        self.held = held;
        Event::Stored
    }

    fn publish(&mut self, sink: usize, unit: UnitNo, commit: &Commit) -> Event {
        let fault = self.fault();
        if fault.is_none() || self.chance.percent(50) {
            let at = &mut self.world.sinks[sink];
            let (records, staged) = at.staged.take().expect("published once written");
            assert_eq!(staged, *commit);
            assert!(
                at.committed
                    .as_ref()
                    .is_none_or(|last| last.mark < commit.mark),
                "commits only grow"
            );
            for record in records {
                at.held[record as usize] += 1;
            }
            at.committed = Some(staged);
            let Some(fault) = fault else {
                return Event::Published { sink, unit };
            };
            count(self.tally, "fault after effect: publish");
            return Event::PublishFailed { sink, unit, fault };
        }
        count(self.tally, "fault before effect: publish");
        Event::PublishFailed {
            sink,
            unit,
            fault: fault.expect("checked above"),
        }
    }

    fn reopen_sink(&mut self, sink: usize, unit: UnitNo) -> Event {
        self.world.sinks[sink].staged = None;
        if let Some(fault) = self.fault() {
            count(self.tally, "fault before effect: reopen");
            return Event::PublishFailed { sink, unit, fault };
        }
        let committed = self.world.sinks[sink]
            .committed
            .as_ref()
            .map(|commit| commit.mark);
        let is_published = committed.is_some_and(|mark| mark.sequence == unit.0);
        count(
            self.tally,
            if is_published {
                "sink reopened: published"
            } else {
                "sink reopened: written again"
            },
        );
        Event::SinkReopened { sink, committed }
    }

    fn acknowledge(&mut self, cursor: &Cursor) -> Event {
        let fault = self.fault();
        if fault.is_none() || self.chance.percent(50) {
            let (end, _) = position(Some(cursor));
            // What the source forgets now must be safe: stored, as the checkpoint or as a published intent.
            self.world.check_settled(end);
            assert!(end >= self.world.acknowledged, "acknowledged backwards");
            self.world.acknowledged = end;
            let Some(fault) = fault else {
                return Event::Acknowledged;
            };
            count(self.tally, "fault after effect: acknowledge");
            self.reader = None;
            return Event::AcknowledgeFailed { fault };
        }
        count(self.tally, "fault before effect: acknowledge");
        self.reader = None;
        Event::AcknowledgeFailed {
            fault: fault.expect("checked above"),
        }
    }

    /// What was under way may have had its effect, or a part of it.
    fn crash(&mut self) {
        count(self.tally, "crashed");
        for action in std::mem::take(&mut self.pending) {
            let happens = self.chance.percent(50);
            match action {
                Action::Write {
                    sink,
                    pages,
                    commit,
                    ..
                } if happens => {
                    let (mut taken, _) = self.sorted(sink, &pages);
                    if self.world.sinks[sink].mode == SinkMode::Plain {
                        count(self.tally, "torn write at a crash");
                        taken.truncate(self.chance.below(taken.len() as u64 + 1) as usize);
                    }
                    self.take_in(sink, taken, &commit);
                }
                Action::Store {
                    unit,
                    pages,
                    checkpoint,
                } if happens => {
                    self.store(unit, &pages, checkpoint);
                }
                Action::Publish { sink, unit, commit } if happens => {
                    self.publish(sink, unit, &commit);
                }
                Action::Acknowledge { cursor } if happens => {
                    self.acknowledge(&cursor);
                }
                _ => {}
            }
        }
        self.world.check_never_ahead();
    }
}

fn letter(number: u64, mark: Mark, record: u64) -> DeadLetter {
    let rejection = Rejection {
        stage: StageId {
            role: Role::Sink,
            index: 0,
        },
        stream: "stream".parse().expect("a name"),
        code: "refused".to_owned(),
        message: String::new(),
        place: Place {
            document: None,
            line: Some(record),
            item: None,
        },
        record: Record::Raw(Vec::new()),
        truncated: false,
        given: None,
        also: Vec::new(),
        identity: None,
    };
    DeadLetter {
        number,
        pipeline: pipeline(),
        split: split(),
        run: "run".to_owned(),
        mark,
        plugin: "simulated/sink".parse().expect("a name"),
        at_ms: 0,
        rejection,
    }
}

/// Keeps the steps' names in use where they are printed.
#[test]
fn steps_have_names() {
    assert_eq!(Step::Write(0).to_string(), "writing to sink 1");
    assert_eq!(Step::Publish(1).to_string(), "publishing at sink 2");
}
