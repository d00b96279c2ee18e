//! Files that say what may be done: written whole or not at all, and there or gone for good once that is said.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Puts this text in the place of whatever the file held.
pub(crate) fn replace(file: &Path, text: &[u8]) -> io::Result<()> {
    let beside = written_beside(file, text)?;
    fs::rename(&beside, file)?;
    sync_folder(file)
}

/// Makes a file that must not be there yet.
pub(crate) fn create(file: &Path, text: &[u8]) -> io::Result<()> {
    let beside = written_beside(file, text)?;
    let linked = fs::hard_link(&beside, file);
    fs::remove_file(&beside)?;
    linked?;
    sync_folder(file)
}

/// Removes a file that is there.
pub(crate) fn remove(file: &Path) -> io::Result<()> {
    fs::remove_file(file)?;
    sync_folder(file)
}

fn written_beside(file: &Path, text: &[u8]) -> io::Result<PathBuf> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    // What a crash left, or a link that somebody put there.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut new = File::create_new(&beside)?;
    new.write_all(text)?;
    new.sync_all()?;
    Ok(beside)
}

fn sync_folder(file: &Path) -> io::Result<()> {
    let folder = file.parent().filter(|folder| *folder != Path::new(""));
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_made_replaced_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (file, elsewhere) = (
            folder.path().join("g.toml"),
            folder.path().join("elsewhere"),
        );
        fs::write(&elsewhere, "theirs").unwrap();
        create(&file, b"one").unwrap();
        let again = create(&file, b"two").unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&file).unwrap(), b"one");
        std::os::unix::fs::symlink(&elsewhere, folder.path().join("g.toml.new")).unwrap();
        replace(&file, b"three").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"three");
        assert_eq!(
            fs::read(&elsewhere).unwrap(),
            b"theirs",
            "no link is followed"
        );
        remove(&file).unwrap();
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "nothing is left beside it");
    }
}
