//! Each transition of the machine, as tables: what it is told, and what it then asks for.

mod delivering;
mod failing;
mod stopping;

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
