//! The files of this repository. Reads names and text, and decides nothing.

use std::fs;
use std::path::{Path, PathBuf};

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every `.rs` file below a folder of the repository, by its path from the root, with its text. Build output and
/// names that begin with a dot are left out.
///
/// # Panics
/// Where the folder cannot be read: a wall that saw nothing must not stand.
pub fn rust_files(folder: &str) -> Vec<(String, String)> {
    let root = root();
    let mut files = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for entry in entries.map(|entry| entry.expect("an entry").path()) {
            let name = entry
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if entry.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(entry);
            } else if entry.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&entry).expect("a text file");
                let path = entry.strip_prefix(&root).expect("below the root");
                files.push((path.to_string_lossy().replace('\\', "/"), text));
            }
        }
    }
    assert!(!files.is_empty(), "no file below `{folder}`");
    files.sort();
    files
}
