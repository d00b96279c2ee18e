//! What the driver does at the sinks: through their breakers, and halving what a plugin cannot take as the real one
//! does.

use crate::chance::{Struck, transient, trapped};
use crate::driver::{Driver, Plugin};
use crate::world::Fate;
use sluice_delivery::{Event, Halving, HalvingSettings, PageNo, Permit, SinkMode, UnitNo, Verdict};
use sluice_model::checkpoint::Commit;
use sluice_model::fault::{Fault, FaultKind};
use std::collections::BTreeSet;
use std::ops::Range;

/// What a plugin is handed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Batch {
    Page(PageNo),
    Unit(UnitNo, usize),
}

impl Batch {
    fn plugin(self) -> Plugin {
        match self {
            Batch::Page(_) => Plugin::Transform,
            Batch::Unit(_, sink) => Plugin::Sink(sink),
        }
    }
}

/// For the culprits in a batch: kept over transient faults.
pub struct Search {
    halving: Halving,
    /// The plugin fails on everything.
    is_sick: bool,
}

impl Driver<'_> {
    /// Calls a sink through its breaker. Where that holds the call, the step fails for a while without one.
    fn called<T>(
        &mut self,
        sink: usize,
        call: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let permit = self.breakers[sink].ask(self.now);
        match permit {
            Permit::Wait(left) => {
                self.count("call held by a breaker");
                return Err(transient(left));
            }
            Permit::Probe => self.count("breaker probed"),
            Permit::Go => {}
        }
        let outcome = if self.now < self.down_until[sink] {
            Err(transient(None))
        } else {
            call(self)
        };
        match &outcome {
            Ok(_) => self.breakers[sink].succeeded(permit),
            Err(fault) => {
                let draw = self.luck.chance.part();
                self.breakers[sink].failed(permit, self.now, fault, draw);
            }
        }
        outcome
    }

    /// Has a plugin take a batch: as a whole; and where it fails on it, piece by piece. Gives the records that it cannot
    /// take. `keep` is told of the pieces that it took, the whole included.
    pub fn taken(
        &mut self,
        batch: Batch,
        records: &[u64],
        is_struck: bool,
        mut keep: impl FnMut(&mut Self, &[u64]),
    ) -> Result<BTreeSet<u64>, Fault> {
        let search = if let Some(search) = self.searches.remove(&batch) {
            search
        } else {
            let settings = HalvingSettings::default();
            // In batches so small nobody could tell a sick plugin from poisoned records, and nor could the checker.
            let is_sick = self.sick == Some(batch.plugin()) && records.len() > settings.alone_max;
            if is_struck {
                self.count("trap by chance");
            }
            if !is_struck && !is_sick && !self.is_poisoned(batch, records) {
                keep(self, records);
                return Ok(BTreeSet::new());
            }
            Search {
                halving: Halving::of(records.len(), 0, settings),
                is_sick,
            }
        };
        self.searched(batch, records, search, keep)
    }

    fn searched(
        &mut self,
        batch: Batch,
        records: &[u64],
        mut search: Search,
        mut keep: impl FnMut(&mut Self, &[u64]),
    ) -> Result<BTreeSet<u64>, Fault> {
        while let Some(piece) = search.halving.next_piece() {
            if self.interrupts() {
                self.count("halving interrupted");
                self.searches.insert(batch, search);
                return Err(transient(None));
            }
            let records = &records[piece];
            // A trap by chance is told from poison where the pieces of it pass.
            let traps =
                records.len() > 1 && !self.luck.is_scripted() && self.luck.chance.percent(1);
            if search.is_sick || traps || self.is_poisoned(batch, records) {
                search.halving.failed();
            } else {
                keep(self, records);
                search.halving.passed();
            }
        }
        if search.halving.verdict() == Verdict::Sick {
            assert!(search.is_sick, "{records:?}");
            self.count("sick plugin");
            return Err(trapped());
        }
        let culprits = search.halving.culprits().iter();
        Ok(culprits.map(|at| records[*at]).collect())
    }

    fn interrupts(&mut self) -> bool {
        !self.luck.is_scripted()
            && self.world.fails
            && self.luck.chance.percent(self.world.fault_percent / 3)
    }

    fn is_poisoned(&self, batch: Batch, records: &[u64]) -> bool {
        let is_poison = |record: &u64| match (self.world.fates[*record as usize], batch.plugin()) {
            (Fate::PoisonOnTheWay, Plugin::Transform) => true,
            (Fate::PoisonAtSinks(sinks), Plugin::Sink(sink)) => sinks & (1 << sink) != 0,
            _ => false,
        };
        records.iter().any(is_poison)
    }

    /// What goes to the sinks.
    fn given(&self, pages: &Range<PageNo>) -> Vec<u64> {
        let mut records = self.records(pages);
        records.retain(|record| self.world.fates[*record as usize].reaches_sinks());
        records
    }

    /// What a sink takes of these pages, and what it refuses or cannot take.
    pub fn sorted(&self, sink: usize, pages: &Range<PageNo>) -> (Vec<u64>, BTreeSet<u64>) {
        let given = self.given(pages).into_iter();
        let (taken, refused): (Vec<u64>, Vec<u64>) =
            given.partition(|record| self.world.fates[*record as usize].is_taken_by(sink));
        (taken, refused.into_iter().collect())
    }

    pub fn take_in(&mut self, sink: usize, records: &[u64], commit: &Commit) {
        let sink = &mut self.world.sinks[sink];
        match sink.mode {
            SinkMode::Plain => {
                for record in records {
                    sink.held[*record as usize] += 1;
                }
            }
            SinkMode::Transactional => sink.staged = Some((records.to_vec(), commit.clone())),
        }
    }

    pub fn write(
        &mut self,
        sink: usize,
        unit: UnitNo,
        pages: &Range<PageNo>,
        commit: &Commit,
        struck: Option<Struck>,
    ) -> Event {
        self.refused.remove(&(unit, sink));
        let written = self.called(sink, |driver| match struck {
            Some(struck) if !struck.fault.poisons_instance() => {
                Err(driver.struck_at_write(sink, pages, commit, struck))
            }
            struck => driver.written(sink, unit, pages, commit, struck.is_some()),
        });
        match written {
            Ok(refused) => {
                self.refused.insert((unit, sink), refused);
                Event::Wrote {
                    sink,
                    unit,
                    rejected: self.refused_of(unit).len() as u64,
                }
            }
            Err(fault) => Event::WriteFailed {
                sink,
                unit,
                fault,
                progressed: false,
            },
        }
    }

    fn struck_at_write(
        &mut self,
        sink: usize,
        pages: &Range<PageNo>,
        commit: &Commit,
        struck: Struck,
    ) -> Fault {
        let is_poisoned = self.is_poisoned(Batch::Unit(UnitNo(0), sink), &self.given(pages));
        if struck.after && !is_poisoned {
            self.count("fault after effect: write");
            let (taken, _) = self.sorted(sink, pages);
            self.take_in(sink, &taken, commit);
        } else {
            self.count("fault before effect: write");
        }
        struck.fault
    }

    /// A plain sink keeps the pieces that it took; a transactional one stages the whole at once, without the culprits.
    fn written(
        &mut self,
        sink: usize,
        unit: UnitNo,
        pages: &Range<PageNo>,
        commit: &Commit,
        is_struck: bool,
    ) -> Result<BTreeSet<u64>, Fault> {
        let given = self.given(pages);
        let mode = self.world.sinks[sink].mode;
        let culprits = self.taken(
            Batch::Unit(unit, sink),
            &given,
            is_struck,
            |driver, piece| {
                if mode == SinkMode::Plain {
                    let fates = &driver.world.fates;
                    let of = |record: &&u64| fates[**record as usize].is_taken_by(sink);
                    let piece: Vec<u64> = piece.iter().filter(of).copied().collect();
                    driver.take_in(sink, &piece, commit);
                }
            },
        )?;
        if !culprits.is_empty() {
            self.count(match mode {
                SinkMode::Plain => "poisoned unit halved: plain",
                SinkMode::Transactional => "poisoned unit halved: transactional",
            });
        }
        let fates = &self.world.fates;
        let rest = given
            .into_iter()
            .filter(|record| !culprits.contains(record));
        let (taken, mut refused): (Vec<u64>, BTreeSet<u64>) = (
            rest.clone()
                .filter(|record| fates[*record as usize].is_taken_by(sink))
                .collect(),
            rest.filter(|record| !fates[*record as usize].is_taken_by(sink))
                .collect(),
        );
        if mode == SinkMode::Transactional {
            self.take_in(sink, &taken, commit);
        }
        refused.extend(culprits);
        Ok(refused)
    }

    pub fn refused_of(&self, unit: UnitNo) -> BTreeSet<u64> {
        self.refused
            .iter()
            .filter(|((of, _), _)| *of == unit)
            .flat_map(|(_, records)| records)
            .copied()
            .collect()
    }

    pub fn publish(
        &mut self,
        sink: usize,
        unit: UnitNo,
        commit: &Commit,
        struck: Option<Struck>,
    ) -> Event {
        let published = self.called(sink, |driver| {
            let after = struck.as_ref().is_none_or(|struck| struck.after);
            if after {
                driver.make_visible(sink, commit);
            }
            let Some(struck) = struck else { return Ok(()) };
            driver.count(if after {
                "fault after effect: publish"
            } else {
                "fault before effect: publish"
            });
            Err(struck.fault)
        });
        match published {
            Ok(()) => Event::Published { sink, unit },
            Err(fault) => Event::PublishFailed { sink, unit, fault },
        }
    }

    fn make_visible(&mut self, sink: usize, commit: &Commit) {
        let at = &mut self.world.sinks[sink];
        let (records, staged) = at.staged.take().expect("published once written");
        assert_eq!(staged, *commit);
        let last = at.committed.as_ref().map(|last| last.mark);
        assert!(last < Some(commit.mark), "commits only grow");
        for record in records {
            at.held[record as usize] += 1;
        }
        at.committed = Some(staged);
    }

    pub fn reopen_sink(&mut self, sink: usize, unit: UnitNo, struck: Option<Struck>) -> Event {
        self.world.sinks[sink].staged = None;
        let opened = self.called(sink, |driver| {
            let Some(struck) = struck else {
                let committed = driver.world.sinks[sink].committed.as_ref();
                return Ok(committed.map(|commit| commit.mark));
            };
            driver.count("fault before effect: reopen");
            Err(struck.fault)
        });
        let committed = match opened {
            Ok(committed) => committed,
            Err(fault) => return Event::PublishFailed { sink, unit, fault },
        };
        let is_published = committed.is_some_and(|mark| mark.sequence == unit.0);
        self.count(if is_published {
            "sink reopened: published"
        } else {
            "sink reopened: written again"
        });
        Event::SinkReopened { sink, committed }
    }
}

/// A fatal fault ends a run whatever step it strikes: kept here so that its kind is not one that is halved.
#[test]
fn what_is_halved_poisons_and_what_is_fatal_does_not() {
    assert!(trapped().poisons_instance());
    assert!(!Fault::new(FaultKind::Unauthorized, "no").poisons_instance());
}
