//! The settings of both halves: `config.schema.json` in Rust, and what is wrong with them that their shape alone does not
//! tell.

use serde::Deserialize;
use sluice_sdk::Fault;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// In flight there is what the host holds of a split, a unit of a sink included: less than this.
const ACK_PENDING_MAX: u32 = 100_000;

/// A reader is never waited for so long: what an earlier one left unacknowledged is told again after it.
const ACK_WAIT_SECONDS: u64 = 30;

/// The plugin's settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub(crate) host: String,
    #[serde(default = "port")]
    pub(crate) port: u16,
    /// TLS from the first byte, and not after the greeting.
    #[serde(default)]
    pub(crate) tls_first: bool,
    /// Who logs in with the secret `password`; without, the secret `token` does, or nobody.
    pub(crate) user: Option<String>,
    /// Source.
    #[serde(default)]
    pub(crate) streams: BTreeMap<String, StreamSettings>,
    /// Source: whether it waits for what comes, or ends with what is there.
    #[serde(default = "yes")]
    pub(crate) follow: bool,
    /// Sink: a template.
    pub(crate) subject: Option<String>,
    /// Sink: what a record that asks for its deletion becomes.
    #[serde(default)]
    pub(crate) deletions: Deletions,
}

/// One stream of records: a stream of JetStream, or some subjects of one.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StreamSettings {
    /// Its name at the server.
    pub(crate) stream: String,
    /// Only what was published to this; all where nothing is said.
    pub(crate) subject: Option<String>,
    /// Who remembers there what was delivered.
    pub(crate) consumer: String,
    #[serde(default)]
    pub(crate) format: Format,
    #[serde(default)]
    pub(crate) start: Start,
    #[serde(default = "ack_wait_seconds")]
    pub(crate) ack_wait_seconds: u64,
    #[serde(default = "ack_pending_max")]
    pub(crate) max_ack_pending: u32,
    /// JSON: the fields that are put into each record beside its own.
    #[serde(default)]
    pub(crate) add: Add,
}

/// What a message's body is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// One JSON object, which is the record.
    #[default]
    Json,
    /// Text, which is a field of it.
    Text,
    /// Bytes, the same.
    Binary,
}

/// Where a consumer begins that is made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Start {
    /// With the first message that is there.
    #[default]
    All,
    /// With the first that comes.
    New,
}

/// Names of fields for what is known of a message beside its body.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Add {
    pub(crate) sequence: Option<String>,
    pub(crate) subject: Option<String>,
    pub(crate) timestamp: Option<String>,
}

impl Add {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What a record that asks for its deletion becomes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Deletions {
    /// A rejection.
    #[default]
    Reject,
    /// A message with a header that says so.
    Header,
}

fn port() -> u16 {
    4222
}

fn yes() -> bool {
    true
}

fn ack_wait_seconds() -> u64 {
    ACK_WAIT_SECONDS
}

fn ack_pending_max() -> u32 {
    ACK_PENDING_MAX
}

impl StreamSettings {
    pub(crate) fn ack_wait(&self) -> Duration {
        Duration::from_secs(self.ack_wait_seconds)
    }
}

impl Config {
    /// What the shape alone does not tell, of a source.
    pub(crate) fn valid(&self) -> Result<(), Fault> {
        if self.streams.is_empty() {
            return Err(Fault::misconfigured("a source needs `streams`"));
        }
        let mut consumers = BTreeSet::new();
        for (name, stream) in &self.streams {
            let wrong = |what: String| Fault::misconfigured(format!("`streams.{name}`: {what}"));
            for (setting, value) in [("stream", &stream.stream), ("consumer", &stream.consumer)] {
                if !is_name(value) {
                    return Err(wrong(format!(
                        "`{setting} = {value:?}` is no name that the server takes"
                    )));
                }
            }
            if let Some(subject) = stream
                .subject
                .as_deref()
                .filter(|subject| !is_filter(subject))
            {
                return Err(wrong(format!(
                    "`subject = {subject:?}` is no subject, with wildcards or without"
                )));
            }
            if stream.ack_wait_seconds == 0 || stream.max_ack_pending == 0 {
                return Err(wrong(
                    "`ack_wait_seconds` and `max_ack_pending` are 1 at least".to_owned(),
                ));
            }
            if stream.format != Format::Json && !stream.add.is_empty() {
                return Err(wrong(
                    "`add` is for `format = \"json\"`: the others have these fields".to_owned(),
                ));
            }
            if !consumers.insert((&stream.stream, &stream.consumer)) {
                return Err(wrong(
                    "another stream has its consumer, and each needs its own".to_owned(),
                ));
            }
        }
        Ok(())
    }

    /// The settings of one stream.
    pub(crate) fn stream(&self, name: &str) -> Result<&StreamSettings, Fault> {
        let unknown = || Fault::misconfigured(format!("`streams` has no `{name}`"));
        self.streams.get(name).ok_or_else(unknown)
    }
}

/// A name of a stream or a consumer: a part of a subject, and of a path at the server.
fn is_name(name: &str) -> bool {
    let is_bad =
        |letter: char| letter.is_whitespace() || letter.is_control() || ".*>/\\".contains(letter);
    (1..=200).contains(&name.len()) && !name.contains(is_bad)
}

/// A subject in which `*` may stand for a name, and `>` for the rest.
fn is_filter(subject: &str) -> bool {
    let names: Vec<&str> = subject.split('.').collect();
    let last = names.len() - 1;
    subject.len() <= 1_000
        && names.iter().enumerate().all(|(at, name)| match *name {
            "" => false,
            ">" => at == last,
            "*" => true,
            name => !name.contains(|letter: char| {
                letter.is_whitespace() || letter.is_control() || "*>".contains(letter)
            }),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_told() {
        for (streams, told) in [
            ("{}", "needs `streams`"),
            (r#"{"a": {"stream": "A.B", "consumer": "c"}}"#, "is no name"),
            (r#"{"a": {"stream": "A", "consumer": ""}}"#, "is no name"),
            (
                r#"{"a": {"stream": "A", "consumer": "c", "subject": "a..b"}}"#,
                "is no subject",
            ),
            (
                r#"{"a": {"stream": "A", "consumer": "c", "subject": "a b"}}"#,
                "is no subject",
            ),
            (
                r#"{"a": {"stream": "A", "consumer": "c", "subject": "a.>.b"}}"#,
                "is no subject",
            ),
            (
                r#"{"a": {"stream": "A", "consumer": "c", "subject": "a\r\nPUB x 0"}}"#,
                "is no subject",
            ),
            (
                r#"{"a": {"stream": "A", "consumer": "c", "ack_wait_seconds": 0}}"#,
                "1 at least",
            ),
            (
                r#"{"a": {"stream": "A", "consumer": "c", "format": "text", "add": {"sequence": "s"}}}"#,
                "`add` is for",
            ),
            (
                r#"{"a": {"stream": "A", "consumer": "c"}, "b": {"stream": "A", "consumer": "c"}}"#,
                "each needs its own",
            ),
        ] {
            let text = format!(r#"{{"host": "h", "streams": {streams}}}"#);
            let config: Config = sluice_sdk::parse_config(&text).expect(&text);
            let fault = config.valid().expect_err(streams).to_string();
            assert!(fault.contains(told), "{fault}");
        }
    }

    #[test]
    fn subjects_have_wildcards_in_their_places() {
        for (subject, is_one) in [
            (">", true),
            ("a.*.b.>", true),
            ("a", true),
            ("a.b*", false),
            ("", false),
            ("a.", false),
        ] {
            assert_eq!(is_filter(subject), is_one, "{subject}");
        }
    }
}
