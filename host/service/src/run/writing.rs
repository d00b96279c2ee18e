//! A sink's task of one split: it owns the sink's instance, writes units, publishes them, and opens a new instance
//! where the old one cannot be used any more.

use super::stages::Stages;
use super::transforming::rejection;
use crate::schemas::Schemas;
use sluice_delivery::{Event, UnitNo};
use sluice_engine::Sink;
use sluice_model::batch::Batch;
use sluice_model::checkpoint::Commit;
use sluice_model::fault::{Fault, FaultKind};
use sluice_model::ids::{SplitId, StreamName};
use sluice_model::rejection::Rejection;
use sluice_model::schema::Schema;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

/// What a sink is told to do.
#[derive(Debug)]
pub enum Command {
    /// Write these.
    Write {
        /// The unit.
        unit: UnitNo,
        /// Its records.
        batches: Vec<Batch>,
        /// What goes with it.
        commit: Commit,
    },
    /// Make them visible.
    Publish {
        /// The unit.
        unit: UnitNo,
        /// What went with it.
        commit: Commit,
    },
    /// Throw the instance away and open another.
    Reopen {
        /// The unit that was being published.
        unit: UnitNo,
    },
}

/// A record of a unit, as it entered: the batch it came with and its row there.
type Entered = (usize, usize);

/// Records refused, each with the sink that refused it first.
type ByRecord = HashMap<Entered, (usize, Rejection)>;

/// What the sinks of a split refused of the units under way: each record once.
#[derive(Debug, Default, Clone)]
pub struct Refused(Arc<Mutex<HashMap<UnitNo, ByRecord>>>);

impl Refused {
    /// Replaces what this sink refused before, and says how many records are refused by now.
    fn replace(&self, unit: UnitNo, sink: usize, rejections: Vec<(Entered, Rejection)>) -> u64 {
        let mut units = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = units.entry(unit).or_default();
        refused.retain(|_, (by, _)| *by != sink);
        for (entered, rejection) in rejections {
            refused.entry(entered).or_insert((sink, rejection));
        }
        refused.len() as u64
    }

    /// Takes what was refused of a unit, in the records' order.
    pub fn take(&self, unit: UnitNo) -> Vec<Rejection> {
        let mut units = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut refused: Vec<_> = units
            .remove(&unit)
            .unwrap_or_default()
            .into_iter()
            .collect();
        refused.sort_by_key(|(entered, _)| *entered);
        refused
            .into_iter()
            .map(|(_, (_, rejection))| rejection)
            .collect()
    }
}

/// The task's own.
pub struct Writing {
    /// Which sink.
    pub sink: usize,
    /// To make instances of it.
    pub stages: Arc<Stages>,
    /// Whose records.
    pub split: SplitId,
    /// The streams it will be given.
    pub streams: Vec<StreamName>,
    /// Their schemas.
    pub schemas: Arc<Schemas>,
    /// What is refused.
    pub refused: Refused,
    /// Where answers go.
    pub events: UnboundedSender<Event>,
}

impl Writing {
    /// Opens an instance, and asks what it has committed.
    pub async fn open(&self) -> Result<(Sink, Option<Commit>), Fault> {
        let told = |fault| self.stages.plan.sinks[self.sink].told(fault);
        let mut sink = self.stages.sink(self.sink).await.map_err(told)?;
        let targets: Vec<(StreamName, Arc<Schema>)> = self
            .streams
            .iter()
            .map(|stream| Ok((stream.clone(), self.schemas.output(stream)?)))
            .collect::<Result<_, Fault>>()?;
        sink.open(self.stages.plan.name(), &self.split, &targets)
            .await
            .map_err(told)?;
        let committed = sink.committed().await.map_err(told)?;
        Ok((sink, committed))
    }

    /// Does what it is told, with this instance first, until nobody tells it any more.
    pub async fn run(self, first: Sink, mut commands: UnboundedReceiver<Command>) {
        let mut instance = Some(first);
        while let Some(command) = commands.recv().await {
            let event = match command {
                Command::Write {
                    unit,
                    batches,
                    commit,
                } => self.write(&mut instance, unit, batches, &commit).await,
                Command::Publish { unit, commit } => {
                    self.publish(&mut instance, unit, &commit).await
                }
                Command::Reopen { unit } => self.reopen(&mut instance, unit).await,
            };
            if self.events.send(event).is_err() {
                return;
            }
        }
    }

    async fn write(
        &self,
        instance: &mut Option<Sink>,
        unit: UnitNo,
        batches: Vec<Batch>,
        commit: &Commit,
    ) -> Event {
        match self.written(instance, &batches, commit).await {
            Ok(rejections) => {
                let rejected = self.refused.replace(unit, self.sink, rejections);
                Event::Wrote {
                    sink: self.sink,
                    unit,
                    rejected,
                }
            }
            Err(fault) => {
                if !fault.is_transient() {
                    *instance = None; // It may not be entered again.
                }
                Event::WriteFailed {
                    sink: self.sink,
                    unit,
                    fault,
                }
            }
        }
    }

    async fn written(
        &self,
        instance: &mut Option<Sink>,
        batches: &[Batch],
        commit: &Commit,
    ) -> Result<Vec<(Entered, Rejection)>, Fault> {
        if instance.is_none() {
            *instance = Some(self.open().await?.0);
        }
        let sink = instance
            .as_mut()
            .expect("it was opened just now where there was none");
        let stage = &self.stages.plan.sinks[self.sink];
        let rejected = sink.write(batches, commit).await;
        let rejected = rejected.map_err(|fault| stage.told(fault))?;
        let stage = stage.id;
        rejected
            .into_iter()
            .map(|refused| {
                let batch = batches
                    .get(refused.part)
                    .filter(|batch| refused.row < batch.rows());
                let batch = batch.ok_or_else(|| {
                    Fault::new(
                        FaultKind::Malformed,
                        "a rejection of a row that is not there",
                    )
                })?;
                let entered = (refused.part, batch.entered_row(refused.row));
                Ok((
                    entered,
                    rejection(batch, refused.row, stage, refused.code, refused.message),
                ))
            })
            .collect()
    }

    async fn publish(&self, instance: &mut Option<Sink>, unit: UnitNo, commit: &Commit) -> Event {
        let published = match instance {
            Some(sink) => sink
                .publish(commit)
                .await
                .map_err(|fault| self.stages.plan.sinks[self.sink].told(fault)),
            None => Err(Fault::new(
                FaultKind::Host,
                "the sink that staged the unit is gone",
            )),
        };
        match published {
            Ok(()) => Event::Published {
                sink: self.sink,
                unit,
            },
            Err(fault) => Event::PublishFailed {
                sink: self.sink,
                unit,
                fault,
            },
        }
    }

    async fn reopen(&self, instance: &mut Option<Sink>, unit: UnitNo) -> Event {
        *instance = None;
        match self.open().await {
            Ok((sink, committed)) => {
                *instance = Some(sink);
                Event::SinkReopened {
                    sink: self.sink,
                    committed: committed.map(|commit| commit.mark),
                }
            }
            Err(fault) => Event::PublishFailed {
                sink: self.sink,
                unit,
                fault,
            },
        }
    }
}
