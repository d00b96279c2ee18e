//! What a run shows while it goes, and what it remembers for its report: counts, refusals, retries. The one
//! [`Observer`] of a run. Counters are shared with whoever draws progress.

use sluice_model::checkpoint::Totals;
use sluice_model::ids::StageId;
use sluice_model::ports::{LogLevel, LogLine, Observer, Refusal};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Different refusals kept for the report. Stops a plugin that asks for ever new things from filling memory.
const REFUSALS_MAX: usize = 100;

/// Counts of a run under way, in records.
#[derive(Debug, Default)]
pub struct Watch {
    began: Began,
    read: AtomicU64,
    written: AtomicU64,
    filtered: AtomicU64,
    dead_lettered: AtomicU64,
    in_flight: AtomicU64,
    splits_done: AtomicU64,
    splits: AtomicU64,
    refusals: Mutex<BTreeMap<(StageId, String), (Refusal, u64)>>,
    waiting: Mutex<Option<String>>,
}

/// When it all began: now, where nobody says.
#[derive(Debug)]
struct Began(Instant);

impl Default for Began {
    fn default() -> Self {
        Self(Instant::now())
    }
}

/// A look at the counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Glance {
    /// Records settled in this run.
    pub totals: Totals,
    /// Records read and not yet settled.
    pub in_flight: u64,
    /// Splits that are over.
    pub splits_done: u64,
    /// Splits in all.
    pub splits: u64,
}

impl Watch {
    /// Of a process that was started then: the time to its first record is counted from there.
    pub fn since(began: Instant) -> Self {
        Self {
            began: Began(began),
            ..Self::default()
        }
    }

    /// The counts now.
    pub fn glance(&self) -> Glance {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Glance {
            totals: Totals {
                read: load(&self.read),
                written: load(&self.written),
                filtered: load(&self.filtered),
                dead_lettered: load(&self.dead_lettered),
            },
            in_flight: load(&self.in_flight),
            splits_done: load(&self.splits_done),
            splits: load(&self.splits),
        }
    }

    /// What is being waited for, in a few words; none where all goes on.
    pub fn waiting(&self) -> Option<String> {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn now_waiting(&self, what: Option<String>) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = what;
    }

    pub(crate) fn splits(&self, splits: usize) {
        self.splits.store(splits as u64, Ordering::Relaxed);
    }

    pub(crate) fn split_done(&self) {
        self.splits_done.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds what a split's counts grew by.
    pub(crate) fn grew(&self, from: &sluice_delivery::Counters, to: &sluice_delivery::Counters) {
        let add = |counter: &AtomicU64, from: u64, to: u64| {
            counter.fetch_add(to.wrapping_sub(from), Ordering::Relaxed)
        };
        if add(&self.read, from.read, to.read) == 0 && to.read > from.read {
            let since_start_ms = self.began.0.elapsed().as_secs_f64() * 1e3;
            tracing::info!(since_start_ms, "first record");
        }
        add(&self.written, from.written, to.written);
        add(&self.filtered, from.filtered, to.filtered);
        add(&self.dead_lettered, from.dead_lettered, to.dead_lettered);
        add(&self.in_flight, from.in_flight, to.in_flight);
    }

    /// What was refused, each with how often.
    pub(crate) fn refusals(&self) -> Vec<(StageId, Refusal, u64)> {
        let refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals
            .iter()
            .map(|((stage, _), (refusal, times))| (*stage, refusal.clone(), *times))
            .collect()
    }
}

impl Observer for Watch {
    fn refused(&self, stage: StageId, refusal: &Refusal) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (stage, format!("{} {}", refusal.capability, refusal.asked));
        if let Some((_, times)) = refusals.get_mut(&key) {
            *times += 1;
        } else if refusals.len() < REFUSALS_MAX {
            tracing::warn!(%stage, capability = refusal.capability, asked = %refusal.asked, reason = %refusal.reason, "refused");
            refusals.insert(key, (refusal.clone(), 1));
        }
    }

    fn logged(&self, line: LogLine) {
        let LogLine { stage, level, text } = line;
        match level {
            LogLevel::Trace => tracing::trace!(target: "plugin", %stage, text, "plugin"),
            LogLevel::Debug => tracing::debug!(target: "plugin", %stage, text, "plugin"),
            LogLevel::Info => tracing::info!(target: "plugin", %stage, text, "plugin"),
            LogLevel::Warn => tracing::warn!(target: "plugin", %stage, text, "plugin"),
            LogLevel::Error => tracing::error!(target: "plugin", %stage, text, "plugin"),
        }
    }
}
