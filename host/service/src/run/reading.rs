//! The reader's task of one split: it owns the source's instance, reads pages, decodes what comes as bytes, and hands
//! on record batches. Decoding happens here so that it runs beside the transforms and sinks.

use super::dedupe::Window;
use super::gate::Gate;
use super::pages::{Page, Pages, Refused, kept};
use super::place::{Line, Place};
use super::stages::Stages;
use crate::keeping::now_ms;
use crate::ledger::Ledger;
use crate::schemas::Schemas;
use crate::watch::Watch;
use sluice_codec::{Document, Outcome, Target};
use sluice_delivery::{Event, Next, PageNo};
use sluice_engine::{Content, Limit, PagePart, Source, Split};
use sluice_model::batch::{Batch, Places};
use sluice_model::checkpoint::Cursor;
use sluice_model::fault::{Fault, FaultKind};
use sluice_model::guards::Guard;
use sluice_model::ids::StreamName;
use sluice_model::limits::{BATCH_ROWS_MAX, PAGE_BYTES, PAGE_DECODED_BYTES_MAX, PAGE_ROWS};
use sluice_model::sizes::ByteSize;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;

/// What the reader is told to do.
#[derive(Debug)]
pub enum Command {
    /// Open at this place.
    Open(Option<Cursor>),
    /// Read a page.
    Read(PageNo),
    /// Tell the source.
    Acknowledge(Cursor),
}

/// How long a read may wait for something to arrive.
const READ_WAIT: Duration = Duration::from_secs(1);

/// What a refused record takes in memory, its text aside: about.
const REJECTION_BYTES: u64 = 256;

/// The task's own.
pub struct Reading {
    /// To make instances of the source.
    pub stages: Arc<Stages>,
    /// What it reads.
    pub split: Split,
    /// It was read before, and is read once more: the source is not told of it, and is read until a page of it is empty.
    pub again: bool,
    /// The schemas of its streams, which it may let grow.
    pub schemas: Arc<Schemas>,
    /// Where pages go.
    pub pages: Pages,
    /// Whether the source may be called.
    pub gate: Arc<Gate>,
    /// What was seen of late.
    pub ledger: Arc<Ledger>,
    /// Who is told how far behind it is.
    pub watch: Arc<Watch>,
    /// Turns true when the run is to end: nothing more is waited for then.
    pub drain: watch::Receiver<bool>,
    /// Where answers go.
    pub events: UnboundedSender<Event>,
}

/// An open reader, and where its documents' lines stand.
struct Open {
    source: Source,
    line: Option<Line>,
}

impl Reading {
    /// Does what it is told until nobody tells it anything any more.
    pub async fn run(self, mut commands: UnboundedReceiver<Command>) {
        let mut open: Result<Option<Open>, Fault> = Ok(None);
        while let Some(command) = commands.recv().await {
            let event = match command {
                Command::Open(cursor) => {
                    drop(open); // Before the new one: two instances of a source need never be at once.
                    open = self.open(cursor).await.map(Some);
                    continue;
                }
                Command::Read(page) => match self.read(&mut open, page).await {
                    Ok(event) => event,
                    Err(fault) => Event::ReadFailed { fault },
                },
                Command::Acknowledge(cursor) => match self.acknowledge(&mut open, &cursor).await {
                    Ok(()) => Event::Acknowledged,
                    Err(fault) => Event::AcknowledgeFailed { fault },
                },
            };
            if self.events.send(event).is_err() {
                return;
            }
        }
    }

    async fn open(&self, cursor: Option<Cursor>) -> Result<Open, Fault> {
        let place = cursor.as_ref().map(Place::decode).transpose()?;
        let told = |fault| self.stages.plan.source.told(fault);
        let (at, line) = match place {
            Some(place) => {
                place.readable_by(self.version()).map_err(told)?;
                (Some(place.source), place.document)
            }
            None => (None, None),
        };
        let opening = async {
            let mut source = self.stages.source().await.map_err(told)?;
            source.open(&self.split, at.as_ref()).await.map_err(told)?;
            Ok(Open { source, line })
        };
        self.gate.call_unless(&self.drain, opening).await
    }

    /// Of the cursors that this version of the plugin gives.
    fn version(&self) -> u32 {
        self.stages.plan.source.artifact.manifest.source.cursor
    }

    async fn acknowledge(
        &self,
        open: &mut Result<Option<Open>, Fault>,
        cursor: &Cursor,
    ) -> Result<(), Fault> {
        if Guard::BackfillQuiet.bars(self.again) {
            return Ok(()); // It was told once, and may have forgotten what lies before.
        }
        let place = Place::decode(cursor)?;
        let acknowledging = opened(open)?.source.acknowledge(&place.source);
        let acknowledged = self.gate.call(acknowledging).await;
        acknowledged.map_err(|fault| self.stages.plan.source.told(fault))
    }

    async fn read(
        &self,
        open: &mut Result<Option<Open>, Fault>,
        no: PageNo,
    ) -> Result<Event, Fault> {
        let open = opened(open)?;
        let limit = Limit {
            rows: PAGE_ROWS,
            bytes: PAGE_BYTES,
            wait: READ_WAIT,
        };
        let page = self.gate.call_unless(&self.drain, open.source.read(limit));
        let page = page.await;
        let page = page.map_err(|fault| self.stages.plan.source.told(fault))?;
        if let Some(lag) = page.lag.filter(|_| !self.again) {
            self.watch.lags(self.split.id.as_str(), lag);
        }
        let mut decoded = Page::default();
        for part in page.parts {
            self.part(part, &mut open.line, &mut decoded)?;
            if decoded.bytes > Guard::PageDecoded.limit(PAGE_DECODED_BYTES_MAX) {
                let max = ByteSize(PAGE_DECODED_BYTES_MAX);
                let message =
                    format!("what it handed over in one page takes more than {max} in memory");
                let fault = Fault::new(FaultKind::LimitExceeded, message);
                let fault = fault.hint("hand over smaller pages, each of whole records");
                return Err(self.stages.plan.source.told(fault));
            }
        }
        let is_empty = decoded.read == 0;
        // Last, for what is admitted counts as seen: a page that fails before is read again, and is no repetition.
        if let Some(window) = self.ledger.window().filter(|_| !self.again) {
            decoded = self.unrepeated(window, decoded)?;
        }
        let bytes = decoded.bytes;
        let place = Place {
            source: page.cursor,
            version: self.version(),
            document: open.line.clone(),
        };
        self.pages.put(no, decoded);
        Ok(Event::PageRead {
            page: no,
            bytes,
            cursor: place.encode(),
            next: match page.next {
                sluice_engine::Next::More => Next::More,
                // A source that is slow on purpose waits between pages too: only an empty one says that there is no more.
                sluice_engine::Next::Wait(_) if self.again && is_empty => Next::End,
                sluice_engine::Next::Wait(time) => Next::Wait(time),
                sluice_engine::Next::End => Next::End,
            },
        })
    }

    /// A page without the records that came before. What is left out counts as filtered.
    fn unrepeated(&self, window: &Window, mut page: Page) -> Result<Page, Fault> {
        for batch in &mut page.batches {
            let key = self.stages.row_key();
            let (stays, digests) = window.admit(&self.split.id, batch, &key, now_ms());
            page.digests.extend(digests);
            *batch = kept(batch, stays)?;
        }
        Ok(page)
    }

    fn part(&self, part: PagePart, line: &mut Option<Line>, page: &mut Page) -> Result<(), Fault> {
        let PagePart { stream, content } = part;
        match content {
            Content::Columns {
                schema,
                data,
                changes,
            } => {
                let schema = self.schemas.must_be(&stream, &schema)?;
                page.read += data.num_rows() as u64;
                page.bytes += data.get_array_memory_size() as u64;
                // Cut as documents are: what a stage makes of a batch is in proportion to it.
                for from in (0..data.num_rows()).step_by(BATCH_ROWS_MAX) {
                    let rows = BATCH_ROWS_MAX.min(data.num_rows() - from);
                    let changes = changes.as_ref();
                    page.batches.push(Batch::entering(
                        stream.clone(),
                        Arc::clone(&schema),
                        data.slice(from, rows),
                        changes.map(|changes| changes[from..from + rows].to_vec()),
                        Places::none(),
                    ));
                }
                Ok(())
            }
            Content::Document {
                format,
                bytes,
                name,
                offset,
                changes,
            } => {
                let first_line = match line {
                    Some(line) if offset > 0 && line.name == name => line.next,
                    _ => 1,
                };
                let document = Document {
                    format: &format,
                    bytes: &bytes,
                    name: &name,
                    first_line,
                    changes: changes.as_deref(),
                };
                let lines = self.document(&stream, &document, page)?;
                *line = Some(Line {
                    name,
                    next: first_line + lines,
                });
                Ok(())
            }
        }
    }

    /// Decodes one document; the schema may grow on the way. Gives the lines it had.
    fn document(
        &self,
        stream: &StreamName,
        document: &Document<'_>,
        page: &mut Page,
    ) -> Result<u64, Fault> {
        loop {
            let schema = self.schemas.now(stream)?;
            let target = Target {
                stream,
                schema: &schema,
                drift: self.stages.plan.pipeline.contract.drift,
                batch_rows: BATCH_ROWS_MAX,
            };
            match sluice_codec::decode(document, &target) {
                Outcome::Decoded(decoded) => {
                    page.read += decoded.records;
                    let batches = decoded.batches.iter();
                    let batches = batches.map(|batch| batch.data.get_array_memory_size() as u64);
                    let rejections = decoded.rejections.iter();
                    let rejections = rejections.map(|one| {
                        REJECTION_BYTES + (one.record.bytes() + one.message.len()) as u64
                    });
                    page.bytes += batches.sum::<u64>() + rejections.sum::<u64>();
                    page.batches.extend(decoded.batches);
                    let refused = decoded.rejections.into_iter();
                    page.refused.extend(refused.map(|rejection| Refused {
                        letter: None,
                        rejection,
                    }));
                    self.schemas.discarded(decoded.discarded_values);
                    return Ok(decoded.lines);
                }
                Outcome::Evolve(wider) => self.schemas.grow(stream, wider),
                Outcome::Frozen(fault) | Outcome::Unreadable(fault) => return Err(fault),
            }
        }
    }
}

fn opened(open: &mut Result<Option<Open>, Fault>) -> Result<&mut Open, Fault> {
    match open {
        Ok(Some(open)) => Ok(open),
        Ok(None) => Err(Fault::new(
            FaultKind::Host,
            "the reader was used before it was opened",
        )),
        Err(fault) => Err(fault.clone()),
    }
}
