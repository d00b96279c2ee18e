//! The settings as they are written: a list of steps, each a table with one key. What a step means for the columns
//! there are is found out in `plan`, not here.

use serde::Deserialize;
use serde_json::Value;

/// The settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Run in order. Read one by one, so that a mistake is told with its step's number.
    pub(crate) steps: Vec<Value>,
}

/// One step.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    Rename(Rename),
    Drop(Vec<String>),
    Upper(Vec<String>),
    Lower(Vec<String>),
    Trim(Vec<String>),
    Cast(Cast),
    Set(Set),
    Clear(Clear),
    Concat(Concat),
    Compute(Compute),
    Keep(Condition),
    Reject(Reject),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rename {
    pub(crate) from: String,
    pub(crate) to: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cast {
    pub(crate) column: String,
    pub(crate) to: String,
    #[serde(default)]
    pub(crate) on_error: OnError,
}

/// What becomes of a value that cannot be cast.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnError {
    #[default]
    Reject,
    Null,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Set {
    pub(crate) column: String,
    pub(crate) value: Value,
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) when: Option<Condition>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Clear {
    pub(crate) column: String,
    pub(crate) when: Option<Condition>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Concat {
    pub(crate) into: String,
    pub(crate) from: Vec<String>,
    #[serde(default)]
    pub(crate) separator: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Compute {
    pub(crate) into: String,
    pub(crate) op: Operator,
    pub(crate) left: Operand,
    pub(crate) right: Operand,
    pub(crate) round: Option<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
}

/// A column's name, or a number.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a column's name or a number")]
pub(crate) enum Operand {
    Column(String),
    Integer(i64),
    Float(f64),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reject {
    pub(crate) when: Condition,
    pub(crate) code: String,
    pub(crate) message: String,
}

/// Either `all`, `any` or `not`, or a column with one test or more, all of which must hold.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Condition {
    pub(crate) all: Option<Vec<Condition>>,
    pub(crate) any: Option<Vec<Condition>>,
    pub(crate) not: Option<Box<Condition>>,
    pub(crate) column: Option<String>,
    pub(crate) is: Option<Value>,
    pub(crate) is_not: Option<Value>,
    #[serde(rename = "in")]
    pub(crate) among: Option<Vec<Value>>,
    pub(crate) less: Option<Value>,
    pub(crate) less_or_equal: Option<Value>,
    pub(crate) greater: Option<Value>,
    pub(crate) greater_or_equal: Option<Value>,
    pub(crate) is_null: Option<bool>,
    pub(crate) contains: Option<String>,
    pub(crate) starts_with: Option<String>,
    pub(crate) ends_with: Option<String>,
}
