//! The worker is killed before every call that changes a disk: while a store is made, while it is worked on, while it is
//! opened, and while it is opened after such a kill. Whatever was acknowledged is there, whole.

use sluice_crash::chance::Chance;
use sluice_crash::scratch::Scratch;
use sluice_crash::shards::{Trial, over, scaled};
use sluice_crash::store::Store;
use sluice_crash::strace::{Act, counts, last_file};
use sluice_crash_checker::Tally;

const WORKER: &str = env!("CARGO_BIN_EXE_sluice-crash-worker");
/// Kills of a run of CI.
const POINTS: u64 = 1_000;
/// Steps of each writer in a run that is to be killed.
const STEPS: u64 = 6;
/// A store begins anew after so many cases.
const CASES_A_STORE: u64 = 12;
/// How far into a run a kill falls that is to hit its opening.
const OPENING_CALLS: u64 = 12;
/// Where kills must have fallen: the store, its keys, its first moments, and the trail.
const PLACES: [&str; 6] = [
    "db",
    "keys.new",
    "format.new",
    "00000001.log",
    "checkpoints",
    "key.pub.new",
];

#[derive(Debug, Clone, Copy)]
struct Point {
    call: &'static str,
    when: u64,
    /// On a store that is made in this run.
    is_new: bool,
    /// Killed again while it is opened.
    again: Option<u64>,
}

/// Every call of a run that makes a store, and of one that goes on with it, as far as one thread gets.
fn grid(scratch: &Scratch) -> Vec<(&'static str, u64, bool)> {
    let mut store = Store::new(WORKER, &scratch.path("count"));
    let mut points = Vec::new();
    for is_new in [true, false] {
        let ended = store.commit(STEPS, &Act::Count);
        assert!(ended.is_done(), "{ended:?}");
        let all = counts(&store.calls());
        assert!(all.len() >= 6, "few calls were seen: {all:?}");
        points.extend(
            all.into_iter()
                .flat_map(|(call, count)| (1..=count).map(move |when| (call, when, is_new))),
        );
    }
    points
}

fn cases(grid: &[(&'static str, u64, bool)], wanted: u64, chance: &mut Chance) -> Vec<Point> {
    // A third of them are killed twice; some points lie behind the end of a run that takes another course.
    let count = wanted - wanted / 6;
    let offset = chance.below(grid.len() as u64);
    let point = |at: u64| {
        let spread = (offset + at * grid.len() as u64 / count.min(grid.len() as u64)) as usize;
        let (call, when, is_new) = grid[spread % grid.len()];
        let again = at.is_multiple_of(3).then(|| 1 + at / 3 % OPENING_CALLS);
        Point {
            call,
            when,
            is_new,
            again,
        }
    };
    (0..count).map(point).collect()
}

fn killed(store: &mut Store, call: &'static str, when: u64, tally: &mut Tally) -> bool {
    let ended = store.commit(STEPS, &Act::Kill(call, when));
    if ended.was_killed() {
        tally.count("kills");
        tally.count(format!("at {call}"));
        if let Some(file) = last_file(&store.calls()).filter(|file| PLACES.contains(&file.as_str()))
        {
            tally.count(format!("in {file}"));
        }
    } else {
        tally.count("runs to their end");
    }
    for wrong in ended.check() {
        tally.violation(format!("killed at {call} {when}"), wrong);
    }
    if let Some(why) = ended
        .out
        .lines()
        .find_map(|line| line.strip_prefix("failed "))
    {
        tally.violation(format!("run to be killed at {call} {when}"), why);
    }
    ended.was_killed()
}

fn try_point(
    scratch: &Scratch,
    (store, used): &mut (Store, u64),
    point: &Point,
    tally: &mut Tally,
) {
    *used += 1;
    if point.is_new || *used >= CASES_A_STORE {
        store.renew();
        *used = 0;
    }
    if !point.is_new && store.told.acks() == 0 {
        let running = store.start(STEPS);
        let _ = store.ended(running);
    }
    let _ = killed(store, point.call, point.when, tally);
    if let Some(when) = point.again {
        // What recovery does is mostly writing its log, and syncing it.
        let call = ["pwrite64", "fsync", "write"][(when % 3) as usize];
        if killed(store, call, when.div_ceil(3), tally) {
            tally.count("of recovery");
        }
    }
    let wrong = store.judge();
    if !wrong.is_empty() {
        let place = format!("{point:?}, {}", scratch.keep(&store.folder));
        tally.violation(place, wrong.join("; "));
        store.renew();
        *used = 0;
    }
    tally.add("acknowledged steps looked for", store.told.acks());
}

fn points(name: &'static str, wanted: u64, least: &[(&str, u64)]) {
    let (trial, scratch) = (Trial::begin(name), Scratch::new("kills"));
    let grid = grid(&scratch);
    let cases = cases(&grid, wanted, &mut Chance::new(trial.seed));
    let make = |thread: usize| (Store::new(WORKER, &scratch.path(&thread.to_string())), 0);
    let mut tally = over(&cases, make, |place, point, tally| {
        try_point(&scratch, place, point, tally);
    });
    tally.add("different points", grid.len() as u64);
    trial.end(&tally, least);
}

#[test]
fn a_kill_before_any_call_loses_nothing_acknowledged() {
    let wanted = scaled(POINTS);
    let places = PLACES.map(|file| format!("in {file}"));
    let mut least = vec![
        ("kills", wanted),
        ("of recovery", wanted / 10),
        ("acknowledged steps looked for", wanted),
    ];
    least.extend(places.iter().map(|place| (place.as_str(), 1)));
    points("kill points", wanted, &least);
}

/// Few, and enough for a flush that is left out: for the mutation check.
#[test]
fn a_few_kills_lose_nothing_acknowledged() {
    const FEW: u64 = 40;
    points("a few kill points", FEW, &[("kills", FEW / 2)]);
}
