//! Does what a pipeline's machine decides: waits for its time, runs it, ends its run. A panic in a run is caught here,
//! and is that pipeline's alone.

use super::board::{Board, Phase};
use super::files::{self, identity};
use super::seat::Seat;
use super::standing::{Outcome, Reason};
use crate::host::Host;
use crate::report::{Ending, RunReport};
use crate::run::{How, Purpose, Task};
use crate::watch::Watch;
use crate::{Error, plan, run};
use sluice_model::fault::FaultKind;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinError;
use tracing::Instrument as _;

/// How often a run is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The longest sleep before the clock is looked at again: it may be set, and machines sleep.
const SLEEP_MOST: Duration = Duration::from_secs(30);
/// What is left of a run that was cut off lets go of what it held.
const CUT_SETTLES: Duration = Duration::from_secs(1);

/// Tends a pipeline until its file is gone or the service ends.
pub async fn tend(host: Arc<Host>, board: Arc<Board>, seat: Arc<Seat>) {
    let mut phases = board.phases();
    loop {
        if seat.is_gone() || *phases.borrow_and_update() == Phase::Draining {
            return;
        }
        if seat.is_due() {
            one(&host, &board, &seat).await;
            continue;
        }
        let wait = seat.due_in_ms().map_or(SLEEP_MOST, Duration::from_millis);
        tokio::select! {
            () = tokio::time::sleep(wait.min(SLEEP_MOST)) => {}
            () = seat.nudged() => {}
            _ = phases.changed() => {}
        }
    }
}

/// One run, from the plan to what it means for the pipeline.
async fn one(host: &Arc<Host>, board: &Arc<Board>, seat: &Arc<Seat>) {
    let watch = Arc::new(Watch::default());
    let (drain, drains) = watch::channel(false);
    let (cut, cuts) = watch::channel(false);
    let how = How {
        watch: Arc::clone(&watch),
        drain: drains,
        cut: cuts,
        purpose: Purpose::Served,
        task: Task::Source,
    };
    // Two files may have been one pipeline's, one after the other: the older one's run ends first.
    let _turn = match &seat.name {
        Some(name) => Some(board.turn(name).lock_owned().await),
        None => None,
    };
    if !seat.begins(&watch) {
        return;
    }
    let span = tracing::info_span!("run", pipeline = seat.label);
    let work = running(Arc::clone(host), Arc::clone(board), Arc::clone(seat), how).instrument(span);
    let mut work = tokio::spawn(work);
    let time = host.deployment().settings.service.drain.0;
    let mut phases = board.phases();
    let mut drained: Option<Instant> = None;
    let joined = loop {
        let ends = seat.wants_drain() || *phases.borrow_and_update() == Phase::Draining;
        if ends && drained.is_none() {
            drained = Some(Instant::now());
            let _ = drain.send(true); // Where nobody listens, the run is over already.
        }
        if drained.is_some_and(|since| since.elapsed() > time) && !*cut.borrow() {
            tracing::warn!(
                pipeline = seat.label,
                "the time to drain is over: the run is cut off, its places are held"
            );
            if board.phase() == Phase::Draining {
                board.cut_off();
            }
            let _ = cut.send(true); // The same.
        }
        tokio::select! {
            joined = &mut work => break joined,
            () = tokio::time::sleep(LOOK_EVERY) => {
                let waiting = watch.waiting();
                let gets_on = waiting.is_none() && watch.glance().settled_ms.is_some();
                seat.waits(waiting);
                if gets_on {
                    seat.gets_on();
                }
            }
            () = seat.nudged() => {}
            _ = phases.changed() => {}
        }
    };
    if *cut.borrow() {
        tokio::time::sleep(CUT_SETTLES).await;
    }
    match &joined {
        Ok(Ok(report)) => board.troubled(seat, report.host_fault()),
        Ok(Err(Error::Host(message))) => board.troubled(seat, Some(message.clone())),
        Ok(Err(_)) | Err(_) => board.troubled(seat, None),
    }
    seat.over(outcome(joined));
}

async fn running(
    host: Arc<Host>,
    board: Arc<Board>,
    seat: Arc<Seat>,
    how: How,
) -> Result<RunReport, Error> {
    let plan = {
        let host = Arc::clone(&host);
        super::off_the_workers(move || {
            files::must_be_first(&board, &seat)?;
            let plan = plan::make_to_run(&seat.file)?;
            files::must_be_of(&host, &plan)?;
            let identity = identity(&plan);
            if seat.identity() != Some(identity) {
                run::tell_unsigned(&plan);
            }
            seat.is(identity);
            Ok(plan)
        })
        .await?
    };
    run::run(&host, plan, how, None).await
}

/// What a run's end means for its pipeline.
fn outcome(joined: Result<Result<RunReport, Error>, JoinError>) -> Outcome {
    let failed = |reason, may_pass| Outcome::Failed {
        reason,
        may_pass,
        progressed: false,
    };
    match joined {
        Ok(Ok(report)) => reported(&report),
        Ok(Err(Error::Wrong(problems))) => failed(files::wrong(&problems), false),
        Ok(Err(Error::Failed { fault, .. })) => Outcome::of(&fault, false),
        // A disk that is full, a copy that cannot be reached: that may pass.
        Ok(Err(error @ (Error::Host(_) | Error::InUse(_)))) => {
            let reason = Reason::new("host failure", error.to_string());
            failed(reason.mend("whoever runs this host can mend it"), true)
        }
        Err(_) => failed(
            Reason::new("panicked", "a task of the host panicked; its place is held")
                .mend("please report it with the log; `sluice resume` tries again"),
            false,
        ),
    }
}

fn reported(report: &RunReport) -> Outcome {
    match report.ending {
        Ending::Done => Outcome::Done {
            read: report.totals.read,
        },
        Ending::Drained => Outcome::Drained,
        Ending::Stopped => {
            let faults = || {
                report
                    .splits
                    .iter()
                    .filter_map(|split| split.fault.as_ref())
            };
            // What somebody must mend says more than what may pass.
            let fault = faults().find(|fault| !fault.is_transient());
            let fault = fault.or_else(|| faults().next());
            let progressed = report.totals.written + report.totals.dead_lettered > 0;
            match fault {
                Some(fault) => Outcome::of(fault, progressed),
                None => Outcome::of(
                    &sluice_model::fault::Fault::new(
                        FaultKind::Host,
                        "it stopped and does not say why",
                    ),
                    progressed,
                ),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_that_pipelines_alone() {
        let joined = tokio::spawn(async { panic!("made up") }).await;
        match outcome(joined) {
            Outcome::Failed {
                reason, may_pass, ..
            } => {
                assert_eq!((reason.kind.as_str(), may_pass), ("panicked", false));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_the_host_fails_at_may_pass() {
        let full = Error::Host("no space left on device".to_owned());
        assert!(matches!(
            outcome(Ok(Err(full))),
            Outcome::Failed { may_pass: true, .. }
        ));
    }
}
