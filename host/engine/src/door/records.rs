//! Batches, as a guest sees them: only the columns it asks for are copied in, and only those it is granted.

use crate::bindings::imports::records as wit;
use crate::bounds::Bounds;
use crate::columns::lower;
use crate::guest::Guest;
use crate::stop::Stop;
use crate::tally::Tally;
use arrow_array::{BooleanArray, RecordBatch};
use arrow_select::filter::filter_record_batch;
use sluice_codec::{EncodeError, Format, encode, encode_parquet, encode_rows, row_ids};
use sluice_model::batch::{Batch, Change};
use sluice_model::guards::Guard;
use sluice_model::ports::Refusal;
use sluice_policy::Effective;
use wasmtime::component::Resource;

/// A batch in a guest's hands. Emptied when its unit is over, even where the guest holds on to it.
pub struct Handle(Option<Batch>);

impl Handle {
    pub(crate) fn new(batch: Batch) -> Self {
        Self(Some(batch))
    }

    /// Lets go of the records.
    pub(crate) fn close(&mut self) {
        self.0 = None;
    }

    fn batch(&self) -> wasmtime::Result<&Batch> {
        self.0
            .as_ref()
            .ok_or_else(|| wasmtime::Error::msg("it used a batch after the call it was given in"))
    }
}

impl wit::Host for Guest {
    fn encode_parquet(
        &mut self,
        batches: Vec<Resource<Handle>>,
    ) -> wasmtime::Result<Result<Vec<u8>, wit::ColumnError>> {
        let mut given = Vec::with_capacity(batches.len());
        for batch in batches {
            given.push(self.table.delete(batch)?);
        }
        let given = given.iter().map(Handle::batch);
        let given = given.collect::<wasmtime::Result<Vec<&Batch>>>()?;
        let Some(first) = one_schema(&given)? else {
            return Ok(Ok(Vec::new()));
        };
        let columns = match readable(first, &self.effective) {
            Ok(columns) => columns,
            Err(refusal) => return Ok(Err(wit::ColumnError::Denied(self.refused(&refusal)))),
        };
        tell(&mut self.tally, first, columns.as_deref());
        let kept = given.iter().map(|batch| upserts(batch));
        let kept = kept.collect::<wasmtime::Result<Vec<RecordBatch>>>()?;
        let kept: Vec<&RecordBatch> = kept.iter().collect();
        let bytes_max = bytes_max(&self.bounds);
        let file =
            encode_parquet(&first.schema, &kept, columns.as_deref(), bytes_max).map_err(beyond)?;
        self.tell_used();
        Ok(Ok(file))
    }
}

impl wit::HostBatch for Guest {
    fn rows(&mut self, batch: Resource<Handle>) -> wasmtime::Result<u32> {
        let rows = self.table.get(&batch)?.batch()?.rows();
        Ok(u32::try_from(rows)?)
    }

    fn schema(&mut self, batch: Resource<Handle>) -> wasmtime::Result<wit::Schema> {
        Ok(lower::schema(&self.table.get(&batch)?.batch()?.schema))
    }

    fn column(
        &mut self,
        batch: Resource<Handle>,
        name: String,
    ) -> wasmtime::Result<Result<wit::Column, wit::ColumnError>> {
        let batch = self.table.get(&batch)?.batch()?;
        let Some(index) = batch.schema.index_of(&name) else {
            return Ok(Err(wit::ColumnError::Unknown(name)));
        };
        if Guard::ColumnRead.stands()
            && let Err(refusal) = self.effective.may_read(&name)
        {
            return Ok(Err(wit::ColumnError::Denied(self.refused(&refusal))));
        }
        self.tally.read(&name);
        let column = lower::column(&batch.schema.fields()[index], batch.data.column(index));
        self.tell_used();
        Ok(Ok(column))
    }

    fn changes(&mut self, batch: Resource<Handle>) -> wasmtime::Result<Option<Vec<wit::Change>>> {
        let batch = self.table.get(&batch)?.batch()?;
        Ok(batch
            .changes
            .as_ref()
            .map(|changes| lower::changes(changes)))
    }

    fn row_ids(&mut self, batch: Resource<Handle>) -> wasmtime::Result<Vec<u8>> {
        Ok(row_ids(self.table.get(&batch)?.batch()?, &self.row_key))
    }

    fn encode(
        &mut self,
        batch: Resource<Handle>,
        format: wit::Format,
    ) -> wasmtime::Result<Result<Vec<u8>, wit::ColumnError>> {
        let batch = self.table.get(&batch)?.batch()?;
        let columns = match readable(batch, &self.effective) {
            Ok(columns) => columns,
            Err(refusal) => return Ok(Err(wit::ColumnError::Denied(self.refused(&refusal)))),
        };
        let format = match format {
            wit::Format::Ndjson => Format::Ndjson,
            wit::Format::JsonArray => Format::JsonArray,
            wit::Format::Csv(csv) => Format::Csv { header: csv.header },
        };
        tell(&mut self.tally, batch, columns.as_deref());
        let (bytes_max, mut out) = (bytes_max(&self.bounds), Vec::new());
        encode(
            &batch.schema,
            &batch.data,
            columns.as_deref(),
            &format,
            bytes_max,
            &mut out,
        )
        .map_err(beyond)?;
        self.tell_used();
        Ok(Ok(out))
    }

    fn encode_rows(
        &mut self,
        batch: Resource<Handle>,
    ) -> wasmtime::Result<Result<wit::Packed, wit::ColumnError>> {
        let batch = self.table.get(&batch)?.batch()?;
        let columns = match readable(batch, &self.effective) {
            Ok(columns) => columns,
            Err(refusal) => return Ok(Err(wit::ColumnError::Denied(self.refused(&refusal)))),
        };
        tell(&mut self.tally, batch, columns.as_deref());
        let bytes_max = bytes_max(&self.bounds);
        let (offsets, bytes) =
            encode_rows(&batch.schema, &batch.data, columns.as_deref(), bytes_max)
                .map_err(beyond)?;
        self.tell_used();
        Ok(Ok(wit::Packed { offsets, bytes }))
    }

    fn drop(&mut self, batch: Resource<Handle>) -> wasmtime::Result<()> {
        self.table.delete(batch)?;
        Ok(())
    }
}

/// The first of the batches of one file: what is granted of it is encoded of all of them.
fn one_schema<'a>(given: &[&'a Batch]) -> wasmtime::Result<Option<&'a Batch>> {
    let first = given.first().copied();
    if Guard::ParquetBatches.bars(first.is_none()) {
        return Err(wasmtime::Error::msg("it asked for a file of no batches"));
    }
    let differs = |batch: &&Batch| first.is_some_and(|first| batch.schema != first.schema);
    if Guard::ParquetSchema.bars(given.iter().any(differs)) {
        let message = "it asked for one file of batches whose schemas differ";
        return Err(wasmtime::Error::msg(message));
    }
    Ok(first)
}

/// A batch without the rows that ask to be deleted.
fn upserts(batch: &Batch) -> wasmtime::Result<RecordBatch> {
    let Some(changes) = &batch.changes else {
        return Ok(batch.data.clone());
    };
    let stays: Vec<bool> = changes
        .iter()
        .map(|change| *change == Change::Upsert)
        .collect();
    Ok(filter_record_batch(
        &batch.data,
        &BooleanArray::from(stays),
    )?)
}

/// What the guest could be given at all: more is not made for it.
fn bytes_max(bounds: &Bounds) -> usize {
    let memory = usize::try_from(bounds.memory_bytes_max).unwrap_or(usize::MAX);
    Guard::EncodeBytes.limit(memory)
}

fn beyond(error: EncodeError) -> wasmtime::Error {
    match error {
        EncodeError::TooLarge(max_bytes) => Stop::Encoded { max_bytes }.into(),
        error => error.into(),
    }
}

/// Counts the columns that are encoded as read.
fn tell(tally: &mut Tally, batch: &Batch, columns: Option<&[usize]>) {
    let fields = batch.schema.fields();
    match columns {
        None => fields.iter().for_each(|field| tally.read(&field.name)),
        Some(some) => some
            .iter()
            .for_each(|index| tally.read(&fields[*index].name)),
    }
}

/// The columns to encode: those granted, none where that is all of them. Refused only where not one is granted, with
/// the words for the first.
fn readable(batch: &Batch, effective: &Effective) -> Result<Option<Vec<usize>>, Refusal> {
    let mut granted = Vec::new();
    let mut first_refusal = None;
    for (index, field) in batch.schema.fields().iter().enumerate() {
        match effective.may_read(&field.name) {
            Ok(()) => granted.push(index),
            Err(_) if !Guard::ColumnsEncoded.stands() => granted.push(index),
            Err(refusal) if first_refusal.is_none() => first_refusal = Some(refusal),
            Err(_) => {}
        }
    }
    match first_refusal {
        None => Ok(None),
        Some(refusal) if granted.is_empty() => Err(refusal),
        Some(_) => Ok(Some(granted)),
    }
}
