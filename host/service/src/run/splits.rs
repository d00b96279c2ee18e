//! The splits of a run: several side by side, in the source's order, each once those are read to their end that it comes
//! after.

use super::driving::drive;
use super::place::Place;
use super::task::{Begin, backfill_of};
use super::work::{Input, Shared, Work, blocking};
use crate::check::{self, Shape};
use crate::report::SplitReport;
use sluice_engine::Split;
use sluice_model::checkpoint::Cursor;
use sluice_model::fault::{Fault, FaultKind};
use sluice_model::guards::Guard;
use sluice_model::ids::{NameError, SplitId, StreamName};
use sluice_model::limits::SPLITS_MAX;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;
use tokio::task::{JoinError, JoinSet};

/// Splits read side by side: as many as there are cores, and at most this. Stops a source of many splits from
/// opening an instance of every plugin for each.
const SPLITS_AT_ONCE_MAX: usize = 8;

/// Makes durable where splits begin that say so and have no place yet: before any of them is opened, so that what
/// changes while the others are read is in the log from there on.
async fn begin(shared: &Arc<Shared>, splits: &[Split]) -> Result<(), Fault> {
    let version = shared.stages.plan.source.artifact.manifest.source.cursor;
    let starts = splits.iter().filter_map(|split| {
        let place = Place {
            source: split.start.clone()?,
            version,
            document: None,
        };
        Some((split.id.clone(), place.encode()))
    });
    let starts: Vec<_> = starts.collect();
    if starts.is_empty() || !Guard::StartKept.stands() {
        return Ok(());
    }
    blocking(&shared.ledger, move |ledger| ledger.begin(&starts)).await
}

/// The splits of a run under way.
struct Reading<'a> {
    shared: &'a Arc<Shared>,
    /// All that were ever named.
    known: HashSet<SplitId>,
    /// Those that are not opened yet, in the source's order.
    waiting: VecDeque<Split>,
    /// Those that are read to their end.
    ended: HashSet<SplitId>,
    running: JoinSet<SplitReport>,
    done: Vec<SplitReport>,
}

/// Reads every split to its end, or to where it must stop, and those that the source has besides by and by. How many
/// there were.
pub async fn read(shared: &Arc<Shared>, shape: &Shape) -> Result<(Vec<SplitReport>, usize), Fault> {
    let mut reading = Reading {
        shared,
        known: HashSet::new(),
        waiting: VecDeque::new(),
        ended: HashSet::new(),
        running: JoinSet::new(),
        done: Vec::new(),
    };
    reading.take(shape.splits.clone()).await?;
    let streams = shape.streams.iter();
    let streams: Arc<[StreamName]> = streams.map(|shape| shape.stream.clone()).collect();
    let every = shared.stages.plan.pipeline.source.splits_every.0;
    let mut asked = Instant::now();
    let mut asking = JoinSet::new(); // Ends with this function.
    loop {
        reading.open();
        if reading.running.is_empty() {
            return Ok((reading.done, reading.known.len()));
        }
        tokio::select! {
            Some(joined) = reading.running.join_next() => reading.over(joined),
            Some(found) = asking.join_next() => {
                asked = Instant::now();
                match found {
                    Ok(Ok(splits)) => reading.take(splits).await?,
                    // It is asked again, and by the next run first of all.
                    Ok(Err(fault)) => tracing::warn!(reason = %fault, "the source was asked for new splits, and failed"),
                    Err(_) => tracing::warn!("a task that asked for new splits panicked"),
                }
            }
            () = tokio::time::sleep_until((asked + every).into()), if asking.is_empty() => {
                let (stages, streams) = (Arc::clone(&shared.stages), Arc::clone(&streams));
                asking.spawn(async move { check::splits(&stages, &streams).await });
            }
        }
    }
}

impl Reading<'_> {
    /// Takes in those that are new.
    async fn take(&mut self, mut splits: Vec<Split>) -> Result<(), Fault> {
        splits.retain(|split| !self.known.contains(&split.id));
        if Guard::Splits.bars(self.known.len() + splits.len() > SPLITS_MAX) {
            tracing::warn!(
                "the source names ever new splits: more than {SPLITS_MAX} of one run are left to the next"
            );
            return Ok(());
        }
        begin(self.shared, &splits).await?;
        self.ended.extend(ended_before(self.shared, &splits).await?);
        self.known
            .extend(splits.iter().map(|split| split.id.clone()));
        self.waiting.extend(splits);
        self.shared.watch.splits(self.known.len());
        Ok(())
    }

    /// Opens as many as may be read side by side.
    fn open(&mut self) {
        let at_once = std::thread::available_parallelism()
            .map_or(1, usize::from)
            .min(SPLITS_AT_ONCE_MAX);
        while self.running.len() < at_once && !self.shared.is_draining() {
            let is_ready = |split: &Split| split.after.iter().all(|id| self.ended.contains(id));
            let ready = self.waiting.iter().position(is_ready);
            let Some(split) = ready.and_then(|at| self.waiting.remove(at)) else {
                break;
            };
            let work = Work::split(split, self.shared.stages.plan.sinks.len());
            self.running.spawn(drive(Arc::clone(self.shared), work));
        }
    }

    fn over(&mut self, joined: Result<SplitReport, JoinError>) {
        let report = joined.unwrap_or_else(|_| {
            let fault = Fault::new(
                FaultKind::Host,
                "a task of the host panicked; its place is held",
            );
            let nameless = "?".parse().expect("a character is a split id");
            SplitReport::stopped_at_start(nameless, fault)
        });
        self.shared.watch.split_done();
        if report.ended {
            self.ended.insert(report.split.clone());
        }
        if let Some(fault) = report.fault.as_ref().filter(|_| Guard::SplitStops.stands()) {
            // Others may go on for ever: what is wrong with this one would be told to nobody.
            if !self.running.is_empty() {
                let reason = fault.message.as_str();
                tracing::warn!(split = %report.split, reason, "a split stopped: the others deliver what they have read, and stop");
            }
            self.shared.drain.send_replace(true);
        }
        self.done.push(report);
    }
}

/// Those that others come after and that an earlier run has read to their end.
async fn ended_before(shared: &Arc<Shared>, splits: &[Split]) -> Result<HashSet<SplitId>, Fault> {
    let first: HashSet<SplitId> = splits
        .iter()
        .flat_map(|split| split.after.clone())
        .collect();
    if first.is_empty() {
        return Ok(first);
    }
    blocking(&shared.ledger, move |ledger| ledger.ended(first)).await
}

/// Reads a split again, beside what is kept of where it is.
pub async fn read_again(
    shared: &Arc<Shared>,
    splits: &[Split],
    split: &SplitId,
    from: Begin,
) -> Result<SplitReport, Fault> {
    let Some(found) = splits.iter().find(|found| found.id == *split) else {
        let message = format!("the source has no split `{split}`");
        return Err(Fault::new(FaultKind::Misconfigured, message)
            .hint("`sluice checkpoint list` shows the splits that it had"));
    };
    let wrong = |error: NameError| Fault::new(FaultKind::Misconfigured, error.to_string());
    let id = backfill_of(split).map_err(wrong)?;
    let version = shared.stages.plan.source.artifact.manifest.source.cursor;
    let encoded = |source| {
        let place = Place {
            source,
            version,
            document: None,
        };
        place.encode()
    };
    if let (Begin::Resume, Some(start)) = (&from, &found.start) {
        let starts = [(id.clone(), encoded(start.clone()))];
        blocking(&shared.ledger, move |ledger| ledger.begin(&starts)).await?;
    }
    let place = match from {
        Begin::Resume => None,
        Begin::Start => Some(found.start.clone()),
        Begin::Place(text) => Some(Some(Cursor::from(text.into_bytes()))),
    };
    if let Some(source) = place {
        let (id, place) = (id.clone(), source.map(encoded));
        blocking(&shared.ledger, move |ledger| ledger.move_to(&id, place)).await?;
    }
    let sinks = shared.stages.plan.sinks.len();
    let work = Work {
        id,
        streams: found.streams.clone(),
        sinks: (0..sinks).collect(),
        input: Input::Again(found.clone()),
    };
    shared.watch.splits(1);
    let report = drive(Arc::clone(shared), work).await;
    shared.watch.split_done();
    Ok(report)
}
