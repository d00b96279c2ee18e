//! The sink: each unit becomes whole objects, visible with the place they end at. What makes that hold over a crash at
//! any moment is `publisher`; here batches become bytes.

mod names;
mod publisher;
mod record;
mod store;

#[cfg(test)]
mod crashes;

use crate::Format;
use crate::bucket::Bucket;
use publisher::Publisher;
use serde::Deserialize;
use sluice_sdk::framing::{Text, encode_upserts};
use sluice_sdk::publish::{Begun, refuse_deletes};
use sluice_sdk::sink::{Commit, Context, Part, Target};
use sluice_sdk::{Batch, Change, Fault, Rejection, Schema, Sink};

const NO_DELETIONS: &str = "a bucket of objects takes no deletions";

/// The longest prefix of a key.
const PREFIX_BYTES_MAX: usize = 512;

/// The sink's settings.
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
}

/// Writes the units of one split into a bucket.
pub struct ObjectSink {
    format: Format,
    publisher: Publisher<Bucket>,
}

impl Sink for ObjectSink {
    type Config = Config;

    fn check(config: &Config) -> Result<(), Fault> {
        config.valid()?;
        config.bucket().check(&config.prefix)
    }

    fn open(config: Config, context: Context, targets: Vec<Target>) -> Result<Self, Fault> {
        config.valid()?;
        let names = names::Names::new(&context, &config.prefix, config.format);
        let streams = targets.into_iter().map(|target| target.stream).collect();
        Ok(Self {
            format: config.format,
            publisher: Publisher::new(config.bucket(), context, names, streams),
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
            for (stream, batches) in by_stream(parts) {
                self.write_stream(&stream, batches)?;
            }
            self.publisher.written(commit)?;
        }
        Ok(rejections)
    }

    fn publish(&mut self, commit: &Commit) -> Result<(), Fault> {
        self.publisher.publish(commit)
    }
}

impl Config {
    fn bucket(&self) -> Bucket {
        Bucket::new(&self.endpoint, &self.bucket)
    }

    fn valid(&self) -> Result<(), Fault> {
        let prefix = &self.prefix;
        let plain = |letter: char| {
            letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.' | '-' | '/' | '=')
        };
        let mut folders = prefix.strip_suffix('/').unwrap_or(prefix).split('/');
        let usable = prefix.is_empty()
            || prefix.len() <= PREFIX_BYTES_MAX
                && prefix.chars().all(plain)
                && folders.all(|folder| !matches!(folder, "" | "." | ".."));
        if usable {
            return Ok(());
        }
        Err(Fault::misconfigured(format!(
            "`prefix = {prefix:?}` is not {PREFIX_BYTES_MAX} or fewer of letters, digits, `_`, `.`, `-`, `=` and `/` between names"
        )))
    }
}

impl ObjectSink {
    /// One object, or one for each run of batches with the same columns where an object has the same throughout.
    fn write_stream(&mut self, stream: &str, batches: Vec<Batch<'static>>) -> Result<(), Fault> {
        let mut run: Option<(Schema, Vec<Batch<'static>>)> = None;
        for batch in batches.into_iter().filter(has_upserts) {
            let schema = batch.schema();
            match &mut run {
                Some((of_run, batches)) if *of_run == schema || self.format == Format::Ndjson => {
                    batches.push(batch);
                }
                _ => {
                    let before = run.replace((schema, vec![batch]));
                    self.write_run(stream, before)?;
                }
            }
        }
        self.write_run(stream, run)
    }

    fn write_run(
        &mut self,
        stream: &str,
        run: Option<(Schema, Vec<Batch<'static>>)>,
    ) -> Result<(), Fault> {
        let Some((_, batches)) = run else {
            return Ok(());
        };
        self.publisher.create(stream)?;
        match self.format {
            Format::Parquet => self.publisher.append(Batch::encode_parquet(batches)?)?,
            Format::Ndjson => {
                for batch in &batches {
                    let bytes = encode_upserts(batch, Text::Ndjson, false)?;
                    self.publisher.append(bytes)?;
                }
            }
            Format::Csv => {
                for (at, batch) in batches.iter().enumerate() {
                    let bytes = encode_upserts(batch, Text::Csv, at == 0)?;
                    self.publisher.append(bytes)?;
                }
            }
        }
        self.publisher.finish()
    }
}

fn has_upserts(batch: &Batch<'static>) -> bool {
    batch.rows() > 0
        && batch
            .changes()
            .is_none_or(|changes| changes.contains(&Change::Upsert))
}

/// Each stream's batches, streams in the order they first appear.
fn by_stream(parts: Vec<Part>) -> Vec<(String, Vec<Batch<'static>>)> {
    let mut streams: Vec<(String, Vec<Batch<'static>>)> = Vec::new();
    for part in parts {
        match streams
            .iter_mut()
            .find(|(stream, _)| *stream == part.stream)
        {
            Some((_, batches)) => batches.push(part.batch),
            None => streams.push((part.stream, vec![part.batch])),
        }
    }
    streams
}
