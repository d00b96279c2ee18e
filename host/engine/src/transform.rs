//! A transform instance: batches in, edits out, and the batch they make.

use crate::answer;
use crate::bindings::transform::{Plugin as World, wit};
use crate::columns::{lift, lower};
use crate::door::records::Handle;
use crate::edits;
use crate::instance::Instance;
use crate::pace::timeout;
use sluice_model::batch::Batch;
use sluice_model::fault::{Fault, FaultKind};
use sluice_model::schema::Schema;
use std::sync::Arc;
use wasmtime::component::{Resource, ResourceAny};

/// One row that a transform refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowRejection {
    /// In the batch as given.
    pub row: usize,
    /// A short stable word.
    pub code: String,
    /// What was wrong with this record.
    pub message: String,
}

/// What came of a batch: every row of it is in `batch`, rejected, or filtered.
#[derive(Debug, Clone)]
pub struct Applied {
    /// What goes on, with the schema that the transform promised.
    pub batch: Batch,
    /// Rows that go to the dead letters, each once, in ascending order.
    pub rejected: Vec<RowRejection>,
    /// Rows left out.
    pub filtered: u64,
}

/// A transform's instance. Not to be used after a fault that [`Fault::poisons_instance`]; every call then says so.
pub struct TransformStage {
    instance: Instance,
    world: World,
    config: String,
    open: Option<Open>,
}

struct Open {
    transformer: ResourceAny,
    input: Arc<Schema>,
    output: Arc<Schema>,
}

impl TransformStage {
    pub(crate) fn new(instance: Instance, world: World, config: String) -> Self {
        Self {
            instance,
            world,
            config,
            open: None,
        }
    }

    /// Prepares it for batches of this schema, in place of an older one. Gives the schema of what will come out.
    pub async fn open(&mut self, input: &Arc<Schema>) -> Result<Arc<Schema>, Fault> {
        self.close().await?;
        let given = lower::schema(input);
        let guest = self.world.sluice_plugin_transform().transformer();
        let time_max = self.instance.begin()?;
        let call = guest.call_open(&mut self.instance.store, &self.config, &given);
        let outcome = timeout(time_max, call).await;
        let transformer = self
            .instance
            .end("open", outcome)?
            .map_err(|fault| answer::fault(&fault))?;
        let time_max = self.instance.begin()?;
        let outcome = timeout(
            time_max,
            guest.call_output(&mut self.instance.store, transformer),
        )
        .await;
        let output = self.instance.end("output", outcome)?;
        let output = lift::schema(output).map_err(|lie| self.instance.malformed("output", lie))?;
        let output = Arc::new(output);
        self.open = Some(Open {
            transformer,
            input: Arc::clone(input),
            output: Arc::clone(&output),
        });
        Ok(output)
    }

    /// Gives it one batch of the schema it was opened with.
    pub async fn apply(&mut self, batch: &Batch) -> Result<Applied, Fault> {
        let open = self.open.as_ref().filter(|open| {
            Arc::ptr_eq(&open.input, &batch.schema) || open.input.fields() == batch.schema.fields()
        });
        let Some(Open {
            transformer,
            output,
            ..
        }) = open
        else {
            return Err(Fault::new(
                FaultKind::Host,
                "a transform was given a batch that it was not opened for",
            ));
        };
        let time_max = self.instance.begin()?;
        let held = self
            .instance
            .store
            .data_mut()
            .table
            .push(Handle::new(batch.clone()));
        let held = match held {
            Ok(held) => held,
            Err(full) => return self.instance.end("apply", Ok(Err(full.into()))),
        };
        let guest = self.world.sluice_plugin_transform().transformer();
        let lent = Resource::new_borrow(held.rep());
        let outcome = timeout(
            time_max,
            guest.call_apply(&mut self.instance.store, *transformer, lent),
        )
        .await;
        let edits = self.instance.end("apply", outcome)?;
        // The handle is the host's, whatever the guest did.
        self.instance
            .store
            .data_mut()
            .table
            .delete(held)
            .map_err(|error| {
                Fault::new(
                    FaultKind::Host,
                    format!("a batch's handle was lost: {error}"),
                )
            })?;
        let edits = edits.map_err(|fault| answer::fault(&fault))?;
        let output = Arc::clone(output);
        self.edited(batch, edits, &output)
    }

    /// Linear memory of the instance, which never shrinks: replace the instance where it has grown too large.
    pub fn memory_bytes(&self) -> u64 {
        self.instance.memory_bytes()
    }

    fn edited(
        &mut self,
        batch: &Batch,
        edits: Vec<wit::Edit>,
        output: &Arc<Schema>,
    ) -> Result<Applied, Fault> {
        let written = edits::columns(&edits);
        let guest = self.instance.store.data_mut();
        match edits::apply(batch, edits, output, &guest.effective) {
            Ok(applied) => {
                for column in &written {
                    guest.tally.wrote(column);
                }
                guest.tell_used();
                Ok(applied)
            }
            Err(edits::Wrong::Lie(lie)) => Err(self.instance.malformed("apply", lie)),
            Err(edits::Wrong::Refused(refusal)) => {
                guest.refused(&refusal);
                let message = format!("`{}` refused: {}", refusal.asked, refusal.reason);
                let fault = Fault::new(FaultKind::Denied, message);
                Err(match refusal.hint {
                    Some(hint) => fault.hint(hint),
                    None => fault,
                })
            }
        }
    }

    async fn close(&mut self) -> Result<(), Fault> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        let time_max = self.instance.begin()?;
        let outcome = timeout(
            time_max,
            open.transformer
                .resource_drop_async(&mut self.instance.store),
        )
        .await;
        self.instance.end("drop", outcome)
    }
}
