//! The settings, as JSON carries them. Whether they fit the columns there are is decided in `plan`.

use serde::Deserialize;
use std::fmt;

/// The plugin's settings: `config.schema.json` in Rust.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    #[serde(default)]
    pub(crate) hash: Vec<String>,
    pub(crate) key: Option<Key>,
    #[serde(default = "whole")]
    pub(crate) hash_bytes: usize,
    #[serde(default)]
    pub(crate) hash_encoding: Encoding,
    #[serde(default)]
    pub(crate) redact: Vec<String>,
    pub(crate) redact_with: Option<String>,
    #[serde(default)]
    pub(crate) truncate: Vec<Truncate>,
    #[serde(default)]
    pub(crate) generalise: Vec<Generalise>,
}

fn whole() -> usize {
    32
}

/// The key of the hash. Its `Debug` shows nothing.
#[derive(Deserialize)]
#[serde(transparent)]
pub(crate) struct Key(pub(crate) String);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[key]")
    }
}

/// How a hash is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Encoding {
    #[default]
    Hex,
    Base64url,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Truncate {
    pub(crate) columns: Vec<String>,
    pub(crate) characters: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Generalise {
    pub(crate) columns: Vec<String>,
    pub(crate) to: Option<To>,
    pub(crate) bucket: Option<f64>,
    pub(crate) keep: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum To {
    Year,
    Month,
    Day,
    Hour,
    Network,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_not_shown() {
        let config: Config =
            serde_json::from_str(r#"{"hash":["a"],"key":"hunter2"}"#).expect("a config");
        let shown = format!("{config:?}");
        assert!(
            !shown.contains("hunter2") && shown.contains("[key]"),
            "{shown}"
        );
    }
}
