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
use sluice_model::batch::{Batch, Change, Entered};
use sluice_model::guards::Guard;

/// Bytes of one identity: SHA-256, cut off. 128 bits leave two records in 2^64 to meet.
pub const ROW_ID_BYTES: usize = 16;

/// Sets these hashes apart from all others. A change of what is hashed needs another.
const DOMAIN: &[u8] = b"sluice row 2";

/// What a pipeline's identities are made with: 32 random bytes that stay the same.
pub type RowKey = [u8; 32];

/// [`ROW_ID_BYTES`] bytes a row, end to end. The removal of a record has another identity than its writing. A dead letter
/// that is redriven keeps the one it had.
pub fn row_ids(batch: &Batch, row_key: &RowKey) -> Vec<u8> {
    let identities = Identities::of(batch, row_key);
    let mut ids = Vec::with_capacity(batch.rows() * ROW_ID_BYTES);
    let mut value = Vec::new();
    for row in 0..batch.rows() {
        ids.extend_from_slice(&identities.at(batch.entered_row(row), &mut value));
    }
    ids
}

/// The same of one row.
pub fn row_id(batch: &Batch, row: usize, row_key: &RowKey) -> [u8; ROW_ID_BYTES] {
    Identities::of(batch, row_key).at(batch.entered_row(row), &mut Vec::new())
}

/// A digest of each record of a batch that enters, to tell those that come again from those that do not: of these fields, or
/// of all that have a value. None for a record without a value in one of the fields: nothing can be said of it.
pub fn digests(
    batch: &Batch,
    fields: Option<&[String]>,
    row_key: &RowKey,
) -> Vec<Option<[u8; ROW_ID_BYTES]>> {
    let mut identities = Identities::of(batch, row_key);
    let columns = &identities.columns;
    let at = |name: &String| columns.iter().position(|cells| cells.name == name.as_str());
    identities.key = match fields {
        Some(fields) => match fields.iter().map(at).collect::<Option<_>>() {
            Some(key) => key,
            None => return vec![None; batch.rows()],
        },
        None => Vec::new(),
    };
    let mut value = Vec::new();
    let rows = (0..batch.rows()).map(|row| batch.entered_row(row));
    rows.map(|row| {
        let has_value = |at: &usize| identities.columns[*at].has_value(row);
        let is_told = identities.key.iter().all(has_value);
        is_told.then(|| identities.at(row, &mut value))
    })
    .collect()
}

/// What the identities of a batch's records are made from.
struct Identities<'a> {
    entered: &'a Entered,
    columns: Vec<Cells<'a>>,
    /// Of `columns`, the key's, in its order.
    key: Vec<usize>,
    /// All of them by name.
    by_name: Vec<usize>,
    stream: Sha256,
}

impl<'a> Identities<'a> {
    fn of(batch: &'a Batch, row_key: &RowKey) -> Self {
        let entered = &*batch.origin.entered;
        // The batch's own schema made these columns: see the invariant of `Batch`.
        let columns = Cells::of_batch(&entered.schema, &entered.data, None).unwrap_or_default();
        let key = entered.schema.key().iter();
        let key = key.filter_map(|name| columns.iter().position(|cells| cells.name == name));
        let key = key.collect();
        let mut by_name: Vec<usize> = (0..columns.len()).collect();
        by_name.sort_by_key(|at| columns[*at].name);
        let mut stream = Sha256::new();
        part(&mut stream, DOMAIN);
        // First, and the hash is cut off: nobody continues it.
        if Guard::RowKeyed.stands() {
            part(&mut stream, row_key);
        }
        part(&mut stream, batch.stream.as_str().as_bytes());
        Self {
            entered,
            columns,
            key,
            by_name,
            stream,
        }
    }

    /// Of a record as it entered; `value` is room to write in.
    fn at(&self, row: usize, value: &mut Vec<u8>) -> [u8; ROW_ID_BYTES] {
        let letters = self.entered.letters.as_ref();
        let known = letters.and_then(|letters| letters.identities.get(row).copied().flatten());
        if let Some(known) = known {
            return known;
        }
        let changes = self.entered.changes.as_ref();
        let removed = changes.is_some_and(|changes| changes.get(row) == Some(&Change::Delete));
        let has_value = |at: &usize| self.columns[*at].has_value(row);
        let keyed = !self.key.is_empty() && self.key.iter().all(has_value);
        let mut hash = self.stream.clone();
        part(&mut hash, if keyed { b"key" } else { b"all" });
        part(&mut hash, if removed { b"delete" } else { b"upsert" });
        let named = if keyed { &self.key } else { &self.by_name };
        for cells in named.iter().map(|at| &self.columns[*at]) {
            if cells.has_value(row) {
                part(&mut hash, cells.name.as_bytes());
                part(&mut hash, type_word(&cells.values));
                value.clear();
                write_value(value, &cells.values, row);
                part(&mut hash, value);
            }
        }
        let digest = hash.finalize();
        *digest.first_chunk().expect("a digest has 32 bytes")
    }
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
