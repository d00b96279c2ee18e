//! The source: a table is read in the order of its key, page by page, or in the order of a column that rises with each
//! change of a row. Deliberately no look into a row: the server writes CSV, and the host reads it.
//!
//! What a finished read has not seen is what comes behind its last row: rows with greater keys, or, with a `cursor`,
//! rows that were changed since. Rows that are deleted are never seen, nor rows whose `cursor` is null. With `changes`
//! each table is read once, and then the log, from where it was before the first table: what changed meanwhile is told
//! again, and each row ends as it is.

mod catalog;
mod changes;
mod cursor;
mod pages;
mod ranges;
mod statements;
mod types;

pub use cursor::Cursor;

use crate::config::Config;
use crate::session::Session;
use changes::LogReader;
use pages::TableReader;
use sluice_sdk::source::{Limit, Split, Stream};
use sluice_sdk::{Fault, Page, Reader, Source};

/// Reads tables.
pub struct PostgresSource;

impl Source for PostgresSource {
    type Config = Config;
    type Cursor = Cursor;
    type Reader = SplitReader;

    fn check(config: &Config) -> Result<(), Fault> {
        config.valid()?;
        let mut session = Session::open(config)?;
        catalog::check_schema(&mut session, config)?;
        let tables = catalog::tables(&mut session, config)?;
        for (_, table) in &tables {
            let probe = session.query(&statements::probe(table), &[]);
            probe.map_err(|error| Fault::from(error).context(format!("`{}`", table.name)))?;
        }
        Ok(())
    }

    fn streams(config: &Config) -> Result<Vec<Stream>, Fault> {
        let tables = catalog::tables(&mut Session::open(config)?, config)?;
        Ok(tables
            .iter()
            .map(|(name, table)| table.stream(name))
            .collect())
    }

    /// The slot, before any table is read: what changes meanwhile is behind its place.
    fn prepare(config: &Config, streams: &[String]) -> Result<(), Fault> {
        config.valid()?;
        let Some(changes) = &config.changes else {
            return Ok(());
        };
        let mut session = Session::open(config)?;
        changes::check(&mut session, config, changes, streams)?;
        changes::prepare(&mut session, changes)
    }

    fn splits(config: &Config, streams: &[String]) -> Result<Vec<Split>, Fault> {
        config.valid()?;
        let mut session = Session::open(config)?;
        let log = match &config.changes {
            Some(changes) => {
                changes::check(&mut session, config, changes, streams)?;
                Some(changes::split(&mut session, config, changes)?)
            }
            None => None,
        };
        let mut splits = Vec::new();
        for stream in streams {
            match config.table(stream).splits {
                Some(count @ 2..) => {
                    let table = catalog::table(&mut session, config, stream)?;
                    splits.extend(ranges::splits(&mut session, &table, stream, count)?);
                }
                _ => splits.push(Split::new(stream, stream)),
            }
        }
        if let Some(mut log) = log {
            log.streams = streams.to_vec();
            log.after = splits.iter().map(|split| split.id.clone()).collect();
            splits.push(log);
        }
        Ok(splits)
    }

    fn open(config: Config, split: Split, cursor: Option<Cursor>) -> Result<SplitReader, Fault> {
        config.valid()?;
        let changes = config.changes.clone();
        let log = changes.filter(|changes| split.id == changes::id(changes));
        Ok(match (log, cursor) {
            (None, None) => SplitReader::Table(Box::new(TableReader::open(config, split, None)?)),
            (None, Some(Cursor::Table(place))) => {
                SplitReader::Table(Box::new(TableReader::open(config, split, Some(place))?))
            }
            (Some(changes), Some(Cursor::Log(place))) => {
                SplitReader::Log(Box::new(LogReader::open(config, changes, &split, &place)?))
            }
            _ => {
                return Err(Fault::cursor_lost(format!(
                    "the place of the split `{}` is none of its kind; hint: reset the checkpoints of this pipeline",
                    split.id
                )));
            }
        })
    }
}

/// Reads one split.
pub enum SplitReader {
    /// A table, or a range of its keys.
    Table(Box<TableReader>),
    /// The log.
    Log(Box<LogReader>),
}

impl Reader for SplitReader {
    type Cursor = Cursor;

    fn read(&mut self, limit: Limit) -> Result<Page<Cursor>, Fault> {
        match self {
            Self::Table(table) => table.read(limit),
            Self::Log(log) => log.read(limit),
        }
    }

    fn acknowledge(&mut self, cursor: Cursor) -> Result<(), Fault> {
        match (self, cursor) {
            (Self::Log(log), Cursor::Log(place)) => log.acknowledge(&place),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake;

    #[test]
    fn a_standby_is_given_no_verdict_by() {
        let said = fake::server(|_| fake::row(&[Some("t")]));
        let streams = ["t".to_owned()];
        let place: Cursor = serde_json::from_str(r#"{"lsn":"0/10"}"#).expect("a place");
        let split = Split::new("log/s", "");
        for told in [
            PostgresSource::prepare(&fake::config(), &streams),
            PostgresSource::splits(&fake::config(), &streams).map(drop),
            PostgresSource::open(fake::config(), split, Some(place)).map(drop),
        ] {
            let fault = told.expect_err("a standby");
            assert!(matches!(fault, Fault::Transient { .. }), "{fault}");
            assert!(fault.message().contains("is a standby"), "{fault}");
        }
        let asked = said
            .borrow()
            .iter()
            .filter(|said| said.contains("SELECT"))
            .count();
        assert_eq!(
            asked, 3,
            "nothing is asked of a standby but whether it is one"
        );
    }
}
