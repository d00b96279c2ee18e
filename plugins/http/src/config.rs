//! The settings, and what is wrong with them that their shape alone does not tell.

use crate::path;
use serde::Deserialize;
use sluice_sdk::template::Template;
use sluice_sdk::{Fault, Schema};
use std::collections::BTreeMap;

/// With keys in a header: 200 of 32 digits are 6.6 KB, and many servers take no more than 8 KB of headers.
const BATCH_SIZE_WITH_HEADER_MAX: usize = 200;
const BATCH_SIZE_MAX: usize = 10_000;

/// Headers that are the host's or the plugin's to set, or that carry credentials: those belong in the deployment's
/// secrets.
const HEADERS_REFUSED: [&str; 11] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "host",
    "connection",
    "content-length",
    "content-type",
    "transfer-encoding",
    "upgrade",
    "te",
    "keep-alive",
];

/// The plugin's settings: `config.schema.json` in Rust.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub(crate) url: String,
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) method: Method,
    #[serde(default)]
    pub(crate) mode: Mode,
    #[serde(default = "hundred")]
    pub(crate) batch_size: usize,
    pub(crate) envelope: Option<String>,
    #[serde(default = "key_header")]
    pub(crate) key_header: String,
    pub(crate) key_field: Option<String>,
    pub(crate) results: Option<String>,
    pub(crate) error: Option<String>,
    #[serde(default)]
    pub(crate) conflict: Conflict,
    pub(crate) delete_path: Option<String>,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
}

fn hundred() -> usize {
    100
}

fn key_header() -> String {
    "Idempotency-Key".to_owned()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Method {
    #[default]
    Post,
    Put,
}

impl Method {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Method::Post => "POST",
            Method::Put => "PUT",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    #[default]
    Record,
    Batch,
}

/// What 409 means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Conflict {
    #[default]
    Reject,
    Ok,
}

/// The paths of a valid configuration.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    pub(crate) write: Template,
    pub(crate) delete: Option<Template>,
}

impl Config {
    /// Checks what the shape alone does not tell.
    pub(crate) fn paths(&self) -> Result<Paths, Fault> {
        let wrong = |what: &str| Err(Fault::misconfigured(what.to_owned()));
        self.url_is_plain()?;
        let write = path::parse("path", &self.path)?;
        let delete = self
            .delete_path
            .as_deref()
            .map(|text| path::parse("delete_path", text))
            .transpose()?;
        if let Some(name) = self
            .headers
            .keys()
            .find(|name| HEADERS_REFUSED.contains(&name.to_ascii_lowercase().as_str()))
        {
            return Err(Fault::misconfigured(format!(
                "`headers` cannot set `{name}`; hint: credentials are secrets of the deployment, attached by the host"
            )));
        }
        for (setting, pointer) in [
            ("results", self.results.as_deref()),
            ("error", self.error.as_deref()),
        ] {
            if pointer.is_some_and(|pointer| !pointer.is_empty() && !pointer.starts_with('/')) {
                return Err(Fault::misconfigured(format!(
                    "`{setting}` is not a pointer: it begins with `/`"
                )));
            }
        }
        if self.mode == Mode::Record {
            let batch_only = [
                ("envelope", self.envelope.is_some()),
                ("results", self.results.is_some()),
            ];
            if let Some((setting, _)) = batch_only.iter().find(|(_, set)| *set) {
                return Err(Fault::misconfigured(format!(
                    "`{setting}` means something with `mode = \"batch\"` only"
                )));
            }
            return Ok(Paths { write, delete });
        }
        if write.has_fields() {
            return wrong(
                "`path` names a record's field, which `mode = \"batch\"` cannot fill in; hint: mode = \"record\"",
            );
        }
        if self.batch_size == 0 || self.batch_size > BATCH_SIZE_MAX {
            return Err(Fault::misconfigured(format!(
                "`batch_size = {}` is not 1 to {BATCH_SIZE_MAX}",
                self.batch_size
            )));
        }
        if self.keys_in_header() && self.batch_size > BATCH_SIZE_WITH_HEADER_MAX {
            return Err(Fault::misconfigured(format!(
                "`batch_size = {}` keys do not fit a header: {BATCH_SIZE_WITH_HEADER_MAX} at most; hint: key_field = \"…\"",
                self.batch_size
            )));
        }
        Ok(Paths { write, delete })
    }

    fn url_is_plain(&self) -> Result<(), Fault> {
        let lower = self.url.to_ascii_lowercase();
        let rest = lower
            .strip_prefix("https://")
            .or_else(|| lower.strip_prefix("http://"));
        let odd =
            |rest: &str| rest.contains(['?', '#', '@', '\\']) || rest.contains(char::is_whitespace);
        match rest {
            Some(rest) if !rest.is_empty() && !rest.starts_with('/') && !odd(rest) => Ok(()),
            _ => Err(Fault::misconfigured(
                "`url` is not an absolute http or https URL without user, query and fragment"
                    .to_owned(),
            )),
        }
    }

    /// Whether keys go into a header. A PUT sets what it names, however often it comes: a key could only make a server
    /// take a later version of a record for a repetition.
    pub(crate) fn keys_in_header(&self) -> bool {
        self.method == Method::Post && self.key_field.is_none()
    }

    /// The field that takes a record's key.
    pub(crate) fn key_field(&self) -> Option<&str> {
        self.key_field
            .as_deref()
            .filter(|_| self.method == Method::Post)
    }

    /// What a stream's records must have, and must not have.
    pub(crate) fn fits(&self, paths: &Paths, stream: &str, schema: &Schema) -> Result<(), Fault> {
        if let Some(field) = self
            .key_field()
            .filter(|field| schema.field(field).is_some())
        {
            return Err(Fault::misconfigured(format!(
                "stream `{stream}` has a column `{field}` already; hint: another `key_field`"
            )));
        }
        let fields = [Some(&paths.write), paths.delete.as_ref()]
            .into_iter()
            .flatten()
            .flat_map(Template::fields);
        for field in fields {
            schema
                .expect(field)
                .map_err(|fault| fault.context(format!("stream `{stream}`")))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_work_are_told() {
        let check = |more: &str, expected: &str| {
            let json = format!(r#"{{"url":"http://a","path":"/x"{more}}}"#);
            let paths = sluice_sdk::parse_config::<Config>(&json).and_then(|config| config.paths());
            match paths {
                Ok(_) => assert_eq!(expected, "", "{json}"),
                Err(fault) => assert!(
                    !expected.is_empty() && fault.to_string().contains(expected),
                    "{fault}"
                ),
            }
        };
        check("", "");
        check(r#","mode":"batch","results":"","envelope":"items""#, "");
        check(r#","headers":{"Cookie":"x"}"#, "cannot set `Cookie`");
        check(
            r#","results":"""#,
            "`results` means something with `mode = \"batch\"` only",
        );
        check(
            r#","mode":"batch","results":"x""#,
            "`results` is not a pointer",
        );
        check(r#","mode":"batch","batch_size":0"#, "is not 1 to 10000");
        check(r#","mode":"batch","batch_size":201"#, "do not fit a header");
        check(r#","mode":"batch","batch_size":201,"key_field":"_key""#, "");
        check(r#","mode":"batch","batch_size":201,"method":"PUT""#, "");
        check(r#","method":"PATCH""#, "unknown variant `PATCH`");
        check(r#","delete_path":"/x/{id""#, "`delete_path = ");
        let json = r#"{"url":"http://a","path":"/x/{id}","mode":"batch"}"#;
        let fault = sluice_sdk::parse_config::<Config>(json)
            .and_then(|config| config.paths())
            .expect_err("fields");
        assert!(fault.to_string().contains("cannot fill in"), "{fault}");
        for url in [
            "",
            "a",
            "ftp://a",
            "http://",
            "http:///x",
            "http://u:hunter2@a",
            "http://a?b",
        ] {
            let json = format!(r#"{{"url":"{url}","path":"/x"}}"#);
            let fault = sluice_sdk::parse_config::<Config>(&json)
                .and_then(|config| config.paths())
                .expect_err(url);
            assert!(!fault.to_string().contains("hunter2"));
        }
    }
}
