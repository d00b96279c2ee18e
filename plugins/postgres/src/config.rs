//! The settings of both halves: `config.schema.json` in Rust.

use serde::Deserialize;
use sluice_sdk::Fault;
use sluice_sql::{Mode, Table, check_tables};
use std::collections::{BTreeMap, BTreeSet};

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

/// How the server's log is read.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Changes {
    /// What of the log is told: the tables.
    pub(crate) publication: String,
    /// Who reads it: the server keeps its log for this one. Made where it is not there.
    pub(crate) slot: String,
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
        check_tables(&self.tables)?;
        let mut names = BTreeSet::new();
        for (stream, table) in &self.tables {
            let wrong = |what: &str| Fault::misconfigured(format!("`tables.{stream}`: {what}"));
            if !names.insert(self.name(stream)) && self.changes.is_some() {
                return Err(wrong(
                    "another stream has its table, and the log tells of a change once",
                ));
            }
            if table.cursor.is_some() && self.changes.is_some() {
                return Err(wrong(
                    "a table whose changes are read from the log needs no `cursor`",
                ));
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
    fn a_table_of_the_log_is_one_streams_and_needs_no_cursor() {
        for (tables, told) in [
            (
                r#"{"a": {"table": "t"}, "b": {"table": "t"}}"#,
                "tells of a change once",
            ),
            (r#"{"t": {"cursor": "at"}}"#, "needs no `cursor`"),
            (r#"{"t": {"splits": 0}}"#, "from 1 to 64"),
        ] {
            let text = format!(
                r#"{{"host": "h", "database": "d", "user": "u", "changes": {{"publication": "p", "slot": "s"}}, "tables": {tables}}}"#
            );
            let config: Config = sluice_sdk::parse_config(&text).expect("settings");
            let fault = config.valid().expect_err("a mistake").to_string();
            assert!(fault.contains(told), "{fault}");
        }
    }
}
