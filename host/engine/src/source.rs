//! A source instance: what it can read, and its pages.

use crate::answer;
use crate::bindings::source::{Plugin as World, wit};
use crate::columns::{Lie, lift};
use crate::instance::Instance;
use crate::pace::timeout;
use crate::splits::{self, Split};
use arrow_array::RecordBatch;
use sluice_codec::{DocumentFormat, ParquetRows};
use sluice_model::batch::Change;
use sluice_model::checkpoint::Cursor;
use sluice_model::fault::{Fault, FaultKind};
use sluice_model::guards::Guard;
use sluice_model::ids::StreamName;
use sluice_model::lag::{Lag, LagUnit};
use sluice_model::limits;
use sluice_model::schema::Schema;
use std::sync::Arc;
use std::time::Duration;
use wasmtime::component::ResourceAny;

/// One stream that a source can read.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamInfo {
    /// Its name.
    pub name: StreamName,
    /// Its schema, where the system says.
    pub schema: Option<Arc<Schema>>,
    /// Whether a cursor from a finished read finds only what is new.
    pub incremental: bool,
}

/// The most one page should hold, and how long a read may wait for something to arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Records.
    pub rows: u32,
    /// Bytes of documents and columns.
    pub bytes: u32,
    /// Waiting for the first record.
    pub wait: Duration,
}

/// What one read gave.
#[derive(Debug, Clone)]
pub struct Page {
    /// In the order they happened.
    pub parts: Vec<PagePart>,
    /// The place to resume after all of them.
    pub cursor: Cursor,
    /// What comes after.
    pub next: Next,
    /// How far behind the source it is; none where there is nothing new to say of it.
    pub lag: Option<Lag>,
}

/// Records of one stream in a page.
#[derive(Debug, Clone)]
pub struct PagePart {
    /// Whose records.
    pub stream: StreamName,
    /// The records.
    pub content: Content,
}

/// Records, decoded or not.
#[derive(Debug, Clone)]
pub enum Content {
    /// Bytes as the system sent them.
    Document {
        /// What they are.
        format: DocumentFormat,
        /// Whole records.
        bytes: Vec<u8>,
        /// What they were cut from, for people.
        name: String,
        /// Where in it their first byte stood.
        offset: u64,
        /// What each record asks for; none where every one is an upsert.
        changes: Option<Vec<Change>>,
    },
    /// Columns, validated.
    Columns {
        /// Their fields; without a key, which is the stream's.
        schema: Arc<Schema>,
        /// Their values.
        data: RecordBatch,
        /// What each row asks for; none where every row is an upsert.
        changes: Option<Vec<Change>>,
    },
}

/// What comes after a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Read again at once.
    More,
    /// Nothing now: read again after so long.
    Wait(Duration),
    /// This split is read to its end.
    End,
}

/// A source's instance. Not to be used after a fault that [`Fault::poisons_instance`]; every call then says so.
pub struct Source {
    instance: Instance,
    world: World,
    config: String,
    /// The open reader, and the streams of its split.
    reader: Option<(ResourceAny, Vec<StreamName>)>,
}

impl Source {
    pub(crate) fn new(instance: Instance, world: World, config: String) -> Self {
        Self {
            instance,
            world,
            config,
            reader: None,
        }
    }

    /// Can it reach its system?
    pub async fn check(&mut self) -> Result<(), Fault> {
        let time_max = self.instance.begin()?;
        let call = self
            .world
            .sluice_plugin_source()
            .call_check(&mut self.instance.store, &self.config);
        let outcome = timeout(time_max, call).await;
        self.instance
            .end("check", outcome)?
            .map_err(|fault| answer::fault(&fault))
    }

    /// What could be read.
    pub async fn streams(&mut self) -> Result<Vec<StreamInfo>, Fault> {
        let time_max = self.instance.begin()?;
        let call = self
            .world
            .sluice_plugin_source()
            .call_streams(&mut self.instance.store, &self.config);
        let outcome = timeout(time_max, call).await;
        let streams = self
            .instance
            .end("streams", outcome)?
            .map_err(|fault| answer::fault(&fault))?;
        if streams.len() > Guard::Streams.limit(limits::STREAMS_MAX) {
            return Err(self.too_much("streams", streams.len(), "streams", limits::STREAMS_MAX));
        }
        let streams = streams
            .into_iter()
            .map(stream)
            .collect::<Result<Vec<_>, _>>();
        let streams = streams.map_err(|lie| self.instance.malformed("streams", lie))?;
        match answer::twice(streams.iter().map(|stream| stream.name.as_str())) {
            Some(name) if Guard::StreamOnce.stands() => Err(self
                .instance
                .malformed("streams", format!("stream `{name}` stands twice"))),
            _ => Ok(streams),
        }
    }

    /// Has it make what reading these streams needs.
    pub async fn prepare(&mut self, streams: &[StreamName]) -> Result<(), Fault> {
        let time_max = self.instance.begin()?;
        let names: Vec<String> = streams.iter().map(ToString::to_string).collect();
        let guest = self.world.sluice_plugin_source();
        let call = guest.call_prepare(&mut self.instance.store, &self.config, &names);
        let outcome = timeout(time_max, call).await;
        self.instance
            .end("prepare", outcome)?
            .map_err(|fault| answer::fault(&fault))
    }

    /// How to read these streams.
    pub async fn splits(&mut self, streams: &[StreamName]) -> Result<Vec<Split>, Fault> {
        let time_max = self.instance.begin()?;
        let names: Vec<String> = streams.iter().map(ToString::to_string).collect();
        let call = self.world.sluice_plugin_source().call_splits(
            &mut self.instance.store,
            &self.config,
            &names,
        );
        let outcome = timeout(time_max, call).await;
        let splits = self
            .instance
            .end("splits", outcome)?
            .map_err(|fault| answer::fault(&fault))?;
        if splits.len() > Guard::Splits.limit(limits::SPLITS_MAX) {
            return Err(self.too_much("splits", splits.len(), "splits", limits::SPLITS_MAX));
        }
        let asked = streams.iter().map(|name| (name.as_str(), name)).collect();
        let splits = splits::lift(splits, &asked);
        splits.map_err(|lie| self.instance.malformed("splits", lie))
    }

    /// Opens the reader of one split inside this instance, in place of an older one. `cursor`: none to begin at the
    /// beginning.
    pub async fn open(&mut self, split: &Split, cursor: Option<&Cursor>) -> Result<(), Fault> {
        self.close().await?;
        let time_max = self.instance.begin()?;
        let given = wit::Split {
            id: split.id.to_string(),
            streams: split.streams.iter().map(ToString::to_string).collect(),
            detail: split.detail.clone(),
            start: None,
            after: Vec::new(),
        };
        let reader = self.world.sluice_plugin_source().reader();
        let cursor = cursor.map(Cursor::as_bytes);
        let call = reader.call_open(&mut self.instance.store, &self.config, &given, cursor);
        let outcome = timeout(time_max, call).await;
        let reader = self
            .instance
            .end("open", outcome)?
            .map_err(|fault| answer::fault(&fault))?;
        self.reader = Some((reader, split.streams.clone()));
        Ok(())
    }

    /// The next page.
    pub async fn read(&mut self, limit: Limit) -> Result<Page, Fault> {
        let reader = self.opened()?;
        let time_max = self.instance.begin()?;
        let given = wit::Limit {
            rows: limit.rows,
            bytes: limit.bytes,
            wait_ms: u32::try_from(limit.wait.as_millis()).unwrap_or(u32::MAX),
        };
        let guest = self.world.sluice_plugin_source().reader();
        let outcome = timeout(
            time_max,
            guest.call_read(&mut self.instance.store, reader, given),
        )
        .await;
        let page = self
            .instance
            .end("read", outcome)?
            .map_err(|fault| answer::fault(&fault))?;
        self.page(page)
    }

    /// All up to `cursor` is durable everywhere.
    pub async fn acknowledge(&mut self, cursor: &Cursor) -> Result<(), Fault> {
        let reader = self.opened()?;
        let time_max = self.instance.begin()?;
        let guest = self.world.sluice_plugin_source().reader();
        let call = guest.call_acknowledge(&mut self.instance.store, reader, cursor.as_bytes());
        let outcome = timeout(time_max, call).await;
        self.instance
            .end("acknowledge", outcome)?
            .map_err(|fault| answer::fault(&fault))
    }

    /// Linear memory of the instance, which never shrinks: replace the instance where it has grown too large.
    pub fn memory_bytes(&self) -> u64 {
        self.instance.memory_bytes()
    }

    async fn close(&mut self) -> Result<(), Fault> {
        let Some((reader, _)) = self.reader.take() else {
            return Ok(());
        };
        let time_max = self.instance.begin()?;
        let outcome = timeout(
            time_max,
            reader.resource_drop_async(&mut self.instance.store),
        )
        .await;
        self.instance.end("drop", outcome)
    }

    fn opened(&self) -> Result<ResourceAny, Fault> {
        let not_open = || Fault::new(FaultKind::Host, "a source was read before it was opened");
        self.reader
            .as_ref()
            .map(|(reader, _)| *reader)
            .ok_or_else(not_open)
    }

    fn too_much(&mut self, call: &str, count: usize, what: &str, max: usize) -> Fault {
        let plugin = &self.instance.store.data().effective.plugin;
        let message =
            format!("`{plugin}` gave {count} {what} in `{call}`; at most {max} are allowed");
        self.instance
            .judge(Fault::new(FaultKind::LimitExceeded, message))
    }

    fn page(&mut self, page: wit::Page) -> Result<Page, Fault> {
        if page.cursor.len() > Guard::CursorBytes.limit(limits::CURSOR_BYTES_MAX) {
            return Err(self.too_much(
                "read",
                page.cursor.len(),
                "bytes of cursor",
                limits::CURSOR_BYTES_MAX,
            ));
        }
        if page.parts.len() > Guard::PageParts.limit(limits::PAGE_PARTS_MAX) {
            return Err(self.too_much("read", page.parts.len(), "parts", limits::PAGE_PARTS_MAX));
        }
        let Size {
            rows,
            bytes,
            packed_bytes,
        } = size(&page);
        if rows > Guard::PageRows.limit(limits::PAGE_ROWS_MAX) {
            return Err(self.too_much("read", rows, "rows", limits::PAGE_ROWS_MAX));
        }
        if bytes > Guard::PageBytes.limit(limits::PAGE_BYTES_MAX) {
            return Err(self.too_much("read", bytes, "bytes", limits::PAGE_BYTES_MAX));
        }
        if packed_bytes > Guard::ParquetPacked.limit(limits::PARQUET_PACKED_BYTES_MAX) {
            let (what, max) = ("bytes of Parquet", limits::PARQUET_PACKED_BYTES_MAX);
            return Err(self.too_much("read", packed_bytes, what, max));
        }
        let streams = self.reader.as_ref().map_or(&[][..], |(_, streams)| streams);
        let parts = page
            .parts
            .into_iter()
            .map(|given| part(given, streams))
            .collect::<Result<Vec<_>, _>>();
        let parts = parts.map_err(|lie| self.instance.malformed("read", lie))?;
        let next = match page.next {
            wit::Next::More => Next::More,
            wit::Next::Wait(ms) => Next::Wait(Duration::from_millis(ms)),
            wit::Next::End => Next::End,
        };
        Ok(Page {
            parts,
            cursor: page.cursor.into(),
            next,
            lag: page.lag.map(lag),
        })
    }
}

fn lag(given: wit::Lag) -> Lag {
    Lag {
        unit: match given.unit {
            wit::LagUnit::Bytes => LagUnit::Bytes,
            wit::LagUnit::Records => LagUnit::Records,
        },
        behind: given.behind,
        left: given.left,
    }
}

/// What a page holds, as the guest handed it over.
#[derive(Debug, Default)]
struct Size {
    /// Of columns.
    rows: usize,
    /// Of everything but row groups.
    bytes: usize,
    /// Of row groups: each is larger than the page that is read of it.
    packed_bytes: usize,
}

fn size(page: &wit::Page) -> Size {
    let mut size = Size::default();
    for part in &page.parts {
        match &part.content {
            wit::Content::Columns(given) => {
                let columns = given.columns.iter();
                size.bytes += columns
                    .map(|named| lift::bytes(&named.column))
                    .sum::<usize>();
                size.rows += given.rows as usize;
            }
            wit::Content::Document(document) => {
                size.bytes += document.changes.as_ref().map_or(0, Vec::len);
                if let wit::DocumentFormat::Parquet(parquet) = &document.format {
                    size.bytes += parquet.footer.len();
                    size.packed_bytes += document.bytes.len();
                } else {
                    size.bytes += document.bytes.len();
                }
            }
        }
    }
    size
}

fn stream(given: wit::Stream) -> Result<StreamInfo, Lie> {
    let name = answer::name::<StreamName>(&given.name)?;
    let schema = given.schema.map(lift::schema).transpose()?.map(Arc::new);
    Ok(StreamInfo {
        name,
        schema,
        incremental: given.incremental,
    })
}

/// A stream's name among those that were asked for.
fn known(name: &str, streams: &[StreamName]) -> Result<StreamName, Lie> {
    named(name, streams.iter().find(|stream| stream.as_str() == name))
}

pub(crate) fn named(name: &str, found: Option<&StreamName>) -> Result<StreamName, Lie> {
    match found {
        Some(stream) => Ok(stream.clone()),
        None if !Guard::StreamAsked.stands() => answer::name(name),
        None => Err(Lie::new(format!(
            "stream `{}` was not asked for",
            answer::quoted(name)
        ))),
    }
}

fn part(given: wit::Part, streams: &[StreamName]) -> Result<PagePart, Lie> {
    let stream = known(&given.stream, streams)?;
    let content = match given.content {
        wit::Content::Columns(columns) => {
            let rows = columns.rows as usize;
            let (schema, data) = lift::columns(columns.columns, rows)?;
            let changes = columns
                .changes
                .map(|changes| lift::changes(&changes, rows))
                .transpose()?;
            Content::Columns {
                schema: Arc::new(schema),
                data,
                changes,
            }
        }
        wit::Content::Document(document) => Content::Document {
            format: format(document.format, document.offset)?,
            bytes: document.bytes,
            name: answer::quoted(&document.name),
            offset: document.offset,
            changes: document.changes.as_deref().map(lift::asked),
        },
    };
    Ok(PagePart { stream, content })
}

fn format(given: wit::DocumentFormat, offset: u64) -> Result<DocumentFormat, Lie> {
    Ok(match given {
        wit::DocumentFormat::Json(pointer) => DocumentFormat::Json { pointer },
        wit::DocumentFormat::Ndjson => DocumentFormat::Ndjson,
        wit::DocumentFormat::Csv(csv) => {
            let ascii = u8::try_from(csv.delimiter).ok().filter(u8::is_ascii);
            let delimiter = ascii.ok_or_else(|| {
                Lie::new(format!(
                    "delimiter `{}` is not ASCII",
                    csv.delimiter.escape_default()
                ))
            })?;
            DocumentFormat::Csv {
                delimiter,
                header: csv.header,
            }
        }
        wit::DocumentFormat::Parquet(parquet) => DocumentFormat::Parquet(ParquetRows {
            offset,
            footer: parquet.footer,
            group: parquet.row_group,
            first: parquet.first_row,
            count: parquet.rows,
        }),
    })
}
