//! The source: each file is a split of its own, read piece by piece. What the pieces mean is decoded by the host.

mod cursor;
mod reader;

pub use cursor::Cursor;
pub use reader::FileReader;

use crate::Format;
use serde::Deserialize;
use sluice_sdk::files::Readable;
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
    dir: String,
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

/// Reads a folder of files.
pub struct FileSource;

impl Source for FileSource {
    type Config = Config;
    type Cursor = Cursor;
    type Reader = FileReader;

    fn check(config: &Config) -> Result<(), Fault> {
        config.streams()?;
        framing::delimiter(config.delimiter)?;
        Readable::open(&config.dir)?.list()?;
        Ok(())
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
        for entry in Readable::open(&config.dir)?.list()? {
            match known.owner(&entry.path, &entry.path)? {
                Some(owner) if streams.iter().any(|name| name == owner) => {
                    splits.push(split(&entry.path, owner)?);
                }
                _ => {}
            }
        }
        Ok(splits)
    }

    fn open(config: Config, split: Split, cursor: Option<Cursor>) -> Result<FileReader, Fault> {
        let delimiter = framing::delimiter(config.delimiter)?;
        let dir = Readable::open(&config.dir)?;
        FileReader::open(dir, split, config.format, delimiter, cursor)
    }
}

impl Config {
    fn streams(&self) -> Result<Streams, Fault> {
        let pattern = format!("*.{}", self.format.extension());
        Streams::new(
            &self.streams,
            (self.stream.as_deref(), "files"),
            (self.pattern.as_deref(), &pattern),
        )
    }
}

fn split(path: &str, stream: &str) -> Result<Split, Fault> {
    if path.len() > SPLIT_ID_BYTES_MAX || path.chars().any(char::is_control) {
        return Err(Fault::misconfigured(format!(
            "`{}` has a path that cannot name a split: {SPLIT_ID_BYTES_MAX} bytes at most, no control characters",
            path.escape_debug()
        )));
    }
    Ok(Split::new(path, stream))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_sdk::testing;

    fn config(json: &str) -> Config {
        serde_json::from_str(json).expect("settings")
    }

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a folder");
        for file in files {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            std::fs::write(path, "").expect("written");
        }
        testing::dir("in", dir.path());
        dir
    }

    fn split_ids(config: &Config, streams: &[&str]) -> Result<Vec<String>, Fault> {
        let streams: Vec<String> = streams.iter().map(|name| (*name).to_owned()).collect();
        Ok(FileSource::splits(config, &streams)?
            .into_iter()
            .map(|split| split.id + ":" + &split.streams[0])
            .collect())
    }

    #[test]
    fn each_file_is_a_split_of_its_stream() {
        let _dir = folder(&[
            "b.csv",
            "a.csv",
            "old/c.csv",
            "readme.md",
            ".hidden.csv",
            ".sluice/x.csv",
        ]);
        let check = |json: &str, streams: &[&str], expected: &[&str]| {
            assert_eq!(
                split_ids(&config(json), streams).expect("splits"),
                expected,
                "{json}"
            );
        };
        check(
            r#"{"dir":"in","format":"csv"}"#,
            &["files"],
            &["a.csv:files", "b.csv:files", "old/c.csv:files"],
        );
        check(
            r#"{"dir":"in","format":"csv","pattern":"old/*","stream":"old"}"#,
            &["old"],
            &["old/c.csv:old"],
        );
        check(
            r#"{"dir":"in","format":"csv","streams":{"x":"a.*","y":"b.*"}}"#,
            &["y"],
            &["b.csv:y"],
        );
        check(r#"{"dir":"in","format":"ndjson"}"#, &["files"], &[]);
    }

    #[test]
    fn settings_that_cannot_work_are_told() {
        let _dir = folder(&["a.csv"]);
        let check = |json: &str, expected: &str| {
            let config = config(json);
            let fault = FileSource::check(&config)
                .and_then(|()| split_ids(&config, &["x"]))
                .expect_err(json);
            assert!(fault.to_string().contains(expected), "{fault}");
        };
        check(
            r#"{"dir":"in","format":"csv","streams":{"x":"a*","y":"*"}}"#,
            "`a.csv` belongs to both `x` and `y`",
        );
        check(
            r#"{"dir":"in","format":"csv","streams":{"x":"a*"},"stream":"y"}"#,
            "leave out `stream`",
        );
        check(
            r#"{"dir":"in","format":"csv","delimiter":"\""}"#,
            "is not one ASCII character",
        );
        check(
            r#"{"dir":"in","format":"csv","delimiter":"é"}"#,
            "is not one ASCII character",
        );
        check(r#"{"dir":"out","format":"csv"}"#, "denied");
        assert!(
            serde_json::from_str::<Config>(r#"{"dir":"in","format":"csv","prefix":"x"}"#).is_err()
        );
    }
}
