//! A driver whose operations end in any order, fail before or after their effect, and are cut off by a crash. What it
//! does at the source is here; at the sinks in `sinks`, at the store in `storing`.

use crate::Tally;
use crate::chance::{Blow, Luck, Struck, transient, trapped};
use crate::run::{Ending, count, crashes};
use crate::sinks::{Batch, Search};
use crate::trace::Trace;
use crate::world::{Fate, World, cursor, position};
use sluice_delivery::{
    Action, Breaker, BreakerSettings, Event, Next, PageNo, SinkMode, Split, UnitNo,
};
use sluice_model::checkpoint::{Checkpoint, Cursor};
use sluice_model::fault::{Fault, FaultKind};
use sluice_state::journal::{Desk, Held};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

pub struct Driver<'a> {
    pub world: &'a mut World,
    pub luck: &'a mut Luck,
    pub tally: &'a mut Tally,
    pub trace: &'a mut Trace,
    pub split: Split,
    pub held: Held,
    pub now: Duration,
    /// What was asked for and is not done.
    pending: Vec<Action>,
    reader: Option<(u64, u64)>,
    /// Their records.
    pages: BTreeMap<PageNo, Range<u64>>,
    /// Records of a page that its transform could not take.
    pub culprits: BTreeMap<PageNo, BTreeSet<u64>>,
    /// Records that each sink refused of a unit.
    pub refused: BTreeMap<(UnitNo, usize), BTreeSet<u64>>,
    pub searches: BTreeMap<Batch, Search>,
    pub breakers: Vec<Breaker>,
    /// Until when each sink fails whatever it is asked.
    pub down_until: Vec<Duration>,
    /// The plugin that fails on everything in this run.
    pub sick: Option<Plugin>,
    pub desk: Desk,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Plugin {
    Transform,
    Sink(usize),
}

impl<'a> Driver<'a> {
    pub fn new(
        world: &'a mut World,
        luck: &'a mut Luck,
        tally: &'a mut Tally,
        trace: &'a mut Trace,
        held: Held,
        checkpoint: Checkpoint,
    ) -> Self {
        let settings = world.settings.clone();
        let sinks = settings.sinks.len();
        let breaker = BreakerSettings {
            failures_to_open: world.failures_to_open,
            base_delay: Duration::from_millis(200),
            max_delay: Duration::from_secs(10),
        };
        let is_sick = !luck.is_scripted() && world.fails && luck.chance.percent(world.sick_percent);
        let sick = is_sick.then(|| match luck.chance.below(sinks as u64 + 1) as usize {
            0 => Plugin::Transform,
            sink => Plugin::Sink(sink - 1),
        });
        Self {
            world,
            luck,
            tally,
            trace,
            split: Split::new(settings, checkpoint),
            held,
            now: Duration::ZERO,
            pending: Vec::new(),
            reader: None,
            pages: BTreeMap::new(),
            culprits: BTreeMap::new(),
            refused: BTreeMap::new(),
            searches: BTreeMap::new(),
            breakers: (0..sinks).map(|_| Breaker::new(breaker)).collect(),
            down_until: vec![Duration::ZERO; sinks],
            sick,
            desk: Desk::default(),
        }
    }

    pub fn count(&mut self, what: &'static str) {
        count(self.tally, what);
    }

    /// Feeds the machine, checks what must always hold, and takes its actions on.
    pub fn tell(&mut self, event: Event) -> Option<Ending> {
        self.trace.happened(self.now, &event);
        let actions = self.split.on(self.now, event);
        self.trace.asked(&actions);
        let counters = self.split.counters();
        assert_eq!(
            counters.read,
            counters.written + counters.filtered + counters.dead_lettered + counters.in_flight
        );
        let (pages, bytes) = self.split.in_flight();
        assert!(pages <= self.world.settings.in_flight_pages_max);
        assert!(
            pages <= 1 || bytes <= self.world.in_flight_bytes_max(),
            "{bytes} bytes"
        );
        let mut ending = None;
        for action in actions {
            match action {
                Action::Finish { ended: true } => {
                    self.count("ended");
                    ending = Some(Ending::Ended);
                }
                Action::Finish { ended: false } => {
                    self.count("drained");
                    ending = Some(Ending::Drained);
                }
                Action::Stop(fault) => {
                    assert!(!fault.message.contains("protocol was broken"), "{fault}");
                    self.count("stopped");
                    ending = Some(Ending::Stopped);
                }
                Action::Release { pages } => self.pages.retain(|page, _| !pages.contains(page)),
                action => self.pending.push(action),
            }
        }
        ending
    }

    /// What happens next: a crash, somebody who drains it, or the end of an operation.
    pub fn turn(&mut self) -> Option<Ending> {
        if crashes(self.world, self.luck) {
            self.crash();
            return Some(Ending::Crashed);
        }
        if !self.luck.is_scripted() && self.world.fails {
            if self.luck.chance.per_mille(2) {
                return self.tell(Event::Drain);
            }
            self.weather();
        }
        self.step()
    }

    /// What befalls clocks and servers.
    fn weather(&mut self) {
        let chance = &mut self.luck.chance;
        if chance.per_mille(2) {
            self.now += Duration::from_secs(3_600 * (1 + chance.below(48)));
            self.count("clock jumped");
        } else if chance.per_mille(self.world.outage_per_mille) {
            let sink = chance.below(self.down_until.len() as u64) as usize;
            self.down_until[sink] = self.now + Duration::from_secs(1 + chance.below(20));
            self.count("sink down for a while");
        }
    }

    /// One of the pending operations ends.
    fn step(&mut self) -> Option<Ending> {
        assert!(!self.pending.is_empty(), "stuck: {:#?}", self.split);
        self.now += Duration::from_millis(self.luck.chance.below(200));
        let at = self.luck.pick(self.pending.len());
        // The reader is opened before it is used: these two stay in order.
        let at = match self.pending[at] {
            Action::Read { .. } | Action::Acknowledge { .. } => self
                .pending
                .iter()
                .position(|action| matches!(action, Action::OpenReader { .. }))
                .unwrap_or(at),
            _ => at,
        };
        let blow = self.luck.next_blow();
        if blow == Some(Blow::CrashBefore) {
            return Some(Ending::Crashed);
        }
        let action = self.pending.remove(at);
        let struck = match blow {
            Some(Blow::FaultBefore | Blow::FaultAfter) => Some(Struck {
                fault: transient(None),
                after: blow == Some(Blow::FaultAfter),
            }),
            _ => self.drawn(&action),
        };
        let event = self.perform(action, struck);
        if blow == Some(Blow::CrashAfter) {
            return Some(Ending::Crashed);
        }
        event.and_then(|event| self.tell(event))
    }

    /// The fault that strikes an operation by chance, if any.
    fn drawn(&mut self, action: &Action) -> Option<Struck> {
        let is_operation = !matches!(action, Action::Sleep { .. } | Action::StartLinger { .. });
        let chance = &mut self.luck.chance;
        let strikes = is_operation
            && self.luck.script.is_none()
            && self.world.fails
            && chance.percent(self.world.fault_percent);
        if !strikes {
            return None;
        }
        let fault = match chance.below(100) {
            0..4 => {
                count(self.tally, "fatal fault");
                Fault::new(FaultKind::Unauthorized, "no")
            }
            4..10 => trapped(),
            10..30 => transient(Some(Duration::from_secs(chance.below(5)))),
            _ => transient(None),
        };
        let after = chance.percent(50);
        Some(Struck { fault, after })
    }

    /// Does it, and gives the event that it ends in; none where another operation goes on from it.
    fn perform(&mut self, action: Action, struck: Option<Struck>) -> Option<Event> {
        Some(match action {
            Action::OpenReader { cursor } => return self.open_reader(cursor.as_ref(), struck),
            Action::Read { page } => self.read(page, struck),
            Action::Transform { page } => self.transform(page, struck),
            Action::StartLinger { unit, .. } => Event::LingerOver { unit },
            Action::Write {
                sink,
                unit,
                pages,
                commit,
            } => self.write(sink, unit, &pages, &commit, struck),
            Action::Store {
                unit,
                pages,
                checkpoint,
            } => self.store(unit, &pages, *checkpoint, struck.as_ref()),
            Action::Publish { sink, unit, commit } => self.publish(sink, unit, &commit, struck),
            Action::ReopenSink { sink, unit } => self.reopen_sink(sink, unit, struck),
            Action::Acknowledge { cursor } => self.acknowledge(&cursor, struck),
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
        })
    }

    fn open_reader(&mut self, cursor: Option<&Cursor>, struck: Option<Struck>) -> Option<Event> {
        let Some(Struck { fault, .. }) = struck else {
            self.reader = Some(position(cursor));
            return None;
        };
        self.count("fault before effect: open");
        let is_use =
            |action: &Action| matches!(action, Action::Read { .. } | Action::Acknowledge { .. });
        let at = self.pending.iter().position(is_use);
        let at = at.expect("a reader is opened to be used");
        self.reader = None;
        Some(match self.pending.remove(at) {
            Action::Read { .. } => Event::ReadFailed { fault },
            _ => Event::AcknowledgeFailed { fault },
        })
    }

    fn read(&mut self, page: PageNo, struck: Option<Struck>) -> Event {
        if let Some(Struck { fault, .. }) = struck {
            self.count("fault before effect: read");
            self.reader = None;
            return Event::ReadFailed { fault };
        }
        let (from, empties) = self.reader.expect("open");
        let left = self.world.records() - from;
        let rows = self.rows_of_next_page(from, left);
        // An empty page may say that the source went on all the same.
        let went_on = rows == 0 && left > 0 && self.luck.chance.percent(50);
        let place = if rows > 0 {
            (from + rows, 0)
        } else {
            (from, empties + u64::from(went_on))
        };
        let is_over = from + rows == self.world.records();
        let next = if is_over && (rows == 0 || self.world.ends_with_rows(&mut self.luck.chance)) {
            Next::End
        } else if self.luck.chance.percent(self.world.wait_percent) {
            self.count("waited");
            Next::Wait(Duration::from_secs(1))
        } else {
            Next::More
        };
        if rows == 0 && !went_on {
            self.count("page with nothing");
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

    fn rows_of_next_page(&mut self, from: u64, left: u64) -> u64 {
        if let Some(ends) = &self.world.page_ends {
            return ends
                .iter()
                .find(|end| **end > from)
                .map_or(0, |end| end - from);
        }
        let chance = &mut self.luck.chance;
        if left == 0 || chance.percent(self.world.empty_percent) {
            return 0;
        }
        1 + chance.below(self.world.page_rows_max.min(left))
    }

    fn transform(&mut self, page: PageNo, struck: Option<Struck>) -> Event {
        let records: Vec<u64> = self.pages[&page].clone().collect();
        let batch = Batch::Page(page);
        let found = match struck {
            Some(Struck { fault, .. }) if !fault.poisons_instance() => {
                self.count("fault before effect: transform");
                Err(fault)
            }
            struck => self.taken(batch, &records, struck.is_some(), |_, _| {}),
        };
        let culprits = match found {
            Ok(culprits) => culprits,
            Err(fault) => return Event::TransformFailed { page, fault },
        };
        if !culprits.is_empty() {
            self.count("poisoned page halved");
        }
        let of = |fate: Fate| {
            let fates = records
                .iter()
                .map(|record| self.world.fates[*record as usize]);
            fates.filter(|it| *it == fate).count() as u64
        };
        let filtered = of(Fate::Filtered);
        let rejected = of(Fate::RejectedOnTheWay) + culprits.len() as u64;
        let read = records.len() as u64;
        self.culprits.insert(page, culprits);
        Event::PageReady {
            page,
            tally: sluice_delivery::Tally {
                read,
                filtered,
                rejected,
                rows: read - filtered - rejected,
                bytes: read * 10 * self.world.growth,
            },
        }
    }

    pub fn records(&self, pages: &Range<PageNo>) -> Vec<u64> {
        (pages.start.0..pages.end.0)
            .flat_map(|page| self.pages[&PageNo(page)].clone())
            .collect()
    }

    fn acknowledge(&mut self, cursor: &Cursor, struck: Option<Struck>) -> Event {
        let after = struck.as_ref().is_none_or(|struck| struck.after);
        if after {
            let (end, _) = position(Some(cursor));
            // What the source forgets now must be safe: stored, as the checkpoint or as a published intent.
            self.world.check_settled(end);
            assert!(end >= self.world.acknowledged, "acknowledged backwards");
            self.world.acknowledged = end;
        }
        let Some(Struck { fault, .. }) = struck else {
            return Event::Acknowledged;
        };
        self.count(if after {
            "fault after effect: acknowledge"
        } else {
            "fault before effect: acknowledge"
        });
        self.reader = None;
        Event::AcknowledgeFailed { fault }
    }

    /// What was under way may have had its effect, or a part of it.
    fn crash(&mut self) {
        self.count("crashed");
        for action in std::mem::take(&mut self.pending) {
            if !self.luck.chance.percent(50) {
                continue;
            }
            match action {
                Action::Write {
                    sink,
                    pages,
                    commit,
                    ..
                } => {
                    let (mut taken, _) = self.sorted(sink, &pages);
                    if self.world.sinks[sink].mode == SinkMode::Plain {
                        self.count("torn write at a crash");
                        let upto = self.luck.chance.below(taken.len() as u64 + 1);
                        taken.truncate(upto as usize);
                    }
                    self.take_in(sink, &taken, &commit);
                }
                action @ (Action::Store { .. }
                | Action::Publish { .. }
                | Action::Acknowledge { .. }) => drop(self.perform(action, None)),
                _ => {}
            }
        }
        self.world.check_never_ahead();
    }
}
