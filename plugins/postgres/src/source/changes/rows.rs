//! Rows of the log on their way to the host: as the log has them, and as CSV, which is what a page of their table would
//! have had.

use super::super::catalog::Table;
use super::super::types::Kind;
use super::cells::{Cell, written};
use super::lookup::Answers;
use super::pgoutput::{Old, Relation, Tuple, Value};
use super::{At, out_of_turn};
use crate::config::{Config, quoted};
use crate::session::{Error, Session};
use sluice_sdk::source::Document;
use sluice_sdk::{Change, Fault};
use sluice_sql::push_field;
use std::collections::VecDeque;
use std::rc::Rc;

/// Bytes of a row that the log tells at most: with those of a page before it, below the host's 16 MiB.
pub(super) const ROW_BYTES_MAX: usize = 12 << 20;
/// Bytes of a page that take no further row.
const PAGE_BYTES: usize = 3 << 20;
/// Documents of a page: tables that are written by turns make one for each turn.
const DOCUMENTS_MAX: usize = 512;

/// Bytes for which the server is asked at a time, and rows.
pub(super) const ASKED_BYTES_MAX: usize = 3 << 20;
const ASKED_ROWS_MAX: usize = 1_024;

/// How the rows of a table are told from here on.
pub(super) struct Shape {
    pub(super) stream: String,
    /// As it is now: what is looked up is looked up there.
    pub(super) table: Table,
    header: Vec<u8>,
    pub(super) columns: Vec<Column>,
    /// Where the columns stand that identify a row.
    pub(super) key: Vec<usize>,
}

pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) sql_type: String,
}

impl Shape {
    pub(super) fn of(
        stream: String,
        table: Table,
        relation: &Relation,
        kinds: Vec<(Kind, String)>,
    ) -> Result<Self, Fault> {
        let columns = relation.columns.iter().zip(kinds);
        let columns: Vec<Column> = columns
            .map(|(column, (kind, sql_type))| Column {
                name: column.name.clone(),
                kind,
                sql_type,
            })
            .collect();
        let place = |name: &str| columns.iter().position(|column| column.name == name);
        let key: Option<Vec<usize>> = table.key().map(|column| place(&column.name)).collect();
        let key = key.ok_or_else(|| {
            Fault::cursor_lost(format!(
                "the log does not tell the key of `{}`, which had another name; hint: reset the checkpoints of this pipeline",
                table.name
            ))
        })?;
        let names: Vec<String> = columns.iter().map(|column| quoted(&column.name)).collect();
        Ok(Self {
            header: names.join(",").into_bytes(),
            stream,
            table,
            columns,
            key,
        })
    }
}

/// A row.
pub(super) struct Row {
    shape: Rc<Shape>,
    change: Change,
    pub(super) cells: Vec<Cell>,
    /// Where the log is read on behind it.
    after: At,
    /// Whose it is.
    pub(super) transaction: u32,
}

/// Rows in the order of the log.
#[derive(Default)]
pub(super) struct Rows {
    rows: VecDeque<Row>,
    bytes: usize,
}

impl Rows {
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many there are, and how many bytes the log has of them.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.rows.len(), self.bytes)
    }

    pub(super) fn append(&mut self, mut more: Self) {
        self.rows.append(&mut more.rows);
        self.bytes += more.bytes;
    }

    /// One change of a row: of one whose key changes, two.
    pub(super) fn push(
        &mut self,
        shape: &Rc<Shape>,
        old: Option<&Old>,
        row: Option<&Tuple>,
        (after, transaction): (At, u32),
    ) -> Result<(), Fault> {
        let old = old.map(Old::values);
        let is_shaped = |values: &Tuple| values.len() == shape.columns.len();
        if !old.into_iter().chain(row).all(is_shaped) {
            return Err(out_of_turn());
        }
        let Some(row) = row else {
            let old = old.ok_or_else(out_of_turn)?;
            self.enter(
                shape,
                Change::Delete,
                old.iter().map(told),
                (after, transaction),
            )?;
            return Ok(());
        };
        let before = |at: usize| old.map(|old| &old[at]);
        let is_moved = |at: &usize| match (before(*at), &row[*at]) {
            (None, _) | (_, Value::Unchanged) => false,
            (Some(before), value) => before != value,
        };
        if let Some(old) = old.filter(|_| shape.key.iter().any(is_moved)) {
            // Behind the first half of a change is before it.
            self.enter(
                shape,
                Change::Delete,
                old.iter().map(told),
                (after.before(), transaction),
            )?;
        }
        let cells = row
            .iter()
            .enumerate()
            .map(|(at, value)| match (value, before(at)) {
                (Value::Unchanged, Some(before @ Value::Text(_))) => told(before),
                (Value::Unchanged, _) => Cell::Unchanged,
                (value, _) => told(value),
            });
        self.enter(shape, Change::Upsert, cells, (after, transaction))
    }

    fn enter(
        &mut self,
        shape: &Rc<Shape>,
        change: Change,
        cells: impl Iterator<Item = Cell>,
        (after, transaction): (At, u32),
    ) -> Result<(), Fault> {
        let row = Row {
            shape: Rc::clone(shape),
            change,
            cells: cells.collect(),
            after,
            transaction,
        };
        let bytes = row.bytes();
        if bytes > ROW_BYTES_MAX {
            return Err(too_long(shape));
        }
        self.bytes += bytes;
        self.rows.push_back(row);
        Ok(())
    }

    /// Documents of these rows, as many as a page takes, each of rows that follow one another and are of one shape. Some
    /// may be left.
    pub(super) fn documents(
        &mut self,
        session: &mut Session,
        config: &Config,
    ) -> Result<Documents, Fault> {
        let mut documents = Documents::default();
        let (mut bytes, mut asked) = (0, 1);
        while bytes < PAGE_BYTES && documents.all.len() < DOCUMENTS_MAX {
            let Some(first) = self.rows.front() else {
                break;
            };
            let (shape, name) = (Rc::clone(&first.shape), first.name());
            let mut growing = Growing::default();
            while bytes + growing.csv.len() < PAGE_BYTES {
                let some = self.some(&shape, asked);
                let Some(after) = some.last().map(|row| row.after) else {
                    break;
                };
                let (rows, before) = (some.len(), growing.csv.len());
                match growing.write(&shape, &some, session) {
                    Ok(()) => {}
                    // Not a retry: each time for half as much, and for one row not again.
                    Err(Error::TooMuch) if rows > 1 => {
                        self.give_back(some);
                        asked = rows / 2;
                        *session = Session::open(config)?;
                        continue;
                    }
                    Err(Error::TooMuch) => return Err(too_long(&shape)),
                    Err(error) => return Err(error.into()),
                }
                documents.after = Some(after);
                let of_a_row = (growing.csv.len() - before).div_ceil(rows).max(1);
                let fit = (PAGE_BYTES / of_a_row).clamp(1, ASKED_ROWS_MAX);
                asked = fit.min(asked * 2);
            }
            bytes += growing.csv.len();
            if !growing.changes.is_empty() {
                let document = Document::csv(name, 0, ',', Some(shape.header.clone()), growing.csv);
                let document = document.with_changes(growing.changes);
                documents.all.push((shape.stream.clone(), document));
            }
        }
        Ok(documents)
    }

    /// Up to so many rows from the first on that are of this shape.
    fn some(&mut self, shape: &Rc<Shape>, most: usize) -> Vec<Row> {
        let is_same = |row: &&Row| Rc::ptr_eq(&row.shape, shape);
        let count = self.rows.iter().take(most).take_while(is_same).count();
        let some: Vec<Row> = self.rows.drain(..count).collect();
        self.bytes = self.bytes.saturating_sub(some.iter().map(Row::bytes).sum());
        some
    }

    fn give_back(&mut self, some: Vec<Row>) {
        for row in some.into_iter().rev() {
            self.bytes += row.bytes();
            self.rows.push_front(row);
        }
    }
}

impl Row {
    fn bytes(&self) -> usize {
        self.cells.iter().map(Cell::bytes).sum()
    }

    /// For people: its table, where its transaction was committed, and which of its changes it is.
    fn name(&self) -> String {
        let table = &self.shape.table.name;
        match self.after.within {
            Some(within) => format!("{table}@{}#{}", within.commit, within.changes),
            None => table.clone(),
        }
    }
}

fn too_long(shape: &Shape) -> Fault {
    Fault::broken(format!(
        "one row of `{}` is more than {} MiB; hint: leave its largest column out of the publication and of the stream",
        shape.table.name,
        ROW_BYTES_MAX >> 20
    ))
}

/// What a page is made of.
#[derive(Default)]
pub(super) struct Documents {
    /// Each with its stream.
    pub(super) all: Vec<(String, Document)>,
    /// Where the log is read on behind the last row of them.
    pub(super) after: Option<At>,
}

/// A document that grows.
#[derive(Default)]
struct Growing {
    csv: Vec<u8>,
    changes: Vec<Change>,
}

impl Growing {
    fn write(&mut self, shape: &Shape, rows: &[Row], session: &mut Session) -> Result<(), Error> {
        let answers = Answers::ask(shape, rows, session)?;
        let there = rows.iter().enumerate();
        for (number, row) in there.filter(|(number, _)| !answers.is_gone(*number)) {
            for (at, (cell, column)) in row.cells.iter().zip(&shape.columns).enumerate() {
                if at > 0 {
                    self.csv.push(b',');
                }
                match answers.cell(number, at, cell) {
                    Cell::Null | Cell::Unchanged => {}
                    Cell::Written(text) => push_field(&mut self.csv, Some(text)),
                    Cell::Logged(text) => {
                        let text = written(column.kind, text);
                        let text = text.ok_or_else(|| {
                            Fault::broken("the log has a value that is not of its type")
                        })?;
                        push_field(&mut self.csv, Some(&text));
                    }
                }
            }
            self.csv.push(b'\n');
            self.changes.push(row.change);
        }
        Ok(())
    }
}

fn told(value: &Value) -> Cell {
    match value {
        Value::Text(text) => Cell::Logged(text.clone()),
        Value::Null | Value::Unchanged => Cell::Null,
    }
}

impl At {
    /// One change less.
    fn before(mut self) -> Self {
        if let Some(within) = &mut self.within {
            within.changes -= 1;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::catalog::tests::lines;
    use crate::source::changes::lsn::Lsn;
    use crate::source::changes::pgoutput::Column as Told;
    use bytes::Bytes;

    /// `lines`: `doc text` and `line int4` are its key.
    fn shape() -> Rc<Shape> {
        let column = |name: &str, kind: u32| Told {
            name: name.to_owned(),
            of: (kind, -1),
        };
        let relation = Relation {
            id: 7,
            schema: "public".to_owned(),
            name: "lines".to_owned(),
            columns: vec![column("line", 23), column("body", 25), column("doc", 25)],
        };
        let kinds = [
            (Kind::Integer, "integer"),
            (Kind::Text, "text"),
            (Kind::Text, "text"),
        ];
        let kinds = kinds.map(|(kind, sql)| (kind, sql.to_owned())).to_vec();
        Rc::new(Shape::of("lines".to_owned(), lines(), &relation, kinds).expect("a shape"))
    }

    fn text(text: &'static str) -> Value {
        Value::Text(Bytes::from_static(text.as_bytes()))
    }

    fn after() -> (At, u32) {
        (At::within(Lsn(1), Lsn(2), 7), 9)
    }

    /// What is told: the change, the values, and how many changes were read behind it.
    fn told_of(old: Option<&Old>, row: Option<&Tuple>) -> Vec<(Change, Vec<Cell>, u64)> {
        let mut rows = Rows::default();
        rows.push(&shape(), old, row, after()).expect("a change");
        let changes = |place: At| place.within.expect("within").changes;
        let rows = rows.rows.into_iter();
        rows.map(|row| (row.change, row.cells, changes(row.after)))
            .collect()
    }

    fn logged(text: &'static str) -> Cell {
        Cell::Logged(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn each_change_of_a_row_is_told() {
        let row = || vec![text("1"), text("b"), text("d")];
        let cells = || vec![logged("1"), logged("b"), logged("d")];
        assert_eq!(told_of(None, Some(&row())), [(Change::Upsert, cells(), 7)]);
        let gone = vec![text("1"), Value::Null, text("d")];
        assert_eq!(
            told_of(Some(&Old::Key(gone)), None),
            [(
                Change::Delete,
                vec![logged("1"), Cell::Null, logged("d")],
                7
            )]
        );
        // The same key, told for it is long.
        assert_eq!(
            told_of(
                Some(&Old::Key(vec![text("1"), Value::Null, text("d")])),
                Some(&row())
            ),
            [(Change::Upsert, cells(), 7)]
        );
        // Another key: between the two halves nothing is read of this change.
        assert_eq!(
            told_of(
                Some(&Old::Key(vec![text("0"), Value::Null, text("d")])),
                Some(&row())
            ),
            [
                (
                    Change::Delete,
                    vec![logged("0"), Cell::Null, logged("d")],
                    6
                ),
                (Change::Upsert, cells(), 7)
            ]
        );
    }

    #[test]
    fn what_is_not_told_is_as_it_was() {
        let row = || vec![text("1"), Value::Unchanged, text("d")];
        let unknown = vec![logged("1"), Cell::Unchanged, logged("d")];
        assert_eq!(told_of(None, Some(&row())), [(Change::Upsert, unknown, 7)]);
        let whole = Old::Whole(vec![text("1"), text("long"), text("d")]);
        let known = vec![logged("1"), logged("long"), logged("d")];
        assert_eq!(
            told_of(Some(&whole), Some(&row())),
            [(Change::Upsert, known, 7)]
        );
        assert_eq!(
            shape().by_key(&[shape().expression(1), None]),
            "SELECT k.n, NULL::text, NULL::text FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k (k1, k2, n) \
             JOIN \"public\".\"lines\" AS t ON t.\"doc\" = k.k1::text AND t.\"line\" = k.k2::integer",
            "`body` is not there any more"
        );
    }

    #[test]
    fn a_row_of_another_width_is_out_of_turn() {
        let narrow = vec![text("1")];
        assert!(
            Rows::default()
                .push(&shape(), None, Some(&narrow), after())
                .is_err()
        );
        assert!(Rows::default().push(&shape(), None, None, after()).is_err());
    }
}
