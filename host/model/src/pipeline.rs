//! The pipeline file: what an operator wrote. What it means in a deployment, with its plugins and grants, is
//! decided in `service`.

use crate::contract::Drift;
use crate::ids::{PipelineName, SecretName, StreamName};
use crate::schedule::Schedule;
use crate::schema::{Field, FieldType, Schema};
use crate::sizes::{ByteSize, Span};
use crate::tomlfile::{self, FileError};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The shortest `splits_every`. Stops a run from opening source after source.
const SPLITS_EVERY_MIN: Duration = Duration::from_secs(1);

/// A whole pipeline file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pipeline {
    /// What it is called.
    pub pipeline: About,
    /// Where records come from.
    pub source: Source,
    /// What is promised of a stream's records, by stream; streams not named here are inferred from a sample.
    #[serde(default)]
    pub schema: BTreeMap<StreamName, Declared>,
    /// What happens to them, in order.
    #[serde(default)]
    pub transform: Vec<Transform>,
    /// Where they go: all of these.
    #[serde(default)]
    pub sink: Vec<Sink>,
    /// What happens when data stops fitting.
    #[serde(default)]
    pub contract: Contract,
    /// How hard to try.
    #[serde(default)]
    pub delivery: Delivery,
    /// How many of its dead letters are kept.
    #[serde(default)]
    pub dlq: Dlq,
}

/// `[pipeline]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// Its checkpoints and dead letters are kept under this name.
    pub name: PipelineName,
    /// For people.
    #[serde(default)]
    pub description: Option<String>,
    /// When `sluice serve` runs it; `sluice run` runs it at once, whatever stands here.
    #[serde(default)]
    pub schedule: Schedule,
}

/// `[source]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// `vendor/name@version` from the plugin folder, or a path to a component.
    pub plugin: String,
    /// The streams to read; all of them where none is named.
    #[serde(default)]
    pub streams: Vec<StreamName>,
    /// How often the source is asked for its splits again while a run goes on: what is new is read beside the others.
    #[serde(default = "a_minute", deserialize_with = "a_pause")]
    pub splits_every: Span,
    /// For a source that repeats itself: what came before is left out.
    #[serde(default)]
    pub dedupe: Option<Dedupe>,
    /// The plugin's settings.
    #[serde(default = "empty")]
    pub config: toml::Value,
    /// The plugin's name for a secret = the deployment's.
    #[serde(default)]
    pub secrets: BTreeMap<SecretName, SecretName>,
}

/// `dedupe`: which records are the same, and for how long that is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dedupe {
    /// The fields that tell one record from another; all of them where none is named.
    #[serde(default)]
    pub by: Vec<String>,
    /// For how long.
    #[serde(rename = "for")]
    pub window: Span,
    /// The most that are remembered; the oldest are forgotten first.
    #[serde(default = "remembered")]
    pub records: u64,
}

fn a_pause<'de, D: Deserializer<'de>>(value: D) -> Result<Span, D::Error> {
    let pause = Span::deserialize(value)?;
    if pause.0 < SPLITS_EVERY_MIN {
        let least = Span(SPLITS_EVERY_MIN);
        return Err(D::Error::custom(format!(
            "`{pause}` is too often: `{least}` is the least"
        )));
    }
    Ok(pause)
}

fn a_minute() -> Span {
    Span(Duration::from_mins(1))
}

/// 50 MB of the host's memory, and 32 of its disk.
fn remembered() -> u64 {
    1_000_000
}

/// `[[transform]]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transform {
    /// As in `[source]`.
    pub plugin: String,
    /// Only these streams; all of them where none is named.
    #[serde(default)]
    pub streams: Vec<StreamName>,
    /// The plugin's settings.
    #[serde(default = "empty")]
    pub config: toml::Value,
    /// The plugin's name for a secret = the deployment's.
    #[serde(default)]
    pub secrets: BTreeMap<SecretName, SecretName>,
}

/// `[[sink]]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sink {
    /// As in `[source]`.
    pub plugin: String,
    /// The plugin's settings.
    #[serde(default = "empty")]
    pub config: toml::Value,
    /// The plugin's name for a secret = the deployment's.
    #[serde(default)]
    pub secrets: BTreeMap<SecretName, SecretName>,
}

fn empty() -> toml::Value {
    toml::Value::Table(toml::Table::new())
}

/// `[schema.STREAM]`: what is promised of its records.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declared {
    /// Name = type, in order.
    pub fields: Fields,
    /// Fields that identify a record.
    #[serde(default)]
    pub key: Vec<String>,
    /// Fields a record may not be without.
    #[serde(default)]
    pub required: Vec<String>,
}

/// Fields in the order they were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields(pub Vec<(String, FieldType)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of `name = \"type\"`")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

impl Declared {
    /// The schema it promises.
    pub fn schema(&self) -> Result<Schema, String> {
        let known: Vec<&str> = self
            .fields
            .0
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        if let Some(missing) = self
            .required
            .iter()
            .find(|name| !known.contains(&name.as_str()))
        {
            return Err(match tomlfile::nearest(missing, &known) {
                Some(near) => {
                    format!("required `{missing}` is not a field; did you mean `{near}`?")
                }
                None => format!("required `{missing}` is not a field"),
            });
        }
        let fields = self
            .fields
            .0
            .iter()
            .map(|(name, kind)| {
                let needed = self.required.contains(name) || self.key.contains(name);
                Field::new(name, *kind, !needed)
            })
            .collect();
        Schema::new(fields, self.key.clone()).map_err(|error| error.to_string())
    }
}

/// `[contract]`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contract {
    /// See [`Drift`].
    #[serde(default)]
    pub drift: Drift,
}

/// `[delivery]`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delivery {
    /// The least that will do; refused at `check` where the plugins cannot hold it.
    #[serde(default)]
    pub guarantee: Option<Guarantee>,
    /// How long to try again.
    #[serde(default)]
    pub retry: Retry,
    /// When to stop rather than refuse on.
    #[serde(default)]
    pub stop_when: StopWhen,
}

/// `stop_when`: when so many are refused that something else is wrong than the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StopWhen {
    /// More than this share became dead letters.
    pub dead_letters: Share,
}

/// `1% of 1000`: a share of the last so many records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Share {
    /// In millionths, from 0 (not one) to 1,000,000 (never: more than all cannot be).
    pub millionths: u32,
    /// Of the last so many, at least 1; none is judged before so many were seen.
    pub of: u64,
}

/// Half of the last 1,000.
impl Default for Share {
    fn default() -> Self {
        Self {
            millionths: 500_000,
            of: 1_000,
        }
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = || {
            let (share, of) = text.split_once("% of ")?;
            let (whole, part) = share.split_once('.').unwrap_or((share, ""));
            let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
            if whole.is_empty() || part.len() > 4 || !digits(whole) || !digits(part) {
                return None;
            }
            let part: u32 = format!("{part:0<4}").parse().ok()?;
            let millionths = whole.parse::<u32>().ok()?.checked_mul(10_000)?;
            let millionths = millionths.checked_add(part)?;
            let of = of.trim().parse().ok().filter(|of| *of > 0)?;
            (millionths <= 1_000_000).then_some(Self { millionths, of })
        };
        parsed().ok_or_else(|| {
            format!("`{text}` is not a share of the last records, such as `1% of 1000`")
        })
    }
}

impl TryFrom<String> for Share {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.millionths / 10_000, self.millionths % 10_000);
        let part = format!(".{part:04}");
        let part = part.trim_end_matches('0').trim_end_matches('.');
        write!(f, "{whole}{part}% of {}", self.of)
    }
}

impl From<Share> for String {
    fn from(share: Share) -> String {
        share.to_string()
    }
}

/// `[dlq]`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dlq {
    /// How long a dead letter is kept; until somebody discards it where nothing is said.
    pub keep: Option<Span>,
    /// The most they may take. A pipeline whose dead letters are more stops, and drops none.
    pub limit: ByteSize,
}

impl Default for Dlq {
    fn default() -> Self {
        Self {
            keep: None,
            limit: ByteSize(1 << 30),
        }
    }
}

/// What a pair of source and sink promises. Ordered: each holds all that stands before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Guarantee {
    /// Nothing is lost; after a crash some records may arrive twice.
    AtLeastOnce,
    /// Twice only as the same record with the same identity, which the destination drops.
    EffectivelyOnce,
    /// The destination stores the place with the records.
    ExactlyOnce,
}

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Guarantee::AtLeastOnce => "at-least-once",
            Guarantee::EffectivelyOnce => "effectively-once",
            Guarantee::ExactlyOnce => "exactly-once",
        })
    }
}

/// How long to try again what may succeed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// Without progress, in all.
    #[serde(rename = "for")]
    pub budget: Span,
    /// Between two tries.
    pub max_delay: Span,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            budget: Span(Duration::from_mins(10)),
            max_delay: Span(Duration::from_mins(1)),
        }
    }
}

impl Pipeline {
    /// Reads a pipeline file.
    pub fn parse(file: &str, text: &str) -> Result<Self, FileError> {
        let pipeline: Self = tomlfile::parse(file, text)?;
        if pipeline.sink.is_empty() {
            return Err(FileError::new(file, "no `[[sink]]`")
                .hint("[[sink]]\nplugin = \"sluice/files@0.1\""));
        }
        Ok(pipeline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"
[pipeline]
name = "orders"

[source]
plugin = "sluice/files@0.1"
streams = ["orders"]
splits_every = "10s"
config = { dir = "in" }

[schema.orders]
key = ["id"]
fields = { id = "int64", zip = "text", amount = "decimal(10,2)" }

[[transform]]
plugin = "sluice/map@0.1"

[[sink]]
plugin = "sluice/files@0.1"
config = { dir = "out" }

[contract]
drift = "discard-value"

[delivery]
guarantee = "exactly-once"
retry = { for = "6h", max_delay = "5m" }
stop_when = { dead_letters = "2.5% of 400" }

[dlq]
keep = "30d"
limit = "64MiB"
"#;

    #[test]
    fn a_whole_pipeline_is_read() {
        let pipeline = Pipeline::parse("p", WHOLE).expect("a pipeline");
        let schema = pipeline
            .schema
            .values()
            .next()
            .expect("one")
            .schema()
            .expect("a schema");
        let names: Vec<_> = schema
            .fields()
            .iter()
            .map(|field| (field.name.as_str(), field.nullable))
            .collect();
        assert_eq!(names, [("id", false), ("zip", true), ("amount", true)]);
        assert_eq!(pipeline.delivery.guarantee, Some(Guarantee::ExactlyOnce));
        assert_eq!(pipeline.contract.drift, Drift::DiscardValue);
        let share = pipeline.delivery.stop_when.dead_letters;
        assert_eq!((share.millionths, share.of), (25_000, 400));
        assert_eq!(pipeline.dlq.limit, ByteSize(64 << 20));
    }

    #[test]
    fn shares() {
        for text in ["0% of 1", "1% of 1000", "0.25% of 20000", "100% of 5"] {
            let share: Share = text.parse().expect("a share");
            assert_eq!(share.to_string(), text);
        }
        for text in [
            "",
            "1%",
            "1 of 2",
            "101% of 5",
            "1% of 0",
            "-1% of 5",
            "1.00001% of 5",
            ".5% of 5",
        ] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
    }

    #[test]
    fn mistakes_are_told() {
        for (from, to, expected) in [
            (
                "[[transform]]",
                "[[transforms]]",
                "p:15:3: unknown key `transforms`",
            ),
            (
                "\"decimal(10,2)\"",
                "\"money\"",
                "`money` is not a field type",
            ),
            ("discard-value", "ignore", "unknown variant `ignore`"),
            ("\"10s\"", "\"900ms\"", "`900ms` is too often"),
            ("\"6h\"", "\"6 hours\"", "`6 hours` is not a length of time"),
            (
                "2.5% of 400",
                "a few",
                "`a few` is not a share of the last records",
            ),
        ] {
            let error = Pipeline::parse("p", &WHOLE.replacen(from, to, 1))
                .expect_err("a mistake")
                .to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
