//! How much an instance may hold: linear memory, tables, instances. What it asks for beyond that ends its call,
//! rather than letting a failed allocation end in whatever the guest's language makes of it.

use crate::stop::Stop;
use sluice_model::guards::Guard;
use sluice_model::limits;
use wasmtime::ResourceLimiter;

/// Counts what one instance holds.
///
/// Invariant: `memory_bytes` is at most `memory_bytes_max`, all linear memories of the instance together, and
/// `table_entries` at most its limit, all tables together (tests: `memory_over_the_limit`, `tables_over_the_limit`).
#[derive(Debug)]
pub(crate) struct Bounds {
    pub(crate) memory_bytes: u64,
    pub(crate) memory_bytes_max: u64,
    /// What the last permitted growth added, taken back if the system then refuses it.
    growing_bytes: u64,
    /// The same of tables.
    table_entries: usize,
    growing_entries: usize,
}

impl Bounds {
    pub(crate) fn new(memory_bytes_max: u64) -> Self {
        Self {
            memory_bytes: 0,
            memory_bytes_max,
            growing_bytes: 0,
            table_entries: 0,
            growing_entries: 0,
        }
    }
}

impl ResourceLimiter for Bounds {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let growing = (desired as u64).saturating_sub(current as u64);
        let wanted = self.memory_bytes.saturating_add(growing);
        if wanted > Guard::Memory.limit(self.memory_bytes_max) {
            return Err(Stop::Memory {
                wanted_bytes: wanted,
                max_bytes: self.memory_bytes_max,
            }
            .into());
        }
        self.memory_bytes = wanted;
        self.growing_bytes = growing;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory_bytes = self
            .memory_bytes
            .saturating_sub(std::mem::take(&mut self.growing_bytes));
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let growing = desired.saturating_sub(current);
        let wanted = self.table_entries.saturating_add(growing);
        if wanted > Guard::TableEntries.limit(limits::TABLE_ENTRIES_MAX) {
            return Err(Stop::Table { wanted }.into());
        }
        self.table_entries = wanted;
        self.growing_entries = growing;
        Ok(true)
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.table_entries = self
            .table_entries
            .saturating_sub(std::mem::take(&mut self.growing_entries));
        Ok(())
    }

    fn instances(&self) -> usize {
        Guard::CoreInstances.limit(limits::CORE_INSTANCES_MAX)
    }

    fn tables(&self) -> usize {
        Guard::CoreInstances.limit(limits::CORE_INSTANCES_MAX)
    }

    fn memories(&self) -> usize {
        Guard::CoreInstances.limit(limits::CORE_INSTANCES_MAX)
    }
}
