//! Reads one split: a page of rows in the order of the key, from one row to another, as CSV that goes on as it came.

use super::catalog::{self, Table};
use super::cursor::{Cursor, TablePlace};
use super::statements;
use crate::config::Config;
use crate::session::{Error, Session};
use sluice_sdk::source::{Document, Limit, Split};
use sluice_sdk::{Fault, Page};
use sluice_sql::{PAGE_BYTES_MAX, PageSize};

/// Reads one split.
pub struct TableReader {
    config: Config,
    session: Session,
    table: Table,
    stream: String,
    /// What a page is cut from, for people.
    document: String,
    header: Vec<u8>,
    cursor: TablePlace,
    size: PageSize,
}

/// Rows of a page.
struct Copied {
    bytes: Vec<u8>,
    rows: u32,
    /// The values of the last one in the table's order.
    last: Vec<String>,
}

/// What a page can be.
enum Found {
    /// There are no more rows.
    Nothing,
    /// More bytes than a page may have; the session is over.
    TooMuch,
    Rows(Copied),
}

impl TableReader {
    pub(super) fn open(
        config: Config,
        split: Split,
        cursor: Option<TablePlace>,
    ) -> Result<Self, Fault> {
        let [stream] = <[String; 1]>::try_from(split.streams).map_err(|_| {
            Fault::broken("a table is of one stream, and the split names another number of them")
        })?;
        // `/2of4` of a range.
        let range = split.id.strip_prefix(&stream).unwrap_or_default();
        let mut cursor = match cursor {
            None if !range.is_empty() => {
                return Err(Fault::broken(format!(
                    "the split `{}` was opened without its bounds",
                    split.id
                )));
            }
            cursor => cursor.unwrap_or_default(),
        };
        cursor.beside(config.changes.as_ref().map(|changes| &*changes.slot))?;
        let mut session = Session::open(&config)?;
        let table = catalog::table(&mut session, &config, &stream)?;
        table.fits(&cursor.place)?;
        Ok(Self {
            document: format!("{}{range}", table.name),
            header: table.header(),
            config,
            session,
            table,
            stream,
            cursor,
            size: PageSize::default(),
        })
    }

    /// Up to so many rows behind the cursor. Whatever fails leaves the transaction open: the session goes with it.
    fn copy(&mut self, rows: u32) -> Result<Found, Fault> {
        let Self {
            session,
            table,
            cursor,
            ..
        } = self;
        session.run(statements::BEGIN)?;
        let (sql, parameters) = statements::last_row(table, &cursor.place, rows);
        let parameters: Vec<_> = parameters.into_iter().map(Some).collect();
        let Some(last) = session.query(&sql, &parameters)?.pop() else {
            session.run(statements::END)?;
            return Ok(Found::Nothing);
        };
        let mut last: Vec<String> = last.into_iter().flatten().collect();
        let rows = last.pop().and_then(|count| count.parse().ok());
        let rows = rows.filter(|_| last.len() == table.order().len());
        let rows = rows.ok_or_else(|| Fault::broken("a row that ends a page has no key"))?;
        match session.copy_out(
            &statements::copy(table, &cursor.place, &last),
            PAGE_BYTES_MAX,
        ) {
            Ok(bytes) => Ok(Found::Rows(Copied { bytes, rows, last })),
            Err(Error::TooMuch) => Ok(Found::TooMuch),
            Err(error) => Err(error.into()),
        }
    }

    fn page(&mut self, copied: Copied, is_last: bool) -> Page<Cursor> {
        let document = Document::csv(
            &self.document,
            self.cursor.place.bytes,
            ',',
            Some(self.header.clone()),
            copied.bytes,
        );
        let bytes = document.bytes.len();
        let by = self.table.order.names(&self.table.columns);
        self.cursor.place.advance(by, copied.last, bytes);
        let page = if is_last {
            self.end()
        } else {
            Page::more(Cursor::Table(self.cursor.clone()))
        };
        page.document(&self.stream, document)
    }

    fn end(&mut self) -> Page<Cursor> {
        self.cursor.ended = self.config.changes.is_some();
        Page::end(Cursor::Table(self.cursor.clone()))
    }

    pub(super) fn read(&mut self, limit: Limit) -> Result<Page<Cursor>, Fault> {
        if self.cursor.place.nothing || self.cursor.ended {
            return Ok(self.end());
        }
        loop {
            let asked = self.size.rows(limit);
            match self.copy(asked)? {
                Found::Nothing => return Ok(self.end()),
                Found::Rows(copied) => {
                    self.size.learn(copied.rows, copied.bytes.len(), limit);
                    let is_last = copied.rows < asked;
                    return Ok(self.page(copied, is_last));
                }
                // Not a retry: each time for half as much, and for one row not again.
                Found::TooMuch if self.size.halve(asked) => {
                    self.session = Session::open(&self.config)?;
                }
                Found::TooMuch => {
                    return Err(Fault::broken(format!(
                        "one row of `{}` is more than {} MiB; hint: read a view of it without its largest column",
                        self.table.name,
                        PAGE_BYTES_MAX >> 20
                    )));
                }
            }
        }
    }
}
