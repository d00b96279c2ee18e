//! The machine: its state, which event goes where, and when it is over. Reading is in `intake`, writing in `outlet`.

use crate::intake::Intake;
use crate::protocol::{Action, Event, Step, UnitNo};
use crate::retry::{Retries, Retry};
use crate::settings::{Settings, SinkMode};
use crate::unit::{Delivery, Unit};
use sluice_model::checkpoint::{Checkpoint, Totals};
use sluice_model::fault::{Fault, FaultKind};
use std::collections::VecDeque;
use std::time::Duration;

/// Records of a split, over all runs. Counted as they entered the pipeline.
///
/// Invariant: `read = written + filtered + dead_lettered + in_flight` (test: `simulation`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// All that came out of the transforms or got stuck in them.
    pub read: u64,
    /// At every sink.
    pub written: u64,
    /// Left out by a transform.
    pub filtered: u64,
    /// In the DLQ.
    pub dead_lettered: u64,
    /// Read and not yet settled: in memory, or under way to the sinks.
    pub in_flight: u64,
}

/// The protocol of one split in one run.
#[derive(Debug)]
pub struct Split {
    pub(crate) settings: Settings,
    life: Life,
    /// Told to stop gracefully.
    pub(crate) draining: bool,
    pub(crate) intake: Intake,
    /// The unit that pages are added to.
    pub(crate) gathering: Option<Unit>,
    pub(crate) closed: VecDeque<Unit>,
    /// Units at the sinks, the oldest first: one, or with plain sinks a second that is written while the first is
    /// stored.
    pub(crate) deliveries: VecDeque<Delivery>,
    pub(crate) storing: Option<Storing>,
    /// What the store holds.
    pub(crate) stored: Checkpoint,
    /// What is delivered, the published intent included.
    pub(crate) totals: Totals,
    /// The highest sequence given out.
    pub(crate) sequence: u64,
    pub(crate) retries: Retries,
    /// Of the last event: it never goes back, whatever a driver's clock does.
    pub(crate) now: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    New,
    Running,
    Over,
}

/// A commit of the store under way.
#[derive(Debug)]
pub(crate) struct Storing {
    pub unit: Option<UnitNo>,
    pub checkpoint: Checkpoint,
}

/// How a step of the machine ends early: the fault that stops the run.
pub(crate) type Stepped = Result<(), Fault>;

impl Split {
    /// A split that goes on from this checkpoint: the one that [`crate::resume()`] gave, once it is stored.
    pub fn new(settings: Settings, checkpoint: Checkpoint) -> Self {
        Self {
            settings,
            life: Life::New,
            draining: false,
            intake: Intake::at(&checkpoint),
            gathering: None,
            closed: VecDeque::new(),
            deliveries: VecDeque::new(),
            storing: None,
            totals: checkpoint.totals,
            sequence: checkpoint.sequence,
            stored: checkpoint,
            retries: Retries::default(),
            now: Duration::ZERO,
        }
    }

    /// Takes what happened, and says what to do. `now` is any clock that never goes back, the same for all calls.
    /// An event that answers nothing the machine asked for is a defect of the host and stops the run.
    pub fn on(&mut self, now: Duration, event: Event) -> Vec<Action> {
        let mut out = Vec::new();
        if self.life == Life::Over {
            // What was on its way to the store when it stopped is settled; nothing comes of it any more.
            if event == Event::Stored && self.storing.is_some() {
                let _ = self.stored(&mut out); // It was asked for.
            }
            return Vec::new();
        }
        self.now = self.now.max(now);
        let stepped = self.take(self.now, event, &mut out);
        if let Err(fault) = stepped {
            self.life = Life::Over;
            return vec![Action::Stop(fault)];
        }
        self.advance(&mut out);
        if self.is_done() {
            self.life = Life::Over;
            out.push(Action::Finish {
                ended: self.intake.ended,
            });
        }
        out
    }

    /// Where the records are.
    pub fn counters(&self) -> Counters {
        let units = self.gathering.iter().chain(&self.closed);
        let units = units.chain(self.deliveries.iter().map(|delivery| &delivery.unit));
        let in_flight = units.map(|unit| unit.tally.read).sum();
        let Totals {
            read,
            written,
            filtered,
            dead_lettered,
        } = self.totals;
        Counters {
            read: read + in_flight,
            written,
            filtered,
            dead_lettered,
            in_flight,
        }
    }

    /// The checkpoint that the store holds.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.stored
    }

    /// The steps that fail now and are tried again, in no order.
    pub fn retries(&self) -> Vec<Retry> {
        self.retries.list()
    }

    /// Pages and bytes in flight: what the bounds of [`Settings`] are held against.
    pub fn in_flight(&self) -> (usize, u64) {
        let units = self.gathering.iter().chain(&self.closed);
        units
            .chain(self.deliveries.iter().map(|delivery| &delivery.unit))
            .fold(self.intake.in_flight(), |(pages, bytes), unit| {
                (pages + unit.page_count(), bytes + unit.tally.bytes)
            })
    }

    fn take(&mut self, now: Duration, event: Event, out: &mut Vec<Action>) -> Stepped {
        if (self.life == Life::New) != (event == Event::Start) {
            return Err(out_of_turn("an event before the start, or a second start"));
        }
        match event {
            Event::Start => {
                self.life = Life::Running;
                Ok(())
            }
            Event::Drain => {
                self.draining = true;
                self.retries.given_up(Step::Read);
                Ok(())
            }
            Event::PageRead {
                page,
                bytes,
                cursor,
                next,
            } => self.page_read(page, bytes, cursor, next, out),
            Event::ReadFailed { fault } => self.read_failed(now, fault, out),
            Event::PageReady { page, tally } => self.page_ready(page, tally, out),
            Event::TransformFailed { page, fault } => self.transform_failed(now, page, fault, out),
            Event::Acknowledged => self.acknowledged(),
            Event::AcknowledgeFailed { fault } => self.acknowledge_failed(now, fault, out),
            Event::LingerOver { unit } => {
                self.linger_over(unit);
                Ok(())
            }
            Event::Wrote {
                sink,
                unit,
                rejected,
            } => self.wrote(sink, unit, rejected),
            Event::WriteFailed {
                sink,
                unit,
                fault,
                progressed,
            } => self.write_failed(now, sink, unit, fault, progressed, out),
            Event::Stored => self.stored(out),
            Event::StoreFailed { fault } => Err(fault),
            Event::Published { sink, unit } => self.published(sink, unit, out),
            Event::PublishFailed { sink, unit, fault } => {
                self.publish_failed(now, sink, unit, fault, out)
            }
            Event::SinkReopened { sink, committed } => self.sink_reopened(sink, committed, out),
            Event::TimerFired { step } => {
                self.timer_fired(step, out);
                Ok(())
            }
        }
    }

    /// Everything that can be done now.
    fn advance(&mut self, out: &mut Vec<Action>) {
        self.use_reader(out);
        self.transform_next(out);
        self.close_units();
        self.write_next(out);
        self.store_next(out);
        self.write_next(out); // With plain sinks, beside the store.
    }

    fn timer_fired(&mut self, step: Step, out: &mut Vec<Action>) {
        match step {
            Step::Read | Step::Acknowledge | Step::Transform => self.intake.timer_fired(step),
            Step::Write(sink) => self.write_again(sink, out),
            Step::Publish(sink) => self.reopen_sink(sink, out),
        }
    }

    /// Asks for a wait, or stops the run.
    pub(crate) fn retry(
        &mut self,
        now: Duration,
        step: Step,
        fault: Fault,
        out: &mut Vec<Action>,
    ) -> Stepped {
        let delay = self.retries.after(&self.settings.retry, now, step, fault)?;
        let (attempt, at_least, ceiling) = (delay.attempt, delay.at_least, delay.ceiling);
        out.push(Action::Sleep {
            step,
            attempt,
            at_least,
            ceiling,
        });
        Ok(())
    }

    /// Whether a unit is staged, stored as an intent and then published.
    pub(crate) fn is_staged(&self) -> bool {
        self.settings.sinks.contains(&SinkMode::Transactional)
    }

    /// Whether no page will come that is not yet gathered.
    pub(crate) fn is_intake_over(&self) -> bool {
        (self.draining || self.intake.ended) && self.intake.is_empty()
    }

    fn is_done(&self) -> bool {
        self.is_intake_over()
            && self.intake.is_acknowledged()
            && self.gathering.is_none()
            && self.closed.is_empty()
            && self.deliveries.is_empty()
            && self.storing.is_none()
            && self.stored.intent.is_none()
    }
}

/// The driver broke the protocol. Nothing more can be trusted, so the place is held.
pub(crate) fn out_of_turn(what: &str) -> Fault {
    Fault::new(
        FaultKind::Host,
        format!("the delivery protocol was broken: {what}"),
    )
}
