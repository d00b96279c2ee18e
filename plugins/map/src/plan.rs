//! The steps, resolved against the columns there are: every name found, every type checked, once, before any record
//! is seen.
//!
//! A column is a slot from its first step to its last, whatever it is called in between. What happens to names
//! (rename, drop) becomes edits in the order of the steps; what happens to values becomes operations; and each slot
//! that an operation puts is handed back once, under its last name.

use crate::config::{Config, Step};
use crate::frame::Operation;
use crate::{cast, compute, concat, filter, set, text};
use sluice_sdk::transform::Edit;
use sluice_sdk::{Fault, Field, FieldType, Schema, nearest};

/// What `apply` does, and what comes out.
pub(crate) struct Plan {
    inputs: Vec<Option<String>>,
    structure: Vec<Edit>,
    operations: Vec<Box<dyn Operation>>,
    puts: Vec<(usize, Field)>,
    output: Schema,
}

impl Plan {
    /// What cannot work is misconfigured, and names the step.
    pub(crate) fn new(config: &Config, input: &Schema) -> Result<Self, Fault> {
        let mut planner = Planner::new(input);
        let mut operations: Vec<Box<dyn Operation>> = Vec::new();
        for (at, step) in config.steps.iter().enumerate() {
            let planned = parse(step).and_then(|step| planner.step(&step, &mut operations));
            planned.map_err(|fault| fault.context(format!("step {}{}", at + 1, word(step))))?;
        }
        let puts = planner
            .order
            .iter()
            .filter(|slot| planner.slots[**slot].put);
        Ok(Self {
            puts: puts
                .map(|slot| (*slot, planner.slots[*slot].field.clone()))
                .collect(),
            output: planner.output(),
            inputs: planner.slots.into_iter().map(|slot| slot.input).collect(),
            structure: planner.structure,
            operations,
        })
    }

    /// The column of the batch that each slot begins as; none for one that a step makes.
    pub(crate) fn inputs(&self) -> &[Option<String>] {
        &self.inputs
    }

    /// Renames and drops, in order.
    pub(crate) fn structure(&self) -> &[Edit] {
        &self.structure
    }

    /// What is done to values, in order.
    pub(crate) fn operations(&self) -> impl Iterator<Item = &dyn Operation> {
        self.operations.iter().map(AsRef::as_ref)
    }

    /// The slots that are handed back, each once.
    pub(crate) fn puts(&self) -> impl Iterator<Item = (usize, &Field)> {
        self.puts.iter().map(|(slot, field)| (*slot, field))
    }

    /// The schema of what comes out.
    pub(crate) fn output(&self) -> Schema {
        self.output.clone()
    }
}

fn parse(step: &serde_json::Value) -> Result<Step, Fault> {
    sluice_sdk::parse_config(&step.to_string())
}

/// The step's own word, for messages.
fn word(step: &serde_json::Value) -> String {
    let word = step.as_object().and_then(|table| table.keys().next());
    word.map(|word| format!(" (`{word}`)")).unwrap_or_default()
}

/// One column, while the steps are planned.
struct Slot {
    field: Field,
    input: Option<String>,
    put: bool,
}

/// The columns as they are after the steps planned so far.
pub(crate) struct Planner {
    slots: Vec<Slot>,
    /// The slots that are there, in the order of the columns.
    order: Vec<usize>,
    structure: Vec<Edit>,
    /// The slots that identify a record; none once one of them is dropped.
    key: Vec<usize>,
}

impl Planner {
    fn new(input: &Schema) -> Self {
        let slot = |field: &Field| Slot {
            field: field.clone(),
            input: Some(field.name.clone()),
            put: false,
        };
        Self {
            slots: input.fields.iter().map(slot).collect(),
            order: (0..input.fields.len()).collect(),
            structure: Vec::new(),
            key: input
                .key
                .iter()
                .filter_map(|name| input.index_of(name))
                .collect(),
        }
    }

    fn step(&mut self, step: &Step, operations: &mut Vec<Box<dyn Operation>>) -> Result<(), Fault> {
        match step {
            Step::Rename(rename) => return self.rename(&rename.from, &rename.to),
            Step::Drop(names) => return names.iter().try_for_each(|name| self.drop(name)),
            Step::Upper(names) => text::plan(names, text::Change::Upper, self, operations)?,
            Step::Lower(names) => text::plan(names, text::Change::Lower, self, operations)?,
            Step::Trim(names) => text::plan(names, text::Change::Trim, self, operations)?,
            Step::Cast(cast) => operations.extend(cast::plan(cast, self)?),
            Step::Set(set) => operations.push(set::plan(set, self)?),
            Step::Clear(clear) => operations.push(set::clear(clear, self)?),
            Step::Concat(concat) => operations.push(concat::plan(concat, self)?),
            Step::Compute(compute) => operations.push(compute::plan(compute, self)?),
            Step::Keep(condition) => operations.push(filter::keep(condition, self)?),
            Step::Reject(reject) => operations.push(filter::reject(reject, self)?),
        }
        Ok(())
    }

    fn lookup(&self, name: &str) -> Option<usize> {
        self.order
            .iter()
            .copied()
            .find(|slot| self.slots[*slot].field.name == name)
    }

    /// The slot of a column that must be there.
    pub(crate) fn find(&self, name: &str) -> Result<usize, Fault> {
        self.lookup(name).ok_or_else(|| {
            let names = self
                .order
                .iter()
                .map(|slot| self.slots[*slot].field.name.as_str());
            let near = nearest(name, names).map(|near| format!("; did you mean `{near}`?"));
            Fault::misconfigured(format!(
                "there is no column `{name}`{}",
                near.unwrap_or_default()
            ))
        })
    }

    /// The slot of a column that must be there and be text.
    pub(crate) fn text(&self, name: &str) -> Result<usize, Fault> {
        let slot = self.find(name)?;
        match self.field(slot).kind {
            FieldType::Text => Ok(slot),
            kind => Err(Fault::misconfigured(format!(
                "column `{name}` is {kind}, not text: cast it first"
            ))),
        }
    }

    /// What a slot holds now.
    pub(crate) fn field(&self, slot: usize) -> &Field {
        &self.slots[slot].field
    }

    /// The slot that a step writes: the column of this name, of this type from now on, or a new one behind the others.
    pub(crate) fn write(
        &mut self,
        name: &str,
        kind: FieldType,
        nullable: bool,
    ) -> Result<usize, Fault> {
        let field = Field {
            name: name.to_owned(),
            kind,
            nullable,
        };
        if let Some(slot) = self.lookup(name) {
            self.slots[slot].field = field;
            self.slots[slot].put = true;
            return Ok(slot);
        }
        if name.is_empty() {
            return Err(Fault::misconfigured("a column needs a name"));
        }
        self.slots.push(Slot {
            field,
            input: None,
            put: true,
        });
        self.order.push(self.slots.len() - 1);
        Ok(self.slots.len() - 1)
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), Fault> {
        let slot = self.find(from)?;
        if to.is_empty() {
            return Err(Fault::misconfigured("a column needs a name"));
        }
        if from != to && self.lookup(to).is_some() {
            return Err(Fault::misconfigured(format!(
                "there is a column `{to}` already: drop it first"
            )));
        }
        to.clone_into(&mut self.slots[slot].field.name);
        // A column that a step makes is not in the host's batch yet: it is put under its last name.
        if self.slots[slot].input.is_some() {
            self.structure.push(Edit::Rename {
                old: from.to_owned(),
                new: to.to_owned(),
            });
        }
        Ok(())
    }

    fn drop(&mut self, name: &str) -> Result<(), Fault> {
        let slot = self.find(name)?;
        self.order.retain(|other| *other != slot);
        if self.key.contains(&slot) {
            self.key.clear();
        }
        if self.slots[slot].input.is_some() {
            self.structure.push(Edit::Drop(name.to_owned()));
        }
        Ok(())
    }

    fn output(&self) -> Schema {
        let field = |slot: &usize| self.slots[*slot].field.clone();
        Schema {
            fields: self.order.iter().map(field).collect(),
            key: self.key.iter().map(|slot| field(slot).name).collect(),
        }
    }
}
