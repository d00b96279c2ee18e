//! The worker's calls are recorded, and from them is made what a disk may hold after a power cut at any moment. From each
//! such image the store opens, twice, and whatever was acknowledged by then is there, whole.

use sluice_crash::chance::Chance;
use sluice_crash::disk::Disk;
use sluice_crash::scratch::{Scratch, remove};
use sluice_crash::shards::{Trial, over, scaled};
use sluice_crash::store::Store;
use sluice_crash::strace::Act;
use sluice_crash::trace::{Event, read};
use sluice_crash_checker::Tally;
use sluice_crash_checker::store::Told;
use std::path::Path;

const WORKER: &str = env!("CARGO_BIN_EXE_sluice-crash-worker");
/// Images of a run of CI.
const IMAGES: u64 = 1_000;
/// Steps of each writer in a recorded run.
const STEPS: u64 = 40;
/// Runs that are recorded, one after the other on one store: what is made, and what is opened again.
const RUNS: u64 = 3;
/// Files that the record must name.
const FILES: [&str; 6] = [
    "/db",
    "/conf",
    "/keys.new",
    "/format.new",
    "/00000001.log",
    "/checkpoints",
];

/// All that a store's disk went through, and where its folder was.
fn recorded(scratch: &Scratch, runs: u64) -> (Vec<Event>, String) {
    let mut store = Store::new(WORKER, &scratch.path("recorded"));
    let mut log = String::new();
    for _ in 0..runs {
        let ended = store.commit(STEPS, &Act::Record);
        assert!(ended.is_done(), "{ended:?}");
        log.push_str(&store.calls());
    }
    let root = store.folder.display().to_string();
    let events = read(&log, |name| !name.starts_with(&root));
    for file in FILES {
        let is_named =
            |event: &Event| matches!(event, Event::Write(name, ..) if name.ends_with(file));
        assert!(events.iter().any(is_named), "`{file}` is not in the record");
    }
    let syncs = events
        .iter()
        .filter(|event| matches!(event, Event::SyncEnds(..)))
        .count() as u64;
    assert!(
        syncs > runs * STEPS,
        "{syncs} syncs in {runs} runs: this shows nothing"
    );
    (events, root)
}

/// Moments to cut the power at: most right after something was acknowledged, which is when it hurts.
fn moments(events: &[Event], wanted: u64, chance: &mut Chance) -> Vec<usize> {
    let said = |(at, event): (usize, &Event)| match event {
        Event::Said(text) if text.starts_with(b"ack") || text.starts_with(b"audited") => {
            Some(at + 1)
        }
        _ => None,
    };
    let said: Vec<usize> = events.iter().enumerate().filter_map(said).collect();
    let mut moments: Vec<usize> = (0..wanted)
        .map(|_| {
            if chance.percent(75) {
                *chance.of(&said)
            } else {
                chance.below(events.len() as u64) as usize
            }
        })
        .collect();
    moments.sort_unstable();
    moments
}

struct Cutter {
    disk: Disk,
    /// Events that the disk went through.
    at: usize,
    chance: Chance,
    store: Store,
}

fn cut(cutter: &mut Cutter, events: &[Event], moment: usize, scratch: &Scratch, tally: &mut Tally) {
    for event in &events[cutter.at..moment] {
        cutter.disk.take(event);
    }
    cutter.at = moment;
    let store = &mut cutter.store;
    remove(&store.folder);
    std::fs::create_dir_all(&store.folder).expect("a folder");
    cutter.disk.image(&mut cutter.chance, &store.folder);
    store.told = Told::default();
    store.told.hear(&cutter.disk.said());
    tally.count("images");
    tally.add("acknowledged steps looked for", store.told.acks());
    tally.add("acknowledged entries looked for", store.told.entries());
    let wrong = store.judge();
    if !wrong.is_empty() {
        let place = format!(
            "after {moment} of {} calls, {}",
            events.len(),
            scratch.keep(&store.folder)
        );
        tally.violation(place, wrong.join("; "));
    }
}

fn images(name: &'static str, runs: u64, wanted: u64) {
    let (trial, scratch) = (Trial::begin(name), Scratch::new("power"));
    let (events, root) = recorded(&scratch, runs);
    let moments = moments(&events, wanted, &mut Chance::new(trial.seed));
    let make = |thread: usize| Cutter {
        disk: Disk::new(Path::new(&root).to_str().expect("a name")),
        at: 0,
        chance: Chance::new(trial.seed + thread as u64),
        store: Store::new(WORKER, &scratch.path(&thread.to_string())),
    };
    let mut tally = over(&moments, make, |cutter, moment, tally| {
        cut(cutter, &events, *moment, &scratch, tally);
    });
    tally.add("calls", events.len() as u64);
    trial.end(
        &tally,
        &[
            ("images", wanted),
            ("acknowledged steps looked for", wanted),
            ("acknowledged entries looked for", wanted),
        ],
    );
}

#[test]
fn a_power_cut_loses_nothing_acknowledged() {
    images("power cuts", RUNS, scaled(IMAGES));
}

/// Few, and enough for a sync that is left out: for the mutation check.
#[test]
fn a_few_power_cuts_lose_nothing_acknowledged() {
    const FEW: u64 = 60;
    images("a few power cuts", 1, FEW);
}
