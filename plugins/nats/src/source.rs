//! The source: a stream of JetStream, or some subjects of one, in the order in which it was stored. Deliberately no order
//! of the server's making: whatever it sends twice, late or to somebody else, a page holds each message once, and
//! none is left out between two.

mod consumer;
mod cursor;
mod delivery;
mod reader;
mod records;
mod stored;

pub use cursor::Place;
pub use reader::StreamReader;

use crate::config::{Config, Format};
use crate::jetstream;
use crate::session::Session;
use sluice_sdk::source::{Split, Stream};
use sluice_sdk::{Fault, Source};

/// Reads streams.
pub struct NatsSource;

impl Source for NatsSource {
    type Config = Config;
    type Cursor = Place;
    type Reader = StreamReader;

    fn check(config: &Config) -> Result<(), Fault> {
        config.valid()?;
        let mut session = Session::open(config)?;
        for settings in config.streams.values() {
            jetstream::stream(&mut session, &settings.stream)?;
            if let Some(found) =
                jetstream::consumer(&mut session, &settings.stream, &settings.consumer)?
            {
                consumer::check(settings, &found.config)?;
            }
        }
        Ok(())
    }

    fn streams(config: &Config) -> Result<Vec<Stream>, Fault> {
        config.valid()?;
        let stream = |(name, settings): (&String, &crate::config::StreamSettings)| {
            let stream = Stream::new(name).incremental();
            match settings.format {
                Format::Json => stream,
                format => stream.with_schema(records::schema(format)),
            }
        };
        Ok(config.streams.iter().map(stream).collect())
    }

    /// The consumers that are not there. One that is stays as it is, and is refused where it is another's.
    fn prepare(config: &Config, streams: &[String]) -> Result<(), Fault> {
        config.valid()?;
        let mut session = Session::open(config)?;
        for name in streams {
            consumer::prepare(&mut session, config.stream(name)?)?;
        }
        Ok(())
    }

    fn open(config: Config, split: Split, place: Option<Place>) -> Result<StreamReader, Fault> {
        config.valid()?;
        StreamReader::open(&config, &split, place)
    }
}
