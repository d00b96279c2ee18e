//! Pages and units on their way: what is known of them, not their records.

use crate::protocol::{PageNo, Tally, UnitNo};
use crate::settings::SinkMode;
use sluice_model::checkpoint::{Cursor, Totals};
use std::ops::Range;

/// A page that is read and not yet through the transforms.
#[derive(Debug)]
pub(crate) struct Page {
    pub no: PageNo,
    pub bytes: u64,
    pub cursor: Cursor,
    pub end: bool,
}

/// Pages that travel to the sinks together.
#[derive(Debug)]
pub(crate) struct Unit {
    pub no: UnitNo,
    pub pages: Range<PageNo>,
    pub tally: Tally,
    /// The place after its last page.
    pub cursor: Cursor,
    /// Whether that is the source's end.
    pub ended: bool,
    /// Its time is over: it waits for no more pages.
    pub lingered: bool,
}

impl Unit {
    pub fn of(no: UnitNo, page: Page, tally: Tally) -> Self {
        let pages = page.no..PageNo(page.no.0 + 1);
        Self {
            no,
            pages,
            tally,
            cursor: page.cursor,
            ended: page.end,
            lingered: false,
        }
    }

    pub fn add(&mut self, page: Page, tally: Tally) {
        self.pages.end = PageNo(page.no.0 + 1);
        self.cursor = page.cursor;
        self.ended = page.end;
        self.tally.read += tally.read;
        self.tally.filtered += tally.filtered;
        self.tally.rejected += tally.rejected;
        self.tally.rows += tally.rows;
        self.tally.bytes += tally.bytes;
    }

    pub fn page_count(&self) -> usize {
        (self.pages.end.0 - self.pages.start.0) as usize
    }

    /// Records that go to the sinks.
    pub fn kept(&self) -> u64 {
        self.tally
            .kept()
            .expect("each page's tally was checked when it was ready")
    }
}

/// Where a unit is between being closed and being delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Some sink has not written it yet.
    Writing,
    /// It waits to be stored.
    Written,
    /// It is being stored.
    Storing,
    /// Its intent is stored; some sink has not published it yet.
    Publishing,
}

/// Where one sink is with the unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AtSink {
    /// It will be written again when the time comes.
    WriteAgain,
    Writing,
    Wrote,
    Publishing,
    /// The sink will be reopened when the time comes.
    PublishAgain,
    /// To find out whether it was published.
    Reopening,
    Published,
}

/// A unit at the sinks.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub unit: Unit,
    pub phase: Phase,
    pub sinks: Vec<AtSink>,
    /// Records refused by at least one sink.
    pub rejected: u64,
}

impl Delivery {
    /// Without rows there is nothing to write: only the place moves.
    pub fn is_bare(&self) -> bool {
        self.unit.tally.rows == 0
    }

    pub fn is_written(&self) -> bool {
        self.sinks
            .iter()
            .all(|sink| matches!(sink, AtSink::Wrote | AtSink::Published))
    }

    pub fn is_published(&self, modes: &[SinkMode]) -> bool {
        self.sinks.iter().zip(modes).all(|(sink, mode)| match mode {
            SinkMode::Plain => *sink == AtSink::Wrote,
            SinkMode::Transactional => *sink == AtSink::Published,
        })
    }

    /// What it adds to the totals once it is delivered.
    pub fn totals(&self) -> Totals {
        Totals {
            read: self.unit.tally.read,
            written: self.unit.kept() - self.rejected,
            filtered: self.unit.tally.filtered,
            dead_lettered: self.unit.tally.rejected + self.rejected,
        }
    }
}
