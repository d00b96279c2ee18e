//! `sluice/map`: renames, drops, casts and computes columns, and filters rows, as a table of steps run in order on
//! whole columns. Deliberately no expression language: what a step does can be read by whoever approves it.

mod cast;
mod compute;
mod concat;
mod condition;
mod config;
mod constant;
mod filter;
mod frame;
mod plan;
mod set;
mod text;

pub use config::Config;

use frame::Frame;
use plan::Plan;
use sluice_sdk::{Batch, Edits, Fault, Schema, Transform};

/// The transform: steps resolved against the columns there are.
pub struct Map {
    plan: Plan,
}

impl Transform for Map {
    type Config = Config;

    fn open(config: Config, input: &Schema) -> Result<Self, Fault> {
        Ok(Self {
            plan: Plan::new(&config, input)?,
        })
    }

    fn output(&self) -> Schema {
        self.plan.output()
    }

    fn apply(&mut self, batch: &Batch) -> Result<Edits, Fault> {
        let mut frame = Frame::new(batch, self.plan.inputs());
        for operation in self.plan.operations() {
            operation.run(&mut frame)?;
        }
        frame.into_edits(&self.plan)
    }
}

sluice_sdk::transform!(Map);
