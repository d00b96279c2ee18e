//! What a source hands over as bytes, what is wanted of it, and what becomes of it.

use crate::assembly::{Assembly, Stop};
use crate::infer::Kind;
use crate::json::object::ObjectReader;
use crate::{csv, json, ndjson, parquet};
use sluice_model::batch::{Batch, Change, PlaceUnit};
use sluice_model::contract::Drift;
use sluice_model::fault::{Fault, FaultKind};
use sluice_model::ids::StreamName;
use sluice_model::rejection::Rejection;
use sluice_model::schema::{Schema, SchemaError};
use std::sync::Arc;

/// How the bytes of a document are to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DocumentFormat {
    /// One JSON document.
    Json {
        /// RFC 6901: where the array of records stands. Empty: the document itself. One object there is one record.
        pointer: String,
    },
    /// One JSON object a line, lines ended by `\n` or `\r\n`, blank lines skipped.
    Ndjson,
    /// RFC 4180.
    Csv {
        /// Between fields: one ASCII character.
        delimiter: u8,
        /// The line of names, where `bytes` does not begin with it.
        header: Option<Vec<u8>>,
    },
    /// Rows of one row group of a Parquet file.
    Parquet(parquet::Rows),
}

/// Whole records, as the system sent them.
#[derive(Debug, Clone, Copy)]
pub struct Document<'a> {
    /// How to read them.
    pub format: &'a DocumentFormat,
    /// The records. They may begin with a UTF-8 byte order mark.
    pub bytes: &'a [u8],
    /// What the bytes were cut from, for people.
    pub name: &'a str,
    /// The line number of the first byte; 1 at the start of a file.
    pub first_line: u64,
    /// What each record asks for, in order; none where every one is an upsert. As many as there are records, or the
    /// document is malformed.
    pub changes: Option<&'a [Change]>,
}

/// What the records are to become.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Whose records.
    pub stream: &'a StreamName,
    /// Their fields.
    pub schema: &'a Arc<Schema>,
    /// What to do with what the schema does not have or cannot hold.
    pub drift: Drift,
    /// The most rows of one batch.
    pub batch_rows: usize,
}

/// What became of a document.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// It was read.
    Decoded(Decoded),
    /// The contract is `evolve`, and there were new fields with values: decode again with this wider schema (the old
    /// fields in place, the new ones appended, nullable).
    Evolve(Arc<Schema>),
    /// The contract is `freeze`, and something does not fit. Kind `drift`; names document, place, field and what was
    /// found.
    Frozen(Fault),
    /// The document as a whole cannot be read: its records cannot be told apart, or there is no array where the
    /// pointer leads, or it is larger than a document may be.
    Unreadable(Fault),
}

/// The records of a document.
///
/// Invariant: `records` is the rows of all batches and the rejections (test: `every_record_is_accounted_for`).
#[derive(Debug, Clone, Default)]
pub struct Decoded {
    /// The good ones, in order, in batches of at most [`Target::batch_rows`] rows.
    pub batches: Vec<Batch>,
    /// The others, in order. Their stage is the source.
    pub rejections: Vec<Rejection>,
    /// How many there were.
    pub records: u64,
    /// Values left out under `discard-value`, nulls not counted: fields that the schema does not have, and misfits
    /// that became null.
    pub discarded_values: u64,
    /// `\n` seen in the bytes, so that the caller can number the next document.
    pub lines: u64,
}

/// Reads a document's records into batches of the target's schema.
///
/// A record that cannot be read or does not fit is refused on its own; see [`crate`] for the codes. Under
/// [`Drift::DiscardValue`] unknown fields are left out and misfits become null where the field allows it. In CSV
/// an unknown column is a field of every record: under [`Drift::DeadLetter`] each record is refused.
pub fn decode(document: &Document<'_>, target: &Target<'_>) -> Outcome {
    match read(document, target) {
        Ok(outcome) => outcome,
        Err(Stop::Frozen(fault)) => Outcome::Frozen(fault),
        Err(Stop::Unreadable(fault)) => Outcome::Unreadable(fault),
    }
}

fn read(document: &Document<'_>, target: &Target<'_>) -> Result<Outcome, Stop> {
    if let DocumentFormat::Csv { delimiter, header } = document.format {
        return csv::decode(document, *delimiter, header.as_deref(), target);
    }
    if let DocumentFormat::Parquet(rows) = document.format {
        return parquet::decode(document, rows, target);
    }
    let mut reader = ObjectReader::new(target.schema, target.drift);
    let (assembly, lines) = if let DocumentFormat::Json { pointer } = document.format {
        let mut assembly = Assembly::new(document, target, PlaceUnit::Item);
        json::items::decode(document, pointer, &mut reader, &mut assembly)?;
        (assembly, line_ends(document.bytes))
    } else {
        let mut assembly = Assembly::new(document, target, PlaceUnit::Line);
        let lines = ndjson::decode(document, &mut reader, &mut assembly)?;
        (assembly, lines)
    };
    match reader.sightings.widened(target.schema, Kind::field_type) {
        Some(schema) => Ok(Outcome::Evolve(
            schema.map_err(|error| no_schema(document, &error))?,
        )),
        None => assembly
            .finish(lines, reader.discarded_values)
            .map(Outcome::Decoded),
    }
}

/// Why the new fields of a document make no schema.
pub(crate) fn no_schema(document: &Document<'_>, error: &SchemaError) -> Stop {
    let message = format!(
        "the new fields of `{}` make no schema: {error}",
        document.name
    );
    Stop::Unreadable(Fault::new(FaultKind::Drift, message))
}

/// How many lines end in these bytes.
pub(crate) fn line_ends(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}
