//! The settings of both halves: `config.schema.json` in Rust.

use serde::Deserialize;
use sluice_sdk::Fault;
use sluice_sql::{Mode, Table, check_tables};
use std::collections::BTreeMap;

/// The plugin's settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub(crate) host: String,
    #[serde(default = "port")]
    pub(crate) port: u16,
    pub(crate) database: String,
    pub(crate) user: String,
    #[serde(default)]
    pub(crate) tables: BTreeMap<String, Table>,
    /// Sink: what a record does to a row.
    #[serde(default)]
    pub(crate) mode: Mode,
    /// Sink: whether tables and columns that are not there are made.
    #[serde(default)]
    pub(crate) create: bool,
}

fn port() -> u16 {
    3306
}

impl Config {
    /// What the shape alone does not tell.
    pub(crate) fn valid(&self) -> Result<(), Fault> {
        check_tables(&self.tables)
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
}

/// A name as SQL has it, whatever it holds.
pub(crate) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A text as SQL has it, whatever it holds. Every session says first that a backslash is a letter like any other.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Names as a list of SQL.
pub(crate) fn names<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let names: Vec<String> = names.into_iter().map(quoted).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_and_no_text_ends_its_quotes() {
        assert_eq!(quoted("a`b"), "`a``b`");
        assert_eq!(literal("it's \\ here\\"), "'it''s \\ here\\'");
        assert_eq!(names(["a", "b`"]), "`a`, `b```");
    }

    #[test]
    fn settings_are_checked() {
        let text = r#"{"host": "h", "database": "d", "user": "u", "tables": {"t": {"splits": 0}}}"#;
        let config: Config = sluice_sdk::parse_config(text).expect("settings");
        assert!(config.valid().is_err());
        assert_eq!(config.port, 3306);
        assert!(sluice_sdk::parse_config::<Config>(r#"{"hots": "h"}"#).is_err());
    }
}
