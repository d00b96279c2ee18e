//! `{config.KEY}` or `{config.KEY:DEFAULT}` in a manifest, filled in from a stage's settings. Knows JSON; not what a value is used for.

use serde_json::Value;
use sluice_model::guards::Guard;

/// Values one entry of a manifest may become. Stops two long lists in one entry from multiplying.
const VALUES_MAX: usize = 2_000;

const OPENS: &str = "{config.";

/// Why an entry of a manifest cannot be filled in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SettingError {
    #[error("`{0}` opens `{{config.` and does not close it")]
    Open(String),
    #[error("the setting `{0}` is neither a name nor a list of names")]
    Shape(String),
    #[error("the settings in `{0}` give more than {VALUES_MAX} values")]
    TooMany(String),
}

/// Every value of `template`: the text itself where it names no setting, one for each name where a setting is a
/// list, and none where a setting is absent, empty or null and has no default, for then the capability is not wanted.
pub(crate) fn expand(template: &str, config: &Value) -> Result<Vec<String>, SettingError> {
    let mut values = vec![String::new()];
    let mut rest = template;
    while let Some((before, after)) = rest.split_once(OPENS) {
        let (key, after) = after
            .split_once('}')
            .ok_or_else(|| SettingError::Open(template.to_owned()))?;
        let (key, default) = match key.split_once(':') {
            Some((key, default)) => (key, Some(default)),
            None => (key, None),
        };
        let mut found = Vec::new();
        find(key, key.split('.'), config, &mut found)?;
        if found.is_empty() {
            found.extend(default.map(ToOwned::to_owned));
        }
        if values.len() * found.len() > Guard::SettingValues.limit(VALUES_MAX) {
            return Err(SettingError::TooMany(template.to_owned()));
        }
        values = values
            .iter()
            .flat_map(|head| {
                found
                    .iter()
                    .map(move |value| format!("{head}{before}{value}"))
            })
            .collect();
        rest = after;
    }
    for value in &mut values {
        value.push_str(rest);
    }
    Ok(values)
}

/// Whether the template names a setting at all.
pub(crate) fn is_template(text: &str) -> bool {
    text.contains(OPENS)
}

/// Collects the names at the end of the dotted path. A list on the way is followed in each of its values.
fn find<'a>(
    key: &str,
    mut path: impl Iterator<Item = &'a str> + Clone,
    value: &Value,
    found: &mut Vec<String>,
) -> Result<(), SettingError> {
    if let Value::Array(values) = value {
        return values
            .iter()
            .try_for_each(|value| find(key, path.clone(), value, found));
    }
    match (path.next(), value) {
        (_, Value::Null) => Ok(()),
        (Some(name), Value::Object(fields)) => match fields.get(name) {
            Some(value) => find(key, path, value, found),
            None => Ok(()),
        },
        (None, Value::String(text)) if text.is_empty() => Ok(()),
        (None, Value::String(text)) => {
            found.push(text.clone());
            Ok(())
        }
        (None, Value::Number(number)) => {
            found.push(number.to_string());
            Ok(())
        }
        _ => Err(SettingError::Shape(key.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn templates_are_filled_in() {
        let config = json!({
            "dir": "in", "port": 8443, "hash": ["email", "phone"], "none": null, "empty": "",
            "base": { "host": "api.acme.example" },
            "steps": [{ "column": "a" }, { "column": ["b", "c"] }, { "other": 1 }],
            "flag": true, "list": [],
        });
        let check = |template: &str, expected: &[&str]| {
            assert_eq!(
                expand(template, &config).expect("values"),
                expected,
                "{template}"
            );
        };
        check("plain", &["plain"]);
        check("{config.dir}", &["in"]);
        check("{config.dir}/archive", &["in/archive"]);
        check("{config.port:443}", &["8443"]);
        check("{config.absent:443}", &["443"]);
        check("{config.none:a:b}-{config.dir}", &["a:b-in"]);
        check(
            "{config.base.host}:{config.port}",
            &["api.acme.example:8443"],
        );
        check("{config.hash}", &["email", "phone"]);
        check(
            "{config.hash}_{config.hash}",
            &["email_email", "email_phone", "phone_email", "phone_phone"],
        );
        check("{config.steps.column}", &["a", "b", "c"]);
        check("{config.missing}", &[]);
        check("{config.base.missing}", &[]);
        check("{config.none}", &[]);
        check("{config.empty}", &[]);
        check("{config.list}", &[]);
        check("{config.dir}{config.missing}", &[]);
        check("{other}", &["{other}"]);

        let wrong = |template: &str, expected: &str| {
            let error = expand(template, &config).expect_err(template).to_string();
            assert_eq!(error, expected, "{template}");
        };
        wrong(
            "{config.dir",
            "`{config.dir` opens `{config.` and does not close it",
        );
        wrong(
            "{config.base}",
            "the setting `base` is neither a name nor a list of names",
        );
        wrong(
            "{config.flag}",
            "the setting `flag` is neither a name nor a list of names",
        );
        wrong(
            "{config.dir.deeper}",
            "the setting `dir.deeper` is neither a name nor a list of names",
        );
    }

    #[test]
    fn lists_cannot_multiply_without_end() {
        let names: Vec<String> = (0..100).map(|name| name.to_string()).collect();
        let config = json!({ "a": names });
        assert_eq!(
            expand("{config.a}", &config).map(|values| values.len()),
            Ok(100)
        );
        let error = expand("{config.a}{config.a}", &config);
        assert_eq!(
            error,
            Err(SettingError::TooMany("{config.a}{config.a}".into()))
        );
    }
}
