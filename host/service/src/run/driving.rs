//! One split, driven: owns the machine of `delivery`, does what it asks through the tasks of the split, and feeds it
//! what happened. All waiting is here; every decision is the machine's.

use super::pages::Pages;
use super::reading::{self, Reading};
use super::redriving::Redriving;
use super::transforming::Transforming;
use super::trying::Trying;
use super::work::{Input, Shared, Work, blocking, modes, settings, too_many};
use super::writing::{self, AtSinks, Writing};
use crate::ledger::{Seen, Unit};
use crate::report::SplitReport;
use sluice_delivery::{
    Action, Counters, Event, HalvingSettings, PageNo, SinkMode, Split as Machine, Standing, Start,
    Step, UnitNo,
};
use sluice_engine::Sink;
use sluice_model::checkpoint::{Checkpoint, Mark};
use sluice_model::fault::{Fault, FaultKind};
use sluice_model::guards::Guard;
use sluice_model::ids::SplitId;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

/// How long a commit under way is waited for where its split stops.
const STORE_SETTLES: Duration = Duration::from_secs(10);

/// Does a piece of work to its end, or to where it must stop.
pub async fn drive(shared: Arc<Shared>, work: Work) -> SplitReport {
    let id = work.id.clone();
    let started = match Driver::start(&shared, work).await {
        Ok(driver) => driver,
        Err(fault) => return SplitReport::stopped_at_start(id, fault),
    };
    started.run().await
}

struct Driver {
    shared: Arc<Shared>,
    id: SplitId,
    /// Whether its records are dead letters already.
    redrives: bool,
    machine: Machine,
    began: Instant,
    before: Counters,
    start: Start,
    pages: Pages,
    refused: AtSinks,
    /// It was told to stop gracefully.
    draining: bool,
    /// A checkpoint is on its way to the disk.
    storing: bool,
    /// It need not rest any more.
    hurry: Arc<Notify>,
    /// Why it stops once what is in flight is delivered.
    stopping: Option<Fault>,
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
    async fn start(shared: &Arc<Shared>, work: Work) -> Result<Self, Fault> {
        let (answers, events) = mpsc::unbounded_channel();
        let refused = AtSinks::default();
        let modes = modes(&shared.stages);
        let modes: Vec<SinkMode> = work.sinks.iter().map(|sink| modes[*sink]).collect();
        // Dead letters are what plugins failed on: that they fail on one after the other says nothing of the plugin.
        let redrives = matches!(work.input, Input::Letters(..));
        let halving = if redrives {
            HalvingSettings::UNBOUNDED
        } else {
            HalvingSettings::default()
        };
        let mut opened = Vec::new();
        for (at, sink) in work.sinks.iter().enumerate() {
            let writing = Writing {
                at,
                sink: *sink,
                mode: modes[at],
                stages: Arc::clone(&shared.stages),
                split: work.id.clone(),
                streams: work.streams.clone(),
                schemas: Arc::clone(&shared.schemas),
                refused: refused.clone(),
                gate: Arc::clone(&shared.gates.sinks[*sink]),
                halving,
                events: answers.clone(),
            };
            let retry = shared.stages.plan.pipeline.delivery.retry;
            let drain = shared.drain.subscribe();
            let mut trying = Trying::new(&retry, &shared.watch, drain, work.id.as_str());
            let (instance, committed) = loop {
                match writing.open().await {
                    Ok(opened) => break opened,
                    Err(fault) => trying.again(fault).await?,
                }
            };
            opened.push((writing, instance, committed));
        }
        let standings: Vec<Standing> = modes
            .iter()
            .zip(&opened)
            .map(|(mode, (_, _, committed))| Standing {
                mode: *mode,
                committed: committed.clone(),
            })
            .collect();
        let (ledger, id) = (&shared.ledger, work.id.clone());
        let stored = blocking(ledger, move |ledger| ledger.checkpoint(&id)).await?;
        let resume = sluice_delivery::resume(stored.as_ref(), &standings)?;
        tell_start(&work.id, &resume.start);
        let (checkpoint, id) = (resume.checkpoint.clone(), work.id.clone());
        blocking(ledger, move |ledger| {
            ledger.store(&id, checkpoint, Unit::default())
        })
        .await?;
        let mut tasks = JoinSet::new();
        let writers = opened
            .into_iter()
            .map(|(writing, instance, _)| spawn_writer(&mut tasks, writing, instance))
            .collect();
        let pages = Pages::default();
        let reader = spawn_reader(&mut tasks, shared, work.input, &pages, &answers);
        let transformer = spawn_transformer(&mut tasks, shared, halving, &pages, &answers);
        let machine = Machine::new(settings(&shared.stages, modes), resume.checkpoint);
        let before = machine.counters();
        Ok(Self {
            shared: Arc::clone(shared),
            id: work.id,
            redrives,
            machine,
            began: Instant::now(),
            before,
            start: resume.start,
            pages,
            refused,
            draining: false,
            storing: false,
            hurry: Arc::default(),
            stopping: None,
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
        let mut drain = self.shared.drain.subscribe();
        let mut event = Event::Start;
        loop {
            let actions = self.machine.on(self.began.elapsed(), event);
            self.count();
            for action in actions {
                match action {
                    Action::Finish { ended } => {
                        let stopping = self.stopping.take();
                        return self.over(&first, stopping, ended).await;
                    }
                    Action::Stop(fault) => return self.over(&first, Some(fault), false).await,
                    action => self.act(action),
                }
            }
            event = match self.next(&mut drain).await {
                Ok(event) => self.counted(event),
                Err(fault) => return self.over(&first, Some(fault), false).await,
            };
        }
    }

    /// What happens next; that a task of the split has panicked ends the split.
    async fn next(&mut self, drain: &mut watch::Receiver<bool>) -> Result<Event, Fault> {
        loop {
            tokio::select! {
                biased;
                Ok(_) = drain.wait_for(|drain| *drain), if !self.draining => {
                    self.draining = true;
                    return Ok(Event::Drain);
                }
                Some(event) = self.events.recv() => return Ok(event),
                Some(ended) = self.tasks.join_next() => {
                    if ended.is_err_and(|task| task.is_panic()) {
                        return Err(Fault::new(FaultKind::Host, "a task of the host panicked; its place is held"));
                    }
                }
            }
        }
    }

    /// Sinks write side by side: what they refused is counted when the machine is told, so that the last has all of it.
    fn counted(&mut self, event: Event) -> Event {
        match event {
            Event::Wrote { sink, unit, .. } => Event::Wrote {
                sink,
                unit,
                rejected: self.refused.count(unit),
            },
            Event::Stored | Event::StoreFailed { .. } => {
                self.storing = false;
                event
            }
            event => event,
        }
    }

    fn count(&mut self) {
        let now = self.machine.counters();
        self.shared.watch.grew(&self.before, &now);
        self.judge(now);
        self.before = now;
        let retries = self.machine.retries();
        let waits = retries.first().map(|retry| {
            let (split, step, message) = (&self.id, retry.step, &retry.message);
            format!("{split}: {step} ({message})")
        });
        self.shared.watch.now_waiting(self.id.as_str(), waits);
    }

    /// Holds what was settled just now against the threshold of rejections: beyond it the whole run is drained.
    fn judge(&mut self, now: Counters) {
        let settled =
            |counters: Counters| counters.written + counters.filtered + counters.dead_lettered;
        let read = settled(now) - settled(self.before);
        if read == 0 || self.redrives || self.stopping.is_some() {
            return;
        }
        let refused = now.dead_lettered - self.before.dead_lettered;
        let mut rate = self
            .shared
            .rate
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if Guard::StopWhen.bars(rate.delivered(read, refused)) {
            self.stopping = Some(too_many(&self.shared.stages, rate.share()));
            self.shared.drain.send_replace(true);
        }
    }

    /// Waits until the tasks are gone, and their instances with them: what those did is told when they go.
    async fn over(mut self, first: &Counters, fault: Option<Fault>, ended: bool) -> SplitReport {
        // What is on its way to the disk gets there all the same: it counts as what it is by then.
        self.hurry.notify_one();
        let until = tokio::time::Instant::now() + STORE_SETTLES;
        while self.storing {
            // A disk that hangs holds up no end.
            let Ok(event) = tokio::time::timeout_at(until, self.events.recv()).await else {
                break;
            };
            match event {
                Some(Event::Stored) => {
                    self.storing = false;
                    self.machine.on(self.began.elapsed(), Event::Stored);
                    self.count();
                }
                Some(Event::StoreFailed { .. }) | None => self.storing = false,
                Some(_) => {}
            }
        }
        self.tasks.shutdown().await;
        if let Some(window) = self.shared.ledger.window() {
            window.over(&self.id);
        }
        self.shared.watch.now_waiting(self.id.as_str(), None);
        self.shared.watch.abandoned(self.before.in_flight);
        SplitReport::over(
            self.id,
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
            } => self.store(unit, pages, *checkpoint),
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
        self.shared.watch.tried_again();
        let (split, wait_ms) = (&self.id, wait.as_millis() as u64);
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
        let mut about = Unit {
            grown: self.shared.schemas.take_grown(),
            ..Unit::default()
        };
        let read = self.pages.read(&pages);
        if let Some(unit) = unit {
            about.refused = self.pages.refused(&pages);
            about.refused.extend(self.refused.of(unit));
            about.letters = self.pages.letters(&pages);
            about.seen = Some(Seen {
                mark: Mark {
                    epoch: checkpoint.epoch,
                    sequence: unit.0,
                },
                digests: self.pages.digests(&pages),
            });
        }
        let (ledger, answers) = (Arc::clone(&self.shared.ledger), self.answers.clone());
        let id = self.id.clone();
        let letters = about.refused.len() as u64;
        let rests = (!self.redrives).then(|| self.shared.rest(letters, read));
        let (mut drain, hurry) = (self.shared.drain.subscribe(), Arc::clone(&self.hurry));
        self.storing = true;
        self.tasks.spawn(async move {
            if let Some(rest) = rests.flatten() {
                tokio::select! {
                    () = tokio::time::sleep(rest) => {}
                    _ = drain.wait_for(|drain| *drain) => {}
                    () = hurry.notified() => {}
                }
            }
            let stored =
                blocking(&ledger, move |ledger| ledger.store(&id, checkpoint, about)).await;
            drop(answers.send(match stored {
                Ok(()) => Event::Stored,
                Err(fault) => Event::StoreFailed { fault },
            }));
        });
    }
}

fn tell_start(split: &SplitId, start: &Start) {
    match start {
        Start::Beginning | Start::Checkpoint | Start::Promoted => {}
        Start::Discarded => {
            tracing::info!(%split, "the unit under way when the last run ended is read again");
        }
        Start::Moved => {
            tracing::info!(%split, "going on from where its place was moved to");
        }
        Start::SinkAhead {
            sink, committed, ..
        } => tracing::warn!(
            %split,
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
    input: Input,
    pages: &Pages,
    answers: &UnboundedSender<Event>,
) -> UnboundedSender<reading::Command> {
    let (send, commands) = mpsc::unbounded_channel();
    let (stages, schemas) = (Arc::clone(&shared.stages), Arc::clone(&shared.schemas));
    let (pages, events) = (pages.clone(), answers.clone());
    let again = matches!(input, Input::Again(_));
    match input {
        Input::Split(split) | Input::Again(split) => {
            let reading = Reading {
                again,
                stages,
                split,
                schemas,
                pages,
                gate: Arc::clone(&shared.gates.source),
                ledger: Arc::clone(&shared.ledger),
                watch: Arc::clone(&shared.watch),
                drain: shared.drain.subscribe(),
                events,
            };
            tasks.spawn(reading.run(commands));
        }
        Input::Letters(numbers, entry) => {
            let redriving = Redriving {
                stages,
                schemas,
                ledger: Arc::clone(&shared.ledger),
                numbers,
                entry,
                pages,
                events,
            };
            tasks.spawn(redriving.run(commands));
        }
    }
    send
}

fn spawn_transformer(
    tasks: &mut JoinSet<()>,
    shared: &Arc<Shared>,
    halving: HalvingSettings,
    pages: &Pages,
    answers: &UnboundedSender<Event>,
) -> UnboundedSender<PageNo> {
    let (send, commands) = mpsc::unbounded_channel();
    let transforming = Transforming {
        stages: Arc::clone(&shared.stages),
        halving,
        pages: pages.clone(),
        events: answers.clone(),
        alone: HashMap::new(),
    };
    tasks.spawn(transforming.run(commands));
    send
}
