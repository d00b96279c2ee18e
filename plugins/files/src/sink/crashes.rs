//! The protocol ended at every step it takes, in every way a step can end, and taken up again as the host does it.

use super::folder::Folder;
use super::names::Names;
use super::publisher::{Begun, Publisher};
use crate::Format;
use sluice_sdk::Fault;
use sluice_sdk::files::FileError;
use sluice_sdk::sink::{Commit, Context};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// How the chosen step ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// The process dies before the step is done.
    DiesBefore,
    /// The process dies when the step is done.
    DiesBehind,
    /// The machine loses power before the step is done: files that were not finished keep half of what they had.
    PowerLost,
    /// The step fails and nothing is done; the process lives on.
    FailsBefore,
    /// The step is done, and fails all the same; the process lives on.
    FailsBehind,
}

const ENDINGS: [Ending; 5] = [
    Ending::DiesBefore,
    Ending::DiesBehind,
    Ending::PowerLost,
    Ending::FailsBefore,
    Ending::FailsBehind,
];

#[derive(Debug, Clone, Default)]
struct Stored {
    bytes: Vec<u8>,
    finished: bool,
}

/// A folder in memory that outlives its process.
#[derive(Debug, Clone, Default)]
struct Memory {
    files: Rc<RefCell<BTreeMap<String, Stored>>>,
    steps: Rc<Cell<usize>>,
    fatal: Rc<Cell<Option<(usize, Ending)>>>,
    dead: Rc<Cell<bool>>,
}

impl Memory {
    /// Does one step, unless it is the chosen one or the process is dead.
    fn step<T>(
        &self,
        done: impl FnOnce(&mut BTreeMap<String, Stored>) -> Result<T, FileError>,
    ) -> Result<T, FileError> {
        let gone = || FileError::Transient("the disk is away".to_owned());
        if self.dead.get() {
            return Err(gone());
        }
        let step = self.steps.replace(self.steps.get() + 1);
        let ending = self
            .fatal
            .get()
            .filter(|(fatal, _)| *fatal == step)
            .map(|(_, ending)| ending);
        self.dead.set(matches!(
            ending,
            Some(Ending::DiesBefore | Ending::DiesBehind | Ending::PowerLost)
        ));
        let mut files = self.files.borrow_mut();
        match ending {
            None => done(&mut files),
            Some(Ending::DiesBefore | Ending::FailsBefore) => Err(gone()),
            Some(Ending::DiesBehind | Ending::FailsBehind) => {
                done(&mut files).and_then(|_| Err(gone()))
            }
            Some(Ending::PowerLost) => {
                for file in files.values_mut().filter(|file| !file.finished) {
                    file.bytes.truncate(file.bytes.len() / 2);
                }
                Err(gone())
            }
        }
    }

    fn revive(&self) {
        self.dead.set(false);
        self.fatal.set(None);
    }

    /// What a reader of the folder sees: everything whose name does not begin with a dot.
    fn visible(&self) -> BTreeMap<String, String> {
        let files = self.files.borrow();
        let shown = files
            .iter()
            .filter(|(path, _)| !path.split('/').any(|name| name.starts_with('.')));
        shown
            .map(|(path, file)| {
                (
                    path.clone(),
                    String::from_utf8_lossy(&file.bytes).into_owned(),
                )
            })
            .collect()
    }

    fn temporary(&self) -> Vec<String> {
        self.files
            .borrow()
            .keys()
            .filter(|path| {
                path.split('/')
                    .next_back()
                    .is_some_and(|name| name.starts_with('.'))
            })
            .cloned()
            .collect()
    }
}

fn missing(path: &str) -> FileError {
    FileError::NotFound(format!("`{path}` does not exist"))
}

impl Folder for Memory {
    type File = String;

    fn read(&self, path: &str, offset: u64, max: u32) -> Result<Vec<u8>, FileError> {
        self.step(|files| {
            let bytes = &files.get(path).ok_or_else(|| missing(path))?.bytes;
            let start = bytes.len().min(offset as usize);
            Ok(bytes[start..bytes.len().min(start + max as usize)].to_vec())
        })
    }

    fn create(&self, path: &str) -> Result<String, FileError> {
        self.step(|files| {
            files.insert(path.to_owned(), Stored::default());
            Ok(path.to_owned())
        })
    }

    fn append(&self, file: &mut String, bytes: &[u8]) -> Result<(), FileError> {
        self.step(|files| {
            let stored = files.get_mut(file).ok_or_else(|| missing(file))?;
            stored.bytes.extend_from_slice(bytes);
            Ok(())
        })
    }

    fn finish(&self, file: String) -> Result<(), FileError> {
        self.step(|files| {
            files.get_mut(&file).ok_or_else(|| missing(&file))?.finished = true;
            Ok(())
        })
    }

    fn rename(&self, old: &str, new: &str) -> Result<(), FileError> {
        self.step(|files| {
            let stored = files.remove(old).ok_or_else(|| missing(old))?;
            assert!(
                stored.finished,
                "`{old}` is given a final name before it is finished"
            );
            assert!(
                new.starts_with(".sluice/") || !files.contains_key(new),
                "`{new}` is replaced"
            );
            files.insert(new.to_owned(), stored);
            Ok(())
        })
    }

    fn remove(&self, path: &str) -> Result<(), FileError> {
        self.step(|files| files.remove(path).map(|_| ()).ok_or_else(|| missing(path)))
    }
}

/// Each unit's files: a stream and its records.
type Units = &'static [&'static [(&'static str, &'static str)]];

const UNITS: Units = &[
    &[("movies", "a\n"), ("people", "b\n")],
    &[],
    &[("movies", "c\n"), ("movies", "d\n"), ("people", "e\n")],
    &[("people", "f\n")],
];

fn publisher(folder: &Memory) -> Publisher<Memory> {
    let context = Context {
        pipeline: "p".to_owned(),
        split: "s".to_owned(),
    };
    let names = Names::new(&context, "", Format::Ndjson);
    Publisher::new(
        folder.clone(),
        context,
        names,
        vec!["movies".to_owned(), "people".to_owned()],
    )
}

fn commit(epoch: u64, sequence: u64) -> Commit {
    Commit {
        pipeline: "p".to_owned(),
        split: "s".to_owned(),
        cursor: sequence.to_string().into_bytes(),
        epoch,
        sequence,
    }
}

fn write(publisher: &mut Publisher<Memory>, commit: &Commit) -> Result<(), Fault> {
    if publisher.begin(commit)? == Begun::Published {
        return Ok(());
    }
    for (stream, text) in UNITS[commit.sequence as usize - 1] {
        let mut file = publisher.create(stream)?;
        for half in [&text[..1], &text[1..]] {
            publisher
                .folder()
                .append(&mut file, half.as_bytes())
                .map_err(super::publisher::storage)?;
        }
        publisher
            .folder()
            .finish(file)
            .map_err(super::publisher::storage)?;
    }
    publisher.written(commit);
    Ok(())
}

/// One run of the host: it asks for the place, and goes on behind it. A step that fails is tried once more, with the
/// same arguments; the run ends where the process is dead.
fn run(folder: &Memory, epoch: u64) -> Result<(), Fault> {
    let mut publisher = publisher(folder);
    let twice = |step: &mut dyn FnMut() -> Result<(), Fault>| step().or_else(|_| step());
    let mut done = 0;
    twice(&mut || {
        done = publisher.committed()?.map_or(0, |commit| commit.sequence);
        Ok(())
    })?;
    for sequence in done + 1..=UNITS.len() as u64 {
        let commit = commit(epoch, sequence);
        twice(&mut || write(&mut publisher, &commit))?;
        twice(&mut || publisher.publish(&commit))?;
    }
    Ok(())
}

fn check_whole(folder: &Memory, what: &str) {
    let visible: Vec<String> = folder.visible().into_values().collect();
    let expected = ["a\n", "c\n", "d\n", "b\n", "e\n", "f\n"];
    assert_eq!(visible, expected, "{what}: {:#?}", folder.visible());
    assert_eq!(
        folder.temporary(),
        Vec::<String>::new(),
        "{what}: left over"
    );
}

#[test]
fn every_record_is_published_once_whichever_step_fails() {
    let calm = Memory::default();
    run(&calm, 1).expect("nothing fails");
    check_whole(&calm, "nothing fails");
    let steps = calm.steps.get();
    assert!(steps > 50, "{steps} steps are too few to mean anything");
    for ending in ENDINGS {
        for step in 0..steps {
            let what = format!("{ending:?} at step {step}");
            let folder = Memory::default();
            folder.fatal.set(Some((step, ending)));
            let first = run(&folder, 1);
            assert_eq!(first.is_err(), folder.dead.get(), "{what}: {first:?}");
            for text in folder.visible().values() {
                assert!(
                    text.len() == 2 && text.ends_with('\n'),
                    "{what}: half a file: {text:?}"
                );
            }
            folder.revive();
            run(&folder, 2).expect(&what);
            check_whole(&folder, &what);
        }
    }
}

/// The second run dies as well, while it takes up what the first one left.
#[test]
fn two_crashes_are_no_worse_than_one() {
    for first in 0..60 {
        for second in 0..25 {
            for ending in [Ending::DiesBefore, Ending::PowerLost] {
                let what = format!("{ending:?} at steps {first} and {second}");
                let folder = Memory::default();
                folder.fatal.set(Some((first, Ending::DiesBehind)));
                let _ = run(&folder, 1);
                folder.revive();
                folder
                    .fatal
                    .set(Some((folder.steps.get() + second, ending)));
                let _ = run(&folder, 2);
                folder.revive();
                run(&folder, 3).expect(&what);
                check_whole(&folder, &what);
            }
        }
    }
}

#[test]
fn an_older_run_is_stopped() {
    let folder = Memory::default();
    let (mut old, mut new) = (publisher(&folder), publisher(&folder));
    assert!(old.committed().expect("nothing").is_none());
    write(&mut new, &commit(2, 1)).expect("written");
    new.publish(&commit(2, 1)).expect("published");
    let mut old_again = publisher(&folder);
    let fault = old_again
        .begin(&commit(1, 2))
        .map(|_| ())
        .expect_err("overtaken");
    assert_eq!(
        fault.to_string(),
        "misconfigured: unit 2.1 is published already, and 1.2 comes before it: another run writes this split"
    );
}

#[test]
fn what_was_not_written_is_not_published() {
    let folder = Memory::default();
    let mut publisher = publisher(&folder);
    assert!(matches!(
        publisher.publish(&commit(1, 1)),
        Err(Fault::Broken(_))
    ));
    write(&mut publisher, &commit(1, 1)).expect("written");
    assert!(folder.visible().is_empty(), "seen before it is published");
    assert!(matches!(
        publisher.publish(&commit(1, 2)),
        Err(Fault::Broken(_))
    ));
    publisher.publish(&commit(1, 1)).expect("published");
    publisher
        .publish(&commit(1, 1))
        .expect("and again, for its acknowledgement was lost");
}

#[test]
fn files_of_nobody_are_left_alone() {
    let folder = Memory::default();
    run(&folder, 1).expect("written");
    folder
        .files
        .borrow_mut()
        .retain(|path, _| !path.starts_with(".sluice"));
    let before = folder.visible();
    let fault = run(&folder, 1)
        .expect_err("the files are there already")
        .to_string();
    assert!(
        fault.contains("exists and no record in `.sluice` names it"),
        "{fault}"
    );
    assert_eq!(folder.visible(), before);
}

#[test]
fn a_spoilt_record_stops_the_split() {
    let folder = Memory::default();
    run(&folder, 1).expect("written");
    for (path, file) in folder.files.borrow_mut().iter_mut() {
        if path.starts_with(".sluice") {
            file.bytes.truncate(20);
        }
    }
    let fault = run(&folder, 2).expect_err("no record").to_string();
    assert!(
        fault.contains("is not a record that this version of the plugin wrote"),
        "{fault}"
    );
}
