//! What each object is called. Pure: keys depend on the pipeline, the split, the prefix and the unit, and nothing else.

use crate::Format;
use sluice_sdk::publish::{folder_name, short_hash};
use sluice_sdk::sink::Context;

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
    folder_name(stream, '~', b"_.", FOLDER_BYTES_MAX)
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
        assert_eq!(folder("public.order_lines"), "public.order_lines");
        assert_eq!(folder("_sluice"), "~5Fsluice");
        assert_eq!(folder("a~/b"), "a~7E~2Fb");
        let (long, longer) = (folder(&"é".repeat(64)), folder(&"é".repeat(63)));
        assert!(
            long.len() <= FOLDER_BYTES_MAX && longer.len() <= FOLDER_BYTES_MAX && long != longer
        );
    }
}
