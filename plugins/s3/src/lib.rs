//! `sluice/s3`: a source of objects and a sink of objects in one component. Deliberately no parsing and no encoding of
//! records, which the host does natively, and no keys: the host signs.

mod bucket;
pub mod sink;
pub mod source;
mod xml;

use serde::Deserialize;

/// How the records stand in an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object a line.
    Ndjson,
    /// RFC 4180, with a first line of names.
    Csv,
    /// Flat columns.
    Parquet,
}

impl Format {
    /// What a key ends with, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Format::Ndjson => "ndjson",
            Format::Csv => "csv",
            Format::Parquet => "parquet",
        }
    }
}

sluice_sdk::source!(source::ObjectSource);
sluice_sdk::sink!(sink::ObjectSink);
