//! What changes in tables, from the server's log, in the order of its transactions. A page ends between two of them,
//! but where one alone is more than a page.

mod cells;
mod log;
mod lsn;
mod pgoutput;
mod rows;
mod slot;

pub use lsn::Lsn;

use super::catalog::{self, Table};
use super::cursor::Cursor;
use crate::config::{Changes, Config};
use crate::session::Session;
use log::{Log, Next};
use pgoutput::{Message, Old, Relation, Tuple};
use rows::{Rows, Shape};
use serde::{Deserialize, Serialize};
use sluice_sdk::source::{Limit, Split};
use sluice_sdk::{Fault, Page};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How often an operator is told how far behind the slot is.
const TOLD_EVERY: Duration = Duration::from_mins(1);

/// Where the log is read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Behind the last transaction that was read whole.
    pub(super) lsn: Lsn,
    /// The transaction that comes next and is read in part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    within: Option<Within>,
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

impl Place {
    fn at(lsn: Lsn) -> Self {
        Self { lsn, within: None }
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
pub(super) fn split(session: &mut Session, changes: &Changes) -> Result<Split, Fault> {
    let split = Split::new(id(changes), "");
    match slot::find(session, changes)? {
        Some(slot) => split.starting_at(&Cursor::Log(Place::at(slot.confirmed))),
        None => Ok(split),
    }
}

/// See [`slot::check`].
pub(super) fn check(
    session: &mut Session,
    config: &Config,
    changes: &Changes,
    tables: &[(String, Table)],
) -> Result<(), Fault> {
    let names = tables.iter().map(|(stream, _)| config.name(stream));
    slot::check(session, config, changes, names)?;
    if let Some(slot) = slot::find(session, changes)? {
        slot.tell(changes);
    }
    Ok(())
}

/// Reads the log.
pub struct LogReader {
    config: Config,
    changes: Changes,
    session: Session,
    log: Log,
    /// Streams by the names of their tables.
    streams: HashMap<String, String>,
    /// Tables as the log told them last; none where they are not asked for.
    shapes: HashMap<u32, Option<Rc<Shape>>>,
    place: Place,
    /// What is not handed over yet, of transactions that are read whole.
    ready: Rows,
    /// The transaction that is read.
    open: Option<Open>,
    told: Instant,
}

/// A transaction that is read.
struct Open {
    commit: Lsn,
    /// Changes of it that were seen.
    seen: u64,
    rows: Rows,
}

impl LogReader {
    pub(super) fn open(
        config: Config,
        changes: Changes,
        split: &Split,
        place: Place,
    ) -> Result<Self, Fault> {
        let mut session = Session::open(&config)?;
        let mut streams = HashMap::new();
        for stream in &split.streams {
            streams.insert(config.name(stream).to_owned(), stream.clone());
        }
        let tables = split.streams.iter().map(|stream| config.name(stream));
        slot::check(&mut session, &config, &changes, tables)?;
        let Some(slot) = slot::find(&mut session, &changes)? else {
            return Err(Fault::cursor_lost(format!(
                "there is no slot `{}` any more; hint: reset the checkpoints of this pipeline: its tables are read again",
                changes.slot
            )));
        };
        slot.has(place.lsn, &changes)?;
        slot.tell(&changes);
        let log = Log::open(&config, &changes, place.lsn, slot.confirmed)?;
        Ok(Self {
            config,
            changes,
            session,
            log,
            streams,
            shapes: HashMap::new(),
            place,
            ready: Rows::default(),
            open: None,
            told: Instant::now(),
        })
    }

    pub(super) fn acknowledge(&mut self, place: Place) -> Result<(), Fault> {
        self.log.confirm(place.lsn)
    }

    pub(super) fn read(&mut self, limit: Limit) -> Result<Page<Cursor>, Fault> {
        if self.told.elapsed() > TOLD_EVERY {
            self.told = Instant::now();
            if let Some(slot) = slot::find(&mut self.session, &self.changes)? {
                slot.tell(&self.changes);
            }
        }
        let until = Instant::now() + Duration::from_millis(limit.wait_ms.into());
        loop {
            if self.is_full(limit) {
                return self.page();
            }
            let wait = if self.ready.is_empty() {
                until.saturating_duration_since(Instant::now())
            } else {
                Duration::ZERO
            };
            match self.log.next(wait)? {
                Next::Message(message) => self.take(message)?,
                // Whatever is open was begun before, and is committed behind it.
                Next::Alive(end)
                    if self.ready.is_empty()
                        && self.place.within.is_none()
                        && self.open.is_none() =>
                {
                    self.place.lsn = self.place.lsn.max(end);
                }
                Next::Alive(_) => {}
                Next::Silence if self.ready.is_empty() => {
                    self.log.tell()?;
                    return Ok(Page::wait_ms(Cursor::Log(self.place), 0));
                }
                Next::Silence => return self.page(),
            }
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
            self.place = Place::within(self.place.lsn, open.commit, open.seen);
        }
        is_full
    }

    fn page(&mut self) -> Result<Page<Cursor>, Fault> {
        self.log.tell()?;
        let documents = self.ready.documents(&mut self.session, self.place.lsn)?;
        let is_all = self.ready.is_empty();
        let after = documents.after.filter(|_| !is_all);
        let page = Page::more(Cursor::Log(after.unwrap_or(self.place)));
        let documents = documents.all.into_iter();
        Ok(documents.fold(page, |page, (stream, document)| {
            page.document(stream, document)
        }))
    }

    fn take(&mut self, message: Message) -> Result<(), Fault> {
        match message {
            Message::Begin(commit) => {
                // What was read of another transaction than this counts for nothing.
                let within = self.place.within.filter(|within| within.commit == commit);
                if within.is_none() {
                    self.place.within = None;
                }
                self.open = Some(Open {
                    commit,
                    seen: 0,
                    rows: Rows::default(),
                });
            }
            Message::Commit(end) => {
                let open = self.open.take().ok_or_else(out_of_turn)?;
                self.ready.append(open.rows);
                self.place = Place::at(end.max(self.place.lsn));
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
                    return Err(Fault::misconfigured(format!(
                        "a table was truncated, which no record can say; hint: `ALTER PUBLICATION {} SET (publish = 'insert, update, delete')`",
                        self.changes.publication
                    )));
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
                let after = Place::within(self.place.lsn, open.commit, open.seen);
                open.rows.push(shape, old, row, after)
            }
            Some(None) => Ok(()),
            None => Err(out_of_turn()),
        }
    }
}

fn out_of_turn() -> Fault {
    Fault::transient("the server's log is out of turn")
}
