//! How letters are kept: their room, what older versions wrote, on disk, side by side.

use super::{Host, at, intending, json, letter, name, of, pipeline, refused};
use sluice_model::checkpoint::Checkpoint;
use sluice_model::fault::Fault;
use sluice_model::ports::{Namespace, StateBatch, StateStore, StateWrite};
use sluice_state::journal::{
    Account, DeadLetter, Desk, Fate, Filter, JournalError, Kept, Pause, PauseKind, Standing,
    account, counted, delete_pause, pause, purge, put_pause,
};
use sluice_state::{Options, SledStore};

#[test]
fn a_full_dlq_takes_no_letter_and_loses_none() {
    let host = Host::with(&["{}"; 2]);
    let before = account(&host.store, &pipeline()).expect("reads");
    let more = [letter(3, "{}")];
    let bytes = before.bytes / 2 * 3;
    let limit = bytes - 1;
    let full = host.stepped("a", at(2), &more, &[], Some(limit)).err();
    assert_eq!(full, Some(JournalError::Full { bytes, limit }));
    assert_eq!(
        host.hold("a").checkpoint(),
        Some(&at(1)),
        "nothing is written"
    );
    assert_eq!(account(&host.store, &pipeline()), Ok(before));
    let fault = Fault::from(JournalError::Full { bytes, limit });
    assert!(!fault.is_transient(), "{fault}");
    // A redrive makes room: it is never refused for want of it. Nor is a unit without letters.
    host.stepped("a", at(2), &[], &[], Some(1))
        .expect("commits");
    host.stepped("r", at(1), &[], &[of(&host.kept(1), refused())], Some(1))
        .expect("commits");
    host.step("r", at(2), &[], &[of(&host.kept(2), Fate::Delivered)])
        .expect("commits");
    let turn = host.desk.turn(&pipeline());
    let swept = purge(&host.store, &turn, 0, 10).expect("reads");
    host.store.commit(swept.batch).expect("commits");
    drop(turn);
    host.stepped("a", at(3), &more, &[], Some(bytes))
        .expect("there is room");
}

/// What the versions before accounts and attempts wrote.
#[test]
fn what_an_older_version_wrote_is_read() {
    const LETTER: &str = r#"{"number":4,"pipeline":"orders","split":"a","run":"run-1","mark":{"epoch":1,"sequence":2},"plugin":"sluice/postgres","at_ms":5,"rejection":{"stage":{"role":"sink","index":0},"stream":"lines","code":"x","message":"no such day","place":{"document":"a.csv","line":4},"record":{"json":"{}"},"truncated":false}}"#;
    const CHECKPOINT: &str = r#"{"pipeline":"orders","split":"a","checkpoint":{"epoch":1,"sequence":2,"mark":{"epoch":1,"sequence":1},"place":"p","ended":false,"totals":{"read":0,"written":0,"filtered":0,"dead_lettered":0},"intent":{"mark":{"epoch":1,"sequence":2},"place":"q","ended":false,"totals":{"read":1,"written":0,"filtered":0,"dead_lettered":1},"dead_letters":{"first":4,"last":4}}},"updated_ms":9}"#;
    let host = || {
        let host = Host::new();
        host.step("a", intending(1, 2), &[letter(4, "{}")], &[])
            .expect("commits");
        let key = |namespace| {
            host.store.scan(namespace, b"", b"", 1).expect("scans")[0]
                .0
                .clone()
        };
        let (row, place) = (key(Namespace::DeadLetter), key(Namespace::Checkpoint));
        let then = |json: &str| [b"\x01", json.as_bytes()].concat();
        let mut writes = vec![
            StateWrite::Put(Namespace::DeadLetter, row, then(LETTER)),
            StateWrite::Put(Namespace::Checkpoint, place, then(CHECKPOINT)),
        ];
        for (key, _) in host
            .store
            .scan(Namespace::Meta, b"account/", b"", 1)
            .expect("scans")
        {
            writes.push(StateWrite::Delete(Namespace::Meta, key));
        }
        host.store
            .commit(StateBatch {
                expect: vec![],
                writes,
            })
            .expect("commits");
        host
    };
    let before = host();
    let kept = before.kept(4);
    assert!(kept.pending && !kept.redriving);
    assert_eq!(
        (kept.letter.standing, kept.letter.attempts),
        (Standing::Waiting, 0)
    );
    assert_eq!((kept.letter.edits, kept.letter.edited), (0, None));
    let then = account(&before.store, &pipeline()).expect("reads");
    assert_eq!((then.pending, then.waiting, then.bytes), (1, 0, kept.bytes));
    let held = before.hold("a").checkpoint().expect("is there").clone();
    before
        .step("a", held.promoted(), &[], &[])
        .expect("commits");
    let settled = account(&before.store, &pipeline()).expect("reads");
    assert_eq!((settled.pending, settled.waiting), (0, 1));
    assert_eq!(Ok(settled), counted(&before.store, &pipeline()));

    let other = host();
    other
        .step("a", Checkpoint { epoch: 2, ..at(1) }, &[], &[])
        .expect("commits");
    assert_eq!(other.found(&Filter::default()), [0; 0]);
    assert_eq!(account(&other.store, &pipeline()), Ok(Account::default()));

    // An account was begun for another split's letter: the older intent is in it, and is settled in it.
    let both = host();
    both.step(
        "b",
        at(1),
        &[DeadLetter {
            split: name("b"),
            ..letter(9, "{}")
        }],
        &[],
    )
    .expect("commits");
    let held = both.hold("a").checkpoint().expect("is there").clone();
    both.step("a", held.promoted(), &[], &[]).expect("commits");
    let settled = account(&both.store, &pipeline()).expect("reads");
    assert_eq!((settled.pending, settled.waiting), (0, 2));
    assert_eq!(Ok(settled), counted(&both.store, &pipeline()));
}

/// 60 MiB of letters in one unit, in a store on disk that takes 24 MiB at once; all of them undone; and once more.
#[test]
fn a_unit_of_very_many_letters_goes_through_on_disk() {
    let dir = tempfile::tempdir().expect("a directory");
    let open = || SledStore::open(&dir.path().join("state"), Options::default()).expect("opens");
    let host = Host {
        store: open(),
        desk: Desk::default(),
    };
    let record = format!("{{\"x\":\"{}\"}}", "y".repeat(255 << 10));
    let letters = |first: u64| -> Vec<DeadLetter> {
        (first..first + 240)
            .map(|number| letter(number, &record))
            .collect()
    };
    let bytes: usize = letters(1)
        .iter()
        .map(|letter| letter.rejection.record.bytes())
        .sum();
    assert!(bytes >= 59 << 20, "{bytes}");
    host.step("a", intending(0, 1), &letters(1), &[])
        .expect("commits");
    let kept = account(&host.store, &pipeline()).expect("reads");
    assert_eq!((kept.pending, kept.waiting), (240, 0));
    host.step("a", Checkpoint { epoch: 2, ..at(0) }, &[], &[])
        .expect("undone");
    assert_eq!(host.found(&Filter::default()), [0; 0]);
    host.step("a", at(2), &letters(241), &[]).expect("commits");
    drop(host);
    let host = Host {
        store: open(),
        desk: Desk::default(),
    };
    let kept = account(&host.store, &pipeline()).expect("reads");
    assert_eq!((kept.pending, kept.waiting), (0, 240));
    assert_eq!(Ok(kept), counted(&host.store, &pipeline()));
}

/// Acts and their account, on disk and over a restart.
#[test]
fn what_was_done_to_letters_survives_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let open = || Host {
        store: SledStore::open(&dir.path().join("state"), Options::default()).expect("opens"),
        desk: Desk::default(),
    };
    let host = open();
    let letters: Vec<_> = (1..=4).map(|number| letter(number, "{}")).collect();
    host.step("a", at(1), &letters, &[]).expect("commits");
    host.commit(host.discard(&[host.kept(1)])).expect("commits");
    host.commit(host.edit(&host.kept(2), json("{\"day\":1}")))
        .expect("commits");
    let fates = [
        of(&host.kept(2), Fate::Delivered),
        of(&host.kept(3), refused()),
    ];
    host.step("r", intending(0, 1), &[], &fates)
        .expect("commits");
    let before: Vec<Kept> = (1..=4).map(|number| host.kept(number)).collect();
    drop(host);
    let host = open();
    let after: Vec<Kept> = (1..=4).map(|number| host.kept(number)).collect();
    assert_eq!(after, before);
    host.step("r", intending(0, 1).promoted(), &[], &[])
        .expect("commits");
    let kept = account(&host.store, &pipeline()).expect("reads");
    assert_eq!((kept.waiting, kept.delivered, kept.discarded), (2, 1, 1));
    assert_eq!(Ok(kept), counted(&host.store, &pipeline()));
}

/// Splits of one pipeline side by side, each with letters of its own: the account misses none.
#[test]
fn splits_side_by_side_keep_one_account() {
    let host = Host::new();
    std::thread::scope(|scope| {
        for split in ["a", "b", "c", "d"] {
            let host = &host;
            scope.spawn(move || {
                for sequence in 1..=25 {
                    let numbers = host.desk.reserve(&host.store, &pipeline(), 2);
                    let numbers = numbers.expect("numbers");
                    let letters = [numbers.first, numbers.last].map(|number| DeadLetter {
                        split: name(split),
                        ..letter(number, "{}")
                    });
                    host.step(split, at(sequence), &letters, &[])
                        .expect("nobody is fenced");
                }
            });
        }
    });
    let kept = account(&host.store, &pipeline()).expect("reads");
    assert_eq!(kept.waiting, 200);
    assert_eq!(Ok(kept), counted(&host.store, &pipeline()));
}

#[test]
fn a_pause_is_kept_until_it_is_taken_back() {
    let host = Host::new();
    let read = || pause(&host.store, &pipeline()).expect("reads");
    assert_eq!(read(), None);
    let kept = Pause {
        why: PauseKind::Quarantined,
        reason: "it fails on record after record".to_owned(),
        mend: Some("sluice resume orders".to_owned()),
        by: "the host".to_owned(),
        since_ms: 7,
        plugin: None,
    };
    let mut batch = StateBatch::default();
    put_pause(&mut batch, &pipeline(), &kept);
    host.store.commit(batch).expect("commits");
    assert_eq!(read(), Some(kept));
    let rows = host
        .store
        .scan(Namespace::Meta, b"", b"", 10)
        .expect("scans");
    let json = String::from_utf8_lossy(&rows[0].1).into_owned();
    assert!(json.contains("\"why\":\"quarantined\""), "{json}");
    assert_eq!(pause(&host.store, &name("another")), Ok(None));
    let mut batch = StateBatch::default();
    delete_pause(&mut batch, &pipeline());
    host.store.commit(batch).expect("commits");
    assert_eq!(read(), None);
}
