//! The real `sluice`, killed under load: at random moments, and right before calls that change a disk. It is run again
//! until it is done. At every kill no checkpoint is ahead of its sink; at the end every record is accounted for, once.

use sluice_crash::chance::Chance;
use sluice_crash::deployment::Deployment;
use sluice_crash::scratch::Scratch;
use sluice_crash::shards::{Trial, over, scaled};
use sluice_crash::strace::Act;
use sluice_crash_checker::Tally;
use sluice_crash_checker::delivery::{
    Sink, check_complete, check_midway, is_in_the_middle, records,
};
use sluice_crash_checker::words::{Ended, shown};
use std::time::{Duration, Instant};

/// Random kills of a run of CI, over both sinks.
const KILLS: u64 = 100;
/// Kills before a chosen call, over both sinks.
const POINTS: u64 = 60;
/// Records of each of the source's files: four units and more.
const RECORDS: u64 = 1_500;
/// Calls of a run that are worth a kill, and how often one is made at most before another is tried.
const CALLS: [(&str, u64); 6] = [
    ("fsync", 12),
    ("pwrite64", 12),
    ("rename", 4),
    ("renameat", 8),
    ("fdatasync", 4),
    ("write", 40),
];
const SINKS: [Sink; 2] = [Sink::Transactional, Sink::Plain];

/// One kill, and whether it came before the end.
type Kill<'a> = &'a dyn Fn(&Deployment, &mut Chance, Duration) -> Ended;

/// Kills a pipeline again and again, until so many kills came in its middle.
fn kill_often(
    deployment: &Deployment,
    kills: u64,
    chance: &mut Chance,
    kill: Kill,
    scratch: &Scratch,
    tally: &mut Tally,
) {
    let name = format!(
        "{:?}",
        if deployment.is_plain() {
            Sink::Plain
        } else {
            Sink::Transactional
        }
    );
    let began = Instant::now();
    finish(deployment, scratch, tally);
    let mut whole = began.elapsed();
    deployment.renew();
    let (mut killed, mut tries) = (0, 0);
    while killed < kills && tries < kills * 4 {
        tries += 1;
        let ended = kill(deployment, chance, whole);
        let wrong = ended.check();
        if !wrong.is_empty() || (!ended.was_killed() && !ended.is_done()) {
            let place = format!("{name}, {}", scratch.keep(&deployment.folder));
            tally.violation(
                place,
                format!("{}; {}", wrong.join("; "), shown(&ended.err)),
            );
        }
        if ended.was_killed() {
            killed += 1;
            tally.count("kills");
            tally.count(format!("kills before a {name} sink"));
            midway(deployment, scratch, tally);
        }
        if ended.is_done() {
            // The kill came too late: what else is done on this machine makes a run longer or shorter.
            whole = whole.mul_f64(0.8);
            finish(deployment, scratch, tally);
            deployment.renew();
        }
    }
    finish(deployment, scratch, tally);
    tally.add(
        "requests that were taken and not answered",
        deployment.unanswered(),
    );
}

fn midway(deployment: &Deployment, scratch: &Scratch, tally: &mut Tally) {
    let wrong = match deployment.facts() {
        // Killed before it had made anything.
        Err(ended)
            if ended.err.contains("nothing has run here yet")
                && deployment.delivered().is_empty() =>
        {
            return;
        }
        Err(ended) => vec![format!(
            "it says nothing after a kill: {}",
            shown(&ended.err)
        )],
        Ok(facts) => {
            if is_in_the_middle(&facts) {
                tally.count("kills in the middle of a split");
            }
            check_midway(&facts)
        }
    };
    if !wrong.is_empty() {
        tally.violation(scratch.keep(&deployment.folder), wrong.join("; "));
    }
}

/// Runs it to its end, and asks for all there is.
fn finish(deployment: &Deployment, scratch: &Scratch, tally: &mut Tally) {
    let ended = deployment.start().end(sluice_crash::program::PATIENCE);
    let mut wrong = ended.check();
    if !ended.is_done() {
        wrong.push(format!(
            "it does not go on after a kill: {}",
            shown(&ended.err)
        ));
    }
    match deployment.facts() {
        Err(ended) => wrong.push(format!("it says nothing at the end: {}", shown(&ended.err))),
        Ok(facts) => {
            tally.add("records", records(&facts));
            wrong.extend(check_complete(&facts));
        }
    }
    tally.count("runs to their end");
    if !wrong.is_empty() {
        tally.violation(scratch.keep(&deployment.folder), wrong.join("; "));
    }
}

fn both(
    name: &'static str,
    kills: u64,
    kill: impl Fn(&Deployment, &mut Chance, Duration) -> Ended + Sync,
) {
    let (trial, scratch) = (Trial::begin(name), Scratch::new("delivery"));
    let make = |_: usize| ();
    let tally = over(&SINKS, make, |(), sink, tally| {
        let deployment = Deployment::new(&scratch.path(&format!("{sink:?}")), *sink, RECORDS);
        let mut chance = Chance::new(trial.seed + *sink as u64);
        kill_often(
            &deployment,
            kills.div_ceil(2),
            &mut chance,
            &kill,
            &scratch,
            tally,
        );
    });
    trial.end(
        &tally,
        &[
            ("kills", kills),
            ("kills in the middle of a split", kills / 5),
            ("kills before a Plain sink", kills / 3),
            ("kills before a Transactional sink", kills / 3),
            ("records", 1_000),
            ("requests that were taken and not answered", 1),
        ],
    );
}

#[test]
fn random_kills_lose_nothing_and_double_nothing() {
    both(
        "random kills",
        scaled(KILLS),
        |deployment, chance, whole| {
            let mut running = deployment.start();
            let whole = whole.as_millis() as u64;
            let wait = whole / 8 + chance.below(whole / 2);
            std::thread::sleep(Duration::from_millis(wait));
            running.kill();
            running.end(sluice_crash::program::PATIENCE)
        },
    );
}

#[test]
fn kills_before_a_call_lose_nothing_and_double_nothing() {
    both(
        "kill points of a run",
        scaled(POINTS),
        |deployment, chance, _| {
            let (call, most) = *chance.of(&CALLS);
            deployment.run_under(&Act::Kill(call, 1 + chance.below(most)))
        },
    );
}
