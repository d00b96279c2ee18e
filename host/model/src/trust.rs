//! `trust.toml`: whose signatures a deployment believes, what it believes no more, and below which version it does
//! not go back. Shapes only: what follows from it for one plugin is decided in `policy`.

use crate::digest::Digest;
use crate::ids::PluginName;
use crate::moment::Moment;
use crate::signature::{KeyId, PublicKey};
use crate::tomlfile::{self, FileError};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The file's name where `sluice.toml` names none; there need be none.
pub const FILE: &str = "trust.toml";

/// A whole trust file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Trust {
    /// Which plugins must be signed.
    pub signing: Signing,
    /// Whose signatures are believed.
    pub key: Vec<Key>,
    /// What is believed no more.
    pub revoked: Vec<Revoked>,
    /// Versions below which there is no way back.
    pub floor: Vec<Floor>,
}

/// `[signing]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Signing {
    /// Whether a plugin without a signature of a key below is refused.
    pub required: bool,
    /// Plugins that need none all the same.
    pub unsigned: Vec<NamePattern>,
}

/// `[[key]]`: a key whose signatures are believed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Its id, as a signature names it.
    pub id: KeyId,
    /// Its public half.
    pub public: PublicKey,
    /// The plugins it may sign.
    pub vendor: NamePattern,
    /// None of its signatures is believed after this, whenever they were made: a signer's clock is the signer's word.
    pub expires: Moment,
}

/// `[[revoked]]`: a key or a component that is believed no more, whatever else is said.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoked {
    /// All that this key signed.
    #[serde(default)]
    pub key: Option<KeyId>,
    /// This one component, signed or not.
    #[serde(default)]
    pub digest: Option<Digest>,
    /// Why, for whoever meets it.
    #[serde(default)]
    pub reason: String,
}

/// `[[floor]]`: the lowest version of a plugin that may run. A vendor's older release is signed as well as the newest,
/// so that without it an old hole could be brought back.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Floor {
    /// Which plugin.
    pub plugin: PluginName,
    /// This version and above.
    pub version: semver::Version,
}

/// Plugins by name: `acme/crm-source`, all of a vendor (`acme/*`), or all there are (`*`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum NamePattern {
    /// `*`
    Every,
    /// `acme/*`, without its end: `acme`.
    Vendor(String),
    /// This one.
    Only(PluginName),
}

/// Not a pattern of names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no plugins: `vendor/name`, `vendor/*`, or `*` for all")]
pub struct NamePatternError(String);

impl NamePattern {
    /// Does it name this plugin?
    pub fn matches(&self, name: &PluginName) -> bool {
        match self {
            Self::Every => true,
            Self::Vendor(vendor) => name.as_str().split('/').next() == Some(vendor),
            Self::Only(only) => only == name,
        }
    }
}

impl FromStr for NamePattern {
    type Err = NamePatternError;
    fn from_str(text: &str) -> Result<Self, NamePatternError> {
        let bad = || NamePatternError(text.chars().take(64).collect());
        if text == "*" {
            return Ok(Self::Every);
        }
        match text.strip_suffix("/*") {
            // A vendor is good where a plugin of it would be.
            Some(vendor) => match format!("{vendor}/x").parse::<PluginName>() {
                Ok(_) => Ok(Self::Vendor(vendor.to_owned())),
                Err(_) => Err(bad()),
            },
            None => text.parse().map(Self::Only).map_err(|_| bad()),
        }
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every => f.write_str("*"),
            Self::Vendor(vendor) => write!(f, "{vendor}/*"),
            Self::Only(name) => write!(f, "{name}"),
        }
    }
}

impl TryFrom<String> for NamePattern {
    type Error = NamePatternError;
    fn try_from(text: String) -> Result<Self, NamePatternError> {
        text.parse()
    }
}

impl From<NamePattern> for String {
    fn from(pattern: NamePattern) -> String {
        pattern.to_string()
    }
}

impl Trust {
    /// Reads a trust file, and checks that it says nothing twice and each id is its key's.
    pub fn parse(file: &str, text: &str) -> Result<Self, FileError> {
        let trust: Self = tomlfile::parse(file, text)?;
        trust.check().map_err(|(pointer, message)| {
            FileError::new(file, message).at_pointer(text, &pointer)
        })?;
        Ok(trust)
    }

    fn check(&self) -> Result<(), (String, String)> {
        for (at, key) in self.key.iter().enumerate() {
            if key.public.id() != key.id {
                let message = format!(
                    "the id of this key is `{}`, not `{}`",
                    key.public.id(),
                    key.id
                );
                return Err((format!("/key/{at}/id"), message));
            }
            if self.key[..at].iter().any(|other| other.id == key.id) {
                return Err((
                    format!("/key/{at}/id"),
                    format!("key `{}` stands twice", key.id),
                ));
            }
        }
        for (at, revoked) in self.revoked.iter().enumerate() {
            if revoked.key.is_some() == revoked.digest.is_some() {
                let message = "name either a `key` or a `digest`".to_owned();
                return Err((format!("/revoked/{at}"), message));
            }
        }
        for (at, floor) in self.floor.iter().enumerate() {
            if self.floor[..at]
                .iter()
                .any(|other| other.plugin == floor.plugin)
            {
                let message = format!("the floor of `{}` stands twice", floor.plugin);
                return Err((format!("/floor/{at}"), message));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> String {
        let key = PublicKey([7; 32]);
        format!(
            r#"[signing]
required = true
unsigned = ["sluice/*", "lab/probe"]

[[key]]
id = "{}"
public = "{key}"
vendor = "acme/*"
expires = "2027-01-31"

[[revoked]]
digest = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
reason = "it leaks"

[[floor]]
plugin = "acme/crm-source"
version = "1.4.0"
"#,
            key.id()
        )
    }

    #[test]
    fn a_whole_file_is_read() {
        let trust = Trust::parse("trust.toml", &whole()).expect("a trust file");
        assert!(trust.signing.required);
        assert_eq!(trust.key[0].expires.to_string(), "2027-02-01T00:00:00Z");
        assert_eq!(Trust::parse("trust.toml", ""), Ok(Trust::default()));
    }

    #[test]
    fn mistakes_are_told() {
        let check = |from: &str, to: &str, expected: &str| {
            let text = whole().replacen(from, to, 1);
            assert_ne!(text, whole(), "the test must change something");
            let error = Trust::parse("t", &text).expect_err("a mistake").to_string();
            assert!(error.contains(expected), "{error}");
        };
        let id = PublicKey([7; 32]).id().to_string();
        check(
            "required",
            "require",
            "t:2:1: unknown key `require`\n  hint: did you mean `required`?",
        );
        check("vendor", "vendors", "did you mean `vendor`?");
        check("expires = \"2027-01-31\"\n", "", "missing field `expires`");
        check("2027-01-31", "soon", "`soon` is not a time");
        check("acme/*", "acme*", "`acme*` names no plugins");
        check("acme/*", "*/*", "`*/*` names no plugins");
        check(
            &id,
            "ed25519:0000000000000000",
            &format!("t:6:1: the id of this key is `{id}`"),
        );
        check(
            "[[revoked]]",
            &format!("[[revoked]]\nkey = \"{id}\""),
            "name either a `key` or a `digest`",
        );
        check("version = \"1.4.0\"", "version = \"1.4\"", "version");
        let twice = whole() + &whole()[whole().find("[[key]]").expect("a key")..];
        let error = Trust::parse("t", &twice).expect_err("twice").to_string();
        assert!(error.contains("stands twice"), "{error}");
        let twice = whole() + "[[floor]]\nplugin = \"acme/crm-source\"\nversion = \"1.0.0\"\n";
        let error = Trust::parse("t", &twice).expect_err("twice").to_string();
        assert!(
            error.contains("the floor of `acme/crm-source` stands twice"),
            "{error}"
        );
    }

    #[test]
    fn patterns_name_whole_vendors() {
        for (pattern, name, expected) in [
            ("*", "acme/x", true),
            ("acme/*", "acme/x", true),
            ("acme/*", "acme-labs/x", false),
            ("acme/*", "other/acme", false),
            ("acme/x", "acme/x", true),
            ("acme/x", "acme/xy", false),
        ] {
            let pattern: NamePattern = pattern.parse().expect("a pattern");
            let name = name.parse().expect("a name");
            assert_eq!(pattern.matches(&name), expected, "{pattern} {name}");
        }
    }
}
