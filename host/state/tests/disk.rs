//! What the store on disk does beyond the trait: who may open it, what it will not open, and what it leaves behind.

use sluice_model::ports::{Namespace, StateBatch, StateStore, StateWrite, StoreError};
use sluice_state::{Options, SledStore};
use std::fs;
use std::path::Path;

fn open(dir: &Path) -> Result<SledStore, StoreError> {
    SledStore::open(dir, Options::default())
}

fn unopenable(dir: &Path, says: &str) {
    match open(dir) {
        Err(StoreError::Unopenable(reason)) => assert!(reason.contains(says), "{reason}"),
        other => panic!("{other:?}"),
    }
}

fn put(key: &[u8], value: &[u8]) -> StateBatch {
    StateBatch {
        expect: vec![],
        writes: vec![StateWrite::Put(
            Namespace::Meta,
            key.to_vec(),
            value.to_vec(),
        )],
    }
}

/// A closed store that holds `k` = `v`.
fn filled() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    open(dir.path())
        .expect("opens")
        .commit(put(b"k", b"v"))
        .expect("commits");
    dir
}

#[test]
fn one_opener_at_a_time() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = open(dir.path()).expect("opens");
    match open(dir.path()) {
        Err(StoreError::Locked(named)) => assert_eq!(named, dir.path().display().to_string()),
        other => panic!("{other:?}"),
    }
    drop(first);
    open(dir.path()).expect("opens once the first is gone");
}

#[test]
fn a_file_let_go_late_is_waited_for() {
    let dir = filled();
    let log = fs::File::open(dir.path().join("store/db")).expect("opens");
    log.lock()
        .expect("held, as by a thread of sled that ends late");
    let late = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(300));
        drop(log);
    });
    open(dir.path()).expect("opens once it is let go");
    late.join().expect("ends");
}

#[test]
fn an_empty_store_never_stands_in_for_a_missing_one() {
    let dir = filled();
    fs::remove_dir_all(dir.path().join("store")).expect("removes");
    unopenable(dir.path(), "restore it");
    assert!(!dir.path().join("store").exists());
    let dir = filled();
    fs::remove_file(dir.path().join("store/db")).expect("removes");
    unopenable(dir.path(), "restore it");
}

#[test]
fn a_damaged_store_is_not_opened() {
    for is_reopened in [false, true] {
        let dir = filled();
        if is_reopened {
            open(dir.path()).expect("opens");
        }
        let db = dir.path().join("store/db");
        let length = fs::metadata(&db).expect("is there").len();
        fs::write(&db, vec![0xAB; length as usize]).expect("writes");
        assert!(
            matches!(open(dir.path()), Err(StoreError::Unopenable(_))),
            "reopened: {is_reopened}"
        );
        // And not the next time either.
        assert!(
            matches!(open(dir.path()), Err(StoreError::Unopenable(_))),
            "reopened: {is_reopened}"
        );
    }
}

#[test]
fn a_lost_log_is_noticed() {
    let dir = filled();
    let db = dir.path().join("store/db");
    fs::File::create(&db).expect("truncates");
    for entry in fs::read_dir(dir.path().join("store")).expect("lists") {
        let path = entry.expect("an entry").path();
        if path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("snap."))
        {
            fs::remove_file(path).expect("removes");
        }
    }
    unopenable(dir.path(), "missing");
}

#[test]
fn another_format_is_not_opened() {
    let dir = filled();
    fs::write(dir.path().join("format"), "sluice state 2\n").expect("writes");
    unopenable(dir.path(), "sluice state 2");
}

#[test]
fn what_a_crash_leaves_is_cleared() {
    let dir = filled();
    let snapshot = dir.path().join("store/snap.00000000000000FF.generating");
    fs::write(&snapshot, b"half").expect("writes");
    let store = open(dir.path()).expect("opens");
    assert!(!snapshot.exists());
    assert_eq!(store.get(Namespace::Meta, b"k"), Ok(Some(b"v".to_vec())));

    let dir = tempfile::tempdir().expect("a directory");
    fs::create_dir_all(dir.path().join("store/blobs")).expect("creates");
    fs::write(dir.path().join("store/db"), b"half made").expect("writes");
    unopenable(dir.path(), "");
    fs::write(dir.path().join("creating"), b"").expect("writes");
    open(dir.path()).expect("a store that was never whole is made again");
    assert!(!dir.path().join("creating").exists());

    let dir = filled();
    fs::write(dir.path().join("creating"), b"").expect("writes");
    let store = open(dir.path()).expect("a crash after it was whole");
    assert_eq!(store.get(Namespace::Meta, b"k"), Ok(Some(b"v".to_vec())));
    drop(store);

    let dir = filled();
    fs::remove_file(dir.path().join("format")).expect("removes");
    let store = open(dir.path()).expect("a crash before the mark was written");
    assert_eq!(store.get(Namespace::Meta, b"k"), Ok(Some(b"v".to_vec())));
    assert!(dir.path().join("format").exists());
}

/// The name of the newest snapshot.
fn snapshot(dir: &Path) -> Option<String> {
    let entries = fs::read_dir(dir.join("store")).expect("lists");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let names = names.map(|name| name.to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("snap.")).max()
}

/// When the engine opens it writes a snapshot, gives it its name, and overwrites what the one before it speaks of and
/// this one does not. A power cut can take that name and leave what was overwritten.
#[test]
fn a_snapshot_that_lost_its_name_gets_it_back() {
    let mut shown = 0;
    for rounds in 2..10 {
        shown += u32::from(loses_a_name(rounds));
    }
    assert!(shown > 0, "the first segment was never overwritten");
}

/// A log of two segments, of which the first is of old values alone, and is overwritten as the store is opened: false
/// where it was not.
fn loses_a_name(rounds: u8) -> bool {
    let dir = filled();
    drop(open(dir.path()).expect("opens"));
    let store = open(dir.path()).expect("opens");
    for round in 0..rounds {
        for key in 0..20 {
            store
                .commit(put(&[key], &vec![round; 50_000]))
                .expect("commits");
        }
    }
    drop(store);
    let engine = dir.path().join("store");
    let older = snapshot(dir.path()).expect("one");
    let old = fs::read(engine.join(&older)).expect("reads");
    drop(open(dir.path()).expect("opens"));
    let newest = snapshot(dir.path()).expect("one");
    assert_ne!(older, newest);
    let log = fs::read(engine.join("db")).expect("reads");
    if log[..1_000].iter().any(|byte| *byte != 0) {
        return false;
    }
    let unnamed = engine.join(format!("{newest}.generating"));
    fs::rename(engine.join(&newest), unnamed).expect("renames");
    fs::write(engine.join(older), old).expect("writes");
    let store = open(dir.path()).expect("opens");
    for key in 0..20 {
        let held = store.get(Namespace::Meta, &[key]);
        assert_eq!(held, Ok(Some(vec![rounds - 1; 50_000])), "{key}");
    }
    true
}

#[test]
fn a_page_that_left_the_log_poisons_until_it_is_reopened() {
    let dir = filled();
    let store = open(dir.path()).expect("opens");
    let blob = dir.path().join("store/blobs/1");
    fs::write(&blob, b"").expect("writes");
    assert!(matches!(
        store.commit(put(b"a", b"1")),
        Err(StoreError::Failed(_))
    ));
    assert!(store.stats().poisoned);
    assert!(matches!(
        store.get(Namespace::Meta, b"k"),
        Err(StoreError::Failed(_))
    ));
    assert!(matches!(
        store.commit(put(b"b", b"2")),
        Err(StoreError::Failed(_))
    ));
    assert!(store.reopen().is_err(), "what is wrong is still there");
    fs::remove_file(&blob).expect("removes");
    store.reopen().expect("reopens");
    assert!(!store.stats().poisoned);
    assert_eq!(store.get(Namespace::Meta, b"k"), Ok(Some(b"v".to_vec())));
    store.commit(put(b"b", b"2")).expect("works again");
}

#[test]
fn the_largest_batches_stay_in_the_log() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path()).expect("opens");
    let letter = |at: u32| {
        (
            Namespace::DeadLetter,
            [b"pipeline........".as_slice(), &at.to_be_bytes()].concat(),
        )
    };
    let value = |at: u32, length: usize| {
        (0..length)
            .map(|byte| (byte as u32 ^ at) as u8)
            .collect::<Vec<_>>()
    };
    // Dead letters of the largest record; values that just fit under one key; a mass of small ones.
    for (length, count) in [(257 << 10, 90u32), (30 << 10, 800), (200, 60_000)] {
        let writes = (0..count).map(|at| {
            let (space, key) = letter(at);
            StateWrite::Put(space, key, value(at, length))
        });
        store
            .commit(StateBatch {
                expect: vec![],
                writes: writes.collect(),
            })
            .expect("commits");
        assert_eq!(
            fs::read_dir(dir.path().join("store/blobs"))
                .expect("lists")
                .count(),
            0
        );
        for at in [0, count / 2, count - 1] {
            assert!(
                store.get(Namespace::DeadLetter, &letter(at).1) == Ok(Some(value(at, length))),
                "{at}"
            );
        }
    }
}
