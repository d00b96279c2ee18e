//! Names that people choose and that travel through the whole house, each a type of its own so that they
//! cannot be mistaken for one another. Not ids made by a machine: see `digest`.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Why a name cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not a {what}: {rule}")]
pub struct NameError {
    /// What was typed.
    pub value: String,
    /// What it should have been.
    pub what: &'static str,
    /// The rule it breaks.
    pub rule: &'static str,
}

/// The most bytes a name may have: names stand in keys, file names and log lines.
const NAME_BYTES_MAX: usize = 128;

fn plain(value: &str, extra: &[char]) -> bool {
    !value.is_empty()
        && value.len() <= NAME_BYTES_MAX
        && value
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || extra.contains(&c))
        && value.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str { &self.0 }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
        }
        impl FromStr for $type {
            type Err = NameError;
            fn from_str(value: &str) -> Result<Self, NameError> {
                let fits: fn(&str) -> bool = $check;
                if fits(value) { Ok(Self(value.to_owned())) } else {
                    Err(NameError { value: value.to_owned(), what: $what, rule: $rule })
                }
            }
        }
        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(value: String) -> Result<Self, NameError> { value.parse() }
        }
        impl From<$type> for String {
            fn from(name: $type) -> String { name.0 }
        }
    };
}

name!(
    /// A pipeline's name: letters, digits, `-`, `_`, `.`.
    PipelineName, "pipeline name", "letters, digits, `-`, `_` and `.`, 128 bytes at most",
    |v| plain(v, &['-', '_', '.'])
);
name!(
    /// A stream's name, as its source gives it (a table, an endpoint, a folder of files). Any printable text.
    StreamName, "stream name", "printable characters, 128 bytes at most",
    |v| !v.is_empty() && v.len() <= NAME_BYTES_MAX && !v.chars().any(char::is_control)
);
name!(
    /// A split's id, as its source gives it. Any printable text of up to 512 bytes: often a file's path.
    SplitId, "split id", "printable characters, 512 bytes at most",
    |v| !v.is_empty() && v.len() <= 512 && !v.chars().any(char::is_control)
);
name!(
    /// A plugin's name: `vendor/name`.
    PluginName, "plugin name", "`vendor/name`, each of lower-case letters, digits and `-`",
    |v| v.len() <= NAME_BYTES_MAX && v.split('/').count() == 2 && v.split('/').all(|part| {
        plain(part, &['-']) && !part.chars().any(|c| c.is_ascii_uppercase())
    })
);
name!(
    /// A secret's name: the plugin's own word for it in a manifest, or the deployment's in a provider.
    SecretName, "secret name", "letters, digits, `-`, `_` and `.`, 128 bytes at most",
    |v| plain(v, &['-', '_', '.'])
);

/// What ids of splits begin with that are the host's own: no source's id does.
pub const HOST_OWN: &str = "~";

/// Which part a plugin plays in a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads from a system.
    Source,
    /// Changes records on their way.
    Transform,
    /// Writes to a system.
    Sink,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Source => "source",
            Role::Transform => "transform",
            Role::Sink => "sink",
        })
    }
}

/// One stage of a pipeline: its role and its place among those of the same role, from zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StageId {
    /// What the plugin does there.
    pub role: Role,
    /// The first transform is 0, the second 1; a source is always 0.
    pub index: u16,
}

impl fmt::Display for StageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.role {
            Role::Source => write!(f, "source"),
            role => write!(f, "{role} {}", self.index + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["sluice/files", "acme/crm-source", "a1/b2"] {
            assert!(good.parse::<PluginName>().is_ok(), "{good}");
        }
        for bad in ["", "files", "a/b/c", "Acme/x", "a/", "/b", "../x", "a/b\n"] {
            assert!(bad.parse::<PluginName>().is_err(), "{bad}");
        }
        for bad in ["", "..", "a/b", "-x", "a b", &"x".repeat(129)] {
            assert!(bad.parse::<PipelineName>().is_err(), "{bad}");
        }
        assert!("orders/2026-01.ndjson".parse::<SplitId>().is_ok());
        assert!("a\u{1b}[2J".parse::<StreamName>().is_err());
    }
}
