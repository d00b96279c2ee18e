//! One run of the split: from what is stored to its end, or to where it breaks.

use crate::Tally;
use crate::chance::{Blow, Luck};
use crate::driver::Driver;
use crate::trace::Trace;
use crate::world::{World, pipeline, split};
use sluice_delivery::{Event, Start, resume};
use sluice_model::ports::StateStore;
use sluice_state::journal::{Desk, Step, hold};

/// What must happen often enough, over all seeds, for the simulation to count.
pub const HAPPENINGS: &[&str] = &[
    "crashed",
    "crashed in recovery",
    "stopped",
    "drained",
    "start: checkpoint",
    "start: promoted",
    "start: discarded",
    "start: sink ahead",
    "start: moved",
    "place moved forward",
    "place moved back",
    "fault before effect: open",
    "fault before effect: read",
    "fault before effect: transform",
    "fault before effect: write",
    "fault before effect: publish",
    "fault before effect: reopen",
    "fault before effect: acknowledge",
    "fault before effect: store",
    "fault after effect: write",
    "fault after effect: publish",
    "fault after effect: acknowledge",
    "fault after effect: store",
    "fatal fault",
    "trap by chance",
    "poisoned page halved",
    "poisoned unit halved: plain",
    "poisoned unit halved: transactional",
    "halving interrupted",
    "sick plugin",
    "sink down for a while",
    "call held by a breaker",
    "breaker probed",
    "clock jumped",
    "sink reopened: published",
    "sink reopened: written again",
    "torn write at a crash",
    "page with nothing",
    "waited",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Ended,
    Drained,
    Stopped,
    Crashed,
}

pub fn count(tally: &mut Tally, what: &'static str) {
    *tally.entry(what).or_default() += 1;
}

/// What people and disks do between two runs.
fn between(world: &mut World, luck: &mut Luck, tally: &mut Tally, trace: &mut Trace) {
    if luck.is_scripted() || !world.fails {
        return;
    }
    let chance = &mut luck.chance;
    if world.is_exactly_once() && world.sinks[0].committed.is_some() && chance.percent(3) {
        world.lose_store();
        trace.note(format_args!("the store is lost"));
    } else if chance.percent(world.move_percent)
        && let Some((from, to)) = world.move_place(chance)
    {
        let way = if to > from {
            "place moved forward"
        } else {
            "place moved back"
        };
        count(tally, way);
        trace.note(format_args!("{way} from {from} to {to}"));
    }
}

/// From what is stored to the end, or to where it breaks.
pub fn run(world: &mut World, luck: &mut Luck, tally: &mut Tally, trace: &mut Trace) -> Ending {
    between(world, luck, tally, trace);
    let held = hold(&world.store, &pipeline(), &split()).expect("reads");
    let standings = world.standings();
    let begin = resume(held.checkpoint(), &standings).expect("sinks are never behind here");
    trace.note(format_args!(
        "held {:?}\nsinks {standings:?}\nbegin {begin:?}",
        held.checkpoint()
    ));
    count(
        tally,
        match begin.start {
            Start::Beginning => "start: beginning",
            Start::Checkpoint => "start: checkpoint",
            Start::Promoted => "start: promoted",
            Start::Discarded => "start: discarded",
            Start::Moved => "start: moved",
            Start::SinkAhead { .. } => "start: sink ahead",
        },
    );
    if let Some(checkpoint) = held.checkpoint() {
        assert!(begin.checkpoint.epoch > checkpoint.epoch, "an epoch rises");
    }
    let (desk, step) = (Desk::default(), Step::to(begin.checkpoint.clone(), 0));
    let steps = held.steps(&world.store, &desk, &step);
    let (batch, held) = steps.expect("reads").next().expect("a batch");
    let blow = luck.next_blow();
    for is_stored in [false, true] {
        if is_stored {
            let stored = world.store.commit(batch.clone());
            stored.expect("nobody else writes");
            world.check_never_ahead();
        }
        let strikes = match blow {
            Some(Blow::CrashBefore | Blow::FaultBefore) => true,
            Some(Blow::CrashAfter | Blow::FaultAfter) => is_stored,
            None => crashes(world, luck),
        };
        if strikes {
            count(tally, "crashed in recovery");
            return Ending::Crashed;
        }
    }
    let mut driver = Driver::new(world, luck, tally, trace, held, begin.checkpoint);
    let mut ending = driver.tell(Event::Start);
    while ending.is_none() {
        ending = driver.turn();
    }
    ending.expect("the loop ended")
}

/// Whether chance has it crash now.
pub fn crashes(world: &World, luck: &mut Luck) -> bool {
    !luck.is_scripted() && world.fails && luck.chance.per_mille(world.crash_per_mille)
}
