//! Reads one JSON object, a record, into the columns of its schema.
//!
//! Records of one stream name their fields in much the same order, so the reader expects after each field the one
//! that followed it last time, and compares bytes. Only a surprise costs a look into a table.

use super::scan::{Flaw, FlawKind, Scanner};
use super::value::{self, FIELD_DEPTH};
use crate::columns::Column;
use crate::problem::Problem;
use crate::widen::Sightings;
use sluice_model::contract::Drift;
use sluice_model::schema::{Field, Schema};
use std::collections::{HashMap, HashSet};

/// Reads objects of one schema under one contract.
#[derive(Debug)]
pub struct ObjectReader<'s> {
    fields: &'s [Field],
    drift: Drift,
    /// For each field, `"name":` as it stands in the text where nothing is escaped or spaced; the last one, which no
    /// text begins with, stands for no field.
    keys: Vec<Vec<u8>>,
    /// The field expected first, and then after each field.
    successors: Vec<usize>,
    places: HashMap<&'s [u8], usize>,
    scratch: Vec<u8>,
    /// Names in this record that the schema does not have: a duplicate is refused there too.
    strangers: HashSet<Vec<u8>>,
    /// Values left out of the records read so far.
    pub discarded_values: u64,
    /// Fields that could join the schema.
    pub sightings: Sightings,
}

impl<'s> ObjectReader<'s> {
    /// A reader for records of this schema.
    pub fn new(schema: &'s Schema, drift: Drift) -> Self {
        let fields = schema.fields();
        let mut keys: Vec<Vec<u8>> = fields.iter().map(|field| key(&field.name)).collect();
        keys.push(vec![0]);
        let places = fields
            .iter()
            .enumerate()
            .map(|(at, field)| (field.name.as_bytes(), at))
            .collect();
        Self {
            fields,
            drift,
            keys,
            successors: (0..=fields.len()).collect(),
            places,
            scratch: Vec::new(),
            strangers: HashSet::new(),
            discarded_values: 0,
            sightings: Sightings::new(schema),
        }
    }

    /// Reads the record that begins here, to its closing brace, as row `row` of the columns. Where it stands `alone`,
    /// only space may follow it. On a problem the columns may hold a part of the row, and the scanner stands somewhere
    /// inside the record.
    #[inline]
    pub fn read(
        &mut self,
        scanner: &mut Scanner<'_>,
        columns: &mut [Column],
        row: usize,
        alone: bool,
    ) -> Result<(), Box<Problem>> {
        let start = scanner.at();
        let discarded_before = self.discarded_values;
        let read = self
            .members(scanner, columns, row)
            .and_then(|()| end(scanner, alone).map_err(Into::into));
        if !self.strangers.is_empty() {
            self.strangers.clear();
        }
        match read {
            Ok(()) => self.sightings.keep(),
            Err(problem) => {
                self.sightings.forget();
                self.discarded_values = discarded_before;
                return Err(well_formed(scanner, start, alone, problem));
            }
        }
        Ok(())
    }

    #[inline]
    fn members(
        &mut self,
        scanner: &mut Scanner<'_>,
        columns: &mut [Column],
        row: usize,
    ) -> Result<(), Box<Problem>> {
        if !scanner.eat(b'{') {
            return Err(not_an_object(scanner));
        }
        scanner.skip_space();
        let mut filled = 0;
        let mut expected = self.successors[0];
        let mut slot = 0;
        if !scanner.eat(b'}') {
            loop {
                let place = if scanner.eat_all(&self.keys[expected]) {
                    scanner.skip_space();
                    Some(expected)
                } else {
                    self.key(scanner)?
                };
                if let Some(place) = place {
                    self.field(scanner, place, columns, row)?;
                    filled += 1;
                    self.successors[slot] = place;
                    slot = place + 1;
                    expected = self
                        .successors
                        .get(slot)
                        .copied()
                        .unwrap_or(self.fields.len());
                }
                scanner.skip_space();
                if scanner.eat(b'}') {
                    break;
                }
                scanner.comma()?;
            }
        }
        if filled < self.fields.len() {
            self.absent(columns, row)?;
        }
        Ok(())
    }

    #[inline]
    fn field(
        &mut self,
        scanner: &mut Scanner<'_>,
        place: usize,
        columns: &mut [Column],
        row: usize,
    ) -> Result<(), Box<Problem>> {
        let (field, column) = (&self.fields[place], &mut columns[place]);
        if column.rows() != row {
            return Err(Box::new(Problem::Duplicate {
                field: field.name.clone(),
            }));
        }
        let start = scanner.at();
        match value::read(scanner, field, column, &mut self.scratch) {
            Err(problem)
                if self.drift == Drift::DiscardValue && field.nullable && problem.is_misfit() =>
            {
                column.truncate(row);
                scanner.go(start);
                scanner.skip_value(FIELD_DEPTH)?;
                column.push_null();
                self.discarded_values += 1;
                Ok(())
            }
            fit => fit,
        }
    }

    /// Reads a key that was not the expected one, to its value: the field it names, or none where the schema has no
    /// such field and its value was stepped over.
    fn key(&mut self, scanner: &mut Scanner<'_>) -> Result<Option<usize>, Box<Problem>> {
        if scanner.peek() != Some(b'"') {
            return Err(scanner.expected("a field name in quotes").into());
        }
        self.scratch.clear();
        let plain = scanner.string(&mut self.scratch)?;
        let name = plain.unwrap_or(&self.scratch);
        let place = self.places.get(name).copied();
        let stranger = if place.is_none() {
            Some(name.to_vec())
        } else {
            None
        };
        scanner.colon()?;
        if let Some(name) = stranger {
            self.stranger(scanner, name)?;
        }
        Ok(place)
    }

    /// Decides about a field that the schema does not have, and steps over its value.
    fn stranger(&mut self, scanner: &mut Scanner<'_>, name: Vec<u8>) -> Result<(), Box<Problem>> {
        let text = String::from_utf8_lossy(&name).into_owned();
        if self.strangers.contains(&name) {
            return Err(Box::new(Problem::Duplicate { field: text }));
        }
        let unknown = |field, reason| Err(Box::new(Problem::Unknown { field, reason }));
        let start = scanner.at();
        match self.drift {
            Drift::DeadLetter | Drift::Freeze => return unknown(text, "is not in the schema"),
            Drift::DiscardValue => {
                scanner.skip_value(FIELD_DEPTH)?;
                self.discarded_values += u64::from(scanner.between(start, scanner.at()) != b"null");
            }
            Drift::Evolve => {
                let kind = crate::infer::Kind::of_json(scanner, FIELD_DEPTH)?;
                if let Err(reason) = self.sightings.see(&text, kind) {
                    return unknown(text, reason);
                }
            }
        }
        self.strangers.insert(name);
        Ok(())
    }

    /// Ends the row in the columns that the record did not name.
    fn absent(&self, columns: &mut [Column], row: usize) -> Result<(), Box<Problem>> {
        for (field, column) in self.fields.iter().zip(columns) {
            if column.rows() == row {
                if !field.nullable {
                    return Err(Problem::missing(field, "and the record is without it"));
                }
                column.push_null();
            }
        }
        Ok(())
    }
}

fn key(name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len() + 3);
    crate::encode::json::write_text(&mut key, name.as_bytes());
    key.push(b':');
    key
}

#[cold]
fn not_an_object(scanner: &mut Scanner<'_>) -> Box<Problem> {
    let found = scanner.found();
    match scanner.skip_value(0) {
        Ok(()) => Box::new(Problem::NotAnObject(found)),
        Err(flaw) => flaw.into(),
    }
}

/// The problem, unless the record is no JSON at all, which is then what is told.
#[cold]
fn well_formed(
    scanner: &Scanner<'_>,
    start: usize,
    alone: bool,
    problem: Box<Problem>,
) -> Box<Problem> {
    if matches!(*problem, Problem::Json(_)) {
        return relative(problem, start);
    }
    let mut whole = scanner.clone();
    whole.go(start);
    match whole.skip_value(0).and_then(|()| end(&mut whole, alone)) {
        Ok(()) => problem,
        Err(flaw) => relative(flaw.into(), start),
    }
}

#[inline]
fn end(scanner: &mut Scanner<'_>, alone: bool) -> Result<(), Flaw> {
    if alone {
        scanner.skip_space();
        if scanner.peek().is_some() {
            return Err(scanner.expected("the end of the record"));
        }
    }
    Ok(())
}

/// Counts a flaw's place from the start of the record.
fn relative(problem: Box<Problem>, start: usize) -> Box<Problem> {
    match *problem {
        Problem::Json(mut flaw) => {
            flaw.at = flaw.at.saturating_sub(start);
            Box::new(Problem::Json(flaw))
        }
        _ => problem,
    }
}

/// Whether a record was refused for its nesting, so that its end must be found by counting brackets.
pub fn is_too_deep(problem: &Problem) -> bool {
    matches!(problem, Problem::Json(flaw) if flaw.kind == FlawKind::TooDeep)
}
