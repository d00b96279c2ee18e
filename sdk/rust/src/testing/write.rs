//! A sink fed unit by unit, as the host feeds it.

use super::Table;
use crate::sink::{Commit, Context, Part, Sink, Target};
use crate::{Fault, Rejection, config};

/// Feeds a sink.
#[derive(Debug)]
pub struct Writer<S> {
    sink: S,
    context: Context,
    sequence: u64,
}

impl<S: Sink> Writer<S> {
    /// Checks the settings and opens the sink, for pipeline `test` and split `0`. `config` is JSON.
    pub fn open(config: &str, targets: Vec<Target>) -> Result<Self, Fault> {
        S::check(&config::parse(config)?)?;
        let context = Context {
            pipeline: "test".to_owned(),
            split: "0".to_owned(),
        };
        let sink = S::open(config::parse(config)?, context.clone(), targets)?;
        Ok(Self {
            sink,
            context,
            sequence: 0,
        })
    }

    /// The commit that the sink holds.
    pub fn committed(&mut self) -> Result<Option<Commit>, Fault> {
        self.sink.committed()
    }

    /// One unit, with the next commit. Panics at a rejection of a row that does not exist.
    pub fn write(&mut self, parts: Vec<(&str, Table)>) -> Result<Vec<Rejection>, Fault> {
        self.sequence += 1;
        let rows: Vec<usize> = parts.iter().map(|(_, table)| table.rows()).collect();
        let parts = parts
            .into_iter()
            .map(|(stream, table)| Part {
                stream: stream.to_owned(),
                batch: table.into_batch(),
            })
            .collect();
        let rejections = self.sink.write(parts, &self.commit())?;
        let exists = |rejection: &&Rejection| {
            rows.get(rejection.part as usize)
                .is_some_and(|rows| (rejection.row as usize) < *rows)
        };
        let lost = rejections.iter().find(|rejection| !exists(rejection));
        assert!(
            lost.is_none(),
            "a rejection of a row that does not exist: {lost:?}"
        );
        Ok(rejections)
    }

    /// Makes the unit last written visible.
    pub fn publish(&mut self) -> Result<(), Fault> {
        self.sink.publish(&self.commit())
    }

    /// The commit of the unit last written.
    pub fn commit(&self) -> Commit {
        Commit {
            pipeline: self.context.pipeline.clone(),
            split: self.context.split.clone(),
            cursor: format!("cursor-{}", self.sequence).into_bytes(),
            epoch: 1,
            sequence: self.sequence,
        }
    }

    /// The sink itself.
    pub fn sink(&mut self) -> &mut S {
        &mut self.sink
    }
}
