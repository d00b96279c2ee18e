//! The source: a table is read in the order of its key, page by page, or in the order of a column that rises with each
//! change of a row.
//!
//! What a finished read has not seen is what comes behind its last row: rows with greater keys, or, with a `cursor`,
//! rows that were changed since. Rows that are deleted are never seen, nor rows whose `cursor` is null.

mod pages;
mod table;

use crate::catalog;
use crate::config::Config;
use crate::session::Session;
use pages::TableReader;
use sluice_sdk::source::{Split, Stream};
use sluice_sdk::{Fault, Source};
use sluice_sql::Place;
use table::Table;

/// Reads tables.
pub struct MysqlSource;

/// The tables of all streams: those of the settings, or every one with a primary key.
fn tables(session: &mut Session, config: &Config) -> Result<Vec<(String, Table)>, Fault> {
    if config.tables.is_empty() {
        let found = catalog::tables(session)?;
        let named = |relation: catalog::Relation| {
            let stream = relation.name.clone();
            Ok((stream.clone(), Table::new(relation, config, &stream)?))
        };
        return found.into_iter().map(named).collect();
    }
    let streams = config.tables.keys();
    streams
        .map(|stream| Ok((stream.clone(), Table::find(session, config, stream)?)))
        .collect()
}

impl Source for MysqlSource {
    type Config = Config;
    type Cursor = Place;
    type Reader = TableReader;

    fn check(config: &Config) -> Result<(), Fault> {
        config.valid()?;
        let mut session = Session::open(config)?;
        for (_, table) in tables(&mut session, config)? {
            let probe = session.query(&table.probe());
            probe.map_err(|error| Fault::from(error).context(format!("`{}`", table.name)))?;
        }
        Ok(())
    }

    fn streams(config: &Config) -> Result<Vec<Stream>, Fault> {
        let tables = tables(&mut Session::open(config)?, config)?;
        Ok(tables
            .iter()
            .map(|(name, table)| table.stream(name))
            .collect())
    }

    fn splits(config: &Config, streams: &[String]) -> Result<Vec<Split>, Fault> {
        config.valid()?;
        let mut session = Session::open(config)?;
        let mut splits = Vec::new();
        for stream in streams {
            match config.table(stream).splits {
                Some(count @ 2..) => {
                    let table = Table::find(&mut session, config, stream)?;
                    let bounds = table.bounds(&mut session, stream, count)?;
                    splits.extend(sluice_sql::splits(&bounds, stream, count)?);
                }
                _ => splits.push(Split::new(stream, stream)),
            }
        }
        Ok(splits)
    }

    fn open(config: Config, split: Split, cursor: Option<Place>) -> Result<TableReader, Fault> {
        config.valid()?;
        TableReader::open(config, split, cursor)
    }
}
