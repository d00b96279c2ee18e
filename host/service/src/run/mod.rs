//! A run: the plan's plugins, the state store and the splits, from the first question to the report.

mod dedupe;
mod driving;
mod expiring;
mod gate;
mod pages;
mod parts;
mod place;
mod quarantine;
mod reading;
mod redrive;
mod redriving;
mod splits;
pub mod stages;
mod task;
mod transforming;
mod trying;
mod work;
mod writing;

use crate::Error;
use crate::auditing::Auditor;
use crate::check::{self, Checked, Shape};
use crate::host::Host;
use crate::keeping::{Keeping, LetterFilter};
use crate::ledger::Room;
use crate::plan::Plan;
use crate::redact::Hidden;
use crate::report::{Ending, Refused, RunReport, SplitReport};
use crate::schemas::Schemas;
use crate::trial::{self, Recorder};
use crate::watch::Watch;
use expiring::Expiring;
use sluice_model::checkpoint::Totals;
use sluice_model::fault::{Fault, FaultKind};
use sluice_model::ids::StreamName;
use sluice_model::limits::AUDIT_WINDOW;
use sluice_model::schema::Schema;
use stages::Stages;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::sync::watch;
use tokio::task::JoinSet;
use trying::Trying;
use work::{Gates, Shared};

pub use crate::auditing::Purpose;
pub use dedupe::Window;
pub use pages::Refused as RefusedRecord;
pub use place::Place;
pub use redrive::Chosen;
pub use redriving::Entry;
pub use task::{Begin, Task};

/// Everything that can be wrong with a pipeline, before it runs: instantiates its plugins and asks them.
pub async fn check(host: &Host, plan: Plan) -> Result<Checked, Error> {
    let plan = Arc::new(plan);
    let auditor = Arc::new(Auditor::new(Arc::default(), None));
    let outcome = checked(host, &plan, &auditor).await;
    auditor.end(outcome.as_ref().map(|_| None))?;
    outcome
}

async fn checked(host: &Host, plan: &Arc<Plan>, auditor: &Arc<Auditor>) -> Result<Checked, Error> {
    let stages = Stages::load(host, Arc::clone(plan), Arc::clone(auditor)).await?;
    let keeping = host.keeping_if_there()?;
    auditor.begin(plan, host.audit()?, keeping.clone(), Purpose::Check)?;
    let fixed = match &keeping {
        Some(keeping) => keeping.schemas(plan.name())?,
        None => BTreeMap::new(),
    };
    let shape = check::shape(&stages, &fixed, false).await?;
    check::sinks(&stages, &shape).await?;
    let all = plan.stages();
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

/// How a run is watched, and how it is ended before its source's end.
pub struct How {
    /// Who watches.
    pub watch: Arc<Watch>,
    /// Turns true when it should end gracefully: what is read is delivered.
    pub drain: watch::Receiver<bool>,
    /// Turns true when it must end at once, its places held.
    pub cut: watch::Receiver<bool>,
    /// Whether its process is its own.
    pub purpose: Purpose,
    /// What it is for.
    pub task: Task,
}

impl How {
    /// Of a process that does nothing else.
    pub fn alone(watch: Arc<Watch>, drain: watch::Receiver<bool>) -> Self {
        let (_, cut) = watch::channel(false);
        Self {
            watch,
            drain,
            cut,
            purpose: Purpose::Run,
            task: Task::Source,
        }
    }
}

/// Runs a pipeline once, to the end of what it is for, or until `drain` turns true. Ends at once, its places held, when
/// what its plugins do can no longer be audited. With `record`, what they did of what they are granted is written
/// there.
pub async fn run(
    host: &Arc<Host>,
    plan: Plan,
    how: How,
    record: Option<&Path>,
) -> Result<RunReport, Error> {
    let plan = Arc::new(plan);
    let recorder = record.map(|_| Arc::new(Recorder::default()));
    let auditor = Arc::new(Auditor::new(Arc::clone(&how.watch), recorder.clone()));
    let mut cut = how.cut.clone();
    let outcome = tokio::select! {
        outcome = go(host, &plan, &auditor, &how) => outcome,
        unaudited = Arc::clone(&auditor).keep_writing(AUDIT_WINDOW) => return Err(unaudited),
        Ok(_) = cut.wait_for(|cut| *cut) => Err(cut_off(&plan)),
    };
    let ending = Arc::clone(&auditor);
    let (outcome, ended) = tokio::task::spawn_blocking(move || {
        let ended = ending.end(outcome.as_ref().map(Some));
        (outcome, ended)
    })
    .await
    .map_err(|_| Error::Host("the audit panicked".to_owned()))?;
    let recorded = match (recorder, record) {
        (Some(recorder), Some(file)) => trial::write(&recorder.record(&plan), file),
        _ => Ok(()),
    };
    // What the run itself met comes first.
    outcome.and_then(|report| ended.and(recorded).map(|()| report))
}

/// What is told of a run that was not over when the time to drain was.
fn cut_off(plan: &Plan) -> Error {
    let fault = Fault::new(
        FaultKind::Transient { retry_after: None },
        "was still under way when it had to stop; its places are held",
    );
    Error::failed(plan.name().to_string(), fault)
}

/// Warns of plugins that nobody vouches for.
pub(crate) fn tell_unsigned(plan: &Plan) {
    let unsigned = plan.unsigned();
    if !unsigned.is_empty() {
        tracing::warn!(pipeline = %plan.name(), plugins = unsigned.join(", "), "plugins that nobody vouches for");
    }
}

async fn go(
    host: &Arc<Host>,
    plan: &Arc<Plan>,
    auditor: &Arc<Auditor>,
    how: &How,
) -> Result<RunReport, Error> {
    let began = Instant::now();
    if how.purpose == Purpose::Run {
        tell_unsigned(plan);
    }
    // Opening the store and loading the plugins take the longest, and know nothing of each other.
    let opening = {
        let (host, plan, auditor) = (Arc::clone(host), Arc::clone(plan), Arc::clone(auditor));
        let purpose = how.purpose;
        tokio::task::spawn_blocking(move || {
            let keeping = host.keeping()?;
            let audit = host.audit()?;
            let _beginning = host.beginning();
            auditor.begin(&plan, audit, Some(Arc::clone(&keeping)), purpose)?;
            Ok::<_, Error>(keeping)
        })
    };
    let loaded = Stages::load(host, Arc::clone(plan), Arc::clone(auditor)).await;
    // No plugin is entered before this: what runs is written down.
    let opened = opening
        .await
        .map_err(|_| Error::Host("the state store panicked while it was opened".to_owned()))?;
    let keeping = opened?;
    quarantine::check(&keeping, plan)?;
    let stages = Arc::new(loaded?.identify(keeping.row_key(plan.name())?));
    let fixed = keeping.schemas(plan.name())?;
    let chosen = match &how.task {
        Task::Redrive { filter, .. } => Some(choose(host, &keeping, plan, filter.clone()).await?),
        _ => None,
    };
    let retry = plan.pipeline.delivery.retry;
    let mut trying = Trying::new(&retry, &how.watch, how.drain.clone(), "");
    let shape = loop {
        match shape(&stages, &fixed, chosen.as_ref()).await {
            Ok(shape) => break shape,
            Err(error) => trying.again(error).await?,
        }
    };
    drop(trying);
    let audit = host.audit()?;
    let ledger = keeping
        .ledger(plan, Room::of(&keeping, &audit, plan))
        .remembering(plan)?;
    let (inside, _) = watch::channel(false);
    let mut relaying = JoinSet::new(); // Ends with this function.
    relaying.spawn(relay(how.drain.clone(), inside.clone()));
    // Not from under a redrive: it has chosen its letters.
    if let Some(keep) = plan.pipeline.dlq.keep
        && chosen.is_none()
    {
        let (keeping, plan) = (Arc::clone(&keeping), Arc::clone(plan));
        let expiring = Expiring {
            keeping,
            audit,
            plan,
            keep: keep.0,
        };
        expiring.once().await;
        relaying.spawn(expiring.on_and_on());
    }
    if matches!(how.task, Task::Source) {
        ledger.has_room()?;
    }
    ledger.fix(&shape.streams, &fixed)?;
    let shared = Arc::new(Shared {
        schemas: Arc::new(Schemas::new(plan.pipeline.contract.drift, shape.ends())),
        gates: Gates::of(&stages),
        rate: Mutex::new(work::rate(&stages)),
        stages,
        ledger: Arc::new(ledger),
        watch: Arc::clone(&how.watch),
        drain: inside,
        has_neighbours: how.purpose == Purpose::Served,
        flood: Mutex::default(),
    });
    let reading = Instant::now();
    let (splits, wanted) = done(&shared, &shape, &how.task, chosen).await?;
    let report = report(
        &shared,
        shape,
        splits,
        wanted,
        reading.elapsed().as_secs_f64(),
    );
    // What was sent again was what plugins fail on.
    if !matches!(how.task, Task::Redrive { .. }) {
        quarantine::keep(&keeping, plan, &report)?;
    }
    tracing::info!(pipeline = %plan.name(), seconds = began.elapsed().as_secs_f64(), "run over");
    Ok(report)
}

/// The dead letters that a redrive sends.
async fn choose(
    host: &Arc<Host>,
    keeping: &Arc<Keeping>,
    plan: &Arc<Plan>,
    filter: LetterFilter,
) -> Result<Chosen, Error> {
    let (host, keeping, plan) = (Arc::clone(host), Arc::clone(keeping), Arc::clone(plan));
    let choosing = move || {
        let hidden = Hidden::of(host.deployment())?;
        let sinks = plan.sinks.iter();
        let sinks: Vec<_> = sinks
            .map(|sink| sink.artifact.manifest.plugin.name.clone())
            .collect();
        keeping.choose(&hidden, plan.name(), &filter, &sinks)
    };
    let chosen = tokio::task::spawn_blocking(choosing).await;
    chosen.map_err(|_| Error::Host("the state store panicked".to_owned()))?
}

/// What is known before the first record. Of dead letters it mostly is known already: their source may be away.
async fn shape(
    stages: &Stages,
    fixed: &BTreeMap<StreamName, Arc<Schema>>,
    chosen: Option<&Chosen>,
) -> Result<Shape, Error> {
    if let Some(chosen) = chosen
        && let Some(kept) = check::kept(stages, &chosen.streams(), fixed).await?
    {
        return Ok(kept);
    }
    check::shape(stages, fixed, chosen.is_none()).await
}

/// Does what the run is for. How many splits there would be, were all done.
async fn done(
    shared: &Arc<Shared>,
    shape: &Shape,
    task: &Task,
    chosen: Option<Chosen>,
) -> Result<(Vec<SplitReport>, usize), Error> {
    match task {
        Task::Source => Ok(splits::read(shared, shape).await?),
        Task::Redrive { entry, .. } => {
            let chosen = chosen.unwrap_or_default();
            let groups = chosen.groups();
            Ok((redrive::send(shared, chosen, *entry).await, groups))
        }
        Task::Backfill { split, from } => {
            let report = splits::read_again(shared, &shape.splits, split, from.clone()).await?;
            Ok((vec![report], 1))
        }
    }
}

/// Tells those inside when they are told from outside to stop gracefully.
async fn relay(mut from_outside: watch::Receiver<bool>, inside: watch::Sender<bool>) {
    if from_outside.wait_for(|drain| *drain).await.is_ok() {
        inside.send_replace(true);
    }
}

fn report(
    shared: &Shared,
    shape: Shape,
    splits: Vec<SplitReport>,
    wanted: usize,
    seconds: f64,
) -> RunReport {
    let totals = splits
        .iter()
        .fold(Totals::default(), |sum, split| sum.plus(split.totals));
    let ending = if splits.iter().any(|split| split.fault.is_some()) {
        Ending::Stopped
    } else if splits.len() == wanted && splits.iter().all(|split| split.ended) {
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
