//! A run: the plan's plugins, the state store and the splits, from the first question to the report.

mod driving;
mod pages;
mod place;
mod reading;
pub mod stages;
mod transforming;
mod writing;

use crate::Error;
use crate::audit::Audit;
use crate::auditing::{Auditor, Purpose};
use crate::check::{self, Checked, Shape};
use crate::keeping::Keeping;
use crate::plan::Plan;
use crate::report::{Ending, Refused, RunReport, SplitReport};
use crate::schemas::Schemas;
use crate::trial::{self, Recorder};
use crate::watch::Watch;
use driving::{Shared, drive};
use sluice_model::checkpoint::Totals;
use sluice_model::fault::{Fault, FaultKind};
use sluice_model::limits::AUDIT_WINDOW;
use stages::Stages;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use place::Place;

/// Splits read side by side: as many as there are cores, and at most this. Stops a source of many splits from
/// opening an instance of every plugin for each.
const SPLITS_AT_ONCE_MAX: usize = 8;

/// Everything that can be wrong with a pipeline, before it runs: instantiates its plugins and asks them.
pub async fn check(plan: Plan) -> Result<Checked, Error> {
    let plan = Arc::new(plan);
    let auditor = Arc::new(Auditor::new(Arc::default(), None));
    let outcome = checked(&plan, &auditor).await;
    auditor.end(outcome.as_ref().map(|_| None))?;
    outcome
}

async fn checked(plan: &Arc<Plan>, auditor: &Arc<Auditor>) -> Result<Checked, Error> {
    let stages = Stages::load(Arc::clone(plan), Arc::clone(auditor)).await?;
    let keeping = Keeping::open_if_there(&plan.deployment)?.map(Arc::new);
    let audit = Audit::open(&plan.deployment)?;
    auditor.begin(plan, audit, keeping.clone(), Purpose::Check)?;
    let fixed = match &keeping {
        Some(keeping) => keeping.schemas(plan.name())?,
        None => std::collections::BTreeMap::new(),
    };
    let shape = check::shape(&stages, &fixed).await?;
    check::sinks(&stages, &shape).await?;
    let all = [&plan.source]
        .into_iter()
        .chain(&plan.transforms)
        .chain(&plan.sinks);
    Ok(Checked {
        pipeline: plan.name().to_string(),
        stages: all
            .map(|stage| {
                format!(
                    "{} {}",
                    stage.label(),
                    stage.artifact.manifest.plugin.version
                )
            })
            .collect(),
        unsigned: plan.unsigned(),
        streams: shape.streams,
        splits: shape.splits.len(),
        guarantee: plan.guarantee,
    })
}

/// Runs a pipeline once, to the end of its source, or until `drain` turns true. Ends at once, its places held, when
/// what its plugins do can no longer be audited. With `record`, what they did of what they are granted is written
/// there.
pub async fn run(
    plan: Plan,
    watch: Arc<Watch>,
    drain: watch::Receiver<bool>,
    record: Option<&Path>,
) -> Result<RunReport, Error> {
    let plan = Arc::new(plan);
    let recorder = record.map(|_| Arc::new(Recorder::default()));
    let auditor = Arc::new(Auditor::new(Arc::clone(&watch), recorder.clone()));
    let outcome = tokio::select! {
        outcome = go(&plan, &auditor, watch, drain) => outcome,
        unaudited = Arc::clone(&auditor).keep_writing(AUDIT_WINDOW) => return Err(unaudited),
    };
    let ending = Arc::clone(&auditor);
    let (outcome, ended) = tokio::task::spawn_blocking(move || {
        let ended = ending.end(outcome.as_ref().map(Some));
        (outcome, ended)
    })
    .await
    .map_err(|_| Error::Host("the audit panicked".to_owned()))?;
    if let (Some(recorder), Some(file)) = (recorder, record) {
        trial::write(&recorder.record(&plan), file)?;
    }
    // What the run itself met comes first.
    outcome.and_then(|report| ended.map(|()| report))
}

async fn go(
    plan: &Arc<Plan>,
    auditor: &Arc<Auditor>,
    watch: Arc<Watch>,
    drain: watch::Receiver<bool>,
) -> Result<RunReport, Error> {
    let began = Instant::now();
    let unsigned = plan.unsigned();
    if !unsigned.is_empty() {
        tracing::warn!(pipeline = %plan.name(), plugins = unsigned.join(", "), "plugins that nobody vouches for");
    }
    // Opening the store and loading the plugins take the longest, and know nothing of each other.
    let opening = {
        let (plan, auditor) = (Arc::clone(plan), Arc::clone(auditor));
        tokio::task::spawn_blocking(move || {
            let keeping = Arc::new(Keeping::open(&plan.deployment)?);
            let audit = Audit::open(&plan.deployment)?;
            auditor.begin(&plan, audit, Some(Arc::clone(&keeping)), Purpose::Run)?;
            Ok::<_, Error>(keeping)
        })
    };
    let loaded = Stages::load(Arc::clone(plan), Arc::clone(auditor)).await;
    // No plugin is entered before this: what runs is written down.
    let opened = opening
        .await
        .map_err(|_| Error::Host("the state store panicked while it was opened".to_owned()))?;
    let keeping = opened?;
    let stages = Arc::new(loaded?.identify(keeping.row_key(plan.name())?));
    let fixed = keeping.schemas(plan.name())?;
    let shape = check::shape(&stages, &fixed).await?;
    let all = [&plan.source]
        .into_iter()
        .chain(&plan.transforms)
        .chain(&plan.sinks);
    let plugins = all
        .map(|stage| (stage.id, stage.artifact.manifest.plugin.name.clone()))
        .collect();
    let ledger = Arc::new(keeping.ledger(plan.name(), plugins));
    ledger.fix(&shape.streams)?;
    let shared = Arc::new(Shared {
        schemas: Arc::new(Schemas::new(plan.pipeline.contract.drift, shape.ends())),
        stages,
        ledger,
        watch: Arc::clone(&watch),
        drain: drain.clone(),
    });
    let reading = Instant::now();
    let splits = splits(&shared, &shape, &drain).await;
    let report = report(&shared, shape, splits, reading.elapsed().as_secs_f64());
    tracing::info!(pipeline = %plan.name(), seconds = began.elapsed().as_secs_f64(), "run over");
    Ok(report)
}

/// Every split, several side by side, in the source's order.
async fn splits(
    shared: &Arc<Shared>,
    shape: &Shape,
    drain: &watch::Receiver<bool>,
) -> Vec<SplitReport> {
    let at_once = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(SPLITS_AT_ONCE_MAX);
    shared.watch.splits(shape.splits.len());
    let mut waiting = shape.splits.iter().cloned();
    let mut running = JoinSet::new();
    let mut done = Vec::with_capacity(shape.splits.len());
    loop {
        while running.len() < at_once && !*drain.borrow() && !must_stop(&done) {
            let Some(split) = waiting.next() else { break };
            running.spawn(drive(Arc::clone(shared), split));
        }
        match running.join_next().await {
            None => return done,
            Some(Ok(report)) => {
                shared.watch.split_done();
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

/// A fault that every other split would meet too is met once.
fn must_stop(done: &[SplitReport]) -> bool {
    done.iter().any(|split| split.fault.is_some())
}

fn report(shared: &Shared, shape: Shape, splits: Vec<SplitReport>, seconds: f64) -> RunReport {
    let totals = splits
        .iter()
        .fold(Totals::default(), |sum, split| sum.plus(split.totals));
    let ending = if splits.iter().any(|split| split.fault.is_some()) {
        Ending::Stopped
    } else if splits.len() == shape.splits.len() && splits.iter().all(|split| split.ended) {
        Ending::Done
    } else {
        Ending::Drained
    };
    let refused = shared.watch.refusals();
    RunReport {
        pipeline: shared.stages.plan.name().clone(),
        ending,
        guarantee: shared.stages.plan.guarantee,
        totals,
        in_flight: splits.iter().map(|split| split.in_flight).sum(),
        discarded_values: shared.schemas.discarded_values(),
        seconds,
        dead_letters: shared.ledger.codes(),
        refused: refused
            .into_iter()
            .map(|(stage, refusal, times)| Refused {
                stage,
                refusal,
                times,
            })
            .collect(),
        streams: shape.streams,
        splits,
    }
}
