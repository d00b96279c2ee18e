//! The splits of a run: several side by side, in the source's order, each once those are read to their end that it comes
//! after.

use super::driving::drive;
use super::place::Place;
use super::task::{Begin, backfill_of};
use super::work::{Input, Shared, Work, blocking};
use crate::report::SplitReport;
use sluice_engine::Split;
use sluice_model::checkpoint::Cursor;
use sluice_model::fault::{Fault, FaultKind};
use sluice_model::guards::Guard;
use sluice_model::ids::{NameError, SplitId};
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use tokio::task::JoinSet;

/// Splits read side by side: as many as there are cores, and at most this. Stops a source of many splits from
/// opening an instance of every plugin for each.
const SPLITS_AT_ONCE_MAX: usize = 8;

/// Makes durable where splits begin that say so and have no place yet: before any of them is opened, so that what
/// changes while the others are read is in the log from there on.
pub async fn begin(shared: &Arc<Shared>, splits: &[Split]) -> Result<(), Fault> {
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
    blocking(&shared.ledger, move |ledger| {
        starts
            .iter()
            .try_for_each(|(split, place)| ledger.begin(split, place))
    })
    .await
}

/// Reads every split to its end, or to where it must stop.
pub async fn read(shared: &Arc<Shared>, splits: &[Split]) -> Result<Vec<SplitReport>, Fault> {
    let drain = shared.drain.subscribe();
    let at_once = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(SPLITS_AT_ONCE_MAX);
    shared.watch.splits(splits.len());
    let mut ended = ended_before(shared, splits).await?;
    let mut waiting: VecDeque<Split> = splits.iter().cloned().collect();
    let mut running = JoinSet::new();
    let mut done: Vec<SplitReport> = Vec::with_capacity(splits.len());
    loop {
        while running.len() < at_once && !*drain.borrow() && !must_stop(&done) {
            let is_ready = |split: &Split| split.after.iter().all(|id| ended.contains(id));
            let Some(at) = waiting.iter().position(is_ready) else {
                break;
            };
            let split = waiting.remove(at).expect("it was found there just now");
            let work = Work::split(split, shared.stages.plan.sinks.len());
            running.spawn(drive(Arc::clone(shared), work));
        }
        match running.join_next().await {
            None => return Ok(done),
            Some(Ok(report)) => {
                shared.watch.split_done();
                if report.ended {
                    ended.insert(report.split.clone());
                }
                done.push(report);
            }
            Some(Err(_)) => {
                let fault = Fault::new(
                    FaultKind::Host,
                    "a task of the host panicked; its place is held",
                );
                let nameless = "?".parse().expect("a character is a split id");
                done.push(SplitReport::stopped_at_start(nameless, fault));
            }
        }
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

/// A fault that every other split would meet too is met once.
fn must_stop(done: &[SplitReport]) -> bool {
    done.iter().any(|split| split.fault.is_some())
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
        let (id, place) = (id.clone(), encoded(start.clone()));
        blocking(&shared.ledger, move |ledger| ledger.begin(&id, &place)).await?;
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
