//! Secrets in a directory: one file each, its owner's alone. The value is the file's content without its last line end.

use super::{Provider, Trouble, cannot_be_written};
use crate::deployment::{plain, shown};
use sluice_model::guards::Guard;
use sluice_model::ids::SecretName;
use sluice_model::limits::SECRET_BYTES_MAX;
use sluice_model::ports::{SecretError, Secrets};
use sluice_model::secret::Secret;
use sluice_state::FileIdentity;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use zeroize::Zeroizing;

pub(super) struct Folder {
    dir: PathBuf,
    read: Mutex<HashMap<SecretName, Known>>,
}

/// A file as it was read.
struct Known {
    identity: FileIdentity,
    value: Secret,
    /// Kept open: see [`FileIdentity`].
    _file: File,
}

impl Folder {
    pub fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            read: Mutex::default(),
        }
    }

    fn value(&self, name: &SecretName) -> Result<Secret, String> {
        let file = self.dir.join(name.as_str());
        let identity = of_secret(&file)?;
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = read.get(name)
            && known.identity == identity
        {
            return Ok(known.value.clone());
        }
        let known = from_file(&file)?;
        let value = known.value.clone();
        read.insert(name.clone(), known);
        Ok(value)
    }
}

impl Secrets for Folder {
    fn get(&self, name: &SecretName) -> Result<Option<Secret>, SecretError> {
        let value = self.value(name);
        value.map(Some).map_err(|reason| SecretError {
            name: name.clone(),
            reason,
        })
    }

    fn replace(&self, name: &SecretName, _: &Secret, _: Secret) -> Result<bool, SecretError> {
        Err(cannot_be_written(name, "a file"))
    }
}

impl Provider for Folder {
    fn check(&self, name: &SecretName) -> Result<(), Trouble> {
        let value = self.value(name);
        value.map(drop).map_err(|message| Trouble {
            message,
            hint: None,
        })
    }
}

fn told(file: &Path, error: &dyn std::fmt::Display) -> String {
    format!("secret file `{}`: {error}", shown(file))
}

/// The file that has this name now, where it may hold a secret.
fn of_secret(file: &Path) -> Result<FileIdentity, String> {
    let metadata = std::fs::symlink_metadata(file).map_err(|error| told(file, &plain(&error)))?;
    fits(&metadata).map_err(|error| told(file, &error))?;
    Ok(FileIdentity::new(&metadata))
}

fn fits(metadata: &std::fs::Metadata) -> Result<(), String> {
    if Guard::SecretFileRegular.bars(!metadata.is_file()) {
        return Err("not a regular file".to_owned());
    }
    if metadata.len() > Guard::SecretFileBytes.limit(SECRET_BYTES_MAX) {
        return Err(format!("larger than {SECRET_BYTES_MAX} bytes"));
    }
    only_its_owner(metadata)
}

fn from_file(path: &Path) -> Result<Known, String> {
    let mut file = File::open(path).map_err(|error| told(path, &plain(&error)))?;
    // Of what was opened, which may be another file than was looked at.
    let metadata = file.metadata().map_err(|error| told(path, &error))?;
    fits(&metadata).map_err(|error| told(path, &error))?;
    // With room for all of it: a vector that grows leaves copies behind.
    let mut value = Zeroizing::new(Vec::with_capacity(SECRET_BYTES_MAX as usize + 1));
    file.by_ref()
        .take(SECRET_BYTES_MAX)
        .read_to_end(&mut value)
        .map_err(|error| told(path, &error))?;
    Ok(Known {
        identity: FileIdentity::new(&metadata),
        value: Secret::new(without_line_end(&value).to_vec()),
        _file: file,
    })
}

/// A value as people write it into a file or a pipe: one line end after it is not part of it.
pub fn without_line_end(value: &[u8]) -> &[u8] {
    let value = value.strip_suffix(b"\n").unwrap_or(value);
    value.strip_suffix(b"\r").unwrap_or(value)
}

/// A secret that others on the machine can read is no secret.
pub(crate) fn only_its_owner(metadata: &std::fs::Metadata) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = metadata.permissions().mode() & 0o777;
    if Guard::SecretFileMode.holds(mode.trailing_zeros() >= 6) {
        return Ok(());
    }
    Err(format!(
        "mode {mode:o} lets others read it; hint: `chmod 600` it"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn mode(file: &Path, mode: u32) {
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn said(folder: &Folder, name: &str) -> Result<Vec<u8>, String> {
        let value = folder.get(&name.parse().unwrap());
        value
            .map(|value| value.unwrap().expose().to_vec())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_gives_its_content_to_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path().to_owned());
        let file = dir.path().join("token");
        std::fs::write(&file, "made-up\n").unwrap();
        mode(&file, 0o600);
        assert_eq!(said(&folder, "token").unwrap(), b"made-up");
        mode(&file, 0o640);
        let error = said(&folder, "token").unwrap_err();
        assert!(
            error.contains("mode 640") && !error.contains("made-up"),
            "{error}"
        );
        assert!(said(&folder, "none").unwrap_err().contains("no such file"));
        std::fs::create_dir(dir.path().join("inner")).unwrap();
        assert!(
            said(&folder, "inner")
                .unwrap_err()
                .contains("not a regular file")
        );
        std::os::unix::fs::symlink(&file, dir.path().join("link")).unwrap();
        assert!(
            said(&folder, "link")
                .unwrap_err()
                .contains("not a regular file")
        );
    }

    #[test]
    fn a_file_that_is_no_secret_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("image");
        std::fs::write(&file, vec![b'a'; SECRET_BYTES_MAX as usize + 1]).unwrap();
        mode(&file, 0o600);
        let error = said(&Folder::new(dir.path().to_owned()), "image").unwrap_err();
        assert!(error.contains("larger than 65536 bytes"), "{error}");
    }

    #[test]
    fn a_file_that_is_replaced_or_written_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path().to_owned());
        let (file, beside) = (dir.path().join("token"), dir.path().join("beside"));
        for round in 0..50 {
            let value = format!("value-{round:03}");
            std::fs::write(&beside, &value).unwrap();
            mode(&beside, 0o600);
            std::fs::rename(&beside, &file).unwrap();
            assert_eq!(said(&folder, "token").unwrap(), value.as_bytes());
            assert_eq!(said(&folder, "token").unwrap(), value.as_bytes());
        }
        std::fs::write(&file, "in its place").unwrap();
        assert_eq!(said(&folder, "token").unwrap(), b"in its place");
        let old = Secret::new(vec![0]);
        let error = folder.replace(&"token".parse().unwrap(), &old, Secret::new(vec![1]));
        assert!(
            error
                .unwrap_err()
                .to_string()
                .contains("provider = \"vault\"")
        );
    }
}
