//! Reads one split: a page of rows in the order of the key, from one row to another, as CSV that goes on as it came.

use super::catalog::{self, Table};
use super::cursor::{Cursor, TablePlace};
use super::statements;
use crate::config::Config;
use crate::session::{Error, Session};
use sluice_sdk::source::{Document, Limit, Split};
use sluice_sdk::{Fault, Page};

/// Bytes of one page, below the host's 16 MiB. Keeps a page of rows that are suddenly long out of the plugin's memory.
const PAGE_BYTES_MAX: usize = 12 << 20;

/// Rows of the first page.
const ROWS_FIRST: u32 = 1_000;

/// How many times as many rows a page may have as the one before.
const GROWTH_MAX: u32 = 2;

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
    size: Size,
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
        cursor.fits(&table)?;
        Ok(Self {
            document: format!("{}{range}", table.name),
            header: table.header(),
            config,
            session,
            table,
            stream,
            cursor,
            size: Size::first(),
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
        let (sql, parameters) = statements::last_row(table, cursor, rows);
        let parameters: Vec<_> = parameters.into_iter().map(Some).collect();
        let Some(last) = session.query(&sql, &parameters)?.pop() else {
            session.run(statements::END)?;
            return Ok(Found::Nothing);
        };
        let mut last: Vec<String> = last.into_iter().flatten().collect();
        let rows = last.pop().and_then(|count| count.parse().ok());
        let rows = rows.filter(|_| last.len() == table.order().len());
        let rows = rows.ok_or_else(|| Fault::broken("a row that ends a page has no key"))?;
        match session.copy_out(&statements::copy(table, cursor, &last), PAGE_BYTES_MAX) {
            Ok(bytes) => Ok(Found::Rows(Copied { bytes, rows, last })),
            Err(Error::TooMuch) => Ok(Found::TooMuch),
            Err(error) => Err(error.into()),
        }
    }

    fn page(&mut self, copied: Copied, is_last: bool) -> Page<Cursor> {
        let document = Document::csv(
            &self.document,
            self.cursor.bytes,
            ',',
            Some(self.header.clone()),
            copied.bytes,
        );
        let bytes = document.bytes.len();
        self.cursor.advance(&self.table, copied.last, bytes);
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
        if self.cursor.nothing || self.cursor.ended {
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

/// How many rows a page asks for, by the bytes of those before.
struct Size {
    rows: u32,
}

impl Size {
    fn first() -> Self {
        Self { rows: ROWS_FIRST }
    }

    fn rows(&self, limit: Limit) -> u32 {
        self.rows.min(limit.rows).max(1)
    }

    /// So many rows were so many bytes.
    fn learn(&mut self, rows: u32, bytes: usize, limit: Limit) {
        let of_a_row = (bytes as u64).div_ceil(u64::from(rows.max(1))).max(1);
        let fit = u32::try_from(u64::from(limit.bytes) / of_a_row).unwrap_or(u32::MAX);
        self.rows = fit.clamp(1, rows.max(1).saturating_mul(GROWTH_MAX));
    }

    /// So many rows were too many; whether fewer are possible.
    fn halve(&mut self, asked: u32) -> bool {
        self.rows = (asked / 2).max(1);
        asked > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit {
        rows: 8_192,
        bytes: 1 << 20,
        wait_ms: 0,
    };

    #[test]
    fn pages_grow_to_what_the_host_asks_for() {
        let mut size = Size::first();
        let mut asked = Vec::new();
        for _ in 0..5 {
            let rows = size.rows(LIMIT);
            asked.push(rows);
            size.learn(rows, rows as usize * 100, LIMIT);
        }
        assert_eq!(asked, [1_000, 2_000, 4_000, 8_000, 8_192]);
    }

    #[test]
    fn long_rows_make_short_pages() {
        let mut size = Size::first();
        size.learn(1_000, 10 << 20, LIMIT);
        assert_eq!(size.rows(LIMIT), 99);
        size.learn(99, 99 * (2 << 20), LIMIT);
        assert_eq!(size.rows(LIMIT), 1, "a row is never cut");
        size.learn(1, 0, LIMIT);
        assert_eq!(size.rows(LIMIT), GROWTH_MAX);
        let none = Limit { rows: 0, ..LIMIT };
        assert_eq!(size.rows(none), 1);
    }

    #[test]
    fn what_is_too_much_is_halved_down_to_one() {
        let mut size = Size::first();
        let mut asked = vec![size.rows(LIMIT)];
        while size.halve(size.rows(LIMIT)) {
            asked.push(size.rows(LIMIT));
        }
        assert_eq!(asked, [1_000, 500, 250, 125, 62, 31, 15, 7, 3, 1]);
    }
}
