//! Moving a store that was not sealed into one that is. Not in place: the engine is a log, which would keep the values
//! as they were until it happens to write over them.
//!
//! Invariant: one rename, of the format file, makes the new store the only one. Before it the old one is whole and what
//! there is of the new one is thrown away; after it the old one is removed (test: `migration`).

use super::open::{
    Engine, Place, create_engine, remove, settle_snapshots, start, sync, unopenable, verify,
    write_format,
};
use super::{read, writer};
use sluice_model::ports::{Namespace, StateBatch, StateWrite, StoreError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Values copied in one commit: rows read at once, and where one commit ends and the next begins.
const PAGE_ROWS: usize = 64;
const COMMIT_BYTES: usize = 1 << 20;

/// Copies every value through `seal`, and gives how many there were. The lock is held, and the plain store is whole.
pub(crate) fn migrate(
    dir: &Path,
    cache_bytes: u64,
    seal: &dyn Fn(StateBatch) -> Result<StateBatch, StoreError>,
) -> Result<u64, StoreError> {
    let copied = catch_unwind(AssertUnwindSafe(|| copy(dir, cache_bytes, seal)));
    let rows = copied.unwrap_or_else(|_| {
        Err(StoreError::Unopenable(
            "it panicked while it was read".to_owned(),
        ))
    })?;
    write_format(dir, Place::Sealed).map_err(|error| unopenable(dir, &error))?;
    finish(dir)?;
    Ok(rows)
}

/// Removes what a migration leaves behind: values as they were before they were sealed.
pub(crate) fn finish(dir: &Path) -> Result<(), StoreError> {
    remove(&Place::Plain.store(dir))
        .and_then(|()| sync(dir))
        .map_err(|error| unopenable(dir, &error))
}

fn copy(
    dir: &Path,
    cache_bytes: u64,
    seal: &dyn Fn(StateBatch) -> Result<StateBatch, StoreError>,
) -> Result<u64, StoreError> {
    let (from, to) = (Place::Plain.store(dir), Place::Sealed.store(dir));
    settle_snapshots(&from).map_err(|error| unopenable(dir, &error))?;
    let old = start(&from, cache_bytes)?;
    verify(&old)?;
    remove(&to).map_err(|error| unopenable(dir, &error))?;
    let new = create_engine(&to, cache_bytes, old.last_commit()?)?;
    let mut rows = 0;
    for namespace in [
        Namespace::Checkpoint,
        Namespace::DeadLetter,
        Namespace::Meta,
    ] {
        rows += copy_namespace(&old, &new, namespace, seal)?;
    }
    sync(dir).map_err(|error| unopenable(dir, &error))?;
    Ok(rows)
}

fn copy_namespace(
    old: &Engine,
    new: &Engine,
    namespace: Namespace,
    seal: &dyn Fn(StateBatch) -> Result<StateBatch, StoreError>,
) -> Result<u64, StoreError> {
    let (mut rows, mut after) = (0, Vec::new());
    let (mut batch, mut bytes) = (StateBatch::default(), 0);
    loop {
        let pairs = read::scan(old, namespace, b"", &after, PAGE_ROWS)?;
        let is_last = pairs.len() < PAGE_ROWS;
        rows += pairs.len() as u64;
        for (key, value) in pairs {
            after.clone_from(&key);
            bytes += key.len() + value.len();
            batch.writes.push(StateWrite::Put(namespace, key, value));
            if bytes >= COMMIT_BYTES {
                writer::apply(new, seal(std::mem::take(&mut batch))?)?;
                bytes = 0;
            }
        }
        if is_last {
            if !batch.writes.is_empty() {
                writer::apply(new, seal(batch)?)?;
            }
            return Ok(rows);
        }
    }
}
