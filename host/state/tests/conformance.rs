//! What every store does: one suite, run on each. The model is a map; batches come from a generator.

use proptest::prelude::*;
use sluice_model::limits::{STATE_BATCH_BYTES_MAX, STATE_KEY_BYTES_MAX, STATE_VALUE_BYTES_MAX};
use sluice_model::ports::{
    CommitNumber, Namespace, StateBatch, StateStore, StateWrite, StoreError,
};
use sluice_state::keys::{KeyFile, make_key_file};
use sluice_state::sealed::{self, SealedStore, Sealing};
use sluice_state::{MemStore, Options, SledStore};
use std::collections::BTreeMap;
use std::path::Path;

type Model = BTreeMap<(Namespace, Vec<u8>), Vec<u8>>;

/// A store under test, and how it is closed and opened again.
trait Subject {
    fn store(&self) -> &dyn StateStore;
    fn reopen(&mut self);
}

struct InMemory(MemStore);

impl Subject for InMemory {
    fn store(&self) -> &dyn StateStore {
        &self.0
    }
    fn reopen(&mut self) {}
}

struct OnDisk {
    store: Option<SledStore>,
    dir: tempfile::TempDir,
}

impl Subject for OnDisk {
    fn store(&self) -> &dyn StateStore {
        self.store.as_ref().expect("open")
    }
    fn reopen(&mut self) {
        self.store = None;
        self.store = Some(open(self.dir.path()));
    }
}

struct SealedInMemory {
    store: SealedStore<MemStore>,
    _dir: tempfile::TempDir,
}

impl Subject for SealedInMemory {
    fn store(&self) -> &dyn StateStore {
        &self.store
    }
    fn reopen(&mut self) {}
}

fn sealed_in_memory() -> SealedInMemory {
    let dir = tempfile::tempdir().expect("a directory");
    let (below, keyring) = (MemStore::beneath_a_seal(), dir.path().join("keys"));
    let store = sealed::above(below, &keyring, Sealing::default(), &key(dir.path()));
    SealedInMemory {
        store: store.unwrap_or_else(|error| panic!("{error}")),
        _dir: dir,
    }
}

struct SealedOnDisk {
    store: Option<SealedStore<SledStore>>,
    dir: tempfile::TempDir,
}

impl Subject for SealedOnDisk {
    fn store(&self) -> &dyn StateStore {
        self.store.as_ref().expect("open")
    }
    fn reopen(&mut self) {
        self.store = None;
        self.store = Some(open_sealed(self.dir.path()));
    }
}

fn key(dir: &Path) -> KeyFile {
    let path = dir.join("key");
    if !path.exists() {
        make_key_file(&path).expect("a key");
    }
    KeyFile { path }
}

fn open_sealed(dir: &Path) -> SealedStore<SledStore> {
    let (options, sealing) = (Options::default(), Sealing::default());
    let store = sealed::open(&dir.join("state"), options, sealing, &key(dir));
    store.unwrap_or_else(|error| panic!("{error}"))
}

fn sealed_on_disk() -> SealedOnDisk {
    let dir = tempfile::tempdir().expect("a directory");
    SealedOnDisk {
        store: Some(open_sealed(dir.path())),
        dir,
    }
}

fn open(dir: &Path) -> SledStore {
    SledStore::open(dir, Options::default()).expect("opens")
}

fn on_disk() -> OnDisk {
    let dir = tempfile::tempdir().expect("a directory");
    OnDisk {
        store: Some(open(dir.path())),
        dir,
    }
}

fn on_each(test: impl Fn(&mut dyn Subject)) {
    test(&mut InMemory(MemStore::new()));
    test(&mut on_disk());
    test(&mut sealed_in_memory());
    test(&mut sealed_on_disk());
}

fn put(namespace: Namespace, key: &[u8], value: &[u8]) -> StateWrite {
    StateWrite::Put(namespace, key.to_vec(), value.to_vec())
}

fn writing(writes: Vec<StateWrite>) -> StateBatch {
    StateBatch {
        expect: vec![],
        writes,
    }
}

#[derive(Debug, Clone)]
enum Move {
    Commit(StateBatch),
    Reopen,
}

const SPACES: [Namespace; 3] = [
    Namespace::Checkpoint,
    Namespace::DeadLetter,
    Namespace::Meta,
];

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let key = prop::collection::vec(0u8..3, 0..4);
    let length = prop_oneof![8 => 0usize..50, 1 => 30_000usize..31_500, 1 => 60_000usize..100_000];
    let value = (length, any::<u8>()).prop_map(|(length, byte)| vec![byte; length]);
    let space = prop::sample::select(&SPACES[..]);
    let write = (
        space.clone(),
        key.clone(),
        prop::option::weighted(0.7, value.clone()),
    )
        .prop_map(|(space, key, value)| match value {
            Some(value) => StateWrite::Put(space, key, value),
            None => StateWrite::Delete(space, key),
        });
    let guard = (space, key, prop::option::weighted(0.2, value));
    let batch = (
        prop::collection::vec(guard, 0..2),
        prop::collection::vec(write, 0..6),
    )
        .prop_map(|(expect, writes)| StateBatch { expect, writes });
    prop::collection::vec(
        prop_oneof![20 => batch.prop_map(Move::Commit), 1 => Just(Move::Reopen)],
        1..40,
    )
}

fn apply(model: &mut Model, batch: &StateBatch) -> bool {
    let holds = batch
        .expect
        .iter()
        .all(|(space, key, value)| model.get(&(*space, key.clone())) == value.as_ref());
    if holds {
        for write in &batch.writes {
            match write.clone() {
                StateWrite::Put(space, key, value) => model.insert((space, key), value),
                StateWrite::Delete(space, key) => model.remove(&(space, key)),
            };
        }
    }
    holds
}

fn agree(store: &dyn StateStore, model: &Model) {
    for space in SPACES {
        let of_space = |prefix: &[u8], after: &[u8], limit: usize| -> Vec<_> {
            let all = model
                .iter()
                .filter(|((other, key), _)| *other == space && key.starts_with(prefix));
            let rest = all.filter(|((_, key), _)| after.is_empty() || key.as_slice() > after);
            rest.take(limit)
                .map(|((_, key), value)| (key.clone(), value.clone()))
                .collect()
        };
        for (prefix, after, limit) in [
            (&[][..], &[][..], 1000),
            (&[1], &[], 1000),
            (&[], &[1, 1], 1000),
            (&[1], &[0], 3),
            (&[2], &[2, 0], 2),
            (&[1], &[2], 5),
        ] {
            let found = store.scan(space, prefix, after, limit).expect("scans");
            assert_eq!(
                found,
                of_space(prefix, after, limit),
                "prefix {prefix:?} after {after:?}"
            );
        }
        for key in [&[][..], &[0], &[1, 2], &[2, 2, 2]] {
            assert_eq!(
                store.get(space, key).expect("gets"),
                model.get(&(space, key.to_vec())).cloned()
            );
        }
    }
}

fn behaves_like_a_map(subject: &mut dyn Subject, moves: &[Move]) {
    let (mut model, mut commits) = (Model::new(), subject.store().stats().last_commit.0);
    for step in moves {
        match step {
            Move::Reopen => subject.reopen(),
            Move::Commit(batch) => {
                let outcome = subject.store().commit(batch.clone());
                if apply(&mut model, batch) {
                    commits += 1;
                    assert_eq!(outcome, Ok(CommitNumber(commits)));
                } else {
                    assert_eq!(outcome, Err(StoreError::Fenced));
                }
            }
        }
        assert_eq!(subject.store().stats().last_commit, CommitNumber(commits));
    }
    agree(subject.store(), &model);
    subject.reopen();
    agree(subject.store(), &model);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_store_is_a_map(moves in moves()) {
        on_each(|subject| behaves_like_a_map(subject, &moves));
    }
}

#[test]
fn values_of_any_size_come_back() {
    on_each(|subject| {
        let sizes = [
            0,
            1,
            30 << 10,
            (30 << 10) + 1,
            (32 << 10) - 1,
            32 << 10,
            (32 << 10) + 1,
            1 << 20,
            STATE_VALUE_BYTES_MAX,
        ];
        let value = |size: usize| {
            (0..size)
                .map(|at| (at * 31 + size) as u8)
                .collect::<Vec<_>>()
        };
        for size in sizes {
            let key = (size as u64).to_be_bytes();
            subject
                .store()
                .commit(writing(vec![put(Namespace::Meta, &key, &value(size))]))
                .expect("commits");
        }
        subject.reopen();
        for size in sizes {
            let found = subject
                .store()
                .get(Namespace::Meta, &(size as u64).to_be_bytes())
                .expect("gets");
            assert!(found == Some(value(size)), "{size} bytes");
        }
    });
}

#[test]
fn a_value_replaced_or_deleted_leaves_nothing() {
    on_each(|subject| {
        let large = vec![7; 200_000];
        let batch = writing(vec![
            put(Namespace::Meta, b"a", &large),
            put(Namespace::Meta, b"a", b"small"),
            put(Namespace::Meta, b"b", &large),
            StateWrite::Delete(Namespace::Meta, b"b".to_vec()),
        ]);
        subject.store().commit(batch).expect("commits");
        let found = subject
            .store()
            .scan(Namespace::Meta, b"", b"", 10)
            .expect("scans");
        assert_eq!(found, [(b"a".to_vec(), b"small".to_vec())]);
    });
}

#[test]
fn what_breaks_a_limit_is_refused_and_the_store_works_on() {
    on_each(|subject| {
        let refused = |batch: StateBatch| match subject.store().commit(batch) {
            Err(StoreError::TooLarge(_)) => {}
            other => panic!("{other:?}"),
        };
        refused(writing(vec![put(
            Namespace::Meta,
            b"k",
            &vec![0; STATE_VALUE_BYTES_MAX + 1],
        )]));
        refused(writing(vec![put(
            Namespace::Meta,
            &vec![0; STATE_KEY_BYTES_MAX + 1],
            b"",
        )]));
        let half = vec![0; STATE_BATCH_BYTES_MAX / 2];
        refused(writing(vec![
            put(Namespace::Meta, b"a", &half),
            put(Namespace::Meta, b"b", &half),
        ]));
        let guard = (Namespace::Meta, vec![0; STATE_KEY_BYTES_MAX + 1], None);
        refused(StateBatch {
            expect: vec![guard],
            writes: vec![],
        });
        assert_eq!(
            subject.store().scan(Namespace::Meta, b"", b"", 10),
            Ok(vec![])
        );
        subject
            .store()
            .commit(writing(vec![put(Namespace::Meta, b"k", b"v")]))
            .expect("commits");
        assert!(!subject.store().stats().poisoned);
    });
}

#[test]
fn of_many_who_take_a_key_one_gets_it() {
    on_each(|subject| {
        let store = subject.store();
        let won = std::thread::scope(|scope| {
            let take = |who: u8| {
                move || {
                    let own = writing(vec![put(Namespace::Meta, &[b'o', who], &[who])]);
                    let (guard, value) = (
                        (Namespace::Checkpoint, b"split".to_vec(), None),
                        put(Namespace::Checkpoint, b"split", &[who]),
                    );
                    let taken = store.commit(StateBatch {
                        expect: vec![guard],
                        writes: vec![value, put(Namespace::Meta, &[b't', who], &[who])],
                    });
                    store
                        .commit(own)
                        .expect("one that is refused disturbs no other");
                    taken.is_ok()
                }
            };
            let threads: Vec<_> = (0..16).map(|who| scope.spawn(take(who))).collect();
            threads
                .into_iter()
                .map(|thread| u32::from(thread.join().expect("joins")))
                .sum::<u32>()
        });
        assert_eq!(won, 1);
        let count = |prefix: &[u8]| {
            store
                .scan(Namespace::Meta, prefix, b"", 100)
                .expect("scans")
                .len()
        };
        assert_eq!((count(b"o"), count(b"t")), (16, 1));
    });
}
