//! The protocol against a world that fails: ten thousand seeds, each with its own source, sinks and settings, with
//! faults and crashes at every step, recovery included; and small workloads with every fault at every step (see
//! `exhaustion`). What the sinks and the DLQ hold is counted by the world, which shares no code with the machine; what is
//! stored goes through the real journal. A seed that is run alone, with `SLUICE_TEST_SEED`, tells its story.
#![expect(clippy::print_stdout, reason = "the story of a seed")]

mod chance;
mod driver;
mod exhaustion;
mod run;
mod sinks;
mod storing;
mod trace;
mod world;

use chance::Luck;
use run::{Ending, run};
use sluice_delivery::Step;
use std::collections::BTreeMap;
use std::io::Write;
use trace::Trace;
use world::World;

const SEEDS: u64 = 10_000;
/// Every so manieth seed is run twice, and must tell the same story.
const SAMPLED: u64 = 20;
/// After so many runs that ended badly a seed's world stops failing, so that each seed comes to an end.
const BAD_RUNS_MAX: u32 = 12;

/// How often each thing happened, over all seeds: a run in which nothing fails proves nothing.
pub type Tally = BTreeMap<&'static str, u64>;

fn simulate(seed: u64, tally: &mut Tally, trace: &mut Trace) {
    let mut luck = Luck::drawn(seed);
    let mut world = World::new(&mut luck.chance);
    let mut bad_runs = 0;
    loop {
        world.fails = bad_runs < BAD_RUNS_MAX;
        let ending = run(&mut world, &mut luck, tally, trace);
        world.check_never_ahead();
        match ending {
            Ending::Ended => break,
            Ending::Crashed | Ending::Stopped => bad_runs += 1,
            Ending::Drained => {}
        }
    }
    finish(&mut world, &mut luck, tally, trace);
}

/// Everything is where it belongs, and another run changes nothing but the epoch.
fn finish(world: &mut World, luck: &mut Luck, tally: &mut Tally, trace: &mut Trace) {
    world.check_end();
    world.fails = false;
    let before = world.delivered();
    assert_eq!(run(world, luck, tally, trace), Ending::Ended);
    assert_eq!(world.delivered(), before);
    world.check_end();
    trace.note(format_args!("{before:?}, and then {}", luck.chance.draw()));
    *tally.entry("records").or_default() += world.records();
    *tally.entry("events").or_default() += trace.events;
}

fn simulate_all(seeds: impl Iterator<Item = u64>) -> Tally {
    let mut tally = Tally::new();
    for seed in seeds {
        let mut trace = Trace::new();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            simulate(seed, &mut tally, &mut trace);
        }));
        assert!(
            outcome.is_ok(),
            "seed {seed} failed, its trace {:016x} by then: run it alone with SLUICE_TEST_SEED={seed}",
            trace.hash()
        );
    }
    tally
}

/// On two threads, however many there are to be had: so its time means something.
fn halves(simulate: impl Fn(u64) -> Tally + Sync) -> Tally {
    let halves = std::thread::scope(|scope| {
        let simulate = &simulate;
        [0, 1]
            .map(|half| scope.spawn(move || simulate(half)))
            .map(|half| half.join().expect("a half went through"))
    });
    let mut all = Tally::new();
    for (what, times) in halves.into_iter().flatten() {
        *all.entry(what).or_default() += times;
    }
    all
}

/// Past the test's captured output: what was tried is to be seen where it succeeded too.
fn tell(line: &str) {
    let told = writeln!(std::io::stderr().lock(), "{line}");
    told.expect("standard error is open");
}

#[test]
fn nothing_is_lost_and_nothing_is_doubled() {
    if let Ok(seed) = std::env::var("SLUICE_TEST_SEED") {
        simulate_all(std::iter::once(seed.parse().expect("a seed")));
        return;
    }
    let all = halves(|half| simulate_all((1 + half..=SEEDS).step_by(2)));
    let of = |what| all.get(what).copied().unwrap_or_default();
    assert!(of("records") > 50 * SEEDS, "{all:#?}");
    for happened in run::HAPPENINGS {
        assert!(
            of(happened) >= 200,
            "`{happened}` hardly ever happened: {all:#?}"
        );
    }
    tell(&format!("simulation: {SEEDS} seeds, {all:#?}"));
}

#[test]
fn a_seed_is_a_story() {
    let story = |seed| {
        let (mut tally, mut trace) = (Tally::new(), Trace::new());
        simulate(seed, &mut tally, &mut trace);
        (tally, trace.hash())
    };
    let mut hashes = Vec::new();
    for seed in (1..=SEEDS).step_by(SAMPLED as usize) {
        let first = story(seed);
        assert_eq!(first, story(seed), "seed {seed}");
        hashes.push(first.1);
    }
    let stories = hashes.len();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), stories, "no two seeds tell the same");
}

/// Keeps the steps' names in use where they are printed.
#[test]
fn steps_have_names() {
    assert_eq!(Step::Write(0).to_string(), "writing to sink 1");
    assert_eq!(Step::Publish(1).to_string(), "publishing at sink 2");
}
