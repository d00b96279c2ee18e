//! The way to a destination, which all splits of a run share: open, or closed for a while where it fails again and
//! again. The decision is the breaker's of `delivery`; all waiting is here.

use sluice_delivery::{Breaker, BreakerSettings, BreakerState, Permit};
use sluice_model::fault::{Fault, FaultKind};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};

/// One stage's other system.
pub struct Gate {
    breaker: Mutex<Breaker>,
    /// Somebody who was let through has an answer.
    answered: Notify,
    began: Instant,
    /// The longest that is waited for it to open; a longer wait is its caller's to bear or not.
    patience: Duration,
    /// Whose it is, for the log.
    stage: String,
    /// What the destination failed with last.
    said: Mutex<String>,
}

/// A call that was let through. One that goes without an answer lets another find out.
struct Passed<'a> {
    gate: &'a Gate,
    permit: Permit,
    is_answered: bool,
}

impl Drop for Passed<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.gate.breaker().abandoned(self.permit);
            self.gate.answered.notify_waiters();
        }
    }
}

impl Gate {
    /// Of a stage that is called so.
    pub fn new(stage: String, settings: BreakerSettings) -> Self {
        Self {
            patience: settings.max_delay,
            breaker: Mutex::new(Breaker::new(settings)),
            answered: Notify::new(),
            began: Instant::now(),
            stage,
            said: Mutex::default(),
        }
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does this once the way is open, and remembers whether the destination answered.
    pub async fn call<T>(&self, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        let passed = self.pass().await?;
        self.through(passed, work).await
    }

    /// The same, but not once this turns true while the way is closed: the run is to end.
    pub async fn call_unless<T>(
        &self,
        drain: &watch::Receiver<bool>,
        work: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let mut drain = drain.clone();
        let passed = tokio::select! {
            biased;
            passed = self.pass() => passed?,
            Ok(_) = drain.wait_for(|drain| *drain) => {
                let kind = FaultKind::Transient { retry_after: None };
                let message = format!("told to stop while the other system failed: {}", self.said());
                return Err(Fault::new(kind, message));
            }
        };
        self.through(passed, work).await
    }

    async fn through<T>(
        &self,
        mut passed: Passed<'_>,
        work: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let outcome = work.await;
        passed.is_answered = true;
        self.tell(passed.permit, outcome.as_ref().err());
        outcome
    }

    fn said(&self) -> MutexGuard<'_, String> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn pass(&self) -> Result<Passed<'_>, Fault> {
        loop {
            // Before the question, so that an answer in between is not missed.
            let answered = self.answered.notified();
            let permit = self.breaker().ask(self.began.elapsed());
            let Permit::Wait(time) = permit else {
                return Ok(Passed {
                    gate: self,
                    permit,
                    is_answered: false,
                });
            };
            if let Some(time) = time.filter(|time| *time > self.patience) {
                let kind = FaultKind::Transient {
                    retry_after: Some(time),
                };
                let message =
                    format!("the destination asked to be left alone, for {time:?} from now");
                return Err(Fault::new(kind, message));
            }
            let time = time.unwrap_or(Duration::MAX);
            let _ = tokio::time::timeout(time, answered).await; // Either way it is asked again.
        }
    }

    /// What came of a call. That the destination fails is told once, and so is that it works again.
    fn tell(&self, permit: Permit, fault: Option<&Fault>) {
        if let Some(fault) = fault {
            self.said().clone_from(&fault.message);
        }
        let mut breaker = self.breaker();
        let was_closed = breaker.state() == BreakerState::Closed;
        match fault {
            Some(fault) => breaker.failed(permit, self.began.elapsed(), fault, rand::random()),
            None => breaker.succeeded(permit),
        }
        let is_closed = breaker.state() == BreakerState::Closed;
        drop(breaker);
        self.answered.notify_waiters();
        match (was_closed, is_closed, fault) {
            (true, false, Some(fault)) => {
                tracing::warn!(target: "alert", stage = self.stage, reason = fault.message, "the destination fails: one call at a time finds out when it works again");
            }
            (false, true, _) => {
                tracing::info!(target: "alert", stage = self.stage, "the destination works again");
            }
            _ => {}
        }
    }
}
