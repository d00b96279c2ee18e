//! Rows that go: filtered, or refused.

use crate::condition::Condition;
use crate::config;
use crate::frame::{Frame, Operation};
use crate::plan::Planner;
use sluice_sdk::Fault;

struct Keep {
    condition: Condition,
}

struct Reject {
    condition: Condition,
    code: String,
    message: String,
}

/// Keeps the rows for which a condition holds.
pub(crate) fn keep(
    condition: &config::Condition,
    planner: &Planner,
) -> Result<Box<dyn Operation>, Fault> {
    Ok(Box::new(Keep {
        condition: Condition::plan(condition, planner)?,
    }))
}

/// Refuses the rows for which a condition holds.
pub(crate) fn reject(
    reject: &config::Reject,
    planner: &Planner,
) -> Result<Box<dyn Operation>, Fault> {
    if reject.code.is_empty() {
        return Err(Fault::misconfigured(
            "`code` is empty: it is the word that people filter dead letters by",
        ));
    }
    Ok(Box::new(Reject {
        condition: Condition::plan(&reject.when, planner)?,
        code: reject.code.clone(),
        message: reject.message.clone(),
    }))
}

impl Operation for Keep {
    fn run(&self, frame: &mut Frame<'_>) -> Result<(), Fault> {
        let rows = self.condition.rows(frame)?;
        frame.keep(rows);
        Ok(())
    }
}

impl Operation for Reject {
    fn run(&self, frame: &mut Frame<'_>) -> Result<(), Fault> {
        for row in self.condition.rows(frame)?.ones() {
            frame.reject(row, &self.code, &self.message);
        }
        Ok(())
    }
}
