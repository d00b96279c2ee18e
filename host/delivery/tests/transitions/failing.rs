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
