//! Where a path leads, before it is there.

use std::io;
use std::path::{Path, PathBuf};

/// The path without links and without `..`, as far as it is there; what is not there yet is put behind it as it is
/// written.
pub fn resolved(path: &Path) -> io::Result<PathBuf> {
    let (mut here, mut missing) = (path, Vec::new());
    loop {
        match here.canonicalize() {
            Ok(found) => {
                return Ok(missing
                    .iter()
                    .rev()
                    .fold(found, |path, name| path.join(name)));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let (Some(above), Some(name)) = (here.parent(), here.file_name()) else {
                    return Err(error);
                };
                missing.push(name);
                here = above;
            }
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_and_what_is_missing_stays() {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path().canonicalize().expect("a path");
        std::fs::create_dir(root.join("a")).expect("a directory");
        std::os::unix::fs::symlink(&root, root.join("a/up")).expect("a link");
        for (path, expected) in [
            ("a", "a"),
            ("a/up", ""),
            ("a/up/a/../new/deep", "new/deep"),
            ("new", "new"),
        ] {
            let found = resolved(&root.join(path)).expect("resolves");
            let expected: PathBuf = root.join(expected).components().collect();
            assert_eq!(found, expected, "{path}");
        }
        assert!(resolved(&root.join("new/..")).is_err());
    }
}
