//! Creating, renaming and removing, durably: what `finish` and `rename` return for survives a power cut.

use super::{path, quoted, regular, told};
use crate::bindings::imports::files::FileError;
use cap_std::fs::{Dir, File, MetadataExt as _, OpenOptions};
use sluice_model::guards::Guard;
use std::io::{self, Write as _};
use std::sync::Arc;

/// A directory granted with `mode = "write"`.
pub struct Writable(pub(super) Arc<Dir>);

/// Bytes written before the disk is set to work on them.
const WRITEBACK_BYTES: u64 = 1 << 20;

/// A file being written. None once it is finished.
pub struct Writing {
    pub(super) path: String,
    pub(super) file: Option<Arc<File>>,
    written: u64,
    /// How far the disk was set to work.
    begun: u64,
}

impl Writing {
    pub(super) fn new(path: String, file: File) -> Self {
        Self {
            path,
            file: Some(Arc::new(file)),
            written: 0,
            begun: 0,
        }
    }

    /// On the caller's thread: a piece of a few megabytes, into memory.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        let mut file: &File = self.open()?;
        file.write_all(bytes)
            .map_err(|error| told(&self.path, &error))?;
        self.written += bytes.len() as u64;
        self.begin_writeback();
        Ok(())
    }

    /// Sets the disk to work on what is written so far, so that `finish` has little left to wait for. Advice, and
    /// without an outcome: what the disk makes of these bytes is what `finish` is told, who syncs them all.
    fn begin_writeback(&mut self) {
        let fresh = self.written - self.begun;
        if let (Some(file), true) = (&self.file, fresh >= WRITEBACK_BYTES) {
            let length = std::num::NonZeroU64::new(fresh);
            let _ = rustix::fs::fadvise(file, self.begun, length, rustix::fs::Advice::DontNeed);
            self.begun = self.written;
        }
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
    folders(dir, path).map_err(|error| told(path, &error))?;
    // Emptied only once it is known to be a regular file.
    let file = regular(dir, path, OpenOptions::new().write(true).create(true))?;
    itself_alone(&file, path)?;
    file.set_len(0).map_err(|error| told(path, &error))?;
    Ok(file)
}

/// A file of one name. One of several is another place's as well, and emptying it here would empty it there. No plugin
/// can make a hard link; who may write to the directory without the host can.
fn itself_alone(file: &File, path: &str) -> Result<(), FileError> {
    let names = file.metadata().map_err(|error| told(path, &error))?.nlink();
    if Guard::FileAlone.bars(names > 1) {
        return Err(FileError::Invalid(format!(
            "`{}` is a hard link: it stands elsewhere too",
            quoted(path)
        )));
    }
    Ok(())
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
    folders(dir, new).map_err(|error| told(new, &error))?;
    dir.rename(old, dir, new)
        .map_err(|error| told(new, &error))?;
    sync_folder(dir, path::parent(new)).map_err(|error| told(new, &error))?;
    if path::parent(old) != path::parent(new) {
        sync_folder(dir, path::parent(old)).map_err(|error| told(old, &error))?;
    }
    Ok(())
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
    if Guard::FileNoLink.bars(!kind.is_file()) {
        return Err(FileError::Invalid(format!(
            "`{}` is not a regular file",
            quoted(path)
        )));
    }
    Ok(())
}

/// Makes the folders that a path stands in, durably: a name in a folder that is lost is lost too. Where they are there
/// already, this is one look.
fn folders(dir: &Dir, path: &str) -> io::Result<()> {
    let Some(parent) = path::parent(path).filter(|parent| !dir.is_dir(parent)) else {
        return Ok(());
    };
    dir.create_dir_all(parent)?;
    let mut made = Some(parent);
    while let Some(folder) = made {
        sync_folder(dir, Some(folder))?;
        made = path::parent(folder);
    }
    sync_folder(dir, None)
}

/// Makes the names in a folder durable (none: in the granted one). Opened as a file, for the handle of a `Dir` only
/// names it, and cannot be synced.
fn sync_folder(dir: &Dir, folder: Option<&str>) -> io::Result<()> {
    dir.open(folder.unwrap_or("."))?.sync_all()
}
