//! What a run ends with, for people and for machines. Every count is of records as they entered the pipeline.

use crate::check::StreamShape;
use serde::Serialize;
use sluice_delivery::{Counters, Start};
use sluice_model::checkpoint::Totals;
use sluice_model::fault::{Fault, FaultKind};
use sluice_model::ids::{PipelineName, SplitId, StageId};
use sluice_model::pipeline::Guarantee;
use sluice_model::ports::Refusal;
use std::time::Duration;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    /// Every split was read to its end, and all of it is delivered.
    Done,
    /// Told to stop; what was read is delivered.
    Drained,
    /// At least one split could not go on. Its place is held.
    Stopped,
}

/// What became of one split in this run.
#[derive(Debug, Clone, Serialize)]
pub struct SplitReport {
    /// Which.
    pub split: SplitId,
    /// Records settled in this run.
    pub totals: Totals,
    /// Records read and not settled: they are read again in the next run.
    pub in_flight: u64,
    /// Whether this run found it where an earlier one had left it.
    pub resumed: bool,
    /// Whether it was read to its end.
    pub ended: bool,
    /// Why it stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
}

impl SplitReport {
    pub(crate) fn stopped_at_start(split: SplitId, fault: Fault) -> Self {
        Self {
            split,
            totals: Totals::default(),
            in_flight: 0,
            resumed: false,
            ended: false,
            fault: Some(fault),
        }
    }

    pub(crate) fn over(
        split: SplitId,
        start: Start,
        first: &Counters,
        last: &Counters,
        fault: Option<Fault>,
        ended: bool,
    ) -> Self {
        let totals = Totals {
            read: last.read - first.read,
            written: last.written - first.written,
            filtered: last.filtered - first.filtered,
            dead_lettered: last.dead_lettered - first.dead_lettered,
        };
        Self {
            split,
            totals,
            in_flight: last.in_flight,
            resumed: start != Start::Beginning,
            ended,
            fault,
        }
    }
}

/// Something a plugin asked for in this run and did not get.
#[derive(Debug, Clone, Serialize)]
pub struct Refused {
    /// Who asked.
    pub stage: StageId,
    /// For what, and why not.
    #[serde(flatten)]
    pub refusal: Refusal,
    /// How often.
    pub times: u64,
}

/// Dead letters of one code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CodeCount {
    /// The code.
    pub code: String,
    /// How many in this run.
    pub records: u64,
}

/// What a run ends with.
#[derive(Debug, Clone, Serialize)]
pub struct RunReport {
    /// The pipeline.
    pub pipeline: PipelineName,
    /// How it ended.
    pub ending: Ending,
    /// What this pair of source and sinks promises.
    pub guarantee: Guarantee,
    /// Records settled in this run.
    #[serde(flatten)]
    pub totals: Totals,
    /// Records read and not settled. 0 where the run is done or drained.
    pub in_flight: u64,
    /// Values left out or made null, as the contract says.
    pub discarded_values: u64,
    /// From the first read to the end, in seconds.
    pub seconds: f64,
    /// Why records were dead-lettered in this run, most first.
    pub dead_letters: Vec<CodeCount>,
    /// What plugins asked for and did not get.
    pub refused: Vec<Refused>,
    /// Its streams.
    pub streams: Vec<StreamShape>,
    /// Its splits.
    pub splits: Vec<SplitReport>,
}

impl RunReport {
    /// `read = written + filtered + dead-lettered + in flight`.
    pub fn balances(&self) -> bool {
        let Totals {
            read,
            written,
            filtered,
            dead_lettered,
        } = self.totals;
        read == written + filtered + dead_lettered + self.in_flight
    }

    /// What the host itself failed at; none where it did not.
    pub fn host_fault(&self) -> Option<String> {
        let mut faults = self.splits.iter().filter_map(|split| split.fault.as_ref());
        let found = faults.find(|fault| fault.kind == FaultKind::Host)?;
        Some(found.to_string())
    }

    /// 0 where it came to its end or was told to stop, 1 where it could not go on, 3 where the host itself failed.
    pub fn exit_code(&self) -> u8 {
        match self.ending {
            Ending::Stopped if self.host_fault().is_some() => 3,
            Ending::Stopped => 1,
            Ending::Done | Ending::Drained => 0,
        }
    }

    /// Records read in a second.
    pub fn rate(&self) -> u64 {
        rate(
            self.totals.read,
            Duration::from_secs_f64(self.seconds.max(0.0)),
        )
    }
}

/// Records in a second.
pub fn rate(records: u64, time: Duration) -> u64 {
    let micros = u128::max(time.as_micros(), 1);
    u64::try_from(u128::from(records) * 1_000_000 / micros).unwrap_or(u64::MAX)
}
