//! What a crash or a hand leaves of a trail: repaired, or told.

use super::{actions, edit, entries, holds, last_file, open, small, write};
use sluice_audit::{Action, Actor, AuditError, Finding, Folder, Trail, Trust, verify};
use std::fs;
use std::path::Path;

/// The crash leaves every beginning of what was being written; each is taken off, and said so.
#[test]
fn a_torn_end_is_repaired_and_told() {
    let dir = tempfile::tempdir().unwrap();
    let trail = open(dir.path());
    write(&trail, 0, 3);
    drop(trail);
    let file = last_file(dir.path());
    let whole = fs::read(&file).unwrap();
    for torn in [
        &b"{"[..],
        b"{\"seq\":5,\"time\":1",
        &[0; 600],
        b"\0\0\n{\"seq\":6}\n",
    ] {
        fs::write(&file, [&whole, torn].concat()).unwrap();
        assert!(
            verify(&Folder::new(dir.path()), &Trust::default())
                .unwrap()
                .torn
        );
        let trail = open(dir.path());
        write(&trail, 3, 4);
        drop(trail);
        let entries = entries(dir.path());
        let [.., repaired, written] = entries.as_slice() else {
            panic!()
        };
        assert_eq!(repaired.action, "audit.repaired");
        assert_eq!(repaired.fields["bytes"], torn.len().to_string());
        assert_eq!(written.fields["secret"], "s3");
        assert!(!holds(dir.path()).torn);
        restore(dir.path(), &file, &whole);
    }
}

fn restore(dir: &Path, file: &Path, whole: &[u8]) {
    fs::write(file, whole).unwrap();
    let checkpoints = dir.join("checkpoints");
    let text = fs::read_to_string(&checkpoints).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let entries = whole.split(|byte| *byte == b'\n').count() - 1;
    let kept = lines
        .chunks(6)
        .filter(|block| block[1].trim().parse::<usize>().unwrap() <= entries);
    fs::write(checkpoints, kept.flatten().copied().collect::<String>()).unwrap();
}

/// Cut at every byte of the second file's first line and of the checkpoints: what a crash there leaves.
#[test]
fn a_crash_between_two_files_is_repaired() {
    let dir = tempfile::tempdir().unwrap();
    let trail = open(dir.path());
    let second = dir.path().join("00000002.log");
    let mut at = 0;
    while !second.exists() {
        write(&trail, at, at + 1);
        at += 1;
    }
    drop(trail);
    let whole = fs::read(&second).unwrap();
    let header = whole.iter().position(|byte| *byte == b'\n').unwrap();
    let entries = fs::read(dir.path().join("00000001.log"))
        .unwrap()
        .split(|byte| *byte == b'\n')
        .count()
        - 1;
    for keep in [0, 1, header / 2, header] {
        fs::write(&second, &whole[..keep]).unwrap();
        let text = fs::read_to_string(dir.path().join("checkpoints")).unwrap();
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let kept = lines
            .chunks(6)
            .filter(|block| block[1].trim().parse::<usize>().unwrap() <= entries);
        fs::write(
            dir.path().join("checkpoints"),
            kept.flatten().copied().collect::<String>(),
        )
        .unwrap();
        write(&open(dir.path()), at, at + 1);
        assert_eq!(actions(dir.path())[entries], "audit.segment", "{keep}");
        assert_eq!(holds(dir.path()).unsigned, 0);
    }
    let checkpoints = fs::read(dir.path().join("checkpoints")).unwrap();
    fs::write(
        dir.path().join("checkpoints"),
        &checkpoints[..checkpoints.len() - 3],
    )
    .unwrap();
    write(&open(dir.path()), at + 1, at + 2);
    holds(dir.path());
}

#[test]
fn what_does_not_hold_stops_the_host() {
    type Change = (&'static str, fn(&Path));
    let changes: [Change; 6] = [
        ("an entry", |dir| edit(&last_file(dir), "s37", "s38")),
        ("its end", |dir| {
            let file = last_file(dir);
            let text = fs::read_to_string(&file).unwrap();
            let lines: Vec<&str> = text.split_inclusive('\n').collect();
            fs::write(&file, lines[..lines.len() - 1].concat()).unwrap();
        }),
        ("its checkpoints", |dir| {
            fs::write(dir.join("checkpoints"), "").unwrap();
        }),
        ("a file", |dir| {
            fs::remove_file(dir.join("00000002.log")).unwrap();
        }),
        ("what a file says of those before", |dir| {
            edit(&last_file(dir), "\"commit\":\"", "\"commit\":\"1");
        }),
        ("its key", |dir| {
            fs::remove_file(dir.join("key")).unwrap();
            let other = tempfile::tempdir().unwrap();
            drop(open(other.path()));
            fs::copy(other.path().join("key"), dir.join("key")).unwrap();
        }),
    ];
    for (name, change) in changes {
        let dir = tempfile::tempdir().unwrap();
        let trail = open(dir.path());
        write(&trail, 0, 38);
        drop(trail);
        change(dir.path());
        let outcome = Trail::open(dir.path(), small())
            .and_then(|trail| trail.act(&Actor::host(), Action::HostStarted));
        let error = outcome.map(drop).expect_err(name);
        assert!(matches!(error, AuditError::Broken(_)), "{name}: {error}");
    }
}

/// A last line that a checkpoint covers was not left half written: it was damaged, and stays as evidence.
#[test]
fn a_damaged_end_is_told_and_left_as_it_is() {
    let damages: [fn(&mut Vec<u8>); 3] = [
        |bytes| bytes.truncate(bytes.len() - 1),
        |bytes| {
            let last = bytes.len() - 10;
            bytes[last] = 0;
        },
        |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] = 0;
        },
    ];
    for damage in damages {
        let dir = tempfile::tempdir().unwrap();
        write(&open(dir.path()), 0, 4);
        let file = last_file(dir.path());
        let mut damaged = fs::read(&file).unwrap();
        damage(&mut damaged);
        fs::write(&file, &damaged).unwrap();
        let checkpoints = fs::read(dir.path().join("checkpoints")).unwrap();
        let error = Trail::open(dir.path(), small()).map(drop).unwrap_err();
        assert!(matches!(error, AuditError::Broken(_)), "{error}");
        assert_eq!(fs::read(&file).unwrap(), damaged, "it was changed");
        assert_eq!(
            fs::read(dir.path().join("checkpoints")).unwrap(),
            checkpoints
        );
    }
}

/// The last checkpoint, cut at every byte: the next one stands where it must.
#[test]
fn a_torn_checkpoint_is_followed_by_a_whole_one() {
    let dir = tempfile::tempdir().unwrap();
    write(&open(dir.path()), 0, 2);
    let checkpoints = dir.path().join("checkpoints");
    let before = fs::read(&checkpoints).unwrap().len();
    write(&open(dir.path()), 2, 3);
    let (file, whole) = (last_file(dir.path()), fs::read(&checkpoints).unwrap());
    let entries = fs::read(&file).unwrap();
    for cut in before..whole.len() {
        fs::write(&file, &entries).unwrap();
        fs::write(&checkpoints, &whole[..cut]).unwrap();
        let (one, other) = (open(dir.path()), open(dir.path()));
        write(&one, 3, 4);
        one.sign().unwrap();
        write(&other, 4, 5);
        drop((one, other));
        assert_eq!(holds(dir.path()).unsigned, 0, "{cut}");
    }
}

/// The end is cut off under a host that runs: nothing is written on top of what is left.
#[test]
fn what_is_cut_under_a_running_host_stops_it() {
    let dir = tempfile::tempdir().unwrap();
    let trail = open(dir.path());
    write(&trail, 0, 3);
    let file = last_file(dir.path());
    let whole = fs::read(&file).unwrap();
    let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    let kept = whole.len() - lines.last().unwrap().len();
    let file = fs::OpenOptions::new().write(true).open(file).unwrap();
    file.set_len(kept as u64).unwrap();
    let error = trail.act(&Actor::host(), Action::HostStarted).unwrap_err();
    assert!(
        matches!(error, AuditError::Broken(Finding::CutTail { .. })),
        "{error}"
    );
}

/// The file is replaced under a host that runs, by one that says the same: what is written would stand nowhere.
#[test]
fn what_is_replaced_under_a_running_host_stops_it() {
    let dir = tempfile::tempdir().unwrap();
    let trail = open(dir.path());
    write(&trail, 0, 3);
    let (file, other) = (last_file(dir.path()), dir.path().join("other"));
    fs::copy(&file, &other).unwrap();
    fs::rename(&other, &file).unwrap();
    let error = trail.act(&Actor::host(), Action::HostStarted).unwrap_err();
    assert!(
        matches!(error, AuditError::Broken(Finding::CutTail { .. })),
        "{error}"
    );
}
