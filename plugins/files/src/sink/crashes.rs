//! The protocol ended at every step it takes, in every way a step can end, and taken up again as the host does it.

use super::folder::Folder;
use super::names::Names;
use super::publisher::{Publisher, storage};
use crate::Format;
use sluice_sdk::Fault;
use sluice_sdk::files::FileError;
use sluice_sdk::publish::Begun;
use sluice_sdk::sink::{Commit, Context};
use sluice_sdk::testing::crashes::{self, Destination, Mortal, Protocol, at_every_step, commit};
use std::collections::BTreeMap;

#[derive(Debug, Clone, Default)]
struct Stored {
    bytes: Vec<u8>,
    finished: bool,
}

/// A folder in memory.
#[derive(Debug, Default)]
struct Files(BTreeMap<String, Stored>);

type Memory = Mortal<Files>;

impl Destination for Files {
    /// Files that were not finished keep half of what they had.
    fn power_lost(&mut self) {
        for file in self.0.values_mut().filter(|file| !file.finished) {
            file.bytes.truncate(file.bytes.len() / 2);
        }
    }
}

impl Files {
    /// What a reader of the folder sees: everything whose name does not begin with a dot.
    fn visible(&self) -> BTreeMap<String, String> {
        let shown = self
            .0
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
        self.0
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

fn step<T>(
    folder: &Memory,
    done: impl FnOnce(&mut BTreeMap<String, Stored>) -> Result<T, FileError>,
) -> Result<T, FileError> {
    let gone = || FileError::Transient("the disk is away".to_owned());
    folder.step(gone, |files| done(&mut files.0))
}

impl Folder for Memory {
    type File = String;

    fn read(&self, path: &str, offset: u64, max: u32) -> Result<Vec<u8>, FileError> {
        step(self, |files| {
            let bytes = &files.get(path).ok_or_else(|| missing(path))?.bytes;
            let start = bytes.len().min(offset as usize);
            Ok(bytes[start..bytes.len().min(start + max as usize)].to_vec())
        })
    }

    fn create(&self, path: &str) -> Result<String, FileError> {
        step(self, |files| {
            files.insert(path.to_owned(), Stored::default());
            Ok(path.to_owned())
        })
    }

    fn append(&self, file: &mut String, bytes: &[u8]) -> Result<(), FileError> {
        step(self, |files| {
            let stored = files.get_mut(file).ok_or_else(|| missing(file))?;
            stored.bytes.extend_from_slice(bytes);
            Ok(())
        })
    }

    fn finish(&self, file: String) -> Result<(), FileError> {
        step(self, |files| {
            files.get_mut(&file).ok_or_else(|| missing(&file))?.finished = true;
            Ok(())
        })
    }

    fn rename(&self, old: &str, new: &str) -> Result<(), FileError> {
        step(self, |files| {
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
        step(self, |files| {
            files.remove(path).map(|_| ()).ok_or_else(|| missing(path))
        })
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

impl Protocol for Publisher<Memory> {
    fn committed(&mut self) -> Result<Option<Commit>, Fault> {
        self.committed()
    }

    fn write(&mut self, commit: &Commit) -> Result<(), Fault> {
        if self.begin(commit)? == Begun::Published {
            return Ok(());
        }
        for (stream, text) in UNITS[commit.sequence as usize - 1] {
            let mut file = self.create(stream)?;
            for half in [&text[..1], &text[1..]] {
                let half = half.as_bytes();
                self.folder().append(&mut file, half).map_err(storage)?;
            }
            self.folder().finish(file).map_err(storage)?;
        }
        self.written(commit);
        Ok(())
    }

    fn publish(&mut self, commit: &Commit) -> Result<(), Fault> {
        self.publish(commit)
    }
}

fn run(folder: &Memory, epoch: u64) -> Result<(), Fault> {
    crashes::run(publisher(folder), epoch, UNITS.len() as u64)
}

#[test]
fn every_record_is_published_once_whichever_step_fails() {
    let broken = |folder: &Memory, what: &str| {
        for text in folder.held().visible().values() {
            assert!(
                text.len() == 2 && text.ends_with('\n'),
                "{what}: half a file: {text:?}"
            );
        }
    };
    let whole = |folder: &Memory, what: &str| {
        let held = folder.held();
        let visible: Vec<String> = held.visible().into_values().collect();
        let expected = ["a\n", "c\n", "d\n", "b\n", "e\n", "f\n"];
        assert_eq!(visible, expected, "{what}: {:#?}", held.visible());
        assert_eq!(held.temporary(), Vec::<String>::new(), "{what}: left over");
    };
    at_every_step(publisher, UNITS.len() as u64, broken, whole);
}

#[test]
fn an_older_run_is_stopped() {
    let folder = Memory::default();
    let (mut old, mut new) = (publisher(&folder), publisher(&folder));
    assert!(old.committed().expect("nothing").is_none());
    new.write(&commit(2, 1)).expect("written");
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
    publisher.write(&commit(1, 1)).expect("written");
    assert!(
        folder.held().visible().is_empty(),
        "seen before it is published"
    );
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
        .held()
        .0
        .retain(|path, _| !path.starts_with(".sluice"));
    let before = folder.held().visible();
    let fault = run(&folder, 1)
        .expect_err("the files are there already")
        .to_string();
    assert!(
        fault.contains("exists and no record in `.sluice` names it"),
        "{fault}"
    );
    assert_eq!(folder.held().visible(), before);
}

#[test]
fn a_spoilt_record_stops_the_split() {
    let folder = Memory::default();
    run(&folder, 1).expect("written");
    for (path, file) in &mut folder.held().0 {
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
