//! What a directory holds beyond what a guest may see of it: too many names, too much at once, and what is no file.

use super::read::{self, Hidden};
use super::write;
use crate::bindings::imports::files::FileError;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use sluice_model::limits::{DIR_ENTRIES_MAX, DIR_READ_BYTES_MAX};
use std::fs;
use std::os::unix::fs::symlink;

fn directory() -> (tempfile::TempDir, Dir) {
    let root = tempfile::tempdir().expect("a directory");
    let dir = Dir::open_ambient_dir(root.path(), ambient_authority()).expect("a directory");
    (root, dir)
}

#[test]
fn a_directory_without_end_is_refused() {
    let (root, dir) = directory();
    let first = root.path().join("0");
    fs::write(&first, "").expect("a file");
    // Names of one file, which a file system makes sooner than files, and has less room for.
    let mut original = first;
    for at in 1..=DIR_ENTRIES_MAX {
        let name = root.path().join(at.to_string());
        if fs::hard_link(&original, &name).is_err() {
            fs::write(&name, "").expect("a file");
            original = name;
        }
    }
    assert!(
        matches!(read::list(&dir, Hidden::Shown), Err(FileError::Other(text)) if text.contains("more than 100000 entries"))
    );
    fs::remove_file(root.path().join("1")).expect("one less");
    assert!(read::list(&dir, Hidden::Shown).is_ok_and(|entries| entries.len() == DIR_ENTRIES_MAX));
}

#[test]
fn one_read_is_bounded() {
    let (root, dir) = directory();
    let file = fs::File::create(root.path().join("large")).expect("a file");
    file.set_len(u64::from(DIR_READ_BYTES_MAX) + 1)
        .expect("a length");
    let read = read::read(&dir, "large", 0, u32::MAX);
    assert!(read.is_ok_and(|bytes| bytes.len() == DIR_READ_BYTES_MAX as usize));
}

#[test]
fn what_is_no_regular_file_is_refused() {
    let (root, dir) = directory();
    let fifo = std::process::Command::new("mkfifo")
        .arg(root.path().join("fifo"))
        .status();
    assert!(fifo.expect("mkfifo").success());
    fs::write(root.path().join("plain"), "plain").expect("a file");
    symlink("plain", root.path().join("link")).expect("a link");
    let told = |outcome: Result<(), FileError>, what: &str| {
        assert!(
            matches!(&outcome, Err(FileError::Invalid(text)) if text.ends_with("is not a regular file")),
            "{what}: {outcome:?}"
        );
    };
    told(
        read::read(&dir, "fifo", 0, 1).map(drop),
        "a FIFO that is read",
    );
    told(write::remove(&dir, "link"), "a link that is removed");
    told(write::rename(&dir, "link", "moved"), "a link that is moved");
    told(
        write::rename(&dir, "plain", "link"),
        "a link that is replaced",
    );
    assert!(read::read(&dir, "link", 0, 9).is_ok_and(|bytes| bytes == b"plain"));
}
