//! The settings, and what is wrong with them that their shape alone does not tell.

use crate::address::Base;
use crate::answer::Mark;
use serde::Deserialize;
use sluice_sdk::Fault;
use std::collections::BTreeMap;
use std::fmt;

/// Headers that are the host's to set, or that carry credentials: those belong in the deployment's secrets.
const HEADERS_REFUSED: [&str; 10] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "upgrade",
    "te",
    "keep-alive",
];

/// The plugin's settings: `config.schema.json` in Rust.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub(crate) base_url: String,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) requests_per_second: Option<f64>,
    #[serde(default)]
    pub(crate) repeat: bool,
    pub(crate) streams: Vec<Endpoint>,
}

/// One stream.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Endpoint {
    pub(crate) name: String,
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) query: BTreeMap<String, Parameter>,
    #[serde(default)]
    pub(crate) records: String,
    #[serde(default)]
    pub(crate) pagination: Pagination,
    pub(crate) incremental: Option<Incremental>,
    #[serde(default)]
    pub(crate) conditional: bool,
}

/// A parameter's value.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum Parameter {
    Flag(bool),
    Value(Mark),
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Parameter::Flag(flag) => flag.fmt(f),
            Parameter::Value(value) => value.fmt(f),
        }
    }
}

/// How the next page is asked for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(tag = "style", rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Pagination {
    #[default]
    None,
    Page {
        #[serde(default = "page")]
        page_param: String,
        #[serde(default = "one")]
        first_page: u64,
        size_param: Option<String>,
        size: Option<u64>,
        #[serde(default)]
        short_page_ends: bool,
    },
    Offset {
        #[serde(default = "offset")]
        offset_param: String,
        #[serde(default = "limit")]
        limit_param: String,
        size: Option<u64>,
        #[serde(default)]
        short_page_ends: bool,
    },
    Cursor {
        #[serde(default = "cursor")]
        cursor_param: String,
        cursor_pointer: Option<String>,
        cursor_field: Option<String>,
        more_pointer: Option<String>,
        size_param: Option<String>,
        size: Option<u64>,
    },
    Link {
        link_pointer: Option<String>,
        size_param: Option<String>,
        size: Option<u64>,
    },
}

fn page() -> String {
    "page".to_owned()
}

fn offset() -> String {
    "offset".to_owned()
}

fn limit() -> String {
    "limit".to_owned()
}

fn cursor() -> String {
    "cursor".to_owned()
}

fn one() -> u64 {
    1
}

/// How a later run asks for what is new only.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Incremental {
    pub(crate) param: String,
    pub(crate) field: String,
    pub(crate) start: Option<Mark>,
    pub(crate) template: Option<String>,
}

/// What stands for the value in a template.
const SINCE: &str = "{since}";

impl Incremental {
    /// The field as a pointer.
    pub(crate) fn pointer(&self) -> String {
        pointer(&self.field)
    }

    /// What the parameter says for a value.
    pub(crate) fn asked(&self, since: &Mark) -> String {
        let since = since.to_string();
        match &self.template {
            Some(template) => template.replace(SINCE, &since),
            None => since,
        }
    }
}

/// A field's name, or a pointer already, as an RFC 6901 pointer.
pub(crate) fn pointer(field: &str) -> String {
    if field.starts_with('/') {
        return field.to_owned();
    }
    format!("/{}", field.replace('~', "~0").replace('/', "~1"))
}

impl Pagination {
    /// The parameter of the page's size, with its value, where both are known.
    pub(crate) fn size(&self) -> Option<(&str, u64)> {
        match self {
            Pagination::None => None,
            Pagination::Offset {
                limit_param, size, ..
            } => Some((limit_param, (*size)?)),
            Pagination::Page {
                size_param, size, ..
            }
            | Pagination::Cursor {
                size_param, size, ..
            }
            | Pagination::Link {
                size_param, size, ..
            } => Some((size_param.as_deref()?, (*size)?)),
        }
    }

    /// How many records make a page that is not the last, where a short one ends the stream.
    pub(crate) fn full_page(&self) -> Option<u64> {
        match self {
            Pagination::Page {
                size,
                short_page_ends: true,
                ..
            }
            | Pagination::Offset {
                size,
                short_page_ends: true,
                ..
            } => *size,
            _ => None,
        }
    }

    fn fault(&self) -> Option<&'static str> {
        match self {
            Pagination::Page {
                size_param: Some(_),
                size: None,
                ..
            }
            | Pagination::Cursor {
                size_param: Some(_),
                size: None,
                ..
            }
            | Pagination::Link {
                size_param: Some(_),
                size: None,
                ..
            } => Some("`size_param` needs a `size`"),
            Pagination::Cursor {
                size_param: None,
                size: Some(_),
                ..
            }
            | Pagination::Link {
                size_param: None,
                size: Some(_),
                ..
            } => Some("`size` needs a `size_param`"),
            Pagination::Page {
                size: None,
                short_page_ends: true,
                ..
            }
            | Pagination::Offset {
                size: None,
                short_page_ends: true,
                ..
            } => Some("`short_page_ends` needs a `size`"),
            Pagination::Cursor {
                cursor_pointer,
                cursor_field,
                ..
            } if cursor_pointer.is_some() == cursor_field.is_some() => {
                Some("`cursor` needs either `cursor_pointer` or `cursor_field`")
            }
            Pagination::Cursor {
                cursor_pointer: Some(pointer),
                ..
            } if !pointer.starts_with('/') => {
                Some("`cursor_pointer` is not a pointer: `/meta/next`")
            }
            Pagination::Cursor {
                more_pointer: Some(pointer),
                ..
            } if !pointer.starts_with('/') => Some("`more_pointer` is not a pointer: `/has_more`"),
            Pagination::Link {
                link_pointer: Some(pointer),
                ..
            } if !pointer.starts_with('/') => Some("`link_pointer` is not a pointer: `/next`"),
            _ if self.size().is_some_and(|(_, size)| size == 0) => Some("`size` is 0"),
            _ => None,
        }
    }
}

impl Config {
    /// Checks what the shape alone does not tell.
    pub(crate) fn base(&self) -> Result<Base, Fault> {
        let base = Base::parse(&self.base_url)?;
        if let Some(name) = self
            .headers
            .keys()
            .find(|name| HEADERS_REFUSED.contains(&name.to_ascii_lowercase().as_str()))
        {
            return Err(Fault::misconfigured(format!(
                "`headers` cannot set `{name}`; hint: credentials are secrets of the deployment, attached by the host"
            )));
        }
        if self
            .requests_per_second
            .is_some_and(|rate| !(rate.is_finite() && rate > 0.0))
        {
            return Err(Fault::misconfigured("`requests_per_second` is not above 0"));
        }
        for (at, endpoint) in self.streams.iter().enumerate() {
            let wrong = |what: &str| {
                Err(Fault::misconfigured(format!(
                    "stream `{}`: {what}",
                    endpoint.name
                )))
            };
            if self.streams[..at]
                .iter()
                .any(|other| other.name == endpoint.name)
            {
                return wrong("stands twice");
            }
            if !endpoint.path.starts_with('/') || endpoint.path.contains(['?', '#', ' ']) {
                return wrong("`path` begins with `/` and has no query; hint: use `query`");
            }
            if !endpoint.records.is_empty() && !endpoint.records.starts_with('/') {
                return wrong("`records` is not a pointer: empty, or `/data/items`");
            }
            if let Some(what) = endpoint.pagination.fault() {
                return wrong(what);
            }
            let template = endpoint.incremental.as_ref();
            if let Some(template) = template.and_then(|incremental| incremental.template.as_ref())
                && !template.contains(SINCE)
            {
                return wrong("`template` has no `{since}`, which stands for the value");
            }
        }
        Ok(base)
    }

    pub(crate) fn endpoint(&self, name: &str) -> Result<&Endpoint, Fault> {
        self.streams
            .iter()
            .find(|endpoint| endpoint.name == name)
            .ok_or_else(|| Fault::misconfigured(format!("there is no stream `{name}`")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_work_are_told() {
        let check = |json: &str, expected: &str| {
            let fault = sluice_sdk::parse_config::<Config>(json).and_then(|config| config.base());
            let text = fault.expect_err(json).to_string();
            assert!(text.contains(expected), "{text}");
        };
        let stream = |more: &str| {
            format!(r#"{{"base_url":"http://a","streams":[{{"name":"s","path":"/s"{more}}}]}}"#)
        };
        assert!(
            sluice_sdk::parse_config::<Config>(&stream(""))
                .and_then(|config| config.base())
                .is_ok()
        );
        check(
            r#"{"base_url":"a","streams":[]}"#,
            "is not an absolute http or https URL",
        );
        check(
            r#"{"base_url":"http://a","streams":[],"headers":{"Authorization":"x"}}"#,
            "cannot set `Authorization`",
        );
        check(
            r#"{"base_url":"http://a","streams":[],"requests_per_second":0}"#,
            "is not above 0",
        );
        check(
            r#"{"base_url":"http://a","streams":[],"token":"x"}"#,
            "unknown field `token`",
        );
        check(
            &stream(r#","records":"data""#),
            "`records` is not a pointer",
        );
        check(
            &stream(r#","pagination":{"style":"cursor","cursor_pointer":"next"}"#),
            "`cursor_pointer` is not a pointer",
        );
        check(
            &stream(r#","pagination":{"style":"cursor"}"#),
            "`cursor` needs either `cursor_pointer` or `cursor_field`",
        );
        check(
            &stream(
                r#","pagination":{"style":"cursor","cursor_field":"id","cursor_pointer":"/n"}"#,
            ),
            "`cursor` needs either",
        );
        check(
            &stream(
                r#","pagination":{"style":"cursor","cursor_field":"id","more_pointer":"more"}"#,
            ),
            "`more_pointer` is not a pointer",
        );
        check(
            &stream(r#","pagination":{"style":"link","link_pointer":"next"}"#),
            "`link_pointer` is not a pointer",
        );
        check(
            &stream(r#","incremental":{"param":"q","field":"at","template":"at > since"}"#),
            "`template` has no `{since}`",
        );
        check(
            &stream(r#","pagination":{"style":"link","size":5}"#),
            "`size` needs a `size_param`",
        );
        check(
            &stream(r#","pagination":{"style":"page","size_param":"n"}"#),
            "`size_param` needs a `size`",
        );
        check(
            &stream(r#","pagination":{"style":"offset","size":0}"#),
            "`size` is 0",
        );
        check(
            &stream(r#","pagination":{"style":"page","limit":3}"#),
            "unknown field `limit`",
        );
        check(
            r#"{"base_url":"http://a","streams":[{"name":"s","path":"s"}]}"#,
            "`path` begins with `/`",
        );
        check(
            r#"{"base_url":"http://a","streams":[{"name":"s","path":"/s"},{"name":"s","path":"/t"}]}"#,
            "stream `s`: stands twice",
        );
    }
}
