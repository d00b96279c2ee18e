//! Listing and reading. There is no function here that writes.

use super::{path, regular, told};
use crate::bindings::imports::files::{Entry, FileError};
use cap_std::fs::{Dir, OpenOptions};
use sluice_model::guards::Guard;
use sluice_model::limits::{DIR_DEPTH_MAX, DIR_ENTRIES_MAX, DIR_READ_BYTES_MAX};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// A directory granted with `mode = "read"`.
pub struct Readable(pub(super) Arc<Dir>);

/// Names that begin with `.`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hidden {
    Shown,
    LeftOut,
}

/// Every regular file below, sorted by path. Links to regular files inside count as files; links to directories are
/// not followed. A name that is not UTF-8 cannot be said, and is left out.
pub(super) fn list(dir: &Dir, hidden: Hidden) -> Result<Vec<Entry>, FileError> {
    let mut walk = Walk {
        hidden,
        seen: 0,
        entries: Vec::new(),
    };
    walk.directory(dir, "", 0)?;
    walk.entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(walk.entries)
}

struct Walk {
    hidden: Hidden,
    /// Everything met, whether listed or not.
    seen: usize,
    entries: Vec<Entry>,
}

impl Walk {
    fn directory(&mut self, dir: &Dir, prefix: &str, depth: usize) -> Result<(), FileError> {
        if depth > Guard::DirDepth.limit(DIR_DEPTH_MAX) {
            return Err(FileError::Other(format!(
                "directories stand more than {DIR_DEPTH_MAX} deep"
            )));
        }
        for entry in dir.entries().map_err(|error| told(prefix, &error))? {
            let entry = entry.map_err(|error| told(prefix, &error))?;
            self.seen += 1;
            if self.seen > Guard::DirEntries.limit(DIR_ENTRIES_MAX) {
                return Err(FileError::Other(format!(
                    "the directory holds more than {DIR_ENTRIES_MAX} entries"
                )));
            }
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if self.hidden == Hidden::LeftOut && name.starts_with('.') {
                continue;
            }
            let path = if prefix.is_empty() {
                name.to_owned()
            } else {
                format!("{prefix}/{name}")
            };
            let kind = entry.file_type().map_err(|error| told(&path, &error))?;
            if kind.is_dir() {
                // Gone since it was listed: no longer there to read.
                let Ok(below) = entry.open_dir() else {
                    continue;
                };
                self.directory(&below, &path, depth + 1)?;
            } else if (kind.is_file() || kind.is_symlink()) && path::check(&path).is_ok() {
                let Ok(metadata) = dir.metadata(name) else {
                    continue;
                };
                if metadata.is_file() {
                    let modified = metadata
                        .modified()
                        .ok()
                        .map(cap_std::time::SystemTime::into_std);
                    let since = modified
                        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
                        .unwrap_or_default();
                    let modified_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
                    self.entries.push(Entry {
                        path,
                        bytes: metadata.len(),
                        modified_ms,
                    });
                }
            }
        }
        Ok(())
    }
}

/// Up to `max` bytes from `offset`. On the caller's thread: a few megabytes, most often from memory.
pub(super) fn read(dir: &Dir, path: &str, offset: u64, max: u32) -> Result<Vec<u8>, FileError> {
    path::check(path)?;
    let mut file = regular(dir, path, OpenOptions::new().read(true))?;
    let failed = |error| told(path, &error);
    let left = file
        .metadata()
        .map_err(failed)?
        .len()
        .saturating_sub(offset);
    let wanted = u64::from(max.min(Guard::DirReadBytes.limit(DIR_READ_BYTES_MAX))).min(left);
    if wanted == 0 {
        return Ok(Vec::new());
    }
    let mut bytes = Vec::with_capacity(wanted as usize);
    file.seek(SeekFrom::Start(offset)).map_err(failed)?;
    file.take(wanted).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}
