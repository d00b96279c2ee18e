//! Which rows are tried together: all of them where nothing is wrong, and ever fewer where something is, down to the
//! row that is to blame.

use std::ops::Range;

/// Rows that are still to be tried, in order.
#[derive(Debug)]
pub struct Pieces {
    /// The next is the last.
    left: Vec<Range<usize>>,
    /// The most that are tried at once: less after each failure, so that many bad rows do not send the good ones again
    /// and again.
    most: usize,
}

impl Pieces {
    /// All of them.
    pub fn new(rows: usize) -> Self {
        Self::without(rows, &[])
    }

    /// All but these, which ascend.
    pub fn without(rows: usize, refused: &[usize]) -> Self {
        let starts = [0].into_iter().chain(refused.iter().map(|row| row + 1));
        let ends = refused.iter().copied().chain([rows]);
        let mut left: Vec<Range<usize>> = starts.zip(ends).map(|(start, end)| start..end).collect();
        left.reverse();
        Self {
            left,
            most: rows.max(1),
        }
    }

    /// The next rows to try.
    pub fn next_rows(&mut self) -> Option<Range<usize>> {
        loop {
            let rows = self.left.pop()?;
            if rows.is_empty() {
                continue;
            }
            let cut = rows.end.min(rows.start + self.most);
            self.left.push(cut..rows.end);
            return Some(rows.start..cut);
        }
    }

    /// These were taken.
    pub fn passed(&mut self) {
        self.most = self.most.saturating_mul(2);
    }

    /// These were refused, for this one where that is known: it is left out. Else they are halved; one that stood alone
    /// is to blame.
    pub fn failed(&mut self, rows: Range<usize>, culprit: Option<usize>) -> Option<usize> {
        let culprit = culprit.filter(|row| rows.contains(row));
        // Where bad rows are known, about as many as stand between two.
        let most = culprit.map_or(rows.len() / 2, |row| 2 * (row - rows.start));
        self.most = most.max(1);
        let culprit = culprit.or((rows.len() == 1).then_some(rows.start));
        if let Some(row) = culprit {
            self.left.push(row + 1..rows.end);
            self.left.push(rows.start..row);
        } else {
            self.left.push(rows);
        }
        culprit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// What is taken, in order, and what is refused, where these are bad; and how many rows were tried in all.
    fn tried(rows: usize, bad: &BTreeSet<usize>, is_told: bool) -> (Vec<usize>, Vec<usize>, usize) {
        let mut pieces = Pieces::new(rows);
        let (mut taken, mut refused, mut sent) = (Vec::new(), Vec::new(), 0);
        while let Some(rows) = pieces.next_rows() {
            sent += rows.len();
            if let Some(row) = rows.clone().find(|row| bad.contains(row)) {
                refused.extend(pieces.failed(rows, is_told.then_some(row)));
            } else {
                taken.extend(rows);
                pieces.passed();
            }
        }
        (taken, refused, sent)
    }

    proptest! {
        #[test]
        fn exactly_the_bad_are_refused_and_the_others_are_taken_in_order(
            rows in 0_usize..300, bad in prop::collection::btree_set(0_usize..300, 0..40), is_told: bool,
        ) {
            let (taken, refused, _) = tried(rows, &bad, is_told);
            let bad: Vec<usize> = bad.into_iter().filter(|row| *row < rows).collect();
            prop_assert!(taken.iter().copied().eq((0..rows).filter(|row| !bad.contains(row))));
            prop_assert_eq!(refused, bad);
        }
    }

    #[test]
    fn many_bad_rows_do_not_send_the_others_again_and_again() {
        for is_told in [true, false] {
            let all: BTreeSet<usize> = (0..10_000).collect();
            let (_, refused, sent) = tried(10_000, &all, is_told);
            assert_eq!(refused.len(), 10_000);
            assert!(sent < 40_000, "{sent}");
            let some: BTreeSet<usize> = (0..10_000).step_by(100).collect();
            let (_, refused, sent) = tried(10_000, &some, is_told);
            assert_eq!(refused.len(), 100);
            assert!(sent < 100_000, "{sent}");
        }
    }
}
