//! One split, driven: owns the machine of `delivery`, does what it asks through the tasks of the split, and feeds it
//! what happened. All waiting is here; every decision is the machine's.

use super::pages::Pages;
use super::reading::{self, Reading};
use super::stages::Stages;
use super::transforming::Transforming;
use super::writing::{self, Refused, Writing};
use crate::keeping::Ledger;
use crate::report::SplitReport;
use crate::schemas::Schemas;
use crate::watch::Watch;
use sluice_delivery::{
    Action, Counters, Event, PageNo, RetrySettings, Settings, SinkMode, Split as Machine, Standing,
    Start, Step, UnitNo,
};
use sluice_engine::{Sink, Split};
use sluice_model::checkpoint::Checkpoint;
use sluice_model::fault::{Fault, FaultKind};
use sluice_model::limits::PAGE_BYTES;
use sluice_model::rejection::Rejection;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Pages and bytes in flight of one split. Stops a fast source before a slow sink from filling memory.
const IN_FLIGHT_PAGES_MAX: usize = 256;
const IN_FLIGHT_UNITS: u64 = 2;
const IN_FLIGHT_PAGES_AHEAD: u64 = 4;
/// The first wait after a transient fault.
const RETRY_BASE_DELAY: Duration = Duration::from_millis(250);

/// What the splits of a run share.
pub struct Shared {
    /// Its plugins.
    pub stages: Arc<Stages>,
    /// Its schemas.
    pub schemas: Arc<Schemas>,
    /// Its part of the state store.
    pub ledger: Arc<Ledger>,
    /// Who watches.
    pub watch: Arc<Watch>,
    /// Turns true when the run should end gracefully.
    pub drain: watch::Receiver<bool>,
}

/// Runs a split to its end, or to where it must stop.
pub async fn drive(shared: Arc<Shared>, split: Split) -> SplitReport {
    let id = split.id.clone();
    let started = match Driver::start(&shared, split).await {
        Ok(driver) => driver,
        Err(fault) => return SplitReport::stopped_at_start(id, fault),
    };
    started.run().await
}

struct Driver {
    shared: Arc<Shared>,
    split: Split,
    machine: Machine,
    began: Instant,
    before: Counters,
    start: Start,
    pages: Pages,
    refused: Refused,
    events: UnboundedReceiver<Event>,
    answers: UnboundedSender<Event>,
    reader: UnboundedSender<reading::Command>,
    transformer: UnboundedSender<PageNo>,
    writers: Vec<UnboundedSender<writing::Command>>,
    /// Ends the tasks of the split when it is dropped.
    tasks: JoinSet<()>,
}

impl Driver {
    /// Opens the sinks, decides where to begin, stores that, and starts the tasks.
    async fn start(shared: &Arc<Shared>, split: Split) -> Result<Self, Fault> {
        let (answers, events) = mpsc::unbounded_channel();
        let refused = Refused::default();
        let mut opened = Vec::new();
        for sink in 0..shared.stages.plan.sinks.len() {
            let writing = Writing {
                sink,
                stages: Arc::clone(&shared.stages),
                split: split.id.clone(),
                streams: split.streams.clone(),
                schemas: Arc::clone(&shared.schemas),
                refused: refused.clone(),
                events: answers.clone(),
            };
            let (instance, committed) = writing.open().await?;
            opened.push((writing, instance, committed));
        }
        let modes = modes(&shared.stages);
        let standings: Vec<Standing> = modes
            .iter()
            .zip(&opened)
            .map(|(mode, (_, _, committed))| Standing {
                mode: *mode,
                committed: committed.clone(),
            })
            .collect();
        let (ledger, id) = (&shared.ledger, split.id.clone());
        let stored = blocking(ledger, move |ledger| ledger.checkpoint(&id)).await?;
        let resume = sluice_delivery::resume(stored.as_ref(), &standings)?;
        tell_start(&split, &resume.start);
        let (checkpoint, id) = (resume.checkpoint.clone(), split.id.clone());
        blocking(ledger, move |ledger| {
            ledger.store(&id, checkpoint, Vec::new(), Vec::new())
        })
        .await?;
        let mut tasks = JoinSet::new();
        let writers = opened
            .into_iter()
            .map(|(writing, instance, _)| spawn_writer(&mut tasks, writing, instance))
            .collect();
        let pages = Pages::default();
        let reader = spawn_reader(&mut tasks, shared, &split, &pages, &answers);
        let transformer = spawn_transformer(&mut tasks, shared, &pages, &answers);
        let machine = Machine::new(settings(&shared.stages, modes), resume.checkpoint);
        let before = machine.counters();
        Ok(Self {
            shared: Arc::clone(shared),
            split,
            machine,
            began: Instant::now(),
            before,
            start: resume.start,
            pages,
            refused,
            events,
            answers,
            reader,
            transformer,
            writers,
            tasks,
        })
    }

    async fn run(mut self) -> SplitReport {
        let first = self.before;
        let mut drain = self.shared.drain.clone();
        let mut event = Event::Start;
        loop {
            let actions = self.machine.on(self.began.elapsed(), event);
            self.count();
            for action in actions {
                match action {
                    Action::Finish { ended } => return self.over(&first, None, ended).await,
                    Action::Stop(fault) => return self.over(&first, Some(fault), false).await,
                    action => self.act(action),
                }
            }
            event = match self.next(&mut drain).await {
                Ok(event) => event,
                Err(fault) => return self.over(&first, Some(fault), false).await,
            };
        }
    }

    /// What happens next; that a task of the split has panicked ends the split.
    async fn next(&mut self, drain: &mut watch::Receiver<bool>) -> Result<Event, Fault> {
        loop {
            tokio::select! {
                biased;
                Ok(()) = drain.changed() => return Ok(Event::Drain),
                Some(event) = self.events.recv() => return Ok(event),
                Some(ended) = self.tasks.join_next() => {
                    if ended.is_err_and(|task| task.is_panic()) {
                        return Err(Fault::new(FaultKind::Host, "a task of the host panicked; its place is held"));
                    }
                }
            }
        }
    }

    fn count(&mut self) {
        let now = self.machine.counters();
        self.shared.watch.grew(&self.before, &now);
        self.before = now;
        let retries = self.machine.retries();
        self.shared.watch.now_waiting(
            retries
                .first()
                .map(|retry| format!("{}: {} ({})", self.split.id, retry.step, retry.message)),
        );
    }

    /// Waits until the tasks are gone, and their instances with them: what those did is told when they go.
    async fn over(mut self, first: &Counters, fault: Option<Fault>, ended: bool) -> SplitReport {
        self.tasks.shutdown().await;
        self.shared.watch.now_waiting(None);
        SplitReport::over(
            self.split.id,
            self.start,
            first,
            &self.machine.counters(),
            fault,
            ended,
        )
    }

    /// Hands an action to whoever does it. A task that is gone has panicked; its answer says so.
    fn act(&mut self, action: Action) {
        match action {
            Action::OpenReader { cursor } => drop(self.reader.send(reading::Command::Open(cursor))),
            Action::Read { page } => drop(self.reader.send(reading::Command::Read(page))),
            Action::Acknowledge { cursor } => {
                drop(self.reader.send(reading::Command::Acknowledge(cursor)));
            }
            Action::Transform { page } => drop(self.transformer.send(page)),
            Action::Write {
                sink,
                unit,
                pages,
                commit,
            } => {
                let batches = self.pages.batches(&pages);
                drop(self.writers[sink].send(writing::Command::Write {
                    unit,
                    batches,
                    commit,
                }));
            }
            Action::Publish { sink, unit, commit } => {
                drop(self.writers[sink].send(writing::Command::Publish { unit, commit }));
            }
            Action::ReopenSink { sink, unit } => {
                drop(self.writers[sink].send(writing::Command::Reopen { unit }));
            }
            Action::Store {
                unit,
                pages,
                checkpoint,
            } => self.store(unit, pages, checkpoint),
            Action::Release { pages } => self.pages.release(&pages),
            Action::StartLinger { unit, after } => self.later(after, Event::LingerOver { unit }),
            Action::Sleep {
                step,
                attempt,
                at_least,
                ceiling,
            } => {
                let wait = at_least.max(ceiling.mul_f64(rand::random()));
                if attempt > 0 {
                    self.tell_retry(step, attempt, wait);
                }
                self.later(wait, Event::TimerFired { step });
            }
            Action::Finish { .. } | Action::Stop(_) => {}
        }
    }

    /// Warns of the first try again, and notes the others: a bad state is entered once.
    fn tell_retry(&self, step: Step, attempt: u32, wait: Duration) {
        let (split, wait_ms) = (&self.split.id, wait.as_millis() as u64);
        let retries = self.machine.retries();
        let reason = retries
            .iter()
            .find(|retry| retry.step == step)
            .map_or("", |retry| retry.message.as_str());
        if attempt == 1 {
            tracing::warn!(%split, %step, wait_ms, reason, "trying again");
        } else {
            tracing::info!(%split, %step, attempt, wait_ms, reason, "trying again");
        }
    }

    fn later(&mut self, after: Duration, event: Event) {
        let answers = self.answers.clone();
        self.tasks.spawn(async move {
            tokio::time::sleep(after).await;
            drop(answers.send(event));
        });
    }

    fn store(
        &mut self,
        unit: Option<UnitNo>,
        pages: std::ops::Range<PageNo>,
        checkpoint: Checkpoint,
    ) {
        let mut rejections: Vec<Rejection> = Vec::new();
        if let Some(unit) = unit {
            rejections = self.pages.rejections(&pages);
            rejections.extend(self.refused.take(unit));
        }
        let (ledger, answers) = (Arc::clone(&self.shared.ledger), self.answers.clone());
        let (id, grown) = (self.split.id.clone(), self.shared.schemas.take_grown());
        self.tasks.spawn(async move {
            let stored = blocking(&ledger, move |ledger| {
                ledger.store(&id, checkpoint, rejections, grown)
            })
            .await;
            drop(answers.send(match stored {
                Ok(()) => Event::Stored,
                Err(fault) => Event::StoreFailed { fault },
            }));
        });
    }
}

/// The store blocks; it is used off the async threads.
async fn blocking<T: Send + 'static>(
    ledger: &Arc<Ledger>,
    work: impl FnOnce(&Ledger) -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let ledger = Arc::clone(ledger);
    let done = tokio::task::spawn_blocking(move || work(&ledger)).await;
    done.unwrap_or_else(|_| Err(Fault::new(FaultKind::Host, "the state store panicked")))
}

fn modes(stages: &Stages) -> Vec<SinkMode> {
    let sinks = stages.plan.sinks.iter();
    sinks
        .map(|sink| match sink.artifact.manifest.sink {
            Some(shape) if shape.transactional => SinkMode::Transactional,
            _ => SinkMode::Plain,
        })
        .collect()
}

fn settings(stages: &Stages, sinks: Vec<SinkMode>) -> Settings {
    let unit = stages.plan.unit();
    let retry = stages.plan.pipeline.delivery.retry;
    let page_bytes = u64::from(PAGE_BYTES);
    Settings {
        sinks,
        unit_bytes: unit.bytes.0,
        unit_rows: unit.rows,
        linger: unit.linger.0,
        in_flight_bytes_max: unit.bytes.0.saturating_mul(IN_FLIGHT_UNITS)
            + page_bytes * IN_FLIGHT_PAGES_AHEAD,
        in_flight_pages_max: IN_FLIGHT_PAGES_MAX,
        page_bytes,
        retry: RetrySettings {
            budget: retry.budget.0,
            base_delay: RETRY_BASE_DELAY,
            max_delay: retry.max_delay.0,
        },
    }
}

fn tell_start(split: &Split, start: &Start) {
    match start {
        Start::Beginning | Start::Checkpoint | Start::Promoted => {}
        Start::Discarded => {
            tracing::info!(split = %split.id, "the unit under way when the last run ended is read again");
        }
        Start::SinkAhead {
            sink, committed, ..
        } => tracing::warn!(
            split = %split.id,
            sink = sink + 1,
            %committed,
            "the sink is ahead of the state store, which was lost or set back; resuming from the sink"
        ),
    }
}

fn spawn_writer(
    tasks: &mut JoinSet<()>,
    writing: Writing,
    first: Sink,
) -> UnboundedSender<writing::Command> {
    let (send, commands) = mpsc::unbounded_channel();
    tasks.spawn(writing.run(first, commands));
    send
}

fn spawn_reader(
    tasks: &mut JoinSet<()>,
    shared: &Arc<Shared>,
    split: &Split,
    pages: &Pages,
    answers: &UnboundedSender<Event>,
) -> UnboundedSender<reading::Command> {
    let (send, commands) = mpsc::unbounded_channel();
    let reading = Reading {
        stages: Arc::clone(&shared.stages),
        split: split.clone(),
        schemas: Arc::clone(&shared.schemas),
        drift: shared.stages.plan.pipeline.contract.drift,
        pages: pages.clone(),
        events: answers.clone(),
    };
    tasks.spawn(reading.run(commands));
    send
}

fn spawn_transformer(
    tasks: &mut JoinSet<()>,
    shared: &Arc<Shared>,
    pages: &Pages,
    answers: &UnboundedSender<Event>,
) -> UnboundedSender<PageNo> {
    let (send, commands) = mpsc::unbounded_channel();
    let transforming = Transforming {
        stages: Arc::clone(&shared.stages),
        pages: pages.clone(),
        events: answers.clone(),
    };
    tasks.spawn(transforming.run(commands));
    send
}
