//! The copy of a trail beside it.

use super::{edit, holds, small, write};
use sluice_audit::{AuditError, Finding, Folder, Options, Trail, Trust, verify};
use std::fs;

#[test]
fn the_copy_follows_and_tells() {
    let (dir, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let with_copy = || Options {
        copy: Some(second.path().join("deep/copy")),
        ..small()
    };
    let copy = second.path().join("deep/copy");
    let trail = Trail::open(dir.path(), with_copy()).unwrap();
    write(&trail, 0, 30);
    drop(trail);
    for name in ["00000001.log", "00000002.log", "checkpoints", "key.pub"] {
        assert_eq!(
            fs::read(dir.path().join(name)).unwrap(),
            fs::read(copy.join(name)).unwrap(),
            "{name}"
        );
    }
    assert!(!copy.join("key").exists(), "the key stays where it is");
    holds(&copy);
    // A trail that was made anew, key and all, is not the one that was copied.
    for entry in fs::read_dir(dir.path()).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let error = Trail::open(dir.path(), with_copy()).map(drop).unwrap_err();
    assert!(matches!(error, AuditError::Broken(_)), "{error}");
}

#[test]
fn a_copy_that_cannot_be_written_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let options = Options {
        copy: Some(dir.path().join("file/copy")),
        ..small()
    };
    assert!(matches!(
        Trail::open(&dir.path().join("trail"), options).map(drop),
        Err(AuditError::Io { .. })
    ));
}

#[test]
fn a_copy_that_is_gone_is_missed() {
    let (dir, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let copy = second.path().join("copy");
    let with_copy = || Options {
        copy: Some(copy.clone()),
        ..small()
    };
    let trust = Trust {
        copy: Some(copy.clone()),
        ..Trust::default()
    };
    write(&Trail::open(dir.path(), with_copy()).unwrap(), 0, 3);
    assert!(verify(&Folder::new(dir.path()), &trust).is_ok());
    let missed = || {
        let error = Trail::open(dir.path(), with_copy()).map(drop).unwrap_err();
        assert!(matches!(error, AuditError::Copy { .. }), "{error}");
        let error = verify(&Folder::new(dir.path()), &trust).unwrap_err();
        let is_missing = matches!(error, AuditError::Broken(Finding::MissingCopy { .. }));
        assert!(is_missing, "{error}");
    };
    fs::rename(&copy, second.path().join("away")).unwrap();
    missed();
    assert!(!copy.exists(), "nothing is begun in its place");
    fs::create_dir(&copy).unwrap();
    missed();
    fs::remove_dir(&copy).unwrap();
    fs::rename(second.path().join("away"), &copy).unwrap();
    write(&Trail::open(dir.path(), with_copy()).unwrap(), 3, 4);
    assert!(verify(&Folder::new(dir.path()), &trust).is_ok());
}

/// Also where all that is signed holds.
#[test]
fn a_copy_that_says_something_else_is_told() {
    let (dir, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let copy = second.path().join("copy");
    let options = Options {
        copy: Some(copy.clone()),
        ..small()
    };
    write(&Trail::open(dir.path(), options).unwrap(), 0, 3);
    edit(&copy.join("00000001.log"), "\"s2\"", "\"s3\"");
    let trust = Trust {
        copy: Some(copy),
        ..Trust::default()
    };
    let error = verify(&Folder::new(dir.path()), &trust).unwrap_err();
    let differs = Finding::CopyDiffers { file: 1, line: 4 };
    assert_eq!(error, AuditError::Broken(differs));
}
