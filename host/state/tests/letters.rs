//! The DLQ as a place to work: what a redrive makes of a letter and when it counts, what people do to letters, what is
//! refused, and what an older version wrote.

use sluice_model::checkpoint::{Checkpoint, Cursor, Intent, Mark, Numbers, Totals};
use sluice_model::fault::Fault;
use sluice_model::ids::{PipelineName, Role, StageId};
use sluice_model::limits::DEAD_LETTER_RECORD_BYTES_MAX;
use sluice_model::ports::{Namespace, StateBatch, StateStore, StateWrite, StoreError};
use sluice_model::rejection::{Place, Record, Rejection};
use sluice_state::journal::{
    Account, DeadLetter, Desk, Fate, Filter, Held, JournalError, Kept, Pause, PauseKind, Redriven,
    Standing, StandingKind, Step, account, counted, dead_letter, dead_letters, delete_pause,
    discard, edit, expire, hold, pause, purge, put_pause,
};
use sluice_state::{MemStore, Options, SledStore};

fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("a name")
}

fn pipeline() -> PipelineName {
    name("orders")
}

fn rejection(code: &str, record: &str) -> Rejection {
    Rejection {
        stage: StageId {
            role: Role::Sink,
            index: 0,
        },
        stream: name("lines"),
        code: code.to_owned(),
        message: "no such Day".to_owned(),
        place: Place {
            document: Some("Spring.csv".to_owned()),
            line: Some(7),
            item: None,
        },
        record: Record::Json(record.to_owned()),
        csv: None,
        truncated: false,
        removal: false,
        given: None,
        also: Vec::new(),
        identity: Some("ab".to_owned()),
    }
}

fn letter(number: u64, record: &str) -> DeadLetter {
    DeadLetter {
        number,
        pipeline: pipeline(),
        split: name("a"),
        run: "run-1".to_owned(),
        mark: mark(1),
        plugin: name("sluice/postgres"),
        at_ms: number,
        rejection: rejection("refused", record),
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
    Checkpoint {
        epoch: 1,
        sequence,
        mark: Some(mark(sequence)),
        place: Some(Cursor::from(sequence.to_be_bytes().to_vec())),
        ..Checkpoint::default()
    }
}

fn intending(held: u64, sequence: u64) -> Checkpoint {
    let intent = Intent {
        mark: mark(sequence),
        place: Cursor::from(sequence.to_be_bytes().to_vec()),
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

/// A store and the one desk of the host that has it.
struct Host<S> {
    store: S,
    desk: Desk,
}

impl Host<MemStore> {
    fn new() -> Self {
        Self {
            store: MemStore::new(),
            desk: Desk::default(),
        }
    }

    /// With letters of these records that wait, from number 1.
    fn with(records: &[&str]) -> Self {
        let host = Self::new();
        let letters: Vec<_> = (1..)
            .zip(records)
            .map(|(number, record)| letter(number, record))
            .collect();
        host.step("a", at(1), &letters, &[]).expect("commits");
        host
    }
}

impl<S: StateStore> Host<S> {
    fn hold(&self, split: &str) -> Held {
        hold(&self.store, &pipeline(), &name(split)).expect("reads")
    }

    fn step(
        &self,
        split: &str,
        next: Checkpoint,
        letters: &[DeadLetter],
        fates: &[Redriven],
    ) -> Result<Held, JournalError> {
        self.stepped(split, next, letters, fates, None)
    }

    fn stepped(
        &self,
        split: &str,
        next: Checkpoint,
        letters: &[DeadLetter],
        fates: &[Redriven],
        bytes_max: Option<u64>,
    ) -> Result<Held, JournalError> {
        let step = Step {
            next,
            letters,
            fates,
            also: &[],
            now_ms: 50,
            run: "run-2",
            bytes_max,
        };
        let steps = self.hold(split).steps(&self.store, &self.desk, &step)?;
        steps.commit()
    }

    fn kept(&self, number: u64) -> Kept {
        let kept = dead_letter(&self.store, &pipeline(), number).expect("reads");
        kept.expect("is there")
    }

    fn found(&self, filter: &Filter) -> Vec<u64> {
        let kept = dead_letters(&self.store, &pipeline(), filter, 0, 100).expect("reads");
        kept.iter().map(|kept| kept.letter.number).collect()
    }

    fn commit(&self, batch: Result<StateBatch, JournalError>) -> Result<(), StoreError> {
        self.store.commit(batch.expect("can be")).map(|_| ())
    }

    fn discard(&self, letters: &[Kept]) -> Result<StateBatch, JournalError> {
        let turn = self.desk.turn(&pipeline());
        discard(&self.store, &turn, letters, "a person", "too old", 60)
    }

    fn edit(&self, kept: &Kept, record: Record) -> Result<StateBatch, JournalError> {
        let turn = self.desk.turn(&pipeline());
        edit(&self.store, &turn, kept, record, "a person", 60)
    }
}

fn json(text: &str) -> Record {
    Record::Json(text.to_owned())
}

fn refused() -> Fate {
    let again = Rejection {
        identity: None,
        place: Place::default(),
        message: "still none".to_owned(),
        ..rejection("again", "{\"other\":1}")
    };
    Fate::Refused {
        plugin: name("acme/mask"),
        rejection: Box::new(again),
    }
}

fn of(kept: &Kept, fate: Fate) -> Redriven {
    Redriven {
        number: kept.letter.number,
        edits: kept.letter.edits,
        fate,
    }
}

#[test]
fn a_redrive_settles_a_letter_or_has_it_wait_on() {
    let host = Host::with(&["{}"; 4]);
    let fates = [Fate::Delivered, Fate::Filtered, refused()];
    let fates: Vec<_> = (1..)
        .zip(fates)
        .map(|(number, fate)| of(&host.kept(number), fate))
        .collect();
    host.step("r", at(1), &[], &fates).expect("commits");
    let run = || "run-2".to_owned();
    let standing = |number| host.kept(number).letter.standing;
    assert_eq!(
        standing(1),
        Standing::Delivered {
            at_ms: 50,
            run: run()
        }
    );
    assert_eq!(
        standing(2),
        Standing::Filtered {
            at_ms: 50,
            run: run()
        }
    );
    let third = host.kept(3).letter;
    assert_eq!((third.standing, third.attempts), (Standing::Waiting, 1));
    assert_eq!(third.plugin, name("acme/mask"));
    let entered = rejection("refused", "{}");
    let expected = Rejection {
        code: "again".to_owned(),
        message: "still none".to_owned(),
        ..entered
    };
    assert_eq!(third.rejection, expected, "record, place and identity stay");
    assert_eq!(standing(4), Standing::Waiting);
    // And once more: each refusal counts.
    let again = [of(&host.kept(3), refused())];
    host.step("r", at(2), &[], &again).expect("commits");
    assert_eq!(host.kept(3).letter.attempts, 2);
    let last = [of(&host.kept(3), Fate::Delivered)];
    host.step("r", at(3), &[], &last).expect("commits");
    let third = host.kept(3).letter;
    assert_eq!(
        (third.standing.kind(), third.attempts),
        (StandingKind::Delivered, 2)
    );
    let kept = account(&host.store, &pipeline()).expect("reads");
    assert_eq!((kept.waiting, kept.delivered, kept.filtered), (1, 2, 1));
    assert_eq!(Ok(kept), counted(&host.store, &pipeline()));
}

#[test]
fn an_attempt_counts_once_its_unit_is_settled() {
    // How the redriving split goes on from the intent of unit 2, and what the letters are then.
    let waits = (StandingKind::Waiting, 0);
    let check = |next: Checkpoint, expected: [(StandingKind, u32); 2]| {
        let host = Host::with(&["{}"; 3]);
        host.step("r", at(1), &[], &[of(&host.kept(2), refused())])
            .expect("commits");
        host.edit(&host.kept(1), json("{\"day\":1}"))
            .map(|batch| host.store.commit(batch))
            .expect("open")
            .expect("commits");
        let before = [host.kept(1).letter, host.kept(2).letter];
        let fates = [
            of(&host.kept(1), Fate::Delivered),
            of(&host.kept(2), refused()),
        ];
        host.step("r", intending(1, 2), &[], &fates)
            .expect("commits");
        for number in [1, 2] {
            let kept = host.kept(number);
            assert!(kept.redriving && !kept.pending && !kept.is_open());
            assert_eq!(kept.letter.standing, Standing::Waiting);
        }
        assert_eq!(host.kept(2).letter.attempts, 1);
        let intent = host
            .hold("r")
            .checkpoint()
            .and_then(|held| held.intent.clone());
        let redriven = intent.and_then(|intent| intent.redriven);
        assert_eq!(redriven, Some(Numbers { first: 1, last: 2 }));
        host.step("r", next, &[], &[]).expect("commits");
        let see = |number| {
            let kept = host.kept(number);
            assert!(!kept.redriving);
            (kept.letter.standing.kind(), kept.letter.attempts)
        };
        assert_eq!([see(1), see(2)], expected);
        assert_eq!(host.kept(1).letter.sent(), &json("{\"day\":1}"));
        if see(1) == waits {
            let undone = host.kept(2).letter;
            assert_eq!(host.kept(1).letter, before[0]);
            assert_eq!(
                (undone.rejection, undone.attempts),
                (before[1].rejection.clone(), 1)
            );
        }
        let kept = account(&host.store, &pipeline()).expect("reads");
        assert_eq!(Ok(kept), counted(&host.store, &pipeline()));
    };
    let counts = [(StandingKind::Delivered, 0), (StandingKind::Waiting, 2)];
    let undone = [waits, (StandingKind::Waiting, 1)];
    check(intending(1, 2).promoted(), counts);
    check(intending(2, 3), counts);
    check(at(3), counts);
    check(Checkpoint { epoch: 2, ..at(1) }, undone);
    check(at(1).moved_to(None), undone);
    check(intending(1, 2), undone);
}

/// A transactional sink that was opened again is written the same unit once more.
#[test]
fn an_attempt_is_made_again_with_its_unit() {
    let host = Host::with(&["{}"; 2]);
    let fates = [
        of(&host.kept(1), Fate::Delivered),
        of(&host.kept(2), refused()),
    ];
    host.step("r", intending(0, 1), &[], &fates)
        .expect("commits");
    let fates = [
        of(&host.kept(1), refused()),
        of(&host.kept(2), Fate::Filtered),
    ];
    host.step("r", intending(0, 1), &[], &fates)
        .expect("commits");
    host.step("r", intending(0, 1).promoted(), &[], &[])
        .expect("commits");
    let first = host.kept(1).letter;
    assert_eq!((first.standing, first.attempts), (Standing::Waiting, 1));
    let second = host.kept(2).letter;
    assert_eq!(
        (second.standing.kind(), second.attempts),
        (StandingKind::Filtered, 0)
    );
    let kept = account(&host.store, &pipeline()).expect("reads");
    assert_eq!(Ok(kept), counted(&host.store, &pipeline()));
}

#[test]
fn a_letter_that_is_not_settled_is_left_alone() {
    let host = Host::with(&["{}"; 2]);
    let unsettled = |number, split| {
        let split = name(split);
        Err(JournalError::Unsettled { number, split })
    };
    host.step(
        "r",
        intending(0, 1),
        &[],
        &[of(&host.kept(1), Fate::Delivered)],
    )
    .expect("commits");
    host.step(
        "b",
        intending(0, 1),
        &[DeadLetter {
            split: name("b"),
            ..letter(3, "{}")
        }],
        &[],
    )
    .expect("commits");
    for (number, split) in [(1, "r"), (3, "b")] {
        let (kept, unsettled) = (host.kept(number), unsettled(number, split));
        assert_eq!(host.discard(std::slice::from_ref(&kept)), unsettled);
        assert_eq!(host.edit(&kept, json("{}")), unsettled);
    }
    let turn = host.desk.turn(&pipeline());
    let sweep = expire(&host.store, &turn, 1_000, 0, 10).expect("reads");
    assert_eq!(
        (sweep.letters, sweep.next),
        (1, None),
        "of three, one is settled"
    );
}

#[test]
fn what_waits_no_more_is_left_as_it_is() {
    let host = Host::with(&["{}"; 2]);
    host.step("r", at(1), &[], &[of(&host.kept(1), Fate::Delivered)])
        .expect("commits");
    host.commit(host.discard(&[host.kept(2)])).expect("commits");
    for (number, standing) in [(1, StandingKind::Delivered), (2, StandingKind::Discarded)] {
        let (kept, refused) = (
            host.kept(number),
            JournalError::NotWaiting { number, standing },
        );
        assert_eq!(
            host.discard(std::slice::from_ref(&kept)),
            Err(refused.clone())
        );
        assert_eq!(host.edit(&kept, json("{}")), Err(refused.clone()));
        assert!(refused.to_string().contains(&standing.to_string()));
    }
}

#[test]
fn a_redrive_of_what_changed_meanwhile_is_fenced() {
    let host = Host::with(&["{}"; 3]);
    let read: Vec<_> = [1, 2, 3]
        .map(|number| of(&host.kept(number), Fate::Delivered))
        .into();
    host.commit(host.edit(&host.kept(1), json("{\"day\":1}")))
        .expect("commits");
    host.commit(host.discard(&[host.kept(2)])).expect("commits");
    let redrive = |of: &Redriven| host.step("r", at(1), &[], std::slice::from_ref(of));
    for late in &read[..2] {
        let fenced = redrive(late).err();
        assert_eq!(fenced, Some(StoreError::Fenced.into()), "{late:?}");
    }
    let gone = Redriven {
        number: 99,
        ..read[2].clone()
    };
    assert_eq!(redrive(&gone).err(), Some(StoreError::Fenced.into()));
    assert_eq!(host.hold("r").checkpoint(), None);
    let twice = [read[2].clone(), read[2].clone()];
    let fenced = host.step("r", at(1), &[], &twice).err();
    assert_eq!(fenced, Some(StoreError::Fenced.into()));
    redrive(&read[2]).expect("it is as it was");
    redrive(&of(&host.kept(1), Fate::Delivered)).expect("as it was edited");
}

#[test]
fn of_two_acts_on_one_letter_one_is_fenced() {
    let host = Host::with(&["{}"; 4]);
    let kept = |number| host.kept(number);
    // Each is built on what was read before the other is committed.
    let (one, two) = (host.discard(&[kept(1)]), host.edit(&kept(1), json("{}")));
    host.commit(one).expect("commits");
    assert_eq!(host.commit(two), Err(StoreError::Fenced));

    let stale = kept(2);
    host.commit(host.edit(&kept(2), json("{\"a\":1}")))
        .expect("commits");
    assert_eq!(
        host.commit(host.discard(std::slice::from_ref(&stale))),
        Err(StoreError::Fenced)
    );
    assert_eq!(
        host.commit(host.edit(&stale, json("{}"))),
        Err(StoreError::Fenced)
    );
    assert_eq!(kept(2).letter.sent(), &json("{\"a\":1}"));

    let stale = kept(3);
    host.step("r", at(1), &[], &[of(&kept(3), Fate::Delivered)])
        .expect("commits");
    assert_eq!(host.commit(host.discard(&[stale])), Err(StoreError::Fenced));
    assert_eq!(kept(3).letter.standing.kind(), StandingKind::Delivered);
}

#[test]
fn a_discarded_letter_keeps_what_it_was_and_not_its_record() {
    let host = Host::with(&["{\"name\":\"canary\"}"]);
    host.commit(host.edit(&host.kept(1), json("{\"name\":\"canary\"}")))
        .expect("commits");
    let kept = host.kept(1);
    host.commit(host.discard(&[kept.clone(), kept]))
        .expect("commits");
    let letter = host.kept(1).letter;
    let (by, reason) = ("a person".to_owned(), "too old".to_owned());
    assert_eq!(
        letter.standing,
        Standing::Discarded {
            at_ms: 60,
            by,
            reason
        }
    );
    assert_eq!(
        (letter.number, letter.rejection.code.as_str()),
        (1, "refused")
    );
    assert_eq!(letter.rejection.place.line, Some(7));
    let rows = host
        .store
        .scan(Namespace::DeadLetter, b"", b"", 10)
        .expect("scans");
    assert!(!String::from_utf8_lossy(&rows[0].1).contains("canary"));
    let kept = account(&host.store, &pipeline()).expect("reads");
    assert_eq!((kept.waiting, kept.discarded), (0, 1));
    assert_eq!(Ok(kept), counted(&host.store, &pipeline()));
}

#[test]
fn an_edit_is_a_bounded_object_beside_the_record_as_it_entered() {
    let host = Host::with(&["{\"day\":0}"]);
    host.commit(host.edit(&host.kept(1), json("{\"day\":1}")))
        .expect("commits");
    host.commit(host.edit(&host.kept(1), json("{\"day\":2}")))
        .expect("commits");
    let letter = host.kept(1).letter;
    assert_eq!(letter.sent(), &json("{\"day\":2}"));
    assert_eq!(letter.rejection.record, json("{\"day\":0}"));
    let edit = letter.edited.expect("edited");
    assert_eq!(
        (edit.by.as_str(), edit.at_ms, letter.edits),
        ("a person", 60, 2)
    );
    let check = |record: Record, says: &str| {
        let refused = host.edit(&host.kept(1), record);
        let told = refused.expect_err("refused").to_string();
        assert!(told.contains(says), "{told}");
    };
    check(json("[1]"), "no JSON object");
    check(json("{\"day\":1"), "no JSON object");
    check(Record::Raw(b"{}".to_vec()), "no JSON object");
    let long = "x".repeat(DEAD_LETTER_RECORD_BYTES_MAX);
    check(json(&format!("{{\"day\":\"{long}\"}}")), "may have");
}

#[test]
fn letters_are_found_by_all_that_is_known_of_them() {
    let host = Host::with(&["{\"who\":\"Ada\"}", "{}", "{}", "{}", "{}"]);
    let fates = [
        of(&host.kept(2), Fate::Delivered),
        of(&host.kept(3), refused()),
    ];
    host.step("r", at(1), &[], &fates).expect("commits");
    host.commit(host.edit(&host.kept(4), json("{\"who\":\"ADA\"}")))
        .expect("commits");
    let check = |filter: Filter, expected: &[u64]| {
        assert_eq!(host.found(&filter), expected, "{filter:?}");
    };
    let none = Filter::default;
    let text = |text: &str| Filter {
        text: Some(text.to_owned()),
        ..none()
    };
    check(none(), &[1, 2, 3, 4, 5]);
    check(text("aDa"), &[1, 4]);
    check(text("no such day"), &[1, 2, 4, 5]);
    check(text("still"), &[3]);
    check(text("REFUSED"), &[1, 2, 4, 5]);
    check(text("spring.csv:7"), &[1, 2, 3, 4, 5]);
    check(text("nowhere"), &[]);
    check(
        Filter {
            numbers: Some(Numbers { first: 2, last: 4 }),
            ..none()
        },
        &[2, 3, 4],
    );
    check(
        Filter {
            numbers: Some(Numbers { first: 4, last: 2 }),
            ..none()
        },
        &[],
    );
    check(
        Filter {
            since_ms: Some(2),
            until_ms: Some(4),
            ..none()
        },
        &[2, 3],
    );
    check(
        Filter {
            plugin: Some(name("acme/mask")),
            ..none()
        },
        &[3],
    );
    check(
        Filter {
            code: Some("again".to_owned()),
            ..none()
        },
        &[3],
    );
    check(
        Filter {
            split: Some(name("r")),
            ..none()
        },
        &[],
    );
    check(
        Filter {
            stream: Some(name("other")),
            ..none()
        },
        &[],
    );
    check(
        Filter {
            standing: Some(StandingKind::Delivered),
            ..none()
        },
        &[2],
    );
    check(
        Filter {
            standing: Some(StandingKind::Waiting),
            ..none()
        },
        &[1, 3, 4, 5],
    );
    let page = dead_letters(&host.store, &pipeline(), &none(), 3, 1).expect("reads");
    assert_eq!(page[0].letter.number, 4);
}

#[test]
fn what_is_over_goes_and_is_counted() {
    let host = Host::with(&["{}"; 6]);
    let fates = [
        of(&host.kept(1), Fate::Delivered),
        of(&host.kept(2), Fate::Filtered),
    ];
    host.step("r", at(1), &[], &fates).expect("commits");
    let turn = host.desk.turn(&pipeline());
    // Waiting since 3 to 6; delivered and filtered at 50.
    let swept = expire(&host.store, &turn, 5, 0, 1).expect("reads");
    assert_eq!((swept.letters, swept.next), (1, Some(3)));
    host.store.commit(swept.batch).expect("commits");
    let swept = expire(&host.store, &turn, 5, 3, 10).expect("reads");
    assert_eq!((swept.letters, swept.next), (1, None));
    host.store.commit(swept.batch).expect("commits");
    assert_eq!(host.found(&Filter::default()), [1, 2, 5, 6]);
    let bytes = host.kept(1).bytes;
    let swept = purge(&host.store, &turn, 0, 1).expect("reads");
    assert_eq!(
        (swept.letters, swept.bytes, swept.next),
        (1, bytes, Some(1))
    );
    host.store.commit(swept.batch).expect("commits");
    let swept = purge(&host.store, &turn, 0, 10).expect("reads");
    host.store.commit(swept.batch).expect("commits");
    assert_eq!(host.found(&Filter::default()), [5, 6]);
    let kept = account(&host.store, &pipeline()).expect("reads");
    assert_eq!((kept.waiting, kept.expired), (2, 2));
    assert_eq!((kept.delivered, kept.filtered), (1, 1), "they were");
    let swept = expire(&host.store, &turn, 5, 0, 10).expect("reads");
    assert_eq!(swept, sluice_state::journal::Sweep::default());
}

/// However many are asked for.
#[test]
fn large_letters_come_a_few_at_a_time() {
    let large = format!("{{\"text\":\"{}\"}}", "x".repeat(250 << 10));
    let host = Host::with(&[large.as_str(); 50]);
    let (mut after, mut pages, mut found) = (0, 0, 0);
    loop {
        let page = dead_letters(&host.store, &pipeline(), &Filter::default(), after, 512);
        let page = page.expect("reads");
        let Some(last) = page.last() else { break };
        let bytes: u64 = page.iter().map(|kept| kept.bytes).sum();
        assert!(bytes <= 9 << 20, "{bytes}");
        (after, pages, found) = (last.letter.number, pages + 1, found + page.len());
    }
    assert_eq!((pages, found), (2, 50));
}

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
