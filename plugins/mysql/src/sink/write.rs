//! The rows of one unit and one table, on their way into it. A statement that is refused has written nothing: its rows are
//! narrowed down to the one that is to blame, and the others go on.

use super::cells::{self, Cells};
use super::statements::Statement;
use super::table::Shape;
use crate::config::quoted;
use crate::refusal::Refusal;
use crate::session::{Error, Session};
use sluice_sdk::{Batch, Change, Fault, Rejection};
use sluice_sql::{Mode, Pieces};
use std::collections::HashMap;
use std::ops::Range;

/// Bytes of one statement: enough that the way there and back costs little.
const STATEMENT_BYTES: usize = 1 << 20;

/// Rows of one statement that deletes: the server plans each on its own.
const DELETED_MAX: usize = 1_000;

/// Rows on their way into one table.
pub(super) struct Writer<'s> {
    session: &'s mut Session,
    shape: &'s Shape,
    mode: Mode,
    /// Values and keys of all rows, as SQL.
    text: String,
    rows: Vec<Row>,
    rejections: Vec<Rejection>,
}

/// A row, and where it stands in the text.
struct Row {
    part: usize,
    number: usize,
    is_delete: bool,
    /// Its values in brackets; of a row that is deleted, nothing.
    values: Range<usize>,
    /// As a statement that deletes has it; nothing where rows are only added.
    key: Range<usize>,
}

impl<'s> Writer<'s> {
    /// In a transaction that is under way.
    pub(super) fn new(session: &'s mut Session, shape: &'s Shape, mode: Mode) -> Self {
        Self {
            session,
            shape,
            mode,
            text: String::new(),
            rows: Vec::new(),
            rejections: Vec::new(),
        }
    }

    /// Takes the rows of one part.
    pub(super) fn take(&mut self, part: usize, batch: &Batch) -> Result<(), Fault> {
        let changes = batch.changes();
        let cells = cells::of(batch, &self.shape.schema)?;
        for row in 0..batch.rows() {
            let change = changes.as_ref().map(|changes| changes[row]);
            let is_delete = change == Some(Change::Delete);
            if is_delete && self.mode == Mode::Append {
                let message = "a table that is only added to takes no deletions";
                self.reject(part, row, "delete-not-supported", message.to_owned());
                continue;
            }
            if let Some(lost) = cells.iter().find(|cells| cells.is_lost(row)) {
                let name = lost.name();
                let message = format!("column `{name}` is no number, or one without an end");
                self.reject(part, row, "not-finite", message);
                continue;
            }
            let before = self.text.len();
            if !is_delete {
                push_values(&mut self.text, &cells, row)?;
            }
            let values = before..self.text.len();
            if self.mode == Mode::Upsert {
                self.push_key(&cells, row)?;
            }
            self.rows.push(Row {
                part,
                number: row,
                is_delete,
                key: values.end..self.text.len(),
                values,
            });
        }
        Ok(())
    }

    fn push_key(&mut self, cells: &[Cells], row: usize) -> Result<(), Fault> {
        let key = &self.shape.schema.key;
        let of = |name: &String| cells.iter().find(|cells| cells.name() == name);
        if let [name] = &key[..] {
            return of(name).map_or(Ok(()), |cells| cells.push(row, &mut self.text));
        }
        for (at, cells) in key.iter().filter_map(of).enumerate() {
            self.text.push_str(if at == 0 { "(" } else { " AND " });
            self.text.push_str(&quoted(cells.name()));
            self.text.push_str(" = ");
            cells.push(row, &mut self.text)?;
        }
        self.text.push(')');
        Ok(())
    }

    fn reject(&mut self, part: usize, row: usize, code: &str, message: String) {
        let rejection = Rejection::new(row, code, message);
        self.rejections.push(rejection.in_part(part));
    }

    /// Has every row take its place in the table; gives those that were refused. Of several records of one key the last
    /// counts.
    pub(super) fn finish(mut self) -> Result<Vec<Rejection>, Fault> {
        let mut rows = std::mem::take(&mut self.rows);
        let text = std::mem::take(&mut self.text);
        if self.mode == Mode::Upsert {
            let mut last: HashMap<&str, usize> = HashMap::new();
            for (at, row) in rows.iter().enumerate() {
                last.insert(&text[row.key.clone()], at);
            }
            let counts: Vec<bool> = rows
                .iter()
                .enumerate()
                .map(|(at, row)| last[&text[row.key.clone()]] == at)
                .collect();
            let mut counts = counts.into_iter();
            rows.retain(|_| counts.next().unwrap_or_default());
        }
        let (deleted, written): (Vec<Row>, Vec<Row>) =
            rows.into_iter().partition(|row| row.is_delete);
        let keys: Vec<&str> = deleted.iter().map(|row| &text[row.key.clone()]).collect();
        let statement = Statement::delete(self.shape);
        self.all(&statement, &deleted, &keys, DELETED_MAX)?;
        let values: Vec<&str> = written
            .iter()
            .map(|row| &text[row.values.clone()])
            .collect();
        let statement = Statement::write(self.shape, self.mode);
        self.all(&statement, &written, &values, usize::MAX)?;
        Ok(self.rejections)
    }

    /// The statement over all rows, in blocks of so many at most.
    fn all(
        &mut self,
        statement: &Statement,
        rows: &[Row],
        texts: &[&str],
        most: usize,
    ) -> Result<(), Fault> {
        let room = self.session.statement_bytes_max;
        let room = room.saturating_sub(statement.bytes());
        let of = |text: &str| text.len() + statement.between.len();
        let mut at = 0;
        while at < rows.len() {
            if of(texts[at]) > room {
                let message = "the record is longer than the server takes; hint: a greater `max_allowed_packet` there";
                self.reject(
                    rows[at].part,
                    rows[at].number,
                    "too-long",
                    message.to_owned(),
                );
                at += 1;
                continue;
            }
            let (mut end, mut bytes) = (at, 0);
            while end < rows.len() && end - at < most {
                bytes += of(texts[end]);
                if end > at && bytes > STATEMENT_BYTES.min(room) {
                    break;
                }
                end += 1;
            }
            self.block(statement, &rows[at..end], &texts[at..end])?;
            at = end;
        }
        Ok(())
    }

    fn block(&mut self, statement: &Statement, rows: &[Row], texts: &[&str]) -> Result<(), Fault> {
        let mut pieces = Pieces::new(rows.len());
        while let Some(piece) = pieces.next_rows() {
            let sql = statement.over(texts[piece.clone()].iter().copied());
            match self.session.run(&sql) {
                Ok(_) => pieces.passed(),
                Err(Error::Refused(refusal)) if refusal.is_of_a_record() => {
                    let culprit = refusal.row().map(|row| piece.start + row - 1);
                    if let Some(at) = pieces.failed(piece, culprit) {
                        let (code, message) = self.told(&refusal);
                        self.reject(rows[at].part, rows[at].number, code, message);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// A key that is said to be without a value is of a row that another index found: see [`Statement::write`].
    fn told(&self, refusal: &Refusal) -> (&'static str, String) {
        let told = refusal.of_record(&self.shape.schema);
        let is_key = |name: &String| told.1.starts_with(&format!("column `{name}` "));
        let is_guarded = self.mode == Mode::Upsert && self.shape.has_other_keys;
        if is_guarded && told.0 == "not-null" && self.shape.schema.key.iter().any(is_key) {
            let message = "a value of a unique index is there already, in another row";
            return ("unique", message.to_owned());
        }
        told
    }
}

/// A row's values in brackets.
fn push_values(out: &mut String, cells: &[Cells], row: usize) -> Result<(), Fault> {
    for (at, cells) in cells.iter().enumerate() {
        out.push(if at == 0 { '(' } else { ',' });
        cells.push(row, out)?;
    }
    out.push(')');
    Ok(())
}
