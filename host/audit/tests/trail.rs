//! A trail as it is written: by one process, by several, through crashes, and never on top of what does not hold.

#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use sluice_audit::{
    Action, Actor, AuditError, Entry, Finding, Folder, Options, Trail, Trust, each, verify,
};
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Small files and many checkpoints, so that a few entries show all there is.
fn small() -> Options {
    Options {
        segment_bytes: 3_000,
        unsigned_entries_max: 5,
        ..Options::default()
    }
}

fn open(dir: &Path) -> Trail {
    Trail::open(dir, small()).unwrap()
}

fn write(trail: &Trail, from: u64, to: u64) {
    for at in from..to {
        let act = Action::SecretSet.with("secret", format!("s{at}")).at(at);
        let _ = trail.act(&Actor::host(), act).unwrap();
    }
}

fn entries(dir: &Path) -> Vec<Entry> {
    let mut entries = Vec::new();
    each(&Folder::new(dir), |entry| entries.push(entry.clone())).unwrap();
    entries
}

fn actions(dir: &Path) -> Vec<String> {
    entries(dir).into_iter().map(|entry| entry.action).collect()
}

fn last_file(dir: &Path) -> std::path::PathBuf {
    let files = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.extension().is_some_and(|end| end == "log"))
        .max()
        .unwrap()
}

fn holds(dir: &Path) -> sluice_audit::Verdict {
    verify(&Folder::new(dir), &Trust::default()).unwrap()
}

#[test]
fn what_is_written_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let trail = open(dir.path());
    assert_eq!(trail.size().unwrap(), 1, "it begins with an entry");
    let first = trail
        .act(
            &Actor::host(),
            Action::GrantWritten.with("file", "a\u{1b}[2J").at(7),
        )
        .unwrap();
    assert_eq!(first, 2);
    drop(trail);
    let entries = entries(dir.path());
    assert_eq!(
        (entries[0].action.as_str(), entries[0].seq),
        ("audit.begun", 1)
    );
    assert_eq!(entries[1].fields["file"], "a\\u{1b}[2J");
    assert_eq!(
        (entries[1].actor.as_str(), entries[1].commit),
        ("host", Some(7))
    );
    let verdict = holds(dir.path());
    assert_eq!(
        (verdict.entries, verdict.unsigned, verdict.commit),
        (2, 0, Some(7))
    );
}

#[test]
fn a_few_entries_are_signed_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        unsigned_entries_max: 5,
        ..Options::default()
    };
    let trail = Trail::open(dir.path(), options).unwrap();
    write(&trail, 0, 18);
    assert!(holds(dir.path()).unsigned < 5);
}

#[test]
fn a_line_without_end_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let file = fs::OpenOptions::new()
        .append(true)
        .open(last_file(dir.path()));
    file.unwrap().write_all(&vec![b'x'; 200_000]).unwrap();
    let error = verify(&Folder::new(dir.path()), &Trust::default()).unwrap_err();
    assert!(error.to_string().contains("the line has no end"), "{error}");
}

#[test]
fn files_follow_one_another() {
    let dir = tempfile::tempdir().unwrap();
    let trail = open(dir.path());
    write(&trail, 0, 40);
    drop(trail);
    let verdict = holds(dir.path());
    assert!(verdict.files >= 4, "{verdict:?}");
    // Opened again, it reads the last of them only, and goes on.
    for at in 40..50 {
        write(&open(dir.path()), at, at + 1);
    }
    let secrets = entries(dir.path())
        .into_iter()
        .filter_map(|mut entry| entry.fields.remove("secret"));
    let due: Vec<String> = (0..50).map(|at| format!("s{at}")).collect();
    assert_eq!(secrets.collect::<Vec<_>>(), due);
    assert_eq!(holds(dir.path()).unsigned, 0);
}

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

fn edit(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{from} in {text}");
    fs::write(file, text.replacen(from, to, 1)).unwrap();
}

/// The writing that failed is not taken for done, and nothing is written on top of it.
#[test]
fn what_cannot_be_written_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let trail = open(dir.path());
    write(&trail, 0, 2);
    fs::remove_file(last_file(dir.path())).unwrap();
    let act = || trail.act(&Actor::host(), Action::HostStarted).map(drop);
    assert!(act().is_err());
    assert_eq!(act(), Err(AuditError::Poisoned));
}

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
fn a_key_takes_anothers_place() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (open(dir.path()), open(dir.path()));
    write(&one, 0, 3);
    let old = one.key().unwrap();
    one.rotate_key(&Actor::host()).unwrap();
    // Whoever had it open before goes on with the new one.
    write(&other, 3, 9);
    assert_ne!(one.key().unwrap(), old);
    assert_eq!(one.key().unwrap(), other.key().unwrap());
    drop((one, other));
    let verdict = holds(dir.path());
    assert_ne!(verdict.key, old);
    let trust = Trust {
        key: Some(old),
        ..Trust::default()
    };
    let error = verify(&Folder::new(dir.path()), &trust).unwrap_err();
    assert!(
        matches!(error, AuditError::Broken(Finding::WrongKey { .. })),
        "{error}"
    );
}

/// A crash after the new key was named and before it was put in place.
#[test]
fn a_change_of_keys_that_was_interrupted_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    let trail = open(dir.path());
    write(&trail, 0, 3);
    let old = fs::read(dir.path().join("key")).unwrap();
    let old_public = fs::read(dir.path().join("key.pub")).unwrap();
    trail.rotate_key(&Actor::host()).unwrap();
    let key = trail.key().unwrap();
    drop(trail);
    fs::rename(dir.path().join("key"), dir.path().join("key.next")).unwrap();
    let mut file = fs::File::create_new(dir.path().join("key")).unwrap();
    std::os::unix::fs::PermissionsExt::set_mode(&mut file.metadata().unwrap().permissions(), 0o600);
    file.write_all(&old).unwrap();
    fs::set_permissions(
        dir.path().join("key"),
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .unwrap();
    fs::write(dir.path().join("key.pub"), old_public).unwrap();
    let trail = open(dir.path());
    write(&trail, 3, 4);
    assert_eq!(trail.key().unwrap(), key);
    drop(trail);
    assert!(!dir.path().join("key.next").exists());
    assert_eq!(holds(dir.path()).key, key);
}

#[test]
fn a_store_that_went_back_does_so_with_an_entry() {
    let dir = tempfile::tempdir().unwrap();
    let trail = open(dir.path());
    write(&trail, 5, 8);
    assert_eq!(trail.commit().unwrap(), Some(7));
    let _ = trail
        .act(
            &Actor::host(),
            Action::StateRestored.with("reason", "a backup").at(2),
        )
        .unwrap();
    assert_eq!(trail.commit().unwrap(), Some(2));
    let back = trail.act(&Actor::host(), Action::HostStarted.with("x", 1).at(1));
    assert!(matches!(back, Err(AuditError::Broken(_))), "{back:?}");
}

#[test]
fn a_host_that_did_not_end_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let act = |action: Action| open(dir.path()).act(&Actor::host(), action).unwrap();
    assert_eq!(open(dir.path()).host().unwrap(), None);
    let started = act(Action::HostStarted);
    assert_eq!(open(dir.path()).host().unwrap(), Some(started));
    write(&open(dir.path()), 0, 30);
    assert_eq!(
        open(dir.path()).host().unwrap(),
        Some(started),
        "through the heads of files"
    );
    let _ = act(Action::HostStopped);
    assert_eq!(open(dir.path()).host().unwrap(), None);
}

/// Where this test writes as another process: the folder, and what to begin its secrets' names with.
const CHILD: &str = "SLUICE_AUDIT_TEST_CHILD";

/// Several processes write at once; one is killed in the middle of it. Nothing that was answered for is missing.
#[test]
fn processes_take_turns() {
    if let Ok(folder) = std::env::var(CHILD) {
        let trail = open(Path::new(&folder));
        for at in 0.. {
            let act = Action::SecretSet.with("secret", format!("{}-{at}", std::process::id()));
            let _ = trail.act(&Actor::host(), act).unwrap();
            println!("\n{CHILD} {at}");
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let mut children: Vec<_> = (0..2)
        .map(|_| {
            Command::new(std::env::current_exe().unwrap())
                .args(["processes_take_turns", "--exact", "--nocapture"])
                .env(CHILD, dir.path())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let trail = open(dir.path());
    let mut answered = Vec::new();
    for child in &mut children {
        // Until it has written some, beside the other and this process.
        let out = std::io::BufReader::new(child.stdout.take().unwrap());
        let mut last = 0;
        for line in std::io::BufRead::lines(out).map(Result::unwrap) {
            if let Some(at) = line.strip_prefix(CHILD) {
                last = at.trim().parse::<u64>().unwrap();
                let _ = trail.act(&Actor::host(), Action::SecretRemoved).unwrap();
            }
            if last >= 30 {
                break;
            }
        }
        child.kill().unwrap();
        let _ = child.wait().unwrap();
        answered.push((child.id(), last));
    }
    write(&trail, 100, 101);
    drop(trail);
    let entries = entries(dir.path());
    for (child, last) in answered {
        for at in 0..=last {
            let secret = format!("{child}-{at}");
            let times = entries
                .iter()
                .filter(|entry| entry.fields.get("secret") == Some(&secret))
                .count();
            assert_eq!(times, 1, "{secret}");
        }
    }
    assert_eq!(holds(dir.path()).unsigned, 0);
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

/// Every moment at which a host can be killed while it makes a trail.
#[test]
fn a_trail_that_never_began_is_begun() {
    let whole = tempfile::tempdir().unwrap();
    drop(open(whole.path()));
    let windows: [&[(&str, &str)]; 5] = [
        &[],
        &[("", "00000001.log")],
        &[("", "00000001.log"), ("key", "key.next")],
        &[
            ("", "00000001.log"),
            ("key", "key.next"),
            ("key.pub", "key.pub"),
        ],
        &[("", "00000001.log"), ("key", "key"), ("key.pub", "key.pub")],
    ];
    for window in windows {
        let dir = tempfile::tempdir().unwrap();
        for (from, to) in window {
            match *from {
                "" => fs::write(dir.path().join(to), "").unwrap(),
                from => drop(fs::copy(whole.path().join(from), dir.path().join(to)).unwrap()),
            }
        }
        write(&open(dir.path()), 0, 1);
        assert_eq!(holds(dir.path()).entries, 2, "{window:?}");
        assert!(!dir.path().join("key.next").exists(), "{window:?}");
    }
    fs::remove_file(whole.path().join("00000001.log")).unwrap();
    let error = Trail::open(whole.path(), small()).map(drop).unwrap_err();
    assert!(matches!(error, AuditError::Broken(_)), "{error}");
}

/// A crash after the new key was put in place and before its public half was.
#[test]
fn the_public_half_follows_the_key_in_force() {
    let dir = tempfile::tempdir().unwrap();
    let trail = open(dir.path());
    let old = fs::read(dir.path().join("key.pub")).unwrap();
    trail.rotate_key(&Actor::host()).unwrap();
    let key = trail.key().unwrap();
    drop(trail);
    fs::write(dir.path().join("key.pub"), old).unwrap();
    drop(open(dir.path()));
    assert_eq!(holds(dir.path()).key, key);
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

/// Somebody asks for a checkpoint while a run goes on.
#[test]
fn what_another_process_signs_is_no_end_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let run = open(dir.path());
    write(&run, 0, 3);
    open(dir.path()).sign().unwrap();
    write(&run, 3, 4);
    drop(run);
    assert_eq!(holds(dir.path()).entries, 5);
}

/// Whoever takes all of it away but the key would have another trail begun, signed as the old one was.
#[test]
fn a_key_without_its_trail_begins_no_other() {
    let dir = tempfile::tempdir().unwrap();
    write(&open(dir.path()), 0, 3);
    fs::remove_file(dir.path().join("00000001.log")).unwrap();
    fs::remove_file(dir.path().join("checkpoints")).unwrap();
    let error = Trail::open(dir.path(), small()).map(drop).unwrap_err();
    let is_missed = matches!(error, AuditError::Broken(Finding::MissingFile { file: 1 }));
    assert!(is_missed, "{error}");
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
