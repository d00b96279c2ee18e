//! A stable identity for each row: the same for the same record however often it is delivered and however its batch
//! is cut, made from the record as it entered the pipeline.
//!
//! Where the stream has a key, and the record a value in each of its fields, the identity is of the key's values, in
//! the key's order; else of every field that has a value, by name. Fields without a value do not count, so that a
//! schema that grows does not change what was already delivered.
//!
//! A key goes into it that no plugin has: whoever may not see a column cannot find its values by hashing guesses.
//!
//! What is hashed is unambiguous: each part is preceded by its length, each value by its type.

use crate::encode::json::write_value;
use crate::encode::{Cells, Values};
use sha2::{Digest as _, Sha256};
use sluice_model::batch::{Batch, Change};
use sluice_model::guards::Guard;

/// Bytes of one identity: SHA-256, cut off. 128 bits leave two records in 2^64 to meet.
pub const ROW_ID_BYTES: usize = 16;

/// Sets these hashes apart from all others. A change of what is hashed needs another.
const DOMAIN: &[u8] = b"sluice row 2";

/// What a pipeline's identities are made with: 32 random bytes that stay the same.
pub type RowKey = [u8; 32];

/// [`ROW_ID_BYTES`] bytes a row, end to end. The removal of a record has another identity than its writing.
pub fn row_ids(batch: &Batch, row_key: &RowKey) -> Vec<u8> {
    let entered = &batch.origin.entered;
    // The batch's own schema made these columns: see the invariant of `Batch`.
    let columns = Cells::of_batch(&entered.schema, &entered.data, None).unwrap_or_default();
    let key: Vec<&Cells<'_>> = entered
        .schema
        .key()
        .iter()
        .filter_map(|name| columns.iter().find(|cells| cells.name == name))
        .collect();
    let mut by_name: Vec<&Cells<'_>> = columns.iter().collect();
    by_name.sort_by_key(|cells| cells.name);

    let mut stream = Sha256::new();
    part(&mut stream, DOMAIN);
    // First, and the hash is cut off: nobody continues it.
    if Guard::RowKeyed.stands() {
        part(&mut stream, row_key);
    }
    part(&mut stream, batch.stream.as_str().as_bytes());
    let mut value = Vec::new();
    let mut ids = Vec::with_capacity(batch.rows() * ROW_ID_BYTES);
    for row in 0..batch.rows() {
        let row = batch.entered_row(row);
        let removed = entered
            .changes
            .as_ref()
            .is_some_and(|changes| changes.get(row) == Some(&Change::Delete));
        let keyed = !key.is_empty() && key.iter().all(|cells| cells.has_value(row));
        let mut hash = stream.clone();
        part(&mut hash, if keyed { b"key" } else { b"all" });
        part(&mut hash, if removed { b"delete" } else { b"upsert" });
        for cells in if keyed { &key } else { &by_name } {
            if cells.has_value(row) {
                part(&mut hash, cells.name.as_bytes());
                part(&mut hash, type_word(&cells.values));
                value.clear();
                write_value(&mut value, &cells.values, row);
                part(&mut hash, &value);
            }
        }
        ids.extend_from_slice(&hash.finalize()[..ROW_ID_BYTES]);
    }
    ids
}

fn part(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}

fn type_word(values: &Values<'_>) -> &'static [u8] {
    match values {
        Values::Boolean(_) => b"boolean",
        Values::Int64(_) => b"int64",
        Values::Float64(_) => b"float64",
        Values::Decimal(..) => b"decimal",
        Values::Text(_) => b"text",
        Values::Binary(_) => b"binary",
        Values::Date(_) => b"date",
        Values::Timestamp(_) => b"timestamp",
        Values::Json(_) => b"json",
    }
}
