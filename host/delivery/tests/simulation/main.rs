//! The protocol against a world that fails: thousands of seeds, each with its own source, sinks and settings, with
//! faults and crashes at every step, recovery included. What the sinks and the DLQ hold is counted by the world, which
//! shares no code with the machine; what is stored goes through the real journal.

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

#[test]
fn nothing_is_lost_and_nothing_is_doubled() {
    let only = std::env::var("SLUICE_TEST_SEED")
        .ok()
        .map(|seed| seed.parse().expect("a seed"));
    let mut tally = Tally::new();
    for seed in only.map_or(1..SEEDS + 1, |seed: u64| seed..seed + 1) {
        let outcome =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| simulate(seed, &mut tally)));
        assert!(
            outcome.is_ok(),
            "seed {seed} failed: run it alone with SLUICE_TEST_SEED={seed}"
        );
    }
    if only.is_none() {
        assert!(tally["records"] > 50 * SEEDS, "{tally:#?}");
        for happened in run::HAPPENINGS {
            assert!(
                tally.get(happened).copied().unwrap_or(0) >= 100,
                "`{happened}` hardly ever happened: {tally:#?}"
            );
        }
    }
    println!("{tally:#?}");
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
