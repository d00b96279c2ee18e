//! Directories that were granted: one capability each, opened once; everything below it goes through cap-std, which
//! follows no link outside.

#[cfg(test)]
mod bounds;
mod door;
mod path;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use read::Readable;
pub use write::{Writable, Writing};

use crate::bindings::imports::files::FileError;
use cap_fs_ext::OpenOptionsSyncExt as _;
use cap_std::fs::{Dir, File, OpenOptions};
use sluice_model::guards::Guard;
use sluice_model::limits;
use sluice_model::text::shown;
use std::io;

/// Opens a regular file, and nothing else: a FIFO is opened without waiting for its other end, and then refused.
fn regular(dir: &Dir, path: &str, options: &mut OpenOptions) -> Result<File, FileError> {
    let not_regular = || FileError::Invalid(format!("`{}` is not a regular file", quoted(path)));
    let opened = dir.open_with(path, options.nonblock(true));
    let file = opened.map_err(|error| match dir.metadata(path) {
        // What the system says of opening a FIFO or a device depends on its other end.
        Ok(kind) if Guard::FileRegular.bars(!kind.is_file()) => not_regular(),
        _ => told(path, &error),
    })?;
    let kind = file.metadata().map_err(|error| told(path, &error))?;
    if Guard::FileRegular.bars(!kind.is_file()) {
        return Err(not_regular());
    }
    Ok(file)
}

/// The system's error, as the guest is told it.
fn told(path: &str, error: &io::Error) -> FileError {
    use io::ErrorKind as Kind;
    let path = quoted(path);
    // cap-std's own refusal has no error number of the system.
    let escaped = error.kind() == Kind::PermissionDenied && error.raw_os_error().is_none();
    match error.kind() {
        Kind::NotFound => FileError::NotFound(format!("`{path}` does not exist")),
        _ if escaped => FileError::Invalid(format!("`{path}` leads outside the directory")),
        Kind::AlreadyExists
        | Kind::IsADirectory
        | Kind::NotADirectory
        | Kind::InvalidFilename
        | Kind::InvalidInput => FileError::Invalid(format!("`{path}`: {error}")),
        Kind::StorageFull
        | Kind::QuotaExceeded
        | Kind::ResourceBusy
        | Kind::Interrupted
        | Kind::WouldBlock
        | Kind::TimedOut
        | Kind::StaleNetworkFileHandle => FileError::Transient(format!("`{path}`: {error}")),
        _ => FileError::Other(format!("`{path}`: {error}")),
    }
}

fn quoted(path: &str) -> String {
    shown(path, limits::DIR_PATH_BYTES_MAX)
}
