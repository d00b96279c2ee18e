//! The words of a refusal: what was asked, why not, and the exact lines that would permit it with the file they
//! belong in. Decides nothing. Never a query string, a header's value or a secret.

mod reveal;
mod tcp;

pub(crate) use reveal::reveal;
pub use tcp::no_sockets;
pub(crate) use tcp::{carried, endpoint, reach, tcp};

use crate::address::Barred;
use crate::columns::Columns;
use crate::rules::{HttpRule, Sending};
use crate::target::Target;
use serde::Serialize;
use sluice_model::grant;
use sluice_model::guards::Guard;
use sluice_model::ids::{PipelineName, PluginName, SecretName};
use sluice_model::manifest::{Data, DirMode, Scheme};
use sluice_model::ports::Refusal;

/// What a plugin asked for, as it is repeated in a message. Stops a plugin from filling the audit log with its
/// own words.
const ASKED_CHARS_MAX: usize = 200;

/// Entries of a list that a hint repeats; of a longer one it only says what to add.
const LIST_SHOWN_MAX: usize = 8;

/// Text from a plugin or a file, cut and with its control characters escaped.
pub(crate) fn bounded(text: &str) -> String {
    let is_unfit = text.len() > ASKED_CHARS_MAX || text.chars().any(char::is_control);
    if !Guard::AskedBounded.bars(is_unfit) {
        return text.to_owned();
    }
    let mut short = String::new();
    for (at, c) in text.chars().enumerate() {
        if at == ASKED_CHARS_MAX {
            short.push('…');
            break;
        }
        if c.is_control() {
            short.extend(c.escape_default());
        } else {
            short.push(c);
        }
    }
    short
}

/// A mistake in one of the files, or in the settings.
pub(crate) fn malformed(capability: &'static str, asked: &str, reason: String) -> Refusal {
    Refusal {
        capability,
        asked: bounded(asked),
        reason,
        hint: None,
    }
}

/// One of the two files that must both permit a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum File<'a> {
    Manifest(&'a PluginName),
    Grant(&'a PluginName, &'a PipelineName),
}

impl File<'_> {
    /// As the subject of a sentence, with its verb.
    fn asks(self) -> &'static str {
        match self {
            Self::Manifest(_) => "the manifest asks for",
            Self::Grant(..) => "the grant allows",
        }
    }

    /// What a manifest's lines end with besides.
    fn reason(self) -> &'static str {
        match self {
            Self::Manifest(_) => "\nreason = \"…\"",
            Self::Grant(..) => "",
        }
    }

    /// Where a hint's lines belong.
    pub(crate) fn place(self) -> String {
        match self {
            Self::Manifest(plugin) => format!("the vendor adds to the manifest of `{plugin}`"),
            Self::Grant(plugin, pipeline) => {
                format!("add to the grant of `{plugin}` for pipeline `{pipeline}`")
            }
        }
    }
}

/// Some entries of a grant file, as its lines.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Lines {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) http: Vec<grant::Http>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tcp: Vec<grant::Tcp>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) dir: Vec<grant::Dir>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) secret: Vec<grant::SecretUse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<Data>,
}

impl Lines {
    pub(crate) fn text(&self) -> String {
        toml::to_string(self)
            .expect("plain tables of strings are always toml")
            .trim_end()
            .to_owned()
    }
}

/// A rule as a grant file says it. What goes without saying is left out.
pub(crate) fn http_entry(rule: &HttpRule) -> grant::Http {
    grant::Http {
        host: rule.host.to_string(),
        scheme: (rule.scheme != Scheme::Https).then_some(rule.scheme),
        port: (rule.port != rule.scheme.default_port()).then_some(rule.port),
        methods: rule.methods.clone(),
        paths: rule.paths.iter().map(ToString::to_string).collect(),
        ..grant::Http::default()
    }
}

/// `METHOD URL`, without the query.
pub(crate) fn request(method: &str, target: &Target) -> String {
    bounded(&format!("{method} {target}"))
}

/// A request that none of `rules` permits: what the nearest of them lacks.
pub(crate) fn http(file: File<'_>, rules: &[&HttpRule], method: &str, target: &Target) -> Refusal {
    let nearest = |fits: &dyn Fn(&HttpRule) -> bool| rules.iter().find(|rule| fits(rule));
    let verb = file.asks();
    let (what, hint) = if let Some(rule) = nearest(&|rule| rule.is_for_method(method, target)) {
        let paths = rule.paths.iter().map(ToString::to_string);
        (
            "at this path".to_owned(),
            under(file, rule, "paths", paths, &target.path),
        )
    } else if let Some(rule) = nearest(&|rule| rule.is_for_door(target)) {
        let methods = rule.methods.iter().cloned();
        (
            format!("with method `{}`", bounded(method)),
            under(file, rule, "methods", methods, method),
        )
    } else {
        let what = match nearest(&|rule| rule.is_for_host(target)) {
            Some(_) => format!(
                "to this host by `{}` on port {}",
                target.scheme, target.port
            ),
            None => "to this host".to_owned(),
        };
        (
            what,
            format!("{}:\n{}", file.place(), http_lines(file, method, target)),
        )
    };
    Refusal {
        capability: "http",
        asked: request(method, target),
        reason: format!("{verb} no request {what}"),
        hint: Some(hint),
    }
}

fn under(
    file: File<'_>,
    rule: &HttpRule,
    key: &str,
    has: impl Iterator<Item = String>,
    wants: &str,
) -> String {
    format!(
        "{}, in its `[[http]]` with `host = \"{}\"`:\n{}",
        file.place(),
        rule.host,
        list_line(key, has, wants)
    )
}

/// `key = [what it has, and what is wanted]`.
pub(crate) fn list_line(key: &str, has: impl Iterator<Item = String>, wants: &str) -> String {
    let has: Vec<String> = has.take(LIST_SHOWN_MAX + 1).collect();
    if has.len() > LIST_SHOWN_MAX {
        format!(
            "{key} = {}, besides what it has",
            array([wants].into_iter())
        )
    } else {
        let has = has.iter().map(String::as_str);
        format!("{key} = {}", array(has.chain([wants])))
    }
}

fn http_lines(file: File<'_>, method: &str, target: &Target) -> String {
    let host = target.host.to_string();
    let entry = grant::Http {
        host: host.trim_matches(['[', ']']).to_owned(),
        scheme: (target.scheme != Scheme::Https).then_some(target.scheme),
        port: (target.port != target.scheme.default_port()).then_some(target.port),
        methods: vec![bounded(method)],
        paths: vec![bounded(&target.path)],
        ..grant::Http::default()
    };
    let lines = Lines {
        http: vec![entry],
        ..Lines::default()
    }
    .text();
    match file {
        File::Manifest(_) => format!("{lines}\nreason = \"…\""),
        File::Grant(..) => lines,
    }
}

/// As TOML writes a list.
fn array<'a>(values: impl Iterator<Item = &'a str>) -> String {
    let quoted = values.map(|value| toml::Value::String(bounded(value)));
    toml::Value::Array(quoted.collect()).to_string()
}

/// A request whose URI cannot be decided on.
pub(crate) fn target(method: &str, uri: &http::Uri, reason: String) -> Refusal {
    let host = uri.host().unwrap_or_default();
    let asked = bounded(&format!(
        "{method} {}://{host}{}",
        uri.scheme_str().unwrap_or_default(),
        uri.path()
    ));
    Refusal {
        capability: "http",
        asked,
        reason,
        hint: None,
    }
}

/// A column of `data.reads` or `data.writes`.
pub(crate) fn column(
    file: File<'_>,
    capability: &'static str,
    named: &Columns,
    column: &str,
) -> Refusal {
    let key = capability.rsplit('.').next().unwrap_or(capability);
    let line = list_line(key, named.names().into_iter(), column);
    Refusal {
        capability,
        asked: bounded(column),
        reason: format!("{} no column of this name in `{capability}`", file.asks()),
        hint: Some(format!("{}, in its `[data]`:\n{line}", file.place())),
    }
}

/// A directory.
pub(crate) fn dir(file: File<'_>, path: &str, mode: DirMode) -> Refusal {
    let entry = grant::Dir {
        path: bounded(path),
        mode,
        role: None,
    };
    let lines = Lines {
        dir: vec![entry],
        ..Lines::default()
    }
    .text();
    let reason = match file {
        File::Manifest(_) => "\nreason = \"…\"",
        File::Grant(..) => "",
    };
    Refusal {
        capability: "dir",
        asked: bounded(path),
        reason: format!(
            "{} no directory of this name with `mode = \"{mode}\"`",
            file.asks()
        ),
        hint: Some(format!("{}:\n{lines}{reason}", file.place())),
    }
}

/// An address that a granted name resolves to.
pub(crate) fn address(file: File<'_>, sending: &Sending, barred: &Barred) -> Refusal {
    let bits = if barred.address.is_ipv4() { 32 } else { 128 };
    let line = format!("networks = [\"{}/{bits}\"]", barred.address);
    Refusal {
        capability: "http",
        asked: sending.asked(),
        reason: format!(
            "its host leads to `{}`, which is {}",
            barred.address, barred.what
        ),
        hint: Some(format!(
            "{}, in its `{}` for `{}`, where that network is meant:\n{line}",
            file.place(),
            sending.table,
            sending.target.host
        )),
    }
}

/// A header or parameter that is not the plugin's to set.
pub(crate) fn owned(sending: &Sending, what: &str, name: &str, why: &str) -> Refusal {
    Refusal {
        capability: "http",
        asked: sending.asked(),
        reason: format!("{what} `{}` is {why}", bounded(name)),
        hint: Some(format!(
            "leave the {what} `{}` out of the request",
            bounded(name)
        )),
    }
}

/// A secret that was granted, but the pipeline names none of the deployment's for it.
pub fn missing_secret(plugin: &PluginName, pipeline: &PipelineName, name: &SecretName) -> Refusal {
    Refusal {
        capability: "secret",
        asked: name.to_string(),
        reason: format!("pipeline `{pipeline}` names no secret of the deployment for it"),
        hint: Some(format!(
            "add to the pipeline file, where it uses `{plugin}`:\nsecrets = {{ {name} = \"NAME-IN-THE-DEPLOYMENT\" }}"
        )),
    }
}
