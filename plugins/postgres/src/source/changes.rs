//! What changes in tables, from the server's log, in the order of its transactions. A page ends between two of them, but
//! where there is more of one than a page takes.

mod cells;
mod log;
mod lookup;
mod lsn;
mod pgoutput;
mod rows;
mod server;
mod slot;

pub use lsn::Lsn;

use super::catalog;
use super::cursor::Cursor;
use crate::config::{Changes, Config};
use crate::session::Session;
use log::{Log, Next};
use pgoutput::{Message, Old, Relation, Tuple};
use rows::{Rows, Shape};
use serde::{Deserialize, Serialize};
use server::Server;
use sluice_sdk::source::{Lag, Limit, Split};
use sluice_sdk::{Fault, Page};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How often it is looked how far behind the slot is, and after how many looks that is written down.
const LOOKED_EVERY: Duration = Duration::from_secs(10);
const LOOKS_A_LINE: u32 = 6;

/// Where the log is read on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Behind the last transaction that was read whole.
    pub(super) lsn: Lsn,
    /// The streams that were told of up to there; none before the log was read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    streams: Vec<String>,
    /// The transaction that comes next and is read in part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    within: Option<Within>,
    /// Whose log it is; none in a place of an earlier version, or of somebody who set it by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    server: Option<Server>,
}

/// A part of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Within {
    /// Where it was committed.
    commit: Lsn,
    /// So many changes were read.
    changes: u64,
}

/// A place of one reader, whose streams are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct At {
    lsn: Lsn,
    within: Option<Within>,
}

impl At {
    fn end(lsn: Lsn) -> Self {
        Self { lsn, within: None }
    }

    /// Within a transaction that was committed there, behind so many of its changes.
    fn within(lsn: Lsn, commit: Lsn, changes: u64) -> Self {
        Self {
            lsn,
            within: Some(Within { commit, changes }),
        }
    }
}

/// The id of the split that reads the log.
pub(super) fn id(changes: &Changes) -> String {
    format!("log/{}", changes.slot)
}

/// Makes the slot where there is none.
pub(super) fn prepare(session: &mut Session, changes: &Changes) -> Result<(), Fault> {
    match slot::find(session, changes)? {
        Some(_) => Ok(()),
        None => slot::make(session, changes),
    }
}

/// That split, from where the slot is now: its streams, and those that it comes after, are the caller's.
pub(super) fn split(
    session: &mut Session,
    config: &Config,
    changes: &Changes,
) -> Result<Split, Fault> {
    let split = Split::new(id(changes), "");
    match slot::find(session, changes)? {
        Some(slot) => split.starting_at(&Cursor::Log(Place {
            lsn: slot.confirmed,
            streams: Vec::new(),
            within: None,
            server: Some(Server::of(&mut replicating(config)?)?),
        })),
        None => Ok(split),
    }
}

/// A session to read the log with: the name may lead elsewhere by now than it did for the last one.
fn replicating(config: &Config) -> Result<Session, Fault> {
    let mut session = Session::replicating(config)?;
    slot::leads(&mut session)?;
    Ok(session)
}

/// That the log tells of these streams.
pub(super) fn check(
    session: &mut Session,
    config: &Config,
    changes: &Changes,
    streams: &[String],
) -> Result<(), Fault> {
    slot::leads(session)?;
    for stream in streams {
        catalog::table(session, config, stream)?.told_by_log(stream)?;
    }
    let tables = streams.iter().map(|stream| config.name(stream));
    slot::check(session, config, changes, tables)
}

/// Reads the log.
pub struct LogReader {
    config: Config,
    changes: Changes,
    session: Session,
    log: Log,
    /// Whose log it is.
    server: Server,
    /// Streams by the names of their tables.
    streams: BTreeMap<String, String>,
    /// Tables as the log told them last; none where they are not asked for.
    shapes: HashMap<u32, Option<Rc<Shape>>>,
    place: At,
    /// What is not handed over yet, of transactions that are read whole.
    ready: Rows,
    /// The transaction that is read.
    open: Option<Open>,
    /// How far behind the slot is, where the host does not know it yet.
    lag: Option<Lag>,
    looked: Instant,
    looks: u32,
}

/// A transaction that is read.
struct Open {
    commit: Lsn,
    transaction: u32,
    /// Changes of it that were seen.
    seen: u64,
    rows: Rows,
}

impl LogReader {
    pub(super) fn open(
        config: Config,
        changes: Changes,
        split: &Split,
        place: &Place,
    ) -> Result<Self, Fault> {
        let mut session = Session::open(&config)?;
        let mut streams = BTreeMap::new();
        for stream in &split.streams {
            streams.insert(config.name(stream).to_owned(), stream.clone());
        }
        check(&mut session, &config, &changes, &split.streams)?;
        let is_new =
            |stream: &&String| !place.streams.is_empty() && !place.streams.contains(stream);
        if let Some(stream) = split.streams.iter().find(is_new) {
            return Err(Fault::cursor_lost(format!(
                "the log was read without `{stream}` up to {}; hint: reset the checkpoints of this pipeline, or, where its \
                 table was never read before, set the place of this split with `{stream}` among its `streams`",
                place.lsn
            )));
        }
        let Some(slot) = slot::find(&mut session, &changes)? else {
            return Err(Fault::cursor_lost(format!(
                "there is no slot `{}` any more; hint: reset the checkpoints of this pipeline: its tables are read again",
                changes.slot
            )));
        };
        let mut reading = replicating(&config)?;
        let server = Server::of(&mut reading)?;
        if let Some(of_place) = &place.server {
            of_place.has(place.lsn, &server, &mut reading)?;
        }
        slot.has(place.lsn, &changes)?;
        slot.tell(&changes);
        let log = Log::open(reading, &changes, place.lsn, slot.confirmed)?;
        Ok(Self {
            config,
            changes,
            session,
            log,
            server,
            streams,
            shapes: HashMap::new(),
            place: At {
                lsn: place.lsn,
                within: place.within,
            },
            ready: Rows::default(),
            open: None,
            lag: Some(slot.lag()),
            looked: Instant::now(),
            looks: 0,
        })
    }

    pub(super) fn acknowledge(&mut self, place: &Place) -> Result<(), Fault> {
        self.log.confirm(place.lsn)
    }

    pub(super) fn read(&mut self, limit: Limit) -> Result<Page<Cursor>, Fault> {
        if self.looked.elapsed() > LOOKED_EVERY {
            self.look()?;
        }
        let page = self.next_page(limit)?;
        Ok(page.lagging(self.lag.take()))
    }

    /// How far behind the slot is by now.
    fn look(&mut self) -> Result<(), Fault> {
        self.looked = Instant::now();
        self.looks += 1;
        if let Some(slot) = slot::find(&mut self.session, &self.changes)? {
            self.lag = Some(slot.lag());
            if self.looks.is_multiple_of(LOOKS_A_LINE) {
                slot.tell(&self.changes);
            }
        }
        Ok(())
    }

    fn next_page(&mut self, limit: Limit) -> Result<Page<Cursor>, Fault> {
        let until = Instant::now() + Duration::from_millis(limit.wait_ms.into());
        while !self.is_full(limit) {
            let left = until.saturating_duration_since(Instant::now());
            let wait = if self.ready.is_empty() {
                left
            } else {
                Duration::ZERO
            };
            match self.log.next(wait)? {
                Next::Message(message) => self.take(message)?,
                // Whatever is open was begun before, and is committed behind it.
                Next::Alive(end) => self.passed(end),
                Next::Silence if self.ready.is_empty() => {
                    self.log.tell()?;
                    return Ok(Page::wait_ms(self.cursor(self.place), 0));
                }
                Next::Silence => break,
            }
            // A server that always says something, and of other tables, would hold back what is ready.
            if left.is_zero() {
                break;
            }
        }
        self.page()
    }

    /// All that was committed before this was told.
    fn passed(&mut self, end: Lsn) {
        if self.ready.is_empty() && self.place.within.is_none() && self.open.is_none() {
            self.place.lsn = self.place.lsn.max(end);
        }
    }

    /// Whether there is enough for a page: whole transactions, or a part of one that is more than a page.
    fn is_full(&mut self, limit: Limit) -> bool {
        let (mut rows, mut bytes) = self.ready.size();
        if let Some(open) = &self.open {
            let (more_rows, more_bytes) = open.rows.size();
            (rows, bytes) = (rows + more_rows, bytes + more_bytes);
        }
        let is_full = rows >= limit.rows as usize || bytes >= limit.bytes as usize;
        if let (true, true, Some(open)) = (is_full, self.ready.is_empty(), &mut self.open) {
            self.ready = std::mem::take(&mut open.rows);
            self.place = At::within(self.place.lsn, open.commit, open.seen);
        }
        is_full
    }

    fn cursor(&self, at: At) -> Cursor {
        Cursor::Log(Place {
            lsn: at.lsn,
            streams: self.streams.values().cloned().collect(),
            within: at.within,
            server: Some(self.server.clone()),
        })
    }

    fn page(&mut self) -> Result<Page<Cursor>, Fault> {
        self.log.tell()?;
        let documents = self.ready.documents(&mut self.session, &self.config)?;
        let is_all = self.ready.is_empty();
        let after = documents.after.filter(|_| !is_all);
        let page = Page::more(self.cursor(after.unwrap_or(self.place)));
        let documents = documents.all.into_iter();
        Ok(documents.fold(page, |page, (stream, document)| {
            page.document(stream, document)
        }))
    }

    fn take(&mut self, message: Message) -> Result<(), Fault> {
        match message {
            Message::Begin(commit, transaction) => {
                // What was read of another transaction than this counts for nothing.
                let within = self.place.within.filter(|within| within.commit == commit);
                if within.is_none() {
                    self.place.within = None;
                }
                self.open = Some(Open {
                    commit,
                    transaction,
                    seen: 0,
                    rows: Rows::default(),
                });
            }
            Message::Commit(end) => {
                let open = self.open.take().ok_or_else(out_of_turn)?;
                self.ready.append(open.rows);
                self.place = At::end(end.max(self.place.lsn));
            }
            Message::Relation(relation) => self.relate(&relation)?,
            Message::Insert { relation, row } => self.change(relation, None, Some(&row))?,
            Message::Update { relation, old, row } => {
                self.change(relation, old.as_ref(), Some(&row))?;
            }
            Message::Delete { relation, old } => self.change(relation, Some(&old), None)?,
            Message::Truncate(relations) => {
                let is_read =
                    |relation: &u32| self.shapes.get(relation).is_some_and(Option::is_some);
                if relations.iter().any(is_read) {
                    let hint = "hint: let the publication publish no truncation, and reset the checkpoints of this pipeline";
                    let message = "a table was truncated, which no record can say";
                    return Err(Fault::cursor_lost(format!("{message}; {hint}")));
                }
            }
            Message::Other => {}
        }
        Ok(())
    }

    /// A table is told anew: its rows are of this shape from here on.
    fn relate(&mut self, relation: &Relation) -> Result<(), Fault> {
        let stream = self.streams.get(&relation.name);
        let shape = match stream.filter(|_| relation.schema == self.config.schema) {
            Some(stream) => {
                let table = catalog::table(&mut self.session, &self.config, stream)?;
                let types: Vec<_> = relation.columns.iter().map(|column| column.of).collect();
                let kinds = catalog::kinds(&mut self.session, &types)?;
                Some(Rc::new(Shape::of(stream.clone(), table, relation, kinds)?))
            }
            None => None,
        };
        self.shapes.insert(relation.id, shape);
        Ok(())
    }

    fn change(
        &mut self,
        relation: u32,
        old: Option<&Old>,
        row: Option<&Tuple>,
    ) -> Result<(), Fault> {
        let open = self.open.as_mut().ok_or_else(out_of_turn)?;
        open.seen += 1;
        let read = self.place.within.map_or(0, |within| within.changes);
        if open.seen <= read {
            return Ok(());
        }
        match self.shapes.get(&relation) {
            Some(Some(shape)) => {
                let after = At::within(self.place.lsn, open.commit, open.seen);
                open.rows.push(shape, old, row, (after, open.transaction))
            }
            Some(None) => Ok(()),
            None => Err(out_of_turn()),
        }
    }
}

fn out_of_turn() -> Fault {
    Fault::transient("the server's log is out of turn")
}
