//! Where records end in text that is read in pieces, for sources that hand documents to the host and sinks that gather
//! text: a record is never cut in two. Deliberately no parsing: the host does that natively.

use crate::{Batch, Change, CsvOutput, Fault, Format};
use memchr::{memchr_iter, memchr2_iter};

/// The longest record that the host takes. A source hands a longer one over cut one byte behind this, for the host to
/// reject, and finds its end with [`skip`]: a text without line ends cannot fill its memory.
pub const RECORD_BYTES_MAX: usize = 4 << 20;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// A text whose records end where lines do, or where lines outside quotes do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    /// One JSON object a line.
    Ndjson,
    /// RFC 4180.
    Csv,
}

/// Where the last whole record ends, of the first `rows_max` that begin in `bytes`; none where not even the first does.
/// `bytes` begins at the beginning of a record.
///
/// ```
/// use sluice_sdk::framing::{Text, end_of_records};
/// assert_eq!(end_of_records(b"{\"a\":1}\n{\"a\"", Text::Ndjson, b',', 1_000), Some(8));
/// assert_eq!(end_of_records(b"1,a\n2,\"b\nstill b\"\n3", Text::Csv, b',', 1_000), Some(18));
/// assert_eq!(end_of_records(b"2,\"b\n", Text::Csv, b',', 1_000), None);
/// ```
pub fn end_of_records(bytes: &[u8], text: Text, delimiter: u8, rows_max: usize) -> Option<usize> {
    match text {
        Text::Ndjson => memchr_iter(b'\n', bytes)
            .take(rows_max.max(1))
            .last()
            .map(|at| at + 1),
        Text::Csv => csv_ends(bytes, delimiter).take(rows_max.max(1)).last(),
    }
}

/// The byte that stands between values of CSV.
pub fn delimiter(letter: char) -> Result<u8, Fault> {
    match u8::try_from(letter) {
        Ok(byte) if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => Ok(byte),
        _ => Err(Fault::misconfigured(format!(
            "`delimiter = {letter:?}` is not one ASCII character other than a quote and a line end"
        ))),
    }
}

/// The end of each record of a CSV text: a line end inside quotes is part of a value. A quote in the middle of a bare
/// value is a letter like any other, as the host's reader has it.
fn csv_ends(bytes: &[u8], delimiter: u8) -> impl Iterator<Item = usize> {
    let mut quoted = false;
    let mut closed = None;
    memchr2_iter(b'"', b'\n', bytes).filter_map(move |at| {
        if bytes[at] == b'\n' {
            return (!quoted).then_some(at + 1);
        }
        if quoted {
            quoted = false;
            closed = Some(at);
        } else {
            let escaped = at > 0 && closed == Some(at - 1);
            quoted = escaped || begins_value(bytes, at, delimiter);
        }
        None
    })
}

fn begins_value(bytes: &[u8], at: usize, delimiter: u8) -> bool {
    match at.checked_sub(1).map(|before| bytes[before]) {
        None | Some(b'\n' | b'\r') => true,
        Some(before) => before == delimiter || (at == BOM.len() && bytes.starts_with(BOM)),
    }
}

/// A batch as text, for a sink that takes no deletions: without the rows that ask for one, and nothing where no row is
/// left. A CSV text begins with its names where `header` is set.
pub fn encode_upserts(batch: &Batch, text: Text, header: bool) -> Result<Vec<u8>, Fault> {
    let changes = batch.changes();
    let kept = |row: usize| {
        changes
            .as_ref()
            .is_none_or(|changes| changes[row] == Change::Upsert)
    };
    let count = (0..batch.rows()).filter(|row| kept(*row)).count();
    if count == 0 {
        return Ok(Vec::new());
    }
    let (format, lines_before) = match text {
        Text::Ndjson => (Format::Ndjson, 0),
        Text::Csv => (Format::Csv(CsvOutput { header }), usize::from(header)),
    };
    let bytes = batch.encode(format)?;
    if count == batch.rows() {
        return Ok(bytes);
    }
    Ok(keep_rows(&bytes, text, lines_before, kept))
}

/// The lines of an encoded batch that belong to rows to be kept. `lines_before` lines (a header) stay in any case.
fn keep_rows(
    bytes: &[u8],
    text: Text,
    lines_before: usize,
    mut keep: impl FnMut(usize) -> bool,
) -> Vec<u8> {
    let ends: Vec<usize> = match text {
        Text::Ndjson => memchr_iter(b'\n', bytes).map(|at| at + 1).collect(),
        Text::Csv => csv_ends(bytes, b',').collect(),
    };
    let mut kept = Vec::with_capacity(bytes.len());
    let mut start = 0;
    for (line, end) in ends.into_iter().enumerate() {
        if line < lines_before || keep(line - lines_before) {
            kept.extend_from_slice(&bytes[start..end]);
        }
        start = end;
    }
    kept
}

/// Where a record that is being skipped ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skipped {
    /// Behind so many of the bytes.
    Until(usize),
    /// Not in these bytes.
    Beyond {
        /// Whether they end inside quotes.
        quoted: bool,
    },
}

/// Finds the end of a record from its middle on. Inside or outside quotes is told by their number alone, which an
/// escaped quote does not change.
pub fn skip(bytes: &[u8], text: Text, mut quoted: bool) -> Skipped {
    for at in memchr2_iter(b'"', b'\n', bytes) {
        match (text, bytes[at]) {
            (Text::Csv, b'"') => quoted = !quoted,
            (Text::Ndjson, b'\n') => return Skipped::Until(at + 1),
            (Text::Csv, _) if !quoted => return Skipped::Until(at + 1),
            _ => {}
        }
    }
    Skipped::Beyond { quoted }
}

/// A line of names as it goes with a piece from the middle: without a byte order mark.
pub fn without_bom(line: &[u8]) -> &[u8] {
    line.strip_prefix(BOM).unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn record_ends_are_outside_quotes() {
        for (text, rows_max, expected) in [
            ("", 9, None),
            ("a,b", 9, None),
            ("a,b\n", 9, Some(4)),
            ("a,b\r\nc", 9, Some(5)),
            ("a\nb\nc\n", 2, Some(4)),
            ("a\nb\nc\n", 0, Some(2)),
            ("a,\"b\nc", 9, None),
            ("a,\"b\nc\"\nd", 9, Some(8)),
            ("a,\"b\"\"\nc\"\nd", 9, Some(10)),
            ("5\" pipe\nx", 9, Some(8)),
            ("\"\"\n\"x\n", 9, Some(3)),
            ("\u{feff}\"a\nb\",c\n", 9, Some(11)),
        ] {
            assert_eq!(
                end_of_records(text.as_bytes(), Text::Csv, b',', rows_max),
                expected,
                "{text:?}"
            );
        }
        assert_eq!(end_of_records(b"x;\"a\nb\"\n", Text::Csv, b';', 9), Some(8));
        assert_eq!(
            end_of_records(b"{\"a\":\"\\\"\"}\n{", Text::Ndjson, b',', 9),
            Some(11)
        );
        assert_eq!(end_of_records(b"1\n2\n3\n", Text::Ndjson, b',', 2), Some(4));
    }

    #[test]
    fn rows_are_left_out() {
        let csv = b"id,name\n1,a\n2,\"b\nb\"\n3,c\n";
        assert_eq!(
            keep_rows(csv, Text::Csv, 1, |row| row != 1),
            b"id,name\n1,a\n3,c\n"
        );
        assert_eq!(
            keep_rows(b"{}\n[]\n", Text::Ndjson, 0, |row| row == 1),
            b"[]\n"
        );
    }

    #[test]
    fn a_record_is_skipped_to_its_end() {
        assert_eq!(skip(b"xx\nyy", Text::Ndjson, false), Skipped::Until(3));
        assert_eq!(
            skip(b"x\"x", Text::Csv, false),
            Skipped::Beyond { quoted: true }
        );
        assert_eq!(skip(b"\n\"\ny", Text::Csv, true), Skipped::Until(3));
        assert_eq!(skip(b"\"\"\n\"\n", Text::Csv, true), Skipped::Until(5));
    }

    proptest! {
        /// However the reads fall, the same records come out, and none is cut.
        #[test]
        fn pieces_make_no_difference(
            values in prop::collection::vec(prop::collection::vec("[a\",\n\r]{0,4}", 1..3), 1..8),
            size in 1_usize..40,
        ) {
            let line = |row: &Vec<String>| {
                let quoted: Vec<_> = row.iter().map(|value| format!("\"{}\"", value.replace('"', "\"\""))).collect();
                quoted.join(",") + "\n"
            };
            let text: String = values.iter().map(line).collect();
            let ends: Vec<usize> = csv_ends(text.as_bytes(), b',').collect();
            prop_assert_eq!(ends.len(), values.len());
            let (mut held, mut out, mut cuts) = (Vec::new(), 0, Vec::new());
            for piece in text.as_bytes().chunks(size) {
                held.extend_from_slice(piece);
                if let Some(end) = end_of_records(&held, Text::Csv, b',', usize::MAX) {
                    held.drain(..end);
                    out += end;
                    cuts.push(out);
                }
            }
            prop_assert!(held.is_empty());
            prop_assert!(cuts.iter().all(|cut| ends.contains(cut)));
        }
    }
}
