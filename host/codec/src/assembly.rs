//! Where rows become batches and refused records become rejections, whatever format they came from.

use crate::columns::Column;
use crate::document::{Decoded, Document, Target};
use crate::problem::Problem;
use arrow_array::{RecordBatch, RecordBatchOptions};
use sluice_model::batch::{Batch, Change, PlaceUnit, Places};
use sluice_model::contract::Drift;
use sluice_model::fault::{Fault, FaultKind};
use sluice_model::guards::Guard;
use sluice_model::ids::{Role, StageId};
use sluice_model::limits;
use sluice_model::rejection::{Csv, Record, Rejection};
use std::sync::Arc;

/// Source bytes of one batch, whatever its rows: no column outgrows the 32-bit offsets of its values, for a value is
/// never longer than its text.
const BATCH_BYTES_MAX: usize = 16 << 20;

/// Why decoding ends before the document does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// The contract is `freeze` and a record does not fit.
    Frozen(Fault),
    /// The document as a whole cannot be read.
    Unreadable(Fault),
}

/// The rows and refusals of one document.
#[derive(Debug)]
pub struct Assembly<'t> {
    target: &'t Target<'t>,
    document: Arc<str>,
    unit: PlaceUnit,
    /// The growing columns, in the schema's order.
    pub columns: Vec<Column>,
    numbers: Vec<u64>,
    batch_bytes: usize,
    batch_rows: usize,
    batches: Vec<Batch>,
    rejections: Vec<Rejection>,
    records: usize,
    /// What each record of the document asks for.
    asked: Option<&'t [Change]>,
    /// What the rows of the growing batch ask for, where that is told.
    changes: Vec<Change>,
    /// How the rows of a file of CSV are read: for those that are refused.
    pub csv: Option<Arc<Csv>>,
}

impl<'t> Assembly<'t> {
    /// Nothing read yet.
    pub fn new(document: &Document<'t>, target: &'t Target<'t>, unit: PlaceUnit) -> Self {
        let batch_rows = target.batch_rows.clamp(1, limits::PAGE_ROWS_MAX);
        // Room for what a small document may hold: a record of one byte is no record.
        let room = batch_rows.min(document.bytes.len() / 2);
        let columns = target
            .schema
            .fields()
            .iter()
            .map(|field| Column::new(field.kind, room))
            .collect();
        Self {
            target,
            document: document.name.into(),
            unit,
            columns,
            numbers: Vec::with_capacity(room),
            batch_bytes: 0,
            batch_rows,
            batches: Vec::new(),
            rejections: Vec::new(),
            records: 0,
            asked: document.changes,
            changes: Vec::new(),
            csv: None,
        }
    }

    /// Rows of the batch that grows.
    #[inline]
    pub fn rows(&self) -> usize {
        self.numbers.len()
    }

    /// A whole batch is good, in the schema's columns.
    pub fn accept_all(&mut self, data: RecordBatch, numbers: Vec<u64>) -> Result<(), Stop> {
        if self.rows() > 0 {
            self.cut();
        }
        let told = |at: usize| self.asked.and_then(|asked| asked.get(at)).copied();
        let changes = self.asked.map(|_| {
            let rows = self.records..self.records + numbers.len();
            rows.map(|at| told(at).unwrap_or(Change::Upsert)).collect()
        });
        self.records += numbers.len();
        self.batches.push(Batch::entering(
            self.target.stream.clone(),
            Arc::clone(self.target.schema),
            data,
            changes,
            self.places(numbers),
        ));
        self.bounded()
    }

    /// The record just read into the columns is good. `bytes` is how long it was.
    #[inline]
    pub fn accept(&mut self, number: u64, bytes: usize) -> Result<(), Stop> {
        self.numbers.push(number);
        if self.asked.is_some() {
            self.changes.push(self.change());
        }
        self.records += 1;
        self.batch_bytes += bytes;
        if self.numbers.len() >= self.batch_rows || self.batch_bytes >= BATCH_BYTES_MAX {
            self.cut();
            return self.bounded();
        }
        Ok(())
    }

    /// The record is refused: whatever it left in the columns is taken back.
    #[cold]
    pub fn refuse(&mut self, number: u64, raw: &[u8], problem: &Problem) -> Result<(), Stop> {
        let rows = self.rows();
        self.columns
            .iter_mut()
            .for_each(|column| column.truncate(rows));
        let removal = self.change() == Change::Delete;
        self.records += 1;
        let place = self.places(vec![number]).at(0);
        if self.target.drift == Drift::Freeze && problem.is_drift() {
            let message = format!("{place}: {}", problem.message());
            let hint = "let the schema in the pipeline file match, or choose another `drift` under `[contract]`";
            return Err(Stop::Frozen(
                Fault::new(FaultKind::Drift, message).hint(hint),
            ));
        }
        let (record, truncated) = kept(raw);
        self.rejections.push(Rejection {
            stage: StageId {
                role: Role::Source,
                index: 0,
            },
            stream: self.target.stream.clone(),
            code: problem.code().to_owned(),
            message: problem.message(),
            place,
            record,
            csv: self.csv.clone(),
            truncated,
            removal,
            given: None,
            also: Vec::new(),
            identity: None,
        });
        self.bounded()
    }

    /// What the record just read asks for.
    fn change(&self) -> Change {
        let told = self.asked.and_then(|asked| asked.get(self.records));
        told.copied().unwrap_or(Change::Upsert)
    }

    fn places(&self, numbers: Vec<u64>) -> Places {
        Places {
            document: Arc::clone(&self.document),
            numbers,
            unit: self.unit,
        }
    }

    fn bounded(&self) -> Result<(), Stop> {
        let cells = (self.records - self.rejections.len()).saturating_mul(self.columns.len());
        let too_many = if self.rejections.len()
            > Guard::DocumentRejections.limit(limits::DOCUMENT_REJECTIONS_MAX)
        {
            format!(
                "more than {} records were refused",
                limits::DOCUMENT_REJECTIONS_MAX
            )
        } else if self.records > Guard::DocumentRows.limit(limits::PAGE_ROWS_MAX) {
            format!("more than {} records", limits::PAGE_ROWS_MAX)
        } else if cells > Guard::DocumentCells.limit(limits::DOCUMENT_CELLS_MAX) {
            format!(
                "more than {} values, absent ones included",
                limits::DOCUMENT_CELLS_MAX
            )
        } else {
            return Ok(());
        };
        let message = format!("`{}` holds {too_many} in one document", self.document);
        let hint = "hand over smaller documents, each of whole records";
        Err(Stop::Unreadable(
            Fault::new(FaultKind::LimitExceeded, message).hint(hint),
        ))
    }

    fn cut(&mut self) {
        let rows = self.numbers.len();
        let next = Vec::with_capacity(rows);
        let numbers = std::mem::replace(&mut self.numbers, next);
        self.batch_bytes = 0;
        let arrays = self.columns.iter_mut().map(Column::take).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let data = RecordBatch::try_new_with_options(Arc::clone(self.target.schema.arrow()), arrays, &options)
            .expect("columns are made from the schema's types, all with as many rows, nulls only where it allows them");
        self.batches.push(Batch::entering(
            self.target.stream.clone(),
            Arc::clone(self.target.schema),
            data,
            self.asked.map(|_| std::mem::take(&mut self.changes)),
            self.places(numbers),
        ));
    }

    /// All that was read.
    pub fn finish(mut self, lines: u64, discarded_values: u64) -> Result<Decoded, Stop> {
        self.bounded()?;
        let asked = self.asked.map_or(self.records, <[Change]>::len);
        if Guard::DocumentChanges.bars(asked != self.records) {
            let message = format!(
                "`{}` holds {} records, and {asked} changes are told of them",
                self.document, self.records
            );
            return Err(Stop::Unreadable(Fault::new(FaultKind::Malformed, message)));
        }
        if self.rows() > 0 {
            self.cut();
        }
        Ok(Decoded {
            batches: self.batches,
            rejections: self.rejections,
            records: self.records as u64,
            discarded_values,
            lines,
        })
    }
}

/// What a dead letter keeps of a record: no more than its limit, cut between characters where it is text.
fn kept(raw: &[u8]) -> (Record, bool) {
    let Some(head) = raw
        .get(..Guard::LetterRecord.limit(limits::DEAD_LETTER_RECORD_BYTES_MAX))
        .filter(|head| head.len() < raw.len())
    else {
        return (Record::Raw(raw.to_vec()), false);
    };
    let cut = match std::str::from_utf8(head) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => head.len(),
    };
    (Record::Raw(head[..cut].to_vec()), true)
}
