//! The source: each object is a split of its own, read piece by piece. What the pieces mean is decoded by the host.

mod cursor;
mod reader;
mod rows;

pub use cursor::Cursor;
pub use reader::ObjectReader;

use crate::Format;
use crate::bucket::{Bucket, Object};
use crate::pattern::Pattern;
use serde::Deserialize;
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
        config.delimiter()?;
        config.bucket().check(&config.prefix)
    }

    fn streams(config: &Config) -> Result<Vec<Stream>, Fault> {
        let streams = config.streams()?.into_iter();
        Ok(streams
            .map(|(name, _)| Stream::new(name).incremental())
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
            let mut owners = known
                .iter()
                .filter(|(_, pattern)| pattern.fits(below))
                .map(|(name, _)| name);
            let Some(owner) = owners.next() else { continue };
            if let Some(other) = owners.next() {
                return Err(Fault::misconfigured(format!(
                    "`{}` belongs to both `{owner}` and `{other}`; hint: narrow one of their patterns in `streams`",
                    object.key.escape_debug()
                )));
            }
            // An empty object has no records, and no range: should it be written anew it is read then.
            if streams.contains(owner) && object.bytes > 0 {
                splits.push(split(&object, owner)?);
            }
        }
        Ok(splits)
    }

    fn open(config: Config, split: Split, cursor: Option<Cursor>) -> Result<ObjectReader, Fault> {
        let delimiter = config.delimiter()?;
        ObjectReader::open(config.bucket(), split, config.format, delimiter, cursor)
    }
}

impl Config {
    fn bucket(&self) -> Bucket {
        Bucket::new(&self.endpoint, &self.bucket)
    }

    /// Each stream with the pattern of its objects.
    fn streams(&self) -> Result<Vec<(String, Pattern)>, Fault> {
        if self.streams.is_empty() {
            let pattern = self.pattern.clone();
            let pattern = pattern.unwrap_or_else(|| format!("*.{}", self.format.extension()));
            let stream = self.stream.clone().unwrap_or_else(|| "objects".to_owned());
            return Ok(vec![(stream, Pattern::new(pattern))]);
        }
        if self.stream.is_some() || self.pattern.is_some() {
            return Err(Fault::misconfigured(
                "`streams` names its patterns itself: leave out `stream` and `pattern`",
            ));
        }
        let streams = self.streams.iter();
        Ok(streams
            .map(|(name, pattern)| (name.clone(), Pattern::new(pattern)))
            .collect())
    }

    fn delimiter(&self) -> Result<u8, Fault> {
        match u8::try_from(self.delimiter) {
            Ok(byte) if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => Ok(byte),
            _ => Err(Fault::misconfigured(format!(
                "`delimiter = {:?}` is not one ASCII character other than a quote and a line end",
                self.delimiter
            ))),
        }
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
