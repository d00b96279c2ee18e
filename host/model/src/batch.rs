//! A batch: records of one stream that travel together, and where each of them came from.

use crate::ids::StreamName;
use crate::rejection::Place;
use crate::schema::Schema;
use arrow_array::{Array as _, RecordBatch};
use arrow_buffer::BooleanBuffer;
use std::sync::{Arc, OnceLock};

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
/// Invariant: `data` has the Arrow form of `schema`; `changes`, where present, and `origin.rows` have one entry a
/// row (test: `engine` validates each batch that a plugin touched).
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
            letters: None,
        });
        Self {
            stream,
            schema,
            data,
            changes,
            origin: Provenance {
                entered,
                rows: Rows::Same,
            },
        }
    }

    /// A batch of dead letters that enter again: as [`Batch::entering`], under the numbers and identities they have.
    pub fn redriven(
        stream: StreamName,
        schema: Arc<Schema>,
        data: RecordBatch,
        changes: Option<Vec<Change>>,
        letters: Letters,
    ) -> Self {
        let mut batch = Self::entering(stream, schema, data, changes, Places::none());
        batch.origin.entered = Arc::new(Entered {
            schema: Arc::clone(&batch.schema),
            data: batch.data.clone(),
            changes: batch.changes.clone(),
            places: Places::none(),
            letters: Some(letters),
        });
        batch
    }

    /// These rows of it, on their own.
    #[must_use]
    pub fn slice(&self, rows: std::ops::Range<usize>) -> Self {
        if rows == (0..self.rows()) {
            return self.clone();
        }
        let changes = self.changes.as_ref();
        Self {
            stream: self.stream.clone(),
            schema: Arc::clone(&self.schema),
            data: self.data.slice(rows.start, rows.len()),
            changes: changes.map(|changes| Arc::new(changes[rows.clone()].to_vec())),
            origin: Provenance {
                entered: Arc::clone(&self.origin.entered),
                rows: self.origin.rows.picked(rows),
            },
        }
    }

    /// The dead letter that this row came from, where it is redriven.
    pub fn letter(&self, row: usize) -> Option<u64> {
        let letters = self.origin.entered.letters.as_ref()?;
        letters.numbers.get(self.entered_row(row)).copied()
    }

    /// How many records.
    pub fn rows(&self) -> usize {
        self.data.num_rows()
    }

    /// What it and the records behind it hold in memory. Where its columns are a small part of a larger piece, as those of
    /// a page that was cut are, their rows alone.
    pub fn bytes(&self) -> u64 {
        const SMALL_PART: usize = 4;
        let parts = [&self.data, &self.origin.entered.data];
        let columns = parts.into_iter().flat_map(RecordBatch::columns);
        let bytes = columns.map(|column| {
            let whole = column.get_array_memory_size();
            let rows = column.to_data().get_slice_memory_size();
            rows.ok()
                .filter(|rows| rows.saturating_mul(SMALL_PART) < whole)
                .unwrap_or(whole)
        });
        bytes.sum::<usize>() as u64
    }

    /// The row of [`Entered`] that this row came from.
    pub fn entered_row(&self, row: usize) -> usize {
        self.origin.rows.at(row)
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
    /// For each row, its row in `entered`.
    pub rows: Rows,
}

/// For each row of a batch, the row it came from.
#[derive(Debug, Clone)]
pub enum Rows {
    /// The same one.
    Same,
    /// Those whose bit is set, in order. What most filters leave; where each stood is looked up only if somebody asks.
    Kept(Arc<Kept>),
    /// These, in any order, any number of times.
    Picked(Arc<Vec<u32>>),
}

/// Rows that a filter left.
#[derive(Debug)]
pub struct Kept {
    bits: BooleanBuffer,
    rows: OnceLock<Vec<u32>>,
}

impl Kept {
    /// Whether this row is among them.
    pub fn has(&self, row: usize) -> bool {
        self.bits.value(row)
    }

    fn rows(&self) -> &[u32] {
        self.rows
            .get_or_init(|| self.bits.set_indices().map(|row| row as u32).collect())
    }
}

impl Rows {
    /// Where this row came from.
    pub fn at(&self, row: usize) -> usize {
        match self {
            Self::Same => row,
            Self::Kept(kept) => kept.rows()[row] as usize,
            Self::Picked(rows) => rows[row] as usize,
        }
    }

    /// Where the rows come from that a filter leaves of these.
    #[must_use]
    pub fn kept(&self, stays: &BooleanBuffer) -> Self {
        match self {
            Self::Same => Self::Kept(Arc::new(Kept {
                bits: stays.clone(),
                rows: OnceLock::new(),
            })),
            _ => self.picked(stays.set_indices()),
        }
    }

    /// Where these of the rows come from.
    #[must_use]
    pub fn picked(&self, rows: impl IntoIterator<Item = usize>) -> Self {
        let rows = rows.into_iter().map(|row| self.at(row) as u32);
        Self::Picked(Arc::new(rows.collect()))
    }
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
    /// The dead letters that they are, where they are redriven.
    pub letters: Option<Letters>,
}

/// What redriven records keep of the dead letters that they were. One entry a row.
#[derive(Debug, Clone, Default)]
pub struct Letters {
    /// Their numbers.
    pub numbers: Vec<u64>,
    /// Their identities; none where the record had none yet, for it could not be decoded.
    pub identities: Vec<Option<[u8; 16]>>,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_know_where_they_came_from_through_filter_after_filter() {
        let bits = |bits: &[bool]| BooleanBuffer::from(bits.to_vec());
        let first = Rows::Same.kept(&bits(&[true, false, true, true, false]));
        let second = first.kept(&bits(&[false, true, true]));
        let third = second.picked([1, 0, 1]);
        let from =
            |rows: &Rows, count: usize| (0..count).map(|row| rows.at(row)).collect::<Vec<_>>();
        assert_eq!(from(&Rows::Same, 2), [0, 1]);
        assert_eq!(from(&first, 3), [0, 2, 3]);
        assert_eq!(from(&second, 2), [2, 3]);
        assert_eq!(from(&third, 3), [3, 2, 3]);
        assert_eq!(from(&third.kept(&bits(&[false, true, false])), 1), [2]);
        let Rows::Kept(kept) = &first else {
            panic!("{first:?}")
        };
        assert!(kept.has(0) && !kept.has(1));
    }

    #[test]
    fn a_part_of_a_page_weighs_its_own_rows() {
        use crate::schema::{Field, FieldType};
        use arrow_array::{ArrayRef, Int64Array};
        let fields = vec![Field::new("id", FieldType::Int64, false)];
        let schema = Arc::new(Schema::new(fields, Vec::new()).expect("a schema"));
        let ids: ArrayRef = Arc::new((0..8_192).collect::<Int64Array>());
        let data = RecordBatch::try_new(Arc::clone(schema.arrow()), vec![ids]).expect("a batch");
        let batch = |data: RecordBatch| {
            let stream = "s".parse().expect("a name");
            Batch::entering(stream, Arc::clone(&schema), data, None, Places::none())
        };
        // Twice: what it is, and what entered.
        let whole = batch(data.clone()).bytes();
        assert!(whole >= 2 * 8 * 8_192, "{whole}");
        let parts = (0..8).map(|part| batch(data.slice(part * 1_024, 1_024)).bytes());
        assert_eq!(parts.sum::<u64>(), 2 * 8 * 8_192);
    }
}
