//! `sluice.toml`: where a deployment keeps what it needs. Nothing secret is in it. Every path stands beside it.

use crate::tomlfile::{self, FileError};
use serde::Deserialize;
use std::path::PathBuf;

/// The file's name, looked for beside a pipeline file and in the folders above it.
pub const FILE: &str = "sluice.toml";

/// A whole `sluice.toml`; every part may be left out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Deployment {
    /// Checkpoints and dead letters.
    pub state: State,
    /// Components, found by the name in their manifest.
    pub plugins: Plugins,
    /// Grants.
    pub grants: Grants,
    /// Where secrets come from.
    pub secrets: Secrets,
    /// The audit trail.
    pub audit: Audit,
}

/// `[state]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct State {
    /// One directory, one process.
    pub dir: PathBuf,
}

impl Default for State {
    fn default() -> Self {
        Self {
            dir: ".sluice".into(),
        }
    }
}

/// `[plugins]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Plugins {
    /// Its `.wasm` files are the plugins that a name can mean.
    pub dir: PathBuf,
}

impl Default for Plugins {
    fn default() -> Self {
        Self {
            dir: "plugins".into(),
        }
    }
}

/// `[grants]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Grants {
    /// Its `.toml` files are the grants.
    pub dir: PathBuf,
}

impl Default for Grants {
    fn default() -> Self {
        Self {
            dir: "grants".into(),
        }
    }
}

/// `[secrets]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "provider", rename_all = "lowercase", deny_unknown_fields)]
pub enum Secrets {
    /// A directory with one file a secret, readable by its owner alone; the value is the file's content without
    /// its last line end. What systemd's credentials look like.
    Dir {
        /// Where.
        dir: PathBuf,
    },
    /// Environment variables: `crm-token` is `SLUICE_SECRET_CRM_TOKEN`.
    Env,
}

impl Default for Secrets {
    fn default() -> Self {
        Self::Dir {
            dir: "secrets".into(),
        }
    }
}

/// `[audit]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Audit {
    /// A second place for the trail, as it grows: best on another disk, or another machine's.
    pub copy: Option<PathBuf>,
}

impl Deployment {
    /// Reads a `sluice.toml`.
    pub fn parse(file: &str, text: &str) -> Result<Self, FileError> {
        tomlfile::parse(file, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_may_be_left_out() {
        assert_eq!(Deployment::parse("s", ""), Ok(Deployment::default()));
        let text = "[secrets]\nprovider = \"env\"\n[state]\ndir = \"/var/lib/sluice\"\n";
        let deployment = Deployment::parse("s", text).expect("a deployment");
        assert_eq!(deployment.secrets, Secrets::Env);
        assert_eq!(deployment.state.dir, PathBuf::from("/var/lib/sluice"));
        let error = Deployment::parse("s", "[stat]\n")
            .expect_err("a typo")
            .to_string();
        assert!(error.contains("did you mean `state`?"), "{error}");
    }
}
