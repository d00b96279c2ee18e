//! Whatever a driver tells the machine, and in whatever order: it goes on or stops, and never panics; its counts add up;
//! and after it has stopped or finished it asks for nothing.

use proptest::prelude::*;
use sluice_delivery::{
    Action, Event, Next, PageNo, RetrySettings, Settings, SinkMode, Split, Step, Tally, UnitNo,
};
use sluice_model::checkpoint::{Checkpoint, Cursor, Mark};
use sluice_model::fault::{Fault, FaultKind};
use std::time::Duration;

const LONGEST: Duration = Duration::MAX;

fn settings(sinks: Vec<SinkMode>) -> Settings {
    Settings {
        sinks,
        unit_bytes: 100,
        unit_rows: 5,
        linger: Duration::from_secs(1),
        in_flight_bytes_max: 300,
        in_flight_pages_max: 3,
        page_bytes: 50,
        retry: RetrySettings {
            budget: Duration::from_mins(1),
            base_delay: Duration::from_secs(1),
            max_delay: Duration::from_secs(9),
        },
    }
}

fn fault() -> impl Strategy<Value = Fault> {
    let kind = prop_oneof![
        8 => Just(FaultKind::Transient { retry_after: None }),
        1 => Just(FaultKind::Transient { retry_after: Some(LONGEST) }),
        1 => Just(FaultKind::Trapped),
    ];
    kind.prop_map(|kind| Fault::new(kind, "no"))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Read),
        Just(Step::Acknowledge),
        Just(Step::Transform),
        (0_usize..3).prop_map(Step::Write),
        (0_usize..3).prop_map(Step::Publish),
    ]
}

/// Anything: most of it answers nothing.
fn stray() -> impl Strategy<Value = Event> {
    let (sink, unit, page) = (0_usize..3, 0_u64..4, 0_u64..4);
    let at = (sink, unit.clone());
    prop_oneof![
        Just(Event::Start),
        Just(Event::Drain),
        Just(Event::Stored),
        Just(Event::Acknowledged),
        fault().prop_map(|fault| Event::ReadFailed { fault }),
        fault().prop_map(|fault| Event::StoreFailed { fault }),
        fault().prop_map(|fault| Event::AcknowledgeFailed { fault }),
        step().prop_map(|step| Event::TimerFired { step }),
        unit.prop_map(|unit| Event::LingerOver { unit: UnitNo(unit) }),
        (page, 0_u64..9, 0_u64..9).prop_map(|(page, read, rows)| Event::PageReady {
            page: PageNo(page),
            tally: Tally {
                read,
                rows,
                bytes: read,
                ..Tally::default()
            },
        }),
        (at.clone(), 0_u64..9).prop_map(|((sink, unit), rejected)| Event::Wrote {
            sink,
            unit: UnitNo(unit),
            rejected,
        }),
        (at.clone(), fault()).prop_map(|((sink, unit), fault)| Event::PublishFailed {
            sink,
            unit: UnitNo(unit),
            fault,
        }),
        (at, any::<Option<u8>>()).prop_map(|((sink, _), committed)| Event::SinkReopened {
            sink,
            committed: committed.map(|epoch| Mark {
                epoch: u64::from(epoch % 3),
                sequence: 1
            }),
        }),
    ]
}

/// What a driver may answer to an action, by three draws.
fn answer(action: &Action, fails: bool, draw: u8, fault: Fault) -> Option<Event> {
    let rows = u64::from(draw % 8);
    let event = match (action.clone(), fails) {
        (Action::Read { .. }, true) => Event::ReadFailed { fault },
        (Action::Read { page }, false) => Event::PageRead {
            page,
            bytes: rows * 10,
            cursor: Cursor::from(vec![draw / 2]),
            next: match draw % 5 {
                0 => Next::End,
                1 => Next::Wait(LONGEST),
                _ => Next::More,
            },
        },
        (Action::Transform { page }, true) => Event::TransformFailed { page, fault },
        (Action::Transform { page }, false) => Event::PageReady {
            page,
            tally: Tally {
                read: rows,
                rows,
                bytes: rows * 30,
                ..Tally::default()
            },
        },
        (Action::Write { sink, unit, .. }, true) => Event::WriteFailed {
            sink,
            unit,
            fault,
            progressed: draw.is_multiple_of(3),
        },
        (Action::Write { sink, unit, .. }, false) => Event::Wrote {
            sink,
            unit,
            rejected: 0,
        },
        (Action::Store { .. }, _) => Event::Stored,
        (Action::Publish { sink, unit, .. } | Action::ReopenSink { sink, unit }, true) => {
            Event::PublishFailed { sink, unit, fault }
        }
        (Action::Publish { sink, unit, .. }, false) => Event::Published { sink, unit },
        (Action::ReopenSink { sink, unit }, false) => Event::SinkReopened {
            sink,
            committed: draw.is_multiple_of(2).then_some(Mark {
                epoch: 1,
                sequence: unit.0,
            }),
        },
        (Action::Acknowledge { .. }, true) => Event::AcknowledgeFailed { fault },
        (Action::Acknowledge { .. }, false) => Event::Acknowledged,
        (Action::StartLinger { unit, .. }, _) => Event::LingerOver { unit },
        (Action::Sleep { step, .. }, _) => Event::TimerFired { step },
        (
            Action::OpenReader { .. }
            | Action::Release { .. }
            | Action::Finish { .. }
            | Action::Stop(_),
            _,
        ) => {
            return None;
        }
    };
    Some(event)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn nothing_a_driver_says_is_a_panic(
        modes in prop::collection::vec(any::<bool>(), 1..3),
        draws in prop::collection::vec(
            (any::<prop::sample::Index>(), any::<u8>(), 0_u8..20, stray(), fault(), any::<u32>()),
            1..120,
        ),
    ) {
        let mode = |plain: &bool| if *plain { SinkMode::Plain } else { SinkMode::Transactional };
        let checkpoint = Checkpoint { epoch: 1, ..Checkpoint::default() };
        let mut split = Split::new(settings(modes.iter().map(mode).collect()), checkpoint);
        let mut pending = split.on(Duration::ZERO, Event::Start);
        let mut is_over = false;
        for (at, draw, luck, stray, fault, now) in draws {
            let answered = (!pending.is_empty()).then(|| pending.remove(at.index(pending.len())));
            let answered = answered.and_then(|action| answer(&action, luck < 5, draw, fault));
            let event = if luck == 19 { Some(stray) } else { answered };
            let Some(event) = event else { continue };
            // A clock that jumps about: the machine takes it for one that stands still.
            let actions = split.on(Duration::from_secs(u64::from(now)), event);
            prop_assert!(!is_over || actions.is_empty());
            is_over |= actions.iter().any(|it| matches!(it, Action::Finish { .. } | Action::Stop(_)));
            let counters = split.counters();
            let settled = counters.written + counters.filtered + counters.dead_lettered;
            prop_assert_eq!(counters.read, settled + counters.in_flight);
            pending.extend(actions);
        }
    }
}
