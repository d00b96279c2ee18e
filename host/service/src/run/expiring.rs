//! Lets dead letters go whose time is over: when a run begins, and while it goes on.

use crate::audit::Audit;
use crate::keeping::{Keeping, now_ms};
use crate::plan::Plan;
use std::sync::Arc;
use std::time::Duration;

/// How often, in a run that goes on and on.
const EVERY: Duration = Duration::from_mins(10);

/// What it takes.
pub struct Expiring {
    /// Where the letters are.
    pub keeping: Arc<Keeping>,
    /// Where it is written down.
    pub audit: Arc<Audit>,
    /// Whose letters.
    pub plan: Arc<Plan>,
    /// How long they are kept.
    pub keep: Duration,
}

impl Expiring {
    /// Now.
    pub async fn once(&self) {
        let (keeping, audit) = (Arc::clone(&self.keeping), Arc::clone(&self.audit));
        let (plan, keep) = (Arc::clone(&self.plan), self.keep);
        let sweeping = move || {
            let keep_ms = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
            keeping.expire(&audit, plan.name(), now_ms().saturating_sub(keep_ms))
        };
        // One that fails keeps letters that could go; the run is none the worse for it.
        if let Ok(Err(error)) = tokio::task::spawn_blocking(sweeping).await {
            tracing::warn!(%error, "dead letters whose time is over could not be removed");
        }
    }

    /// Now and then.
    pub async fn on_and_on(self) {
        loop {
            tokio::time::sleep(EVERY).await;
            self.once().await;
        }
    }
}
