//! Settings and cursors: JSON on the wire, the author's own types in the plugin.

use crate::Fault;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Reads a plugin's settings. What does not fit is [`Fault::Misconfigured`] and names the place.
pub fn parse<C: DeserializeOwned>(json: &str) -> Result<C, Fault> {
    let json = if json.trim().is_empty() { "{}" } else { json };
    let mut input = serde_json::Deserializer::from_str(json);
    serde_path_to_error::deserialize(&mut input).map_err(|error| {
        let path = error.path().to_string();
        let cause = error.into_inner().to_string();
        // Where in one long line of JSON the host wrote it is of no use to the person who wrote TOML.
        let cause = cause
            .split(" at line ")
            .next()
            .unwrap_or_default()
            .to_owned();
        if path == "." {
            Fault::misconfigured(format!("config: {cause}"))
        } else {
            Fault::misconfigured(format!("config `{path}`: {cause}"))
        }
    })
}

pub(crate) fn cursor_from<C: DeserializeOwned>(bytes: &[u8]) -> Result<C, Fault> {
    serde_json::from_slice(bytes).map_err(|error| {
        Fault::cursor_lost(format!(
            "the cursor is not one this version of the plugin wrote: {error}"
        ))
    })
}

pub(crate) fn cursor_to<C: Serialize>(cursor: &C) -> Result<Vec<u8>, Fault> {
    serde_json::to_vec(cursor)
        .map_err(|error| Fault::broken(format!("the cursor cannot be written: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        #[serde(default, rename = "hosts")]
        _hosts: Vec<Host>,
    }

    #[derive(Debug, serde::Deserialize)]
    struct Host {
        #[serde(rename = "port")]
        _port: u16,
    }

    #[test]
    fn a_misfit_is_named_by_its_place() {
        for (json, expected) in [
            (
                r#"{"hosts":[{"port":1},{"port":"x"}]}"#,
                "config `hosts[1].port`: invalid type: string \"x\", expected u16",
            ),
            (
                r#"{"host":[]}"#,
                "config `host`: unknown field `host`, expected `hosts`",
            ),
            ("[", "config: EOF while parsing a list"),
        ] {
            assert_eq!(
                parse::<Settings>(json)
                    .map_err(|fault| fault.message().to_owned())
                    .unwrap_err(),
                expected
            );
        }
        assert!(parse::<Settings>("").is_ok());
    }
}
