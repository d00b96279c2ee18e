//! A sink's task of one split: it owns the sink's instance, writes units, publishes them, and opens a new instance
//! where the old one cannot be used any more.

use super::gate::Gate;
use super::pages::Refused;
use super::parts::{Parts, Piece};
use super::quarantine::{sick, too_slow};
use super::stages::Stages;
use super::transforming::refuse;
use crate::schemas::Schemas;
use sluice_delivery::{Event, Halving, HalvingSettings, SinkMode, UnitNo, Verdict};
use sluice_engine::{Sink, SinkRejection};
use sluice_model::batch::Batch;
use sluice_model::checkpoint::Commit;
use sluice_model::fault::{Fault, FaultKind};
use sluice_model::guards::Guard;
use sluice_model::ids::{SplitId, StreamName};
use sluice_model::schema::Schema;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

/// What a sink is told to do.
#[derive(Debug)]
pub enum Command {
    /// Write these.
    Write {
        /// The unit.
        unit: UnitNo,
        /// Its records.
        batches: Vec<Batch>,
        /// What goes with it.
        commit: Commit,
    },
    /// Make them visible.
    Publish {
        /// The unit.
        unit: UnitNo,
        /// What went with it.
        commit: Commit,
    },
    /// Throw the instance away and open another.
    Reopen {
        /// The unit that was being published.
        unit: UnitNo,
    },
}

/// A record of a unit, as it entered: the part of the unit that it was first met in, and its row as it entered.
type Entered = (usize, usize);

/// What each sink says of a record that it refused, by sink.
type BySink = BTreeMap<usize, Refused>;

/// What the sinks of a split refused of the units under way.
#[derive(Debug, Default, Clone)]
pub struct AtSinks(Arc<Mutex<HashMap<UnitNo, HashMap<Entered, BySink>>>>);

impl AtSinks {
    /// Replaces what this sink refused before, and says how many records are refused by now.
    fn replace(&self, unit: UnitNo, sink: usize, refused: Vec<(Entered, Refused)>) -> u64 {
        let mut units = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let records = units.entry(unit).or_default();
        for by in records.values_mut() {
            by.remove(&sink);
        }
        for (entered, one) in refused {
            match records.entry(entered).or_default().entry(sink) {
                // Two rows of one record: what the sink was given of it is more than one letter holds.
                Entry::Occupied(mut first) => first.get_mut().rejection.given = None,
                Entry::Vacant(none) => drop(none.insert(one)),
            }
        }
        records.retain(|_, by| !by.is_empty());
        records.len() as u64
    }

    /// Records of a unit that are refused by now.
    pub fn count(&self, unit: UnitNo) -> u64 {
        let units = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        units.get(&unit).map_or(0, |records| records.len() as u64)
    }

    /// What was refused of a unit, in the records' order: each once, as the first of its sinks said it. It stays, for one
    /// of the sinks may have to write the unit again, and what the others refused of it still holds; units before it are
    /// over.
    pub fn of(&self, unit: UnitNo) -> Vec<Refused> {
        let mut units = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        units.retain(|other, _| *other >= unit);
        let records = units.get(&unit).cloned().unwrap_or_default();
        let mut records: Vec<_> = records.into_iter().collect();
        records.sort_by_key(|(entered, _)| *entered);
        let one = |(_, by): (Entered, BySink)| {
            let mut by = by.into_values();
            let mut first = by.next()?;
            for other in by {
                first.rejection.also.push(other.rejection.stage);
                if other.rejection.given != first.rejection.given {
                    first.rejection.given = None;
                }
            }
            Some(first)
        };
        records.into_iter().filter_map(one).collect()
    }
}

/// The task's own.
pub struct Writing {
    /// Which of the sinks that the split goes to.
    pub at: usize,
    /// Which of the plan's sinks that is.
    pub sink: usize,
    /// How it makes data durable.
    pub mode: SinkMode,
    /// To make instances of it.
    pub stages: Arc<Stages>,
    /// Whose records.
    pub split: SplitId,
    /// The streams it will be given.
    pub streams: Vec<StreamName>,
    /// Their schemas.
    pub schemas: Arc<Schemas>,
    /// What is refused.
    pub refused: AtSinks,
    /// Whether the destination may be called.
    pub gate: Arc<Gate>,
    /// How many records it may fail on.
    pub halving: HalvingSettings,
    /// Where answers go.
    pub events: UnboundedSender<Event>,
}

/// What is kept between the tries of one unit: what was found out by writing pieces of it need not be found out again.
struct Search {
    unit: UnitNo,
    /// The time that its tries took.
    spent: Duration,
    halving: Halving,
    refused: Vec<(Entered, Refused)>,
    /// The records that stood alone and failed, each with what was said.
    culprits: Vec<(usize, Fault)>,
}

/// The writer's own, from one command to the next.
struct Writer {
    instance: Option<Sink>,
    search: Option<Search>,
    /// Records that failed alone in a row.
    alone: usize,
    taken: Taken,
}

impl Writer {
    /// Whether what was just handed over may be to blame. Where no instance could be opened, no record was looked at.
    fn may_be_a_record(&self, fault: &Fault) -> bool {
        self.instance.is_some() && fault.may_be_a_record()
    }
}

/// What a destination that settles a unit piece by piece has taken of it, over all tries.
#[derive(Default)]
struct Taken {
    unit: Option<UnitNo>,
    /// Requests that it answered with success.
    requests: u64,
    /// Whether it took some of it in the last try.
    got_on: bool,
}

impl Taken {
    /// A try is over in which it took so many more. One alone may have been a sign-in. A sink that forgets where it was
    /// sends all of it again with each try: what is more than the unit has records is no progress.
    fn more(&mut self, unit: UnitNo, requests: u64, rows: usize) {
        if self.unit != Some(unit) {
            *self = Self {
                unit: Some(unit),
                ..Self::default()
            };
        }
        self.requests += requests;
        self.got_on |= requests > 1 && self.requests <= rows as u64;
    }
}

impl Writing {
    /// Opens an instance, and asks what it has committed.
    pub async fn open(&self) -> Result<(Sink, Option<Commit>), Fault> {
        let told = |fault| self.stages.plan.sinks[self.sink].told(fault);
        let mut sink = self.stages.sink(self.sink).await.map_err(told)?;
        let targets: Vec<(StreamName, Arc<Schema>)> = self
            .streams
            .iter()
            .map(|stream| Ok((stream.clone(), self.schemas.output(stream)?)))
            .collect::<Result<_, Fault>>()?;
        sink.open(self.stages.plan.name(), &self.split, &targets)
            .await
            .map_err(told)?;
        let committed = sink.committed().await.map_err(told)?;
        Ok((sink, committed))
    }

    /// Does what it is told, with this instance first, until nobody tells it any more.
    pub async fn run(self, first: Sink, mut commands: UnboundedReceiver<Command>) {
        let mut writer = Writer {
            instance: Some(first),
            search: None,
            alone: 0,
            taken: Taken::default(),
        };
        while let Some(command) = commands.recv().await {
            let event = match command {
                Command::Write {
                    unit,
                    batches,
                    commit,
                } => self.write(&mut writer, unit, batches, &commit).await,
                Command::Publish { unit, commit } => {
                    self.publish(&mut writer.instance, unit, &commit).await
                }
                Command::Reopen { unit } => self.reopen(&mut writer.instance, unit).await,
            };
            if self.events.send(event).is_err() {
                return;
            }
        }
    }

    async fn write(
        &self,
        writer: &mut Writer,
        unit: UnitNo,
        batches: Vec<Batch>,
        commit: &Commit,
    ) -> Event {
        writer.taken.got_on = false;
        match self.written(writer, unit, &batches, commit).await {
            Ok(refused) => {
                writer.search = None;
                let rejected = self.refused.replace(unit, self.at, refused);
                Event::Wrote {
                    sink: self.at,
                    unit,
                    rejected,
                }
            }
            Err(fault) => {
                // One that may not be entered again, and one that forgets by it what it staged: its session may be over.
                // A plain one may know what it has sent of the unit.
                let is_alive = writer.instance.as_ref().is_some_and(Sink::is_alive);
                let is_plain = self.mode == SinkMode::Plain;
                if !(is_plain && is_alive && fault.is_transient()) {
                    writer.instance = None;
                }
                Event::WriteFailed {
                    sink: self.at,
                    unit,
                    fault,
                    progressed: writer.taken.got_on,
                }
            }
        }
    }

    /// Writes a unit. One that the sink fails on is halved until the records stand alone that it cannot take: those are
    /// refused, the others written.
    async fn written(
        &self,
        writer: &mut Writer,
        unit: UnitNo,
        batches: &[Batch],
        commit: &Commit,
    ) -> Result<Vec<(Entered, Refused)>, Fault> {
        let parts = Parts::of(batches);
        let mut search = match writer.search.take().filter(|search| search.unit == unit) {
            Some(search) => search,
            None => match self
                .handed(writer, unit, &parts, &parts.all(), commit)
                .await
            {
                Ok(refused) => {
                    writer.alone = 0;
                    return Ok(refused);
                }
                Err(fault) if Guard::Halving.bars(writer.may_be_a_record(&fault)) => {
                    writer.instance = None;
                    Search {
                        unit,
                        spent: Duration::ZERO,
                        halving: Halving::of(parts.rows, writer.alone, self.halving),
                        refused: Vec::new(),
                        culprits: Vec::new(),
                    }
                }
                Err(fault) => return Err(fault),
            },
        };
        let found = self.find(writer, &mut search, &parts, commit).await;
        if let Err(fault) = found {
            // What was found stays found: a transient fault in between is met by another try.
            writer.search = fault.is_transient().then_some(search);
            return Err(fault);
        }
        writer.alone = search.halving.alone();
        let mut refused = std::mem::take(&mut search.refused);
        if self.mode == SinkMode::Transactional {
            // It holds one unit at a time, and that is the whole of it.
            writer.instance = None;
            let culprits: Vec<usize> = search.culprits.iter().map(|(row, _)| *row).collect();
            let rest = parts.without(&culprits);
            let whole = self.handed(writer, unit, &parts, &rest, commit).await;
            refused = match whole {
                Ok(refused) => refused,
                Err(fault) if writer.may_be_a_record(&fault) => {
                    return Err(sick(&fault, &search.halving));
                }
                Err(fault) => {
                    writer.search = fault.is_transient().then_some(search);
                    return Err(fault);
                }
            };
        }
        let stage = self.stages.plan.sinks[self.sink].id;
        let key = self.stages.row_key();
        refused.extend(search.culprits.into_iter().map(|(row, fault)| {
            let (part, row) = parts.at(row);
            let batch = &batches[part];
            let one = refuse(batch, row, stage, fault.code(), fault.message, &key);
            (parts.entered(part, row), one)
        }));
        Ok(refused)
    }

    /// Tries piece after piece, until every record was either taken or stood alone.
    async fn find(
        &self,
        writer: &mut Writer,
        search: &mut Search,
        parts: &Parts<'_>,
        commit: &Commit,
    ) -> Result<(), Fault> {
        while let Some(rows) = search.halving.next_piece() {
            if self.mode == SinkMode::Transactional {
                writer.instance = None; // What it staged of another piece is forgotten.
            }
            let pieces = parts.slice(rows.clone());
            let began = Instant::now();
            match self
                .handed(writer, search.unit, parts, &pieces, commit)
                .await
            {
                Ok(refused) => {
                    search.halving.passed();
                    search.refused.extend(refused);
                    search.spent += began.elapsed();
                    writer.taken.got_on |= self.mode == SinkMode::Plain;
                }
                Err(fault) if writer.may_be_a_record(&fault) => {
                    writer.instance = None;
                    search.halving.failed();
                    search.spent += began.elapsed();
                    if search.halving.verdict() == Verdict::Sick {
                        return Err(sick(&fault, &search.halving));
                    }
                    too_slow(&self.stages.plan, self.halving, search.spent, &fault)?;
                    if rows.len() == 1 {
                        search.culprits.push((rows.start, fault));
                    }
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(())
    }

    /// Hands the sink these pieces of a unit, and says what it refused of them.
    async fn handed(
        &self,
        writer: &mut Writer,
        unit: UnitNo,
        parts: &Parts<'_>,
        pieces: &[Piece],
        commit: &Commit,
    ) -> Result<Vec<(Entered, Refused)>, Fault> {
        let batches: Vec<Batch> = pieces
            .iter()
            .map(|piece| parts.batches[piece.part].slice(piece.rows.clone()))
            .collect();
        let stage = &self.stages.plan.sinks[self.sink];
        let Writer {
            instance, taken, ..
        } = writer;
        let work = async {
            if instance.is_none() {
                *instance = Some(self.open().await?.0);
            }
            let sink = instance
                .as_mut()
                .expect("it was opened just now where there was none");
            let before = sink.taken();
            let rejected = sink.write(&batches, commit).await;
            taken.more(unit, sink.taken() - before, parts.rows);
            match rejected.map_err(|fault| stage.told(fault)) {
                // It works, if not all the time.
                Err(fault) if taken.got_on && fault.is_transient() => Ok(Err(fault)),
                rejected => rejected.map(Ok),
            }
        };
        let rejected = self.gate.call(work).await??;
        let key = self.stages.row_key();
        let refused = |refused: SinkRejection| {
            let part = pieces.get(refused.part).zip(batches.get(refused.part));
            let part = part.filter(|(_, batch)| refused.row < batch.rows());
            let (piece, batch) = part.ok_or_else(|| {
                let message = "a rejection of a row that is not there";
                Fault::new(FaultKind::Malformed, message)
            })?;
            let (code, message) = (refused.code, refused.message);
            let one = refuse(batch, refused.row, stage.id, code, message, &key);
            Ok((
                parts.entered(piece.part, piece.rows.start + refused.row),
                one,
            ))
        };
        rejected.into_iter().map(refused).collect()
    }

    async fn publish(&self, instance: &mut Option<Sink>, unit: UnitNo, commit: &Commit) -> Event {
        let published = match instance {
            Some(sink) => {
                let published = self.gate.call(sink.publish(commit)).await;
                published.map_err(|fault| self.stages.plan.sinks[self.sink].told(fault))
            }
            None => Err(Fault::new(
                FaultKind::Host,
                "the sink that staged the unit is gone",
            )),
        };
        match published {
            Ok(()) => Event::Published {
                sink: self.at,
                unit,
            },
            Err(fault) => Event::PublishFailed {
                sink: self.at,
                unit,
                fault,
            },
        }
    }

    async fn reopen(&self, instance: &mut Option<Sink>, unit: UnitNo) -> Event {
        *instance = None;
        match self.gate.call(self.open()).await {
            Ok((sink, committed)) => {
                *instance = Some(sink);
                Event::SinkReopened {
                    sink: self.at,
                    committed: committed.map(|commit| commit.mark),
                }
            }
            Err(fault) => Event::PublishFailed {
                sink: self.at,
                unit,
                fault,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_model::ids::{Role, StageId};
    use sluice_model::rejection::{Place, Record, Rejection};

    fn refused(code: &str, sink: u16) -> Refused {
        let rejection = Rejection {
            stage: StageId {
                role: Role::Sink,
                index: sink,
            },
            stream: "stream".parse().expect("a name"),
            code: code.to_owned(),
            message: String::new(),
            place: Place::default(),
            record: Record::Raw(Vec::new()),
            csv: None,
            truncated: false,
            removal: false,
            given: None,
            also: Vec::new(),
            identity: None,
        };
        Refused {
            letter: None,
            rejection,
        }
    }

    /// One of two sinks is opened anew after its publish failed, and writes the unit again.
    #[test]
    fn a_unit_that_is_stored_twice_has_all_its_letters_twice() {
        let (all, unit) = (AtSinks::default(), UnitNo(3));
        let codes = |unit| -> Vec<(String, usize)> {
            let letters = all.of(unit).into_iter().map(|letter| letter.rejection);
            letters
                .map(|letter| (letter.code, letter.also.len()))
                .collect()
        };
        let told = |code: &str, also| (code.to_owned(), also);
        all.replace(unit, 0, vec![((0, 5), refused("first", 0))]);
        all.replace(
            unit,
            1,
            vec![((0, 2), refused("second", 1)), ((0, 5), refused("both", 1))],
        );
        assert_eq!(codes(unit), [told("second", 0), told("first", 1)]);
        all.replace(unit, 1, vec![((0, 7), refused("again", 1))]);
        let now = vec![told("first", 0), told("again", 0)];
        assert_eq!((codes(unit), all.count(unit)), (now, 2));
        assert!(codes(UnitNo(4)).is_empty());
        assert_eq!(all.count(unit), 0, "it is delivered");
    }
}
