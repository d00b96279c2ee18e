//! The DLQ as a place to work: what a redrive makes of a letter and when it counts, what people do to letters, what is
//! refused, and what an older version wrote.

mod acts;
mod kept;

use sluice_model::checkpoint::{Checkpoint, Cursor, Intent, Mark, Numbers, Totals};
use sluice_model::ids::{PipelineName, Role, StageId};
use sluice_model::ports::{StateBatch, StateStore, StoreError};
use sluice_model::rejection::{Place, Record, Rejection};
use sluice_state::MemStore;
use sluice_state::journal::{
    DeadLetter, Desk, Fate, Filter, Held, JournalError, Kept, Redriven, Standing, StandingKind,
    Step, account, counted, dead_letter, dead_letters, discard, edit, expire, hold,
};

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
