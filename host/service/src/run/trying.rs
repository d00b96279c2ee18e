//! What is asked before the first record moves, and may fail in passing: tried again as everything else is, within the
//! same budget of time.

use crate::Error;
use crate::watch::Watch;
use sluice_model::fault::{Fault, FaultKind};
use sluice_model::guards::Guard;
use sluice_model::pipeline::Retry;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The ceiling of the first wait.
const BASE_DELAY: Duration = Duration::from_millis(250);

/// An error that may be a fault.
pub trait MayPass {
    /// The fault that it is.
    fn fault(&self) -> Option<&Fault>;
}

impl MayPass for Fault {
    fn fault(&self) -> Option<&Fault> {
        Some(self)
    }
}

impl MayPass for Error {
    fn fault(&self) -> Option<&Fault> {
        match self {
            Error::Failed { fault, .. } => Some(fault),
            _ => None,
        }
    }
}

/// The tries of one question, until it is dropped.
pub struct Trying<'a> {
    settings: &'a Retry,
    watch: &'a Watch,
    drain: watch::Receiver<bool>,
    /// What it is shown under: a split's own name, where it is one that begins.
    who: String,
    began: Instant,
    ceiling: Duration,
}

impl<'a> Trying<'a> {
    /// None was made yet.
    pub fn new(
        settings: &'a Retry,
        watch: &'a Watch,
        drain: watch::Receiver<bool>,
        who: &str,
    ) -> Self {
        Self {
            settings,
            watch,
            drain,
            who: who.to_owned(),
            began: Instant::now(),
            ceiling: BASE_DELAY,
        }
    }

    /// After an error: waits until it is to be asked again. Gives the error back where it does not pass, the budget is spent
    /// or the run is to end.
    pub async fn again<E: MayPass>(&mut self, error: E) -> Result<(), E> {
        let (wait, message) = match error.fault().map(|fault| (&fault.kind, &fault.message)) {
            Some((FaultKind::Transient { retry_after }, message)) if Guard::FirstRetry.stands() => {
                let drawn = self.ceiling.mul_f64(rand::random());
                (retry_after.unwrap_or_default().max(drawn), message)
            }
            _ => return Err(error),
        };
        if *self.drain.borrow() || self.began.elapsed() + wait >= self.settings.budget.0 {
            return Err(error);
        }
        self.watch.tried_again();
        let wait_ms = wait.as_millis() as u64;
        if self.ceiling == BASE_DELAY {
            tracing::warn!(wait_ms, reason = message, "trying to begin again");
        } else {
            tracing::info!(wait_ms, reason = message, "trying to begin again");
        }
        self.watch
            .now_waiting(&self.who, Some(format!("to begin: {message}")));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = self.drain.wait_for(|drain| *drain) => {}
        }
        self.ceiling = (self.ceiling * 2).min(self.settings.max_delay.0);
        Ok(())
    }
}

impl Drop for Trying<'_> {
    fn drop(&mut self) {
        self.watch.now_waiting(&self.who, None);
    }
}
