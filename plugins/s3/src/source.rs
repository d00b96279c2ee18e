//! The source: each object is a split of its own, read piece by piece. What the pieces mean is decoded by the host.

mod cursor;
mod reader;
mod rows;

pub use cursor::Cursor;
pub use reader::ObjectReader;

use crate::Format;
use crate::bucket::{Bucket, Object};
use serde::Deserialize;
use sluice_sdk::framing;
use sluice_sdk::pattern::Streams;
use sluice_sdk::source::{Split, Stream};
use sluice_sdk::{Fault, Source};
use std::collections::BTreeMap;

/// The longest id of a split that the host takes, in bytes.
const SPLIT_ID_BYTES_MAX: usize = 512;

/// The source's settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    endpoint: String,
    /// What the host signs for: nothing here reads it.
    #[serde(rename = "region")]
    _region: String,
    bucket: String,
    #[serde(default)]
    prefix: String,
    format: Format,
    #[serde(default = "comma")]
    delimiter: char,
    pattern: Option<String>,
    stream: Option<String>,
    #[serde(default)]
    streams: BTreeMap<String, String>,
}

fn comma() -> char {
    ','
}

/// Reads the objects of a bucket.
pub struct ObjectSource;

impl Source for ObjectSource {
    type Config = Config;
    type Cursor = Cursor;
    type Reader = ObjectReader;

    fn check(config: &Config) -> Result<(), Fault> {
        config.streams()?;
        framing::delimiter(config.delimiter)?;
        config.bucket().check(&config.prefix)
    }

    fn streams(config: &Config) -> Result<Vec<Stream>, Fault> {
        let streams = config.streams()?;
        Ok(streams
            .names()
            .map(|name| Stream::new(name).incremental())
            .collect())
    }

    fn splits(config: &Config, streams: &[String]) -> Result<Vec<Split>, Fault> {
        let known = config.streams()?;
        let mut splits = Vec::new();
        for object in config.bucket().list(&config.prefix)? {
            let below = object
                .key
                .strip_prefix(&config.prefix)
                .unwrap_or(&object.key);
            match known.owner(below, object.key.escape_debug())? {
                // An empty object has no records, and no range: should it be written anew it is read then.
                Some(owner) if object.bytes > 0 && streams.iter().any(|name| name == owner) => {
                    splits.push(split(&object, owner)?);
                }
                _ => {}
            }
        }
        Ok(splits)
    }

    fn open(config: Config, split: Split, cursor: Option<Cursor>) -> Result<ObjectReader, Fault> {
        let delimiter = framing::delimiter(config.delimiter)?;
        ObjectReader::open(config.bucket(), split, config.format, delimiter, cursor)
    }
}

impl Config {
    fn bucket(&self) -> Bucket {
        Bucket::new(&self.endpoint, &self.bucket)
    }

    fn streams(&self) -> Result<Streams, Fault> {
        let pattern = format!("*.{}", self.format.extension());
        Streams::new(
            &self.streams,
            (self.stream.as_deref(), "objects"),
            (self.pattern.as_deref(), &pattern),
        )
    }
}

fn split(object: &Object, stream: &str) -> Result<Split, Fault> {
    let key = &object.key;
    // The host compares paths as they stand, and refuses one that two servers could read differently.
    let is_plain = key.split('/').all(|part| !matches!(part, "" | "." | ".."))
        && !key.contains(['\\', ';', '%']);
    if key.len() > SPLIT_ID_BYTES_MAX
        || key.chars().any(char::is_control)
        || key.starts_with('~')
        || !is_plain
    {
        return Err(Fault::misconfigured(format!(
            "`{}` is a key that cannot be asked for: {SPLIT_ID_BYTES_MAX} bytes at most, no `~` at its beginning, no empty, \
             `.` or `..` part, no `\\`, `;`, `%` or control character; hint: leave it out by `prefix` or `pattern`",
            key.escape_debug()
        )));
    }
    Ok(Split::new(key, stream).with_detail(&object.etag))
}
