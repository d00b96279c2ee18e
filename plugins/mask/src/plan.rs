//! The settings held against the columns there are: one rule for each column named, or a fault before the first record.

use crate::calendar::Grain;
use crate::config::{Config, Generalise, To};
use crate::hash::Hasher;
use crate::rules;
use sluice_sdk::{Batch, Column, Edits, Fault, Field, FieldType, Schema, Transform};

/// A shorter key could be tried out.
const KEY_BYTES_MIN: usize = 32;
/// Fewer bytes of a hash make unequal values equal before long.
const HASH_BYTES: std::ops::RangeInclusive<usize> = 8..=32;

/// The transform: what happens to which column.
pub struct Mask {
    output: Schema,
    rules: Vec<Planned>,
}

struct Planned {
    rule: Rule,
    /// The type it is read as.
    kind: FieldType,
    /// As it is afterwards.
    field: Field,
}

#[derive(Clone)]
enum Rule {
    Hash(Hasher),
    Nothing,
    Constant(String),
    Truncate(usize),
    Keep(usize),
    Network,
    RoundDown(Grain),
    Int64Bucket(i64),
    Float64Bucket(f64),
}

impl Transform for Mask {
    type Config = Config;

    fn open(config: Config, input: &Schema) -> Result<Self, Fault> {
        let mut mask = Self {
            output: input.clone(),
            rules: Vec::new(),
        };
        mask.plan_hash(&config)?;
        for name in &config.redact {
            let rule = match &config.redact_with {
                Some(text) if input.expect(name)?.kind == FieldType::Text => {
                    Rule::Constant(text.clone())
                }
                _ => Rule::Nothing,
            };
            mask.add(name, rule)?;
        }
        for entry in &config.truncate {
            at_least_one("characters", entry.characters)?;
            entry
                .columns
                .iter()
                .try_for_each(|name| mask.add(name, Rule::Truncate(entry.characters)))?;
        }
        for entry in &config.generalise {
            for name in &entry.columns {
                let rule = generalisation(entry, input.expect(name)?)?;
                mask.add(name, rule)?;
            }
        }
        if mask.rules.is_empty() {
            return Err(Fault::misconfigured(
                "no column is named: use `hash`, `redact`, `truncate` or `generalise`",
            ));
        }
        Ok(mask)
    }

    fn output(&self) -> Schema {
        self.output.clone()
    }

    fn apply(&mut self, batch: &Batch) -> Result<Edits, Fault> {
        let mut edits = Edits::new();
        for planned in &self.rules {
            edits.put(planned.field.clone(), planned.column(batch)?);
        }
        Ok(edits)
    }
}

impl Planned {
    fn column(&self, batch: &Batch) -> Result<Column, Fault> {
        let read = || batch.column(&self.field.name);
        match &self.rule {
            Rule::Hash(hasher) => rules::hash(&read()?, self.kind, hasher),
            Rule::Nothing => Ok(rules::nothing(self.kind, batch.rows())),
            Rule::Constant(text) => Ok(rules::constant(text, batch.rows())),
            Rule::Truncate(characters) => rules::truncate(&read()?, *characters),
            Rule::Keep(characters) => rules::keep(&read()?, *characters),
            Rule::Network => rules::network(&read()?),
            Rule::RoundDown(grain) => rules::round_down(&read()?, self.kind, *grain),
            Rule::Int64Bucket(width) => rules::int64_bucket(&read()?, *width),
            Rule::Float64Bucket(width) => rules::float64_bucket(&read()?, *width),
        }
    }
}

impl Mask {
    fn plan_hash(&mut self, config: &Config) -> Result<(), Fault> {
        if config.hash.is_empty() {
            return Ok(());
        }
        let key = config.key.as_ref().map_or("", |key| key.0.as_str());
        if key.len() < KEY_BYTES_MIN {
            return Err(Fault::misconfigured(format!(
                "`hash` needs a `key` of {KEY_BYTES_MIN} characters or more; hint: key = \"…\", as from `openssl rand -hex 32`"
            )));
        }
        if !HASH_BYTES.contains(&config.hash_bytes) {
            return Err(Fault::misconfigured(format!(
                "`hash_bytes = {}` is not 8 to 32",
                config.hash_bytes
            )));
        }
        let hasher = Hasher::new(key.as_bytes(), config.hash_bytes, config.hash_encoding);
        config
            .hash
            .iter()
            .try_for_each(|name| self.add(name, Rule::Hash(hasher.clone())))
    }

    fn add(&mut self, name: &str, rule: Rule) -> Result<(), Fault> {
        let field = self.output.expect(name)?.clone();
        if self.rules.iter().any(|planned| planned.field.name == name) {
            return Err(Fault::misconfigured(format!(
                "column `{name}` stands in more than one rule"
            )));
        }
        if self.output.key.iter().any(|key| key == name) && !matches!(rule, Rule::Hash(_)) {
            return Err(Fault::misconfigured(format!(
                "column `{name}` identifies records: only `hash` keeps them apart"
            )));
        }
        let planned = Planned {
            field: after(&field, &rule)?,
            kind: field.kind,
            rule,
        };
        if let Some(at) = self.output.index_of(name) {
            self.output.fields[at] = planned.field.clone();
        }
        self.rules.push(planned);
        Ok(())
    }
}

/// The field as the rule leaves it, where the rule fits its type.
fn after(field: &Field, rule: &Rule) -> Result<Field, Fault> {
    use FieldType::{Binary, Date, Decimal, Float64, Int64, Text, Timestamp};
    let (fits, wanted) = match rule {
        Rule::Nothing => (true, ""),
        Rule::Hash(_) => (
            matches!(field.kind, Text | Binary | Int64 | Date | Decimal(_)),
            "`hash` takes text, binary, int64, decimal and date",
        ),
        Rule::Constant(_) | Rule::Truncate(_) | Rule::Keep(_) | Rule::Network => {
            (field.kind == Text, "this rule takes text")
        }
        Rule::RoundDown(Grain::Year | Grain::Month) => (
            matches!(field.kind, Date | Timestamp),
            "this rule takes date and timestamp",
        ),
        Rule::RoundDown(Grain::Day | Grain::Hour) => {
            (field.kind == Timestamp, "this rule takes timestamp")
        }
        Rule::Int64Bucket(_) => (field.kind == Int64, "this rule takes int64"),
        Rule::Float64Bucket(_) => (field.kind == Float64, "this rule takes float64"),
    };
    if !fits {
        return Err(Fault::misconfigured(format!(
            "column `{}` is {}: {wanted}",
            field.name, field.kind
        )));
    }
    let mut after = field.clone();
    if matches!(rule, Rule::Hash(_)) {
        after.kind = Text;
    }
    if matches!(rule, Rule::Nothing | Rule::Network) {
        after.nullable = true;
    }
    Ok(after)
}

fn generalisation(entry: &Generalise, field: &Field) -> Result<Rule, Fault> {
    match (entry.to, entry.bucket, entry.keep) {
        (Some(To::Network), None, None) => Ok(Rule::Network),
        (Some(To::Year), None, None) => Ok(Rule::RoundDown(Grain::Year)),
        (Some(To::Month), None, None) => Ok(Rule::RoundDown(Grain::Month)),
        (Some(To::Day), None, None) => Ok(Rule::RoundDown(Grain::Day)),
        (Some(To::Hour), None, None) => Ok(Rule::RoundDown(Grain::Hour)),
        (None, Some(width), None) => bucket(width, field),
        (None, None, Some(characters)) => {
            at_least_one("keep", characters).map(|()| Rule::Keep(characters))
        }
        _ => Err(Fault::misconfigured(format!(
            "`generalise` of column `{}` needs one of `to`, `bucket` and `keep`",
            field.name
        ))),
    }
}

fn bucket(width: f64, field: &Field) -> Result<Rule, Fault> {
    /// Whole numbers beyond this are not exact in a float64.
    const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
    match field.kind {
        FieldType::Float64 if width.is_finite() && width > 0.0 => Ok(Rule::Float64Bucket(width)),
        FieldType::Int64 if width.fract() == 0.0 && (2.0..=WHOLE_MAX).contains(&width) => {
            Ok(Rule::Int64Bucket(width as i64))
        }
        FieldType::Float64 | FieldType::Int64 => Err(Fault::misconfigured(format!(
            "`bucket = {width}` of column `{}`: a width above 0, for int64 a whole number of 2 or more",
            field.name
        ))),
        other => Err(Fault::misconfigured(format!(
            "column `{}` is {other}: `bucket` takes int64 and float64",
            field.name
        ))),
    }
}

fn at_least_one(setting: &str, characters: usize) -> Result<(), Fault> {
    if characters == 0 {
        return Err(Fault::misconfigured(format!(
            "`{setting} = 0` keeps nothing; hint: name the column in `redact`"
        )));
    }
    Ok(())
}
