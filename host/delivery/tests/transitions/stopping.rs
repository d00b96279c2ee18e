//! What stops a split: a fault that is not transient, a budget that is spent, an answer to nothing.

use crate::*;

#[test]
fn what_is_not_transient_stops_the_split_at_once() {
    let fault = || Fault::new(FaultKind::Unauthorized, "no");
    let unit = UnitNo(1);
    let events: Vec<(Split, Event)> = vec![
        (
            after(fresh(&[Plain]), vec![Event::Start]),
            Event::ReadFailed { fault: fault() },
        ),
        (
            after(
                fresh(&[Plain]),
                vec![Event::Start, page(0, "a", Next::More)],
            ),
            Event::TransformFailed {
                page: PageNo(0),
                fault: fault(),
            },
        ),
        (
            after(
                fresh(&[Plain]),
                vec![Event::Start, page(0, "a", Next::End), ready(0, 1)],
            ),
            Event::WriteFailed {
                sink: 0,
                unit,
                fault: fault(),
                progressed: false,
            },
        ),
        (
            publishing(),
            Event::PublishFailed {
                sink: 0,
                unit,
                fault: fault(),
            },
        ),
        (
            after(publishing(), vec![published(0, 1)]),
            Event::AcknowledgeFailed { fault: fault() },
        ),
        (
            after(publishing(), vec![published(0, 1)]),
            Event::StoreFailed { fault: fault() },
        ),
    ];
    for (mut split, event) in events {
        check(
            &mut split,
            &[(event, &["stop: unauthorized: no"]), (Event::Drain, &[])],
        );
    }
}

#[test]
fn a_spent_budget_stops_the_split_and_a_commit_renews_it() {
    let at = Duration::from_secs;
    let failed = |split: &mut Split, now: u64| {
        let actions = split.on(
            at(now),
            Event::WriteFailed {
                sink: 0,
                unit: UnitNo(1),
                fault: transient(),
                progressed: false,
            },
        );
        split.on(
            at(now),
            Event::TimerFired {
                step: Step::Write(0),
            },
        );
        matches!(actions[..], [Action::Sleep { .. }])
    };
    let writing = || {
        after(
            fresh(&[Plain]),
            vec![Event::Start, page(0, "a", Next::More), ready(0, 10)],
        )
    };
    let mut split = writing();
    assert!(failed(&mut split, 10) && failed(&mut split, 69));
    assert_eq!(split.retries()[0].attempts, 2);
    assert!(!failed(&mut split, 70));
    // Reading fails all the while; what is committed meanwhile renews its budget.
    let mut split = writing();
    split.on(at(10), Event::ReadFailed { fault: transient() });
    split.on(at(60), Event::TimerFired { step: Step::Read });
    split.on(at(60), wrote(0, 1));
    split.on(at(60), Event::Stored);
    let actions = split.on(at(80), Event::ReadFailed { fault: transient() });
    assert!(
        matches!(actions[..], [Action::Sleep { attempt: 2, .. }, ..]),
        "its budget is whole, and its wait no shorter: {actions:?}"
    );
}

#[test]
fn an_answer_to_nothing_stops_the_split() {
    let started = || after(fresh(&[Plain, Transactional]), vec![Event::Start]);
    let writing = || after(started(), vec![page(0, "a", Next::More), ready(0, 10)]);
    let unit = UnitNo(1);
    let tally = |read, filtered, rejected, rows| Event::PageReady {
        page: PageNo(0),
        tally: Tally {
            read,
            filtered,
            rejected,
            rows,
            bytes: 0,
        },
    };
    let with_page = || after(started(), vec![page(0, "a", Next::More)]);
    let events: Vec<(Split, Event)> = vec![
        (fresh(&[Plain]), Event::Stored),
        (started(), Event::Start),
        (started(), page(1, "a", Next::More)),
        (with_page(), page(0, "a", Next::More)),
        (started(), ready(0, 1)),
        (with_page(), ready(1, 1)),
        (with_page(), tally(3, 2, 2, 0)),
        (with_page(), tally(3, 1, 1, 0)),
        (with_page(), tally(3, 2, 1, 1)),
        (with_page(), tally(3, 0, 0, 2)),
        (started(), wrote(0, 1)),
        (writing(), wrote(0, 2)),
        (writing(), wrote(2, 1)),
        (after(writing(), vec![wrote(0, 1)]), wrote(0, 1)),
        (
            writing(),
            Event::Wrote {
                sink: 0,
                unit,
                rejected: 11,
            },
        ),
        (writing(), Event::Stored),
        (writing(), published(1, 1)),
        (
            after(writing(), vec![wrote(0, 1), wrote(1, 1), Event::Stored]),
            published(0, 1),
        ),
        (writing(), reopened(1, None)),
        (started(), reopened(1, None)),
        (started(), Event::Acknowledged),
        (started(), Event::AcknowledgeFailed { fault: transient() }),
        (
            started(),
            Event::WriteFailed {
                sink: 0,
                unit,
                fault: transient(),
                progressed: false,
            },
        ),
        (
            started(),
            Event::PublishFailed {
                sink: 1,
                unit,
                fault: transient(),
            },
        ),
        (
            started(),
            Event::TransformFailed {
                page: PageNo(0),
                fault: transient(),
            },
        ),
        (
            after(started(), vec![Event::ReadFailed { fault: transient() }]),
            Event::ReadFailed { fault: transient() },
        ),
    ];
    for (mut split, event) in events {
        let actions = split.on(Duration::ZERO, event.clone());
        assert!(
            matches!(&actions[..], [Action::Stop(fault)] if fault.kind == FaultKind::Host),
            "{event:?}: {actions:?}"
        );
        assert_eq!(split.on(Duration::ZERO, Event::Drain), []);
    }
}
