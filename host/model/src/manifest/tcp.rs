//! `[[tcp]]` of a manifest: connections it may open. Shapes only.

use crate::ids::Role;
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// `[[tcp]]`: connections it may open, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tcp {
    /// A name, `*.suffix` (one label or more before it, never the suffix itself), an IP address, or `{config.KEY}`
    /// for a setting that is a host, or a host with its port.
    pub host: String,
    /// Needed, unless the setting of `host` says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<Port>,
    /// Only where the plugin plays this part.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Why, for whoever grants it.
    pub reason: String,
}

/// A port: a number, or a setting that is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Port {
    /// 1 to 65535.
    Number(u16),
    /// `{config.KEY}`, or `{config.KEY:5432}` where the setting may be absent.
    Setting(String),
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Port::Number(number) => write!(f, "{number}"),
            Port::Setting(template) => f.write_str(template),
        }
    }
}

impl Serialize for Port {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Port::Number(number) => serializer.serialize_u16(*number),
            Port::Setting(template) => serializer.serialize_str(template),
        }
    }
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PortVisitor)
    }
}

struct PortVisitor;

impl Visitor<'_> for PortVisitor {
    type Value = Port;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a port: a number from 1 to 65535, or `{config.KEY}`")
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Port, E> {
        let port = u16::try_from(number).ok().filter(|port| *port != 0);
        let wrong = || E::custom(format_args!("`{number}` is not a port: 1 to 65535"));
        port.map(Port::Number).ok_or_else(wrong)
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Port, E> {
        self.visit_i64(i64::try_from(number).unwrap_or(i64::MAX))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Port, E> {
        if text.starts_with("{config.") && text.ends_with('}') {
            return Ok(Port::Setting(text.to_owned()));
        }
        Err(E::custom(format_args!(
            "`\"{text}\"` is not a port: a number from 1 to 65535 without quotes, or `\"{{config.KEY}}\"`"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_a_number_or_a_setting() {
        #[derive(Debug, Serialize, Deserialize)]
        struct Holder {
            port: Port,
        }
        for (text, expected) in [
            ("5432", Ok(Port::Number(5432))),
            (
                "\"{config.port}\"",
                Ok(Port::Setting("{config.port}".to_owned())),
            ),
            ("0", Err("`0` is not a port: 1 to 65535")),
            ("-1", Err("`-1` is not a port")),
            ("65536", Err("`65536` is not a port")),
            ("\"5432\"", Err("without quotes")),
            ("\"5432{config.port}\"", Err("is not a port")),
            ("true", Err("a number from 1 to 65535, or `{config.KEY}`")),
        ] {
            let read = toml::from_str::<Holder>(&format!("port = {text}\n"));
            match (read, expected) {
                (Ok(holder), Ok(port)) => {
                    assert_eq!(holder.port, port);
                    let again = toml::to_string(&holder).expect("text");
                    assert_eq!(again, format!("port = {text}\n"));
                }
                (Err(error), Err(expected)) => {
                    assert!(error.to_string().contains(expected), "{error}");
                }
                (read, _) => panic!("{text}: {read:?}"),
            }
        }
    }
}
