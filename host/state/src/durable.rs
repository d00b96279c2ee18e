//! Small files that are replaced whole: written beside, synced, renamed over, their folder synced. A crash leaves the
//! old one or the new one, never half of one. Readable by their owner alone.

use sluice_model::guards::Guard;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Puts `bytes` in the place of whatever the file held. One caller at a time: whoever calls holds the file's lock.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = beside(path, "new");
    write(&beside, bytes)?;
    fs::rename(&beside, path)?;
    sync_folder(path)
}

/// Makes a file that must not be there yet. Of two who try at once one succeeds.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = beside(path, &format!("{}.new", std::process::id()));
    write(&beside, bytes)?;
    let linked = fs::hard_link(&beside, path);
    fs::remove_file(&beside)?;
    linked?;
    sync_folder(path)
}

/// Writes zeros over a file that has been replaced, as far as its disk overwrites in place.
pub(crate) fn wipe(mut file: &File) -> io::Result<()> {
    let length = usize::try_from(file.metadata()?.len()).unwrap_or_default();
    io::Seek::rewind(&mut file)?;
    file.write_all(&vec![0; length])?;
    file.sync_all()
}

/// Makes a change of the folder that holds `path` durable.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{extension}"));
    name.into()
}

/// Makes a folder, and those above it, for their owner alone. One that is there stays as it is.
pub fn private_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // What a crash left, or somebody put there: neither its mode nor what it links to is taken over.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    if Guard::FileSync.stands() {
        file.sync_all()?;
    }
    Ok(())
}

/// What changes when a file is replaced or written. Whoever compares keeps the file open, so that the number of its inode
/// is not given to the file that replaces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileIdentity {
    inode: (u64, u64),
    modified: (i64, i64),
    changed: (i64, i64),
    bytes: u64,
}

impl FileIdentity {
    /// Of the file that has this name now; none where there is none.
    pub fn of(path: &Path) -> io::Result<Option<Self>> {
        match fs::metadata(path) {
            Ok(metadata) => Ok(Some(Self::new(&metadata))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Of the file that these are of.
    pub fn new(metadata: &fs::Metadata) -> Self {
        Self {
            inode: (metadata.dev(), metadata.ino()),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            bytes: metadata.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn what_is_written_is_its_owners_whatever_was_there() {
        let dir = tempfile::tempdir().expect("a directory");
        let folder = dir.path().join("a/b");
        private_folder(&folder).expect("makes");
        private_folder(&folder).expect("is there");
        let mode = |path: &Path| fs::metadata(path).expect("is there").permissions().mode() & 0o777;
        assert_eq!((mode(&dir.path().join("a")), mode(&folder)), (0o700, 0o700));
        let (file, theirs) = (folder.join("file"), dir.path().join("theirs"));
        fs::write(&theirs, "theirs").expect("writes");
        std::os::unix::fs::symlink(&theirs, beside(&file, "new")).expect("links");
        replace(&file, b"ours").expect("replaces");
        assert_eq!(fs::read(&theirs).expect("reads"), b"theirs");
        assert_eq!(
            (fs::read(&file).expect("reads"), mode(&file)),
            (b"ours".to_vec(), 0o600)
        );
        fs::write(beside(&file, "new"), "stale").expect("writes");
        replace(&file, b"next").expect("replaces");
        assert_eq!(
            (fs::read(&file).expect("reads"), mode(&file)),
            (b"next".to_vec(), 0o600)
        );
    }
}
