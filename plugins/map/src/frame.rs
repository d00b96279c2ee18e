//! One batch while the steps run over it: the columns read so far, the rows that are still there, and the rows
//! refused. A column is read from the host once at most, and handed back once at most.

use crate::plan::Plan;
use sluice_sdk::{Batch, Column, Edits, Fault, Mask, Rejection};

/// Something that is done to the columns of a batch.
pub(crate) trait Operation {
    /// Reads and puts the columns it was planned for.
    fn run(&self, frame: &mut Frame<'_>) -> Result<(), Fault>;
}

/// The columns of one batch, by slot.
pub(crate) struct Frame<'a> {
    batch: &'a Batch<'a>,
    inputs: &'a [Option<String>],
    rows: usize,
    slots: Vec<Option<Column>>,
    kept: Option<Mask>,
    refused: Option<Mask>,
    rejections: Vec<Rejection>,
}

impl<'a> Frame<'a> {
    /// `inputs` names the column of the batch that each slot begins as.
    pub(crate) fn new(batch: &'a Batch<'a>, inputs: &'a [Option<String>]) -> Self {
        Self {
            batch,
            inputs,
            rows: batch.rows(),
            slots: vec![None; inputs.len()],
            kept: None,
            refused: None,
            rejections: Vec::new(),
        }
    }

    /// How many rows the batch has, whether they are still there or not.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Makes sure a column is here; [`Frame::get`] then gives it.
    pub(crate) fn load(&mut self, slot: usize) -> Result<(), Fault> {
        if self.slots[slot].is_none() {
            let name = self.inputs[slot]
                .as_deref()
                .expect("a slot that no step has put is a column of the batch");
            self.slots[slot] = Some(self.batch.column(name)?);
        }
        Ok(())
    }

    /// A column that was loaded or put.
    pub(crate) fn get(&self, slot: usize) -> &Column {
        self.slots[slot].as_ref().expect("it was loaded before")
    }

    /// A column, to be changed and put back.
    pub(crate) fn take(&mut self, slot: usize) -> Result<Column, Fault> {
        self.load(slot)?;
        Ok(self.slots[slot].take().expect("it was loaded just now"))
    }

    /// The column is this now.
    pub(crate) fn put(&mut self, slot: usize, column: Column) {
        self.slots[slot] = Some(column);
    }

    /// Whether no step has filtered or refused the row.
    pub(crate) fn is_there(&self, row: usize) -> bool {
        self.kept.as_ref().is_none_or(|kept| kept.get(row))
            && self
                .refused
                .as_ref()
                .is_none_or(|refused| !refused.get(row))
    }

    /// Filters: rows whose bit is not set go.
    pub(crate) fn keep(&mut self, rows: Mask) {
        match &mut self.kept {
            Some(kept) => kept.and(&rows),
            None => self.kept = Some(rows),
        }
    }

    /// Refuses a row, unless it is gone already: a row is counted once.
    pub(crate) fn reject(&mut self, row: usize, code: &str, message: &str) {
        if self.is_there(row) {
            let rows = self.rows;
            self.refused
                .get_or_insert_with(|| Mask::none(rows))
                .set(row, true);
            self.rejections.push(Rejection::new(row, code, message));
        }
    }

    /// What changed: names and places as planned, then each column a step has put, then the rows.
    pub(crate) fn into_edits(mut self, plan: &Plan) -> Result<Edits, Fault> {
        let mut edits = Edits::new();
        for edit in plan.structure() {
            edits.push(edit.clone());
        }
        for (slot, field) in plan.puts() {
            let column = self.take(slot)?;
            edits.put(field.clone(), column);
        }
        if let Some(mut kept) = self.kept {
            if let Some(refused) = &self.refused {
                kept.or(refused);
            }
            edits.keep(kept);
        }
        edits.reject(self.rejections);
        Ok(edits)
    }
}
