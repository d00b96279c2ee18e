//! What a run shows while it goes, and what it remembers for its report: counts, refusals, retries. The one
//! [`Observer`] of a run. Counters are shared with whoever draws progress.

use crate::keeping::now_ms;
use sluice_model::checkpoint::Totals;
use sluice_model::ids::StageId;
use sluice_model::lag::Lag;
use sluice_model::ports::{LogLevel, LogLine, Observer, Refusal};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Different refusals kept for the report. Stops a plugin that asks for ever new things from filling memory.
const REFUSALS_MAX: usize = 100;

/// Counts of a run under way, in records.
#[derive(Debug, Default)]
pub struct Watch {
    began: Began,
    /// All under one lock: whoever looks sees counts that add up.
    counts: Mutex<Glance>,
    refusals: Mutex<BTreeMap<(StageId, String), (Refusal, u64)>>,
    /// What each split waits for.
    waiting: Mutex<BTreeMap<String, String>>,
    /// How far behind the source each split is.
    lags: Mutex<BTreeMap<String, Lag>>,
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
    /// Records read in this run, and what became of those that are settled.
    pub totals: Totals,
    /// Records read and not yet settled.
    pub in_flight: u64,
    /// Records read by splits that stopped before they were settled: they are read again, another time.
    pub abandoned: u64,
    /// Splits that are over.
    pub splits_done: u64,
    /// Splits in all.
    pub splits: u64,
    /// Times that something was tried again.
    pub retries: u64,
    /// When records were last settled, in milliseconds since 1970.
    pub settled_ms: Option<u64>,
}

impl Watch {
    /// Of a process that was started then: the time to its first record is counted from there.
    pub fn since(began: Instant) -> Self {
        Self {
            began: Began(began),
            ..Self::default()
        }
    }

    fn counts(&self) -> MutexGuard<'_, Glance> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The counts now. `read = written + filtered + dead_lettered + in_flight + abandoned`.
    pub fn glance(&self) -> Glance {
        *self.counts()
    }

    /// What is being waited for, in a few words; none where all goes on.
    pub fn waiting(&self) -> Option<String> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.values().next().cloned()
    }

    /// What a split waits for; none where it goes on.
    pub(crate) fn now_waiting(&self, split: &str, what: Option<String>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        match what {
            Some(what) => drop(waiting.insert(split.to_owned(), what)),
            None => drop(waiting.remove(split)),
        }
    }

    /// How far behind the source a split is.
    pub(crate) fn lags(&self, split: &str, lag: Lag) {
        let mut lags = self.lags.lock().unwrap_or_else(PoisonError::into_inner);
        lags.insert(split.to_owned(), lag);
    }

    /// How far behind its source the run is, once for each unit that its splits count in.
    pub fn lag(&self) -> Vec<Lag> {
        let lags = self.lags.lock().unwrap_or_else(PoisonError::into_inner);
        Lag::all(lags.values().copied())
    }

    /// Something is tried again.
    pub(crate) fn tried_again(&self) {
        self.counts().retries += 1;
    }

    pub(crate) fn splits(&self, splits: usize) {
        self.counts().splits = splits as u64;
    }

    pub(crate) fn split_done(&self) {
        self.counts().splits_done += 1;
    }

    /// Adds what a split's counts grew by.
    pub(crate) fn grew(&self, from: &sluice_delivery::Counters, to: &sluice_delivery::Counters) {
        if from == to {
            return;
        }
        let mut counts = self.counts();
        let is_first = counts.totals.read == 0 && to.read > from.read;
        counts.totals.read += to.read - from.read;
        counts.totals.written += to.written - from.written;
        counts.totals.filtered += to.filtered - from.filtered;
        counts.totals.dead_lettered += to.dead_lettered - from.dead_lettered;
        counts.in_flight = (counts.in_flight + to.in_flight).saturating_sub(from.in_flight);
        if settled(to) > settled(from) {
            counts.settled_ms = Some(now_ms());
        }
        drop(counts);
        if is_first {
            let since_start_ms = self.began.0.elapsed().as_secs_f64() * 1e3;
            tracing::info!(since_start_ms, "first record");
        }
    }

    /// A split is over, with so many records read and not settled.
    pub(crate) fn abandoned(&self, in_flight: u64) {
        let mut counts = self.counts();
        counts.in_flight = counts.in_flight.saturating_sub(in_flight);
        counts.abandoned += in_flight;
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

fn settled(counters: &sluice_delivery::Counters) -> u64 {
    counters.written + counters.filtered + counters.dead_lettered
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
