//! A key in a file: read only where nobody else can have read or changed it, made only where none is.

use super::kek::{Kek, new_key};
use super::{KeyError, KeyId};
use crate::durable;
use sluice_model::guards::Guard;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The most a key's file may hold. Stops a wrong path (a disk image, a device) from being read whole.
const KEY_FILE_BYTES_MAX: u64 = 1 << 10;

/// Who else may be able to read a file that holds a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Others {
    /// Nobody.
    None,
    /// Its group: systemd gives a credential to a service's user by an access list, which shows as the group's bits.
    Group,
}

/// The text of a key's file.
pub(super) fn read(path: &Path, others: Others) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let place = format!("key file `{}`", path.display());
    let told = |reason: String| KeyError::new(&place, reason);
    let file = open(path).map_err(|error| match error.raw_os_error() {
        Some(code) if code == rustix::io::Errno::LOOP.raw_os_error() => {
            told("it is a symbolic link, which could be pointed elsewhere".to_owned())
        }
        _ if error.kind() == io::ErrorKind::NotFound => KeyError {
            is_missing: true,
            ..told("no such file".to_owned())
        },
        _ => told(error.to_string().to_lowercase()),
    })?;
    let metadata = file.metadata().map_err(|error| told(error.to_string()))?;
    if Guard::KeyFileRegular.bars(!metadata.is_file()) {
        return Err(told("not a regular file".to_owned()));
    }
    let me = rustix::process::geteuid().as_raw();
    is_ours(metadata.uid(), me).map_err(told)?;
    is_closed(metadata.mode(), others)
        .map_err(|reason| told(reason).hint(format!("`chmod 600 {}`", path.display())))?;
    // With room for all of it: a vector that grows leaves copies behind.
    let mut text = Zeroizing::new(Vec::with_capacity(KEY_FILE_BYTES_MAX as usize + 1));
    let read = file.take(KEY_FILE_BYTES_MAX + 1).read_to_end(&mut text);
    read.map_err(|error| told(error.to_string()))?;
    if text.len() as u64 > Guard::KeyFileBytes.limit(KEY_FILE_BYTES_MAX) {
        return Err(told("it is too large to be a key".to_owned()));
    }
    Ok(text)
}

/// Follows no link in the last part of the path, and waits for no pipe.
fn open(path: &Path) -> io::Result<File> {
    let mut flags = rustix::fs::OFlags::NONBLOCK;
    flags.set(rustix::fs::OFlags::NOFOLLOW, Guard::KeyFileLink.stands());
    OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
}

/// Whoever owns a file can change what it holds: that may be the host itself or the system's administrator.
fn is_ours(owner: u32, me: u32) -> Result<(), String> {
    if Guard::KeyFileOwner.holds(owner == me || owner == 0) {
        return Ok(());
    }
    Err(format!(
        "it belongs to user {owner}, who could change it; the host runs as user {me}"
    ))
}

fn is_closed(mode: u32, others: Others) -> Result<(), String> {
    let barred = match others {
        Others::None => 0o077,
        Others::Group => 0o037,
    };
    if Guard::KeyFileMode.holds(mode & barred == 0) {
        return Ok(());
    }
    Err(format!("mode {:o} opens it to others", mode & 0o777))
}

/// Makes a new key in a file that is not there yet, for its owner alone.
pub fn make_key_file(path: &Path) -> Result<(), KeyError> {
    let place = format!("key file `{}`", path.display());
    let text = new_key().map_err(|error| KeyError::new(&place, error.to_string()))?;
    durable::create(path, text.as_bytes()).map_err(|error| {
        if error.kind() == io::ErrorKind::AlreadyExists {
            let told = KeyError::new(&place, "it is there already, and is not overwritten");
            return told.hint("name another file, or move this one away");
        }
        KeyError::new(&place, error.to_string().to_lowercase())
    })
}

/// Where a key stands while it takes the place of the one in this file.
pub fn next_key_file(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".next");
    name.into()
}

/// Where the key of this file stays once another has taken its place: copies of what it sealed need it.
fn old_key_file(path: &Path, id: KeyId) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{id}.old"));
    name.into()
}

/// Ends a rotation: what was the next key of this file is its key. Gives where the one before is kept.
pub fn promote_key_file(path: &Path) -> Result<PathBuf, KeyError> {
    let told = |error: io::Error| {
        let place = format!("key file `{}`", path.display());
        KeyError::new(place, error.to_string().to_lowercase())
    };
    let place = format!("key file `{}`", path.display());
    let old =
        Kek::parse(&read(path, Others::None)?).map_err(|reason| KeyError::new(place, reason))?;
    let kept = old_key_file(path, old.id());
    match std::fs::hard_link(path, &kept) {
        // A crash came after this the last time.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        linked => linked.map_err(told)?,
    }
    std::fs::rename(next_key_file(path), path).map_err(told)?;
    durable::sync_folder(path).map_err(told)?;
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_key_file_is_read_where_it_is_closed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        make_key_file(&path).expect("makes");
        let first = read(&path, Others::None).expect("reads");
        assert!(make_key_file(&path).is_err(), "it would overwrite a key");
        assert_eq!(*read(&path, Others::None).expect("reads"), *first);
        let refused = |others, says: &str| {
            let error = read(&path, others).expect_err("refused");
            assert!(error.reason.contains(says), "{error}");
        };
        let mode = |mode| fs::set_permissions(&path, Permissions::from_mode(mode)).expect("a mode");
        mode(0o400);
        read(&path, Others::None).expect("its owner's alone");
        mode(0o440);
        refused(Others::None, "mode 440");
        read(&path, Others::Group).expect("an access list");
        for open in [0o604, 0o620, 0o602, 0o610] {
            mode(open);
            refused(Others::None, &format!("mode {open:o}"));
        }
        for open in [0o444, 0o460, 0o441] {
            mode(open);
            refused(Others::Group, &format!("mode {open:o}"));
        }
        mode(0o600);
        fs::write(&path, vec![b'a'; 5_000]).expect("writes");
        refused(Others::None, "too large");
    }

    #[test]
    fn the_key_before_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        make_key_file(&path).expect("makes");
        make_key_file(&next_key_file(&path)).expect("makes");
        let (old, next) = (fs::read(&path), fs::read(next_key_file(&path)));
        let (old, next) = (old.expect("reads"), next.expect("reads"));
        let kept = promote_key_file(&path).expect("promotes");
        assert_eq!(fs::read(&path).expect("reads"), next);
        assert_eq!(*read(&kept, Others::None).expect("closed as it was"), old);
        let id = Kek::parse(&old).map(|kek| kek.id().to_string());
        let id = id.unwrap_or_else(|error| panic!("{error}"));
        assert!(
            kept.ends_with(format!("key.{id}.old")),
            "{}",
            kept.display()
        );
    }

    #[test]
    fn what_is_no_file_of_ours_is_no_key() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, link) = (folder.path().join("key"), folder.path().join("link"));
        make_key_file(&path).expect("makes");
        std::os::unix::fs::symlink(&path, &link).expect("links");
        let check = |path: &Path, says: &str| {
            let error = read(path, Others::None).expect_err("refused");
            assert!(error.reason.contains(says), "{error}");
            error.is_missing
        };
        assert!(!check(&link, "symbolic link"));
        assert!(!check(folder.path(), "not a regular file"));
        assert!(check(&folder.path().join("none"), "no such file"));
        assert!(is_ours(0, 1000).is_ok() && is_ours(1000, 1000).is_ok());
        let told = is_ours(1001, 1000).expect_err("another's");
        assert!(told.contains("user 1001"), "{told}");
    }
}
