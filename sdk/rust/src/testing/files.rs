//! Granted directories, for a test: each name stands for a real directory. The refusals are the host's own, as far as
//! a path alone tells.

use crate::files::{Entry, FileError};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

thread_local! {
    static GRANTED: RefCell<HashMap<String, PathBuf>> = RefCell::new(HashMap::new());
}

/// Grants `name` to this thread's plugins from now on; it stands for the directory at `path`.
pub fn dir(name: impl Into<String>, path: impl Into<PathBuf>) {
    GRANTED.with(|granted| granted.borrow_mut().insert(name.into(), path.into()));
}

/// A granted directory.
#[derive(Debug)]
pub(crate) struct Dir {
    root: PathBuf,
}

impl Dir {
    pub(crate) fn open(name: &str) -> Result<Self, FileError> {
        let root = GRANTED.with(|granted| granted.borrow().get(name).cloned());
        let root = root.ok_or_else(|| {
            FileError::Denied(format!("`{name}` is not granted: call `testing::dir`"))
        })?;
        Ok(Self { root })
    }

    pub(crate) fn list(&self, hidden: bool) -> Result<Vec<Entry>, FileError> {
        let mut entries = Vec::new();
        walk(&self.root, "", hidden, &mut entries).map_err(|error| file_error(".", &error))?;
        entries.sort_by(|a: &Entry, b| a.path.cmp(&b.path));
        Ok(entries)
    }

    pub(crate) fn read(&self, path: &str, offset: u64, max: u32) -> Result<Vec<u8>, FileError> {
        let most = u64::from(max.min(crate::files::READ_BYTES_MAX));
        let at = self.at(path)?;
        let mut bytes = Vec::new();
        let mut read = || {
            let mut file = fs::File::open(&at)?;
            file.seek(SeekFrom::Start(offset))?;
            file.take(most).read_to_end(&mut bytes)
        };
        read().map_err(|error| file_error(path, &error))?;
        Ok(bytes)
    }

    pub(crate) fn create(&self, path: &str) -> Result<OpenFile, FileError> {
        let at = self.at(path)?;
        let make = || {
            at.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::File::create(&at)
        };
        Ok(OpenFile {
            path: path.to_owned(),
            file: make().map_err(|error| file_error(path, &error))?,
        })
    }

    pub(crate) fn rename(&self, old: &str, new: &str) -> Result<(), FileError> {
        fs::rename(self.at(old)?, self.at(new)?).map_err(|error| file_error(old, &error))
    }

    pub(crate) fn remove(&self, path: &str) -> Result<(), FileError> {
        fs::remove_file(self.at(path)?).map_err(|error| file_error(path, &error))
    }

    fn at(&self, path: &str) -> Result<PathBuf, FileError> {
        let usable =
            !path.is_empty() && path.split('/').all(|name| !matches!(name, "" | "." | ".."));
        if usable {
            Ok(self.root.join(path))
        } else {
            Err(FileError::Invalid(format!("`{path}` cannot be used")))
        }
    }
}

/// A file being written.
#[derive(Debug)]
pub(crate) struct OpenFile {
    path: String,
    file: fs::File,
}

impl OpenFile {
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.file
            .write_all(bytes)
            .map_err(|error| file_error(&self.path, &error))
    }

    pub(crate) fn finish(self) -> Result<(), FileError> {
        self.file
            .sync_all()
            .map_err(|error| file_error(&self.path, &error))
    }
}

fn walk(at: &Path, below: &str, hidden: bool, entries: &mut Vec<Entry>) -> std::io::Result<()> {
    for entry in fs::read_dir(at)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if name.starts_with('.') && !hidden {
            continue;
        }
        let path = if below.is_empty() {
            name
        } else {
            format!("{below}/{name}")
        };
        let kind = entry.file_type()?;
        if kind.is_dir() {
            walk(&entry.path(), &path, hidden, entries)?;
        } else if kind.is_file() {
            let meta = entry.metadata()?;
            let modified = meta
                .modified()?
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            entries.push(Entry {
                path,
                bytes: meta.len(),
                modified_ms: modified.as_millis() as u64,
            });
        }
    }
    Ok(())
}

fn file_error(path: &str, error: &std::io::Error) -> FileError {
    match error.kind() {
        ErrorKind::NotFound => FileError::NotFound(format!("`{path}` does not exist")),
        ErrorKind::Interrupted | ErrorKind::WouldBlock => {
            FileError::Transient(format!("`{path}`: {error}"))
        }
        _ => FileError::Other(format!("`{path}`: {error}")),
    }
}
