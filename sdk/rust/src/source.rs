//! A source: pages of records out, with the cursor to resume at. Write [`Source`] and [`Reader`] for your types and
//! end the file with [`source!`](crate::source!).

use crate::bindings::source::exports::sluice::plugin::source as wire;
use crate::{Change, Fault, NamedColumn, Record, Schema, config};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::cell::RefCell;
use std::marker::PhantomData;

pub use wire::{
    CsvInput, Document, DocumentFormat, Lag, LagUnit, Limit, ParquetInput, Split, Stream,
};

/// A plugin that reads from a system.
pub trait Source: 'static {
    /// The plugin's settings; use `#[serde(deny_unknown_fields)]`.
    type Config: DeserializeOwned;
    /// Where a split is. Kept by the host as JSON, at most 64 KiB; an older version of the plugin may have written it.
    type Cursor: Serialize + DeserializeOwned;
    /// What reads one split.
    type Reader: Reader<Cursor = Self::Cursor>;

    /// Can these settings reach the system? May connect, must not change anything.
    fn check(config: &Self::Config) -> Result<(), Fault>;

    /// What could be read.
    fn streams(config: &Self::Config) -> Result<Vec<Stream>, Fault>;

    /// Makes what reading the chosen streams needs and the system does not have yet; what is there stays as it is. Called
    /// when a pipeline starts, before [`Source::splits`], and never when it is only checked. By default, nothing.
    fn prepare(config: &Self::Config, streams: &[String]) -> Result<(), Fault> {
        let _ = (config, streams);
        Ok(())
    }

    /// How to read the chosen streams: by default, each on its own. May connect, must not change anything.
    fn splits(config: &Self::Config, streams: &[String]) -> Result<Vec<Split>, Fault> {
        let _ = config;
        Ok(streams
            .iter()
            .map(|stream| Split::new(stream, stream))
            .collect())
    }

    /// Begins to read a split: at its beginning, or after the page that carried `cursor`.
    fn open(
        config: Self::Config,
        split: Split,
        cursor: Option<Self::Cursor>,
    ) -> Result<Self::Reader, Fault>;
}

/// Reads one split. After a fault it is dropped, and another opened at the last good cursor.
pub trait Reader: 'static {
    /// See [`Source::Cursor`].
    type Cursor: Serialize + DeserializeOwned;

    /// The next page, within `limit`.
    fn read(&mut self, limit: Limit) -> Result<Page<Self::Cursor>, Fault>;

    /// All up to `cursor` is durable everywhere: the system may forget it. May come again after a crash.
    fn acknowledge(&mut self, cursor: Self::Cursor) -> Result<(), Fault> {
        let _ = cursor;
        Ok(())
    }
}

/// What one read gives: parts in the order they happened, and where to resume after all of them.
#[derive(Debug, Clone)]
pub struct Page<C> {
    /// In the order they happened.
    pub parts: Vec<Part>,
    /// Where to resume after all of them.
    pub cursor: C,
    /// Whether there is more.
    pub next: Next,
    /// How far behind the system the pipeline is; none where there is nothing new to say of it.
    pub lag: Option<Lag>,
}

/// Whether there is more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Read again at once.
    More,
    /// Nothing now: read again after so many milliseconds.
    WaitMs(u64),
    /// This split is read to its end.
    End,
}

/// Records of one stream.
#[derive(Debug, Clone)]
pub struct Part {
    /// Whose.
    pub stream: String,
    /// The records.
    pub content: Content,
}

/// Records as columns, or as the bytes the system sent.
#[derive(Debug, Clone)]
pub enum Content {
    /// Columns.
    Columns(Columns),
    /// Bytes, which the host decodes natively to the stream's schema. Whole records only.
    Document(Document),
}

/// Records as columns.
#[derive(Debug, Clone)]
pub struct Columns {
    /// How many records.
    pub rows: usize,
    /// Each of `rows` values.
    pub columns: Vec<NamedColumn>,
    /// What each row asks for; none where every row is an upsert.
    pub changes: Option<Vec<Change>>,
}

impl<C> Page<C> {
    /// An empty page; read again at once.
    pub fn more(cursor: C) -> Self {
        Self {
            parts: Vec::new(),
            cursor,
            next: Next::More,
            lag: None,
        }
    }

    /// An empty page; the split is read to its end.
    pub fn end(cursor: C) -> Self {
        Self {
            parts: Vec::new(),
            cursor,
            next: Next::End,
            lag: None,
        }
    }

    /// An empty page; read again after so many milliseconds.
    pub fn wait_ms(cursor: C, wait_ms: u64) -> Self {
        Self {
            parts: Vec::new(),
            cursor,
            next: Next::WaitMs(wait_ms),
            lag: None,
        }
    }

    /// With how far behind the system the pipeline is: an operator is shown it.
    #[must_use]
    pub fn lagging(mut self, lag: Option<Lag>) -> Self {
        self.lag = lag;
        self
    }

    /// With these records. None at all add no part.
    #[must_use]
    pub fn records<R: Record>(self, stream: impl Into<String>, records: Vec<R>) -> Self {
        let rows = records.len();
        if rows == 0 {
            return self;
        }
        let columns = R::into_columns(records);
        self.columns(
            stream,
            Columns {
                rows,
                columns,
                changes: None,
            },
        )
    }

    /// With these columns.
    #[must_use]
    pub fn columns(self, stream: impl Into<String>, columns: Columns) -> Self {
        self.part(stream, Content::Columns(columns))
    }

    /// With these bytes as the system sent them. No bytes at all add no part.
    #[must_use]
    pub fn document(self, stream: impl Into<String>, document: Document) -> Self {
        if document.bytes.is_empty() {
            self
        } else {
            self.part(stream, Content::Document(document))
        }
    }

    fn part(mut self, stream: impl Into<String>, content: Content) -> Self {
        self.parts.push(Part {
            stream: stream.into(),
            content,
        });
        self
    }
}

impl Document {
    /// One JSON object a line. `name` is what the bytes were cut from, `offset` the place of the first in it.
    pub fn ndjson(name: impl Into<String>, offset: u64, bytes: Vec<u8>) -> Self {
        Self {
            format: DocumentFormat::Ndjson,
            bytes,
            name: name.into(),
            offset,
            changes: None,
        }
    }

    /// One JSON document; the records stand at this RFC 6901 pointer (empty: the document itself).
    pub fn json(name: impl Into<String>, pointer: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self {
            format: DocumentFormat::Json(pointer.into()),
            bytes,
            name: name.into(),
            offset: 0,
            changes: None,
        }
    }

    /// CSV. `header`: the file's line of names, where `bytes` does not begin with it.
    pub fn csv(
        name: impl Into<String>,
        offset: u64,
        delimiter: char,
        header: Option<Vec<u8>>,
        bytes: Vec<u8>,
    ) -> Self {
        Self {
            format: DocumentFormat::Csv(CsvInput { delimiter, header }),
            bytes,
            name: name.into(),
            offset,
            changes: None,
        }
    }

    /// Rows of a row group of a Parquet file: `bytes` is all of the group, for each page of it. `offset` is where `bytes` begins in it; see [`crate::parquet`].
    pub fn parquet(
        name: impl Into<String>,
        offset: u64,
        input: ParquetInput,
        bytes: Vec<u8>,
    ) -> Self {
        Self {
            format: DocumentFormat::Parquet(input),
            bytes,
            name: name.into(),
            offset,
            changes: None,
        }
    }

    /// With what each of its records asks for, in their order: as many as there are records.
    #[must_use]
    pub fn with_changes(mut self, changes: Vec<Change>) -> Self {
        self.changes = Some(changes);
        self
    }
}

impl Stream {
    /// A stream whose schema the host infers from a sample.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            schema: None,
            incremental: false,
        }
    }

    /// With its schema.
    #[must_use]
    pub fn with_schema(mut self, schema: Schema) -> Self {
        self.schema = Some(schema);
        self
    }

    /// A cursor from a finished read finds only what is new.
    #[must_use]
    pub fn incremental(mut self) -> Self {
        self.incremental = true;
        self
    }
}

impl Split {
    /// A split of one stream. `id` is stable: the host keeps the cursor under it.
    pub fn new(id: impl Into<String>, stream: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            streams: vec![stream.into()],
            detail: String::new(),
            start: None,
            after: Vec::new(),
        }
    }

    /// With words of the plugin's own, handed back at `open`.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// Begins at this cursor where the host keeps none for it yet; the host makes it durable before it opens any split.
    pub fn starting_at<C: Serialize>(mut self, cursor: &C) -> Result<Self, Fault> {
        self.start = Some(config::cursor_to(cursor)?);
        Ok(self)
    }

    /// Opened only once the splits of these ids are read to their end.
    #[must_use]
    pub fn after(mut self, splits: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.after = splits.into_iter().map(Into::into).collect();
        self
    }
}

impl<C: Serialize> Page<C> {
    fn into_wire(self) -> Result<wire::Page, Fault> {
        Ok(wire::Page {
            parts: self.parts.into_iter().map(Into::into).collect(),
            cursor: config::cursor_to(&self.cursor)?,
            next: match self.next {
                Next::More => wire::Next::More,
                Next::WaitMs(wait_ms) => wire::Next::Wait(wait_ms),
                Next::End => wire::Next::End,
            },
            lag: self.lag,
        })
    }
}

impl From<Part> for wire::Part {
    fn from(part: Part) -> Self {
        let content = match part.content {
            Content::Columns(columns) => wire::Content::Columns(wire::Columns {
                rows: u32::try_from(columns.rows).unwrap_or(u32::MAX),
                columns: columns.columns.into_iter().map(Into::into).collect(),
                changes: columns.changes,
            }),
            Content::Document(document) => wire::Content::Document(document),
        };
        Self {
            stream: part.stream,
            content,
        }
    }
}

/// Carries the contract's calls to a [`Source`].
#[doc(hidden)]
pub struct Shim<S>(PhantomData<S>);

/// One opened reader.
#[doc(hidden)]
pub struct Opened<S: Source>(RefCell<S::Reader>);

impl<S: Source> wire::Guest for Shim<S> {
    type Reader = Opened<S>;

    fn check(config: String) -> Result<(), wire::Fault> {
        Ok(S::check(&config::parse(&config)?)?)
    }

    fn streams(config: String) -> Result<Vec<Stream>, wire::Fault> {
        Ok(S::streams(&config::parse(&config)?)?)
    }

    fn prepare(config: String, streams: Vec<String>) -> Result<(), wire::Fault> {
        Ok(S::prepare(&config::parse(&config)?, &streams)?)
    }

    fn splits(config: String, streams: Vec<String>) -> Result<Vec<Split>, wire::Fault> {
        Ok(S::splits(&config::parse(&config)?, &streams)?)
    }
}

impl<S: Source> wire::GuestReader for Opened<S> {
    fn open(
        config: String,
        split: Split,
        cursor: Option<Vec<u8>>,
    ) -> Result<wire::Reader, wire::Fault> {
        let cursor = cursor
            .map(|bytes| config::cursor_from(&bytes))
            .transpose()?;
        let reader = S::open(config::parse(&config)?, split, cursor)?;
        Ok(wire::Reader::new(Self(RefCell::new(reader))))
    }

    fn read(&self, limit: Limit) -> Result<wire::Page, wire::Fault> {
        Ok(self.0.borrow_mut().read(limit)?.into_wire()?)
    }

    fn acknowledge(&self, cursor: Vec<u8>) -> Result<(), wire::Fault> {
        Ok(self
            .0
            .borrow_mut()
            .acknowledge(config::cursor_from(&cursor)?)?)
    }
}

/// Makes a component of a type that is a [`Source`](trait@crate::Source). May stand beside [`sink!`](crate::sink!).
#[macro_export]
macro_rules! source {
    ($source:ty) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            type Shim = $crate::source::Shim<$source>;
    $crate::bindings::source::__export_source!(Shim with_types_in $crate::bindings::source);
        };
    };
}
