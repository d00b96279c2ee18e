//! The parts of a unit, and pieces of them: how a unit is cut where a sink fails on it, and how what a sink says of a
//! piece is told of the record that entered.

use sluice_model::batch::{Batch, Entered};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// Rows of one part that follow on one another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Which part of the unit.
    pub part: usize,
    /// Which of its rows.
    pub rows: Range<usize>,
}

/// A unit's parts, their rows counted through from the first to the last.
pub struct Parts<'a> {
    /// As they go to the sink.
    pub batches: &'a [Batch],
    /// In all.
    pub rows: usize,
    /// For each part, the number of its first row, and the first part that came from the same records.
    starts: Vec<(usize, usize)>,
}

impl<'a> Parts<'a> {
    /// Of these batches.
    pub fn of(batches: &'a [Batch]) -> Self {
        let mut first: HashMap<*const Entered, usize> = HashMap::new();
        let (mut rows, mut starts) = (0, Vec::with_capacity(batches.len()));
        for (part, batch) in batches.iter().enumerate() {
            let entered = Arc::as_ptr(&batch.origin.entered);
            starts.push((rows, *first.entry(entered).or_insert(part)));
            rows += batch.rows();
        }
        Self {
            batches,
            rows,
            starts,
        }
    }

    /// Where a row stands: its part, and its row there.
    pub fn at(&self, row: usize) -> (usize, usize) {
        let part = self.starts.partition_point(|(start, _)| *start <= row) - 1;
        (part, row - self.starts[part].0)
    }

    /// The record that a row of a part was when it entered: the same for all rows that came of it.
    pub fn entered(&self, part: usize, row: usize) -> (usize, usize) {
        (self.starts[part].1, self.batches[part].entered_row(row))
    }

    /// All of it.
    pub fn all(&self) -> Vec<Piece> {
        self.slice(0..self.rows)
    }

    /// These rows.
    pub fn slice(&self, rows: Range<usize>) -> Vec<Piece> {
        let parts = self.batches.iter().zip(&self.starts).enumerate();
        let pieces = parts.filter_map(|(part, (batch, (start, _)))| {
            let from = rows.start.max(*start);
            let to = rows.end.min(start + batch.rows());
            let rows = from.checked_sub(*start)?..to.checked_sub(*start)?;
            (rows.start < rows.end).then_some(Piece { part, rows })
        });
        pieces.collect()
    }

    /// All rows but these, which ascend.
    pub fn without(&self, rows: &[usize]) -> Vec<Piece> {
        let ends = rows.iter().copied().chain([self.rows]);
        let starts = [0].into_iter().chain(rows.iter().map(|row| row + 1));
        let between = starts.zip(ends).filter(|(from, to)| from < to);
        between
            .flat_map(|(from, to)| self.slice(from..to))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{ArrayRef, Int64Array, RecordBatch};
    use sluice_model::batch::Places;
    use sluice_model::schema::{Field, FieldType, Schema};

    fn batch(rows: i64) -> Batch {
        let fields = vec![Field::new("id", FieldType::Int64, false)];
        let schema = Arc::new(Schema::new(fields, Vec::new()).expect("a schema"));
        let ids: ArrayRef = Arc::new((0..rows).collect::<Int64Array>());
        let data = RecordBatch::try_new(Arc::clone(schema.arrow()), vec![ids]).expect("a batch");
        Batch::entering(
            "s".parse().expect("a name"),
            schema,
            data,
            None,
            Places::none(),
        )
    }

    #[test]
    fn a_unit_is_cut_and_its_rows_are_found_again() {
        let whole = batch(4);
        let batches = [batch(3), whole.slice(0..2), batch(0), whole.slice(2..4)];
        let parts = Parts::of(&batches);
        let piece = |part, rows| Piece { part, rows };
        assert_eq!(parts.rows, 7);
        assert_eq!(
            parts.all(),
            [piece(0, 0..3), piece(1, 0..2), piece(3, 0..2)]
        );
        assert_eq!(
            parts.slice(2..6),
            [piece(0, 2..3), piece(1, 0..2), piece(3, 0..1)]
        );
        let without = [piece(0, 1..3), piece(1, 1..2), piece(3, 0..1)];
        assert_eq!(parts.without(&[0, 3, 6]), without);
        assert_eq!(parts.without(&[]), parts.all());
        assert_eq!(
            (parts.at(0), parts.at(4), parts.at(5)),
            ((0, 0), (1, 1), (3, 0))
        );
        // Rows of one record count as one, whatever piece they came in.
        assert_eq!((parts.entered(1, 1), parts.entered(3, 1)), ((1, 1), (1, 3)));
    }
}
