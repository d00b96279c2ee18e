//! The settings of both halves: `config.schema.json` in Rust.

use serde::Deserialize;
use sluice_sdk::Fault;
use std::collections::{BTreeMap, BTreeSet};

/// The most ranges that one table is read in.
const SPLITS_MAX: usize = 64;

/// The plugin's settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub(crate) host: String,
    #[serde(default = "port")]
    pub(crate) port: u16,
    pub(crate) database: String,
    pub(crate) user: String,
    /// Whom the certificate must be for, where that is not the host.
    pub(crate) server_name: Option<String>,
    #[serde(default = "public")]
    pub(crate) schema: String,
    #[serde(default)]
    pub(crate) tables: BTreeMap<String, Table>,
    /// Source: the log that tells of changes, once the tables are read.
    pub(crate) changes: Option<Changes>,
    /// Sink: what a record does to a row.
    #[serde(default)]
    pub(crate) mode: Mode,
    /// Sink: whether tables and columns that are not there are made.
    #[serde(default)]
    pub(crate) create: bool,
}

/// A stream's table.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    /// Its name, where that is not the stream's.
    #[serde(rename = "table")]
    pub(crate) name: Option<String>,
    /// Source: the columns that identify a row; the primary key where nothing is said.
    #[serde(default)]
    pub(crate) key: Vec<String>,
    /// Source: a column that rises with each change of a row.
    pub(crate) cursor: Option<String>,
    /// Source, with a `cursor` that is a time: rows younger than so many seconds are left to the next read.
    pub(crate) lag_seconds: Option<u32>,
    /// Source: in how many ranges of its key it is read.
    pub(crate) splits: Option<usize>,
}

/// How the server's log is read.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Changes {
    /// What of the log is told: the tables.
    pub(crate) publication: String,
    /// Who reads it: the server keeps its log for this one. Made where it is not there.
    pub(crate) slot: String,
}

/// What a record does to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// Replaces the row of its key; or deletes it, where the record asks for that.
    #[default]
    Upsert,
    /// Adds a row.
    Append,
}

fn port() -> u16 {
    5432
}

fn public() -> String {
    "public".to_owned()
}

impl Config {
    /// What the shape alone does not tell.
    pub(crate) fn valid(&self) -> Result<(), Fault> {
        let is_slot = |name: &str| {
            let is_letter = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
            (1..=63).contains(&name.len()) && name.bytes().all(is_letter)
        };
        if let Some(changes) = self
            .changes
            .as_ref()
            .filter(|changes| !is_slot(&changes.slot))
        {
            return Err(Fault::misconfigured(format!(
                "`changes.slot`: `{}` is no name of a slot; 1 to 63 of a-z, 0-9 and `_`",
                changes.slot
            )));
        }
        let mut names = BTreeSet::new();
        for (stream, table) in &self.tables {
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
            if !names.insert(self.name(stream)) && self.changes.is_some() {
                return Err(wrong(
                    "another stream has its table, and the log tells of a change once".to_owned(),
                ));
            }
            if table.cursor.is_some() && self.changes.is_some() {
                return Err(wrong(
                    "a table whose changes are read from the log needs no `cursor`".to_owned(),
                ));
            }
            if table.lag_seconds.is_some() && table.cursor.is_none() {
                return Err(wrong("`lag_seconds` needs a `cursor`".to_owned()));
            }
        }
        Ok(())
    }

    /// The settings of a stream's table; those of a table that nothing is said of.
    pub(crate) fn table(&self, stream: &str) -> Table {
        self.tables.get(stream).cloned().unwrap_or_default()
    }

    /// The name of a stream's table.
    pub(crate) fn name<'a>(&'a self, stream: &'a str) -> &'a str {
        let table = self.tables.get(stream);
        table
            .and_then(|table| table.name.as_deref())
            .unwrap_or(stream)
    }

    /// A stream's table, with its schema, as SQL.
    pub(crate) fn place(&self, stream: &str) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(self.name(stream)))
    }
}

/// A name as SQL has it, whatever it holds.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL has it, whatever it holds, also where the server takes backslashes for escapes.
pub(crate) fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_and_no_text_ends_its_quotes() {
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
        assert_eq!(literal("it's \\ here"), "E'it''s \\\\ here'");
    }

    #[test]
    fn a_slot_has_a_name_that_the_server_takes() {
        for (slot, is_one) in [("s_1", true), ("S", false), ("a-b", false), ("", false)] {
            let text = format!(
                r#"{{"host": "h", "database": "d", "user": "u", "changes": {{"publication": "p", "slot": "{slot}"}}}}"#
            );
            let config: Config = sluice_sdk::parse_config(&text).expect("settings");
            assert_eq!(config.valid().is_ok(), is_one, "{slot}");
        }
    }

    #[test]
    fn mistakes_are_told() {
        for (table, told) in [
            ("{\"splits\": 0}", "from 1 to 64"),
            ("{\"splits\": 2, \"cursor\": \"at\"}", "in one split"),
            ("{\"lag_seconds\": 2}", "needs a `cursor`"),
        ] {
            let text = format!(
                "{{\"host\": \"h\", \"database\": \"d\", \"user\": \"u\", \"tables\": {{\"t\": {table}}}}}"
            );
            let config: Config = sluice_sdk::parse_config(&text).expect("settings");
            let fault = config.valid().expect_err("a mistake").to_string();
            assert!(fault.contains(told), "{fault}");
        }
    }
}
