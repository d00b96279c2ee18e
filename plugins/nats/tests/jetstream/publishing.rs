//! The sink against a server that has some of it, refuses some of it, and goes away.

use crate::fake::{self, SETTINGS};
use serde_json::json;
use sluice_nats::NatsSink;
use sluice_sdk::sink::Target;
use sluice_sdk::testing::{Table, Writer};
use sluice_sdk::{Change, Fault, Record};

#[derive(Record, Clone)]
struct Thing {
    #[record(key)]
    id: i64,
    note: String,
}

fn things(ids: std::ops::Range<i64>, note: &str) -> Table {
    Table::from_records(
        ids.map(|id| Thing {
            id,
            note: note.to_owned(),
        })
        .collect(),
    )
}

fn writer(settings: &str) -> Writer<NatsSink> {
    let target = Target {
        stream: "things".to_owned(),
        schema: Thing::schema(),
    };
    Writer::open(settings, vec![target]).expect("it opens")
}

#[test]
fn a_unit_that_is_written_again_is_stored_once() {
    let fake = fake::start();
    let mut sink = writer(SETTINGS);
    assert_eq!(
        sink.write(vec![("things", things(0..1_200, "a"))]),
        Ok(vec![])
    );
    fake.borrow_mut().broken = 1;
    let fault = sink
        .write(vec![("things", things(1_200..1_300, "a"))])
        .expect_err("broken off");
    assert!(matches!(fault, Fault::Transient { .. }), "{fault}");
    // The same records among others, over another connection; one of them is another version.
    assert_eq!(
        sink.write(vec![
            ("things", things(1_000..1_300, "a")),
            ("things", things(7..8, "b"))
        ]),
        Ok(vec![])
    );
    let fake = fake.borrow();
    assert_eq!((fake.published.len(), fake.duplicates), (1_301, 200));
    assert!(
        fake.published[0]
            .0
            .starts_with("there.things NATS/1.0\r\nNats-Msg-Id: "),
        "{}",
        fake.published[0].0
    );
    assert_eq!(fake.published[1_300].1, br#"{"id":7,"note":"b"}"#);
}

#[test]
fn what_a_record_is_to_blame_for_is_its_rejection() {
    let fake = fake::start();
    let mut sink = writer(&SETTINGS.replace("{@stream}", "{note}"));
    let long = "x".repeat(1_000);
    let records = [(1, "a"), (2, "b.c"), (3, long.as_str()), (4, "d")];
    let records = records.map(|(id, note)| Thing {
        id,
        note: note.to_owned(),
    });
    let rejections = sink
        .write(vec![("things", Table::from_records(records.to_vec()))])
        .expect("the others go");
    let told: Vec<(u32, &str)> = rejections
        .iter()
        .map(|rejection| (rejection.row, rejection.code.as_str()))
        .collect();
    assert_eq!(told, [(1, "subject-value"), (2, "too-large")]);
    assert!(
        rejections
            .iter()
            .all(|rejection| !rejection.message.contains("b.c")
                && !rejection.message.contains("xxx"))
    );
    assert_eq!(fake.borrow().published.len(), 2);
    for (code, description, told) in [
        (10_054, "message size exceeds maximum allowed", "too-large"),
        (
            10_077,
            "maximum messages per subject exceeded",
            "subject-full",
        ),
    ] {
        fake.borrow_mut().refuses =
            Some(json!({ "error": { "code": 400, "err_code": code, "description": description } }));
        let rejections = sink
            .write(vec![("things", things(0..2, "e"))])
            .expect("both are refused");
        assert!(
            rejections.len() == 2 && rejections.iter().all(|rejection| rejection.code == told),
            "{rejections:?}"
        );
    }
    fake.borrow_mut().refuses = Some(
        json!({ "error": { "code": 503, "err_code": 10_077, "description": "maximum bytes exceeded" } }),
    );
    let fault = sink
        .write(vec![("things", things(0..2, "e"))])
        .expect_err("nobody's record is to blame");
    assert!(matches!(fault, Fault::Transient { .. }), "{fault}");
}

#[test]
fn a_deletion_is_rejected_or_a_message_that_says_so() {
    let fake = fake::start();
    let unit = || {
        vec![(
            "things",
            things(0..2, "a").with_changes(vec![Change::Upsert, Change::Delete]),
        )]
    };
    let rejections = writer(SETTINGS).write(unit()).expect("the other goes");
    assert_eq!(
        (
            rejections.len(),
            rejections[0].row,
            rejections[0].code.as_str()
        ),
        (1, 1, "delete-not-supported")
    );
    let mut sink =
        writer(&SETTINGS.replace("\"subject\"", "\"deletions\": \"header\", \"subject\""));
    assert_eq!(sink.write(unit()), Ok(vec![]));
    let fake = fake.borrow();
    let heads: Vec<bool> = fake
        .published
        .iter()
        .map(|(head, _)| head.contains("Sluice-Change: delete\r\n"))
        .collect();
    assert_eq!(heads, [false, true]);
}

#[test]
fn a_server_without_tls_is_told_nothing() {
    let fake = fake::start();
    fake.borrow_mut().info =
        "INFO {\"headers\":true,\"jetstream\":true,\"max_payload\":1000}\r\n".to_owned();
    let target = Target {
        stream: "things".to_owned(),
        schema: Thing::schema(),
    };
    let fault = Writer::<NatsSink>::open(SETTINGS, vec![target.clone()])
        .err()
        .expect("no TLS");
    assert!(
        matches!(fault, Fault::Misconfigured(_)) && fault.message().contains("TLS"),
        "{fault}"
    );
    fake.borrow_mut().info = "INFO {\"tls_required\":true}\r\nINFO {}\r\n".to_owned();
    let fault = Writer::<NatsSink>::open(SETTINGS, vec![target])
        .err()
        .expect("words in the clear");
    assert!(matches!(fault, Fault::Broken(_)), "{fault}");
}
