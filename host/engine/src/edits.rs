//! What a transform's edits make of a batch. Columns that no edit names pass through untouched; the result is held to
//! the schema that the transform promised.

use crate::answer;
use crate::bindings::imports::types::Rejection;
use crate::bindings::transform::wit::{Edit, Replacement};
use crate::columns::{Lie, lift};
use crate::transform::{Applied, RowRejection};
use arrow_array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow_buffer::BooleanBuffer;
use arrow_select::filter::filter_record_batch;
use sluice_model::batch::{Batch, Change};
use sluice_model::guards::Guard;
use sluice_model::limits;
use sluice_model::ports::Refusal;
use sluice_model::schema::{Field, Schema};
use sluice_policy::Effective;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Why edits cannot be applied.
#[derive(Debug)]
pub(crate) enum Wrong {
    /// The contract is broken.
    Lie(Lie),
    /// A column is written that is not granted.
    Refused(Refusal),
}

impl From<Lie> for Wrong {
    fn from(lie: Lie) -> Self {
        Self::Lie(lie)
    }
}

impl From<Refusal> for Wrong {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

fn lie<T>(what: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong::Lie(Lie::new(what)))
}

/// The columns that these edits write, each as often as it is named.
pub(crate) fn columns(edits: &[Edit]) -> Vec<String> {
    let mut columns = Vec::new();
    for edit in edits {
        match edit {
            Edit::Put(named) => columns.push(named.field.name.clone()),
            Edit::Drop(name) => columns.push(name.clone()),
            Edit::Rename(rename) => columns.extend([rename.old.clone(), rename.new.clone()]),
            Edit::Replace(whole) => {
                columns.extend(whole.columns.iter().map(|named| named.field.name.clone()));
            }
            Edit::Keep(_) | Edit::Reject(_) => {}
        }
    }
    columns
}

/// Applies edits in order.
///
/// Invariant: each row of `batch` is the origin of a row that goes on, rejected, or filtered, and never two of these
/// (test: `every_row_has_one_fate`).
pub(crate) fn apply(
    batch: &Batch,
    edits: Vec<Edit>,
    output: &Arc<Schema>,
    effective: &Effective,
) -> Result<Applied, Wrong> {
    let mut desk = Desk::new(batch, effective);
    for edit in edits {
        desk.take(edit)?;
    }
    desk.done(output)
}

/// A batch being edited.
struct Desk<'a> {
    batch: &'a Batch,
    effective: &'a Effective,
    /// The batch's, until an edit names one.
    columns: Vec<(Cow<'a, Field>, ArrayRef)>,
    edited: bool,
    keep: Option<BooleanBuffer>,
    rejected: BTreeMap<usize, RowRejection>,
    replacement: Option<Replaced>,
}

struct Replaced {
    columns: Vec<(Cow<'static, Field>, ArrayRef)>,
    changes: Option<Vec<Change>>,
    origins: Vec<u32>,
}

impl<'a> Desk<'a> {
    fn new(batch: &'a Batch, effective: &'a Effective) -> Self {
        let columns = batch
            .schema
            .fields()
            .iter()
            .map(Cow::Borrowed)
            .zip(batch.data.columns().iter().cloned())
            .collect();
        Self {
            batch,
            effective,
            columns,
            edited: false,
            keep: None,
            rejected: BTreeMap::new(),
            replacement: None,
        }
    }

    fn take(&mut self, edit: Edit) -> Result<(), Wrong> {
        let stands_beside_a_replacement = match &edit {
            Edit::Reject(_) => false,
            Edit::Replace(_) => self.edited || self.keep.is_some() || self.replacement.is_some(),
            _ => self.replacement.is_some(),
        };
        if Guard::EditReplaceAlone.bars(stands_beside_a_replacement) {
            return lie("`replace` stands beside another edit than `reject`");
        }
        match edit {
            Edit::Put(named) => self.put(named),
            Edit::Drop(name) => self.drop(&name),
            Edit::Rename(rename) => self.rename(&rename.old, rename.new),
            Edit::Keep(bits) => self.keep(bits),
            Edit::Reject(rejections) => self.reject(rejections),
            Edit::Replace(replacement) => self.replace(replacement),
        }
    }

    fn may_write(&self, guard: Guard, column: &str) -> Result<(), Refusal> {
        if guard.stands() {
            self.effective.may_write(column)?;
        }
        Ok(())
    }

    fn put(&mut self, named: crate::bindings::imports::records::NamedColumn) -> Result<(), Wrong> {
        self.may_write(Guard::EditPut, &named.field.name)?;
        let (field, array) = lift::named_column(named, self.batch.rows())?;
        let at = self.index_of(&field.name);
        let column = (Cow::Owned(field), array);
        match at {
            Some(index) => self.columns[index] = column,
            None if Guard::EditColumns.bars(self.columns.len() >= limits::FIELDS_MAX) => {
                return lie(format!("it makes more than {} columns", limits::FIELDS_MAX));
            }
            None => self.columns.push(column),
        }
        self.edited = true;
        Ok(())
    }

    fn drop(&mut self, name: &str) -> Result<(), Wrong> {
        self.may_write(Guard::EditDrop, name)?;
        let Some(index) = self.index_of(name) else {
            return lie(format!(
                "it drops column `{}`, which is not there",
                answer::quoted(name)
            ));
        };
        self.columns.remove(index);
        self.edited = true;
        Ok(())
    }

    fn rename(&mut self, old: &str, new: String) -> Result<(), Wrong> {
        self.may_write(Guard::EditRename, old)?;
        self.may_write(Guard::EditRename, &new)?;
        if new.is_empty() || new.len() > Guard::RenameLength.limit(limits::FIELD_NAME_BYTES_MAX) {
            return lie(format!(
                "it renames column `{}` to a name of {} bytes; 1 to {} are allowed",
                answer::quoted(old),
                new.len(),
                limits::FIELD_NAME_BYTES_MAX
            ));
        }
        let Some(index) = self.index_of(old) else {
            return lie(format!(
                "it renames column `{}`, which is not there",
                answer::quoted(old)
            ));
        };
        let is_there = self.index_of(&new).is_some_and(|other| other != index);
        if Guard::EditRenameOnto.bars(is_there) {
            return lie(format!(
                "it renames a column to `{}`, which is there already",
                answer::quoted(&new)
            ));
        }
        self.columns[index].0.to_mut().name = new;
        self.edited = true;
        Ok(())
    }

    fn keep(&mut self, bits: Vec<u8>) -> Result<(), Wrong> {
        if Guard::EditKeepOnce.bars(self.keep.is_some()) {
            return lie("`keep` stands twice");
        }
        let bits = lift::bits(bits, self.batch.rows())
            .map_err(|what| Lie::new(format!("`keep`: {what}")))?;
        self.keep = Some(bits);
        Ok(())
    }

    fn reject(&mut self, rejections: Vec<Rejection>) -> Result<(), Wrong> {
        let rows = self.batch.rows();
        for rejection in rejections {
            let row = rejection.row as usize;
            if Guard::EditRejections.bars(rejection.part != 0 || row >= rows) {
                return lie(format!(
                    "it rejects row {row} of part {}; part 0 has {rows} rows",
                    rejection.part
                ));
            }
            let (code, message) = answer::rejection(&rejection);
            self.rejected
                .entry(row)
                .or_insert(RowRejection { row, code, message });
        }
        Ok(())
    }

    fn replace(&mut self, given: Replacement) -> Result<(), Wrong> {
        let rows = given.rows as usize;
        if Guard::EditOriginsCount.bars(given.origins.len() != rows) {
            return lie(format!("{} origins for {rows} rows", given.origins.len()));
        }
        let entered = self.batch.origin.entered.schema.fields().len();
        let cells = rows.saturating_mul(given.columns.len().max(entered).max(1));
        if cells > Guard::EditCells.limit(limits::EDIT_CELLS_MAX) {
            return lie(format!(
                "it makes {rows} rows of one batch, with {} columns and {entered} where they come from: {} values at most \
                 are allowed",
                given.columns.len(),
                limits::EDIT_CELLS_MAX
            ));
        }
        if let Some(origin) = given
            .origins
            .iter()
            .find(|origin| Guard::EditOrigins.bars(**origin as usize >= self.batch.rows()))
        {
            return lie(format!(
                "a row comes from row {origin} of a batch of {} rows",
                self.batch.rows()
            ));
        }
        for named in &given.columns {
            self.may_write(Guard::EditReplace, &named.field.name)?;
        }
        let gone = |field: &&Field| {
            !given
                .columns
                .iter()
                .any(|named| named.field.name == field.name)
        };
        for field in self.batch.schema.fields().iter().filter(gone) {
            self.may_write(Guard::EditReplaceDrops, &field.name)?;
        }
        let changes = given
            .changes
            .map(|changes| lift::changes(&changes, rows))
            .transpose()?;
        let columns = given.columns.into_iter().map(|named| {
            lift::named_column(named, rows).map(|(field, array)| (Cow::Owned(field), array))
        });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        self.replacement = Some(Replaced {
            columns,
            changes,
            origins: given.origins,
        });
        Ok(())
    }

    fn index_of(&self, name: &str) -> Option<usize> {
        self.columns
            .iter()
            .position(|(field, _)| field.name == name)
    }

    fn done(mut self, output: &Arc<Schema>) -> Result<Applied, Wrong> {
        let rejected = std::mem::take(&mut self.rejected);
        let (batch, gone) = match self.replacement.take() {
            Some(replaced) => self.replaced(replaced, output, &rejected)?,
            None => self.kept(output, &rejected)?,
        };
        let filtered = (gone - rejected.len()) as u64;
        Ok(Applied {
            batch,
            rejected: rejected.into_values().collect(),
            filtered,
        })
    }

    /// The edited columns of the rows that stay, and how many rows do not.
    fn kept(
        self,
        output: &Arc<Schema>,
        rejected: &BTreeMap<usize, RowRejection>,
    ) -> Result<(Batch, usize), Wrong> {
        let rows = self.batch.rows();
        let data = if !self.edited && self.batch.schema.fields() == output.fields() {
            self.batch.data.clone()
        } else {
            shaped(self.columns, rows, output)?
        };
        let batch = Batch {
            stream: self.batch.stream.clone(),
            schema: Arc::clone(output),
            data,
            changes: self.batch.changes.clone(),
            origin: self.batch.origin.clone(),
        };
        let stays = match (self.keep, rejected.is_empty()) {
            (None, true) => return Ok((batch, 0)),
            (Some(keep), true) => keep,
            (keep, false) => BooleanBuffer::collect_bool(rows, |row| {
                keep.as_ref().is_none_or(|keep| keep.value(row)) && !rejected.contains_key(&row)
            }),
        };
        let gone = rows - stays.count_set_bits();
        Ok((
            if gone == 0 {
                batch
            } else {
                filtered(batch, &stays)?
            },
            gone,
        ))
    }

    /// The new rows, and how many of the old ones none of them came from.
    fn replaced(
        self,
        replaced: Replaced,
        output: &Arc<Schema>,
        rejected: &BTreeMap<usize, RowRejection>,
    ) -> Result<(Batch, usize), Wrong> {
        let Replaced {
            columns,
            changes,
            origins,
        } = replaced;
        if let Some(origin) = origins.iter().find(|origin| {
            Guard::EditOriginRejected.bars(rejected.contains_key(&(**origin as usize)))
        }) {
            return lie(format!(
                "row {origin} is rejected, and yet the origin of a new row"
            ));
        }
        let mut used = vec![false; self.batch.rows()];
        for origin in &origins {
            used[*origin as usize] = true;
        }
        let gone = used.iter().filter(|used| !**used).count();
        let mut origin = self.batch.origin.clone();
        origin.rows = origin.rows.picked(origins.iter().map(|row| *row as usize));
        let batch = Batch {
            stream: self.batch.stream.clone(),
            schema: Arc::clone(output),
            data: shaped(columns, origins.len(), output)?,
            changes: changes.map(Arc::new),
            origin,
        };
        Ok((batch, gone))
    }
}

/// The columns in the promised order, where they are what was promised: names, types, nullability, none more.
fn shaped(
    mut columns: Vec<(Cow<'_, Field>, ArrayRef)>,
    rows: usize,
    output: &Schema,
) -> Result<RecordBatch, Wrong> {
    let mut arrays = Vec::with_capacity(columns.len());
    for promised in output.fields() {
        let Some(index) = columns
            .iter()
            .position(|(field, _)| field.name == promised.name)
        else {
            return lie(format!(
                "`output` promised a column `{}`, which is not there",
                answer::quoted(&promised.name)
            ));
        };
        let (field, array) = columns.swap_remove(index);
        if Guard::OutputKinds.bars(*field != *promised) {
            return lie(format!(
                "column `{}` is {}; `output` promised {}",
                answer::quoted(&field.name),
                described(&field),
                described(promised)
            ));
        }
        arrays.push(array);
    }
    if Guard::OutputColumns.stands()
        && let Some((field, _)) = columns.first()
    {
        return lie(format!(
            "column `{}` is not in what `output` promised",
            answer::quoted(&field.name)
        ));
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(output.arrow()), arrays, &options)
        .map_err(|error| Wrong::Lie(Lie::new(error.to_string())))
}

fn described(field: &Field) -> String {
    format!(
        "{}{}",
        field.kind,
        if field.nullable { "" } else { ", not nullable" }
    )
}

fn filtered(batch: Batch, stays: &BooleanBuffer) -> Result<Batch, Wrong> {
    let changes = batch.changes.as_ref().map(|changes| {
        Arc::new(
            stays
                .set_indices()
                .map(|row| changes[row])
                .collect::<Vec<_>>(),
        )
    });
    let data = filter_record_batch(&batch.data, &BooleanArray::new(stays.clone(), None))
        .map_err(|error| Lie::new(error.to_string()))?;
    let Batch {
        stream,
        schema,
        mut origin,
        ..
    } = batch;
    origin.rows = origin.rows.kept(stays);
    Ok(Batch {
        stream,
        schema,
        data,
        changes,
        origin,
    })
}

#[cfg(test)]
pub(crate) mod tests;
