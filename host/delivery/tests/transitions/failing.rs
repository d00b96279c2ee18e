//! Where something fails: retries, drains, sinks that are opened anew, faults that end the run, and a driver that breaks
//! the protocol.

use crate::*;

#[test]
fn a_failed_read_is_tried_again_from_the_last_page() {
    check(
        &mut fresh(&[Plain]),
        &[
            FIRST,
            (page(0, "a", Next::More), &["read 1", "transform 0"]),
            (
                Event::ReadFailed { fault: transient() },
                &["sleep for reading, 1: 0ns to 100ms"],
            ),
            (
                ready(0, 10),
                &["linger 1 5s", "write 1 to 0: 0..1 as 1.1@a"],
            ),
            (
                Event::TimerFired { step: Step::Read },
                &["open reader at a", "read 1"],
            ),
            (
                Event::ReadFailed { fault: transient() },
                &["sleep for reading, 2: 0ns to 200ms"],
            ),
            (
                Event::TimerFired { step: Step::Read },
                &["open reader at a", "read 1"],
            ),
            (page(1, "b", Next::More), &["read 2", "transform 1"]),
            (
                Event::ReadFailed { fault: transient() },
                &["sleep for reading, 1: 0ns to 100ms"],
            ),
        ],
    );
}

#[test]
fn transforms_writes_and_acknowledgements_are_tried_again() {
    let asked = Fault::new(
        FaultKind::Transient {
            retry_after: Some(Duration::from_secs(7)),
        },
        "busy",
    );
    let write = |sink| Event::WriteFailed {
        sink,
        unit: UnitNo(1),
        fault: transient(),
        progressed: false,
    };
    check(
        &mut fresh(&[Plain, Plain]),
        &[
            FIRST,
            (page(0, "a", Next::More), &["read 1", "transform 0"]),
            (
                Event::TransformFailed {
                    page: PageNo(0),
                    fault: asked,
                },
                &["sleep for transforming, 1: 7s to 100ms"],
            ),
            (
                Event::TimerFired {
                    step: Step::Transform,
                },
                &["transform 0"],
            ),
            (
                ready(0, 10),
                &[
                    "linger 1 5s",
                    "write 1 to 0: 0..1 as 1.1@a",
                    "write 1 to 1: 0..1 as 1.1@a",
                ],
            ),
            (write(1), &["sleep for writing to sink 2, 1: 0ns to 100ms"]),
            (wrote(0, 1), &[]),
            (
                Event::TimerFired {
                    step: Step::Write(0),
                },
                &[],
            ),
            (
                Event::TimerFired {
                    step: Step::Write(1),
                },
                &["write 1 to 1: 0..1 as 1.1@a"],
            ),
            (wrote(1, 1), &["store 1.1@a for 1: 0..1"]),
            // The reader is busy: the acknowledgement comes between reads.
            (Event::Stored, &["release 0..1"]),
            (page(1, "b", Next::More), &["acknowledge a", "transform 1"]),
            (
                Event::AcknowledgeFailed { fault: transient() },
                &[
                    "sleep for acknowledging to the source, 1: 0ns to 100ms",
                    "open reader at b",
                    "read 2",
                ],
            ),
            (
                Event::TimerFired {
                    step: Step::Acknowledge,
                },
                &[],
            ),
            (page(2, "c", Next::More), &["acknowledge a"]),
            (Event::Acknowledged, &["read 3"]),
        ],
    );
}

/// A transactional sink whose first unit is being published.
fn publishing() -> Split {
    let events = vec![
        Event::Start,
        page(0, "a", Next::End),
        ready(0, 10),
        wrote(0, 1),
        Event::Stored,
    ];
    after(fresh(&[Transactional]), events)
}

#[test]
fn after_a_failed_publish_the_sink_is_asked() {
    let failed = Event::PublishFailed {
        sink: 0,
        unit: UnitNo(1),
        fault: transient(),
    };
    let sleep = "sleep for publishing at sink 1, 1: 0ns to 100ms";
    let again = Event::TimerFired {
        step: Step::Publish(0),
    };
    check(
        &mut publishing(),
        &[
            (failed.clone(), &[sleep]),
            (again.clone(), &["reopen 0 for 1"]),
            (
                reopened(0, Some((1, 1))),
                &["release 0..1", "acknowledge a", "store 1.1@a ended"],
            ),
        ],
    );
    check(
        &mut publishing(),
        &[
            (failed.clone(), &[sleep]),
            (again.clone(), &["reopen 0 for 1"]),
            (
                failed.clone(),
                &["sleep for publishing at sink 1, 2: 0ns to 200ms"],
            ),
            (again.clone(), &["reopen 0 for 1"]),
            // Forgotten: written again, and what it refuses now is stored again.
            (reopened(0, None), &["write 1 to 0: 0..1 as 1.1@a"]),
            (
                wrote(0, 1),
                &["store -@beginning intends 1.1@a for 1: 0..1"],
            ),
            (Event::Stored, &["publish 1 at 0 as 1.1"]),
            (
                published(0, 1),
                &["release 0..1", "acknowledge a", "store 1.1@a ended"],
            ),
        ],
    );
    let mut split = after(publishing(), vec![failed, again]);
    let actions = split.on(Duration::ZERO, reopened(0, Some((7, 1))));
    assert!(
        matches!(&actions[..], [Action::Stop(fault)] if fault.kind == FaultKind::CursorLost),
        "{actions:?}"
    );
}

#[test]
fn a_drained_split_delivers_what_it_has() {
    // Between reads: nothing more is asked for.
    check(
        &mut after(
            fresh(&[Plain]),
            vec![
                Event::Start,
                page(0, "a", Next::Wait(Duration::from_mins(1))),
                ready(0, 1),
            ],
        ),
        &[
            (Event::Drain, &["write 1 to 0: 0..1 as 1.1@a"]),
            (Event::TimerFired { step: Step::Read }, &[]),
            (wrote(0, 1), &["store 1.1@a for 1: 0..1"]),
            (Event::Stored, &["release 0..1", "acknowledge a"]),
            (Event::Acknowledged, &["finish, ended false"]),
        ],
    );
    // In a read: its page comes along, and its failure is not met with another.
    check(
        &mut fresh(&[Transactional]),
        &[
            FIRST,
            (Event::Drain, &[]),
            (page(0, "a", Next::More), &["transform 0"]),
            (ready(0, 1), &["linger 1 5s", "write 1 to 0: 0..1 as 1.1@a"]),
            (
                wrote(0, 1),
                &["store -@beginning intends 1.1@a for 1: 0..1"],
            ),
            (Event::Stored, &["publish 1 at 0 as 1.1"]),
            (
                published(0, 1),
                &["release 0..1", "acknowledge a", "store 1.1@a"],
            ),
            (Event::Acknowledged, &[]),
            (Event::Stored, &["finish, ended false"]),
        ],
    );
    check(
        &mut fresh(&[Plain]),
        &[
            FIRST,
            (Event::Drain, &[]),
            (
                Event::ReadFailed { fault: transient() },
                &["finish, ended false"],
            ),
        ],
    );
    check(
        &mut fresh(&[Plain]),
        &[
            FIRST,
            (Event::Drain, &[]),
            (page(0, "a", Next::More), &["transform 0"]),
        ],
    );
}

/// What is in the middle of a retry is finished; what would only read on is given up, and not shown as failing.
#[test]
fn a_drain_in_the_middle_of_retries() {
    let failed = Event::WriteFailed {
        sink: 1,
        unit: UnitNo(1),
        fault: transient(),
        progressed: false,
    };
    let mut split = after(
        fresh(&[Plain, Plain]),
        vec![Event::Start, page(0, "a", Next::More), ready(0, 10)],
    );
    check(
        &mut split,
        &[
            (failed, &["sleep for writing to sink 2, 1: 0ns to 100ms"]),
            (
                Event::ReadFailed { fault: transient() },
                &["sleep for reading, 1: 0ns to 100ms"],
            ),
            (Event::Drain, &[]),
        ],
    );
    let failing: Vec<Step> = split.retries().iter().map(|retry| retry.step).collect();
    assert_eq!(failing, [Step::Write(1)]);
    check(
        &mut split,
        &[
            (Event::TimerFired { step: Step::Read }, &[]),
            (wrote(0, 1), &[]),
            (
                Event::TimerFired {
                    step: Step::Write(1),
                },
                &["write 1 to 1: 0..1 as 1.1@a"],
            ),
            (wrote(1, 1), &["store 1.1@a for 1: 0..1"]),
            (
                Event::Stored,
                &["release 0..1", "open reader at a", "acknowledge a"],
            ),
            (Event::Acknowledged, &["finish, ended false"]),
        ],
    );
}

/// The place was moved back: what the sink holds of before is older than the run, and the unit is written again.
#[test]
fn a_commit_of_before_a_move_is_no_stranger() {
    let moved = Checkpoint {
        epoch: 9,
        sequence: 4,
        mark: Some(Mark {
            epoch: 7,
            sequence: 4,
        }),
        moved: 8,
        ..Checkpoint::default()
    };
    for committed in [None, Some((6, 3)), Some((7, 4)), Some((8, 2))] {
        let mut split = after(
            Split::new(settings(&[Transactional]), moved.clone()),
            vec![
                Event::Start,
                page(0, "a", Next::End),
                ready(0, 10),
                wrote(0, 5),
                Event::Stored,
                Event::PublishFailed {
                    sink: 0,
                    unit: UnitNo(5),
                    fault: transient(),
                },
                Event::TimerFired {
                    step: Step::Publish(0),
                },
            ],
        );
        check(
            &mut split,
            &[(reopened(0, committed), &["write 5 to 0: 0..1 as 9.5@a"])],
        );
    }
}

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
