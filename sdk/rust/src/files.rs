//! Granted directories, for plugins whose manifest declares `[[dir]]`. Paths are relative, `/` between names. Nothing
//! here can leave the directory or follow a link out of it: the host refuses.

use crate::Fault;
use crate::bindings::source::sluice::plugin::files as wire;

#[cfg(not(target_family = "wasm"))]
use crate::testing::files as native;

pub use wire::{Entry, FileError};

/// The most that one [`Readable::read`] gives: 8 MiB.
pub const READ_BYTES_MAX: u32 = 8 << 20;

/// A directory granted with `mode = "read"`.
#[derive(Debug)]
pub struct Readable {
    #[cfg(target_family = "wasm")]
    dir: wire::Readable,
    #[cfg(not(target_family = "wasm"))]
    dir: native::Dir,
}

impl Readable {
    /// `dir` as the manifest names it, after `{config.…}` is filled in.
    pub fn open(dir: &str) -> Result<Self, FileError> {
        #[cfg(target_family = "wasm")]
        let dir = wire::Readable::open(dir)?;
        #[cfg(not(target_family = "wasm"))]
        let dir = native::Dir::open(dir)?;
        Ok(Self { dir })
    }

    /// Every regular file below, sorted by path; names that begin with `.` are left out.
    pub fn list(&self) -> Result<Vec<Entry>, FileError> {
        #[cfg(target_family = "wasm")]
        return self.dir.list();
        #[cfg(not(target_family = "wasm"))]
        self.dir.list(false)
    }

    /// Up to `max` bytes (at most [`READ_BYTES_MAX`]) from `offset`; none is the end of the file.
    pub fn read(&self, path: &str, offset: u64, max: u32) -> Result<Vec<u8>, FileError> {
        self.dir.read(path, offset, max)
    }
}

/// A directory granted with `mode = "write"`.
#[derive(Debug)]
pub struct Writable {
    #[cfg(target_family = "wasm")]
    dir: wire::Writable,
    #[cfg(not(target_family = "wasm"))]
    dir: native::Dir,
}

impl Writable {
    /// `dir` as the manifest names it, after `{config.…}` is filled in.
    pub fn open(dir: &str) -> Result<Self, FileError> {
        #[cfg(target_family = "wasm")]
        let dir = wire::Writable::open(dir)?;
        #[cfg(not(target_family = "wasm"))]
        let dir = native::Dir::open(dir)?;
        Ok(Self { dir })
    }

    /// As [`Readable::list`], but with names that begin with `.`.
    pub fn list(&self) -> Result<Vec<Entry>, FileError> {
        #[cfg(target_family = "wasm")]
        return self.dir.list();
        #[cfg(not(target_family = "wasm"))]
        self.dir.list(true)
    }

    /// As [`Readable::read`].
    pub fn read(&self, path: &str, offset: u64, max: u32) -> Result<Vec<u8>, FileError> {
        self.dir.read(path, offset, max)
    }

    /// A new file, or an empty one in the place of an old; missing directories are made.
    pub fn create(&self, path: &str) -> Result<File, FileError> {
        Ok(File {
            file: self.dir.create(path)?,
        })
    }

    /// Atomic, and durable when it returns. Replaces what stands at `new`.
    pub fn rename(&self, old: &str, new: &str) -> Result<(), FileError> {
        self.dir.rename(old, new)
    }

    /// Removes a file.
    pub fn remove(&self, path: &str) -> Result<(), FileError> {
        self.dir.remove(path)
    }
}

/// A file being written.
#[derive(Debug)]
pub struct File {
    #[cfg(target_family = "wasm")]
    file: wire::File,
    #[cfg(not(target_family = "wasm"))]
    file: native::OpenFile,
}

impl File {
    /// Adds bytes at the end.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.file.write(bytes)
    }

    /// Durable when it returns. A file that is dropped without it is not.
    pub fn finish(self) -> Result<(), FileError> {
        self.file.finish()
    }
}

/// `not-found` and `invalid` become [`Fault::Misconfigured`]: match them yourself where they mean something else (a
/// file that a cursor names and that is gone is [`Fault::CursorLost`]).
impl From<FileError> for Fault {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Denied(text) => Self::denied(text),
            FileError::NotFound(text) | FileError::Invalid(text) => Self::misconfigured(text),
            FileError::Transient(text) => Self::transient(text),
            FileError::Other(text) => Self::broken(text),
        }
    }
}
