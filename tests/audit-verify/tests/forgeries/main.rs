//! Forged trails: each must be found by the host's own check and by the independent one, and the honest trail must
//! hold for both.

#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod forge;

use forge::{Lines, sign, sizes};
use serde_json::{Value, json};
use sluice_audit::{Action, Actor, AuditError, Finding, Folder, Options, Trail, Trust, verify};
use sluice_audit_verify::{Against, check};
use std::fs;
use std::path::{Path, PathBuf};

/// An honest trail: several files, two keys, a copy, and what somebody kept elsewhere.
struct Honest {
    dir: tempfile::TempDir,
    /// The key that signed before the present one.
    old_key: Vec<u8>,
    origin: String,
}

const STORE_COMMIT: u64 = 500;

impl Honest {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            copy: Some(dir.path().join("copy")),
            segment_bytes: 4_000,
            unsigned_entries_max: 4,
            ..Options::default()
        };
        let trail = dir.path().join("trail");
        let opened = Trail::open(&trail, options).unwrap();
        let old_key = fs::read(trail.join("key")).unwrap();
        let origin = opened.key().unwrap().split('+').next().unwrap().to_owned();
        for at in 0..60_u64 {
            if at == 25 {
                opened.rotate_key(&Actor::host()).unwrap();
            }
            if at == 40 {
                let kept = opened.checkpoint().unwrap().unwrap().to_string();
                fs::write(dir.path().join("kept"), kept).unwrap();
            }
            let act = Action::GrantWritten.with("file", format!("grants/{at}.toml"));
            let act = act.with("plugin", "acme/x \"é\" \u{1b}[2J").at(10 * at);
            let _ = opened.act(&Actor::of_this_process(), act).unwrap();
        }
        drop(opened);
        Self {
            dir,
            old_key,
            origin,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn lines(&self) -> Lines {
        Lines::read(&self.path("trail"))
    }

    /// The trail again, in a folder of its own.
    fn another(&self) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(self.path("trail")).unwrap() {
            let entry = entry.unwrap().path();
            fs::copy(&entry, dir.path().join(entry.file_name().unwrap())).unwrap();
        }
        dir
    }
}

/// What a case is held against besides itself.
#[derive(Clone, Copy)]
enum Beside {
    Nothing,
    Copy,
    Kept,
    Store(u64),
}

fn both(
    honest: &Honest,
    dir: &Path,
    beside: Beside,
) -> (Result<(), AuditError>, Result<(), String>) {
    let (mut trust, mut against) = (Trust::default(), Against::default());
    match beside {
        Beside::Nothing => {}
        Beside::Copy => {
            trust.copy = Some(honest.path("copy"));
            against.copy = Some(honest.path("copy"));
        }
        Beside::Kept => {
            let kept = honest.path("kept");
            trust.checkpoints = vec![("kept".to_owned(), fs::read(&kept).unwrap())];
            against.checkpoints = vec![kept];
        }
        Beside::Store(commit) => {
            trust.store_commit = Some(commit);
            against.store_commit = Some(commit);
        }
    }
    let ours = verify(&Folder::new(dir), &trust).map(drop);
    (ours, check(dir, &against).map(drop))
}

/// Forges a copy of the trail, and sees that both find it. Gives what the host's own check says.
fn found(honest: &Honest, name: &str, beside: Beside, forge: impl FnOnce(&Path)) -> AuditError {
    let dir = honest.another();
    forge(dir.path());
    let (ours, theirs) = both(honest, dir.path(), beside);
    assert!(
        theirs.is_err(),
        "{name}: the independent check did not find it"
    );
    ours.expect_err(&format!("{name}: the host's check did not find it"))
}

fn rewritten(honest: &Honest, change: impl FnOnce(&mut Lines)) -> impl FnOnce(&Path) {
    let mut lines = honest.lines();
    change(&mut lines);
    move |dir| lines.write(dir)
}

#[test]
fn the_honest_trail_holds() {
    let honest = Honest::new();
    assert!(honest.lines().0.len() >= 4, "several files");
    for beside in [
        Beside::Nothing,
        Beside::Copy,
        Beside::Kept,
        Beside::Store(STORE_COMMIT * 2),
    ] {
        let (ours, theirs) = both(&honest, &honest.path("trail"), beside);
        assert_eq!((ours, theirs), (Ok(()), Ok(())));
    }
    // The copy is a trail too, and holds on its own.
    let (ours, theirs) = both(&honest, &honest.path("copy"), Beside::Kept);
    assert_eq!((ours, theirs), (Ok(()), Ok(())));
    assert_eq!(
        fs::read(honest.path("copy/key.pub")).unwrap(),
        fs::read(honest.path("trail/key.pub")).unwrap()
    );
    // Half a line is what a crash leaves.
    let torn = honest.another();
    let last = format!("{:08}.log", honest.lines().0.len());
    let mut bytes = fs::read(torn.path().join(&last)).unwrap();
    bytes.extend(b"{\"seq\":");
    fs::write(torn.path().join(&last), bytes).unwrap();
    assert_eq!(both(&honest, torn.path(), Beside::Copy), (Ok(()), Ok(())));
}

/// Entries of all files, the heads of files and the change of keys among them.
fn some(honest: &Honest) -> Vec<usize> {
    let count = honest.lines().count();
    (2..count).step_by(5).collect()
}

#[test]
fn entries_that_were_tampered_with_are_found_and_named() {
    let honest = Honest::new();
    let mut cases = 0;
    for seq in some(&honest) {
        let mut naive = |name: &str, wanted: usize, change: &dyn Fn(&mut Lines)| {
            let name = format!("{name} {seq}");
            let error = found(&honest, &name, Beside::Nothing, rewritten(&honest, change));
            let AuditError::Broken(Finding::BadEntry { seq: named, .. }) = error else {
                panic!("{name}: {error}");
            };
            assert_eq!(named, wanted as u64, "{name}");
            cases += 1;
        };
        naive("who", seq, &|lines| {
            lines.entry(seq)["actor"] = "somebody else".into();
        });
        naive("when", seq, &|lines| lines.entry(seq)["time"] = 1.into());
        naive("what", seq, &|lines| {
            lines.entry(seq)["action"] = "refused".into();
        });
        naive("commit", seq, &|lines| {
            lines.entry(seq)["commit"] = 3.into();
        });
        naive("a field", seq, &|lines| {
            lines.entry(seq)["fields"]["file"] = "other".into();
        });
        naive("more fields", seq, &|lines| {
            lines.entry(seq)["fields"]["more"] = "x".into();
        });
        naive("deleted", seq, &|lines| drop(lines.remove(seq)));
        naive("inserted", seq + 1, &|lines| {
            let twin = lines.entry(seq).clone();
            lines.insert(seq, twin);
        });
        naive("reordered", seq, &|lines| lines.swap(seq));
    }
    assert!(cases >= 100, "{cases}");
}

/// What a forger does to the lines, by name.
type Change<'a> = (&'a str, &'a dyn Fn(&mut Lines));

/// Whoever rewrites everything after the change, so that all hashes are right, is found by what was signed.
#[test]
fn rewritten_histories_are_found() {
    let honest = Honest::new();
    let heads = |lines: &mut Lines, seq: usize| lines.entry(seq)["action"] == "audit.segment";
    let mut cases = 0;
    for seq in some(&honest) {
        if heads(&mut honest.lines(), seq) || heads(&mut honest.lines(), seq + 1) {
            continue;
        }
        let changes: [Change; 5] = [
            ("changed", &|lines| {
                lines.entry(seq)["actor"] = "somebody else".into();
            }),
            ("time", &|lines| lines.entry(seq)["time"] = 1.into()),
            ("deleted", &|lines| drop(lines.remove(seq))),
            ("inserted", &|lines| lines.insert(seq, made_up())),
            ("reordered", &|lines| lines.swap(seq)),
        ];
        for (name, change) in changes {
            let forge = rewritten(&honest, |lines| {
                change(lines);
                let _ = lines.again();
            });
            drop(found(
                &honest,
                &format!("rewritten: {name} {seq}"),
                Beside::Nothing,
                forge,
            ));
            cases += 1;
        }
    }
    assert!(cases >= 30, "{cases}");
}

fn made_up() -> Value {
    json!({ "seq": 0, "time": 7, "actor": "root (0)", "action": "secret.removed", "fields": { "secret": "x" },
            "prev": "0".repeat(64), "hash": "0".repeat(64) })
}

#[test]
fn cut_tails_are_found() {
    let honest = Honest::new();
    let count = honest.lines().count();
    let kept = sizes_of(&honest.path("kept"));
    for keep in (0..count).rev().step_by(4) {
        let cut = |dir: &Path| {
            let mut lines = honest.lines();
            lines.cut(keep);
            lines.write(dir);
        };
        // The checkpoints are left as they are.
        drop(found(
            &honest,
            &format!("cut at {keep}"),
            Beside::Nothing,
            cut,
        ));
        // They are cut too: only what is elsewhere knows.
        let with_checkpoints = |dir: &Path| {
            cut(dir);
            cut_checkpoints(dir, keep);
        };
        drop(found(
            &honest,
            &format!("cut at {keep}, beside its copy"),
            Beside::Copy,
            with_checkpoints,
        ));
        if keep < kept {
            drop(found(
                &honest,
                &format!("cut at {keep}, beside what was kept"),
                Beside::Kept,
                with_checkpoints,
            ));
        }
    }
    // In the middle of a line that is signed.
    let error = found(&honest, "cut in a line", Beside::Nothing, |dir| {
        let last = dir.join(format!("{:08}.log", honest.lines().0.len()));
        let bytes = fs::read(&last).unwrap();
        fs::write(&last, &bytes[..bytes.len() - 9]).unwrap();
    });
    assert!(
        matches!(error, AuditError::Broken(Finding::CutTail { .. })),
        "{error}"
    );
}

fn sizes_of(file: &Path) -> usize {
    fs::read_to_string(file)
        .unwrap()
        .lines()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap()
}

fn cut_checkpoints(dir: &Path, keep: usize) {
    let text = fs::read_to_string(dir.join("checkpoints")).unwrap();
    let some = sizes(dir).iter().filter(|size| **size <= keep).count();
    let lines: Vec<&str> = text.split_inclusive('\n').take(6 * some).collect();
    fs::write(dir.join("checkpoints"), lines.concat()).unwrap();
}

/// A key that was replaced signs nothing any more, and a key signs nothing of before its time.
#[test]
fn signatures_of_the_wrong_time_are_found() {
    let honest = Honest::new();
    let trail = honest.path("trail");
    let new_key = fs::read(trail.join("key")).unwrap();
    let count = honest.lines().count();
    let mut lines = honest.lines();
    let rotated = (1..=count)
        .find(|seq| lines.entry(*seq)["action"] == "audit.key")
        .unwrap();
    let resigned = |dir: &Path, lines: &mut Lines, key: &dyn Fn(usize) -> Option<Vec<u8>>| {
        let roots = lines.again();
        lines.write(dir);
        let text = fs::read_to_string(dir.join("checkpoints")).unwrap();
        let blocks: Vec<&str> = text.split_inclusive("\n\n").collect();
        let sizes = sizes(dir);
        let mut out = String::new();
        for (at, size) in sizes
            .into_iter()
            .enumerate()
            .filter(|(_, size)| *size <= roots.len())
        {
            match key(size) {
                Some(key) => out.push_str(&sign(&key, &honest.origin, size, &roots[size - 1])),
                None => out.push_str(&blocks[2 * at..2 * at + 2].concat()),
            }
        }
        fs::write(dir.join("checkpoints"), out).unwrap();
    };
    for seq in [rotated + 2, rotated + 9, count - 3] {
        // The old key signs what was changed after its time.
        drop(found(
            &honest,
            &format!("old key, changed {seq}"),
            Beside::Nothing,
            |dir| {
                let mut lines = honest.lines();
                lines.entry(seq)["actor"] = "somebody else".into();
                resigned(dir, &mut lines, &|size| {
                    (size >= seq).then(|| honest.old_key.clone())
                });
            },
        ));
        // The old key signs a history in which it was never replaced.
        drop(found(
            &honest,
            &format!("old key, never replaced, up to {seq}"),
            Beside::Nothing,
            |dir| {
                let mut lines = honest.lines();
                lines.cut(seq);
                *lines.entry(rotated) = made_up();
                resigned(dir, &mut lines, &|size| {
                    (size >= rotated).then(|| honest.old_key.clone())
                });
            },
        ));
    }
    // The new key signs what was changed before its time: what journald once took.
    for seq in [2, 5, rotated - 1, rotated] {
        drop(found(
            &honest,
            &format!("new key, changed {seq}"),
            Beside::Nothing,
            |dir| {
                let mut lines = honest.lines();
                lines.entry(seq)["actor"] = "somebody else".into();
                resigned(dir, &mut lines, &|size| {
                    (size >= seq).then(|| new_key.clone())
                });
            },
        ));
    }
    // A key of one's own, named without the word of the one before.
    drop(found(
        &honest,
        "a key that nobody vouches for",
        Beside::Nothing,
        |dir| {
            let own =
                ring::signature::Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new())
                    .unwrap();
            let mut lines = honest.lines();
            lines.entry(rotated)["fields"]["key"] = public(own.as_ref(), &honest.origin).into();
            resigned(dir, &mut lines, &|size| {
                (size >= rotated).then(|| own.as_ref().to_vec())
            });
            fs::write(dir.join("key.pub"), public(own.as_ref(), &honest.origin)).unwrap();
        },
    ));
    // Another key beside it.
    drop(found(&honest, "another key.pub", Beside::Nothing, |dir| {
        fs::write(dir.join("key.pub"), public(&honest.old_key, &honest.origin)).unwrap();
    }));
}

/// Somebody who has no key of the trail: keeps what is signed up to some point, names a key of their own, and goes on
/// with that.
#[test]
fn keys_that_nobody_vouches_for_are_found() {
    let honest = Honest::new();
    let own =
        ring::signature::Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).unwrap();
    let own = own.as_ref();
    let signed = sizes(&honest.path("trail"));
    let kept = sizes_of(&honest.path("kept"));
    for (at, beside) in [
        (signed[2], Beside::Nothing),
        (signed[signed.len() / 2], Beside::Nothing),
        (*signed.last().unwrap(), Beside::Nothing),
        (kept, Beside::Kept),
    ] {
        drop(found(
            &honest,
            &format!("a key of one's own after {at}"),
            beside,
            |dir| {
                let mut lines = honest.lines();
                lines.cut(at);
                let mut named = made_up();
                named["action"] = "audit.key".into();
                named["fields"] = json!({ "key": public(own, &honest.origin) });
                let last = lines.0.last_mut().unwrap();
                last.extend([named, made_up(), made_up()]);
                let roots = lines.again();
                lines.write(dir);
                cut_checkpoints(dir, at);
                let checkpoints = dir.join("checkpoints");
                let mut text = fs::read_to_string(&checkpoints).unwrap();
                text.push_str(&sign(
                    own,
                    &honest.origin,
                    roots.len(),
                    &roots[roots.len() - 1],
                ));
                fs::write(&checkpoints, text).unwrap();
                fs::write(dir.join("key.pub"), public(own, &honest.origin)).unwrap();
            },
        ));
    }
}

fn public(key: &[u8], origin: &str) -> String {
    use ring::signature::KeyPair as _;
    use sha2::Digest as _;
    let pair = ring::signature::Ed25519KeyPair::from_pkcs8(key).unwrap();
    let bytes = [&[1], pair.public_key().as_ref()].concat();
    let id = sha2::Sha256::digest([origin.as_bytes(), b"\n", &bytes].concat());
    let id: Vec<String> = id[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    let id = id.concat();
    format!("{origin}+{id}+{}", forge::base64(&bytes))
}

#[test]
fn files_that_were_moved_are_found() {
    let honest = Honest::new();
    let file = |at: usize| format!("{at:08}.log");
    let count = honest.lines().0.len();
    for at in 1..count {
        drop(found(
            &honest,
            &format!("files {at} swapped"),
            Beside::Nothing,
            |dir| {
                fs::rename(dir.join(file(at)), dir.join("held")).unwrap();
                fs::rename(dir.join(file(at + 1)), dir.join(file(at))).unwrap();
                fs::rename(dir.join("held"), dir.join(file(at + 1))).unwrap();
            },
        ));
        drop(found(
            &honest,
            &format!("file {at} deleted"),
            Beside::Nothing,
            |dir| {
                fs::remove_file(dir.join(file(at))).unwrap();
            },
        ));
        drop(found(
            &honest,
            &format!("file {at} emptied"),
            Beside::Nothing,
            |dir| {
                fs::write(dir.join(file(at)), "").unwrap();
            },
        ));
        drop(found(
            &honest,
            &format!("file {at} repeated"),
            Beside::Nothing,
            |dir| {
                fs::copy(dir.join(file(at)), dir.join(file(count + 1))).unwrap();
            },
        ));
    }
}

#[test]
fn checkpoints_that_were_edited_are_found() {
    let honest = Honest::new();
    let text = fs::read_to_string(honest.path("trail/checkpoints")).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let blocks: Vec<String> = lines.chunks(6).map(<[&str]>::concat).collect();
    let mut edits: Vec<(String, String)> = vec![
        ("all taken away".to_owned(), String::new()),
        ("no text".to_owned(), "\u{0}".repeat(100) + "\n\n\n\n\n\n"),
    ];
    for at in (0..blocks.len()).step_by(3) {
        let with = |other: String| {
            let mut all = blocks.clone();
            all[at] = other;
            all.concat()
        };
        let size = sizes(&honest.path("trail"))[at];
        let block = &blocks[at];
        let signature = block.lines().nth(4).unwrap();
        let flipped = signature.replace(
            &signature[40..44],
            if &signature[40..44] == "AAAA" {
                "BBBB"
            } else {
                "AAAA"
            },
        );
        edits.push((
            format!("{at}: longer"),
            with(block.replace(&format!("\n{size}\n"), &format!("\n{}\n", size + 1))),
        ));
        edits.push((
            format!("{at}: another origin"),
            with(block.replace(&honest.origin, "sluice.audit/0")),
        ));
        edits.push((
            format!("{at}: another signature"),
            with(block.replace(signature, &flipped)),
        ));
        edits.push((format!("{at}: twice"), with(format!("{block}{block}"))));
        if at + 1 < blocks.len() {
            // At the very end it is what a crash might leave.
            edits.push((format!("{at}: a line more"), with(format!("{block}\n"))));
        }
        if at > 0 {
            let root = blocks[at - 1].lines().nth(2).unwrap();
            edits.push((
                format!("{at}: another root"),
                with(block.replace(block.lines().nth(2).unwrap(), root)),
            ));
            let mut swapped = blocks.clone();
            swapped.swap(at - 1, at);
            edits.push((format!("{at}: swapped"), swapped.concat()));
        }
    }
    for (name, text) in edits {
        drop(found(&honest, &name, Beside::Nothing, |dir| {
            fs::write(dir.join("checkpoints"), &text).unwrap();
        }));
    }
}

#[test]
fn stores_that_were_rolled_back_are_found() {
    let honest = Honest::new();
    for commit in [0, 1, 300, 589] {
        let error = found(&honest, "an older store", Beside::Store(commit), |_| {});
        assert_eq!(
            error,
            AuditError::Broken(Finding::RolledBack {
                store: commit,
                trail: 590
            })
        );
    }
    // The whole folder put back to an earlier day, key and all: it holds by itself, and only there.
    let earlier = |dir: &Path| {
        let mut lines = honest.lines();
        let keep = sizes(dir)[sizes(dir).len() - 3];
        lines.cut(keep);
        lines.write(dir);
        cut_checkpoints(dir, keep);
    };
    let alone = honest.another();
    earlier(alone.path());
    assert_eq!(
        both(&honest, alone.path(), Beside::Nothing),
        (Ok(()), Ok(()))
    );
    drop(found(&honest, "an earlier day", Beside::Copy, earlier));
}

/// One entry, told in other bytes.
#[test]
fn other_spellings_are_found() {
    let honest = Honest::new();
    for (name, from, to) in [
        ("a space", "{\"seq\":7,", "{\"seq\": 7,"),
        ("a key twice", "{\"seq\":7,", "{\"seq\":7,\"actor\":\"x\","),
        (
            "an escape",
            "\"action\":\"grant.written\"",
            "\"action\":\"grant.writt\\u0065n\"",
        ),
        ("a key more", "{\"seq\":7,", "{\"seq\":7,\"x\":1,"),
        ("a return", "\"}\n", "\"}\r\n"),
        ("an empty line", "\"}\n", "\"}\n\n"),
    ] {
        drop(found(&honest, name, Beside::Nothing, |dir| {
            let file = dir.join("00000001.log");
            let text = fs::read_to_string(&file).unwrap();
            assert!(text.contains(from), "{from}");
            fs::write(&file, text.replacen(from, to, 1)).unwrap();
        }));
    }
}
