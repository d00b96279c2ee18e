//! The journal: one step of the delivery protocol is one commit, an older owner is fenced, and the dead letters of an
//! intent share its fate.

use sluice_model::checkpoint::{Checkpoint, Cursor, Intent, Mark, Totals};
use sluice_model::fault::Fault;
use sluice_model::ids::{PipelineName, Role, SplitId, StageId, StreamName};
use sluice_model::ports::{
    CommitNumber, Namespace, StateBatch, StateStore, StateWrite, StoreError,
};
use sluice_model::rejection::{Place, Record, Rejection};
use sluice_model::schema::{Field, FieldType, Schema};
use sluice_state::MemStore;
use sluice_state::journal::{
    DeadLetter, Desk, Filter, Held, JournalError, Moves, SchemaRecord, Standing, Step, begin,
    checkpoints, counted, dead_letter, dead_letters, delete_schemas, hold, put_schema, reset,
    schema, schemas, set_place,
};

fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("a name")
}

fn pipeline() -> PipelineName {
    name("orders")
}

fn letter(number: u64, split: &str, mark: Mark, code: &str) -> DeadLetter {
    let rejection = Rejection {
        stage: StageId {
            role: Role::Sink,
            index: 0,
        },
        stream: name("lines"),
        code: code.to_owned(),
        message: "no such day".to_owned(),
        place: Place {
            document: Some("a.csv".to_owned()),
            line: Some(number),
            item: None,
        },
        record: Record::Json("{}".to_owned()),
        csv: None,
        truncated: false,
        removal: false,
        given: None,
        also: Vec::new(),
        identity: None,
    };
    DeadLetter {
        number,
        pipeline: pipeline(),
        split: name(split),
        run: "run-1".to_owned(),
        mark,
        plugin: name("sluice/postgres"),
        at_ms: 5,
        rejection,
        standing: Standing::Waiting,
        attempts: 0,
        attempt: None,
        edits: 0,
        edited: None,
    }
}

fn mark(sequence: u64) -> Mark {
    Mark { epoch: 1, sequence }
}

fn at(sequence: u64) -> Checkpoint {
    let place = Some(Cursor::from(sequence.to_be_bytes().to_vec()));
    Checkpoint {
        epoch: 1,
        sequence,
        mark: Some(mark(sequence)),
        place,
        ..Checkpoint::default()
    }
}

fn intending(held: u64, sequence: u64) -> Checkpoint {
    let place = Cursor::from(sequence.to_be_bytes().to_vec());
    let intent = Intent {
        mark: mark(sequence),
        place,
        ended: false,
        totals: Totals::default(),
        dead_letters: None,
        redriven: None,
    };
    Checkpoint {
        sequence,
        intent: Some(intent),
        ..at(held)
    }
}

/// Stores the next checkpoint of a split with these letters.
fn step(store: &MemStore, held: &Held, next: Checkpoint, letters: &[DeadLetter]) -> Held {
    let (batch, held) = stepped(store, held, next, letters);
    store.commit(batch).expect("commits");
    held
}

/// The one batch of a step.
fn stepped(
    store: &MemStore,
    held: &Held,
    next: Checkpoint,
    letters: &[DeadLetter],
) -> (StateBatch, Held) {
    let mut step = Step::to(next, 9);
    step.letters = letters;
    let steps = held.steps(store, &Desk::default(), &step).expect("reads");
    let mut batches: Vec<_> = steps.collect();
    assert_eq!(batches.len(), 1, "what fits one commit is one");
    batches.remove(0)
}

fn found(store: &MemStore) -> Vec<(u64, bool)> {
    let kept = dead_letters(store, &pipeline(), &Filter::default(), 0, 100).expect("reads");
    kept.into_iter()
        .map(|kept| (kept.letter.number, kept.pending))
        .collect()
}

#[test]
fn a_checkpoint_moves_and_an_older_owner_is_fenced() {
    let store = MemStore::new();
    let hold = || hold(&store, &pipeline(), &name("a")).expect("reads");
    let first = hold();
    assert_eq!(first.checkpoint(), None);
    let older = step(&store, &first, at(1), &[]);
    assert_eq!(hold().checkpoint(), Some(&at(1)));
    let newer = step(&store, &hold(), Checkpoint { epoch: 2, ..at(1) }, &[]);
    let (late, _) = stepped(&store, &older, at(2), &[letter(1, "a", mark(2), "late")]);
    assert_eq!(store.commit(late), Err(StoreError::Fenced));
    assert_eq!(found(&store), [], "nothing of a fenced step is kept");
    step(&store, &newer, at(3), &[]);
    let (again, _) = stepped(&store, &first, at(1), &[]);
    assert_eq!(
        store.commit(again),
        Err(StoreError::Fenced),
        "one that found nothing is fenced too"
    );
}

#[test]
fn letters_of_an_intent_are_pending_until_it_is_settled() {
    // How the next checkpoint settles the intent of unit 2: promoted, passed on by the next intent or by a unit
    // without rows, discarded by a new run, or written again with other letters.
    let letters = [letter(4, "a", mark(2), "x"), letter(5, "a", mark(2), "x")];
    let check = |next: Checkpoint, more: &[DeadLetter], expected: &[(u64, bool)]| {
        let store = MemStore::new();
        let held = step(
            &store,
            &hold(&store, &pipeline(), &name("a")).expect("reads"),
            at(1),
            &[],
        );
        let held = step(&store, &held, intending(1, 2), &letters);
        assert_eq!(found(&store), [(4, true), (5, true)]);
        assert!(
            dead_letter(&store, &pipeline(), 4)
                .expect("reads")
                .expect("is there")
                .pending
        );
        let reread = hold(&store, &pipeline(), &name("a")).expect("reads");
        assert_eq!(reread.checkpoint(), held.checkpoint());
        step(&store, &reread, next, more);
        assert_eq!(found(&store), expected);
    };
    check(intending(1, 2).promoted(), &[], &[(4, false), (5, false)]);
    check(
        intending(2, 3),
        &[letter(6, "a", mark(3), "x")],
        &[(4, false), (5, false), (6, true)],
    );
    check(
        at(2),
        &[letter(6, "a", mark(3), "x")],
        &[(4, false), (5, false), (6, false)],
    );
    check(Checkpoint { epoch: 2, ..at(1) }, &[], &[]);
    check(
        intending(1, 2),
        &[letter(6, "a", mark(2), "x")],
        &[(6, true)],
    );
    check(intending(1, 2), &[], &[]);
}

#[test]
fn letters_are_found_by_what_they_are() {
    let store = MemStore::new();
    let held = hold(&store, &pipeline(), &name("a")).expect("reads");
    let letters: Vec<_> = (1..=200)
        .map(|number| {
            letter(
                number,
                if number % 2 == 0 { "a" } else { "b" },
                mark(1),
                if number % 3 == 0 { "x" } else { "y" },
            )
        })
        .collect();
    step(&store, &held, at(1), &letters);
    let check =
        |split: Option<&str>, code: Option<&str>, after: u64, limit: usize, expected: &[u64]| {
            let filter = Filter {
                split: split.map(name),
                code: code.map(str::to_owned),
                ..Filter::default()
            };
            let found = dead_letters(&store, &pipeline(), &filter, after, limit).expect("reads");
            assert_eq!(
                found
                    .iter()
                    .map(|kept| kept.letter.number)
                    .collect::<Vec<_>>(),
                expected
            );
        };
    check(None, None, 0, 3, &[1, 2, 3]);
    check(None, None, 198, 10, &[199, 200]);
    check(None, None, 200, 10, &[]);
    check(Some("a"), Some("x"), 180, 10, &[186, 192, 198]);
    check(Some("c"), None, 0, 10, &[]);
    let other = Filter {
        stream: Some(name("other")),
        ..Filter::default()
    };
    assert_eq!(dead_letters(&store, &pipeline(), &other, 0, 10), Ok(vec![]));
    assert_eq!(
        dead_letters(&store, &name("another"), &Filter::default(), 0, 10),
        Ok(vec![])
    );

    let kept = dead_letters(&store, &pipeline(), &Filter::default(), 0, 200).expect("reads");
    assert_eq!(kept[0].letter, letters[0]);
    let bytes: u64 = kept.iter().map(|kept| kept.bytes).sum();
    let account = counted(&store, &pipeline()).expect("reads");
    assert_eq!((account.waiting, account.bytes), (200, bytes));
}

#[test]
fn numbers_are_given_out_once() {
    let store = MemStore::new();
    let (first, other) = (Desk::default(), Desk::default());
    let mut seen = std::collections::BTreeSet::new();
    for count in [1, 5, 1_000, 1_024, 3_000, 1, 1] {
        for desk in [&first, &other] {
            let numbers = desk.reserve(&store, &pipeline(), count).expect("reserves");
            assert_eq!(numbers.last - numbers.first + 1, count);
            assert!((numbers.first..=numbers.last).all(|number| number > 0 && seen.insert(number)));
        }
    }
    let numbers = first
        .reserve(&store, &name("another"), 1)
        .expect("reserves");
    assert_eq!((numbers.first, numbers.last), (1, 1));
}

/// Two splits, each with a letter, and another under an intent.
fn two_splits(store: &MemStore) {
    for (split, base) in [("a", 0), ("b", 100)] {
        let held = hold(store, &pipeline(), &name(split)).expect("reads");
        let first = letter(base + 1, split, mark(1), "x");
        let held = step(store, &held, counting(at(1), 1), &[first]);
        let second = letter(base + 2, split, mark(2), "x");
        let mut next = counting(intending(1, 2), 1);
        if let Some(intent) = &mut next.intent {
            (intent.totals.read, intent.totals.dead_lettered) = (2, 2);
        }
        step(store, &held, next, &[second]);
    }
}

fn counting(checkpoint: Checkpoint, dead_lettered: u64) -> Checkpoint {
    let totals = Totals {
        read: dead_lettered,
        dead_lettered,
        ..Totals::default()
    };
    Checkpoint {
        totals,
        ..checkpoint
    }
}

fn of(store: &MemStore, split: &str) -> Checkpoint {
    let held = hold(store, &pipeline(), &name(split)).expect("reads");
    held.checkpoint().expect("is there").clone()
}

#[test]
fn a_reset_moves_to_the_beginning_and_keeps_every_letter() {
    let (store, desk) = (MemStore::new(), Desk::default());
    two_splits(&store);
    let turn = desk.turn(&pipeline());
    let all = |limit| checkpoints(&store, &pipeline(), None, limit).expect("reads");
    let (page, next) = all(1);
    let (rest, end) = checkpoints(&store, &pipeline(), next.as_deref(), 10).expect("reads");
    let mut splits: Vec<SplitId> = page
        .into_iter()
        .chain(rest)
        .map(|record| record.split)
        .collect();
    splits.sort();
    assert_eq!((splits, end), (vec![name("a"), name("b")], None));

    let running = hold(&store, &pipeline(), &name("a")).expect("reads");
    let moves = reset(&store, &turn, Some(&name("a")), 10).expect("reads");
    assert_eq!((moves.splits, moves.batches.len()), (1, 1));
    store.commit(moves.batches[0].clone()).expect("commits");
    // Nobody asks any more whether the unit under way was delivered: its letters are kept, and counted.
    assert_eq!(
        found(&store),
        [(1, false), (2, false), (101, false), (102, true)]
    );
    assert_eq!(
        store.commit(moves.batches[0].clone()),
        Err(StoreError::Fenced)
    );
    drop(turn);
    let (late, _) = stepped(&store, &running, at(3), &[]);
    assert_eq!(store.commit(late), Err(StoreError::Fenced), "a run goes on");
    let moved = of(&store, "a");
    assert_eq!((moved.epoch, moved.moved, moved.sequence), (2, 2, 2));
    assert_eq!((moved.delivered(), moved.place.clone()), (None, None));
    assert_eq!((moved.intent, moved.totals.dead_lettered), (None, 2));

    let turn = desk.turn(&pipeline());
    let moves = reset(&store, &turn, None, 11).expect("reads");
    assert_eq!((moves.splits, moves.batches.len()), (2, 1), "together");
    for batch in moves.batches {
        store.commit(batch).expect("commits");
    }
    let letters = [(1, false), (2, false), (101, false), (102, false)];
    assert_eq!(found(&store), letters);
    assert_eq!((of(&store, "a").epoch, of(&store, "b").epoch), (3, 2));
    let account = sluice_state::journal::account(&store, &pipeline()).expect("reads");
    assert_eq!(Ok(account), counted(&store, &pipeline()));
}

#[test]
fn a_split_is_moved_to_a_place() {
    let (store, desk) = (MemStore::new(), Desk::default());
    two_splits(&store);
    let turn = desk.turn(&pipeline());
    let there = Cursor::from(vec![7]);
    for (split, epoch) in [("a", 2), ("new", 1)] {
        let moves = set_place(&store, &turn, &name(split), Some(there.clone()), 10);
        for batch in moves.expect("reads").batches {
            store.commit(batch).expect("commits");
        }
        let moved = of(&store, split);
        assert_eq!((moved.epoch, moved.moved), (epoch, epoch));
        assert_eq!((moved.place, moved.ended), (Some(there.clone()), false));
    }
    let letters = [(1, false), (2, false), (101, false), (102, true)];
    assert_eq!(found(&store), letters);
}

/// Bounds of ranges that lie side by side are of one question to the source, or rows between them are lost.
#[test]
fn splits_begin_together_and_one_alone_begins_where_it_began() {
    let (store, desk) = (MemStore::new(), Desk::default());
    let starts = |from: u8| {
        ["a", "b"].map(|split| {
            (
                name::<SplitId>(split),
                Cursor::from(vec![from, split.as_bytes()[0]]),
            )
        })
    };
    let place = |split: &str| of(&store, split).place;
    let first = starts(1);
    begin(&store, &pipeline(), &first, 5).expect("commits");
    begin(&store, &pipeline(), &starts(2), 6).expect("reads");
    let commits = store.commit(StateBatch::default());
    assert_eq!(commits, Ok(CommitNumber(2)), "one before this");
    assert_eq!(place("a").as_ref(), Some(&first[0].1));

    let turn = desk.turn(&pipeline());
    let there = Some(Cursor::from(vec![9]));
    let moved = |moves: Result<Moves, JournalError>| {
        for batch in moves.expect("reads").batches {
            store.commit(batch).expect("commits");
        }
    };
    moved(set_place(&store, &turn, &name("a"), there.clone(), 7));
    assert_eq!(place("a"), there);
    moved(reset(&store, &turn, Some(&name("a")), 8));
    begin(&store, &pipeline(), &starts(3), 9).expect("reads");
    assert_eq!(place("a").as_ref(), Some(&first[0].1), "not between others");

    moved(reset(&store, &turn, None, 10));
    assert_eq!((place("a"), place("b")), (None, None));
    let last = starts(4);
    begin(&store, &pipeline(), &last, 11).expect("commits");
    assert_eq!(place("b").as_ref(), Some(&last[1].1));
}

#[test]
fn schemas_are_kept_for_each_stream() {
    let store = MemStore::new();
    let fields = vec![Field::new("id", FieldType::Int64, false)];
    let shape = Schema::new(fields, vec!["id".to_owned()]).expect("a schema");
    let record = |stream: &str| SchemaRecord {
        pipeline: pipeline(),
        stream: name(stream),
        schema: shape.clone(),
        updated_ms: 3,
    };
    let mut batch = StateBatch::default();
    put_schema(&mut batch, &record("a"));
    put_schema(&mut batch, &record("b"));
    store.commit(batch).expect("commits");
    let read =
        |stream: &str| schema(&store, &pipeline(), &name::<StreamName>(stream)).expect("reads");
    assert_eq!((read("a"), read("c")), (Some(record("a")), None));
    assert_eq!(schemas(&store, &pipeline()).expect("reads").len(), 2);
    let mut batch = StateBatch::default();
    delete_schemas(&mut batch, &store, &pipeline()).expect("reads");
    store.commit(batch).expect("commits");
    assert_eq!(read("a"), None);
}

#[test]
fn what_cannot_be_read_is_said_and_never_guessed() {
    let store = MemStore::new();
    let held = step(
        &store,
        &hold(&store, &pipeline(), &name("a")).expect("reads"),
        at(1),
        &[],
    );
    drop(held);
    let pairs = store
        .scan(Namespace::Checkpoint, b"", b"", 1)
        .expect("scans");
    let (key, bytes) = pairs[0].clone();
    let check = |bytes: Vec<u8>, expected: fn(&JournalError) -> bool| {
        store
            .commit(StateBatch {
                expect: vec![],
                writes: vec![StateWrite::Put(Namespace::Checkpoint, key.clone(), bytes)],
            })
            .expect("commits");
        let error = hold(&store, &pipeline(), &name("a")).expect_err("unreadable");
        assert!(expected(&error), "{error}");
        assert!(!Fault::from(error).is_transient());
    };
    check([&[2], &bytes[1..]].concat(), |error| {
        matches!(error, JournalError::Version { version: 2, .. })
    });
    check(bytes[..bytes.len() - 1].to_vec(), |error| {
        matches!(error, JournalError::Malformed { .. })
    });
}
