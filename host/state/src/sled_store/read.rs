//! Reading beside the writer. What is read may be a moment younger than what is durable, never older.

use super::layout::{Chunked, Entry, tree_key};
use super::open::Engine;
use super::writer::malformed;
use sluice_model::ports::{Namespace, Pairs, StoreError};
use std::ops::Bound;

/// How often a value may be replaced while it is read.
const ATTEMPTS_MAX: usize = 100;

/// One value.
pub(super) fn get(
    engine: &Engine,
    namespace: Namespace,
    key: &[u8],
) -> Result<Option<Vec<u8>>, StoreError> {
    value(engine, &tree_key(namespace, key))
}

/// Pairs in order; see the trait.
pub(super) fn scan(
    engine: &Engine,
    namespace: Namespace,
    prefix: &[u8],
    after: &[u8],
    limit: usize,
) -> Result<Pairs, StoreError> {
    let start = if after < prefix || after.is_empty() {
        Bound::Included(tree_key(namespace, prefix))
    } else {
        Bound::Excluded(tree_key(namespace, after))
    };
    let prefix = tree_key(namespace, prefix);
    let mut pairs = Pairs::new();
    for found in engine.db.range::<Vec<u8>, _>((start, Bound::Unbounded)) {
        if pairs.len() == limit {
            break;
        }
        let (key, bytes) = found.map_err(|error| StoreError::Failed(error.to_string()))?;
        if !key.starts_with(&prefix) {
            break;
        }
        let value = match Entry::decode(&bytes).ok_or_else(malformed)? {
            Entry::Inline(value) => Some(value),
            // Removed since the header was read: then it is not there.
            Entry::Chunked(_) => value(engine, &key)?,
        };
        pairs.extend(value.map(|value| (key[1..].to_vec(), value)));
    }
    Ok(pairs)
}

/// A value that is replaced while its chunks are read is read again: the new one has other chunks.
fn value(engine: &Engine, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
    for _ in 0..ATTEMPTS_MAX {
        let bytes = engine
            .db
            .get(key)
            .map_err(|error| StoreError::Failed(error.to_string()))?;
        let Some(bytes) = bytes else { return Ok(None) };
        match Entry::decode(&bytes).ok_or_else(malformed)? {
            Entry::Inline(value) => return Ok(Some(value)),
            Entry::Chunked(chunked) => {
                if let Some(value) = chunks(engine, chunked)? {
                    return Ok(Some(value));
                }
            }
        }
    }
    Err(malformed())
}

fn chunks(engine: &Engine, chunked: Chunked) -> Result<Option<Vec<u8>>, StoreError> {
    let mut value = Vec::new();
    for key in chunked.keys() {
        match engine
            .db
            .get(key)
            .map_err(|error| StoreError::Failed(error.to_string()))?
        {
            Some(chunk) => value.extend_from_slice(&chunk),
            None => return Ok(None),
        }
    }
    Ok(Some(value))
}
