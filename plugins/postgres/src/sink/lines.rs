//! Where the rows of a CSV document end: the host writes it, a row ends with a line end that stands in no quotes.

use memchr::memchr2_iter;
use std::ops::Range;

/// The rows of a CSV document without a line of names.
#[derive(Debug)]
pub(super) struct Lines {
    /// Where each row ends, behind its line end.
    ends: Vec<usize>,
    /// The number of the line that each row ends in, from one: a value may hold line ends.
    last_lines: Vec<usize>,
}

impl Lines {
    pub(super) fn of(csv: &[u8]) -> Self {
        let (mut ends, mut last_lines) = (Vec::new(), Vec::new());
        let (mut is_quoted, mut line) = (false, 1);
        for at in memchr2_iter(b'"', b'\n', csv) {
            if csv[at] == b'"' {
                is_quoted = !is_quoted;
                continue;
            }
            if !is_quoted {
                ends.push(at + 1);
                last_lines.push(line);
            }
            line += 1;
        }
        Self { ends, last_lines }
    }

    pub(super) fn rows(&self) -> usize {
        self.ends.len()
    }

    /// Where the bytes of these rows stand.
    pub(super) fn bytes(&self, rows: &Range<usize>) -> Range<usize> {
        let before = |row: usize| row.checked_sub(1).map_or(0, |row| self.ends[row]);
        before(rows.start)..before(rows.end)
    }

    /// The row that holds this line of those rows' own document.
    pub(super) fn row_of(&self, rows: &Range<usize>, line: usize) -> Option<usize> {
        let before = rows
            .start
            .checked_sub(1)
            .map_or(0, |row| self.last_lines[row]);
        let row = self
            .last_lines
            .partition_point(|last| *last < before + line);
        Some(row).filter(|row| rows.contains(row))
    }
}

/// A document of one column, as COPY takes it: a row without a value is an empty line there, and one with an empty text
/// is not; and `\.` alone on a line would end the document.
pub(super) fn of_one_column(csv: &[u8], is_null: impl Fn(usize) -> bool) -> Vec<u8> {
    let lines = Lines::of(csv);
    let mut out = Vec::with_capacity(csv.len());
    for row in 0..lines.rows() {
        let text = &csv[lines.bytes(&(row..row + 1))];
        match text {
            _ if is_null(row) => out.push(b'\n'),
            b"\\.\n" => out.extend_from_slice(b"\"\\.\"\n"),
            text => out.extend_from_slice(text),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const CSV: &[u8] = b"1,one\n2,\"two\nand \"\"a\"\" half\"\n3,\"\"\n";

    #[test]
    fn a_row_ends_where_no_quote_is_open() {
        let lines = Lines::of(CSV);
        assert_eq!(lines.rows(), 3);
        assert_eq!(&CSV[lines.bytes(&(1..3))], &CSV[6..]);
        assert_eq!(&CSV[lines.bytes(&(0..1))], b"1,one\n");
        assert!(lines.bytes(&(0..0)).is_empty());
    }

    #[test]
    fn a_line_belongs_to_a_row() {
        let lines = Lines::of(CSV);
        for (rows, line, row) in [
            (0..3, 1, Some(0)),
            (0..3, 2, Some(1)),
            (0..3, 3, Some(1)),
            (0..3, 4, Some(2)),
            (0..3, 5, None),
            (1..3, 2, Some(1)),
            (2..3, 1, Some(2)),
            (0..1, 3, None),
        ] {
            assert_eq!(lines.row_of(&rows, line), row, "line {line} of {rows:?}");
        }
    }

    #[test]
    fn one_column_tells_nothing_from_an_empty_text() {
        let csv = b"a\n\"\"\n\"\"\n\\.\n";
        let out = of_one_column(csv, |row| row == 1);
        assert_eq!(out, b"a\n\n\"\"\n\"\\.\"\n");
    }
}
