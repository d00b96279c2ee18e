//! What people have a service do beside its schedules: redrives and backfills. One at a time for each pipeline; it runs
//! beside the pipeline's own run, with checkpoints of its own.

use super::board::{Board, Phase};
use super::files;
use crate::host::Host;
use crate::report::{Ending, RunReport};
use crate::run::{How, Purpose, Task};
use crate::watch::Watch;
use crate::{Error, plan, run};
use serde::{Deserialize, Serialize};
use sluice_model::checkpoint::Totals;
use sluice_model::guards::Guard;
use sluice_model::ids::PipelineName;
use sluice_model::tomlfile::FileError;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinError;

/// How a job is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct JobView {
    /// Whether it is over.
    pub over: bool,
    /// Records read so far, and what became of those that are settled.
    pub totals: Totals,
    /// Whether it came to its end.
    pub done: bool,
    /// Why it did not.
    pub fault: Option<String>,
    /// What the command that asked for it ends with: see [`Error::exit_code`].
    pub code: u8,
}

/// What the metrics say of a pipeline's redrives and backfills.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JobFigures {
    /// Under way: one or none.
    pub under_way: u64,
    /// Those that came to their end.
    pub done: u64,
    /// Those that did not.
    pub failed: u64,
    /// Records settled by all of them.
    pub settled: u64,
}

struct Job {
    watch: Arc<Watch>,
    outcome: Option<JobView>,
    /// Of those before it, and of itself once it is over.
    figures: JobFigures,
}

/// The jobs of a service, the last one of each pipeline.
pub struct Jobs {
    all: Mutex<BTreeMap<PipelineName, Job>>,
    /// Where they run: whoever asks for one has a thread of its own.
    runtime: Handle,
    under_way: watch::Sender<usize>,
}

impl Jobs {
    pub(super) fn new(runtime: Handle) -> Self {
        Self {
            all: Mutex::default(),
            runtime,
            under_way: watch::Sender::new(0),
        }
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<PipelineName, Job>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins one.
    pub fn start(
        host: &Arc<Host>,
        board: &Arc<Board>,
        pipeline: &PipelineName,
        file: PathBuf,
        task: Task,
    ) -> Result<(), Error> {
        let jobs = board.jobs();
        if Guard::JobDraining.bars(board.phase() == Phase::Draining) {
            let problem = FileError::new("arguments", "the service is ending");
            return Err(problem.hint("run the command again once it is over").into());
        }
        let watch = Arc::new(Watch::default());
        let mut all = jobs.all();
        let is_busy = all.get(pipeline).is_some_and(|job| job.outcome.is_none());
        if Guard::OneJob.bars(is_busy) {
            let message = format!("a redrive or backfill of `{pipeline}` is under way");
            let problem = FileError::new("arguments", message);
            return Err(problem.hint("wait until it is over").into());
        }
        let job = Job {
            watch: Arc::clone(&watch),
            outcome: None,
            figures: all.get(pipeline).map(|job| job.figures).unwrap_or_default(),
        };
        all.insert(pipeline.clone(), job);
        drop(all);
        jobs.under_way.send_modify(|jobs| *jobs += 1);
        let (host, board, name) = (Arc::clone(host), Arc::clone(board), pipeline.clone());
        let work = running(host, Arc::clone(&board), file, task, watch);
        jobs.runtime.spawn(async move {
            let joined = tokio::spawn(work).await;
            let jobs = board.jobs();
            if let Some(job) = jobs.all().get_mut(&name) {
                job.over(joined);
            }
            jobs.under_way.send_modify(|jobs| *jobs -= 1);
        });
        Ok(())
    }

    /// What the metrics say of them.
    pub(super) fn figures(&self, pipeline: &PipelineName) -> JobFigures {
        let all = self.all();
        let Some(job) = all.get(pipeline) else {
            return JobFigures::default();
        };
        let mut figures = job.figures;
        if job.outcome.is_none() {
            figures.under_way = 1;
            figures.settled += job.watch.glance().totals.settled();
        }
        figures
    }

    /// How the last job of a pipeline is; none where there was none.
    pub fn view(&self, pipeline: &PipelineName) -> Option<JobView> {
        let all = self.all();
        let job = all.get(pipeline)?;
        Some(job.outcome.clone().unwrap_or_else(|| JobView {
            totals: job.watch.glance().totals,
            ..JobView::default()
        }))
    }

    /// Whether one of this pipeline is under way.
    pub fn is_under_way(&self, pipeline: &PipelineName) -> bool {
        let all = self.all();
        all.get(pipeline).is_some_and(|job| job.outcome.is_none())
    }

    /// Until none is under way.
    pub(super) async fn over(&self) {
        let mut under_way = self.under_way.subscribe();
        let _ = under_way.wait_for(|jobs| *jobs == 0).await; // The sender is `self`.
    }
}

async fn running(
    host: Arc<Host>,
    board: Arc<Board>,
    file: PathBuf,
    task: Task,
    watch: Arc<Watch>,
) -> Result<RunReport, Error> {
    let plan = {
        let host = Arc::clone(&host);
        super::off_the_workers(move || {
            let plan = plan::make_to_run(&file)?;
            files::must_be_of(&host, &plan)?;
            Ok(plan)
        })
        .await?
    };
    let (drain, drains) = watch::channel(false);
    let (cut, cuts) = watch::channel(false);
    let how = How {
        watch,
        drain: drains,
        cut: cuts,
        purpose: Purpose::Served,
        task,
    };
    let time = host.deployment().settings.service.drain.0;
    let mut phases = board.phases();
    let ending = async {
        let _ = phases.wait_for(|phase| *phase == Phase::Draining).await;
        drain.send_replace(true);
        tokio::time::sleep(time).await;
        board.cut_off();
        cut.send_replace(true);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        outcome = run::run(&host, plan, how, None) => outcome,
        () = ending => Err(Error::Host("a word that never comes".to_owned())),
    }
}

impl Job {
    /// It is over, and so it came out.
    fn over(&mut self, joined: Result<Result<RunReport, Error>, JoinError>) {
        let totals = self.watch.glance().totals;
        let failed = |error: &Error| JobView {
            over: true,
            totals,
            fault: Some(error.to_string()),
            code: error.exit_code(),
            done: false,
        };
        let view = match joined {
            Ok(Ok(report)) => JobView::of(&report),
            Ok(Err(error)) => failed(&error),
            Err(_) => {
                let message = "a task of the host panicked; its place is held";
                failed(&Error::Host(message.to_owned()))
            }
        };
        self.figures.done += u64::from(view.done);
        self.figures.failed += u64::from(!view.done);
        self.figures.settled += totals.settled();
        self.outcome = Some(view);
    }
}

impl JobView {
    /// Of a run that is over.
    pub fn of(report: &RunReport) -> Self {
        let faults = report
            .splits
            .iter()
            .filter_map(|split| split.fault.as_ref());
        Self {
            over: true,
            totals: report.totals,
            done: report.ending == Ending::Done,
            fault: faults.map(ToString::to_string).next(),
            // One that was told to stop has not done what was asked.
            code: report
                .exit_code()
                .max(u8::from(report.ending != Ending::Done)),
        }
    }
}
