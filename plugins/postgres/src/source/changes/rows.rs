//! Rows of the log on their way to the host: as the log has them, and as CSV, which is what a page of their table would
//! have had. What the log leaves out, and what only the server can write as JSON, is asked of the server.

use super::super::catalog::Table;
use super::super::types::Kind;
use super::cells::{Cell, array, push, written};
use super::lsn::Lsn;
use super::pgoutput::{Old, Relation, Tuple, Value};
use super::{Place, Within, out_of_turn};
use crate::config::quoted;
use crate::session::Session;
use sluice_sdk::source::Document;
use sluice_sdk::{Change, Fault};
use std::collections::VecDeque;
use std::rc::Rc;

/// Bytes of one page, below the host's 16 MiB: looked-up values may be of any length.
const PAGE_BYTES_MAX: usize = 12 << 20;

/// Bytes of rows for which the server is asked at a time, about; and how many rows the first time.
const ASKED_BYTES: usize = 1 << 20;
const ASKED_ROWS_FIRST: usize = 16;
const ASKED_ROWS_MAX: usize = 1_024;

/// How the rows of a table are told from here on.
pub(super) struct Shape {
    pub(super) stream: String,
    /// As it is now: what is looked up is looked up there.
    table: Table,
    header: Vec<u8>,
    columns: Vec<Column>,
    /// Where the columns stand that identify a row.
    key: Vec<usize>,
}

struct Column {
    name: String,
    kind: Kind,
    sql_type: String,
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
            let message = format!("the log does not tell the key of `{}`", table.name);
            Fault::misconfigured(message)
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
    cells: Vec<Cell>,
    /// Where the log is read on behind it.
    after: Place,
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
        after: Place,
    ) -> Result<(), Fault> {
        let old = old.map(Old::values);
        let is_shaped = |values: &Tuple| values.len() == shape.columns.len();
        if !old.into_iter().chain(row).all(is_shaped) {
            return Err(out_of_turn());
        }
        let Some(row) = row else {
            let old = old.ok_or_else(out_of_turn)?;
            self.enter(shape, Change::Delete, old.iter().map(told), after);
            return Ok(());
        };
        let before = |at: usize| old.map(|old| &old[at]);
        let is_moved = |at: &usize| match (before(*at), &row[*at]) {
            (None, _) | (_, Value::Unchanged) => false,
            (Some(before), value) => before != value,
        };
        if let Some(old) = old.filter(|_| shape.key.iter().any(is_moved)) {
            // Behind the first half of a change is before it.
            self.enter(shape, Change::Delete, old.iter().map(told), after.before());
        }
        let cells = row
            .iter()
            .enumerate()
            .map(|(at, value)| match (value, before(at)) {
                (Value::Unchanged, Some(before @ Value::Text(_))) => told(before),
                (Value::Unchanged, _) => Cell::Unchanged,
                (value, _) => told(value),
            });
        self.enter(shape, Change::Upsert, cells, after);
        Ok(())
    }

    fn enter(
        &mut self,
        shape: &Rc<Shape>,
        change: Change,
        cells: impl Iterator<Item = Cell>,
        after: Place,
    ) {
        let cells: Vec<Cell> = cells.collect();
        self.bytes += cells.iter().map(Cell::bytes).sum::<usize>();
        self.rows.push_back(Row {
            shape: Rc::clone(shape),
            change,
            cells,
            after,
        });
    }

    /// Documents of these rows, as many as a page takes, each of rows that follow one another and are of one shape. Some
    /// may be left.
    pub(super) fn documents(
        &mut self,
        session: &mut Session,
        from: Lsn,
    ) -> Result<Documents, Fault> {
        let mut documents = Documents::default();
        let mut bytes = 0;
        while let Some(first) = self.rows.front().filter(|_| bytes < PAGE_BYTES_MAX) {
            let shape = Rc::clone(&first.shape);
            let mut growing = Growing::default();
            let mut asked = ASKED_ROWS_FIRST;
            while bytes + growing.csv.len() < PAGE_BYTES_MAX {
                let some = self.some(&shape, asked);
                let Some(last) = some.last() else { break };
                documents.after = Some(last.after);
                let (rows, before) = (some.len(), growing.csv.len());
                growing.write(&shape, some, session)?;
                let of_a_row = (growing.csv.len() - before).div_ceil(rows).max(1);
                asked = (ASKED_BYTES / of_a_row).clamp(1, ASKED_ROWS_MAX);
            }
            bytes += growing.csv.len();
            if !growing.changes.is_empty() {
                let name = format!("{}@{from}", shape.table.name);
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
        let bytes: usize = some
            .iter()
            .flat_map(|row| &row.cells)
            .map(Cell::bytes)
            .sum();
        self.bytes = self.bytes.saturating_sub(bytes);
        some
    }
}

/// What a page is made of.
#[derive(Default)]
pub(super) struct Documents {
    /// Each with its stream.
    pub(super) all: Vec<(String, Document)>,
    /// Where the log is read on behind the last row of them.
    pub(super) after: Option<Place>,
}

/// A document that grows.
#[derive(Default)]
struct Growing {
    csv: Vec<u8>,
    changes: Vec<Change>,
}

impl Growing {
    fn write(
        &mut self,
        shape: &Shape,
        mut rows: Vec<Row>,
        session: &mut Session,
    ) -> Result<(), Fault> {
        look_up(shape, &mut rows, session)?;
        structure(shape, &mut rows, session)?;
        for row in rows {
            for (at, (cell, column)) in row.cells.iter().zip(&shape.columns).enumerate() {
                if at > 0 {
                    self.csv.push(b',');
                }
                match cell {
                    Cell::Null | Cell::Unchanged => {}
                    Cell::Written(text) => push(&mut self.csv, Some(text)),
                    Cell::Logged(text) => {
                        let text = written(column.kind, text);
                        let text = text.ok_or_else(|| {
                            Fault::broken("the log has a value that is not of its type")
                        })?;
                        push(&mut self.csv, Some(&text));
                    }
                }
            }
            self.csv.push(b'\n');
            self.changes.push(row.change);
        }
        Ok(())
    }
}

/// Asks for what an update left as it was. A row that is not there any more is left out: the log tells of that later, and
/// until then nothing is known of it. One that was changed again is told in its newer state, and the log comes to that.
fn look_up(shape: &Shape, rows: &mut Vec<Row>, session: &mut Session) -> Result<(), Fault> {
    let is_unchanged = |row: &Row, at: usize| row.cells[at] == Cell::Unchanged;
    let unknown: Vec<usize> = (0..shape.columns.len())
        .filter(|at| rows.iter().any(|row| is_unchanged(row, *at)))
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let asked: Vec<usize> = (0..rows.len())
        .filter(|row| unknown.iter().any(|at| is_unchanged(&rows[*row], *at)))
        .collect();
    let keys: Vec<String> = shape
        .key
        .iter()
        .map(|at| {
            let values = asked.iter().map(|row| match &rows[*row].cells[*at] {
                Cell::Logged(text) => Ok(&text[..]),
                _ => Err(out_of_turn()),
            });
            Ok(array(values.collect::<Result<Vec<_>, Fault>>()?))
        })
        .collect::<Result<_, Fault>>()?;
    let columns: Vec<Option<String>> = unknown.iter().map(|at| shape.expression(*at)).collect();
    let keys: Vec<Option<&str>> = keys.iter().map(|key| Some(key.as_str())).collect();
    let found = session.query(&shape.by_key(&columns), &keys)?;
    let mut is_there = vec![false; asked.len()];
    for answer in found {
        let mut answer = answer.into_iter();
        let number = answer
            .next()
            .flatten()
            .and_then(|number| number.parse::<usize>().ok());
        let number = number
            .and_then(|number| number.checked_sub(1))
            .filter(|number| *number < asked.len());
        let number = number
            .ok_or_else(|| Fault::broken("the server numbers rows that were not asked for"))?;
        is_there[number] = true;
        for (at, value) in unknown.iter().zip(answer) {
            let cell = &mut rows[asked[number]].cells[*at];
            if *cell == Cell::Unchanged {
                *cell = value.map_or(Cell::Null, |value| Cell::Written(value.into_bytes()));
            }
        }
    }
    let mut row = 0;
    rows.retain(|_| {
        let number = asked.binary_search(&row);
        row += 1;
        number.map_or(true, |number| is_there[number])
    });
    Ok(())
}

/// Has the server write its arrays and composites as JSON, as it does in a page.
fn structure(shape: &Shape, rows: &mut [Row], session: &mut Session) -> Result<(), Fault> {
    let columns = shape.columns.iter().enumerate();
    for (at, column) in columns.filter(|(_, column)| column.kind == Kind::Structure) {
        let logged = |row: &Row| match &row.cells[at] {
            Cell::Logged(text) => Some(text.clone()),
            _ => None,
        };
        let texts: Vec<_> = rows.iter().filter_map(logged).collect();
        if texts.is_empty() {
            continue;
        }
        let sql = format!(
            "SELECT {} FROM unnest($1::text[]) WITH ORDINALITY AS t (v, n) ORDER BY t.n",
            column
                .kind
                .expression(&format!("(t.v::{})", column.sql_type))
        );
        let texts = array(texts.iter().map(|text| &text[..]));
        let mut answers = session.query(&sql, &[Some(&texts)])?.into_iter();
        for cell in rows.iter_mut().map(|row| &mut row.cells[at]) {
            if let Cell::Logged(_) = cell {
                let json = answers.next().and_then(|row| row.into_iter().next());
                let json = json.ok_or_else(|| {
                    Fault::broken("the server leaves out values that it was asked to write")
                })?;
                *cell = json.map_or(Cell::Null, |json| Cell::Written(json.into_bytes()));
            }
        }
    }
    Ok(())
}

impl Shape {
    /// What of the table as it is now gives this column's value; none where it has none any more.
    fn expression(&self, at: usize) -> Option<String> {
        let name = &self.columns[at].name;
        let column = self
            .table
            .columns
            .iter()
            .find(|column| column.name == *name)?;
        Some(column.kind.expression(&format!("t.{}", quoted(name))))
    }

    fn by_key(&self, columns: &[Option<String>]) -> String {
        let columns = columns
            .iter()
            .map(|column| column.as_deref().unwrap_or("NULL::text"));
        let columns: Vec<&str> = columns.collect();
        let numbered = |make: &dyn Fn(usize, &Column) -> String, between: &str| {
            let key = self.key.iter().zip(1..);
            let texts: Vec<String> = key
                .map(|(at, number)| make(number, &self.columns[*at]))
                .collect();
            texts.join(between)
        };
        format!(
            "SELECT k.n, {} FROM unnest({}) WITH ORDINALITY AS k ({}, n) JOIN {} AS t ON {}",
            columns.join(", "),
            numbered(&|number, _| format!("${number}::text[]"), ", "),
            numbered(&|number, _| format!("k{number}"), ", "),
            self.table.place,
            numbered(
                &|number, column| format!(
                    "t.{} = k.k{number}::{}",
                    quoted(&column.name),
                    column.sql_type
                ),
                " AND "
            ),
        )
    }
}

fn told(value: &Value) -> Cell {
    match value {
        Value::Text(text) => Cell::Logged(text.clone()),
        Value::Null | Value::Unchanged => Cell::Null,
    }
}

impl Place {
    /// Within a transaction that was committed there, behind so many of its changes.
    pub(super) fn within(lsn: Lsn, commit: Lsn, changes: u64) -> Self {
        Self {
            lsn,
            within: Some(Within { commit, changes }),
        }
    }

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

    fn after() -> Place {
        Place::within(Lsn(1), Lsn(2), 7)
    }

    /// What is told: the change, the values, and how many changes were read behind it.
    fn told_of(old: Option<&Old>, row: Option<&Tuple>) -> Vec<(Change, Vec<Cell>, u64)> {
        let mut rows = Rows::default();
        rows.push(&shape(), old, row, after()).expect("a change");
        let changes = |place: Place| place.within.expect("within").changes;
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
