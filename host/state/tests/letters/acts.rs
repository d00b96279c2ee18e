//! What people do to letters, and how letters are found.

use super::{Host, at, json, name, of, pipeline, refused};
use sluice_model::checkpoint::Numbers;
use sluice_model::limits::DEAD_LETTER_RECORD_BYTES_MAX;
use sluice_model::ports::{Namespace, StateStore, StoreError};
use sluice_model::rejection::Record;
use sluice_state::journal::{
    Fate, Filter, Standing, StandingKind, account, counted, dead_letters, expire, purge,
};

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
