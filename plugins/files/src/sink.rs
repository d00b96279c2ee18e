//! The sink: each unit becomes whole files, visible together with the place they end at. What makes that hold over a
//! crash at any moment is `publisher`; here batches become bytes.

mod folder;
mod names;
mod publisher;
mod record;

#[cfg(test)]
mod crashes;

use crate::Format;
use folder::Folder as _;
use publisher::Publisher;
use serde::Deserialize;
use sluice_sdk::files::{File, Writable};
use sluice_sdk::framing::encode_upserts;
use sluice_sdk::publish::{Begun, refuse_deletes};
use sluice_sdk::sink::{Commit, Context, Part, Target};
use sluice_sdk::{Batch, Fault, Rejection, Sink};

const NO_DELETIONS: &str = "a folder of files takes no deletions";

/// The longest prefix of a file's name.
const PREFIX_BYTES_MAX: usize = 64;

/// The sink's settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    dir: String,
    format: Format,
    #[serde(default)]
    prefix: String,
}

/// Writes the units of one split into a folder.
pub struct FileSink {
    format: Format,
    publisher: Publisher<Writable>,
}

impl Sink for FileSink {
    type Config = Config;

    fn check(config: &Config) -> Result<(), Fault> {
        config.valid()?;
        Writable::open(&config.dir)?;
        Ok(())
    }

    fn open(config: Config, context: Context, targets: Vec<Target>) -> Result<Self, Fault> {
        config.valid()?;
        let names = names::Names::new(&context, &config.prefix, config.format);
        let streams = targets.into_iter().map(|target| target.stream).collect();
        let publisher = Publisher::new(Writable::open(&config.dir)?, context, names, streams);
        Ok(Self {
            format: config.format,
            publisher,
        })
    }

    fn committed(&mut self) -> Result<Option<Commit>, Fault> {
        self.publisher.committed()
    }

    fn write(&mut self, parts: Vec<Part>, commit: &Commit) -> Result<Vec<Rejection>, Fault> {
        let rejections = parts
            .iter()
            .enumerate()
            .flat_map(|(at, part)| refuse_deletes(at, &part.batch, NO_DELETIONS))
            .collect();
        if self.publisher.begin(commit)? == Begun::Fresh {
            for stream in streams_of(&parts) {
                self.write_stream(stream, parts.iter().filter(|part| part.stream == stream))?;
            }
            self.publisher.written(commit);
        }
        Ok(rejections)
    }

    fn publish(&mut self, commit: &Commit) -> Result<(), Fault> {
        self.publisher.publish(commit)
    }
}

impl Config {
    fn valid(&self) -> Result<(), Fault> {
        let usable = self.prefix.len() <= PREFIX_BYTES_MAX
            && !self.prefix.starts_with(['.', '-'])
            && self
                .prefix
                .chars()
                .all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.' | '-'));
        if usable {
            return Ok(());
        }
        Err(Fault::misconfigured(format!(
            "`prefix = {:?}` is not {PREFIX_BYTES_MAX} or fewer of letters, digits, `_`, `.` and `-`, the first a letter, digit or `_`",
            self.prefix
        )))
    }
}

impl FileSink {
    /// One file, or for CSV one for each run of batches with the same columns.
    fn write_stream<'p>(
        &mut self,
        stream: &str,
        parts: impl Iterator<Item = &'p Part>,
    ) -> Result<(), Fault> {
        let mut open: Option<(File, Vec<String>)> = None;
        for part in parts {
            let columns = self.columns(&part.batch);
            let begins = open.as_ref().is_none_or(|(_, now)| *now != columns);
            let bytes = encode_upserts(&part.batch, self.format.text(), begins)?;
            if bytes.is_empty() {
                continue;
            }
            if begins {
                if let Some((file, _)) = open.take() {
                    self.publisher
                        .folder()
                        .finish(file)
                        .map_err(publisher::storage)?;
                }
                open = Some((self.publisher.create(stream)?, columns));
            }
            if let Some((file, _)) = &mut open {
                self.publisher
                    .folder()
                    .append(file, &bytes)
                    .map_err(publisher::storage)?;
            }
        }
        match open {
            Some((file, _)) => self
                .publisher
                .folder()
                .finish(file)
                .map_err(publisher::storage),
            None => Ok(()),
        }
    }

    /// What must be the same throughout a file.
    fn columns(&self, batch: &Batch) -> Vec<String> {
        match self.format {
            Format::Ndjson => Vec::new(),
            Format::Csv => batch
                .schema()
                .fields
                .into_iter()
                .map(|field| field.name)
                .collect(),
        }
    }
}

/// Each stream once, in the order they first appear.
fn streams_of(parts: &[Part]) -> Vec<&str> {
    let mut streams: Vec<&str> = Vec::new();
    for part in parts {
        if !streams.contains(&part.stream.as_str()) {
            streams.push(&part.stream);
        }
    }
    streams
}
