//! `kill -9`, twenty times: every commit that was acknowledged is there, and each batch is there whole or not at all. Once
//! more where the store is sealed, with keys that are worn so soon that some are retired, and rows sealed anew, all the
//! while; and while a store that was not sealed is sealed.
//!
//! The test binary runs itself as the victim, which commits and prints the number of each commit once it is durable.

use sluice_model::ports::{Namespace, StateBatch, StateStore, StateWrite};
use sluice_state::keys::{KeyFile, make_key_file};
use sluice_state::sealed::{self, Sealing, Wear};
use sluice_state::{Options, SledStore};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const VICTIM: &str = "SLUICE_TEST_STATE_VICTIM";
const KILLS: u64 = 20;
const WRITERS: u8 = 2;

/// Says whether the victim's store is sealed.
const SEALED: &str = "SLUICE_TEST_STATE_SEALED";

fn open(dir: &Path, is_sealed: bool) -> Box<dyn StateStore> {
    if !is_sealed {
        return Box::new(SledStore::open(dir, Options::default()).expect("opens"));
    }
    let path = dir.join("key");
    if !path.exists() {
        make_key_file(&path).expect("a key");
    }
    let sealing = Sealing {
        wear: Wear {
            seals_max: 200,
            age_ms_max: 300,
        },
        ..Sealing::default()
    };
    let store = sealed::open(dir, Options::default(), sealing, &KeyFile { path });
    Box::new(store.unwrap_or_else(|error| panic!("{error}")))
}

/// Batch `number` of a writer: its checkpoint, three dead letters of which one has chunks, and the end of three old
/// ones.
fn batch(writer: u8, number: u64) -> StateBatch {
    let mut writes = vec![StateWrite::Put(
        Namespace::Checkpoint,
        vec![writer],
        number.to_be_bytes().to_vec(),
    )];
    for part in 0..3 {
        writes.push(StateWrite::Put(
            Namespace::DeadLetter,
            letter(writer, number, part),
            value(writer, number, part),
        ));
        if let Some(old) = number.checked_sub(10) {
            writes.push(StateWrite::Delete(
                Namespace::DeadLetter,
                letter(writer, old, part),
            ));
        }
    }
    StateBatch {
        expect: vec![],
        writes,
    }
}

fn letter(writer: u8, number: u64, part: u8) -> Vec<u8> {
    [&[writer], number.to_be_bytes().as_slice(), &[part]].concat()
}

fn value(writer: u8, number: u64, part: u8) -> Vec<u8> {
    let length = if part == 0 { 70_000u32 } else { 300 };
    (0..length)
        .map(|at| at as u8 ^ number as u8 ^ writer)
        .collect()
}

fn stored(store: &dyn StateStore, writer: u8) -> u64 {
    let bytes = store.get(Namespace::Checkpoint, &[writer]).expect("gets");
    bytes.map_or(0, |bytes| {
        u64::from_be_bytes(bytes.try_into().expect("eight bytes"))
    })
}

#[test]
fn victim() {
    let Ok(dir) = std::env::var(VICTIM) else {
        return;
    };
    let store = &*open(Path::new(&dir), std::env::var_os(SEALED).is_some());
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            scope.spawn(move || {
                for number in stored(store, writer) + 1.. {
                    store.commit(batch(writer, number)).expect("commits");
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "\nack {writer} {number}")
                        .and_then(|()| out.flush())
                        .expect("the parent reads");
                }
            });
        }
    });
}

fn start(dir: &Path, is_sealed: bool) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command
        .args(["--exact", "victim", "--nocapture"])
        .env(VICTIM, dir);
    if is_sealed {
        command.env(SEALED, "yes");
    }
    command.stdout(Stdio::piped()).spawn().expect("starts")
}

/// Reads acknowledgements until the victim dies; kills it after so many.
fn kill_after(acks: u64, victim: &mut Child, acked: &mut [u64]) -> u64 {
    let mut seen = 0;
    let lines = BufReader::new(victim.stdout.take().expect("piped")).lines();
    for line in lines.map_while(Result::ok) {
        let words: Vec<&str> = line.split(' ').collect();
        let ["ack", writer, number] = words[..] else {
            continue;
        };
        acked[writer.parse::<usize>().expect("a writer")] = number.parse().expect("a number");
        seen += 1;
        if seen == acks {
            victim.kill().expect("kills"); // What it prints until it is dead is still read.
        }
    }
    victim.wait().expect("ends");
    seen
}

fn verify(store: &dyn StateStore, acked: &[u64]) {
    for writer in 0..WRITERS {
        let number = stored(store, writer);
        assert!(
            number >= acked[usize::from(writer)],
            "an acknowledged commit is gone"
        );
        let expected: Vec<_> = (number.saturating_sub(9).max(1)..=number)
            .flat_map(|number| {
                (0..3).map(move |part| (letter(writer, number, part), value(writer, number, part)))
            })
            .collect();
        let found = store
            .scan(Namespace::DeadLetter, &[writer], b"", 1_000)
            .expect("scans");
        assert!(
            found == expected,
            "writer {writer} at {number}: a torn batch"
        );
    }
}

/// Random numbers that are the same each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

fn kill_again_and_again(is_sealed: bool) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut acked = vec![0; usize::from(WRITERS)];
    let (mut total, mut chance) = (0, Chance(0x2545_F491_4F6C_DD1D));
    for _ in 0..KILLS {
        let mut victim = start(dir.path(), is_sealed);
        total += kill_after(1 + chance.below(40), &mut victim, &mut acked);
        verify(&*open(dir.path(), is_sealed), &acked);
    }
    assert!(
        total >= KILLS * 5,
        "only {total} commits: this proved nothing"
    );
}

#[test]
fn no_acknowledged_commit_is_lost_to_a_kill() {
    kill_again_and_again(false);
}

#[test]
fn none_is_lost_where_it_is_sealed() {
    kill_again_and_again(true);
}

#[test]
fn none_is_lost_to_a_kill_while_a_store_is_sealed() {
    let dir = tempfile::tempdir().expect("a directory");
    let plain = open(dir.path(), false);
    let acked = [60, 40];
    for writer in 0..WRITERS {
        for number in 1..=acked[usize::from(writer)] {
            plain.commit(batch(writer, number)).expect("commits");
        }
    }
    drop(plain);
    let (mut chance, mut killed) = (Chance(0x9E37_79B9_7F4A_7C15), 0);
    for _ in 0..KILLS / 2 {
        // It seals the store, then commits; killed before that, it says nothing.
        let mut victim = start(dir.path(), true);
        std::thread::sleep(std::time::Duration::from_millis(chance.below(120)));
        victim.kill().expect("kills");
        victim.wait().expect("ends");
        killed += u64::from(dir.path().join("store").exists());
    }
    assert!(killed > 0, "every kill came too late: this proved nothing");
    verify(&*open(dir.path(), true), &acked);
    assert!(!dir.path().join("store").exists());
}
