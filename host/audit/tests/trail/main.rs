//! A trail as it is written: by one process, by several, through crashes, and never on top of what does not hold.

#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod copies;
mod damage;

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

fn edit(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{from} in {text}");
    fs::write(file, text.replacen(from, to, 1)).unwrap();
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
