//! The protocol ended at every step it takes, in every way a step can end, and taken up again as the host does it.

use super::names::Names;
use super::publisher::{Begun, Publisher};
use super::store::Store;
use crate::Format;
use crate::bucket::{Completed, Upload};
use sluice_sdk::Fault;
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
    /// The step fails and nothing is done; the process lives on.
    FailsBefore,
    /// The step is done, and fails all the same; the process lives on.
    FailsBehind,
}

const ENDINGS: [Ending; 4] = [
    Ending::DiesBefore,
    Ending::DiesBehind,
    Ending::FailsBefore,
    Ending::FailsBehind,
];

/// What the server holds.
#[derive(Debug, Default)]
struct Held {
    objects: BTreeMap<String, Vec<u8>>,
    uploads: BTreeMap<(String, String), BTreeMap<usize, Vec<u8>>>,
    next: usize,
}

/// A bucket in memory that outlives its process.
#[derive(Debug, Clone, Default)]
struct Memory {
    held: Rc<RefCell<Held>>,
    steps: Rc<Cell<usize>>,
    fatal: Rc<Cell<Option<(usize, Ending)>>>,
    dead: Rc<Cell<bool>>,
}

impl Memory {
    /// Does one step, unless it is the chosen one or the process is dead.
    fn step<T>(&self, done: impl FnOnce(&mut Held) -> Result<T, Fault>) -> Result<T, Fault> {
        let gone = || Fault::transient("the server is away");
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
            Some(Ending::DiesBefore | Ending::DiesBehind)
        ));
        let mut held = self.held.borrow_mut();
        match ending {
            None => done(&mut held),
            Some(Ending::DiesBefore | Ending::FailsBefore) => Err(gone()),
            Some(Ending::DiesBehind | Ending::FailsBehind) => {
                done(&mut held).and_then(|_| Err(gone()))
            }
        }
    }

    fn revive(&self) {
        self.dead.set(false);
        self.fatal.set(None);
    }

    /// What a reader of the bucket sees, the records of the sink aside.
    fn visible(&self) -> BTreeMap<String, String> {
        let held = self.held.borrow();
        let shown = held
            .objects
            .iter()
            .filter(|(key, _)| !key.starts_with("_sluice/"));
        shown
            .map(|(key, bytes)| (key.clone(), String::from_utf8_lossy(bytes).into_owned()))
            .collect()
    }
}

/// Of these bytes, as good as a digest.
fn etag(bytes: &[u8]) -> String {
    format!("\"{}\"", String::from_utf8_lossy(bytes))
}

impl Store for Memory {
    fn get(&self, key: &str) -> Result<Option<(Vec<u8>, String)>, Fault> {
        self.step(|held| {
            Ok(held
                .objects
                .get(key)
                .map(|bytes| (bytes.clone(), etag(bytes))))
        })
    }

    fn exists(&self, key: &str) -> Result<bool, Fault> {
        self.step(|held| Ok(held.objects.contains_key(key)))
    }

    fn put(&self, key: &str, bytes: Vec<u8>, over: Option<&str>) -> Result<String, Fault> {
        self.step(|held| {
            if held.objects.get(key).map(|bytes| etag(bytes)).as_deref() != over {
                return Err(Fault::transient("another run writes this split"));
            }
            let etag = etag(&bytes);
            held.objects.insert(key.to_owned(), bytes);
            Ok(etag)
        })
    }

    fn begin(&self, key: &str, _: &str) -> Result<Upload, Fault> {
        self.step(|held| {
            held.next += 1;
            let id = held.next.to_string();
            held.uploads
                .insert((key.to_owned(), id.clone()), BTreeMap::new());
            Ok(Upload {
                key: key.to_owned(),
                id,
            })
        })
    }

    fn part(&self, upload: &Upload, number: usize, bytes: Vec<u8>) -> Result<String, Fault> {
        self.step(|held| {
            let parts = held
                .uploads
                .get_mut(&(upload.key.clone(), upload.id.clone()));
            let parts = parts.ok_or_else(|| Fault::broken("no such upload"))?;
            let etag = etag(&bytes);
            parts.insert(number, bytes);
            Ok(etag)
        })
    }

    fn complete(&self, upload: &Upload, parts: &[String]) -> Result<Completed, Fault> {
        self.step(|held| {
            let Some(sent) = held
                .uploads
                .remove(&(upload.key.clone(), upload.id.clone()))
            else {
                return Ok(Completed::Gone);
            };
            let etags: Vec<String> = sent.values().map(|bytes| etag(bytes)).collect();
            assert_eq!(etags, parts, "completed with other parts than were sent");
            let replaced = held.objects.insert(
                upload.key.clone(),
                sent.into_values().collect::<Vec<_>>().concat(),
            );
            assert_eq!(replaced, None, "`{}` is replaced", upload.key);
            Ok(Completed::Yes)
        })
    }

    fn abort(&self, upload: &Upload) -> Result<(), Fault> {
        self.step(|held| {
            held.uploads
                .remove(&(upload.key.clone(), upload.id.clone()));
            Ok(())
        })
    }

    fn uploads(&self, prefix: &str) -> Result<Option<Vec<Upload>>, Fault> {
        self.step(|held| {
            let found = held
                .uploads
                .keys()
                .filter(|(key, _)| key.starts_with(prefix));
            let found = found.map(|(key, id)| Upload {
                key: key.clone(),
                id: id.clone(),
            });
            Ok(Some(found.collect()))
        })
    }
}

/// Each unit's objects: a stream and its records.
type Units = &'static [&'static [(&'static str, &'static str)]];

const UNITS: Units = &[
    &[("movies", "a\n"), ("people", "b\n")],
    &[],
    &[("movies", "c\n"), ("movies", "d\n"), ("people", "e\n")],
    &[("people", "f\n")],
];

fn publisher(store: &Memory) -> Publisher<Memory> {
    let context = Context {
        pipeline: "p".to_owned(),
        split: "s".to_owned(),
    };
    let names = Names::new(&context, "", Format::Ndjson);
    let streams = vec!["movies".to_owned(), "people".to_owned()];
    Publisher::new(store.clone(), context, names, streams)
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
        publisher.create(stream)?;
        publisher.append(text.as_bytes()[..1].to_vec())?;
        publisher.append(text.as_bytes()[1..].to_vec())?;
        publisher.finish()?;
    }
    publisher.written(commit)
}

/// One run of the host: it asks for the place, and goes on behind it. A step that fails is tried once more, with the
/// same arguments; the run ends where the process is dead.
fn run(store: &Memory, epoch: u64) -> Result<(), Fault> {
    let mut publisher = publisher(store);
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

fn check_whole(store: &Memory, what: &str) {
    let visible: Vec<String> = store.visible().into_values().collect();
    assert_eq!(
        visible,
        ["a\n", "c\n", "d\n", "b\n", "e\n", "f\n"],
        "{what}: {:#?}",
        store.visible()
    );
    assert!(store.held.borrow().uploads.is_empty(), "{what}: left over");
}

#[test]
fn every_record_is_published_once_whichever_step_fails() {
    let calm = Memory::default();
    run(&calm, 1).expect("nothing fails");
    check_whole(&calm, "nothing fails");
    let steps = calm.steps.get();
    assert!(steps > 40, "{steps} steps are too few to mean anything");
    for ending in ENDINGS {
        for step in 0..steps {
            let what = format!("{ending:?} at step {step}");
            let store = Memory::default();
            store.fatal.set(Some((step, ending)));
            let first = run(&store, 1);
            assert_eq!(first.is_err(), store.dead.get(), "{what}: {first:?}");
            for text in store.visible().values() {
                assert!(
                    text.len() == 2 && text.ends_with('\n'),
                    "{what}: half an object: {text:?}"
                );
            }
            store.revive();
            run(&store, 2).expect(&what);
            check_whole(&store, &what);
        }
    }
}

/// The second run dies as well, while it takes up what the first one left.
#[test]
fn two_crashes_are_no_worse_than_one() {
    for first in 0..60 {
        for second in 0..25 {
            for ending in [Ending::DiesBefore, Ending::DiesBehind] {
                let what = format!("{ending:?} at steps {first} and {second}");
                let store = Memory::default();
                store.fatal.set(Some((first, Ending::DiesBehind)));
                let _ = run(&store, 1);
                store.revive();
                store.fatal.set(Some((store.steps.get() + second, ending)));
                let _ = run(&store, 2);
                store.revive();
                run(&store, 3).expect(&what);
                check_whole(&store, &what);
            }
        }
    }
}

#[test]
fn an_older_run_is_stopped() {
    let store = Memory::default();
    let mut old = publisher(&store);
    assert!(old.committed().expect("nothing").is_none());
    write(&mut old, &commit(1, 1)).expect("written");
    let mut new = publisher(&store);
    write(&mut new, &commit(2, 1)).expect("written");
    new.publish(&commit(2, 1)).expect("published");
    let fault = old
        .publish(&commit(1, 1))
        .expect_err("the record is another's");
    assert!(
        fault.to_string().contains("another run writes this split"),
        "{fault}"
    );
    let fault = publisher(&store)
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
    let store = Memory::default();
    let mut publisher = publisher(&store);
    assert!(matches!(
        publisher.publish(&commit(1, 1)),
        Err(Fault::Broken(_))
    ));
    write(&mut publisher, &commit(1, 1)).expect("written");
    assert!(store.visible().is_empty(), "seen before it is published");
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
fn objects_of_nobody_are_left_alone() {
    let store = Memory::default();
    run(&store, 1).expect("written");
    store
        .held
        .borrow_mut()
        .objects
        .retain(|key, _| !key.starts_with("_sluice"));
    let before = store.visible();
    let fault = run(&store, 1)
        .expect_err("the objects are there already")
        .to_string();
    assert!(
        fault.contains("exists and no record in `_sluice` names it"),
        "{fault}"
    );
    assert_eq!(store.visible(), before);
}

#[test]
fn what_is_published_may_be_taken_away_and_an_upload_may_not() {
    let store = Memory::default();
    run(&store, 1).expect("written");
    store
        .held
        .borrow_mut()
        .objects
        .retain(|key, _| key.starts_with("_sluice"));
    run(&store, 2).expect("it is nobody's business any more");

    let store = Memory::default();
    let mut publisher = publisher(&store);
    write(&mut publisher, &commit(1, 1)).expect("written");
    // Behind the put of the record, before the first upload is completed.
    store
        .fatal
        .set(Some((store.steps.get(), Ending::DiesBehind)));
    publisher.publish(&commit(1, 1)).expect_err("dead");
    store.revive();
    store.held.borrow_mut().uploads.clear();
    let fault = run(&store, 2)
        .expect_err("its records are lost")
        .to_string();
    assert!(fault.contains("is published and gone"), "{fault}");
}

#[test]
fn a_spoilt_record_stops_the_split() {
    let store = Memory::default();
    run(&store, 1).expect("written");
    for (key, bytes) in &mut store.held.borrow_mut().objects {
        if key.starts_with("_sluice") {
            bytes.truncate(20);
        }
    }
    let fault = run(&store, 2).expect_err("no record").to_string();
    assert!(
        fault.contains("is not a record that this version of the plugin wrote"),
        "{fault}"
    );
}
