//! One request's account: charged to the grant's budgets as bytes go and come, and told to whoever watches once the
//! request is over, however it ended.

use crate::budgets::Budgets;
use sluice_model::ids::StageId;
use sluice_model::ports::{HttpError, Observer, Refusal, Used};
use sluice_policy::{Sending, Target};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// See the module. What is left of a request holds it: the rest of its body, and its answer.
pub(crate) struct Meter {
    budgets: Arc<Budgets>,
    sending: Arc<Sending>,
    observer: Arc<dyn Observer>,
    stage: StageId,
    bytes_out: AtomicU64,
    bytes_in: AtomicU64,
    /// Whether there was a connection to send it on.
    reached: AtomicBool,
}

impl Meter {
    pub(crate) fn new(
        budgets: Arc<Budgets>,
        sending: Arc<Sending>,
        observer: Arc<dyn Observer>,
        stage: StageId,
    ) -> Self {
        Self {
            budgets,
            sending,
            observer,
            stage,
            bytes_out: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            reached: AtomicBool::new(false),
        }
    }

    /// So much is about to leave. Errors: it may not.
    pub(crate) fn out(&self, bytes: u64) -> Result<(), HttpError> {
        self.budgets
            .out(&self.sending, bytes)
            .map_err(|refusal| self.denied(refusal))?;
        self.bytes_out.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// So much came. Errors: it may not be handed on.
    pub(crate) fn came(&self, bytes: u64) -> Result<(), HttpError> {
        self.bytes_in.fetch_add(bytes, Ordering::Relaxed);
        self.budgets
            .came(&self.sending, bytes)
            .map_err(|refusal| self.denied(refusal))
    }

    /// There is a connection: from here on it counts as used.
    pub(crate) fn reached(&self) {
        self.reached.store(true, Ordering::Relaxed);
    }

    /// All that came.
    pub(crate) fn bytes_in(&self) -> u64 {
        self.bytes_in.load(Ordering::Relaxed)
    }

    /// Where to: for messages.
    pub(crate) fn host(&self) -> String {
        self.sending.target.authority()
    }

    fn denied(&self, refusal: Refusal) -> HttpError {
        self.observer.refused(self.stage, &refusal);
        HttpError::Denied(refusal)
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if !*self.reached.get_mut() {
            return;
        }
        let Target {
            scheme, host, port, ..
        } = &self.sending.target;
        let used = Used {
            capability: "http",
            name: &format!("{scheme}://{host}:{port}"),
            times: 1,
            bytes_out: *self.bytes_out.get_mut(),
            bytes_in: *self.bytes_in.get_mut(),
        };
        self.observer.used(self.stage, &used);
    }
}
