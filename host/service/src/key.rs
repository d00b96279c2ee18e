//! The deployment's key: where `sluice.toml` says it comes from, made where it says nothing and nothing is sealed yet, and
//! changed for another.

use crate::Error;
use crate::deployment::{Deployment, plain, shown};
use serde::Serialize;
use sluice_model::deployment::{FILE, Key};
use sluice_model::guards::Guard;
use sluice_model::tomlfile::FileError;
use sluice_state::keys::{
    Credential, Environment, Kek, KeyError, KeyFile, KeySource, make_key_file, next_key_file,
    promote_key_file,
};
use sluice_state::sealed::{self, OpenError};
use sluice_state::vault::{Vault, VaultError};
use std::path::{Path, PathBuf};

impl From<KeyError> for Error {
    fn from(error: KeyError) -> Self {
        let mut problem = FileError::new(error.place, error.reason);
        problem.hint = error.hint;
        Error::wrong(problem)
    }
}

impl From<OpenError> for Error {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Key(error) => error.into(),
            OpenError::Store(error) => error.into(),
        }
    }
}

impl From<VaultError> for Error {
    fn from(error: VaultError) -> Self {
        let told = |message: String| FileError::new("vault", message);
        let message = error.to_string();
        match error {
            VaultError::Key(error) => error.into(),
            VaultError::Damaged { .. } | VaultError::Unwritten { .. } => Error::Host(message),
            VaultError::None(name) => told(message)
                .hint(format!(
                    "`sluice secret set {name}`; `sluice secret list` shows all"
                ))
                .into(),
            VaultError::There(name) => told(message)
                .hint(format!(
                    "`sluice secret rotate {name}` gives it a new value"
                ))
                .into(),
            VaultError::NoEarlier(_) => told(message)
                .hint("the one before is kept for as long as `--keep` said when it was rotated")
                .into(),
            VaultError::Size | VaultError::Changed(_) => told(message).into(),
        }
    }
}

/// What `sluice key rotate` did.
#[derive(Debug, Clone, Serialize)]
pub struct Rotated {
    /// The key from now on.
    pub key: String,
    /// Whether there was a state store to seal its keys anew.
    pub state: bool,
    /// Whether there was a vault.
    pub vault: bool,
    /// The file that `[state.key]` must name from now on; none where it names the right one already.
    pub name_file: Option<PathBuf>,
    /// Where the key before is kept, where it is in a file that has another key now.
    pub kept_file: Option<PathBuf>,
}

/// The file that holds the key, where it is one.
pub(crate) fn key_file(deployment: &Deployment) -> Option<PathBuf> {
    match &deployment.settings.state.key {
        None => Some(deployment.default_key_file()),
        Some(Key::File { file }) => Some(deployment.base.join(file)),
        Some(_) => None,
    }
}

/// Where the key comes from. Where nothing is said and nothing is sealed yet, there is a key afterwards.
pub fn source(deployment: &Deployment) -> Result<Box<dyn KeySource>, Error> {
    Ok(match &deployment.settings.state.key {
        None => Box::new(default_key(deployment)?),
        Some(Key::File { file }) => Box::new(given_key(deployment.base.join(file))?),
        Some(Key::Systemd { credential }) => Box::new(Credential {
            directory: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
            name: credential.clone(),
        }),
        Some(Key::Env { variable }) => Box::new(Environment {
            variable: variable.clone(),
        }),
    })
}

fn missing(path: &Path, hint: impl Into<String>) -> Error {
    let place = format!("key file `{}`", shown(path));
    Error::wrong(FileError::new(place, "no such file").hint(hint))
}

fn given_key(path: PathBuf) -> Result<KeyFile, Error> {
    if path.exists() {
        return Ok(KeyFile { path });
    }
    let make = format!("`sluice key new {}`", shown(&path));
    let hint = format!("put it back; or, for a deployment that has sealed nothing yet, {make}");
    Err(missing(&path, hint))
}

fn default_key(deployment: &Deployment) -> Result<KeyFile, Error> {
    let path = deployment.default_key_file();
    if path.exists() {
        return Ok(KeyFile { path });
    }
    let (state, vault) = (deployment.state_dir(), deployment.vault_file());
    if Guard::KeyAnew.bars(sealed::is_sealed(&state) || vault.exists()) {
        let what = if vault.exists() { vault } else { state };
        let hint = format!(
            "put it back: `{}` is sealed with it, and nothing else opens it",
            shown(&what)
        );
        return Err(missing(&path, hint));
    }
    let folder = deployment.base.join(&deployment.settings.state.dir);
    let told = |error: std::io::Error| FileError::new(shown(&folder), plain(&error));
    sluice_state::private_folder(&folder).map_err(told)?;
    match make_key_file(&path) {
        Ok(()) => {
            keep_out_of_git(&folder).map_err(told)?;
            tracing::warn!(
                file = shown(&path),
                "`{FILE}` names no key: made one beside what it opens; keep a copy elsewhere, or name one in `[state.key]`"
            );
        }
        // Another process made it just now.
        Err(_) if path.exists() => {}
        Err(error) => return Err(error.into()),
    }
    Ok(KeyFile { path })
}

/// A deployment lives in git; its key must not.
fn keep_out_of_git(folder: &Path) -> std::io::Result<()> {
    let file = folder.join(".gitignore");
    if file.exists() {
        return Ok(());
    }
    std::fs::write(file, "# State and the key that opens it: not for git.\n*\n")
}

/// Makes a key in a new file.
pub fn new(file: &Path) -> Result<(), Error> {
    Ok(make_key_file(file)?)
}

/// Puts another key in the place of the deployment's: the one in this file, or a new one. No data is written again. What a
/// crash leaves half done opens with either key, and is finished by doing it again.
pub fn rotate(deployment: &Deployment, to: Option<&Path>) -> Result<Rotated, Error> {
    let source = source(deployment)?;
    let (next, target) = match (to, key_file(deployment)) {
        (Some(to), _) => (None, to.to_owned()),
        (None, Some(current)) => (Some(current.clone()), next_key_file(&current)),
        (None, None) => {
            let problem = FileError::new("arguments", "the key is not in a file of the host");
            let hint = "`sluice key new FILE`, then `sluice key rotate --to FILE`";
            return Err(problem.hint(hint).into());
        }
    };
    if next.is_some() && !target.exists() {
        make_key_file(&target)?;
    }
    let kek = only(&target)?;
    let state = sealed::rewrap(&deployment.state_dir(), &*source, &kek)?;
    let vault = deployment.vault_file();
    let vault = vault.exists() && Vault::rewrap(&vault, &*source, &kek)?;
    let kept_file = next.as_deref().map(promote_key_file).transpose()?;
    Ok(Rotated {
        key: kek.id().to_string(),
        state,
        vault,
        name_file: next.is_none().then_some(target),
        kept_file,
    })
}

fn only(path: &Path) -> Result<Kek, Error> {
    let source = KeyFile {
        path: path.to_owned(),
    };
    let kek = source.keys()?.into_iter().next();
    kek.ok_or_else(|| missing(path, "`sluice key new FILE` makes one"))
}
