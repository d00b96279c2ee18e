//! What each file is called. Pure: names depend on the pipeline, the split, the prefix and the unit, and nothing else.

use crate::Format;
use sluice_sdk::publish::{folder_name, short_hash};
use sluice_sdk::sink::Context;

/// A stream's folder. Below the 255 bytes that file systems allow.
const FOLDER_BYTES_MAX: usize = 200;

/// One of the two sets of temporary names that a split's units use in turn, so that the files of the unit being
/// written are never those of the unit last published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Side {
    A,
    B,
}

impl Side {
    pub(super) fn other(self) -> Self {
        match self {
            Side::A => Side::B,
            Side::B => Side::A,
        }
    }
}

/// The names of one split's files.
#[derive(Debug, Clone)]
pub(super) struct Names {
    /// 16 hexadecimal digits for the pipeline, the split and the prefix: two sinks never share a name.
    key: String,
    prefix: String,
    extension: &'static str,
}

impl Names {
    pub(super) fn new(context: &Context, prefix: &str, format: Format) -> Self {
        let key = short_hash(&[&context.pipeline, &context.split, prefix]);
        let prefix = if prefix.is_empty() {
            String::new()
        } else {
            format!("{prefix}-")
        };
        Self {
            key,
            prefix,
            extension: format.extension(),
        }
    }

    /// The record of what is published.
    pub(super) fn record(&self) -> String {
        format!(".sluice/commits/{}.json", self.key)
    }

    /// The record before it stands in its place.
    pub(super) fn record_draft(&self) -> String {
        format!(".sluice/commits/.{}.tmp", self.key)
    }

    /// A file before it is published.
    pub(super) fn temp(&self, stream: &str, side: Side, nth: usize) -> String {
        let side = match side {
            Side::A => 'a',
            Side::B => 'b',
        };
        format!(
            "{}/.{}{}-{side}-{nth}.tmp",
            folder(stream),
            self.prefix,
            self.key
        )
    }

    /// A file once it is published; `nth` counts the files of one stream in one unit. Sorted by name, a stream's files
    /// are in the order they were written.
    pub(super) fn published(&self, stream: &str, sequence: u64, nth: usize) -> String {
        let more = if nth == 0 {
            String::new()
        } else {
            format!("_{:04}", nth + 1)
        };
        format!(
            "{}/{}{}-{sequence:012}{more}.{}",
            folder(stream),
            self.prefix,
            self.key,
            self.extension
        )
    }
}

/// A stream's folder: its name with all but letters, digits, `_`, `-` and inner dots written as `%XX`.
fn folder(stream: &str) -> String {
    folder_name(stream, '%', b".", FOLDER_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(pipeline: &str, split: &str) -> Context {
        Context {
            pipeline: pipeline.to_owned(),
            split: split.to_owned(),
        }
    }

    #[test]
    fn names_are_plain_and_their_own() {
        let names = Names::new(&context("p", "s"), "", Format::Csv);
        assert_eq!(
            names.published("movies", 7, 0),
            format!("movies/{}-000000000007.csv", names.key)
        );
        assert_eq!(
            names.published("movies", 7, 1),
            format!("movies/{}-000000000007_0002.csv", names.key)
        );
        assert_eq!(
            names.temp("movies", Side::B, 0),
            format!("movies/.{}-b-0.tmp", names.key)
        );
        let other = Names::new(&context("p", "s"), "eu", Format::Csv);
        assert!(other.published("movies", 7, 0).starts_with("movies/eu-"));
        let keys: std::collections::HashSet<String> = [
            ("p", "s", ""),
            ("ps", "", ""),
            ("", "ps", ""),
            ("p", "s", "x"),
        ]
        .iter()
        .map(|(pipeline, split, prefix)| {
            Names::new(&context(pipeline, split), prefix, Format::Csv).key
        })
        .collect();
        assert_eq!(keys.len(), 4);
    }

    #[test]
    fn a_stream_is_one_folder_whatever_it_is_called() {
        assert_eq!(folder("_a.b"), "_a.b");
        assert_eq!(folder(".sluice"), "%2Esluice");
        let (long, longer) = (folder(&"é".repeat(64)), folder(&"é".repeat(63)));
        assert!(
            long.len() <= FOLDER_BYTES_MAX && longer.len() <= FOLDER_BYTES_MAX && long != longer
        );
    }
}
