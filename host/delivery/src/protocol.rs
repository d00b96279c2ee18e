//! The words between the machine and its driver: what it is told, and what it asks for.

use sluice_model::checkpoint::{Checkpoint, Commit, Cursor, Mark};
use sluice_model::fault::Fault;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

/// A page of this run, counted from zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageNo(pub u64);

/// A unit: its sequence, the same as in its [`Mark`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitNo(pub u64);

impl fmt::Display for PageNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for UnitNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// When to read again, by the source's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// At once.
    More,
    /// Nothing now; after so long.
    Wait(Duration),
    /// Never: the split is read to its end.
    End,
}

/// What became of a page's records on the way to the sinks. Counted as they entered: a record that a transform made
/// three of is one, and one that only some of those three are left of is still one that goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Records the page had, those that could not be decoded included.
    pub read: u64,
    /// Records of which a transform kept nothing.
    pub filtered: u64,
    /// Records that could not be decoded, or that a transform or a rule refused.
    pub rejected: u64,
    /// Rows that go to the sinks.
    pub rows: u64,
    /// What they and the records behind them hold in memory.
    pub bytes: u64,
}

impl Tally {
    /// Records that go to the sinks.
    pub(crate) fn kept(&self) -> Option<u64> {
        self.read
            .checked_sub(self.filtered)?
            .checked_sub(self.rejected)
    }
}

/// What can fail and is tried again. Each has its own retry budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Reading a page, opening the reader included.
    Read,
    /// Acknowledging to the source.
    Acknowledge,
    /// Decoding a page and putting it through the transforms.
    Transform,
    /// Writing to this sink.
    Write(usize),
    /// Publishing at this sink, reopening it included.
    Publish(usize),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Read => f.write_str("reading"),
            Step::Acknowledge => f.write_str("acknowledging to the source"),
            Step::Transform => f.write_str("transforming"),
            Step::Write(sink) => write!(f, "writing to sink {}", sink + 1),
            Step::Publish(sink) => write!(f, "publishing at sink {}", sink + 1),
        }
    }
}

/// What happened. Each answers one [`Action`], but for `Start` and `Drain`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The run's checkpoint is stored and its sinks are open. First, and once.
    Start,
    /// `Read` gave a page.
    PageRead {
        /// As the action named it.
        page: PageNo,
        /// What it holds in memory.
        bytes: u64,
        /// The place after it.
        cursor: Cursor,
        /// When to read again.
        next: Next,
    },
    /// `Read`, or the `OpenReader` before it, failed.
    ReadFailed {
        /// Why.
        fault: Fault,
    },
    /// `Transform` is done with the page.
    PageReady {
        /// As the action named it.
        page: PageNo,
        /// What became of its records.
        tally: Tally,
    },
    /// `Transform` failed; the page stays as it was read.
    TransformFailed {
        /// As the action named it.
        page: PageNo,
        /// Why.
        fault: Fault,
    },
    /// The time of `StartLinger` is over. Ignored if the unit is closed already.
    LingerOver {
        /// As the action named it.
        unit: UnitNo,
    },
    /// `Write` succeeded at one sink.
    Wrote {
        /// Which sink.
        sink: usize,
        /// As the action named it.
        unit: UnitNo,
        /// Records of the unit, counted as they entered and each once, that any sink has refused so far. The driver
        /// keeps that set until the unit's pages are released: a unit may be stored twice, with its dead letters each
        /// time. Counted when this is told and not when the write ended: with the last sink it must be complete, and
        /// writes end side by side.
        rejected: u64,
    },
    /// `Write` failed at one sink: nothing it refused counts.
    WriteFailed {
        /// Which sink.
        sink: usize,
        /// As the action named it.
        unit: UnitNo,
        /// Why.
        fault: Fault,
        /// Whether more of the unit is at the destination than before: the budget for it is whole again.
        progressed: bool,
    },
    /// `Store` is durable.
    Stored,
    /// `Store` failed. The store will not work until it is opened again, so this ends the run.
    StoreFailed {
        /// Why.
        fault: Fault,
    },
    /// `Publish` succeeded.
    Published {
        /// Which sink.
        sink: usize,
        /// As the action named it.
        unit: UnitNo,
    },
    /// `Publish` or `ReopenSink` failed. Whether the unit was published is not known.
    PublishFailed {
        /// Which sink.
        sink: usize,
        /// As the action named it.
        unit: UnitNo,
        /// Why.
        fault: Fault,
    },
    /// `ReopenSink` is done.
    SinkReopened {
        /// Which sink.
        sink: usize,
        /// Its last commit, by its own word.
        committed: Option<Mark>,
    },
    /// `Acknowledge` succeeded.
    Acknowledged,
    /// `Acknowledge`, or the `OpenReader` before it, failed.
    AcknowledgeFailed {
        /// Why.
        fault: Fault,
    },
    /// The time of `Sleep` is over.
    TimerFired {
        /// As the action named it.
        step: Step,
    },
    /// Stop gracefully: read no more, deliver what is read, then `Finish`.
    Drain,
}

/// What to do. Actions of one list may run side by side, but those on one instance run in the list's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Open a reader at this place (none: the beginning); drop the old one first. Its failure is the failure of the
    /// `Read` or `Acknowledge` that follows in the list, which is then not done.
    OpenReader {
        /// Where to resume.
        cursor: Option<Cursor>,
    },
    /// Read a page. Answer: `PageRead` or `ReadFailed`.
    Read {
        /// Its number.
        page: PageNo,
    },
    /// Decode the page and put it through the transforms. Answer: `PageReady` or `TransformFailed`.
    Transform {
        /// Which page. It is kept as it was read until it is ready.
        page: PageNo,
    },
    /// Send `LingerOver` after this time.
    StartLinger {
        /// The unit it is for.
        unit: UnitNo,
        /// How long.
        after: Duration,
    },
    /// Write the rows of these pages to one sink. Answer: `Wrote` or `WriteFailed`. A write that is asked for again
    /// replaces what the same sink refused before.
    Write {
        /// Which sink.
        sink: usize,
        /// The unit.
        unit: UnitNo,
        /// Its pages.
        pages: Range<PageNo>,
        /// What the sink is handed with it.
        commit: Commit,
    },
    /// Make this the split's checkpoint, in one durable commit with the dead letters of `unit`, if the store still
    /// holds what this run stored last. Answer: `Stored` or `StoreFailed`. One at a time.
    ///
    /// The dead letters of an intent that the store holds now become real if `checkpoint.mark` has reached the
    /// intent's, else they are deleted in the same commit.
    Store {
        /// Whose dead letters to store: pending where `checkpoint.intent` is this unit's, else real.
        unit: Option<UnitNo>,
        /// That unit's pages: what was refused in them before any sink saw them are its dead letters too.
        pages: Range<PageNo>,
        /// The new checkpoint.
        checkpoint: Box<Checkpoint>,
    },
    /// Publish what the sink has staged. Answer: `Published` or `PublishFailed`.
    Publish {
        /// Which sink.
        sink: usize,
        /// The unit.
        unit: UnitNo,
        /// As it was written.
        commit: Commit,
    },
    /// Throw the sink's instance away, open a new one and ask what it has committed. Answer: `SinkReopened` or
    /// `PublishFailed`.
    ReopenSink {
        /// Which sink.
        sink: usize,
        /// The unit that was being published.
        unit: UnitNo,
    },
    /// These pages are delivered, or hold nothing: what is kept of them can go.
    Release {
        /// Which pages.
        pages: Range<PageNo>,
    },
    /// Tell the source that all up to here is durable. Answer: `Acknowledged` or `AcknowledgeFailed`.
    Acknowledge {
        /// Where.
        cursor: Cursor,
    },
    /// Draw a time from zero to `ceiling`, evenly; wait so long, but no less than `at_least`; then send `TimerFired`.
    Sleep {
        /// What is tried again then.
        step: Step,
        /// The how-manieth retry this is, from 1; 0 where the source only asked to wait.
        attempt: u32,
        /// What the other system asked for.
        at_least: Duration,
        /// The most to draw.
        ceiling: Duration,
    },
    /// All that was read is delivered and stored. Nothing follows.
    Finish {
        /// Whether the source was read to its end; else it was drained.
        ended: bool,
    },
    /// The run of this split is over, and its place is held. Nothing follows; what is under way may be dropped.
    Stop(Fault),
}
