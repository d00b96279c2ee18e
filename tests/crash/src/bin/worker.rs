//! The subject of the store's crash tests: a sealed store and an audit trail, opened as the service opens them. It is
//! killed, its disk is taken away or damaged, and it never knows.
//!
//! `commit FOLDER COMMITS`: two writers move a split each, with dead letters and the end of older ones, and print every
//! step before it is tried and once it is durable. `hold FOLDER`: opens all of it twice, and prints what it holds.

use sha2::{Digest as _, Sha256};
use sluice_audit::{Action, Actor, Trail};
use sluice_crash::words::{KEPT, WRITERS};
use sluice_model::checkpoint::{Checkpoint, Cursor, Mark};
use sluice_model::ids::{PipelineName, Role, SplitId, StageId};
use sluice_model::ports::StateStore;
use sluice_model::rejection::{Place, Record, Rejection};
use sluice_state::journal::{
    self, DeadLetter, Desk, Fate, Filter, Kept, Redriven, Standing, StandingKind, Step,
};
use sluice_state::keys::{KeyFile, make_key_file};
use sluice_state::sealed::{self, Sealing, Wear};
use sluice_state::{Options, private_folder};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// After so many commits a writer audits where the store is.
const AUDITED_EVERY: u64 = 4;
/// One commit in so many has a letter that is kept in chunks.
const CHUNKED_EVERY: u64 = 7;
const CHUNKED_BYTES: usize = 45_000;
const LETTERS_READ_MAX: usize = 10_000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["commit", folder, commits] => commits
            .parse()
            .map_err(|_| format!("`{commits}` is no number"))
            .and_then(|commits| commit(Path::new(folder), commits)),
        ["hold", folder] => hold(Path::new(folder)),
        _ => Err("usage: commit FOLDER COMMITS, or hold FOLDER".to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            say(&format!("failed {}", why.replace('\n', " ")));
            ExitCode::FAILURE
        }
    }
}

/// A line, in one write. Nobody may be left to hear it: the run goes on.
fn say(line: &str) {
    let _ = std::io::stdout()
        .lock()
        .write_all(format!("{line}\n").as_bytes());
}

/// The store, as `host/service` opens it, but with keys that are soon worn: so that some are retired, and rows sealed
/// anew, all the while. And the trail, in small files that are often signed.
struct Subject {
    store: Box<dyn StateStore>,
    trail: Trail,
}

impl Subject {
    fn open(folder: &Path) -> Result<Self, String> {
        let (state, key) = (folder.join("state"), folder.join("key"));
        if !sealed::is_sealed(&state) && !key.exists() {
            private_folder(folder).map_err(|error| error.to_string())?;
            make_key_file(&key).map_err(|error| error.to_string())?;
        }
        let wear = Wear {
            seals_max: 400,
            age_ms_max: 500,
        };
        let sealing = Sealing {
            wear,
            ..Sealing::default()
        };
        let options = Options {
            patience: Duration::from_secs(10),
            ..Options::default()
        };
        let source = KeyFile { path: key };
        let store = sealed::open(&state, options, sealing, &source);
        let store = store.map_err(|error| error.to_string())?;
        let options = sluice_audit::Options {
            segment_bytes: 6_000,
            unsigned_entries_max: 3,
            ..sluice_audit::Options::default()
        };
        let trail =
            Trail::open(&folder.join("audit"), options).map_err(|error| error.to_string())?;
        let store = Box::new(store);
        Ok(Self { store, trail })
    }

    fn last_commit(&self) -> u64 {
        self.store.stats().last_commit.0
    }
}

fn pipeline() -> PipelineName {
    "orders".parse().expect("a name")
}

fn split(writer: u8) -> SplitId {
    format!("split-{writer}").parse().expect("a name")
}

fn commit(folder: &Path, commits: u64) -> Result<(), String> {
    let subject = Subject::open(folder)?;
    say(&format!("opened {}", subject.last_commit()));
    let desk = Desk::default();
    let outcome: Result<(), String> = std::thread::scope(|scope| {
        let write = |writer| {
            let (subject, desk) = (&subject, &desk);
            scope.spawn(move || Writer::new(subject, desk, writer)?.run(commits))
        };
        let writers: Vec<_> = (0..WRITERS).map(write).collect();
        let ended = writers.into_iter().map(|writer| {
            let ended = writer.join();
            ended.unwrap_or_else(|_| Err("a writer panicked".to_owned()))
        });
        ended.collect::<Vec<_>>().into_iter().collect()
    });
    if outcome.is_ok() {
        subject.trail.sign().map_err(|error| error.to_string())?;
        drop(subject);
        say("done");
    }
    outcome
}

struct Writer<'a> {
    subject: &'a Subject,
    desk: &'a Desk,
    number: u8,
    held: journal::Held,
    /// Letters that are there, by the step they came with.
    letters: BTreeMap<u64, Vec<Kept>>,
}

impl<'a> Writer<'a> {
    fn new(subject: &'a Subject, desk: &'a Desk, writer: u8) -> Result<Self, String> {
        let held = journal::hold(&*subject.store, &pipeline(), &split(writer));
        Ok(Self {
            subject,
            desk,
            number: writer,
            held: held.map_err(|error| error.to_string())?,
            letters: letters(&*subject.store, writer)?,
        })
    }

    fn run(mut self, commits: u64) -> Result<(), String> {
        let first = self.held.checkpoint().map_or(1, |held| held.sequence + 1);
        for number in first..first + commits {
            self.step(number)?;
            if number % AUDITED_EVERY == 0 {
                self.audit(number)?;
            }
        }
        Ok(())
    }

    fn step(&mut self, number: u64) -> Result<(), String> {
        let writer = self.number;
        let store = &*self.subject.store;
        let count = 1 + number % 3;
        let numbers = self.desk.reserve(store, &pipeline(), count);
        let numbers = numbers.map_err(|error| error.to_string())?;
        let made: Vec<DeadLetter> = (numbers.first..=numbers.last)
            .map(|at| letter(at, writer, number))
            .collect();
        let next = checkpoint(writer, number);
        say(&format!(
            "try {writer} {number} {} {}",
            checkpoint_digest(&next),
            letters_digest(&made)
        ));
        // Letters of an older step are delivered with it: one commit over all that a step touches.
        let old = self.letters.remove(&number.saturating_sub(KEPT));
        let old = old.unwrap_or_default();
        let fates: Vec<Redriven> = old.iter().map(|kept| delivered(&kept.letter)).collect();
        let step = Step {
            letters: &made,
            fates: &fates,
            run: "run-1",
            ..Step::to(next, number)
        };
        let steps = self.held.steps(store, self.desk, &step);
        let held = steps.and_then(journal::Steps::commit);
        self.held = held.map_err(|error| error.to_string())?;
        let commit = store.stats().last_commit;
        say(&format!("ack {writer} {number} {}", commit.0));
        self.letters
            .insert(number, letters_of(store, writer, number)?);
        if number.is_multiple_of(KEPT) {
            self.purge()?;
        }
        Ok(())
    }

    /// Removes the letters that were delivered.
    fn purge(&self) -> Result<(), String> {
        let store = &*self.subject.store;
        let turn = self.desk.turn(&pipeline());
        let sweep = journal::purge(store, &turn, 0, LETTERS_READ_MAX);
        let sweep = sweep.map_err(|error| error.to_string())?;
        if sweep.letters > 0 {
            store
                .commit(sweep.batch)
                .map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn audit(&self, number: u64) -> Result<(), String> {
        let commit = self.subject.last_commit();
        let act = Action::Used.with("step", number).at(commit);
        let written = self.subject.trail.act(&Actor::host(), act);
        let entry = written.map_err(|error| error.to_string())?;
        say(&format!("audited {entry} {commit}"));
        Ok(())
    }
}

fn letters(store: &dyn StateStore, writer: u8) -> Result<BTreeMap<u64, Vec<Kept>>, String> {
    let filter = Filter {
        split: Some(split(writer)),
        standing: Some(StandingKind::Waiting),
        ..Filter::default()
    };
    let found = journal::dead_letters(store, &pipeline(), &filter, 0, LETTERS_READ_MAX);
    let mut letters: BTreeMap<u64, Vec<Kept>> = BTreeMap::new();
    for kept in found.map_err(|error| error.to_string())? {
        let step = kept.letter.mark.sequence;
        letters.entry(step).or_default().push(kept);
    }
    Ok(letters)
}

fn letters_of(store: &dyn StateStore, writer: u8, step: u64) -> Result<Vec<Kept>, String> {
    let mut all = letters(store, writer)?;
    Ok(all.remove(&step).unwrap_or_default())
}

fn delivered(letter: &DeadLetter) -> Redriven {
    Redriven {
        number: letter.number,
        edits: letter.edits,
        fate: Fate::Delivered,
    }
}

fn checkpoint(writer: u8, number: u64) -> Checkpoint {
    let place = noise(u64::from(writer) << 32 | number, 40 + number as usize % 90);
    Checkpoint {
        epoch: 1,
        sequence: number,
        mark: Some(Mark {
            epoch: 1,
            sequence: number,
        }),
        place: Some(Cursor::from(place)),
        ..Checkpoint::default()
    }
}

fn letter(at: u64, writer: u8, number: u64) -> DeadLetter {
    let bytes = match number % CHUNKED_EVERY {
        0 => CHUNKED_BYTES,
        some => 200 * some as usize,
    };
    let text = noise(at << 8 | u64::from(writer), bytes)
        .iter()
        .map(|byte| char::from(b'a' + byte % 26))
        .collect();
    let rejection = Rejection {
        stage: StageId {
            role: Role::Sink,
            index: 0,
        },
        stream: "lines".parse().expect("a name"),
        code: "refused".to_owned(),
        message: format!("step {number} of writer {writer}"),
        place: Place {
            document: Some("a.csv".to_owned()),
            line: Some(at),
            item: None,
        },
        record: Record::Json(text),
        csv: None,
        truncated: false,
        removal: false,
        given: None,
        also: Vec::new(),
        identity: None,
    };
    DeadLetter {
        number: at,
        pipeline: pipeline(),
        split: split(writer),
        run: "run-1".to_owned(),
        mark: Mark {
            epoch: 1,
            sequence: number,
        },
        plugin: "sluice/files".parse().expect("a name"),
        at_ms: number,
        rejection,
        standing: Standing::Waiting,
        attempts: 0,
        attempt: None,
        edits: 0,
        edited: None,
    }
}

/// Bytes that follow from a seed, and from nothing else.
fn noise(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(count).collect()
}

fn checkpoint_digest(checkpoint: &Checkpoint) -> String {
    digest(&serde_json::to_vec(checkpoint).expect("plain data"))
}

fn letters_digest<'a>(letters: impl IntoIterator<Item = &'a DeadLetter>) -> String {
    let letters: Vec<&DeadLetter> = letters.into_iter().collect();
    digest(&serde_json::to_vec(&letters).expect("plain data"))
}

fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for byte in Sha256::digest(bytes).iter().take(12) {
        let _ = write!(text, "{byte:02x}"); // Text takes all of it.
    }
    text
}

/// Twice: what the first opening mends, the second must not find broken.
fn hold(folder: &Path) -> Result<(), String> {
    for opening in 1..=2 {
        say(&format!("opening {opening}"));
        let subject = Subject::open(&PathBuf::from(folder))?;
        say(&format!("commit {}", subject.last_commit()));
        let store = &*subject.store;
        for writer in 0..WRITERS {
            let held = journal::hold(store, &pipeline(), &split(writer));
            let held = held.map_err(|error| error.to_string())?;
            if let Some(checkpoint) = held.checkpoint() {
                let digest = checkpoint_digest(checkpoint);
                say(&format!(
                    "checkpoint {writer} {} {digest}",
                    checkpoint.sequence
                ));
            }
            for (step, letters) in letters(store, writer)? {
                let digest = letters_digest(letters.iter().map(|kept| &kept.letter));
                say(&format!("letters {writer} {step} {digest}"));
            }
        }
        let trail = &subject.trail;
        let size = trail.size().map_err(|error| error.to_string())?;
        let commit = trail.commit().map_err(|error| error.to_string())?;
        say(&format!("trail {size} {}", commit.unwrap_or_default()));
        drop(subject);
        say("closed");
    }
    Ok(())
}
