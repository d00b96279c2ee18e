//! What the splits of a run share, and the pieces of work that a run is made of: a split of the source, or dead letters.

use super::gate::Gate;
use super::redriving::Entry;
use super::stages::Stages;
use crate::ledger::Ledger;
use crate::schemas::Schemas;
use crate::watch::Watch;
use sluice_delivery::{
    BreakerSettings, RateSettings, RejectionRate, RetrySettings, Settings, Share, SinkMode,
};
use sluice_engine::Split;
use sluice_model::fault::{Fault, FaultKind};
use sluice_model::ids::{SplitId, StreamName};
use sluice_model::limits::PAGE_BYTES;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

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
    /// The ways to its destinations.
    pub gates: Gates,
    /// How many of its records are refused.
    pub rate: Mutex<RejectionRate>,
    /// Turns true when the run should end gracefully: anybody who has it may say so.
    pub drain: watch::Sender<bool>,
    /// Whether others run beside it in this process.
    pub has_neighbours: bool,
    /// When it may store dead letters again, where most of its records are refused.
    pub flood: Mutex<Flood>,
}

impl Shared {
    /// How long a unit with so many dead letters of so many records rests before it is stored; none where it need not.
    pub fn rest(&self, letters: u64, read: u64) -> Option<Duration> {
        let mut flood = self.flood.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = self
            .has_neighbours
            .then(|| flood.rest(letters, read, Instant::now()));
        rest.filter(|rest| !rest.is_zero())
    }

    /// Whether the run is told to end.
    pub fn is_draining(&self) -> bool {
        *self.drain.borrow()
    }
}

/// Dead letters a second, at most, of a pipeline of which most records are refused, where others run beside it.
const FLOOD_LETTERS: u64 = 1_000;

/// The dead letters of a pipeline of which most records are refused, over all its splits. It has something to be mended,
/// and takes neither the processor nor the store from its neighbours until that is done.
#[derive(Debug, Default)]
pub struct Flood {
    /// When the next may be stored.
    free: Option<Instant>,
}

impl Flood {
    fn rest(&mut self, letters: u64, read: u64, now: Instant) -> Duration {
        if letters.saturating_mul(2) <= read {
            return Duration::ZERO;
        }
        let free = self.free.map_or(now, |free| free.max(now));
        let takes = Duration::from_millis(letters.saturating_mul(1_000) / FLOOD_LETTERS);
        self.free = Some(free + takes);
        free - now
    }
}

/// The ways to the other systems of a run: one for each stage that has one.
pub struct Gates {
    /// To the source.
    pub source: Arc<Gate>,
    /// To each sink.
    pub sinks: Vec<Arc<Gate>>,
}

impl Gates {
    /// Open ones.
    pub fn of(stages: &Stages) -> Self {
        let plan = &stages.plan;
        let settings = BreakerSettings {
            failures_to_open: BreakerSettings::FAILURES_TO_OPEN,
            base_delay: RETRY_BASE_DELAY,
            max_delay: plan.pipeline.delivery.retry.max_delay.0,
        };
        let gate = |name: String| Arc::new(Gate::new(name, settings));
        Self {
            source: gate(plan.source.label()),
            sinks: plan.sinks.iter().map(|sink| gate(sink.label())).collect(),
        }
    }
}

/// The threshold on the rate of rejections, as the plan has it.
pub fn rate(stages: &Stages) -> RejectionRate {
    let share = stages.plan.pipeline.delivery.stop_when.dead_letters;
    RejectionRate::new(RateSettings {
        parts_per_million: share.millionths,
        of: share.of,
    })
}

/// What is delivered on its own, in order, with a checkpoint of its own.
pub struct Work {
    /// What its checkpoint is kept under.
    pub id: SplitId,
    /// The streams it carries.
    pub streams: Vec<StreamName>,
    /// Which of the plan's sinks it goes to.
    pub sinks: Vec<usize>,
    /// Where its records come from.
    pub input: Input,
}

/// Where records come from.
pub enum Input {
    /// The source.
    Split(Split),
    /// The source once more, beside the split of the same name: it is not told what is delivered, and the end is where
    /// nothing more has come so far.
    Again(Split),
    /// Dead letters of these numbers, in order.
    Letters(Arc<Vec<u64>>, Entry),
}

impl Work {
    /// A split of the source, which goes to every sink.
    pub fn split(split: Split, sinks: usize) -> Self {
        Self {
            id: split.id.clone(),
            streams: split.streams.clone(),
            sinks: (0..sinks).collect(),
            input: Input::Split(split),
        }
    }
}

/// The store blocks; it is used off the async threads.
pub async fn blocking<T: Send + 'static>(
    ledger: &Arc<Ledger>,
    work: impl FnOnce(&Ledger) -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let ledger = Arc::clone(ledger);
    let done = tokio::task::spawn_blocking(move || work(&ledger)).await;
    done.unwrap_or_else(|_| Err(Fault::new(FaultKind::Host, "the state store panicked")))
}

/// How each sink makes data durable.
pub fn modes(stages: &Stages) -> Vec<SinkMode> {
    let sinks = stages.plan.sinks.iter();
    sinks
        .map(|sink| match sink.artifact.manifest.sink {
            Some(shape) if shape.transactional => SinkMode::Transactional,
            _ => SinkMode::Plain,
        })
        .collect()
}

/// The bounds of a split that goes to these sinks.
pub fn settings(stages: &Stages, sinks: Vec<SinkMode>) -> Settings {
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

/// That something else is wrong than single records.
pub fn too_many(stages: &Stages, share: Share) -> Fault {
    let limit = stages.plan.pipeline.delivery.stop_when.dead_letters;
    let message = format!(
        "{} of the last {} records became dead letters, and `stop_when` lets pass {limit}",
        share.refused, share.read
    );
    Fault::new(FaultKind::TooManyRejected, message).hint(
        "see why with `sluice dlq list`; once that is mended, run it again and send them again with `sluice dlq redrive`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_dead_letters_rests_and_a_few_do_not() {
        let (ms, began) = (Duration::from_millis, Instant::now());
        let mut flood = Flood::default();
        for (letters, read, at, rest) in [
            (0, 0, 0, 0),
            (50, 100, 0, 0),
            (51, 100, 0, 0), // The first of them.
            (50, 100, 20, 0),
            (9_000, 9_000, 20, 31),
            (1, 1, 51, 9_000),
            (1, 1, 9_052, 0),
        ] {
            assert_eq!(
                flood.rest(letters, read, began + ms(at)),
                ms(rest),
                "{letters} of {read} at {at}"
            );
        }
    }
}
