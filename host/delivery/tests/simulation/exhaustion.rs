//! Small workloads, and every blow at every step of them: a crash before or after the step's effect, and a transient
//! fault before or after it; each of these alone, and followed by a crash at each step of the recovery. Nothing is left
//! to chance: the cases are counted out.

use crate::chance::{Blow, Luck, Order, Script};
use crate::run::{Ending, run};
use crate::trace::Trace;
use crate::world::{Fate, World};
use crate::{Tally, finish, halves, tell};
use sluice_delivery::{RetrySettings, Settings, SinkMode};
use std::time::Duration;

use Blow::{CrashAfter, CrashBefore, FaultAfter, FaultBefore};
use Fate::{Filtered, PoisonAtSinks, PoisonOnTheWay, RejectedAtSinks, RejectedOnTheWay, Written};
use SinkMode::{Plain, Transactional};

/// What each record becomes, and where the pages end.
type Workload = (&'static [Fate], &'static [u64]);

const SINKS: [&[SinkMode]; 5] = [
    &[Plain],
    &[Transactional],
    &[Plain, Transactional],
    &[Plain, Plain],
    &[Transactional, Transactional],
];

const WORKLOADS: [Workload; 8] = [
    (&[Written], &[1]),
    (&[Written, Written], &[1, 2]),
    (&[Written, RejectedAtSinks(1), Written], &[1, 3]),
    (&[RejectedOnTheWay, Written, Filtered], &[2, 3]),
    (&[Filtered, RejectedOnTheWay], &[1, 2]),
    (&[Written, PoisonAtSinks(1), Written], &[2, 3]),
    (&[PoisonOnTheWay, Written, RejectedAtSinks(1)], &[1, 3]),
    (&[RejectedAtSinks(1), Written, PoisonAtSinks(1)], &[3]),
];

fn world(sinks: &[SinkMode], (fates, page_ends): Workload) -> World {
    let settings = Settings {
        sinks: sinks.to_vec(),
        unit_bytes: 1_000,
        unit_rows: 100,
        linger: Duration::from_secs(1),
        in_flight_bytes_max: 10_000,
        in_flight_pages_max: 4,
        page_bytes: 100,
        retry: RetrySettings {
            budget: Duration::from_mins(10),
            base_delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(1),
        },
    };
    let mut world = World::of(settings, fates.to_vec());
    world.page_ends = Some(page_ends.to_vec());
    world
}

/// Runs a workload to its end; gives the steps it took, the last run left out, in which nothing is left to do.
fn case(sinks: &[SinkMode], workload: Workload, order: Order, blows: &[(u64, Blow)]) -> u64 {
    let outcome = std::panic::catch_unwind(|| {
        let mut world = world(sinks, workload);
        let mut luck = Luck::scripted(Script::new(order, blows));
        let (mut tally, mut trace) = (Tally::new(), Trace::new());
        loop {
            let ending = run(&mut world, &mut luck, &mut tally, &mut trace);
            world.check_never_ahead();
            if ending == Ending::Ended {
                break;
            }
        }
        let script = luck.script.as_ref().expect("it is scripted");
        let (steps, struck) = (script.steps, script.struck);
        assert_eq!(struck, blows.len(), "a blow that never fell");
        finish(&mut world, &mut luck, &mut tally, &mut trace);
        steps
    });
    outcome.unwrap_or_else(|_| panic!("{sinks:?}, {workload:?}, {order:?}, {blows:?}"))
}

/// Every blow at every step of one workload.
fn exhaust(sinks: &[SinkMode], workload: Workload, order: Order, tally: &mut Tally) {
    let mut count = |what| *tally.entry(what).or_default() += 1;
    let steps = case(sinks, workload, order, &[]);
    for at in 0..steps {
        for blow in [CrashBefore, CrashAfter, FaultBefore, FaultAfter] {
            let steps = case(sinks, workload, order, &[(at, blow)]);
            count("cases");
            for crash in at + 1..steps {
                for second in [CrashBefore, CrashAfter] {
                    case(sinks, workload, order, &[(at, blow), (crash, second)]);
                    count("cases");
                    count("cases with a crash in recovery");
                }
            }
        }
    }
}

#[test]
fn small_workloads_are_exhausted() {
    let of_half = |half| {
        let mut tally = Tally::new();
        let sets = SINKS
            .iter()
            .flat_map(|sinks| WORKLOADS.map(|workload| (*sinks, workload)));
        for (sinks, workload) in sets.skip(half as usize).step_by(2) {
            for order in [Order::First, Order::Last] {
                exhaust(sinks, workload, order, &mut tally);
                *tally.entry("workloads").or_default() += 1;
            }
        }
        tally
    };
    let all = halves(of_half);
    assert_eq!(all["workloads"], (SINKS.len() * WORKLOADS.len() * 2) as u64);
    assert!(all["cases"] > 100_000, "{all:#?}");
    tell(&format!("exhaustion: {all:#?}"));
}
