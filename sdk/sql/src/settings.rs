//! The settings that every such plugin has: what is said of a stream's table, and what a record does to a row.

use serde::Deserialize;
use sluice_sdk::Fault;
use std::collections::BTreeMap;

/// The most ranges that one table is read in.
const SPLITS_MAX: usize = 64;

/// A stream's table.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Its name, where that is not the stream's.
    #[serde(rename = "table")]
    pub name: Option<String>,
    /// Source: the columns that identify a row; the primary key where nothing is said.
    #[serde(default)]
    pub key: Vec<String>,
    /// Source: a column that rises with each change of a row.
    pub cursor: Option<String>,
    /// Source, with a `cursor` that is a time: rows younger than so many seconds are left to the next read.
    pub lag_seconds: Option<u32>,
    /// Source: in how many ranges of its key it is read.
    pub splits: Option<usize>,
}

/// What a record does to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Replaces the row of its key; or deletes it, where the record asks for that.
    #[default]
    Upsert,
    /// Adds a row.
    Append,
}

/// What the shape alone does not tell of the settings of streams. A mistake is [`Fault::Misconfigured`].
pub fn check_tables(tables: &BTreeMap<String, Table>) -> Result<(), Fault> {
    for (stream, table) in tables {
        let wrong = |what: String| Fault::misconfigured(format!("`tables.{stream}`: {what}"));
        if let Some(splits) = table.splits
            && !(1..=SPLITS_MAX).contains(&splits)
        {
            return Err(wrong(format!("`splits` is from 1 to {SPLITS_MAX}")));
        }
        if table.splits.is_some() && table.cursor.is_some() {
            return Err(wrong(
                "a table with a `cursor` is read in one split".to_owned(),
            ));
        }
        if table.lag_seconds.is_some() && table.cursor.is_none() {
            return Err(wrong("`lag_seconds` needs a `cursor`".to_owned()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_told() {
        for (table, told) in [
            ("{\"splits\": 0}", "from 1 to 64"),
            ("{\"splits\": 65}", "from 1 to 64"),
            ("{\"splits\": 2, \"cursor\": \"at\"}", "in one split"),
            ("{\"lag_seconds\": 2}", "needs a `cursor`"),
        ] {
            let tables = serde_json::from_str(&format!("{{\"t\": {table}}}")).expect("settings");
            let fault = check_tables(&tables).expect_err("a mistake").to_string();
            assert!(
                fault.contains(told) && fault.contains("`tables.t`"),
                "{fault}"
            );
        }
    }
}
