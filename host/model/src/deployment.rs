//! `sluice.toml`: where a deployment keeps what it needs. Nothing secret is in it. Every path stands beside it.

use crate::sizes::Span;
use crate::tomlfile::{self, FileError};
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

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
    /// The organisation's rules over every grant.
    pub policy: Policy,
    /// Whose signatures are believed.
    pub trust: Trust,
    /// The audit trail.
    pub audit: Audit,
    /// What `sluice serve` does.
    pub service: Service,
}

/// `[policy]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// The policy file. One that is named must be there; where none is named, `policy.toml` need not be.
    pub file: Option<PathBuf>,
}

/// `[trust]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Trust {
    /// The trust file. One that is named must be there; where none is named, `trust.toml` need not be.
    pub file: Option<PathBuf>,
}

/// `[state]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct State {
    /// One directory, one process.
    pub dir: PathBuf,
    /// Where the key comes from that seals what is kept. None: from the file `key` in `dir`, made when it is first needed.
    pub key: Option<Key>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            dir: ".sluice".into(),
            key: None,
        }
    }
}

/// `[state.key]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "provider", rename_all = "lowercase", deny_unknown_fields)]
pub enum Key {
    /// A file that is its owner's alone: `sluice key new` makes one.
    File {
        /// Where.
        file: PathBuf,
    },
    /// A credential that systemd hands to the unit.
    Systemd {
        /// Its name: `LoadCredentialEncrypted=sluice-key:…`.
        #[serde(default = "credential")]
        credential: String,
    },
    /// An environment variable.
    Env {
        /// Its name.
        #[serde(default = "variable")]
        variable: String,
    },
}

fn credential() -> String {
    "sluice-key".to_owned()
}

fn variable() -> String {
    "SLUICE_STATE_KEY".to_owned()
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
    Env {},
    /// The deployment's own vault, which `sluice secret` fills.
    Vault {},
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

/// `[service]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Service {
    /// Its `.toml` files are the pipelines that `sluice serve` runs.
    pub pipelines: PathBuf,
    /// Where machines ask how it is: an address of this machine alone. None: nowhere. Port 0: the system picks one.
    pub listen: Option<SocketAddr>,
    /// How long it has, once it is told to stop, to deliver what it has read.
    pub drain: Span,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            pipelines: "pipelines".into(),
            listen: None,
            drain: Span(Duration::from_secs(30)),
        }
    }
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
        assert_eq!(deployment.secrets, Secrets::Env {});
        assert_eq!(deployment.state.dir, PathBuf::from("/var/lib/sluice"));
        let check = |key: &str, expected: Key| {
            let text = format!("[state.key]\n{key}\n");
            let deployment = Deployment::parse("s", &text).expect("a deployment");
            assert_eq!(deployment.state.key, Some(expected));
        };
        check(
            "provider = \"file\"\nfile = \"/etc/sluice/key\"",
            Key::File {
                file: "/etc/sluice/key".into(),
            },
        );
        check(
            "provider = \"systemd\"",
            Key::Systemd {
                credential: credential(),
            },
        );
        check(
            "provider = \"env\"\nvariable = \"K\"",
            Key::Env {
                variable: "K".to_owned(),
            },
        );
        let vault = Deployment::parse("s", "[secrets]\nprovider = \"vault\"\n");
        assert_eq!(
            vault.map(|deployment| deployment.secrets),
            Ok(Secrets::Vault {})
        );
        for wrong in [
            "[state.key]\nfile = \"k\"\n",
            "[state.key]\nprovider = \"file\"\n",
            "[state.key]\nprovider = \"env\"\nfile = \"k\"\n",
            "[secrets]\nprovider = \"vault\"\ndir = \"secrets\"\n",
        ] {
            assert!(Deployment::parse("s", wrong).is_err(), "{wrong}");
        }
        let service = Deployment::parse(
            "s",
            "[service]\npipelines = \"p\"\nlisten = \"127.0.0.1:0\"\ndrain = \"5s\"\n",
        );
        assert_eq!(
            service.map(|deployment| deployment.service),
            Ok(Service {
                pipelines: "p".into(),
                listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
                drain: Span(Duration::from_secs(5)),
            })
        );
        let error = Deployment::parse("s", "[stat]\n")
            .expect_err("a typo")
            .to_string();
        assert!(error.contains("did you mean `state`?"), "{error}");
    }
}
