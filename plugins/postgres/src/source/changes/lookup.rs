//! What the log leaves out, and what only the server can write as JSON: asked of the server, for many rows at a time.

use super::super::types::Kind;
use super::cells::{Cell, array};
use super::rows::{ASKED_BYTES_MAX, Column, ROW_BYTES_MAX, Row, Shape};
use super::{out_of_turn, slot};
use crate::config::quoted;
use crate::session::{Error, Session};
use sluice_sdk::Fault;
use std::collections::{BTreeSet, HashMap};

/// What the server says of some rows.
#[derive(Default)]
pub(super) struct Answers {
    /// Cells, by row and column.
    cells: HashMap<(usize, usize), Cell>,
    /// Rows that are not there any more.
    gone: BTreeSet<usize>,
}

impl Answers {
    /// Asks what must be asked of these rows; [`Error::TooMuch`] where it is more than one answer may be.
    pub(super) fn ask(shape: &Shape, rows: &[Row], session: &mut Session) -> Result<Self, Error> {
        let mut answers = Self::default();
        answers.look_up(shape, rows, session)?;
        answers.structure(shape, rows, session)?;
        Ok(answers)
    }

    pub(super) fn cell<'a>(&'a self, row: usize, at: usize, cell: &'a Cell) -> &'a Cell {
        if self.cells.is_empty() {
            return cell;
        }
        self.cells.get(&(row, at)).unwrap_or(cell)
    }

    pub(super) fn is_gone(&self, row: usize) -> bool {
        self.gone.contains(&row)
    }

    /// Asks for what an update left as it was. A row that is not there any more is left out: the log tells of that later,
    /// and until then nothing is known of it. One that was changed again is told in its newer state, and the log comes to
    /// that.
    fn look_up(&mut self, shape: &Shape, rows: &[Row], session: &mut Session) -> Result<(), Error> {
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
        let transactions: BTreeSet<u32> = asked.iter().map(|row| rows[*row].transaction).collect();
        let transactions: Vec<String> = transactions.iter().map(u32::to_string).collect();
        slot::settled(session, &format!("{{{}}}", transactions.join(",")))?;
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
        let found = session.query_within(&shape.by_key(&columns), &keys, bytes_max(asked.len()))?;
        self.gone = asked.iter().copied().collect();
        for answer in found {
            let mut answer = answer.into_iter();
            let number = answer
                .next()
                .flatten()
                .and_then(|number| number.parse::<usize>().ok());
            let row = number.and_then(|number| asked.get(number.checked_sub(1)?).copied());
            let row = row
                .ok_or_else(|| Fault::broken("the server numbers rows that were not asked for"))?;
            self.gone.remove(&row);
            for (at, value) in unknown.iter().zip(answer) {
                if is_unchanged(&rows[row], *at) {
                    self.answer((row, *at), value);
                }
            }
        }
        Ok(())
    }

    /// Has the server write its arrays and composites as JSON, as it does in a page.
    fn structure(
        &mut self,
        shape: &Shape,
        rows: &[Row],
        session: &mut Session,
    ) -> Result<(), Error> {
        let columns = shape.columns.iter().enumerate();
        for (at, column) in columns.filter(|(_, column)| column.kind == Kind::Structure) {
            let logged = |(row, values): (usize, &Row)| match &values.cells[at] {
                Cell::Logged(text) => Some((row, text.clone())),
                _ => None,
            };
            let asked: Vec<_> = rows.iter().enumerate().filter_map(logged).collect();
            if asked.is_empty() {
                continue;
            }
            let value = format!("(t.v::{})", column.sql_type);
            let sql = format!(
                "SELECT {} FROM unnest($1::text[]) WITH ORDINALITY AS t (v, n) ORDER BY t.n",
                column.kind.expression(&value)
            );
            let texts = array(asked.iter().map(|(_, text)| &text[..]));
            let answers = session.query_within(&sql, &[Some(&texts)], bytes_max(asked.len()))?;
            if answers.len() != asked.len() {
                let message = "the server leaves out values that it was asked to write";
                return Err(Fault::broken(message).into());
            }
            for ((row, _), answer) in asked.iter().zip(answers) {
                self.answer((*row, at), answer.into_iter().next().flatten());
            }
        }
        Ok(())
    }

    fn answer(&mut self, place: (usize, usize), value: Option<String>) {
        let cell = value.map_or(Cell::Null, |value| Cell::Written(value.into_bytes()));
        self.cells.insert(place, cell);
    }
}

/// Of one row as many as a row may have.
fn bytes_max(rows: usize) -> usize {
    if rows == 1 {
        ROW_BYTES_MAX
    } else {
        ASKED_BYTES_MAX
    }
}

impl Shape {
    /// What of the table as it is now gives this column's value; none where it has none any more.
    pub(super) fn expression(&self, at: usize) -> Option<String> {
        let name = &self.columns[at].name;
        let column = self
            .table
            .columns
            .iter()
            .find(|column| column.name == *name)?;
        Some(column.kind.expression(&format!("t.{}", quoted(name))))
    }

    pub(super) fn by_key(&self, columns: &[Option<String>]) -> String {
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
