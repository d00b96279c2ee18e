//! Reads one object by ranges, each held to the ETag of the first: a page is of one object, never of two.

use super::cursor::{At, Cursor, lost};
use super::rows::Groups;
use crate::Format;
use crate::bucket::{Bucket, Found, Range};
use sluice_sdk::framing::{self, RECORD_BYTES_MAX, Skipped, Text};
use sluice_sdk::source::{Document, Limit, Split};
use sluice_sdk::{Fault, Page, Reader};

/// The longest line of names.
const HEADER_BYTES_MAX: usize = 1 << 20;
/// What one request asks for.
const RANGE_BYTES: u64 = 4 << 20;

/// One object, and which it is once a part of it was read.
pub(super) struct Object {
    bucket: Bucket,
    pub(super) key: String,
    /// Its ETag and how long it is.
    known: Option<(String, u64)>,
}

impl Object {
    /// Bytes from `from` on, `bytes` at most.
    pub(super) fn range(&mut self, from: u64, bytes: u64) -> Result<Vec<u8>, Fault> {
        let etag = self.known.as_ref().map(|(etag, _)| etag.as_str());
        match self
            .bucket
            .range(&self.key, from, from.saturating_add(bytes), etag)?
        {
            // Nothing of it was read: the next listing says what there is.
            Found::Missing | Found::Changed if self.known.is_none() => {
                Err(Fault::transient(format!(
                    "`{}` is gone or empty since it was listed",
                    self.key.escape_debug()
                )))
            }
            Found::Missing => Err(lost(&self.key, "is gone")),
            Found::Changed => Err(lost(&self.key, "is not the object it was")),
            Found::Range(Range {
                etag,
                object_bytes,
                bytes,
            }) => {
                if self
                    .known
                    .as_ref()
                    .is_some_and(|(_, known)| *known != object_bytes)
                {
                    return Err(lost(&self.key, "is not as long as it was"));
                }
                self.known = Some((etag, object_bytes));
                Ok(bytes)
            }
        }
    }

    /// How long it is; asks where nothing was read yet.
    pub(super) fn bytes(&mut self) -> Result<u64, Fault> {
        if self.known.is_none() {
            self.range(0, 1)?;
        }
        Ok(self.known.as_ref().map_or(0, |(_, bytes)| *bytes))
    }

    pub(super) fn cursor(&self, at: At) -> Cursor {
        let (etag, bytes) = self.known.clone().unwrap_or_default();
        Cursor { etag, bytes, at }
    }
}

/// Reads one object.
pub struct ObjectReader {
    object: Object,
    stream: String,
    kind: Kind,
    at: At,
}

enum Kind {
    Text(Lines),
    Parquet(Option<Groups>),
}

/// A text that is read in pieces.
struct Lines {
    text: Text,
    delimiter: u8,
    /// Read, and not yet handed over: from the place on.
    held: Vec<u8>,
    /// The line of names, where the place is behind it.
    header: Option<Vec<u8>>,
}

impl ObjectReader {
    pub(super) fn open(
        bucket: Bucket,
        split: Split,
        format: Format,
        delimiter: u8,
        cursor: Option<Cursor>,
    ) -> Result<Self, Fault> {
        let [stream] = <[String; 1]>::try_from(split.streams).map_err(|_| {
            Fault::broken("an object is of one stream, and the split names another number of them")
        })?;
        // As the listing had it: the object that was read to its end is not asked for once more.
        if cursor
            .as_ref()
            .is_some_and(|cursor| cursor.etag != split.detail)
        {
            return Err(lost(&split.id, "is not the object it was"));
        }
        let text = |text| {
            Kind::Text(Lines {
                text,
                delimiter,
                held: Vec::new(),
                header: None,
            })
        };
        let (kind, start) = match format {
            Format::Ndjson => (text(Text::Ndjson), At::Offset(0)),
            Format::Csv => (text(Text::Csv), At::Offset(0)),
            Format::Parquet => (Kind::Parquet(None), At::Row { group: 0, row: 0 }),
        };
        let (known, at) = match cursor {
            Some(cursor) => (Some((cursor.etag, cursor.bytes)), cursor.at),
            None => (None, start),
        };
        Ok(Self {
            object: Object {
                bucket,
                key: split.id,
                known,
            },
            stream,
            kind,
            at,
        })
    }
}

impl Reader for ObjectReader {
    type Cursor = Cursor;

    fn read(&mut self, limit: Limit) -> Result<Page<Cursor>, Fault> {
        let (object, at) = (&mut self.object, self.at.clone());
        let (document, at, is_last) = match (&mut self.kind, at) {
            (Kind::Text(lines), At::Offset(offset)) => lines.read(object, offset, limit)?,
            (Kind::Text(lines), At::Skipping { offset, quoted }) => {
                let (at, is_last) = lines.skip(object, offset, quoted)?;
                (None, at, is_last)
            }
            (Kind::Parquet(groups), At::Row { group, row }) => {
                let groups = match groups {
                    Some(groups) => groups,
                    None => groups.insert(Groups::open(object)?),
                };
                groups.read(object, group, row, limit)?
            }
            _ => {
                return Err(Fault::cursor_lost(
                    "the place is one in another format; hint: reset the checkpoint of this split",
                ));
            }
        };
        self.at = at.clone();
        let cursor = self.object.cursor(at);
        let page = if is_last {
            Page::end(cursor)
        } else {
            Page::more(cursor)
        };
        Ok(match document {
            Some(document) => page.document(self.stream.as_str(), document),
            None => page,
        })
    }
}

impl Lines {
    fn read(
        &mut self,
        object: &mut Object,
        offset: u64,
        limit: Limit,
    ) -> Result<(Option<Document>, At, bool), Fault> {
        let object_bytes = object.bytes()?;
        if offset > 0 && self.text == Text::Csv && self.header.is_none() {
            self.header = Some(self.names(object)?);
        }
        let rows_max = limit.rows as usize + usize::from(self.text == Text::Csv && offset == 0);
        loop {
            let wanted = self.held.len().min(limit.bytes.max(1) as usize);
            let whole =
                |bytes: &[u8]| framing::end_of_records(bytes, self.text, self.delimiter, rows_max);
            if let Some(end) = whole(&self.held[..wanted]).or_else(|| whole(&self.held)) {
                return Ok(self.hand_over(object, offset, end, object_bytes));
            }
            let held_to = offset + self.held.len() as u64;
            if held_to >= object_bytes {
                // A last line without a line end is a record all the same.
                return Ok(self.hand_over(object, offset, self.held.len(), object_bytes));
            }
            if self.held.len() > RECORD_BYTES_MAX {
                return Ok(self.overlong(object, offset));
            }
            self.held.extend(object.range(held_to, RANGE_BYTES)?);
        }
    }

    fn hand_over(
        &mut self,
        object: &Object,
        offset: u64,
        end: usize,
        object_bytes: u64,
    ) -> (Option<Document>, At, bool) {
        let rest = self.held.split_off(end);
        let bytes = std::mem::replace(&mut self.held, rest);
        let next = offset + end as u64;
        let names = (offset == 0 && self.text == Text::Csv).then(|| self.names_in(&bytes));
        let document = self.document(object, offset, bytes);
        if let Some(names) = names {
            self.header = Some(names);
        }
        (Some(document), At::Offset(next), next >= object_bytes)
    }

    /// The line of names that a text begins with.
    fn names_in(&self, bytes: &[u8]) -> Vec<u8> {
        let end =
            framing::end_of_records(bytes, self.text, self.delimiter, 1).unwrap_or(bytes.len());
        framing::without_bom(&bytes[..end]).to_vec()
    }

    fn names(&self, object: &mut Object) -> Result<Vec<u8>, Fault> {
        let bytes = object.range(0, HEADER_BYTES_MAX as u64)?;
        let names = self.names_in(&bytes);
        if names.len() >= HEADER_BYTES_MAX {
            return Err(Fault::broken(format!(
                "`{}` has a line of names longer than 1 MiB",
                object.key.escape_debug()
            )));
        }
        Ok(names)
    }

    fn document(&self, object: &Object, offset: u64, bytes: Vec<u8>) -> Document {
        let name = object.key.as_str();
        match self.text {
            Text::Ndjson => Document::ndjson(name, offset, bytes),
            Text::Csv => Document::csv(
                name,
                offset,
                char::from(self.delimiter),
                self.header.clone(),
                bytes,
            ),
        }
    }

    /// The beginning of a record that is too long, for the host to reject; what follows of it is skipped.
    fn overlong(&mut self, object: &Object, offset: u64) -> (Option<Document>, At, bool) {
        let mut bytes = std::mem::take(&mut self.held);
        bytes.truncate(RECORD_BYTES_MAX + 1);
        let quoted = matches!(
            framing::skip(&bytes, self.text, false),
            Skipped::Beyond { quoted: true }
        );
        let next = At::Skipping {
            offset: offset + bytes.len() as u64,
            quoted,
        };
        (Some(self.document(object, offset, bytes)), next, false)
    }

    /// On through a record that is too long, one request at a time.
    fn skip(
        &mut self,
        object: &mut Object,
        offset: u64,
        quoted: bool,
    ) -> Result<(At, bool), Fault> {
        let object_bytes = object.bytes()?;
        self.held.clear();
        if offset >= object_bytes {
            return Ok((At::Offset(offset), true));
        }
        let bytes = object.range(offset, RANGE_BYTES)?;
        Ok(match framing::skip(&bytes, self.text, quoted) {
            Skipped::Until(end) => {
                let next = offset + end as u64;
                (At::Offset(next), next >= object_bytes)
            }
            Skipped::Beyond { quoted } => {
                let offset = offset + bytes.len() as u64;
                (At::Skipping { offset, quoted }, false)
            }
        })
    }
}
