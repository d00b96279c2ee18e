//! The protocol ended at every step it takes, in every way a step can end, and taken up again as the host does it.

use super::names::Names;
use super::publisher::Publisher;
use super::store::Store;
use crate::Format;
use crate::bucket::{Completed, Upload};
use sluice_sdk::Fault;
use sluice_sdk::publish::Begun;
use sluice_sdk::sink::{Commit, Context};
use sluice_sdk::testing::crashes::{
    self, Destination, Ending, Mortal, Protocol, at_every_step, commit,
};
use std::collections::BTreeMap;

/// What the server holds.
#[derive(Debug, Default)]
struct Held {
    objects: BTreeMap<String, Vec<u8>>,
    uploads: BTreeMap<(String, String), BTreeMap<usize, Vec<u8>>>,
    next: usize,
}

type Memory = Mortal<Held>;

impl Destination for Held {}

impl Held {
    /// What a reader of the bucket sees, the records of the sink aside.
    fn visible(&self) -> BTreeMap<String, String> {
        let shown = self
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

fn step<T>(store: &Memory, done: impl FnOnce(&mut Held) -> Result<T, Fault>) -> Result<T, Fault> {
    store.step(|| Fault::transient("the server is away"), done)
}

impl Store for Memory {
    fn get(&self, key: &str) -> Result<Option<(Vec<u8>, String)>, Fault> {
        step(self, |held| {
            Ok(held
                .objects
                .get(key)
                .map(|bytes| (bytes.clone(), etag(bytes))))
        })
    }

    fn exists(&self, key: &str) -> Result<bool, Fault> {
        step(self, |held| Ok(held.objects.contains_key(key)))
    }

    fn put(&self, key: &str, bytes: Vec<u8>, over: Option<&str>) -> Result<String, Fault> {
        step(self, |held| {
            if held.objects.get(key).map(|bytes| etag(bytes)).as_deref() != over {
                return Err(Fault::transient("another run writes this split"));
            }
            let etag = etag(&bytes);
            held.objects.insert(key.to_owned(), bytes);
            Ok(etag)
        })
    }

    fn begin(&self, key: &str, _: &str) -> Result<Upload, Fault> {
        step(self, |held| {
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
        step(self, |held| {
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
        step(self, |held| {
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
        step(self, |held| {
            held.uploads
                .remove(&(upload.key.clone(), upload.id.clone()));
            Ok(())
        })
    }

    fn uploads(&self, prefix: &str) -> Result<Option<Vec<Upload>>, Fault> {
        step(self, |held| {
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

impl Protocol for Publisher<Memory> {
    fn committed(&mut self) -> Result<Option<Commit>, Fault> {
        self.committed()
    }

    fn write(&mut self, commit: &Commit) -> Result<(), Fault> {
        if self.begin(commit)? == Begun::Published {
            return Ok(());
        }
        for (stream, text) in UNITS[commit.sequence as usize - 1] {
            self.create(stream)?;
            self.append(text.as_bytes()[..1].to_vec())?;
            self.append(text.as_bytes()[1..].to_vec())?;
            self.finish()?;
        }
        self.written(commit)
    }

    fn publish(&mut self, commit: &Commit) -> Result<(), Fault> {
        self.publish(commit)
    }
}

fn run(store: &Memory, epoch: u64) -> Result<(), Fault> {
    crashes::run(publisher(store), epoch, UNITS.len() as u64)
}

#[test]
fn every_record_is_published_once_whichever_step_fails() {
    let broken = |store: &Memory, what: &str| {
        for text in store.held().visible().values() {
            assert!(
                text.len() == 2 && text.ends_with('\n'),
                "{what}: half an object: {text:?}"
            );
        }
    };
    let whole = |store: &Memory, what: &str| {
        let held = store.held();
        let visible: Vec<String> = held.visible().into_values().collect();
        let expected = ["a\n", "c\n", "d\n", "b\n", "e\n", "f\n"];
        assert_eq!(visible, expected, "{what}: {:#?}", held.visible());
        assert!(held.uploads.is_empty(), "{what}: left over");
    };
    at_every_step(publisher, UNITS.len() as u64, broken, whole);
}

#[test]
fn an_older_run_is_stopped() {
    let store = Memory::default();
    let mut old = publisher(&store);
    assert!(old.committed().expect("nothing").is_none());
    old.write(&commit(1, 1)).expect("written");
    let mut new = publisher(&store);
    new.write(&commit(2, 1)).expect("written");
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
    publisher.write(&commit(1, 1)).expect("written");
    assert!(
        store.held().visible().is_empty(),
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
fn objects_of_nobody_are_left_alone() {
    let store = Memory::default();
    run(&store, 1).expect("written");
    store
        .held()
        .objects
        .retain(|key, _| !key.starts_with("_sluice"));
    let before = store.held().visible();
    let fault = run(&store, 1)
        .expect_err("the objects are there already")
        .to_string();
    assert!(
        fault.contains("exists and no record in `_sluice` names it"),
        "{fault}"
    );
    assert_eq!(store.held().visible(), before);
}

#[test]
fn what_is_published_may_be_taken_away_and_an_upload_may_not() {
    let store = Memory::default();
    run(&store, 1).expect("written");
    store
        .held()
        .objects
        .retain(|key, _| key.starts_with("_sluice"));
    run(&store, 2).expect("it is nobody's business any more");

    let store = Memory::default();
    let mut publisher = publisher(&store);
    publisher.write(&commit(1, 1)).expect("written");
    // Behind the put of the record, before the first upload is completed.
    store.end_after(0, Ending::DiesBehind);
    publisher.publish(&commit(1, 1)).expect_err("dead");
    store.revive();
    store.held().uploads.clear();
    let fault = run(&store, 2)
        .expect_err("its records are lost")
        .to_string();
    assert!(fault.contains("is published and gone"), "{fault}");
}

#[test]
fn a_spoilt_record_stops_the_split() {
    let store = Memory::default();
    run(&store, 1).expect("written");
    for (key, bytes) in &mut store.held().objects {
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
