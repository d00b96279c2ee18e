//! Where records end in text that is read in pieces, for sources that hand documents to the host: a record is never
//! cut between two documents. Deliberately no parsing: the host does that natively.

/// Where the last whole line ends: the length of the piece that may go out. None where no line ends in `bytes`.
///
/// ```
/// use sluice_sdk::framing::ndjson_end;
/// assert_eq!(ndjson_end(b"{\"a\":1}\n{\"a\":2}\n{\"a\""), Some(16));
/// assert_eq!(ndjson_end(b"{\"a\""), None);
/// ```
pub fn ndjson_end(bytes: &[u8]) -> Option<usize> {
    memchr::memrchr(b'\n', bytes).map(|at| at + 1)
}

/// Finds record ends in CSV (RFC 4180: a line end inside quotes is part of a value). Keeps its place, so that a
/// record that grows over many reads is scanned once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvScan {
    delimiter: u8,
    /// How much of the next call's bytes was seen by this one.
    scanned: usize,
    quoted: bool,
    /// Where in those bytes the last quotation ended: a quote right behind it is an escaped one.
    closed: Option<usize>,
}

impl CsvScan {
    /// At the beginning of a record, in a file with this delimiter.
    pub fn new(delimiter: u8) -> Self {
        Self {
            delimiter,
            scanned: 0,
            quoted: false,
            closed: None,
        }
    }

    fn quote(&mut self, bytes: &[u8], at: usize) {
        if self.quoted {
            self.quoted = false;
            self.closed = Some(at);
            return;
        }
        let escaped = at
            .checked_sub(1)
            .is_some_and(|before| self.closed == Some(before));
        // Elsewhere in a bare value a quote is a letter like any other, as lenient readers have it.
        self.quoted = escaped
            || at == 0
            || matches!(bytes[at - 1], b'\n' | b'\r')
            || bytes[at - 1] == self.delimiter;
    }
}

/// Where the last whole CSV record ends: the length of the piece that may go out. None where no record ends.
///
/// `bytes` begins at the beginning of a record. Keep what stands behind the end, put what is read next behind it, and
/// call again with the same `scan`.
///
/// ```
/// use sluice_sdk::framing::{CsvScan, csv_end};
/// let mut scan = CsvScan::new(b',');
/// assert_eq!(csv_end(b"1,a\n2,\"b\n", &mut scan), Some(4));
/// assert_eq!(csv_end(b"2,\"b\nstill b\"\n3", &mut scan), Some(14));
/// ```
pub fn csv_end(bytes: &[u8], scan: &mut CsvScan) -> Option<usize> {
    let mut end = None;
    let from = scan.scanned.min(bytes.len());
    for at in memchr::memchr2_iter(b'"', b'\n', &bytes[from..]) {
        let at = from + at;
        if bytes[at] == b'"' {
            scan.quote(bytes, at);
        } else if !scan.quoted {
            end = Some(at + 1);
        }
    }
    let gone = end.unwrap_or(0);
    scan.scanned = bytes.len() - gone;
    scan.closed = scan.closed.and_then(|at| at.checked_sub(gone));
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_ends_are_outside_quotes() {
        for (text, expected) in [
            ("", None),
            ("a,b", None),
            ("a,b\n", Some(4)),
            ("a,b\r\nc", Some(5)),
            ("a,\"b\nc", None),
            ("a,\"b\nc\"\nd", Some(8)),
            ("a,\"b\"\"\nc\"\nd", Some(10)),
            ("5\" pipe\nx", Some(8)),
            ("5\"\" pipe\n\"a\nb", Some(9)),
            ("\"\"\n\"x\n", Some(3)),
            ("\"\"\"\n", None),
        ] {
            assert_eq!(
                csv_end(text.as_bytes(), &mut CsvScan::new(b',')),
                expected,
                "{text:?}"
            );
        }
    }

    /// However a file is cut into reads, the same records come out.
    #[test]
    fn pieces_make_no_difference() {
        let text = b"id,\"na\"\"me\"\n1,\"a\nb\"\"\n\"\n2,5\" pipe\n\"\",\"\"\"\"\n3,x\n";
        let whole = csv_end(text, &mut CsvScan::new(b','));
        assert_eq!(whole, Some(text.len()));
        for size in 1..text.len() {
            let (mut scan, mut held, mut out) = (CsvScan::new(b','), Vec::new(), Vec::new());
            for piece in text.chunks(size) {
                held.extend_from_slice(piece);
                if let Some(end) = csv_end(&held, &mut scan) {
                    out.extend(held.drain(..end));
                }
            }
            assert!(held.is_empty(), "{size}: {held:?}");
            assert_eq!(out, text, "{size}");
        }
    }
}
