//! `kill -9`, twenty times: every commit that was acknowledged is there, and each batch is there whole or not at all.
//!
//! The test binary runs itself as the victim, which commits and prints the number of each commit once it is durable.

use sluice_model::ports::{Namespace, StateBatch, StateStore, StateWrite};
use sluice_state::{Options, SledStore};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const VICTIM: &str = "SLUICE_TEST_STATE_VICTIM";
const KILLS: u64 = 20;
const WRITERS: u8 = 2;

fn open(dir: &Path) -> SledStore {
    SledStore::open(dir, Options::default()).expect("opens")
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

fn stored(store: &SledStore, writer: u8) -> u64 {
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
    let store = &open(Path::new(&dir));
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

fn start(dir: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command
        .args(["--exact", "victim", "--nocapture"])
        .env(VICTIM, dir);
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

fn verify(dir: &Path, acked: &[u64]) {
    let store = open(dir);
    for writer in 0..WRITERS {
        let number = stored(&store, writer);
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

#[test]
fn no_acknowledged_commit_is_lost_to_a_kill() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut acked = vec![0; usize::from(WRITERS)];
    let (mut total, mut chance) = (0, 0x2545_F491_4F6C_DD1Du64);
    for _ in 0..KILLS {
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        let mut victim = start(dir.path());
        total += kill_after(1 + chance % 40, &mut victim, &mut acked);
        verify(dir.path(), &acked);
    }
    assert!(
        total >= KILLS * 5,
        "only {total} commits: this proved nothing"
    );
}
