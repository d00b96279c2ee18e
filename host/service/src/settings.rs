//! A stage's settings: from the pipeline's TOML to JSON, held against the plugin's JSON Schema, mistakes told by the
//! line in the pipeline file.

use serde_json::Value;
use sluice_model::tomlfile::{FileError, nearest};

/// TOML as JSON. Dates become text; a number that JSON cannot hold becomes null, which no schema takes for a number.
pub fn json(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::String(text.clone()),
        toml::Value::Integer(number) => Value::from(*number),
        toml::Value::Float(number) => Value::from(*number),
        toml::Value::Boolean(value) => Value::Bool(*value),
        toml::Value::Datetime(moment) => Value::String(moment.to_string()),
        toml::Value::Array(items) => items.iter().map(json).collect(),
        toml::Value::Table(table) => table
            .iter()
            .map(|(key, value)| (key.clone(), json(value)))
            .collect(),
    }
}

/// Every way in which `config` does not fit `schema`. `pointer` is where it stands in the pipeline file.
pub fn validate(
    schema: Option<&Value>,
    config: &Value,
    file: &str,
    text: &str,
    pointer: &str,
) -> Vec<FileError> {
    let Some(schema) = schema else {
        return match config
            .as_object()
            .and_then(|settings| settings.keys().next())
        {
            Some(key) => {
                let place = format!("{pointer}/{key}");
                vec![
                    FileError::new(
                        file,
                        format!("unknown key `{key}`: this plugin has no settings"),
                    )
                    .at_pointer(text, &place),
                ]
            }
            None => Vec::new(),
        };
    };
    let validator = match jsonschema::validator_for(schema) {
        Ok(validator) => validator,
        Err(error) => {
            return vec![
                FileError::new(
                    file,
                    format!("the plugin's own config schema is not valid: {error}"),
                )
                .at_pointer(text, pointer)
                .hint("this is for the plugin's vendor to mend"),
            ];
        }
    };
    validator
        .iter_errors(config)
        .map(|error| told(&error, schema, file, text, pointer))
        .collect()
}

fn told(
    error: &jsonschema::ValidationError<'_>,
    schema: &Value,
    file: &str,
    text: &str,
    pointer: &str,
) -> FileError {
    use jsonschema::error::ValidationErrorKind as Kind;
    let place = format!("{pointer}{}", error.instance_path());
    match error.kind() {
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            let key = unexpected.first().map_or("", String::as_str);
            let problem = FileError::new(
                file,
                format!("unknown key `{key}` in the plugin's settings"),
            )
            .at_pointer(text, &format!("{place}/{key}"));
            let known = known_keys(schema, error.schema_path().as_str());
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            match nearest(key, &known) {
                Some(near) => problem.hint(format!("did you mean `{near}`?")),
                None if known.is_empty() => problem,
                None => problem.hint(format!("known here: `{}`", known.join("`, `"))),
            }
        }
        Kind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            FileError::new(file, format!("the plugin needs the setting `{name}`"))
                .at_pointer(text, &place)
                .hint(missing_hint(schema, error.schema_path().as_str(), name))
        }
        _ => {
            let setting = error
                .instance_path()
                .as_str()
                .trim_start_matches('/')
                .replace('/', ".");
            FileError::new(file, format!("setting `{setting}`: {error}")).at_pointer(text, &place)
        }
    }
}

/// The keys that the object schema around a failed keyword knows.
fn known_keys(schema: &Value, keyword: &str) -> Vec<String> {
    let around = keyword.rsplit_once('/').map_or("", |(around, _)| around);
    let properties = resolved(schema, around).and_then(|object| object.get("properties"));
    properties
        .and_then(Value::as_object)
        .map(|known| known.keys().cloned().collect())
        .unwrap_or_default()
}

fn missing_hint(schema: &Value, keyword: &str, name: &str) -> String {
    let around = keyword.rsplit_once('/').map_or("", |(around, _)| around);
    let description = resolved(schema, around)
        .and_then(|object| object.pointer(&format!("/properties/{name}/description")))
        .and_then(Value::as_str);
    match description {
        Some(description) => format!("`{name} = …`: {description}"),
        None => format!("add `{name} = …`"),
    }
}

/// Follows a keyword's path, which passes through `$ref`s.
fn resolved<'a>(schema: &'a Value, path: &str) -> Option<&'a Value> {
    let mut here = schema;
    for step in path.split('/').skip(1) {
        if step == "$ref" {
            let target = here.get("$ref")?.as_str()?.strip_prefix('#')?;
            here = schema.pointer(target)?;
        } else {
            here = match here {
                Value::Array(items) => items.get(step.parse::<usize>().ok()?)?,
                other => other.get(step.replace("~1", "/").replace("~0", "~"))?,
            };
        }
    }
    Some(here)
}

#[cfg(test)]
mod tests {
    use super::{json as to_json, validate};
    use serde_json::json;

    #[test]
    fn settings_are_held_against_the_schema() {
        let schema = json!({
            "type": "object", "additionalProperties": false, "required": ["dir"],
            "properties": {
                "dir": { "type": "string", "description": "the folder" },
                "limit": { "type": "integer" },
                "steps": { "type": "array", "items": { "$ref": "#/$defs/step" } }
            },
            "$defs": { "step": { "type": "object", "additionalProperties": false, "properties": { "upper": {} } } }
        });
        let check = |config: &str, expected: &str| {
            let text = format!("[source]\nplugin = \"a/b\"\n[source.config]\n{config}");
            let file: toml::Value = toml::from_str(&text).unwrap();
            let found = validate(
                Some(&schema),
                &to_json(&file["source"]["config"]),
                "p",
                &text,
                "/source/config",
            );
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            assert_eq!(found.join("\n"), expected);
        };
        check("dir = \"x\"\n", "");
        check(
            "dir = \"x\"\nlimt = 3\n",
            "p:5:1: unknown key `limt` in the plugin's settings\n  hint: did you mean `limit`?",
        );
        check(
            "limit = 3\n",
            "p:3:9: the plugin needs the setting `dir`\n  hint: `dir = …`: the folder",
        );
        check(
            "dir = \"x\"\nlimit = \"y\"\n",
            "p:5:1: setting `limit`: \"y\" is not of type \"integer\"",
        );
        check(
            "dir = \"x\"\nsteps = [{ uper = 1 }]\n",
            "p:5:12: unknown key `uper` in the plugin's settings\n  hint: did you mean `upper`?",
        );
    }

    #[test]
    fn a_plugin_without_settings_takes_none() {
        let found = validate(
            None,
            &json!({ "x": 1 }),
            "p",
            "[source.config]\nx = 1\n",
            "/source/config",
        );
        assert!(found[0].message.contains("has no settings"), "{found:?}");
    }
}
