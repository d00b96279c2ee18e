//! The files of a trail, or of its copy: segments by number, the signed checkpoints, the key.

use crate::error::{AuditError, io};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

const SEGMENT: &str = "log";

/// Where a trail is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder(PathBuf);

impl Folder {
    /// A folder that is there or not.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self(dir.into())
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Makes it, for its owner alone.
    pub(crate) fn create(&self) -> Result<(), AuditError> {
        let mut builder = DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(&self.0);
        made.map_err(io(&self.0))
    }

    /// The segment of this number, from 1: `00000001.log`.
    pub(crate) fn segment(&self, number: u32) -> PathBuf {
        self.0.join(format!("{number:08}.{SEGMENT}"))
    }

    /// Signed checkpoints, one after the other.
    pub(crate) fn checkpoints(&self) -> PathBuf {
        self.0.join("checkpoints")
    }

    /// The key that signs.
    pub(crate) fn key(&self) -> PathBuf {
        self.0.join("key")
    }

    /// The key that will sign, while one takes the other's place.
    pub(crate) fn next_key(&self) -> PathBuf {
        self.0.join("key.next")
    }

    /// The public half.
    pub(crate) fn public_key(&self) -> PathBuf {
        self.0.join("key.pub")
    }

    /// Where the copy is, once there was one.
    pub(crate) fn copied(&self) -> PathBuf {
        self.0.join("copied")
    }

    /// Held by whoever appends.
    pub(crate) fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    /// The numbers of the segments there are, in order, gaps and all.
    pub(crate) fn segments(&self) -> Result<Vec<u32>, AuditError> {
        let entries = match std::fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io(&self.0)(error)),
        };
        let mut numbers = Vec::new();
        for entry in entries {
            let name = entry.map_err(io(&self.0))?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".log"));
            numbers.extend(
                number
                    .filter(|digits| digits.len() == 8)
                    .and_then(|digits| digits.parse::<u32>().ok()),
            );
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Whether there is no entry yet, and no checkpoint of one.
    pub(crate) fn is_blank(&self) -> Result<bool, AuditError> {
        Ok(contents(&self.segment(1))?.is_empty() && contents(&self.checkpoints())?.is_empty())
    }

    /// Makes the names in it durable.
    pub(crate) fn sync(&self) -> Result<(), AuditError> {
        let opened = File::open(&self.0).and_then(|dir| dir.sync_all());
        opened.map_err(io(&self.0))
    }
}

/// A file's bytes; none where there is no such file.
pub(crate) fn contents(file: &Path) -> Result<Vec<u8>, AuditError> {
    let mut bytes = Vec::new();
    match File::open(file).and_then(|mut opened| opened.read_to_end(&mut bytes)) {
        Ok(_) => Ok(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(io(file)(error)),
    }
}

/// A file that is written at its end, made where it is not there.
pub(crate) fn opened(path: &Path) -> Result<File, AuditError> {
    let mut options = OpenOptions::new();
    let opened = options
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path);
    opened.map_err(io(path))
}
