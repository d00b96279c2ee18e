//! What the sink asks of a folder. A trait, so that tests can end the process between any two of these steps.

use sluice_sdk::files::{File, FileError, Writable};

/// A folder that files are written to.
pub(super) trait Folder {
    /// A file being written.
    type File;

    /// Up to `max` bytes from `offset`; none is the end of the file.
    fn read(&self, path: &str, offset: u64, max: u32) -> Result<Vec<u8>, FileError>;
    /// A new file, or an empty one in the place of an old; missing folders are made.
    fn create(&self, path: &str) -> Result<Self::File, FileError>;
    /// Adds bytes at the end.
    fn append(&self, file: &mut Self::File, bytes: &[u8]) -> Result<(), FileError>;
    /// Durable when it returns.
    fn finish(&self, file: Self::File) -> Result<(), FileError>;
    /// Atomic, and durable when it returns.
    fn rename(&self, old: &str, new: &str) -> Result<(), FileError>;
    fn remove(&self, path: &str) -> Result<(), FileError>;

    fn exists(&self, path: &str) -> Result<bool, FileError> {
        match self.read(path, 0, 1) {
            Ok(_) => Ok(true),
            Err(FileError::NotFound(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Folder for Writable {
    type File = File;

    fn read(&self, path: &str, offset: u64, max: u32) -> Result<Vec<u8>, FileError> {
        Writable::read(self, path, offset, max)
    }

    fn create(&self, path: &str) -> Result<File, FileError> {
        Writable::create(self, path)
    }

    fn append(&self, file: &mut File, bytes: &[u8]) -> Result<(), FileError> {
        file.write(bytes)
    }

    fn finish(&self, file: File) -> Result<(), FileError> {
        file.finish()
    }

    fn rename(&self, old: &str, new: &str) -> Result<(), FileError> {
        Writable::rename(self, old, new)
    }

    fn remove(&self, path: &str) -> Result<(), FileError> {
        Writable::remove(self, path)
    }
}
