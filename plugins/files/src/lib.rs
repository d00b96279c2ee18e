//! `sluice/files`: a source of files and a sink of files in one component. Deliberately no parsing and no encoding of
//! records: the host does both natively, and this plugin only knows where a record ends.

pub mod sink;
pub mod source;

use serde::Deserialize;
use sluice_sdk::framing::Text;

/// How the records stand in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object a line.
    Ndjson,
    /// RFC 4180, with a first line of names.
    Csv,
}

impl Format {
    /// What a file's name ends with, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Format::Ndjson => "ndjson",
            Format::Csv => "csv",
        }
    }

    fn text(self) -> Text {
        match self {
            Format::Ndjson => Text::Ndjson,
            Format::Csv => Text::Csv,
        }
    }
}

sluice_sdk::source!(source::FileSource);
sluice_sdk::sink!(sink::FileSink);
