//! CSV after RFC 4180: its records, and its records as rows.
//!
//! A field without quotes and without characters is no value; `""` is an empty text, and no value in a field that is
//! neither text nor binary. Nothing is trimmed.

mod fit;
pub mod records;

pub use records::{CsvError, Records};

use crate::assembly::{Assembly, Stop};
use crate::document::{Document, Outcome, Target, line_ends, no_schema};
use crate::infer::Kind;
use crate::problem::{Problem, shown};
use crate::widen::Sightings;
use records::Row;
use sluice_model::batch::PlaceUnit;
use sluice_model::contract::Drift;
use sluice_model::fault::{Fault, FaultKind};
use sluice_model::guards::Guard;
use sluice_model::limits;
use sluice_model::rejection::Csv;
use sluice_model::schema::{Field, Schema};
use std::collections::HashMap;
use std::sync::Arc;

/// How a file's columns meet the schema's fields.
#[derive(Debug)]
struct Mapping<'s> {
    /// For each field, its column in the file.
    columns: Vec<Option<usize>>,
    fields: &'s [Field],
    /// Columns of the file that the schema does not have.
    strangers: Vec<(usize, String)>,
    drift: Drift,
    discarded_values: u64,
    sightings: Sightings,
}

/// Reads every record of a document.
pub fn decode(
    document: &Document<'_>,
    delimiter: u8,
    header: Option<&[u8]>,
    target: &Target<'_>,
) -> Result<Outcome, Stop> {
    let unreadable = |error: CsvError| unreadable(document.name, &error);
    let mut records = Records::new(document, delimiter, header).map_err(unreadable)?;
    let mut mapping = Mapping::new(records.header(), target.schema, target.drift);
    let mut assembly = Assembly::new(document, target, PlaceUnit::Line);
    let width = records.header().len();
    assembly.csv = kept(delimiter, records.header());
    while let Some(record) = records.advance() {
        let read = match record.problem(width) {
            Some(problem) => Err(problem),
            None => mapping.read(records.row(), &mut assembly),
        };
        match read {
            Ok(()) => assembly.accept(record.line, record.raw.len())?,
            Err(problem) => assembly.refuse(record.line, record.raw, &problem)?,
        }
    }
    match mapping
        .sightings
        .widened(target.schema, Kind::csv_field_type)
    {
        Some(schema) => Ok(Outcome::Evolve(
            schema.map_err(|error| no_schema(document, &error))?,
        )),
        None => assembly
            .finish(line_ends(document.bytes), mapping.discarded_values)
            .map(Outcome::Decoded),
    }
}

/// What a dead letter keeps of the header, so that its row can be read again; none of one that is too long to be kept with
/// every letter.
fn kept(delimiter: u8, header: &[String]) -> Option<Arc<Csv>> {
    let quoted = header
        .iter()
        .map(|name| format!("\"{}\"", name.replace('"', "\"\"")));
    let header = quoted
        .collect::<Vec<_>>()
        .join(&char::from(delimiter).to_string());
    let is_short = header.len() <= Guard::LetterHeader.limit(limits::DEAD_LETTER_HEADER_BYTES_MAX);
    is_short.then(|| Arc::new(Csv { delimiter, header }))
}

impl<'s> Mapping<'s> {
    fn new(header: &[String], schema: &'s Schema, drift: Drift) -> Self {
        let mut columns = vec![None; schema.fields().len()];
        let places: HashMap<&str, usize> = schema
            .fields()
            .iter()
            .enumerate()
            .map(|(place, field)| (field.name.as_str(), place))
            .collect();
        let mut strangers = Vec::new();
        for (column, name) in header.iter().enumerate() {
            match places.get(name.as_str()) {
                Some(&field) => columns[field] = Some(column),
                None => strangers.push((column, name.clone())),
            }
        }
        Self {
            columns,
            fields: schema.fields(),
            strangers,
            drift,
            discarded_values: 0,
            sightings: Sightings::new(schema),
        }
    }

    fn read(&mut self, row: &Row, assembly: &mut Assembly<'_>) -> Result<(), Box<Problem>> {
        let discarded_before = self.discarded_values;
        let read = self
            .strangers(row)
            .and_then(|()| self.fields(row, assembly));
        if read.is_ok() {
            self.sightings.keep();
        } else {
            self.sightings.forget();
            self.discarded_values = discarded_before;
        }
        read
    }

    fn strangers(&mut self, row: &Row) -> Result<(), Box<Problem>> {
        for (column, name) in &self.strangers {
            let unknown = |reason| {
                Err(Box::new(Problem::Unknown {
                    field: name.clone(),
                    reason,
                }))
            };
            let value = row.field(*column).filter(|value| !value.bytes.is_empty());
            match (self.drift, value) {
                (Drift::DeadLetter | Drift::Freeze, _) => {
                    return unknown("is a column that the schema does not have");
                }
                (Drift::DiscardValue, Some(_)) => self.discarded_values += 1,
                (Drift::Evolve, value) => {
                    let kind = value.map_or(Kind::Null, |value| Kind::of_csv(value.bytes));
                    if let Err(reason) = self.sightings.see(name, kind) {
                        return unknown(reason);
                    }
                }
                (Drift::DiscardValue, None) => {}
            }
        }
        Ok(())
    }

    fn fields(&mut self, row: &Row, assembly: &mut Assembly<'_>) -> Result<(), Box<Problem>> {
        let rows = assembly.rows();
        for ((field, column), target) in self
            .fields
            .iter()
            .zip(&self.columns)
            .zip(&mut assembly.columns)
        {
            let value = column.and_then(|column| row.field(column));
            match fit::read(value, field, target) {
                Err(problem)
                    if self.drift == Drift::DiscardValue
                        && field.nullable
                        && problem.is_misfit() =>
                {
                    target.truncate(rows);
                    target.push_null();
                    self.discarded_values += 1;
                }
                fit => fit?,
            }
        }
        Ok(())
    }
}

fn unreadable(name: &str, error: &CsvError) -> Stop {
    let message = format!("`{}` cannot be read: {error}", shown(name));
    Stop::Unreadable(match error {
        CsvError::Delimiter(_) => Fault::new(FaultKind::Misconfigured, message)
            .hint("choose one ASCII character such as `,`, `;` or a tab"),
        _ => Fault::new(FaultKind::Broken, message),
    })
}
