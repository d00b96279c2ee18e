//! A deployment on disk: the folder with `sluice.toml`, and what it names.

use crate::Error;
use sluice_model::deployment::{Deployment as Settings, FILE};
use sluice_model::tomlfile::FileError;
use std::path::{Path, PathBuf};

/// A deployment. Every relative path in its files stands beside `sluice.toml`.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// The folder.
    pub base: PathBuf,
    /// What `sluice.toml` says.
    pub settings: Settings,
}

impl Deployment {
    /// The nearest `sluice.toml` in this folder or above it.
    pub fn find(start: &Path) -> Result<Self, Error> {
        // The folder of `x.toml` is the empty path, which is here.
        let start = std::path::absolute(Path::new(".").join(start))
            .map_err(|error| FileError::new(start.display().to_string(), error.to_string()))?;
        let base = start
            .ancestors()
            .find(|folder| folder.join(FILE).is_file())
            .ok_or_else(|| {
                FileError::new(
                    start.display().to_string(),
                    format!("no `{FILE}` here or in any folder above"),
                )
                .hint(format!("an empty `{FILE}` beside your pipelines will do"))
            })?;
        let file = base.join(FILE);
        let text = read(&file)?;
        let settings = Settings::parse(&shown(&file), &text)?;
        Ok(Self {
            base: base.to_owned(),
            settings,
        })
    }

    /// Whether there is a deployment at this folder or above it.
    pub fn is_around(start: &Path) -> bool {
        std::path::absolute(Path::new(".").join(start))
            .is_ok_and(|start| start.ancestors().any(|folder| folder.join(FILE).is_file()))
    }

    /// Where checkpoints and dead letters are kept.
    pub fn state_dir(&self) -> PathBuf {
        self.base.join(&self.settings.state.dir).join("state")
    }

    /// The vault of secrets, where one is used.
    pub fn vault_file(&self) -> PathBuf {
        self.base.join(&self.settings.state.dir).join("vault")
    }

    /// The key of all that is sealed, where `sluice.toml` names none.
    pub fn default_key_file(&self) -> PathBuf {
        self.base.join(&self.settings.state.dir).join("key")
    }

    /// The organisation's policy; it need not be there.
    pub fn policy_file(&self) -> PathBuf {
        let named = self.settings.policy.file.as_deref();
        self.base
            .join(named.unwrap_or(sluice_model::policy::FILE.as_ref()))
    }

    /// The trust file; it need not be there.
    pub fn trust_file(&self) -> PathBuf {
        let named = self.settings.trust.file.as_deref();
        self.base
            .join(named.unwrap_or(sluice_model::trust::FILE.as_ref()))
    }

    /// Where the audit trail is.
    pub fn audit_dir(&self) -> PathBuf {
        self.base.join(&self.settings.state.dir).join("audit")
    }

    /// Where compiled plugins are kept.
    pub fn cache_dir(&self) -> PathBuf {
        self.base.join(&self.settings.state.dir).join("compiled")
    }

    /// Where plugins are found by name.
    pub fn plugins_dir(&self) -> PathBuf {
        self.base.join(&self.settings.plugins.dir)
    }

    /// Where the pipelines of a service are.
    pub fn pipelines_dir(&self) -> PathBuf {
        self.base.join(&self.settings.service.pipelines)
    }

    /// Where grants are.
    pub fn grants_dir(&self) -> PathBuf {
        self.base.join(&self.settings.grants.dir)
    }
}

/// A file's text, or who cannot be read and why.
pub fn read(file: &Path) -> Result<String, FileError> {
    std::fs::read_to_string(file).map_err(|error| FileError::new(shown(file), plain(&error)))
}

/// A path as messages show it: from the current folder where it lies below.
pub fn shown(path: &Path) -> String {
    std::env::current_dir()
        .ok()
        .and_then(|here| path.strip_prefix(here).ok().map(Path::to_owned))
        .unwrap_or_else(|| path.to_owned())
        .display()
        .to_string()
}

/// An IO error in the house's words.
pub fn plain(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        std::io::ErrorKind::InvalidData => "not text in UTF-8".to_owned(),
        _ => error.to_string().to_lowercase(),
    }
}
