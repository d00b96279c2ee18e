//! A batch: records of one stream that travel together, and where each of them came from.

use crate::ids::StreamName;
use crate::rejection::Place;
use crate::schema::Schema;
use arrow_array::RecordBatch;
use std::sync::Arc;

/// What a row asks a sink to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Write it, over what has its key.
    Upsert,
    /// Remove what has its key.
    Delete,
}

/// Records of one stream. Cheap to clone: the columns are shared.
///
/// Invariant: `data` has the Arrow form of `schema`; `changes` and `origin.rows`, where present, have one
/// entry a row (test: `engine` validates each batch that a plugin touched).
#[derive(Debug, Clone)]
pub struct Batch {
    /// Whose records.
    pub stream: StreamName,
    /// Their fields.
    pub schema: Arc<Schema>,
    /// Their values.
    pub data: RecordBatch,
    /// What each row asks for; none where every row is an upsert.
    pub changes: Option<Arc<Vec<Change>>>,
    /// Where each row came from.
    pub origin: Provenance,
}

impl Batch {
    /// A batch as it enters the pipeline: its rows are their own origin.
    pub fn entering(
        stream: StreamName,
        schema: Arc<Schema>,
        data: RecordBatch,
        changes: Option<Vec<Change>>,
        places: Places,
    ) -> Self {
        let changes = changes.map(Arc::new);
        let entered = Arc::new(Entered {
            schema: Arc::clone(&schema),
            data: data.clone(),
            changes: changes.clone(),
            places,
        });
        Self {
            stream,
            schema,
            data,
            changes,
            origin: Provenance {
                entered,
                rows: None,
            },
        }
    }

    /// How many records.
    pub fn rows(&self) -> usize {
        self.data.num_rows()
    }

    /// The row of [`Entered`] that this row came from.
    pub fn entered_row(&self, row: usize) -> usize {
        self.origin
            .rows
            .as_ref()
            .map_or(row, |rows| rows[row] as usize)
    }

    /// Where this row stood in the source.
    pub fn place(&self, row: usize) -> Place {
        self.origin.entered.places.at(self.entered_row(row))
    }
}

/// The link from a batch's rows to the records that entered the pipeline: what a dead letter keeps, and what a
/// row's identity is made from.
#[derive(Debug, Clone)]
pub struct Provenance {
    /// The records as they entered.
    pub entered: Arc<Entered>,
    /// For each row, its row in `entered`; none where they are the same.
    pub rows: Option<Arc<Vec<u32>>>,
}

/// Records as they entered the pipeline, decoded but not yet transformed.
#[derive(Debug)]
pub struct Entered {
    /// Their fields then.
    pub schema: Arc<Schema>,
    /// Their values then.
    pub data: RecordBatch,
    /// What each row asked for.
    pub changes: Option<Arc<Vec<Change>>>,
    /// Where each stood.
    pub places: Places,
}

/// Where the rows of a batch stood in what they were read from.
#[derive(Debug, Clone)]
pub struct Places {
    /// A file's path, a URL; empty where the source gave columns.
    pub document: Arc<str>,
    /// For each row its line (text formats, from 1) or its index in the array (JSON documents, from 0);
    /// empty where the source gave columns.
    pub numbers: Vec<u64>,
    /// What `numbers` count.
    pub unit: PlaceUnit,
}

/// What a place counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlaceUnit {
    /// Lines of a text file, from 1.
    Line,
    /// Items of an array, from 0.
    Item,
}

impl Places {
    /// For records without a document.
    pub fn none() -> Self {
        Self {
            document: "".into(),
            numbers: Vec::new(),
            unit: PlaceUnit::Item,
        }
    }

    /// The place of one row.
    pub fn at(&self, row: usize) -> Place {
        let number = self.numbers.get(row).copied();
        Place {
            document: (!self.document.is_empty()).then(|| self.document.to_string()),
            line: number.filter(|_| self.unit == PlaceUnit::Line),
            item: number.filter(|_| self.unit == PlaceUnit::Item),
        }
    }
}
