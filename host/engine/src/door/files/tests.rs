//! What a granted directory shows, and what writing to it leaves behind.

use super::read::{self, Hidden};
use super::write::{self, Writing};
use crate::bindings::imports::files::FileError;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

fn directory(files: &[(&str, &str)]) -> (TempDir, Dir) {
    let root = tempfile::tempdir().expect("a directory");
    for (path, text) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, text).expect("a file");
    }
    let dir = Dir::open_ambient_dir(root.path(), ambient_authority()).expect("a directory");
    (root, dir)
}

fn names(dir: &Dir, hidden: Hidden) -> Vec<String> {
    let entries = read::list(dir, hidden).unwrap_or_else(|error| panic!("{error:?}"));
    entries.into_iter().map(|entry| entry.path).collect()
}

fn text(root: &Path, path: &str) -> String {
    fs::read_to_string(root.join(path)).expect("a file")
}

#[test]
fn listing_is_sorted_and_knows_sizes() {
    let (_root, dir) = directory(&[
        ("b/2.csv", "22"),
        ("a.csv", "1"),
        ("b/.tmp", ""),
        (".git/x", ""),
        ("b/1.csv", ""),
    ]);
    assert_eq!(
        names(&dir, Hidden::LeftOut),
        ["a.csv", "b/1.csv", "b/2.csv"]
    );
    assert_eq!(
        names(&dir, Hidden::Shown),
        [".git/x", "a.csv", "b/.tmp", "b/1.csv", "b/2.csv"]
    );
    let entries = read::list(&dir, Hidden::LeftOut).unwrap_or_default();
    assert_eq!(entries[2].bytes, 2);
    assert!(
        entries[0].modified_ms > 1_500_000_000_000,
        "milliseconds since 1970"
    );
}

#[test]
fn a_tree_without_end_is_refused() {
    let deep = format!("{}x", "d/".repeat(sluice_model::limits::DIR_DEPTH_MAX + 1));
    let (_root, dir) = directory(&[(&deep, "")]);
    assert!(
        matches!(read::list(&dir, Hidden::LeftOut), Err(FileError::Other(text)) if text.contains("64 deep"))
    );
}

#[test]
fn reading_goes_piece_by_piece() {
    let (_root, dir) = directory(&[("a", "0123456789")]);
    let check = |offset, max, expected: &str| {
        let bytes = read::read(&dir, "a", offset, max).unwrap_or_else(|error| panic!("{error:?}"));
        assert_eq!(bytes, expected.as_bytes());
    };
    check(0, 4, "0123");
    check(4, 4, "4567");
    check(8, 4, "89");
    check(10, 4, "");
    check(u64::MAX, u32::MAX, "");
    check(0, 0, "");
    assert!(
        matches!(read::read(&dir, "b", 0, 1), Err(FileError::NotFound(text)) if text == "`b` does not exist")
    );
}

fn writing(dir: &Dir, path: &str) -> Writing {
    let file = write::create(dir, path).unwrap_or_else(|error| panic!("{error:?}"));
    Writing::new(path.to_owned(), file)
}

#[test]
fn a_file_is_written_moved_and_removed() {
    let (root, dir) = directory(&[("out/new.csv", "old and longer")]);
    let mut file = writing(&dir, ".tmp/1");
    file.write(b"one ")
        .and_then(|()| file.write(b"two"))
        .unwrap_or_else(|error| panic!("{error:?}"));
    assert!(write::rename(&dir, ".tmp/1", "out/2026/new.csv").is_ok());
    assert_eq!(text(root.path(), "out/2026/new.csv"), "one two");
    assert!(
        write::rename(&dir, "out/2026/new.csv", "out/new.csv").is_ok(),
        "in the place of an old one"
    );
    assert_eq!(text(root.path(), "out/new.csv"), "one two");
    assert!(matches!(
        write::rename(&dir, ".tmp/1", "x"),
        Err(FileError::NotFound(_))
    ));
    let mut again = writing(&dir, "out/new.csv");
    assert_eq!(text(root.path(), "out/new.csv"), "", "emptied");
    assert!(again.write(b"x").is_ok());
    assert!(write::remove(&dir, "out/new.csv").is_ok());
    assert!(!root.path().join("out/new.csv").exists());
}

#[test]
fn a_finished_file_takes_no_more() {
    let (_root, dir) = directory(&[]);
    let mut file = writing(&dir, "a");
    file.file = None;
    assert!(
        matches!(file.write(b"x"), Err(FileError::Invalid(text)) if text.contains("is finished"))
    );
}

#[test]
fn bytes_that_the_disk_was_set_to_work_on_are_there_to_the_last() {
    let (root, dir) = directory(&[]);
    let mut file = writing(&dir, "large");
    let piece = "0123456789abcdef".repeat(40_000);
    for _ in 0..5 {
        assert!(file.write(piece.as_bytes()).is_ok());
    }
    assert_eq!(text(root.path(), "large"), piece.repeat(5));
}
