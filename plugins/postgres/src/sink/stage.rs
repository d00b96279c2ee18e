//! The rows of one unit and one table: copied into a table that only this transaction sees, and from there into their
//! own. What the server refuses is narrowed down to its row, behind a savepoint, and the others go on.

use super::lines::{Lines, of_one_column};
use super::table::{Structures, names};
use crate::config::quoted;
use crate::refusal::Refusal;
use crate::session::{Error, Session};
use sluice_sdk::{
    Batch, Change, CsvOutput, Fault, Field, FieldType, Format, Rejection, Schema, Values,
};
use sluice_sql::{Mode, Pieces};
use std::collections::BTreeSet;
use std::ops::Range;

/// The number that each row is given as it is copied. No name of a field is this long a joke.
const NUMBER: &str = "\"~sluice row\"";

/// Rows of before that a stage may hold: each merge looks at all of them, and emptying it costs as much as that.
pub(super) const HELD_ROWS_MAX: usize = 1_000;

/// Rows on their way into one table.
pub(super) struct Stage<'s> {
    session: &'s mut Session,
    /// As SQL.
    name: String,
    /// What makes it or empties it, until that is done: it goes with the first statement, for each trip to the server and
    /// back counts where tables are written by turns.
    opening: String,
    shape: Shape,
    mode: Mode,
    /// Rows that were copied, in the order of their numbers, which have gaps between runs.
    copied: Vec<Run>,
    rejections: Vec<Rejection>,
}

/// What the rows are, and where they go.
pub(super) struct Shape {
    /// The table, as SQL.
    pub(super) table: String,
    pub(super) schema: Schema,
    pub(super) structures: Structures,
}

/// Rows of one part that have numbers one behind the other.
struct Run {
    first: u64,
    part: usize,
    rows: Range<usize>,
    deletes: Vec<bool>,
}

impl<'s> Stage<'s> {
    /// In a transaction that is under way. `number` is the stage's own in this transaction, for a shape, and `holds` so many
    /// rows of before: it is made where there is none, and is empty again where they are many. Each that is made takes room
    /// in the server's table of locks until the end.
    pub(super) fn begin(
        session: &'s mut Session,
        number: usize,
        holds: Option<usize>,
        shape: Shape,
        mode: Mode,
    ) -> Self {
        let name = format!("pg_temp.\"~sluice stage {number}\"");
        let opening = match holds {
            None => format!("{}; ", made(&name, &shape)),
            Some(rows) if rows > HELD_ROWS_MAX => format!("TRUNCATE {name}; "),
            Some(_) => String::new(),
        };
        Self {
            session,
            name,
            opening,
            shape,
            mode,
            copied: Vec::new(),
            rejections: Vec::new(),
        }
    }

    fn reject(&mut self, part: usize, row: usize, refusal: &Refusal) {
        let (code, message) = refusal.of_record();
        let rejection = Rejection::new(row, code, message).in_part(part);
        self.rejections.push(rejection);
    }

    /// Copies the rows of one part.
    pub(super) fn copy(&mut self, part: usize, batch: &Batch) -> Result<(), Fault> {
        let changes = batch.changes();
        let deletes = |rows: &Range<usize>| -> Vec<bool> {
            changes.as_ref().map_or_else(Vec::new, |changes| {
                let changes = changes[rows.clone()].iter();
                changes.map(|change| *change == Change::Delete).collect()
            })
        };
        let mut csv = batch.encode(Format::Csv(CsvOutput { header: false }))?;
        if let [field] = &self.shape.schema.fields[..] {
            let column = batch.column(&field.name)?;
            csv = of_one_column(&csv, |row| column.is_null(row));
        }
        let fields: Vec<String> = self
            .shape
            .schema
            .fields
            .iter()
            .map(|field| field.name.clone())
            .collect();
        let copy = format!(
            "COPY {} ({}) FROM STDIN (FORMAT csv)",
            self.name,
            names(&fields)
        );
        let refused = self.not_finite(part, batch)?;
        let mut lines = None;
        let mut pieces = Pieces::without(batch.rows(), &refused);
        while let Some(rows) = pieces.next_rows() {
            let bytes = if rows.len() == batch.rows() {
                &csv[..]
            } else {
                let lines = lines.get_or_insert_with(|| Lines::of(&csv));
                &csv[lines.bytes(&rows)]
            };
            let opening = std::mem::take(&mut self.opening);
            self.session.run(&format!("{opening}SAVEPOINT piece"))?;
            match self.session.copy_in(&copy, bytes) {
                // A line that ends the document early would leave the rest out in silence.
                Ok(copied) if copied != rows.len() as u64 => {
                    let message = format!("the server copied {copied} of {} rows", rows.len());
                    return Err(Fault::broken(message));
                }
                Ok(_) => {
                    let last = self.last_number()?;
                    pieces.passed();
                    self.copied.push(Run {
                        first: last + 1 - rows.len() as u64,
                        part,
                        deletes: deletes(&rows),
                        rows,
                    });
                }
                Err(Error::Refused(refusal)) if refusal.is_of_a_record() => {
                    self.session.run("ROLLBACK TO piece; RELEASE piece")?;
                    let lines = lines.get_or_insert_with(|| Lines::of(&csv));
                    let culprit = refusal.line().and_then(|line| lines.row_of(&rows, line));
                    if let Some(row) = pieces.failed(rows, culprit) {
                        self.reject(part, row, &refusal);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The rows with a number that CSV has no text for: they would be written without it.
    fn not_finite(&mut self, part: usize, batch: &Batch) -> Result<Vec<usize>, Fault> {
        let mut refused = BTreeSet::new();
        for field in self
            .shape
            .schema
            .fields
            .iter()
            .filter(|field| field.kind == FieldType::Float64)
        {
            let column = batch.column(&field.name)?;
            let Values::Float64(values) = &column.values else {
                continue;
            };
            let is_lost = |row: &usize| !values[*row].is_finite() && !column.is_null(*row);
            for row in (0..values.len()).filter(is_lost) {
                if refused.insert(row) {
                    let message = format!(
                        "column `{}` is no number, or one without an end",
                        field.name
                    );
                    let rejection = Rejection::new(row, "not-finite", message).in_part(part);
                    self.rejections.push(rejection);
                }
            }
        }
        Ok(refused.into_iter().collect())
    }

    fn last_number(&mut self) -> Result<u64, Fault> {
        let rows = self.session.rows("RELEASE piece; SELECT lastval()")?;
        let number = rows.into_iter().flatten().flatten().next();
        let number = number.and_then(|number| number.parse().ok());
        number.ok_or_else(|| Fault::transient("the server numbers no rows"))
    }

    /// Has every row take its place in the table; gives those that were refused.
    pub(super) fn merge(mut self) -> Result<Vec<Rejection>, Fault> {
        // Of parts without a row that can be copied: a later one takes it for made.
        let opening = std::mem::take(&mut self.opening);
        if !opening.is_empty() {
            self.session.run(&opening)?;
        }
        let runs = std::mem::take(&mut self.copied);
        let mut numbers: Vec<(u64, usize, usize, bool)> = Vec::new();
        for run in &runs {
            let places = run.rows.clone().zip(run.first..);
            numbers.extend(places.map(|(row, number)| {
                let is_delete = run.deletes.get(row - run.rows.start);
                (
                    number,
                    run.part,
                    row,
                    is_delete.copied().unwrap_or_default(),
                )
            }));
        }
        numbers.sort_unstable();
        if self.mode == Mode::Append {
            for (_, part, row, _) in numbers.iter().filter(|(.., is_delete)| *is_delete) {
                let message = "a table that is only added to takes no deletions";
                let rejection = Rejection::new(*row, "delete-not-supported", message);
                self.rejections.push(rejection.in_part(*part));
            }
            numbers.retain(|(.., is_delete)| !is_delete);
        }
        let sql = Sql::of(&self.name, &self.shape, self.mode);
        let mut pieces = Pieces::new(numbers.len());
        while let Some(rows) = pieces.next_rows() {
            let tried = &numbers[rows.clone()];
            self.session.run("SAVEPOINT piece")?;
            match merge(self.session, &sql, tried) {
                Ok(()) => {
                    self.session.run("RELEASE piece")?;
                    pieces.passed();
                }
                Err(Error::Refused(refusal)) if refusal.is_of_a_record() => {
                    self.session.run("ROLLBACK TO piece; RELEASE piece")?;
                    if let Some(at) = pieces.failed(rows, None) {
                        let (_, part, row, _) = numbers[at];
                        self.reject(part, row, &refusal);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(self.rejections)
    }
}

/// Rows of the stage, by their numbers, into the table.
fn merge(
    session: &mut Session,
    sql: &Sql,
    rows: &[(u64, usize, usize, bool)],
) -> Result<(), Error> {
    let (Some((first, ..)), Some((last, ..))) = (rows.first(), rows.last()) else {
        return Ok(());
    };
    let (first, last) = (first.to_string(), last.to_string());
    let deletes: Vec<String> = rows
        .iter()
        .filter(|(.., is_delete)| *is_delete)
        .map(|(number, ..)| number.to_string())
        .collect();
    let deletes = format!("{{{}}}", deletes.join(","));
    let parameters = [Some(&*first), Some(&*last), Some(&*deletes)];
    if let Some(delete) = sql.delete.as_ref().filter(|_| deletes.len() > 2) {
        session.execute(delete, &parameters)?;
    }
    session.execute(&sql.write, &parameters)?;
    Ok(())
}

/// What makes a stage of a table's own columns. Base64 and JSON are what the host writes, and become bytes, arrays and
/// composites on the way on.
fn made(stage: &str, shape: &Shape) -> String {
    let columns = shape.schema.fields.iter().map(|field| {
        let name = quoted(&field.name);
        match field.kind {
            FieldType::Binary => format!("NULL::text AS {name}"),
            _ if shape.structures.contains_key(&field.name) => format!("NULL::jsonb AS {name}"),
            _ => name,
        }
    });
    let columns: Vec<String> = columns.collect();
    let bare = stage.trim_start_matches("pg_temp.");
    format!(
        "DROP TABLE IF EXISTS {stage}; CREATE TEMP TABLE {bare} ON COMMIT DROP AS SELECT {} FROM {} WITH NO DATA; \
         ALTER TABLE {stage} ADD COLUMN {NUMBER} bigint GENERATED ALWAYS AS IDENTITY",
        columns.join(", "),
        shape.table
    )
}

impl Shape {
    /// A field's value on its way from the stage.
    fn value(&self, field: &Field) -> String {
        let name = quoted(&field.name);
        if let Some(structure) = self.structures.get(&field.name) {
            return format!(
                "(SELECT r.v FROM jsonb_to_record(jsonb_build_object('v', s.{name})) AS r (v {structure}))"
            );
        }
        match field.kind {
            FieldType::Binary => format!("decode(s.{name}, 'base64')"),
            _ => format!("s.{name}"),
        }
    }
}

/// What moves rows from the stage: `$1` and `$2` are the first and the last number, `$3` the numbers of deletions.
struct Sql {
    delete: Option<String>,
    write: String,
}

impl Sql {
    fn of(stage: &str, shape: &Shape, mode: Mode) -> Self {
        let Shape { table, schema, .. } = shape;
        let fields: Vec<String> = schema
            .fields
            .iter()
            .map(|field| field.name.clone())
            .collect();
        let all = names(&fields);
        let values = schema.fields.iter().map(|field| shape.value(field));
        let values: Vec<String> = values.collect();
        let values = values.join(", ");
        let between = format!("{NUMBER} BETWEEN $1::bigint AND $2::bigint");
        let is_delete = format!("{NUMBER} = ANY($3::bigint[])");
        if mode == Mode::Append {
            return Self {
                delete: None,
                write: format!(
                    "INSERT INTO {table} ({all}) SELECT {values} FROM {stage} s WHERE {between} AND NOT s.{is_delete}"
                ),
            };
        }
        // Of several records of one key the last counts.
        let key = names(&schema.key);
        let last = format!(
            "(SELECT DISTINCT ON ({key}) * FROM {stage} WHERE {between} ORDER BY {key}, {NUMBER} DESC) s"
        );
        let of_key = schema
            .fields
            .iter()
            .filter(|field| schema.key.contains(&field.name));
        let same: Vec<String> = of_key
            .map(|field| format!("t.{} = {}", quoted(&field.name), shape.value(field)))
            .collect();
        let set: Vec<String> = fields
            .iter()
            .filter(|name| !schema.key.contains(name))
            .map(|name| format!("{0} = excluded.{0}", quoted(name)))
            .collect();
        let does = if set.is_empty() {
            "NOTHING".to_owned()
        } else {
            format!("UPDATE SET {}", set.join(", "))
        };
        Self {
            delete: Some(format!(
                "DELETE FROM {table} t USING {last} WHERE {} AND s.{is_delete}",
                same.join(" AND ")
            )),
            write: format!(
                "INSERT INTO {table} ({all}) SELECT {values} FROM {last} WHERE NOT s.{is_delete} \
                 ON CONFLICT ({key}) DO {does}"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_record_of_a_key_counts() {
        let schema = Schema {
            fields: vec![
                Field::new("id", FieldType::Int64),
                Field::new("raw", FieldType::Binary),
            ],
            key: vec!["id".to_owned()],
        };
        let shape = Shape {
            table: "\"public\".\"t\"".to_owned(),
            schema,
            structures: Structures::new(),
        };
        let sql = Sql::of("pg_temp.\"~sluice stage\"", &shape, Mode::Upsert);
        assert_eq!(
            sql.write,
            "INSERT INTO \"public\".\"t\" (\"id\", \"raw\") SELECT s.\"id\", decode(s.\"raw\", 'base64') FROM \
             (SELECT DISTINCT ON (\"id\") * FROM pg_temp.\"~sluice stage\" WHERE \"~sluice row\" BETWEEN $1::bigint AND \
             $2::bigint ORDER BY \"id\", \"~sluice row\" DESC) s WHERE NOT s.\"~sluice row\" = ANY($3::bigint[]) \
             ON CONFLICT (\"id\") DO UPDATE SET \"raw\" = excluded.\"raw\""
        );
        let delete = sql.delete.expect("a statement");
        assert!(
            delete.ends_with("WHERE t.\"id\" = s.\"id\" AND s.\"~sluice row\" = ANY($3::bigint[])")
        );
    }
}
