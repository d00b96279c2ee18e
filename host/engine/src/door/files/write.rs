//! Creating, renaming and removing, durably: what `finish` and `rename` return for survives a power cut.

use super::{path, quoted, regular, told};
use crate::bindings::imports::files::FileError;
use cap_std::fs::{Dir, File, OpenOptions};
use std::io::{self, Write as _};
use std::sync::Arc;

/// A directory granted with `mode = "write"`.
pub struct Writable(pub(super) Arc<Dir>);

/// A file being written. None once it is finished.
pub struct Writing {
    pub(super) path: String,
    pub(super) file: Option<Arc<File>>,
}

impl Writing {
    /// On the caller's thread: a piece of a few megabytes, into memory.
    pub(super) fn write(&self, bytes: &[u8]) -> Result<(), FileError> {
        let mut file: &File = self.open()?;
        file.write_all(bytes)
            .map_err(|error| told(&self.path, &error))
    }

    pub(super) fn open(&self) -> Result<&Arc<File>, FileError> {
        let finished = || {
            FileError::Invalid(format!(
                "`{}` is finished, and takes no more",
                quoted(&self.path)
            ))
        };
        self.file.as_ref().ok_or_else(finished)
    }
}

/// A new file, or an empty one in the place of an old.
pub(super) fn create(dir: &Dir, path: &str) -> Result<File, FileError> {
    path::check(path)?;
    if let Some(parent) = path::parent(path) {
        dir.create_dir_all(parent)
            .map_err(|error| told(path, &error))?;
    }
    // Emptied only once it is known to be a regular file.
    let file = regular(dir, path, OpenOptions::new().write(true).create(true))?;
    file.set_len(0).map_err(|error| told(path, &error))?;
    Ok(file)
}

/// Makes the file's bytes durable, then its new name, then forgets its old one.
pub(super) fn rename(dir: &Dir, old: &str, new: &str) -> Result<(), FileError> {
    path::check(old)?;
    path::check(new)?;
    itself_regular(dir, old)?;
    match itself_regular(dir, new) {
        Ok(()) | Err(FileError::NotFound(_)) => {}
        Err(other) => return Err(other),
    }
    let file = regular(dir, old, OpenOptions::new().read(true))?;
    file.sync_all().map_err(|error| told(old, &error))?;
    if let Some(parent) = path::parent(new) {
        dir.create_dir_all(parent)
            .map_err(|error| told(new, &error))?;
    }
    dir.rename(old, dir, new)
        .map_err(|error| told(new, &error))?;
    sync_above(dir, new).map_err(|error| told(new, &error))?;
    sync_above(dir, old).map_err(|error| told(old, &error))
}

/// Removes a regular file.
pub(super) fn remove(dir: &Dir, path: &str) -> Result<(), FileError> {
    path::check(path)?;
    itself_regular(dir, path)?;
    dir.remove_file(path).map_err(|error| told(path, &error))
}

/// What stands at this path is a regular file, not a link to one: a rename would move the link.
fn itself_regular(dir: &Dir, path: &str) -> Result<(), FileError> {
    let kind = dir
        .symlink_metadata(path)
        .map_err(|error| told(path, &error))?;
    if !kind.is_file() {
        return Err(FileError::Invalid(format!(
            "`{}` is not a regular file",
            quoted(path)
        )));
    }
    Ok(())
}

/// Every directory from the one a path stands in up to the granted one: any of them may be new. Opened as files, for
/// the handle of a `Dir` only names it, and cannot be synced.
fn sync_above(dir: &Dir, path: &str) -> io::Result<()> {
    let mut at = path;
    while let Some(parent) = path::parent(at) {
        dir.open(parent)?.sync_all()?;
        at = parent;
    }
    dir.open(".")?.sync_all()
}
