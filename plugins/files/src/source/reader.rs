//! Reads one file: a piece at a time, cut behind the last whole record.

use super::cursor::{Cursor, Skipping};
use crate::Format;
use sluice_sdk::files::{READ_BYTES_MAX, Readable};
use sluice_sdk::framing::{self, RECORD_BYTES_MAX, Skipped};
use sluice_sdk::source::{Document, Limit, Split};
use sluice_sdk::{Fault, Page, Reader};

/// The longest line of names.
const HEADER_BYTES_MAX: usize = 1 << 20;
/// The least that one read asks for, whatever the host's limit.
const READ_BYTES_MIN: u32 = 4 << 10;

/// Reads one file.
pub struct FileReader {
    dir: Readable,
    path: String,
    stream: String,
    format: Format,
    delimiter: u8,
    cursor: Cursor,
    /// The line of names, where the place is behind it.
    header: Option<Vec<u8>>,
}

impl FileReader {
    pub(super) fn open(
        dir: Readable,
        split: Split,
        format: Format,
        delimiter: u8,
        cursor: Option<Cursor>,
    ) -> Result<Self, Fault> {
        let [stream] = <[String; 1]>::try_from(split.streams).map_err(|_| {
            Fault::broken("a file is of one stream, and the split names another number of them")
        })?;
        if let Some(cursor) = &cursor {
            cursor.verify(&dir, &split.id)?;
        }
        let cursor = cursor.unwrap_or_else(Cursor::start);
        let mut reader = Self {
            dir,
            path: split.id,
            stream,
            format,
            delimiter,
            cursor,
            header: None,
        };
        if format == Format::Csv && reader.cursor.offset > 0 {
            reader.header = Some(reader.read_header()?);
        }
        Ok(reader)
    }

    fn read_header(&self) -> Result<Vec<u8>, Fault> {
        let mut bytes = Vec::new();
        loop {
            if let Some(end) =
                framing::end_of_records(&bytes, self.format.text(), self.delimiter, 1)
            {
                bytes.truncate(end);
                break;
            }
            let more = self.dir.read(&self.path, bytes.len() as u64, 64 << 10)?;
            if more.is_empty() {
                break;
            }
            bytes.extend_from_slice(&more);
            if bytes.len() > HEADER_BYTES_MAX {
                return Err(Fault::broken(format!(
                    "`{}` has a line of names longer than 1 MiB",
                    self.path
                )));
            }
        }
        Ok(framing::without_bom(&bytes).to_vec())
    }

    fn document(&self, bytes: Vec<u8>) -> Document {
        let (name, offset) = (self.path.as_str(), self.cursor.offset);
        match self.format {
            Format::Ndjson => Document::ndjson(name, offset, bytes),
            Format::Csv => Document::csv(
                name,
                offset,
                char::from(self.delimiter),
                self.header.clone(),
                bytes,
            ),
        }
    }

    /// Hands `bytes` over and moves behind them.
    fn page(&mut self, bytes: Vec<u8>, last: bool) -> Result<Page<Cursor>, Fault> {
        let read = bytes.len();
        let document = self.document(bytes);
        self.cursor.advance(&self.dir, &self.path, read)?;
        if self.format == Format::Csv && self.header.is_none() {
            self.header = Some(self.read_header()?);
        }
        let page = if last {
            Page::end(self.cursor.clone())
        } else {
            Page::more(self.cursor.clone())
        };
        Ok(page.document(self.stream.as_str(), document))
    }

    /// The beginning of a record that is too long, for the host to reject; what follows of it is skipped.
    fn overlong(&mut self, mut bytes: Vec<u8>) -> Result<Page<Cursor>, Fault> {
        bytes.truncate(RECORD_BYTES_MAX + 1);
        let quoted = matches!(
            framing::skip(&bytes, self.format.text(), false),
            Skipped::Beyond { quoted: true }
        );
        self.cursor.skipping = Some(Skipping { quoted });
        self.page(bytes, false)
    }

    /// On through a record that is too long, one read at a time.
    fn skip(&mut self, quoted: bool) -> Result<Page<Cursor>, Fault> {
        let bytes = self
            .dir
            .read(&self.path, self.cursor.offset, READ_BYTES_MAX)?;
        if bytes.is_empty() {
            return Ok(Page::end(self.cursor.clone()));
        }
        let skipped = match framing::skip(&bytes, self.format.text(), quoted) {
            Skipped::Until(end) => {
                self.cursor.skipping = None;
                end
            }
            Skipped::Beyond { quoted } => {
                self.cursor.skipping = Some(Skipping { quoted });
                bytes.len()
            }
        };
        self.cursor.advance(&self.dir, &self.path, skipped)?;
        Ok(Page::more(self.cursor.clone()))
    }
}

impl Reader for FileReader {
    type Cursor = Cursor;

    fn read(&mut self, limit: Limit) -> Result<Page<Cursor>, Fault> {
        if let Some(Skipping { quoted }) = self.cursor.skipping {
            return self.skip(quoted);
        }
        let step = limit.bytes.clamp(READ_BYTES_MIN, READ_BYTES_MAX);
        let mut bytes = Vec::new();
        loop {
            let more = self
                .dir
                .read(&self.path, self.cursor.offset + bytes.len() as u64, step)?;
            if more.is_empty() {
                // A last line without a line end is a record all the same.
                return self.page(bytes, true);
            }
            if bytes.is_empty() {
                bytes = more;
            } else {
                bytes.extend_from_slice(&more);
            }
            let rows_max = limit.rows as usize
                + usize::from(self.format == Format::Csv && self.cursor.offset == 0);
            if let Some(end) =
                framing::end_of_records(&bytes, self.format.text(), self.delimiter, rows_max)
            {
                bytes.truncate(end);
                return self.page(bytes, false);
            }
            if bytes.len() > RECORD_BYTES_MAX {
                return self.overlong(bytes);
            }
        }
    }
}
