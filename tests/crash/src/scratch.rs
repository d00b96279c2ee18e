//! A folder of a test, in the system's own place for such: removed at the end, unless something in it is to be looked at.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// The folder.
pub struct Scratch {
    folder: Option<tempfile::TempDir>,
    path: PathBuf,
    kept: AtomicU32,
}

/// Folders kept of one test: the tenth tells nothing that the first did not.
const KEPT_MAX: u32 = 5;

impl Scratch {
    /// A new one.
    pub fn new(name: &str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix(&format!("sluice-crash-{name}-"))
            .tempdir();
        let folder = folder.expect("a folder for temporary files");
        Self {
            path: folder.path().to_owned(),
            folder: Some(folder),
            kept: AtomicU32::new(0),
        }
    }

    /// What it holds under this name.
    pub fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Puts a copy aside, for whoever mends what was found in it. Where it lies; none once enough lie there.
    pub fn keep(&self, folder: &Path) -> String {
        let number = self.kept.fetch_add(1, Ordering::Relaxed);
        if number >= KEPT_MAX {
            return "not kept".to_owned();
        }
        let to = self.path.with_extension(format!("kept-{number}"));
        copy(folder, &to);
        to.display().to_string()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(self.folder.take());
    }
}

/// Copies a folder, with the modes and the holes of its files. Links are copied as what they are.
pub fn copy(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .arg(from)
        .arg(to)
        .status();
    assert!(
        copied.is_ok_and(|status| status.success()),
        "`{}` cannot be copied",
        from.display()
    );
}

/// Removes a folder where it is there.
pub fn remove(folder: &Path) {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            panic!("`{}` cannot be removed: {error}", folder.display())
        }
        _ => {}
    }
}

/// The files in a folder, and in those below it, sorted, from the folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(here) = folders.pop() {
        for entry in fs::read_dir(&here).into_iter().flatten().flatten() {
            let kind = entry.file_type().expect("an entry has a kind");
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                let path = entry.path();
                found.push(path.strip_prefix(folder).expect("below it").to_owned());
            }
        }
    }
    found.sort();
    found
}
