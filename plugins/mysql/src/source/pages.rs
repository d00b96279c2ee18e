//! Reads one split: a page of rows in the order of the key, as CSV.

use super::table::Table;
use crate::config::Config;
use crate::session::{Flow, Session};
use sluice_sdk::source::{Document, Limit, Split};
use sluice_sdk::{Fault, Page, Reader};
use sluice_sql::{PAGE_BYTES_MAX, PageSize, Place, push_field};

/// Reads one split.
pub struct TableReader {
    config: Config,
    session: Session,
    table: Table,
    stream: String,
    /// What a page is cut from, for people.
    document: String,
    header: Vec<u8>,
    /// Where the columns stand by which the table is read.
    order: Vec<usize>,
    place: Place,
    size: PageSize,
}

/// Rows of a page.
#[derive(Default)]
struct Rows {
    csv: Vec<u8>,
    count: u32,
    /// What the server gave of the last one, in the table's order.
    last: Vec<Vec<u8>>,
    /// Whether there are more than a page may have; the session is over.
    is_cut: bool,
}

impl TableReader {
    pub(super) fn open(config: Config, split: Split, place: Option<Place>) -> Result<Self, Fault> {
        let [stream] = <[String; 1]>::try_from(split.streams).map_err(|_| {
            Fault::broken("a table is of one stream, and the split names another number of them")
        })?;
        // `/2of4` of a range.
        let range = split.id.strip_prefix(&stream).unwrap_or_default();
        if place.is_none() && !range.is_empty() {
            return Err(Fault::broken(format!(
                "the split `{}` was opened without its bounds",
                split.id
            )));
        }
        let place = place.unwrap_or_default();
        let mut session = Session::open(&config)?;
        let table = Table::find(&mut session, &config, &stream)?;
        place.fits(&table.name, &table.order, &table.columns)?;
        Ok(Self {
            document: format!("{}{range}", table.name),
            header: table.header(),
            order: table.order.places().collect(),
            config,
            session,
            table,
            stream,
            place,
            size: PageSize::default(),
        })
    }

    /// Up to so many rows behind the place.
    fn rows(&mut self, asked: u32) -> Result<Rows, Fault> {
        let Self {
            session,
            table,
            order,
            place,
            ..
        } = self;
        let mut rows = Rows {
            last: vec![Vec::new(); order.len()],
            ..Rows::default()
        };
        let sql = table.page(place, asked);
        let flow = session.rows(&sql, Some(table.columns.len()), |row| {
            let before = rows.csv.len();
            for (at, (value, column)) in row.iter().zip(&table.columns).enumerate() {
                if at > 0 {
                    rows.csv.push(b',');
                }
                let value = value.map(|value| column.kind.written(value));
                push_field(&mut rows.csv, value.as_deref());
            }
            rows.csv.push(b'\n');
            if rows.csv.len() > PAGE_BYTES_MAX {
                rows.csv.truncate(before);
                rows.is_cut = true;
                return Flow::Stop;
            }
            rows.count += 1;
            for (last, at) in rows.last.iter_mut().zip(&*order) {
                last.clear();
                last.extend_from_slice(row[*at].unwrap_or_default());
            }
            Flow::Go
        });
        let flow = flow.map_err(|error| Fault::from(error).context(format!("`{}`", table.name)))?;
        if flow == Flow::Stop {
            self.session = Session::open(&self.config)?;
        }
        Ok(rows)
    }
}

impl Reader for TableReader {
    type Cursor = Place;

    fn read(&mut self, limit: Limit) -> Result<Page<Place>, Fault> {
        if self.place.nothing {
            return Ok(Page::end(self.place.clone()));
        }
        let asked = self.size.rows(limit);
        let rows = self.rows(asked)?;
        if rows.count == 0 && rows.is_cut {
            return Err(Fault::broken(format!(
                "one row of `{}` is more than {} MiB; hint: read a view of it without its largest column",
                self.table.name,
                PAGE_BYTES_MAX >> 20
            )));
        }
        if rows.count == 0 {
            return Ok(Page::end(self.place.clone()));
        }
        self.size.learn(rows.count, rows.csv.len(), limit);
        let (bytes, header) = (rows.csv.len(), Some(self.header.clone()));
        let document = Document::csv(&self.document, self.place.bytes, ',', header, rows.csv);
        let by = self.table.order.names(&self.table.columns);
        let last = rows.last.iter().zip(&self.order);
        let last = last.map(|(value, at)| self.table.columns[*at].kind.kept(value));
        self.place.advance(by, last.collect(), bytes);
        let page = if rows.is_cut || rows.count >= asked {
            Page::more(self.place.clone())
        } else {
            Page::end(self.place.clone())
        };
        Ok(page.document(&self.stream, document))
    }
}
