//! Parquet: a row group into records, and batches into a whole file.
//!
//! A column is read as the contract's type that holds all its values (`natural`). Where those are the stream's own
//! fields, batches are handed on as they are; else each record is fitted as the same record in JSON would be, with the
//! same refusals. Flat columns alone are read: nested ones are refused by name.
//!
//! A file is hostile until it is read: `file` holds what it claims to limits before anything is unpacked, records come
//! a few at a time where one may be large, and a reader that panics ends the document and nothing else.

mod file;
mod natural;
mod thrift;
mod write;

pub use write::encode;

use crate::assembly::{Assembly, Stop};
use crate::document::{Document, Outcome, Target, no_schema};
use crate::encode::record_json;
use crate::json::object::ObjectReader;
use crate::json::scan::Scanner;
use crate::problem::Problem;
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use file::{Flaw, Piece};
use natural::Misfit;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};
use sluice_model::batch::PlaceUnit;
use sluice_model::contract::Drift;
use sluice_model::guards::Guard;
use sluice_model::limits;
use sluice_model::schema::{Field, FieldType, Schema};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// What one step of the reader may become in memory: how many rows it takes follows from the longest value there may be.
const STEP_BYTES: u64 = 64 << 20;

/// Which rows of which file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    /// Where the document's first byte stands in the file.
    pub offset: u64,
    /// The end of the file, from where its metadata begins.
    pub footer: Vec<u8>,
    /// The row group that the document holds.
    pub group: u32,
    /// The first of its rows to read.
    pub first: u64,
    /// How many of them at most.
    pub count: u32,
}

/// A file's footer, looked through, with the schema its columns make.
struct Opened {
    arrow: ArrowReaderMetadata,
    natural: Arc<Schema>,
}

impl Opened {
    fn new(footer: &[u8]) -> Result<Self, Flaw> {
        let metadata = Arc::new(file::metadata(footer)?);
        // What Arrow left in the file of its own schema is one more parser, and says nothing that the types do not.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let arrow =
            ArrowReaderMetadata::try_new(Arc::clone(&metadata), options).map_err(Flaw::broken)?;
        file::flat(&metadata)?;
        let natural = natural::schema(arrow.schema(), arrow.parquet_schema())?;
        Ok(Self {
            arrow,
            natural: Arc::new(natural),
        })
    }
}

/// A panic of the reader is the file's doing.
fn guarded<T>(read: impl FnOnce() -> Result<T, Flaw>) -> Result<T, Flaw> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(Flaw::broken("its reader gave up")))
}

/// The schema that a file's columns make, all nullable.
pub fn schema(footer: &[u8]) -> Result<Arc<Schema>, String> {
    let opened = guarded(|| Opened::new(footer));
    let opened = opened.map_err(|flaw| flaw.fault("the file").message);
    opened.map(|opened| opened.natural)
}

/// Reads the rows of a document.
pub fn decode(document: &Document<'_>, rows: &Rows, target: &Target<'_>) -> Result<Outcome, Stop> {
    let unreadable = |flaw: Flaw| Stop::Unreadable(flaw.fault(document.name));
    let opened = guarded(|| Opened::new(&rows.footer)).map_err(unreadable)?;
    if target.drift == Drift::Evolve
        && let Some(wider) = wider(target.schema, &opened.natural)
    {
        return Ok(Outcome::Evolve(
            wider.map_err(|error| no_schema(document, &error))?,
        ));
    }
    let (mut reader, first) =
        guarded(|| open(&opened, document, rows, target)).map_err(unreadable)?;
    let mut fitting = Fitting {
        target,
        columns: Columns::new(&opened.natural, target.schema),
        reader: ObjectReader::new(target.schema, target.drift),
        assembly: Assembly::new(document, target, PlaceUnit::Item),
        natural: opened.natural,
        next: first,
    };
    let mut bytes = 0;
    while let Some(batch) =
        guarded(|| reader.next().transpose().map_err(Flaw::broken)).map_err(unreadable)?
    {
        let mut misfits = Vec::new();
        let batch =
            guarded(|| natural(&batch, &fitting.natural, &mut misfits)).map_err(unreadable)?;
        bytes += batch.get_array_memory_size() as u64;
        if bytes > Guard::ParquetDecoded.limit(limits::PAGE_DECODED_BYTES_MAX) {
            let max = limits::PAGE_DECODED_BYTES_MAX;
            return Err(unreadable(Flaw::Limit(format!(
                "rows that take more than {max} bytes in memory at once"
            ))));
        }
        fitting.take(&batch, misfits)?;
    }
    let discarded = fitting.reader.discarded_values;
    fitting.assembly.finish(0, discarded).map(Outcome::Decoded)
}

fn open(
    opened: &Opened,
    document: &Document<'_>,
    rows: &Rows,
    target: &Target<'_>,
) -> Result<(ParquetRecordBatchReader, u64), Flaw> {
    let metadata = opened.arrow.metadata();
    let group = rows.group as usize;
    let Some(found) = metadata.row_groups().get(group) else {
        return Err(Flaw::broken(format!("it has no row group {group}")));
    };
    let before = metadata.row_groups()[..group].iter();
    let before: u64 = before
        .map(|group| group.num_rows().unsigned_abs())
        .fold(0, u64::saturating_add);
    let piece = Piece::new(rows.offset, document.bytes);
    let checked = file::check(found, &piece)?;
    let step =
        (STEP_BYTES / checked.row_bytes_max.max(1)).clamp(1, target.batch_rows.max(1) as u64);
    let first = rows.first.min(checked.rows);
    let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(piece, opened.arrow.clone())
        .with_row_groups(vec![group])
        .with_batch_size(usize::try_from(step).unwrap_or(1))
        .with_offset(usize::try_from(first).map_err(Flaw::broken)?)
        .with_limit(rows.count as usize)
        .build();
    Ok((reader.map_err(Flaw::broken)?, before.saturating_add(first)))
}

/// The stream's schema with the columns it does not have yet, in the types they have in the file.
fn wider(
    schema: &Schema,
    natural: &Schema,
) -> Option<Result<Arc<Schema>, sluice_model::schema::SchemaError>> {
    let new = natural
        .fields()
        .iter()
        .filter(|field| schema.field(&field.name).is_none());
    let new: Vec<Field> = new.cloned().collect();
    if new.is_empty() {
        return None;
    }
    let fields = schema.fields().iter().cloned().chain(new).collect();
    Some(Schema::new(fields, schema.key().to_vec()).map(Arc::new))
}

fn natural(
    batch: &RecordBatch,
    schema: &Schema,
    misfits: &mut Vec<Misfit>,
) -> Result<RecordBatch, Flaw> {
    let arrays = batch.columns().iter().zip(schema.fields());
    let arrays = arrays.map(|(array, field)| natural::column(array, field, misfits));
    let arrays = arrays.collect::<Result<Vec<_>, _>>()?;
    batch_of(schema, arrays, batch.num_rows()).map_err(Flaw::broken)
}

fn batch_of(
    schema: &Schema,
    arrays: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch, arrow_schema::ArrowError> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema.arrow()), arrays, &options)
}

/// Where each field of the stream stands in the file; none where the columns are not the fields.
struct Columns(Option<Vec<Option<usize>>>);

impl Columns {
    fn new(natural: &Schema, target: &Schema) -> Self {
        let all_known = natural
            .fields()
            .iter()
            .all(|field| target.field(&field.name).is_some());
        let place = |field: &Field| match natural.index_of(&field.name) {
            Some(at) => (natural.fields()[at].kind == field.kind).then_some(Some(at)),
            None => field.nullable.then_some(None),
        };
        Self(
            all_known
                .then(|| target.fields().iter().map(place).collect())
                .flatten(),
        )
    }

    /// The batch as the stream has it, where every record of it fits.
    fn apply(&self, batch: &RecordBatch, target: &Schema) -> Option<RecordBatch> {
        let columns = self.0.as_ref()?.iter().zip(target.fields());
        let arrays = columns.map(|(column, field)| match column {
            Some(at) => Arc::clone(batch.column(*at)),
            None => new_null_array(&field.kind.arrow(), batch.num_rows()),
        });
        // Refused where a field that must have a value has none.
        batch_of(target, arrays.collect(), batch.num_rows()).ok()
    }
}

/// On the way from the file's batches to the stream's.
struct Fitting<'t> {
    target: &'t Target<'t>,
    natural: Arc<Schema>,
    columns: Columns,
    reader: ObjectReader<'t>,
    assembly: Assembly<'t>,
    /// The number of the next record, counted from the beginning of the file.
    next: u64,
}

impl Fitting<'_> {
    fn take(&mut self, batch: &RecordBatch, mut misfits: Vec<Misfit>) -> Result<(), Stop> {
        let rows = batch.num_rows();
        let first = self.next;
        self.next = first.saturating_add(rows as u64);
        if misfits.is_empty()
            && rows_fit(batch)
            && let Some(batch) = self.columns.apply(batch, self.target.schema)
        {
            return self
                .assembly
                .accept_all(batch, (first..self.next).collect());
        }
        misfits.sort_by_key(|misfit| misfit.row);
        let mut misfits = misfits.into_iter().peekable();
        for row in 0..rows {
            let number = first.saturating_add(row as u64);
            let raw = record_json(&self.natural, batch, row);
            let mut refused = None;
            while let Some(misfit) = misfits.next_if(|misfit| misfit.row == row) {
                refused.get_or_insert(misfit.problem);
            }
            let read = match refused {
                Some(problem) => Err(Box::new(problem)),
                None => self.record(raw.as_bytes()),
            };
            match read {
                Ok(()) => self.assembly.accept(number, raw.len())?,
                Err(problem) => self.assembly.refuse(number, raw.as_bytes(), &problem)?,
            }
        }
        Ok(())
    }

    fn record(&mut self, raw: &[u8]) -> Result<(), Box<Problem>> {
        if raw.len() > Guard::RecordBytes.limit(limits::RECORD_BYTES_MAX) {
            return Err(Box::new(Problem::TooLarge { bytes: raw.len() }));
        }
        let row = self.assembly.rows();
        self.reader.read(
            &mut Scanner::new(raw),
            &mut self.assembly.columns,
            row,
            true,
        )
    }
}

/// Whether no record of a batch can be larger than one may be.
fn rows_fit(batch: &RecordBatch) -> bool {
    batch.get_array_memory_size() <= limits::RECORD_BYTES_MAX
        || (0..batch.num_rows()).all(|row| {
            let bytes = batch
                .columns()
                .iter()
                .map(|array| bytes_at(array, row))
                .sum::<usize>();
            bytes <= limits::RECORD_BYTES_MAX
        })
}

fn bytes_at(array: &ArrayRef, row: usize) -> usize {
    use arrow_array::cast::AsArray as _;
    if let Some(texts) = array.as_string_opt::<i32>() {
        return texts.value_length(row).unsigned_abs() as usize;
    }
    array.as_binary_opt::<i32>().map_or(16, |values| {
        values.value_length(row).unsigned_abs() as usize
    })
}

/// Of a field that was seen before in one type, and is now in another.
pub fn both(before: FieldType, now: FieldType) -> FieldType {
    match (before, now) {
        (before, now) if before == now => before,
        (FieldType::Int64, FieldType::Float64) | (FieldType::Float64, FieldType::Int64) => {
            FieldType::Float64
        }
        // What was declared by hand is not guessed away; json holds the rest.
        (FieldType::Decimal { .. } | FieldType::Binary | FieldType::Json, _) => before,
        _ => FieldType::Json,
    }
}
