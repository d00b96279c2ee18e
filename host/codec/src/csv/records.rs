//! The records of a CSV document, cut and unquoted by `csv-core`, with what it does not tell: where each record
//! begins, whether a field was quoted, and whether a quote was left open.

use crate::document::{Document, line_ends};
use crate::ndjson::BYTE_ORDER_MARK;
use crate::problem::{Problem, shown};
use csv_core::ReadFieldResult;
use sluice_model::guards::Guard;
use sluice_model::limits;

/// Why the records of a document cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CsvError {
    /// Not an ASCII character, or one that CSV needs for itself.
    #[error("byte {0} cannot stand between fields")]
    Delimiter(u8),
    /// The names are not UTF-8.
    #[error("its header is not UTF-8")]
    HeaderUtf8,
    /// Two columns of one name.
    #[error("column `{0}` stands twice in its header")]
    Twice(String),
    /// More columns than a schema may have fields.
    #[error("its header has more than {max} columns", max = limits::FIELDS_MAX)]
    Columns,
    /// A column's name is too long.
    #[error("its header has a name of more than {max} bytes", max = limits::FIELD_NAME_BYTES_MAX)]
    Name,
}

/// One record as it stands in the document.
#[derive(Debug, Clone, Copy)]
pub struct CsvRecord<'a> {
    /// The line it begins on.
    pub line: u64,
    /// Its bytes, without the line end.
    pub raw: &'a [u8],
    fields: usize,
    open_quote: bool,
    not_utf8_at: Option<usize>,
}

/// The fields of the record last read.
#[derive(Debug, Default)]
pub struct Row {
    /// Unquoted, end to end; room for more behind the last.
    bytes: Vec<u8>,
    /// For each field where it ends, and whether it was quoted.
    ends: Vec<(usize, bool)>,
}

/// One field.
#[derive(Debug, Clone, Copy)]
pub struct Value<'a> {
    /// Unquoted.
    pub bytes: &'a [u8],
    /// Whether it stood in quotes.
    pub quoted: bool,
}

/// The records of a document, one after the other.
#[derive(Debug)]
pub struct Records<'a> {
    bytes: &'a [u8],
    at: usize,
    line: u64,
    core: Box<csv_core::Reader>,
    is_utf8: bool,
    row: Row,
    /// Fields of a record that are kept; more are only counted.
    fields_max: usize,
    header: Vec<String>,
}

impl CsvRecord<'_> {
    /// Why it cannot be a record under a header of so many columns.
    pub fn problem(&self, columns: usize) -> Option<Box<Problem>> {
        let problem = if self.raw.len() > Guard::CsvRecordBytes.limit(limits::RECORD_BYTES_MAX) {
            Problem::TooLarge {
                bytes: self.raw.len(),
            }
        } else if self.open_quote {
            Problem::OpenQuote
        } else if let Some(at) = self.not_utf8_at {
            Problem::InvalidUtf8 { at }
        } else if self.fields != columns {
            Problem::Ragged {
                found: self.fields,
                expected: columns,
            }
        } else {
            return None;
        };
        Some(Box::new(problem))
    }
}

impl Row {
    /// The field of this column.
    #[inline]
    pub fn field(&self, column: usize) -> Option<Value<'_>> {
        let &(end, quoted) = self.ends.get(column)?;
        let start = column
            .checked_sub(1)
            .and_then(|before| self.ends.get(before))
            .map_or(0, |before| before.0);
        Some(Value {
            bytes: self.bytes.get(start..end)?,
            quoted,
        })
    }
}

impl<'a> Records<'a> {
    /// The records behind the header, which is the first record unless it is given.
    pub fn new(
        document: &Document<'a>,
        delimiter: u8,
        header: Option<&[u8]>,
    ) -> Result<Self, CsvError> {
        if !delimiter.is_ascii() || matches!(delimiter, b'"' | b'\r' | b'\n') {
            return Err(CsvError::Delimiter(delimiter));
        }
        let mut records = Self::cut(document.bytes, document.first_line, delimiter);
        records.header = match header {
            Some(line) => Records::cut(line, 1, delimiter).names()?,
            None => records.names()?,
        };
        records.fields_max = records.header.len();
        Ok(records)
    }

    fn cut(bytes: &'a [u8], first_line: u64, delimiter: u8) -> Self {
        Self {
            bytes: bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes),
            at: 0,
            line: first_line,
            core: Box::new(csv_core::ReaderBuilder::new().delimiter(delimiter).build()),
            is_utf8: std::str::from_utf8(bytes).is_ok(),
            row: Row::default(),
            fields_max: limits::FIELDS_MAX,
            header: Vec::new(),
        }
    }

    /// The names of the columns.
    pub fn header(&self) -> &[String] {
        &self.header
    }

    /// The fields of the record last read.
    pub fn row(&self) -> &Row {
        &self.row
    }

    fn names(&mut self) -> Result<Vec<String>, CsvError> {
        let Some(record) = self.advance() else {
            return Ok(Vec::new());
        };
        if record.fields > Guard::CsvColumns.limit(limits::FIELDS_MAX) {
            return Err(CsvError::Columns);
        }
        let mut names: Vec<String> = Vec::with_capacity(record.fields);
        let mut seen = std::collections::HashSet::new();
        for column in 0..record.fields {
            let bytes = self
                .row
                .field(column)
                .map(|value| value.bytes)
                .unwrap_or_default();
            if bytes.len() > Guard::CsvName.limit(limits::FIELD_NAME_BYTES_MAX) {
                return Err(CsvError::Name);
            }
            let name = std::str::from_utf8(bytes).map_err(|_| CsvError::HeaderUtf8)?;
            if !seen.insert(name.to_owned()) {
                return Err(CsvError::Twice(shown(name)));
            }
            names.push(name.to_owned());
        }
        Ok(names)
    }

    /// Reads the next record into [`Records::row`]. Empty lines are no records.
    pub fn advance(&mut self) -> Option<CsvRecord<'a>> {
        while let Some(byte @ (b'\r' | b'\n')) = self.bytes.get(self.at) {
            self.line += u64::from(*byte == b'\n');
            self.at += 1;
        }
        if self.at >= self.bytes.len() {
            return None;
        }
        let (start, line) = (self.at, self.line);
        let (fields, open_quote) = self.fields();
        let consumed = &self.bytes[start..self.at];
        self.line += line_ends(consumed);
        let raw = trimmed(consumed);
        let not_utf8_at = if self.is_utf8 {
            None
        } else {
            std::str::from_utf8(raw).err().map(|e| e.valid_up_to())
        };
        Some(CsvRecord {
            line,
            raw,
            fields,
            open_quote,
            not_utf8_at,
        })
    }

    /// Reads fields to the end of the record: how many there were, and whether the last one's quotes are still open.
    fn fields(&mut self) -> (usize, bool) {
        self.row.ends.clear();
        let (mut fields, mut filled, mut field_start) = (0, 0, self.at);
        let mut ended_by_input = false;
        loop {
            let input = if ended_by_input {
                &[][..]
            } else {
                &self.bytes[self.at..]
            };
            let (result, read, written) =
                self.core.read_field(input, &mut self.row.bytes[filled..]);
            self.at += read;
            filled += written;
            match result {
                ReadFieldResult::InputEmpty => ended_by_input = true,
                ReadFieldResult::OutputFull => {
                    let room = self.row.bytes.len().max(256) * 2;
                    self.row.bytes.resize(room, 0);
                }
                ReadFieldResult::Field { record_end } => {
                    let quoted = self.bytes.get(field_start) == Some(&b'"');
                    if self.row.ends.len() < self.fields_max {
                        self.row.ends.push((filled, quoted));
                    } else {
                        filled = self.row.ends.last().map_or(0, |last| last.0);
                    }
                    fields += 1;
                    if record_end {
                        let text = &self.bytes[field_start..self.at];
                        return (fields, ended_by_input && quoted && is_open(text));
                    }
                    field_start = self.at;
                }
                ReadFieldResult::End => return (fields, false),
            }
        }
    }
}

/// Whether a quoted field that ends with the document lacks its closing quote.
fn is_open(field: &[u8]) -> bool {
    memchr::memchr_iter(b'"', field).count() % 2 == 1
}

fn trimmed(record: &[u8]) -> &[u8] {
    let record = record.strip_suffix(b"\n").unwrap_or(record);
    record.strip_suffix(b"\r").unwrap_or(record)
}
