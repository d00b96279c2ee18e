//! The lines of an NDJSON document, and its records as rows.

use crate::assembly::{Assembly, Stop};
use crate::document::Document;
use crate::json::object::ObjectReader;
use crate::json::scan::Scanner;
use crate::problem::Problem;
use sluice_model::guards::Guard;
use sluice_model::limits;

/// One line, without its end.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// Counted from the first line of the file.
    pub number: u64,
    /// Its bytes, a `\r` before the line end included.
    pub bytes: &'a [u8],
}

impl Line<'_> {
    /// Whether it holds nothing but space, and so is no record.
    #[inline]
    pub fn is_blank(&self) -> bool {
        self.bytes
            .iter()
            .all(|byte| matches!(byte, b' ' | b'\t' | b'\r'))
    }
}

/// The lines of a document.
#[derive(Debug)]
pub struct Lines<'a> {
    rest: &'a [u8],
    next: u64,
    /// Line ends passed so far.
    pub ends: u64,
}

/// What a document may begin with, as some editors write it.
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

impl<'a> Lines<'a> {
    /// From the beginning of a document whose first line has this number.
    pub fn new(bytes: &'a [u8], first_line: u64) -> Self {
        Self {
            rest: bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes),
            next: first_line,
            ends: 0,
        }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    #[inline]
    fn next(&mut self) -> Option<Line<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let number = self.next;
        let bytes = match memchr::memchr(b'\n', self.rest) {
            Some(end) => {
                let (line, rest) = self.rest.split_at(end);
                self.rest = &rest[1..];
                self.ends += 1;
                self.next += 1;
                line
            }
            None => std::mem::take(&mut self.rest),
        };
        Some(Line { number, bytes })
    }
}

/// Reads every line that is not blank as one record.
pub fn decode(
    document: &Document<'_>,
    reader: &mut ObjectReader<'_>,
    assembly: &mut Assembly<'_>,
) -> Result<u64, Stop> {
    // Checked once for the whole document; line by line only where something is wrong somewhere.
    let is_utf8 = std::str::from_utf8(document.bytes).is_ok();
    let mut lines = Lines::new(document.bytes, document.first_line);
    for line in lines.by_ref() {
        if line.is_blank() {
            continue;
        }
        match record(line.bytes, is_utf8, reader, assembly) {
            Ok(()) => assembly.accept(line.number, line.bytes.len())?,
            Err(problem) => assembly.refuse(line.number, line.bytes, &problem)?,
        }
    }
    Ok(lines.ends)
}

#[inline]
fn record(
    line: &[u8],
    is_utf8: bool,
    reader: &mut ObjectReader<'_>,
    assembly: &mut Assembly<'_>,
) -> Result<(), Box<Problem>> {
    if line.len() > Guard::RecordBytes.limit(limits::RECORD_BYTES_MAX) {
        return Err(Box::new(Problem::TooLarge { bytes: line.len() }));
    }
    if !is_utf8 && let Err(error) = std::str::from_utf8(line) {
        return Err(Box::new(Problem::InvalidUtf8 {
            at: error.valid_up_to(),
        }));
    }
    let mut scanner = Scanner::new(line);
    scanner.skip_space();
    let row = assembly.rows();
    reader.read(&mut scanner, &mut assembly.columns, row, true)
}
