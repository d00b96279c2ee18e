//! Each transition of the machine, as tables: what it is told, and what it then asks for.

use sluice_delivery::{
    Action, Counters, Event, Next, PageNo, RetrySettings, Settings, SinkMode, Split, Step, Tally,
    UnitNo,
};
use sluice_model::checkpoint::{Checkpoint, Cursor, Mark};
use sluice_model::fault::{Fault, FaultKind};
use std::time::Duration;

use SinkMode::{Plain, Transactional};

/// Units of ten rows, four pages in flight.
fn settings(sinks: &[SinkMode]) -> Settings {
    Settings {
        sinks: sinks.to_vec(),
        unit_bytes: 1_000,
        unit_rows: 10,
        linger: Duration::from_secs(5),
        in_flight_bytes_max: 2_000,
        in_flight_pages_max: 4,
        page_bytes: 100,
        retry: RetrySettings {
            budget: Duration::from_mins(1),
            base_delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(5),
        },
    }
}

fn fresh(sinks: &[SinkMode]) -> Split {
    Split::new(
        settings(sinks),
        Checkpoint {
            epoch: 1,
            ..Checkpoint::default()
        },
    )
}

fn cursor(text: &str) -> Cursor {
    Cursor::from(text.as_bytes())
}

fn text(cursor: Option<&Cursor>) -> String {
    cursor.map_or("beginning".to_owned(), |cursor| {
        String::from_utf8_lossy(cursor.as_bytes()).into_owned()
    })
}

fn page(page: u64, cursor_after: &str, next: Next) -> Event {
    Event::PageRead {
        page: PageNo(page),
        bytes: 100,
        cursor: cursor(cursor_after),
        next,
    }
}

fn ready(page: u64, rows: u64) -> Event {
    Event::PageReady {
        page: PageNo(page),
        tally: Tally {
            read: rows,
            rows,
            bytes: 100,
            ..Tally::default()
        },
    }
}

fn wrote(sink: usize, unit: u64) -> Event {
    Event::Wrote {
        sink,
        unit: UnitNo(unit),
        rejected: 0,
    }
}

fn published(sink: usize, unit: u64) -> Event {
    Event::Published {
        sink,
        unit: UnitNo(unit),
    }
}

fn reopened(sink: usize, committed: Option<(u64, u64)>) -> Event {
    Event::SinkReopened {
        sink,
        committed: committed.map(|(epoch, sequence)| Mark { epoch, sequence }),
    }
}

fn transient() -> Fault {
    Fault::new(
        FaultKind::Transient { retry_after: None },
        "connection reset",
    )
}

fn shown(action: &Action) -> String {
    let mark = |mark: Option<Mark>| mark.map_or("-".to_owned(), |mark| mark.to_string());
    match action {
        Action::OpenReader { cursor } => format!("open reader at {}", text(cursor.as_ref())),
        Action::Read { page } => format!("read {page}"),
        Action::Transform { page } => format!("transform {page}"),
        Action::StartLinger { unit, after } => format!("linger {unit} {after:?}"),
        Action::Write {
            sink,
            unit,
            pages,
            commit,
        } => {
            format!(
                "write {unit} to {sink}: {}..{} as {}@{}",
                pages.start,
                pages.end,
                commit.mark,
                text(Some(&commit.cursor))
            )
        }
        Action::Store {
            unit,
            pages,
            checkpoint,
        } => {
            let of = unit.map_or(String::new(), |unit| {
                format!(" for {unit}: {}..{}", pages.start, pages.end)
            });
            let place = text(checkpoint.place.as_ref());
            let ended = if checkpoint.ended { " ended" } else { "" };
            let intent = checkpoint.intent.as_ref();
            let intent = intent.map_or(String::new(), |intent| {
                format!(" intends {}@{}", intent.mark, text(Some(&intent.place)))
            });
            format!("store {}@{place}{ended}{intent}{of}", mark(checkpoint.mark))
        }
        Action::Publish { sink, unit, commit } => {
            format!("publish {unit} at {sink} as {}", commit.mark)
        }
        Action::ReopenSink { sink, unit } => format!("reopen {sink} for {unit}"),
        Action::Release { pages } => format!("release {}..{}", pages.start, pages.end),
        Action::Acknowledge { cursor } => format!("acknowledge {}", text(Some(cursor))),
        Action::Sleep {
            step,
            attempt,
            at_least,
            ceiling,
        } => {
            format!("sleep for {step}, {attempt}: {at_least:?} to {ceiling:?}")
        }
        Action::Finish { ended } => format!("finish, ended {ended}"),
        Action::Stop(fault) => format!("stop: {fault}"),
    }
}

/// Tells the split each event and compares what it asks for, and that its counts add up.
fn check(split: &mut Split, table: &[(Event, &[&str])]) {
    for (at, (event, expected)) in table.iter().enumerate() {
        let actions: Vec<String> = split
            .on(Duration::ZERO, event.clone())
            .iter()
            .map(shown)
            .collect();
        assert_eq!(actions, *expected, "row {at}: {event:?}");
        let Counters {
            read,
            written,
            filtered,
            dead_lettered,
            in_flight,
        } = split.counters();
        assert_eq!(
            read,
            written + filtered + dead_lettered + in_flight,
            "row {at}: {event:?}"
        );
    }
}

/// Tells it these events, whatever it asks for.
fn after(mut split: Split, events: Vec<Event>) -> Split {
    for event in events {
        split.on(Duration::ZERO, event);
    }
    split
}

const FIRST: (Event, &[&str]) = (Event::Start, &["open reader at beginning", "read 0"]);

#[test]
fn a_plain_sink() {
    check(
        &mut fresh(&[Plain]),
        &[
            FIRST,
            (page(0, "a", Next::End), &["transform 0"]),
            (ready(0, 3), &["linger 1 5s", "write 1 to 0: 0..1 as 1.1@a"]),
            (wrote(0, 1), &["store 1.1@a ended for 1: 0..1"]),
            (Event::Stored, &["release 0..1", "acknowledge a"]),
            (Event::Acknowledged, &["finish, ended true"]),
            (Event::Drain, &[]),
        ],
    );
}

#[test]
fn a_transactional_sink() {
    check(
        &mut fresh(&[Transactional]),
        &[
            FIRST,
            (page(0, "a", Next::More), &["read 1", "transform 0"]),
            (
                ready(0, 10),
                &["linger 1 5s", "write 1 to 0: 0..1 as 1.1@a"],
            ),
            (page(1, "b", Next::End), &["transform 1"]),
            (ready(1, 10), &["linger 2 5s"]),
            (
                wrote(0, 1),
                &["store -@beginning intends 1.1@a for 1: 0..1"],
            ),
            (Event::Stored, &["publish 1 at 0 as 1.1"]),
            (
                published(0, 1),
                &[
                    "release 0..1",
                    "acknowledge a",
                    "write 2 to 0: 1..2 as 1.2@b",
                ],
            ),
            (Event::Acknowledged, &[]),
            (wrote(0, 2), &["store 1.1@a intends 1.2@b for 2: 1..2"]),
            (Event::Stored, &["publish 2 at 0 as 1.2"]),
            (
                published(0, 2),
                &["release 1..2", "acknowledge b", "store 1.2@b ended"],
            ),
            (Event::Acknowledged, &[]),
            (Event::Stored, &["finish, ended true"]),
        ],
    );
}

#[test]
fn an_idle_split_promotes_what_it_published() {
    let mut split = fresh(&[Transactional]);
    check(
        &mut split,
        &[
            FIRST,
            (
                page(0, "a", Next::Wait(Duration::from_secs(9))),
                &["sleep for reading, 0: 9s to 0ns", "transform 0"],
            ),
            (
                ready(0, 10),
                &["linger 1 5s", "write 1 to 0: 0..1 as 1.1@a"],
            ),
            (
                wrote(0, 1),
                &["store -@beginning intends 1.1@a for 1: 0..1"],
            ),
            (Event::Stored, &["publish 1 at 0 as 1.1"]),
            (
                published(0, 1),
                &["release 0..1", "acknowledge a", "store 1.1@a"],
            ),
            (Event::Stored, &[]),
            (Event::Acknowledged, &[]),
            (Event::TimerFired { step: Step::Read }, &["read 1"]),
        ],
    );
    assert_eq!(split.checkpoint().intent, None);
}

#[test]
fn all_sinks_have_written_before_anything_is_stored() {
    let split = || {
        let mut split = fresh(&[Plain, Plain]);
        check(
            &mut split,
            &[
                FIRST,
                (page(0, "a", Next::End), &["transform 0"]),
                (
                    ready(0, 3),
                    &[
                        "linger 1 5s",
                        "write 1 to 0: 0..1 as 1.1@a",
                        "write 1 to 1: 0..1 as 1.1@a",
                    ],
                ),
            ],
        );
        split
    };
    check(
        &mut split(),
        &[
            (wrote(1, 1), &[]),
            (wrote(0, 1), &["store 1.1@a ended for 1: 0..1"]),
        ],
    );
    check(
        &mut split(),
        &[
            (wrote(0, 1), &[]),
            (wrote(1, 1), &["store 1.1@a ended for 1: 0..1"]),
        ],
    );
}

#[test]
fn the_next_unit_is_written_while_one_is_stored() {
    check(
        &mut fresh(&[Plain]),
        &[
            FIRST,
            (page(0, "a", Next::More), &["read 1", "transform 0"]),
            (
                ready(0, 10),
                &["linger 1 5s", "write 1 to 0: 0..1 as 1.1@a"],
            ),
            (page(1, "b", Next::More), &["read 2", "transform 1"]),
            (ready(1, 10), &["linger 2 5s"]),
            (page(2, "c", Next::End), &["transform 2"]),
            (ready(2, 10), &["linger 3 5s"]),
            (
                wrote(0, 1),
                &["store 1.1@a for 1: 0..1", "write 2 to 0: 1..2 as 1.2@b"],
            ),
            // In order: the second waits for the first, and the third for the second.
            (wrote(0, 2), &[]),
            (
                Event::Stored,
                &[
                    "release 0..1",
                    "acknowledge a",
                    "store 1.2@b for 2: 1..2",
                    "write 3 to 0: 2..3 as 1.3@c",
                ],
            ),
            (Event::Stored, &["release 1..2"]),
            // An acknowledgement that waited for the reader.
            (Event::Acknowledged, &["acknowledge b"]),
        ],
    );
}

#[test]
fn what_is_in_flight_is_bounded() {
    let mut split = fresh(&[Plain]);
    check(
        &mut split,
        &[
            FIRST,
            (page(0, "a", Next::More), &["read 1", "transform 0"]),
            (page(1, "b", Next::More), &["read 2"]),
            (page(2, "c", Next::More), &["read 3"]),
            (page(3, "d", Next::More), &[]),
            (ready(0, 1), &["linger 1 5s", "transform 1"]),
            (ready(1, 1), &["transform 2"]),
            (ready(2, 1), &["transform 3"]),
            // Not full, and its time not over; but nothing can be read until it is gone.
            (ready(3, 1), &["write 1 to 0: 0..4 as 1.1@d"]),
            (wrote(0, 1), &["store 1.1@d for 1: 0..4"]),
            (Event::Stored, &["release 0..4", "acknowledge d"]),
            (Event::Acknowledged, &["read 4"]),
        ],
    );
    let mut narrow = Split::new(
        Settings {
            in_flight_bytes_max: 250,
            ..settings(&[Plain])
        },
        Checkpoint {
            epoch: 1,
            ..Checkpoint::default()
        },
    );
    check(
        &mut narrow,
        &[
            FIRST,
            (page(0, "a", Next::More), &["read 1", "transform 0"]),
            (page(1, "b", Next::More), &[]),
        ],
    );
    assert_eq!(narrow.in_flight(), (2, 200));
}

#[test]
fn a_unit_closes_when_it_is_full_or_its_time_is_over() {
    let two_read = || {
        after(
            fresh(&[Plain]),
            vec![
                Event::Start,
                page(0, "a", Next::More),
                page(1, "b", Next::More),
            ],
        )
    };
    let linger = |unit| Event::LingerOver { unit: UnitNo(unit) };
    check(
        &mut two_read(),
        &[
            (ready(0, 9), &["linger 1 5s", "transform 1"]),
            (ready(1, 1), &["write 1 to 0: 0..2 as 1.1@b"]),
            (linger(1), &[]),
        ],
    );
    check(
        &mut two_read(),
        &[
            (ready(0, 9), &["linger 1 5s", "transform 1"]),
            (linger(1), &["write 1 to 0: 0..1 as 1.1@a"]),
            (ready(1, 1), &["linger 2 5s"]),
            (linger(1), &[]),
        ],
    );
    let heavy = Tally {
        read: 1,
        rows: 1,
        bytes: 1_000,
        ..Tally::default()
    };
    check(
        &mut two_read(),
        &[(
            Event::PageReady {
                page: PageNo(0),
                tally: heavy,
            },
            &["linger 1 5s", "transform 1", "write 1 to 0: 0..1 as 1.1@a"],
        )],
    );
    let hasty = Settings {
        linger: Duration::ZERO,
        ..settings(&[Plain])
    };
    let hasty = Split::new(
        hasty,
        Checkpoint {
            epoch: 1,
            ..Checkpoint::default()
        },
    );
    check(
        &mut after(hasty, vec![Event::Start, page(0, "a", Next::More)]),
        &[(ready(0, 1), &["write 1 to 0: 0..1 as 1.1@a"])],
    );
}

#[test]
fn pages_without_rows_move_the_place_alone() {
    for sinks in [&[Plain][..], &[Transactional], &[Plain, Transactional]] {
        check(
            &mut fresh(sinks),
            &[
                FIRST,
                (page(0, "a", Next::End), &["transform 0"]),
                (ready(0, 0), &["linger 1 5s", "store -@a ended for 1: 0..1"]),
                (Event::Stored, &["release 0..1", "acknowledge a"]),
                (Event::Acknowledged, &["finish, ended true"]),
            ],
        );
    }
}

#[test]
fn pages_that_say_nothing_cost_nothing() {
    let held = Checkpoint {
        epoch: 2,
        place: Some(cursor("a")),
        ended: true,
        ..Checkpoint::default()
    };
    check(
        &mut Split::new(settings(&[Plain]), held.clone()),
        &[
            (Event::Start, &["open reader at a", "acknowledge a"]),
            (Event::Acknowledged, &["read 0"]),
            (page(0, "a", Next::More), &["read 1", "transform 0"]),
            (ready(0, 0), &["release 0..1"]),
            (page(1, "a", Next::End), &["transform 1"]),
            (ready(1, 0), &["release 1..2", "finish, ended true"]),
        ],
    );
    // That it ended there is news.
    check(
        &mut Split::new(
            settings(&[Plain]),
            Checkpoint {
                ended: false,
                ..held
            },
        ),
        &[
            (Event::Start, &["open reader at a", "acknowledge a"]),
            (Event::Acknowledged, &["read 0"]),
            (page(0, "a", Next::End), &["transform 0"]),
            (ready(0, 0), &["linger 1 5s", "store -@a ended for 1: 0..1"]),
        ],
    );
}

#[test]
fn records_are_counted_once() {
    let mut split = fresh(&[Plain, Plain]);
    let tally = Tally {
        read: 10,
        filtered: 2,
        rejected: 3,
        rows: 7,
        bytes: 100,
    };
    let counted = |split: &Split| split.counters();
    split = after(
        split,
        vec![
            Event::Start,
            page(0, "a", Next::End),
            Event::PageReady {
                page: PageNo(0),
                tally,
            },
        ],
    );
    let in_flight = Counters {
        read: 10,
        in_flight: 10,
        ..Counters::default()
    };
    assert_eq!(counted(&split), in_flight);
    let wrote = |sink, rejected| Event::Wrote {
        sink,
        unit: UnitNo(1),
        rejected,
    };
    split = after(split, vec![wrote(0, 1), wrote(1, 2)]);
    assert_eq!(counted(&split), in_flight, "settled when it is stored");
    split = after(split, vec![Event::Stored]);
    assert_eq!(
        counted(&split),
        Counters {
            read: 10,
            written: 3,
            filtered: 2,
            dead_lettered: 5,
            in_flight: 0
        }
    );
    assert_eq!(split.checkpoint().totals.dead_lettered, 5);
}

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
        matches!(actions[..], [Action::Sleep { attempt: 1, .. }, ..]),
        "{actions:?}"
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
