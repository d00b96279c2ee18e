//! What each object is called. Pure: keys depend on the pipeline, the split, the prefix and the unit, and nothing else.

use crate::Format;
use sha2::{Digest, Sha256};
use sluice_sdk::sink::Context;
use std::fmt::Write as _;

/// A stream's folder: well below the 1,024 bytes of a key.
const FOLDER_BYTES_MAX: usize = 200;

/// The keys of one split's objects.
#[derive(Debug, Clone)]
pub(super) struct Names {
    /// 16 hexadecimal digits for the pipeline, the split and the prefix: two sinks never share a key.
    id: String,
    prefix: String,
    format: Format,
}

impl Names {
    pub(super) fn new(context: &Context, prefix: &str, format: Format) -> Self {
        Self {
            id: short_hash(&[&context.pipeline, &context.split, prefix]),
            prefix: prefix.to_owned(),
            format,
        }
    }

    /// The record of what is published. What begins with `_` is no data to those who read folders of objects.
    pub(super) fn record(&self) -> String {
        format!("{}_sluice/commits/{}.json", self.prefix, self.id)
    }

    /// What the keys of one stream's objects of this split begin with.
    pub(super) fn beginning(&self, stream: &str) -> String {
        format!("{}{}/{}-", self.prefix, folder(stream), self.id)
    }

    /// An object; `nth` counts those of one stream in one unit. Sorted by key, a stream's objects are in the order they
    /// were written.
    pub(super) fn object(&self, stream: &str, sequence: u64, nth: usize) -> String {
        let more = if nth == 0 {
            String::new()
        } else {
            format!("_{:04}", nth + 1)
        };
        format!(
            "{}{sequence:012}{more}.{}",
            self.beginning(stream),
            self.format.extension()
        )
    }

    pub(super) fn content_type(&self) -> &'static str {
        match self.format {
            Format::Ndjson => "application/x-ndjson",
            Format::Csv => "text/csv",
            Format::Parquet => "application/vnd.apache.parquet",
        }
    }
}

/// A stream's folder: its name with all but letters, digits, `-`, and inner `_` and dots written as `~XX`.
fn folder(stream: &str) -> String {
    let mut name = String::new();
    for (at, byte) in stream.bytes().enumerate() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' => name.push(char::from(byte)),
            b'_' | b'.' if at > 0 => name.push(char::from(byte)),
            _ => {
                // Writing to a string cannot fail.
                let _ = write!(name, "~{byte:02X}");
            }
        }
    }
    if name.len() > FOLDER_BYTES_MAX {
        name.truncate(FOLDER_BYTES_MAX - 17);
        name = format!("{name}-{}", short_hash(&[stream]));
    }
    name
}

fn short_hash(words: &[&str]) -> String {
    let mut hash = Sha256::new();
    for word in words {
        hash.update((word.len() as u64).to_le_bytes());
        hash.update(word);
    }
    hash.finalize()[..8]
        .iter()
        .fold(String::new(), |mut hex, byte| {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(pipeline: &str, split: &str, prefix: &str) -> Names {
        let context = Context {
            pipeline: pipeline.to_owned(),
            split: split.to_owned(),
        };
        Names::new(&context, prefix, Format::Parquet)
    }

    #[test]
    fn keys_are_plain_and_their_own() {
        let names = names("p", "s", "out/");
        let id = &names.id;
        assert_eq!(
            names.object("movies", 7, 0),
            format!("out/movies/{id}-000000000007.parquet")
        );
        assert_eq!(
            names.object("movies", 7, 1),
            format!("out/movies/{id}-000000000007_0002.parquet")
        );
        assert_eq!(names.record(), format!("out/_sluice/commits/{id}.json"));
        let all = [
            ("p", "s", ""),
            ("ps", "", ""),
            ("", "ps", ""),
            ("p", "s", "x"),
        ];
        let ids: std::collections::HashSet<String> = all
            .iter()
            .map(|(pipeline, split, prefix)| self::names(pipeline, split, prefix).id)
            .collect();
        assert_eq!(ids.len(), 4);
    }

    #[test]
    fn a_stream_is_one_folder_whatever_it_is_called() {
        for (stream, expected) in [
            ("public.order_lines", "public.order_lines"),
            ("_sluice", "~5Fsluice"),
            ("..", "~2E."),
            ("a/../b", "a~2F..~2Fb"),
            ("Größe", "Gr~C3~B6~C3~9Fe"),
            ("a~b", "a~7Eb"),
        ] {
            assert_eq!(folder(stream), expected);
        }
        let (long, longer) = (folder(&"é".repeat(64)), folder(&"é".repeat(63)));
        assert!(
            long.len() <= FOLDER_BYTES_MAX && longer.len() <= FOLDER_BYTES_MAX && long != longer
        );
    }
}
