//! What a guest may call a file: names between slashes, and nothing that means another place.

use super::quoted;
use crate::bindings::imports::files::FileError;
use sluice_model::guards::Guard;
use sluice_model::limits::{DIR_DEPTH_MAX, DIR_PATH_BYTES_MAX};

/// A path below a directory, as it was given.
pub(super) fn check(path: &str) -> Result<(), FileError> {
    let wrong = |why: &str| Err(FileError::Invalid(format!("`{}` {why}", quoted(path))));
    if path.is_empty() {
        return wrong("is empty");
    }
    if path.len() > Guard::DirPathBytes.limit(DIR_PATH_BYTES_MAX) {
        return wrong(&format!("has more than {DIR_PATH_BYTES_MAX} bytes"));
    }
    if Guard::DirPathAbsolute.bars(path.starts_with('/')) {
        return wrong("is absolute; paths begin at the granted directory");
    }
    if Guard::DirPathCharacters.bars(path.chars().any(|c| c == '\\' || c.is_control())) {
        return wrong("has a control character or a backslash in it");
    }
    if path.split('/').count() > Guard::DirPathDepth.limit(DIR_DEPTH_MAX) {
        return wrong(&format!("lies deeper than {DIR_DEPTH_MAX} folders"));
    }
    for name in path.split('/') {
        match name {
            "" if Guard::DirPathEmpty.stands() => return wrong("has an empty name in it"),
            "." | ".." if Guard::DirPathDots.stands() => {
                return wrong(&format!("has `{name}` in it"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The directory a path stands in, where that is not the granted one.
pub(super) fn parent(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(parent, _)| parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_checked() {
        for good in ["a", "a/b/c.csv", ".hidden", "a..b", "å ä", "..."] {
            assert!(check(good).is_ok(), "{good}");
        }
        let refused = |path: &str, expected: &str| match check(path) {
            Err(FileError::Invalid(text)) => assert!(text.contains(expected), "{text}"),
            other => panic!("{path}: {other:?}"),
        };
        refused("", "is empty");
        refused("/etc/passwd", "is absolute");
        refused("../x", "has `..` in it");
        refused("a/../../x", "has `..` in it");
        refused("a/./b", "has `.` in it");
        refused("a//b", "has an empty name in it");
        refused("a/", "has an empty name in it");
        refused("a\\b", "backslash");
        refused("a\0b", "control character");
        refused(&"x".repeat(DIR_PATH_BYTES_MAX + 1), "bytes");
        assert!(check(&vec!["x"; DIR_DEPTH_MAX].join("/")).is_ok());
        refused(&vec!["x"; DIR_DEPTH_MAX + 1].join("/"), "lies deeper than");
    }
}
