//! One pipeline of a service: its machine, its counts, and what the machine's alerts become.

use super::jobs::JobFigures;
use super::now_ms;
use super::standing::{Event, MISCONFIGURED, Outcome, Reason, Standing, State};
use super::status::PipelineView;
use super::timetable::Timetable;
use crate::control::Pause;
use crate::dlq::Account;
use crate::watch::Watch;
use sluice_model::checkpoint::Totals;
use sluice_model::digest::Digest;
use sluice_model::ids::PipelineName;
use sluice_model::lag::Lag;
use sluice_model::schedule::Schedule;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// A pipeline's place in the service.
pub struct Seat {
    /// Its file.
    pub file: PathBuf,
    /// Its name; the file's, where that does not say one.
    pub label: String,
    /// Its name, where the file says one.
    pub name: Option<PipelineName>,
    inner: Mutex<Inner>,
    nudge: Notify,
}

struct Inner {
    standing: Standing,
    schedule: Schedule,
    /// Of the run under way.
    watch: Option<Arc<Watch>>,
    /// Of runs that are over.
    totals: Totals,
    /// Records that they read and did not settle.
    abandoned: u64,
    /// Times that they tried something again.
    retries: u64,
    /// When they last settled a record.
    settled_ms: Option<u64>,
    /// How far behind the source they were.
    lag: Vec<Lag>,
    runs: Runs,
    alerts: BTreeMap<&'static str, u64>,
    began_ms: Option<u64>,
    ended_ms: Option<u64>,
    success_ms: Option<u64>,
    /// Of the plan that ran last.
    identity: Option<Digest>,
    gone: bool,
}

/// Runs since the service began, by how they ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Runs {
    /// At the source's end.
    pub done: u64,
    /// Told to stop.
    pub drained: u64,
    /// Could not go on.
    pub failed: u64,
}

/// What the metrics say of one pipeline.
#[derive(Debug, Clone)]
pub struct Figures {
    pub pipeline: String,
    pub state: State,
    pub totals: Totals,
    pub in_flight: u64,
    pub abandoned: u64,
    pub runs: Runs,
    pub alerts: BTreeMap<&'static str, u64>,
    pub success_ms: Option<u64>,
    pub retries: u64,
    pub settled_ms: Option<u64>,
    /// How far behind its source it is, as that last said.
    pub lag: Vec<Lag>,
    /// Redrives and backfills.
    pub jobs: JobFigures,
    /// Dead letters, where they can be looked up.
    pub letters: Option<Account>,
}

impl Seat {
    /// Of a file that was found just now.
    pub fn new(file: &Path, name: Option<PipelineName>) -> Self {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        let label = name
            .as_ref()
            .map_or_else(|| stem.into_owned(), ToString::to_string);
        let once = Timetable::of(&Schedule::Once).expect("`once` can always be kept");
        Self {
            file: file.to_owned(),
            label,
            name,
            inner: Mutex::new(Inner {
                standing: Standing::new(once, now_ms()),
                schedule: Schedule::Once,
                watch: None,
                totals: Totals::default(),
                abandoned: 0,
                retries: 0,
                settled_ms: None,
                lag: Vec::new(),
                runs: Runs::default(),
                alerts: BTreeMap::new(),
                began_ms: None,
                ended_ms: None,
                success_ms: None,
                identity: None,
                gone: false,
            }),
            nudge: Notify::new(),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something happened. A bad state is told when it is entered and when it is left.
    pub fn on(&self, event: Event) {
        self.happened(&mut self.inner(), event);
        self.nudge.notify_one();
    }

    fn happened(&self, inner: &mut Inner, event: Event) {
        let alert = inner.standing.on(now_ms(), event);
        if let Some(alert) = alert {
            let (pipeline, from, to) = (&self.label, alert.from.word(), alert.to.word());
            let kind = alert.reason.as_ref().map(|reason| reason.kind.as_str());
            let reason = alert.reason.as_ref().map(|reason| reason.message.as_str());
            let mend = alert
                .reason
                .as_ref()
                .and_then(|reason| reason.mend.as_deref());
            if alert.to.is_bad() {
                *inner.alerts.entry(to).or_default() += 1;
                tracing::warn!(target: "alert", pipeline, state = to, kind, reason, mend, "a pipeline is not well");
            } else {
                tracing::info!(target: "alert", pipeline, from, state = to, "a pipeline is well again");
            }
        }
    }

    /// When it runs, as its file says it by now.
    pub fn scheduled(&self, schedule: &Schedule) {
        match Timetable::of(schedule) {
            Ok(timetable) => {
                let mut inner = self.inner();
                inner.schedule = schedule.clone();
                inner.standing.scheduled(timetable, now_ms());
            }
            Err(message) => self.on(Event::Wrong(Reason::new(MISCONFIGURED, message))),
        }
        self.nudge.notify_one();
    }

    /// Somebody has it wait.
    pub fn pause(&self, pause: &Pause) {
        let mend = format!("sluice resume {}", self.label);
        let reason = Reason::new(super::standing::TOLD, pause.told()).mend(mend);
        self.on(Event::Pause(reason));
    }

    /// Waits until something happened to it.
    pub async fn nudged(&self) {
        self.nudge.notified().await;
    }

    /// What the run under way waits for.
    pub fn waits(&self, what: Option<String>) {
        self.happened(&mut self.inner(), Event::Waits(what));
    }

    /// The run under way delivers.
    pub fn gets_on(&self) {
        self.happened(&mut self.inner(), Event::GetsOn);
    }

    /// A run begins, that this watch shows; no, where it is not to run any more.
    pub fn begins(&self, watch: &Arc<Watch>) -> bool {
        let mut inner = self.inner();
        let now = now_ms();
        if inner.gone || !inner.standing.is_due(now) {
            return false;
        }
        inner.watch = Some(Arc::clone(watch));
        inner.began_ms = Some(now);
        self.happened(&mut inner, Event::Began);
        true
    }

    /// The run is over.
    pub fn over(&self, outcome: Outcome) {
        {
            let mut inner = self.inner();
            let now = now_ms();
            inner.ended_ms = Some(now);
            if let Some(watch) = inner.watch.take() {
                let glance = watch.glance();
                inner.totals = inner.totals.plus(glance.totals);
                inner.abandoned += glance.abandoned + glance.in_flight;
                inner.retries += glance.retries;
                inner.settled_ms = glance.settled_ms.or(inner.settled_ms);
                inner.lag = last_said(watch.lag(), &inner.lag);
            }
            match outcome {
                Outcome::Done { .. } => {
                    inner.runs.done += 1;
                    inner.success_ms = Some(now);
                }
                Outcome::Drained => inner.runs.drained += 1,
                Outcome::Failed { .. } => inner.runs.failed += 1,
            }
        }
        self.on(Event::Over(outcome));
    }

    /// Its file is gone: it ends.
    pub fn leave(&self) {
        self.inner().gone = true;
        self.nudge.notify_one();
    }

    /// Whether its file is gone.
    pub fn is_gone(&self) -> bool {
        self.inner().gone
    }

    /// Whether it is to run now.
    pub fn is_due(&self) -> bool {
        self.inner().standing.is_due(now_ms())
    }

    /// How long until it is, in milliseconds.
    pub fn due_in_ms(&self) -> Option<u64> {
        let due = self.inner().standing.due_ms()?;
        Some(due.saturating_sub(now_ms()))
    }

    /// Whether the run under way is to end.
    pub fn wants_drain(&self) -> bool {
        let inner = self.inner();
        inner.gone || inner.standing.wants_drain()
    }

    /// Whether a run is under way.
    pub fn is_under_way(&self) -> bool {
        self.inner().standing.state().is_under_way()
    }

    /// The plan that ran last.
    pub fn identity(&self) -> Option<Digest> {
        self.inner().identity
    }

    /// The plan that runs now.
    pub fn is(&self, identity: Digest) {
        self.inner().identity = Some(identity);
    }

    /// What it does, and why.
    pub fn stands(&self) -> (State, Option<Reason>) {
        let inner = self.inner();
        (inner.standing.state(), inner.standing.reason().cloned())
    }

    /// What the metrics say.
    pub fn figures(&self) -> Figures {
        let inner = self.inner();
        let glance = inner.watch.as_ref().map(|watch| watch.glance());
        let glance = glance.unwrap_or_default();
        let lag = inner.watch.as_ref().map(|watch| watch.lag());
        Figures {
            pipeline: self.label.clone(),
            state: inner.standing.state(),
            totals: inner.totals.plus(glance.totals),
            in_flight: glance.in_flight,
            abandoned: inner.abandoned + glance.abandoned,
            runs: inner.runs,
            alerts: inner.alerts.clone(),
            success_ms: inner.success_ms,
            retries: inner.retries + glance.retries,
            settled_ms: glance.settled_ms.or(inner.settled_ms),
            lag: last_said(lag.unwrap_or_default(), &inner.lag),
            jobs: JobFigures::default(),
            letters: None,
        }
    }

    /// What people are shown.
    pub fn view(&self) -> PipelineView {
        let figures = self.figures();
        let inner = self.inner();
        let reason = inner.standing.reason();
        PipelineView {
            pipeline: self.label.clone(),
            file: crate::deployment::shown(&self.file),
            schedule: inner.schedule.to_string(),
            state: Some(inner.standing.state()),
            kind: reason.map(|reason| reason.kind.clone()),
            reason: reason.map(|reason| reason.message.clone()),
            mend: reason.and_then(|reason| reason.mend.clone()),
            since_ms: Some(inner.standing.since_ms()),
            last_run_ms: inner.began_ms,
            last_success_ms: inner.success_ms,
            next_run_ms: inner.standing.due_ms(),
            runs: figures.runs.done + figures.runs.drained + figures.runs.failed,
            failed_runs: figures.runs.failed,
            totals: figures.totals,
            in_flight: figures.in_flight,
            lag: figures.lag,
        }
    }
}

/// A run that has said nothing yet is as far behind as the one before it was.
fn last_said(now: Vec<Lag>, before: &[Lag]) -> Vec<Lag> {
    if now.is_empty() { before.to_vec() } else { now }
}
