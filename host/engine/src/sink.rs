//! A sink instance: units in, rejections out, and the commit it may keep.

use crate::answer;
use crate::bindings::sink::{Plugin as World, wit};
use crate::columns::lower;
use crate::door::records::Handle;
use crate::instance::Instance;
use crate::pace::timeout;
use sluice_model::batch::Batch;
use sluice_model::checkpoint::{Commit, Mark};
use sluice_model::fault::{Fault, FaultKind};
use sluice_model::guards::Guard;
use sluice_model::ids::{PipelineName, SplitId, StreamName};
use sluice_model::limits;
use sluice_model::schema::Schema;
use std::collections::BTreeMap;
use std::sync::Arc;
use wasmtime::component::{Resource, ResourceAny, ResourceTableError};

/// One row that a sink refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkRejection {
    /// In the unit's parts.
    pub part: usize,
    /// In the part.
    pub row: usize,
    /// A short stable word.
    pub code: String,
    /// What was wrong with this record.
    pub message: String,
}

/// A sink's instance. Not to be used after a fault that [`Fault::poisons_instance`]; every call then says so.
pub struct Sink {
    instance: Instance,
    world: World,
    config: String,
    open: Option<Open>,
}

struct Open {
    writer: ResourceAny,
    pipeline: PipelineName,
    split: SplitId,
}

impl Sink {
    pub(crate) fn new(instance: Instance, world: World, config: String) -> Self {
        Self {
            instance,
            world,
            config,
            open: None,
        }
    }

    /// Can it reach its system?
    pub async fn check(&mut self) -> Result<(), Fault> {
        let time_max = self.instance.begin()?;
        let call = self
            .world
            .sluice_plugin_sink()
            .call_check(&mut self.instance.store, &self.config);
        let outcome = timeout(time_max, call).await;
        self.instance
            .end("check", outcome)?
            .map_err(|fault| answer::fault(&fault))
    }

    /// Opens the writer of one split inside this instance, in place of an older one.
    pub async fn open(
        &mut self,
        pipeline: &PipelineName,
        split: &SplitId,
        targets: &[(StreamName, Arc<Schema>)],
    ) -> Result<(), Fault> {
        self.close().await?;
        let targets: Vec<_> = targets
            .iter()
            .map(|(stream, schema)| wit::Target {
                stream: stream.to_string(),
                schema: lower::schema(schema),
            })
            .collect();
        let time_max = self.instance.begin()?;
        let guest = self.world.sluice_plugin_sink().writer();
        let store = &mut self.instance.store;
        let call = guest.call_open(
            store,
            &self.config,
            pipeline.as_str(),
            split.as_str(),
            &targets,
        );
        let outcome = timeout(time_max, call).await;
        let writer = self
            .instance
            .end("open", outcome)?
            .map_err(|fault| answer::fault(&fault))?;
        self.open = Some(Open {
            writer,
            pipeline: pipeline.clone(),
            split: split.clone(),
        });
        Ok(())
    }

    /// The last commit published, where this sink keeps it with its data. Called once, after `open`.
    pub async fn committed(&mut self) -> Result<Option<Commit>, Fault> {
        let writer = self.opened()?.writer;
        let time_max = self.instance.begin()?;
        let guest = self.world.sluice_plugin_sink().writer();
        let outcome = timeout(
            time_max,
            guest.call_committed(&mut self.instance.store, writer),
        )
        .await;
        let commit = self
            .instance
            .end("committed", outcome)?
            .map_err(|fault| answer::fault(&fault))?;
        let Some(commit) = commit else {
            return Ok(None);
        };
        let open = self.opened()?;
        let is_others =
            commit.pipeline != open.pipeline.as_str() || commit.split != open.split.as_str();
        if Guard::CommitOwner.bars(is_others) {
            let lie = format!(
                "the commit is of `{}` in `{}`, not of `{}` in `{}`",
                answer::quoted(&commit.split),
                answer::quoted(&commit.pipeline),
                open.split,
                open.pipeline
            );
            return Err(self.instance.malformed("committed", lie));
        }
        if commit.cursor.len() > Guard::CommitCursor.limit(limits::CURSOR_BYTES_MAX) {
            return Err(self
                .instance
                .malformed("committed", "the cursor is longer than any the host gave"));
        }
        let mark = Mark {
            epoch: commit.epoch,
            sequence: commit.sequence,
        };
        if mark.epoch.max(mark.sequence) > Guard::CommitMark.limit(limits::MARK_MAX) {
            let lie = format!("the commit is {mark}, which no host has counted to");
            return Err(self.instance.malformed("committed", lie));
        }
        Ok(Some(Commit {
            mark,
            cursor: commit.cursor.into(),
        }))
    }

    /// Hands over one unit. Gives the rows that the sink refuses, each once; all others are at the destination, or
    /// ready to be published.
    pub async fn write(
        &mut self,
        parts: &[Batch],
        commit: &Commit,
    ) -> Result<Vec<SinkRejection>, Fault> {
        let (writer, commit) = (self.opened()?.writer, self.told(commit)?);
        let time_max = self.instance.begin()?;
        let given = match self.lend(parts) {
            Ok(given) => given,
            Err(full) => return self.instance.end("write", Ok(Err(full.into()))),
        };
        let handles: Vec<u32> = given.iter().map(|part| part.batch.rep()).collect();
        let guest = self.world.sluice_plugin_sink().writer();
        let outcome = timeout(
            time_max,
            guest.call_write(&mut self.instance.store, writer, &given, &commit),
        )
        .await;
        let rejections = self.instance.end("write", outcome)?;
        self.take_back(handles);
        let rejections = rejections.map_err(|fault| answer::fault(&fault))?;
        rejected(rejections, parts).map_err(|lie| self.instance.malformed("write", lie))
    }

    /// Makes the unit last written visible together with its commit.
    pub async fn publish(&mut self, commit: &Commit) -> Result<(), Fault> {
        let (writer, commit) = (self.opened()?.writer, self.told(commit)?);
        let time_max = self.instance.begin()?;
        let guest = self.world.sluice_plugin_sink().writer();
        let outcome = timeout(
            time_max,
            guest.call_publish(&mut self.instance.store, writer, &commit),
        )
        .await;
        self.instance
            .end("publish", outcome)?
            .map_err(|fault| answer::fault(&fault))
    }

    /// Requests that change something at the other end and were answered with success, over this instance's life.
    pub fn taken(&self) -> u64 {
        self.instance.store.data().taken()
    }

    /// Whether it may be used again.
    pub fn is_alive(&self) -> bool {
        self.instance.is_alive()
    }

    /// Linear memory of the instance, which never shrinks: replace the instance where it has grown too large.
    pub fn memory_bytes(&self) -> u64 {
        self.instance.memory_bytes()
    }

    fn opened(&self) -> Result<&Open, Fault> {
        let not_open = || {
            Fault::new(
                FaultKind::Host,
                "a sink was written to before it was opened",
            )
        };
        self.open.as_ref().ok_or_else(not_open)
    }

    fn told(&self, commit: &Commit) -> Result<wit::Commit, Fault> {
        let open = self.opened()?;
        Ok(wit::Commit {
            pipeline: open.pipeline.to_string(),
            split: open.split.to_string(),
            cursor: commit.cursor.as_bytes().to_vec(),
            epoch: commit.mark.epoch,
            sequence: commit.mark.sequence,
        })
    }

    /// A handle for each part, beside those that the guest may hold of its own.
    fn lend(&mut self, parts: &[Batch]) -> Result<Vec<wit::Part>, ResourceTableError> {
        let table = &mut self.instance.store.data_mut().table;
        let most = Guard::Handles.limit(limits::HANDLES_MAX);
        table.set_max_capacity(most.saturating_add(parts.len()));
        let lend = |batch: &Batch| {
            let handle = table.push(Handle::new(batch.clone()))?;
            Ok(wit::Part {
                stream: batch.stream.to_string(),
                batch: handle,
            })
        };
        parts.iter().map(lend).collect()
    }

    /// A sink has no use for a batch after its unit: what the guest did not drop is emptied, and its place in the
    /// table counts against the guest's handles from now on.
    fn take_back(&mut self, handles: Vec<u32>) {
        let table = &mut self.instance.store.data_mut().table;
        for handle in handles {
            if let Ok(kept) = table.get_mut(&Resource::<Handle>::new_borrow(handle))
                && Guard::BatchClosed.stands()
            {
                kept.close();
            }
        }
        table.set_max_capacity(Guard::Handles.limit(limits::HANDLES_MAX));
    }

    async fn close(&mut self) -> Result<(), Fault> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        let time_max = self.instance.begin()?;
        let outcome = timeout(
            time_max,
            open.writer.resource_drop_async(&mut self.instance.store),
        )
        .await;
        self.instance.end("drop", outcome)
    }
}

/// The rejections of a unit, each row once, in order.
fn rejected(
    given: Vec<crate::bindings::imports::types::Rejection>,
    parts: &[Batch],
) -> Result<Vec<SinkRejection>, String> {
    let mut rejected = BTreeMap::new();
    for rejection in given {
        let (part, row) = (rejection.part as usize, rejection.row as usize);
        let rows = parts.get(part).map(Batch::rows).ok_or_else(|| {
            format!(
                "it rejects a row of part {part}; there are {} parts",
                parts.len()
            )
        })?;
        if Guard::SinkRejections.bars(row >= rows) {
            return Err(format!(
                "it rejects row {row} of part {part}, which has {rows} rows"
            ));
        }
        let (code, message) = answer::rejection(&rejection);
        rejected.entry((part, row)).or_insert(SinkRejection {
            part,
            row,
            code,
            message,
        });
    }
    Ok(rejected.into_values().collect())
}
