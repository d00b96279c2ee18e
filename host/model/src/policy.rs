//! The organisation's policy: rules over every grant of a deployment, written by its security team. Shapes only:
//! what it leaves of a grant is decided in `policy`.
//!
//! A key that is left out says nothing, and the grants decide alone; an empty list allows nothing.

use crate::grant::ipnet_text::Network;
use crate::ids::PluginName;
use crate::sizes::{ByteSize, Span};
use crate::tomlfile::{self, FileError};
use serde::Deserialize;

/// The file's name where `sluice.toml` names none; there need be none.
pub const FILE: &str = "policy.toml";

/// A whole policy; every part may be left out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Hosts and networks.
    pub http: Http,
    /// Secrets.
    pub secrets: Secrets,
    /// Ceilings.
    pub limits: Limits,
    /// Directories.
    pub dir: Dir,
    /// Columns that go only where they may.
    pub class: Vec<Class>,
    /// Who must have signed a plugin.
    pub signing: Signing,
}

/// `[http]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// The hosts that a plugin may reach at all: names, `*.suffix`, IP addresses.
    pub hosts: Option<Vec<String>>,
    /// Those it may not, whatever `hosts` says.
    pub deny: Vec<String>,
    /// Whether a grant may name `*.suffix`.
    pub wildcards: bool,
    /// The networks outside the public internet that a grant may open.
    pub networks: Option<Vec<Network>>,
    /// Whether requests may travel in the clear.
    pub plain: bool,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            hosts: None,
            deny: Vec::new(),
            wildcards: true,
            networks: None,
            plain: true,
        }
    }
}

/// `[secrets]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Secrets {
    /// The plugins that a secret's value may be shown to.
    pub reveal: Option<Vec<PluginName>>,
}

/// `[limits]`: ceilings of every grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Linear memory of one instance.
    pub memory: Option<ByteSize>,
    /// One call.
    pub call_time: Option<Span>,
}

/// `[dir]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dir {
    /// Directories must be one of these or lie below. Relative ones stand beside the deployment's `sluice.toml`.
    pub roots: Option<Vec<String>>,
}

/// `[[class]]`: who may see such a column may reach such hosts only, or none at all.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// What it is called in messages.
    pub name: String,
    /// Columns, in small letters or capitals; `*` stands for any run of characters.
    pub columns: Vec<String>,
    /// As in `[http]`.
    pub hosts: Vec<String>,
}

/// `[signing]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Signing {
    /// Whether a plugin must be signed to run.
    pub required: bool,
    /// The plugins that need not be.
    pub unsigned: Vec<PluginName>,
    /// The ids of the keys that count; every trusted key where this is left out.
    pub signers: Option<Vec<String>>,
}

impl Policy {
    /// Reads a policy, and checks what needs no other file.
    pub fn parse(file: &str, text: &str) -> Result<Self, FileError> {
        let policy: Self = tomlfile::parse(file, text)?;
        let wrong = |pointer: &str, message: String| {
            FileError::new(file, message).at_pointer(text, pointer)
        };
        let Signing {
            required,
            unsigned,
            signers,
        } = &policy.signing;
        if !required && (signers.is_some() || !unsigned.is_empty()) {
            let key = if signers.is_some() {
                "signers"
            } else {
                "unsigned"
            };
            let message = format!("`{key}` stops nobody where no signature is required");
            return Err(wrong(&format!("/signing/{key}"), message).hint("required = true"));
        }
        for (at, class) in policy.class.iter().enumerate() {
            if policy.class[..at]
                .iter()
                .any(|other| other.name == class.name)
            {
                let message = format!("class `{}` stands twice", class.name);
                return Err(wrong(&format!("/class/{at}/name"), message));
            }
        }
        Ok(policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_says_nothing() {
        let policy = Policy::parse("policy.toml", "").expect("an empty policy");
        assert_eq!(policy, Policy::default());
        assert!(policy.http.wildcards && policy.http.plain);
        assert_eq!(policy.http.hosts, None);
        let none = Policy::parse("policy.toml", "[http]\nhosts = []\n").expect("a policy");
        assert_eq!(none.http.hosts, Some(Vec::new()));
    }

    #[test]
    fn a_mistake_is_told_by_its_line() {
        let check = |text: &str, expected: &str| {
            let error = Policy::parse("policy.toml", text).expect_err(text);
            assert_eq!(error.to_string(), expected);
        };
        check(
            "[http]\nhots = []\n",
            "policy.toml:2:1: unknown key `hots`\n  hint: did you mean `hosts`?",
        );
        check(
            "[htp]\n",
            "policy.toml:1:2: unknown key `htp`\n  hint: did you mean `http`?",
        );
        check(
            "[http]\nnetworks = [\"10.0.0.0\"]\n",
            "policy.toml:2:12: `10.0.0.0` is not a network: `ADDRESS/BITS`, such as `10.1.0.0/16`",
        );
        check(
            "[secrets]\nreveal = [\"postgres\"]\n",
            "policy.toml:2:10: `postgres` is not a plugin name: `vendor/name`, each of lower-case letters, digits and `-`",
        );
        check(
            "[signing]\nsigners = [\"k1\"]\n",
            "policy.toml:2:1: `signers` stops nobody where no signature is required\n  hint: required = true",
        );
        check(
            "[signing]\nunsigned = [\"a/b\"]\n",
            "policy.toml:2:1: `unsigned` stops nobody where no signature is required\n  hint: required = true",
        );
        check(
            "[[class]]\nname = \"pii\"\ncolumns = []\nhosts = []\n[[class]]\nname = \"pii\"\ncolumns = []\nhosts = []\n",
            "policy.toml:6:1: class `pii` stands twice",
        );
    }
}
