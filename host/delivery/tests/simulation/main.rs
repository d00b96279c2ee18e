//! The protocol against a world that fails: thousands of seeds, each with its own source, sinks and settings, with
//! faults and crashes at every step, recovery included. What the sinks and the DLQ hold is counted by the world, which
//! shares no code with the machine; what is stored goes through the real journal. A seed that is run alone, with
//! `SLUICE_TEST_SEED`, tells its story.
#![expect(clippy::print_stdout, reason = "the story of a seed")]

mod chance;
mod run;
mod world;

use chance::Chance;
use run::{Ending, run};
use std::collections::BTreeMap;
use world::World;

const SEEDS: u64 = 2_000;
/// After so many runs that ended badly a seed's world stops failing, so that each seed comes to an end.
const BAD_RUNS_MAX: u32 = 12;

/// How often each thing happened, over all seeds: a run in which nothing fails proves nothing.
type Tally = BTreeMap<&'static str, u64>;

fn simulate(seed: u64, tally: &mut Tally) {
    let mut chance = Chance::new(seed);
    let mut world = World::new(&mut chance);
    let mut bad_runs = 0;
    loop {
        world.fails = bad_runs < BAD_RUNS_MAX;
        let ending = run(&mut world, &mut chance, tally);
        world.check_never_ahead();
        match ending {
            Ending::Ended => break,
            Ending::Crashed | Ending::Stopped => bad_runs += 1,
            Ending::Drained => {}
        }
    }
    world.check_end();
    // Nothing is left to do: another run changes nothing but the epoch.
    world.fails = false;
    let before = world.delivered();
    assert_eq!(run(&mut world, &mut chance, tally), Ending::Ended);
    assert_eq!(world.delivered(), before);
    world.check_end();
    *tally.entry("records").or_default() += world.records();
}

fn simulate_all(seeds: impl Iterator<Item = u64>) -> Tally {
    let mut tally = Tally::new();
    for seed in seeds {
        let outcome =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| simulate(seed, &mut tally)));
        assert!(
            outcome.is_ok(),
            "seed {seed} failed: run it alone with SLUICE_TEST_SEED={seed}"
        );
    }
    tally
}

#[test]
fn nothing_is_lost_and_nothing_is_doubled() {
    if let Ok(seed) = std::env::var("SLUICE_TEST_SEED") {
        simulate_all(std::iter::once(seed.parse().expect("a seed")));
        return;
    }
    let halves = std::thread::scope(|scope| {
        let halves =
            [1, 2].map(|first| scope.spawn(move || simulate_all((first..=SEEDS).step_by(2))));
        halves.map(|half| half.join().expect("a half went through"))
    });
    let of = |what| halves.iter().filter_map(|half| half.get(what)).sum::<u64>();
    assert!(of("records") > 50 * SEEDS, "{halves:#?}");
    for happened in run::HAPPENINGS {
        assert!(
            of(happened) >= 100,
            "`{happened}` hardly ever happened: {halves:#?}"
        );
    }
}

#[test]
fn a_seed_is_a_story() {
    let story = |seed| {
        let mut tally = Tally::new();
        simulate(seed, &mut tally);
        tally
    };
    for seed in 1..20 {
        assert_eq!(story(seed), story(seed));
    }
}
