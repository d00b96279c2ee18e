//! The pipeline file: what an operator wrote. What it means in a deployment, with its plugins and grants, is
//! decided in `service`.

use crate::contract::Drift;
use crate::ids::{PipelineName, SecretName, StreamName};
use crate::schema::{Field, FieldType, Schema};
use crate::sizes::Span;
use crate::tomlfile::{self, FileError};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

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
    /// The plugin's settings.
    #[serde(default = "empty")]
    pub config: toml::Value,
    /// The plugin's name for a secret = the deployment's.
    #[serde(default)]
    pub secrets: BTreeMap<SecretName, SecretName>,
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
    }

    #[test]
    fn mistakes_are_told() {
        for (from, to, expected) in [
            (
                "[[transform]]",
                "[[transforms]]",
                "p:14:3: unknown key `transforms`",
            ),
            (
                "\"decimal(10,2)\"",
                "\"money\"",
                "`money` is not a field type",
            ),
            ("discard-value", "ignore", "unknown variant `ignore`"),
            ("\"6h\"", "\"6 hours\"", "`6 hours` is not a length of time"),
        ] {
            let error = Pipeline::parse("p", &WHOLE.replacen(from, to, 1))
                .expect_err("a mistake")
                .to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
