//! What a guest may call a file: names between slashes, and nothing that means another place.

use super::quoted;
use crate::bindings::imports::files::FileError;
use sluice_model::limits::DIR_PATH_BYTES_MAX;

/// A path below a directory, as it was given.
pub(super) fn check(path: &str) -> Result<(), FileError> {
    let wrong = |why: &str| Err(FileError::Invalid(format!("`{}` {why}", quoted(path))));
    if path.is_empty() {
        return wrong("is empty");
    }
    if path.len() > DIR_PATH_BYTES_MAX {
        return wrong(&format!("has more than {DIR_PATH_BYTES_MAX} bytes"));
    }
    if path.starts_with('/') {
        return wrong("is absolute; paths begin at the granted directory");
    }
    if path.chars().any(|c| c == '\\' || c.is_control()) {
        return wrong("has a control character or a backslash in it");
    }
    for name in path.split('/') {
        match name {
            "" => return wrong("has an empty name in it"),
            "." | ".." => return wrong(&format!("has `{name}` in it")),
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
        let check = |path: &str, expected: &str| match super::check(path) {
            Err(FileError::Invalid(text)) => assert!(text.contains(expected), "{text}"),
            other => panic!("{path}: {other:?}"),
        };
        check("", "is empty");
        check("/etc/passwd", "is absolute");
        check("../x", "has `..` in it");
        check("a/../../x", "has `..` in it");
        check("a/./b", "has `.` in it");
        check("a//b", "has an empty name in it");
        check("a/", "has an empty name in it");
        check("a\\b", "backslash");
        check("a\0b", "control character");
        check(&"x".repeat(DIR_PATH_BYTES_MAX + 1), "bytes");
    }
}
