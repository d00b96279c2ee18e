//! While nothing fails: pages, units, sinks, the store and the source, in order and within their bounds.

use crate::*;

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
fn what_transforms_make_of_pages_is_bounded() {
    let grown = |page| Event::PageReady {
        page: PageNo(page),
        tally: Tally {
            read: 1,
            rows: 1,
            bytes: 2_000,
            ..Tally::default()
        },
    };
    check(
        &mut fresh(&[Plain]),
        &[
            FIRST,
            (page(0, "a", Next::More), &["read 1", "transform 0"]),
            (page(1, "b", Next::More), &["read 2"]),
            // The next one may become as large, and stays as it was read until this one is gone.
            (grown(0), &["linger 1 5s", "write 1 to 0: 0..1 as 1.1@a"]),
            (page(2, "c", Next::More), &[]),
            (wrote(0, 1), &["store 1.1@a for 1: 0..1"]),
            (
                Event::Stored,
                &["release 0..1", "acknowledge a", "transform 1"],
            ),
        ],
    );
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
