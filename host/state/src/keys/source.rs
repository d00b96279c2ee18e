//! Where a deployment's key comes from. Asked once, when the store or the vault is opened.

use super::file::{Others, next_key_file, read};
use super::{Kek, KeyError};
use std::path::{Path, PathBuf};

/// A place that keys come from.
pub trait KeySource: Send + Sync {
    /// The place, as messages name it.
    fn place(&self) -> String;

    /// The key in use, first; while one takes the other's place, both.
    fn keys(&self) -> Result<Vec<Kek>, KeyError>;
}

fn parsed(place: &str, text: &[u8]) -> Result<Kek, KeyError> {
    Kek::parse(text).map_err(|reason| {
        KeyError::new(place, reason).hint("`sluice key new FILE` makes one; restore this one")
    })
}

/// A file that is its owner's alone. Beside it stands the next key while a rotation is under way.
#[derive(Debug, Clone)]
pub struct KeyFile {
    /// Where.
    pub path: PathBuf,
}

impl KeySource for KeyFile {
    fn place(&self) -> String {
        format!("key file `{}`", self.path.display())
    }

    fn keys(&self) -> Result<Vec<Kek>, KeyError> {
        let key = |path: &Path| {
            let text = read(path, Others::None)?;
            parsed(&format!("key file `{}`", path.display()), &text)
        };
        let mut keys = vec![key(&self.path)?];
        match key(&next_key_file(&self.path)) {
            Ok(next) => keys.push(next),
            Err(error) if error.is_missing => {}
            Err(error) => return Err(error),
        }
        Ok(keys)
    }
}

/// A credential that systemd hands to the service: a file in `$CREDENTIALS_DIRECTORY`.
#[derive(Debug, Clone)]
pub struct Credential {
    /// `$CREDENTIALS_DIRECTORY`, where it is set.
    pub directory: Option<PathBuf>,
    /// Its name: `LoadCredentialEncrypted=NAME:…`.
    pub name: String,
}

impl KeySource for Credential {
    fn place(&self) -> String {
        format!("systemd credential `{}`", self.name)
    }

    fn keys(&self) -> Result<Vec<Kek>, KeyError> {
        let directory = self.directory.as_deref().ok_or_else(|| KeyError {
            is_missing: true,
            ..KeyError::new(self.place(), "`CREDENTIALS_DIRECTORY` is not set").hint(format!(
                "run as a unit with `LoadCredentialEncrypted={}:…`",
                self.name
            ))
        })?;
        let text = read(&directory.join(&self.name), Others::Group)?;
        Ok(vec![parsed(&self.place(), &text)?])
    }
}

/// An environment variable. The last resort: other processes of the same user can read it.
#[derive(Debug, Clone)]
pub struct Environment {
    /// Its name.
    pub variable: String,
}

impl KeySource for Environment {
    fn place(&self) -> String {
        format!("environment variable `{}`", self.variable)
    }

    fn keys(&self) -> Result<Vec<Kek>, KeyError> {
        let value = std::env::var_os(&self.variable).ok_or_else(|| KeyError {
            is_missing: true,
            ..KeyError::new(self.place(), "it is not set")
        })?;
        let value = zeroize::Zeroizing::new(value.into_encoded_bytes());
        tracing::warn!(
            variable = self.variable,
            "the key comes from the environment, which other processes of this user can read; a file or a systemd \
             credential is safer"
        );
        Ok(vec![parsed(&self.place(), &value)?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::make_key_file;

    #[test]
    fn a_file_gives_its_key_and_the_next() {
        let folder = tempfile::tempdir().expect("a folder");
        let source = KeyFile {
            path: folder.path().join("key"),
        };
        assert!(source.keys().err().expect("none yet").is_missing);
        make_key_file(&source.path).expect("makes");
        assert_eq!(source.keys().unwrap_or_else(|e| panic!("{e}")).len(), 1);
        make_key_file(&next_key_file(&source.path)).expect("makes");
        assert_eq!(source.keys().unwrap_or_else(|e| panic!("{e}")).len(), 2);
        std::fs::write(next_key_file(&source.path), "half").expect("writes");
        let error = source.keys().err().expect("half a key is no key");
        assert!(error.place.ends_with("key.next`"), "{error}");
    }

    #[test]
    fn a_credential_is_a_file_that_systemd_names() {
        let folder = tempfile::tempdir().expect("a folder");
        make_key_file(&folder.path().join("state-key")).expect("makes");
        let mut source = Credential {
            directory: Some(folder.path().to_owned()),
            name: "state-key".to_owned(),
        };
        assert_eq!(source.keys().unwrap_or_else(|e| panic!("{e}")).len(), 1);
        source.name = "other".to_owned();
        assert!(source.keys().err().expect("not there").is_missing);
        source.directory = None;
        let error = source.keys().err().expect("not a unit");
        assert!(error.reason.contains("CREDENTIALS_DIRECTORY"), "{error}");
    }
}
