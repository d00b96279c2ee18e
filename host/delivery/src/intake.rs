//! The source's side: reading, acknowledging, transforming and gathering. The reader does one thing at a time, and
//! an acknowledgement that is due goes before the next read.

use crate::protocol::{Action, Next, PageNo, Step, Tally, UnitNo};
use crate::split::{Split, Stepped, out_of_turn};
use crate::unit::{Page, Unit};
use sluice_model::checkpoint::{Checkpoint, Cursor};
use sluice_model::fault::Fault;
use sluice_model::guards::Guard;
use std::collections::VecDeque;
use std::time::Duration;

/// What is known of the source and of pages that are not gathered yet.
#[derive(Debug)]
pub(crate) struct Intake {
    reader: Reader,
    /// Whether the reader must be opened before it is used.
    is_reader_lost: bool,
    read_gate: Gate,
    acknowledge_gate: Gate,
    /// What the source has not been told yet.
    due: Option<Cursor>,
    /// The place after the last page read.
    cursor: Option<Cursor>,
    /// Whether the source said so in this run.
    pub(crate) ended: bool,
    next_page: u64,
    /// Pages to transform, in order.
    pages: VecDeque<Page>,
    transform: Transform,
    /// The place after the last page gathered, and whether it was the source's end.
    gathered: (Option<Cursor>, bool),
}

#[derive(Debug, PartialEq, Eq)]
enum Reader {
    Free,
    Reading,
    Acknowledging(Cursor),
}

/// Whether a use of the reader has to wait for its timer.
#[derive(Debug, PartialEq, Eq)]
enum Gate {
    Open,
    Sleeping,
}

#[derive(Debug, PartialEq, Eq)]
enum Transform {
    Free,
    Busy,
    Sleeping,
}

impl Intake {
    /// The source is told again what is stored: the last run may have ended before it was.
    pub fn at(checkpoint: &Checkpoint) -> Self {
        Self {
            reader: Reader::Free,
            is_reader_lost: true,
            read_gate: Gate::Open,
            acknowledge_gate: Gate::Open,
            due: checkpoint.place.clone(),
            cursor: checkpoint.place.clone(),
            ended: false,
            next_page: 0,
            pages: VecDeque::new(),
            transform: Transform::Free,
            gathered: (checkpoint.place.clone(), checkpoint.ended),
        }
    }

    /// No page is being read or transformed, or waits to be.
    pub fn is_empty(&self) -> bool {
        self.reader != Reader::Reading && self.pages.is_empty()
    }

    pub fn is_acknowledged(&self) -> bool {
        self.reader == Reader::Free && self.due.is_none()
    }

    pub fn in_flight(&self) -> (usize, u64) {
        (
            self.pages.len(),
            self.pages.iter().map(|page| page.bytes).sum(),
        )
    }

    pub fn acknowledge_due(&mut self, cursor: Cursor) {
        self.due = Some(cursor);
    }

    /// A timer whose sleep is over already is ignored.
    pub fn timer_fired(&mut self, step: Step) {
        match step {
            Step::Read => self.read_gate = Gate::Open,
            Step::Acknowledge => self.acknowledge_gate = Gate::Open,
            _ if self.transform == Transform::Sleeping => self.transform = Transform::Free,
            _ => {}
        }
    }
}

impl Split {
    pub(crate) fn page_read(
        &mut self,
        no: PageNo,
        bytes: u64,
        cursor: Cursor,
        next: Next,
        out: &mut Vec<Action>,
    ) -> Stepped {
        let intake = &mut self.intake;
        if intake.reader != Reader::Reading || no.0 + 1 != intake.next_page {
            return Err(out_of_turn("a page that was not asked for"));
        }
        self.retries.succeeded(Step::Read);
        intake.reader = Reader::Free;
        intake.cursor = Some(cursor.clone());
        intake.ended = next == Next::End;
        intake.pages.push_back(Page {
            no,
            bytes,
            cursor,
            end: intake.ended,
        });
        if let Next::Wait(time) = next {
            intake.read_gate = Gate::Sleeping;
            out.push(Action::Sleep {
                step: Step::Read,
                attempt: 0,
                at_least: time,
                ceiling: Duration::ZERO,
            });
        }
        Ok(())
    }

    pub(crate) fn read_failed(
        &mut self,
        now: Duration,
        fault: Fault,
        out: &mut Vec<Action>,
    ) -> Stepped {
        if self.intake.reader != Reader::Reading {
            return Err(out_of_turn("a failed read that was not asked for"));
        }
        self.intake.reader = Reader::Free;
        self.intake.is_reader_lost = true;
        self.intake.next_page -= 1;
        if self.draining {
            return Ok(()); // It would not be read again; what is read is delivered.
        }
        self.intake.read_gate = Gate::Sleeping;
        self.retry(now, Step::Read, fault, out)
    }

    pub(crate) fn acknowledged(&mut self) -> Stepped {
        let Reader::Acknowledging(_) = self.intake.reader else {
            return Err(out_of_turn("an acknowledgement that was not asked for"));
        };
        self.retries.succeeded(Step::Acknowledge);
        self.intake.reader = Reader::Free;
        Ok(())
    }

    pub(crate) fn acknowledge_failed(
        &mut self,
        now: Duration,
        fault: Fault,
        out: &mut Vec<Action>,
    ) -> Stepped {
        let reader = std::mem::replace(&mut self.intake.reader, Reader::Free);
        let Reader::Acknowledging(cursor) = reader else {
            return Err(out_of_turn(
                "a failed acknowledgement that was not asked for",
            ));
        };
        self.intake.is_reader_lost = true;
        self.intake.acknowledge_gate = Gate::Sleeping;
        self.intake.due.get_or_insert(cursor); // A later one, due by now, says it all.
        self.retry(now, Step::Acknowledge, fault, out)
    }

    pub(crate) fn transform_failed(
        &mut self,
        now: Duration,
        no: PageNo,
        fault: Fault,
        out: &mut Vec<Action>,
    ) -> Stepped {
        self.transformed(no)?;
        self.intake.transform = Transform::Sleeping;
        self.retry(now, Step::Transform, fault, out)
    }

    pub(crate) fn page_ready(
        &mut self,
        no: PageNo,
        tally: Tally,
        out: &mut Vec<Action>,
    ) -> Stepped {
        self.transformed(no)?;
        let fits = tally
            .kept()
            .is_some_and(|kept| tally.rows >= kept && (tally.rows == 0) == (kept == 0));
        if !fits {
            return Err(out_of_turn("a page's records do not add up"));
        }
        self.intake.transform = Transform::Free;
        self.retries.succeeded(Step::Transform);
        let page = self
            .intake
            .pages
            .pop_front()
            .ok_or_else(|| out_of_turn("a page that is not there"))?;
        // Within a unit it is kept, so that a unit's pages have no gaps.
        if self.gathering.is_none() && self.says_nothing(&page, &tally) {
            out.push(Action::Release {
                pages: no..PageNo(no.0 + 1),
            });
            return Ok(());
        }
        self.gather(page, tally, out);
        Ok(())
    }

    fn transformed(&self, no: PageNo) -> Stepped {
        let is_asked = self.intake.transform == Transform::Busy;
        match self.intake.pages.front() {
            Some(page) if is_asked && page.no == no => Ok(()),
            _ => Err(out_of_turn("a page that was not to be transformed")),
        }
    }

    /// Whether delivering the page would change nothing: an idle source costs no commits.
    fn says_nothing(&self, page: &Page, tally: &Tally) -> bool {
        let (cursor, is_end) = &self.intake.gathered;
        tally.read == 0 && cursor.as_ref() == Some(&page.cursor) && (*is_end || !page.end)
    }

    fn gather(&mut self, page: Page, tally: Tally, out: &mut Vec<Action>) {
        self.intake.gathered = (Some(page.cursor.clone()), page.end);
        if let Some(unit) = &mut self.gathering {
            unit.add(page, tally);
        } else {
            self.sequence += 1;
            let mut unit = Unit::of(UnitNo(self.sequence), page, tally);
            let after = self.settings.linger;
            unit.lingered = after.is_zero();
            if !unit.lingered {
                out.push(Action::StartLinger {
                    unit: unit.no,
                    after,
                });
            }
            self.gathering = Some(unit);
        }
        self.close_units();
    }

    pub(crate) fn linger_over(&mut self, no: UnitNo) {
        if let Some(unit) = self.gathering.as_mut().filter(|unit| unit.no == no) {
            unit.lingered = true;
        }
    }

    pub(crate) fn use_reader(&mut self, out: &mut Vec<Action>) {
        if self.intake.reader != Reader::Free {
            return;
        }
        if self.intake.acknowledge_gate == Gate::Open
            && let Some(cursor) = self.intake.due.take()
        {
            self.open_reader(out);
            self.intake.reader = Reader::Acknowledging(cursor.clone());
            out.push(Action::Acknowledge { cursor });
        } else if self.may_read() {
            self.open_reader(out);
            self.intake.reader = Reader::Reading;
            out.push(Action::Read {
                page: PageNo(self.intake.next_page),
            });
            self.intake.next_page += 1;
        }
    }

    fn open_reader(&mut self, out: &mut Vec<Action>) {
        if std::mem::take(&mut self.intake.is_reader_lost) {
            out.push(Action::OpenReader {
                cursor: self.intake.cursor.clone(),
            });
        }
    }

    fn may_read(&self) -> bool {
        !self.draining
            && !self.intake.ended
            && self.intake.read_gate == Gate::Open
            && self.has_room()
    }

    /// Whether one more page fits. One always does where nothing is in flight.
    fn has_room(&self) -> bool {
        let (pages, bytes) = self.in_flight();
        pages == 0
            || (pages < self.settings.in_flight_pages_max
                && bytes.saturating_add(self.settings.page_bytes)
                    <= self.settings.in_flight_bytes_max)
    }

    /// Whether the units that wait for the sinks leave room for one more page, whatever the transforms make of it. They
    /// always do where none waits.
    fn has_room_behind(&self) -> bool {
        let units = self.closed.iter();
        let units = units.chain(self.deliveries.iter().map(|delivery| &delivery.unit));
        let bytes: u64 = units.map(|unit| unit.tally.bytes).sum();
        bytes == 0 || bytes < self.settings.in_flight_bytes_max
    }

    pub(crate) fn transform_next(&mut self, out: &mut Vec<Action>) {
        if Guard::GrownPages.bars(!self.has_room_behind()) {
            return;
        }
        if let (Transform::Free, Some(page)) = (&self.intake.transform, self.intake.pages.front()) {
            out.push(Action::Transform { page: page.no });
            self.intake.transform = Transform::Busy;
        }
    }

    /// A unit is closed when it is full, when its time is over, when nothing more will come, or when it is what
    /// stands in the way of reading on.
    pub(crate) fn close_units(&mut self) {
        let Some(unit) = &self.gathering else { return };
        let is_full = unit.tally.bytes >= self.settings.unit_bytes
            || unit.tally.rows >= self.settings.unit_rows;
        let is_in_the_way = self.intake.is_empty()
            && !self.has_room()
            && self.closed.is_empty()
            && self.deliveries.is_empty();
        if is_full || unit.lingered || self.is_intake_over() || is_in_the_way {
            self.closed.extend(self.gathering.take());
        }
    }
}
