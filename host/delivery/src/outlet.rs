//! The sinks' side: writing, storing and publishing, in order.

use crate::protocol::{Action, PageNo, Step, UnitNo};
use crate::split::{Split, Stepped, Storing, out_of_turn};
use crate::unit::{AtSink, Delivery, Phase};
use sluice_model::checkpoint::{Checkpoint, Commit, Intent, Mark};
use sluice_model::fault::{Fault, FaultKind};
use sluice_model::guards::Guard;
use std::time::Duration;

impl Split {
    /// Starts to write the next unit. With plain sinks the one before it may still be being stored; a staged one
    /// must be published first, for a sink can hold only one.
    pub(crate) fn write_next(&mut self, out: &mut Vec<Action>) {
        let may_start = match self.deliveries.back() {
            None => true,
            Some(last) => {
                !self.is_staged() && self.deliveries.len() == 1 && last.phase == Phase::Storing
            }
        };
        if !may_start {
            return;
        }
        let Some(unit) = self.closed.pop_front() else {
            return;
        };
        let sinks = vec![AtSink::Writing; self.settings.sinks.len()];
        let mut delivery = Delivery {
            unit,
            phase: Phase::Writing,
            sinks,
            rejected: 0,
        };
        if delivery.is_bare() {
            delivery.phase = Phase::Written;
        } else {
            let commit = self.commit_of(&delivery);
            out.extend(
                (0..delivery.sinks.len()).map(|sink| write(&delivery, sink, commit.clone())),
            );
        }
        self.deliveries.push_back(delivery);
    }

    /// Stores the oldest unit if it is written; else, when nothing is at the sinks, what was published last.
    pub(crate) fn store_next(&mut self, out: &mut Vec<Action>) {
        if self.storing.is_some() {
            return;
        }
        let storing = match self.deliveries.front_mut() {
            Some(front) if front.phase == Phase::Written => {
                front.phase = Phase::Storing;
                let unit = front.unit.no;
                Storing {
                    unit: Some(unit),
                    checkpoint: self.checkpoint_after_front(),
                }
            }
            None if self.stored.intent.is_some() => Storing {
                unit: None,
                checkpoint: self.stored.clone().promoted(),
            },
            _ => return,
        };
        let pages = match (storing.unit, self.deliveries.front()) {
            (Some(_), Some(front)) => front.unit.pages.clone(),
            _ => PageNo(0)..PageNo(0),
        };
        out.push(Action::Store {
            unit: storing.unit.filter(|_| Guard::LettersWithUnit.stands()),
            pages,
            checkpoint: Box::new(storing.checkpoint.clone()),
        });
        self.storing = Some(storing);
    }

    fn checkpoint_after_front(&self) -> Checkpoint {
        let delivery = &self.deliveries[0];
        let mark = self.mark_of(delivery);
        let mut next = self.stored.clone();
        if next
            .intent
            .as_ref()
            .is_some_and(|intent| intent.mark == mark)
        {
            next.intent = None; // It was written again: its dead letters may be others now.
        }
        next = next.promoted();
        next.sequence = mark.sequence;
        let (place, ended) = (delivery.unit.cursor.clone(), delivery.unit.ended);
        let totals = next.totals.plus(delivery.totals());
        if self.is_staged() && !delivery.is_bare() {
            next.intent = Some(Intent {
                mark,
                place,
                ended,
                totals,
                dead_letters: None,
                redriven: None,
            });
            return next;
        }
        let mark = if delivery.is_bare() {
            next.mark
        } else {
            Some(mark)
        };
        Checkpoint {
            mark,
            place: Some(place),
            ended,
            totals,
            ..next
        }
    }

    pub(crate) fn wrote(&mut self, sink: usize, unit: UnitNo, rejected: u64) -> Stepped {
        let delivery = self.expect(sink, unit, AtSink::Writing)?;
        if rejected > delivery.unit.kept() {
            return Err(out_of_turn("more records refused than written"));
        }
        delivery.sinks[sink] = AtSink::Wrote;
        delivery.rejected = rejected;
        if Guard::SinksBeforeCheckpoint.holds(delivery.is_written()) {
            delivery.phase = Phase::Written;
        }
        self.retries.succeeded(Step::Write(sink));
        Ok(())
    }

    pub(crate) fn write_failed(
        &mut self,
        now: Duration,
        sink: usize,
        unit: UnitNo,
        fault: Fault,
        progressed: bool,
        out: &mut Vec<Action>,
    ) -> Stepped {
        self.expect(sink, unit, AtSink::Writing)?.sinks[sink] = AtSink::WriteAgain;
        if progressed {
            self.retries.got_on(now, Step::Write(sink));
        }
        self.retry(now, Step::Write(sink), fault, out)
    }

    pub(crate) fn write_again(&mut self, sink: usize, out: &mut Vec<Action>) {
        let at = self
            .deliveries
            .iter()
            .position(|delivery| delivery.sinks.get(sink) == Some(&AtSink::WriteAgain));
        if let Some(at) = at {
            let commit = self.commit_of(&self.deliveries[at]);
            self.deliveries[at].sinks[sink] = AtSink::Writing;
            out.push(write(&self.deliveries[at], sink, commit));
        }
    }

    pub(crate) fn stored(&mut self, out: &mut Vec<Action>) -> Stepped {
        let storing = self
            .storing
            .take()
            .ok_or_else(|| out_of_turn("a commit that was not asked for"))?;
        self.stored = storing.checkpoint;
        if storing.unit.is_none() {
            return Ok(());
        }
        let front = &self.deliveries[0];
        if !self.is_staged() || front.is_bare() {
            self.delivered(out);
            return Ok(());
        }
        let (unit, commit) = (front.unit.no, self.commit_of(front));
        let modes = &self.settings.sinks;
        let front = &mut self.deliveries[0];
        front.phase = Phase::Publishing;
        for (sink, at) in front.sinks.iter_mut().enumerate() {
            if modes[sink] == crate::SinkMode::Transactional && *at == AtSink::Wrote {
                *at = AtSink::Publishing;
                out.push(Action::Publish {
                    sink,
                    unit,
                    commit: commit.clone(),
                });
            }
        }
        Ok(())
    }

    pub(crate) fn published(
        &mut self,
        sink: usize,
        unit: UnitNo,
        out: &mut Vec<Action>,
    ) -> Stepped {
        self.expect(sink, unit, AtSink::Publishing)?;
        self.settle(sink, out);
        Ok(())
    }

    pub(crate) fn publish_failed(
        &mut self,
        now: Duration,
        sink: usize,
        unit: UnitNo,
        fault: Fault,
        out: &mut Vec<Action>,
    ) -> Stepped {
        let asked = self.expect(sink, unit, AtSink::Publishing).is_ok();
        if !asked {
            self.expect(sink, unit, AtSink::Reopening)?;
        }
        self.deliveries[0].sinks[sink] = AtSink::PublishAgain;
        self.retry(now, Step::Publish(sink), fault, out)
    }

    pub(crate) fn reopen_sink(&mut self, sink: usize, out: &mut Vec<Action>) {
        if let Some(front) = self.deliveries.front_mut()
            && front.sinks.get(sink) == Some(&AtSink::PublishAgain)
        {
            front.sinks[sink] = AtSink::Reopening;
            out.push(Action::ReopenSink {
                sink,
                unit: front.unit.no,
            });
        }
    }

    /// A failed publish may have worked. The sink's own word decides; if it did not, what was staged is forgotten
    /// and is written again.
    pub(crate) fn sink_reopened(
        &mut self,
        sink: usize,
        committed: Option<Mark>,
        out: &mut Vec<Action>,
    ) -> Stepped {
        let Some(front) = self.deliveries.front() else {
            return Err(out_of_turn("a sink that was not to be reopened"));
        };
        let (unit, mark, commit) = (front.unit.no, self.mark_of(front), self.commit_of(front));
        self.expect(sink, unit, AtSink::Reopening)?;
        if committed == Some(mark) {
            self.settle(sink, out);
            return Ok(());
        }
        // What it committed before a person moved the place is older than all this run cuts, and no stranger.
        let before = self.stored.delivered();
        if committed < before || committed > Some(mark) {
            return Err(stranger(sink, committed, before, mark));
        }
        let front = &mut self.deliveries[0];
        front.sinks[sink] = AtSink::Writing;
        front.phase = Phase::Writing;
        out.push(write(front, sink, commit));
        Ok(())
    }

    /// The front unit is published at this sink.
    fn settle(&mut self, sink: usize, out: &mut Vec<Action>) {
        self.retries.succeeded(Step::Publish(sink));
        let front = &mut self.deliveries[0];
        front.sinks[sink] = AtSink::Published;
        if front.phase == Phase::Publishing {
            if front.is_published(&self.settings.sinks) {
                self.delivered(out);
            }
        } else if front.is_written() {
            front.phase = Phase::Written; // Another sink wrote it again meanwhile: the intent is stored anew.
        }
    }

    /// The oldest unit is where it should be, and that is stored.
    fn delivered(&mut self, out: &mut Vec<Action>) {
        let Some(delivery) = self.deliveries.pop_front() else {
            return;
        };
        self.totals = self.totals.plus(delivery.totals());
        self.retries.progressed(self.now);
        self.intake.acknowledge_due(delivery.unit.cursor);
        out.push(Action::Release {
            pages: delivery.unit.pages,
        });
        self.use_reader(out);
    }

    fn expect(&mut self, sink: usize, unit: UnitNo, at: AtSink) -> Result<&mut Delivery, Fault> {
        self.deliveries
            .iter_mut()
            .find(|delivery| delivery.unit.no == unit && delivery.sinks.get(sink) == Some(&at))
            .ok_or_else(|| out_of_turn("a sink's answer that was not asked for"))
    }

    fn mark_of(&self, delivery: &Delivery) -> Mark {
        Mark {
            epoch: self.stored.epoch,
            sequence: delivery.unit.no.0,
        }
    }

    fn commit_of(&self, delivery: &Delivery) -> Commit {
        Commit {
            mark: self.mark_of(delivery),
            cursor: delivery.unit.cursor.clone(),
        }
    }
}

fn write(delivery: &Delivery, sink: usize, commit: Commit) -> Action {
    Action::Write {
        sink,
        unit: delivery.unit.no,
        pages: delivery.unit.pages.clone(),
        commit,
    }
}

/// The sink holds a commit that this run cannot explain.
fn stranger(sink: usize, committed: Option<Mark>, before: Option<Mark>, mark: Mark) -> Fault {
    let shown =
        |mark: Option<Mark>| mark.map_or("nothing".to_owned(), |mark| format!("commit {mark}"));
    Fault::new(
        FaultKind::CursorLost,
        format!(
            "sink {} holds {} where one from {} to commit {mark} was expected: another run writes to it, or it was restored",
            sink + 1,
            shown(committed),
            shown(before),
        ),
    )
    .hint("make sure that one host alone runs this pipeline, then start it again: it resumes from what the sink holds")
}
