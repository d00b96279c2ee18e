//! The source: each endpoint is a stream and a split.

use crate::config::Config;
use crate::cursor::Cursor;
use crate::reader::PageReader;
use sluice_sdk::source::{Split, Stream};
use sluice_sdk::{Fault, Source};

/// Reads a JSON API.
pub struct RestSource;

impl Source for RestSource {
    type Config = Config;
    type Cursor = Cursor;
    type Reader = PageReader;

    /// Asks for the first page of the first stream.
    fn check(config: &Config) -> Result<(), Fault> {
        config.base()?;
        match config.streams.first() {
            Some(endpoint) => PageReader::new(config, &endpoint.name, Cursor::default())?.probe(),
            None => Err(Fault::misconfigured("`streams` is empty")),
        }
    }

    fn streams(config: &Config) -> Result<Vec<Stream>, Fault> {
        config.base()?;
        let stream = |name: &str, incremental: bool| {
            let stream = Stream::new(name);
            if incremental {
                stream.incremental()
            } else {
                stream
            }
        };
        Ok(config
            .streams
            .iter()
            .map(|endpoint| stream(&endpoint.name, endpoint.incremental.is_some()))
            .collect())
    }

    fn open(config: Config, split: Split, cursor: Option<Cursor>) -> Result<PageReader, Fault> {
        PageReader::new(&config, &split.id, cursor.unwrap_or_default())
    }
}
