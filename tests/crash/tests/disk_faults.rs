//! A disk that fails: no space, an error of the device, a limit that cuts a write short; at any call that changes it,
//! once or for good. Whoever works on it says so in words of its own; once the disk is well again, whatever was
//! acknowledged is there, whole, and work goes on.

use sluice_crash::chance::Chance;
use sluice_crash::deployment::Deployment;
use sluice_crash::scratch::Scratch;
use sluice_crash::shards::{Trial, over, scaled};
use sluice_crash::store::Store;
use sluice_crash::strace::{Act, injected};
use sluice_crash_checker::Tally;
use sluice_crash_checker::delivery::{Sink, check_complete};
use sluice_crash_checker::words::shown;
use std::sync::atomic::{AtomicU64, Ordering};

const WORKER: &str = env!("CARGO_BIN_EXE_sluice-crash-worker");
/// Faults of a run of CI: of the store, of its files' sizes, of a whole run.
const FAULTS: u64 = 140;
const LIMITS: u64 = 30;
const RUN_FAULTS: u64 = 30;
const STEPS: u64 = 8;
const ERRORS: [&str; 2] = ["ENOSPC", "EIO"];
/// Calls that can fail, and how far into a run.
const CALLS: [(&str, u64); 9] = [
    ("pwrite64", 30),
    ("fsync", 20),
    ("fdatasync", 12),
    ("sync_file_range", 20),
    ("ftruncate", 3),
    ("rename", 6),
    ("mkdir", 3),
    ("unlink", 6),
    ("linkat", 1),
];

/// The write that others wait for soonest.
const AWAITED: (&str, u64) = ("sync_file_range", 3);

fn fault(chance: &mut Chance) -> Act {
    let late = chance.percent(30);
    let (call, most) = if late { AWAITED } else { *chance.of(&CALLS) };
    Act::Fail {
        call,
        error: ERRORS[chance.below(2) as usize],
        from: 1 + chance.below(most),
        for_good: chance.percent(40),
        late,
    }
}

/// A fault of the store's disk: what it says, and what it holds once that is over.
fn try_fault(
    store: &mut Store,
    act: &Act,
    chance: &mut Chance,
    scratch: &Scratch,
    tally: &mut Tally,
) {
    if chance.percent(40) {
        store.renew();
    }
    let ended = store.commit(STEPS, act);
    let fired = injected(&store.calls());
    if fired == 0 {
        tally.count("faults that did not come");
        return;
    }
    tally.count("faults");
    if let Act::Fail { call, error, .. } = act {
        tally.count(format!("{error} at {call}"));
    }
    tally.count(if ended.is_done() {
        "faults borne"
    } else {
        "faults told"
    });
    tally.add("panics of the engine, caught", ended.engine_panics() as u64);
    let mut wrong = ended.check();
    wrong.extend(store.judge());
    if wrong.is_empty() {
        // Work goes on.
        let running = store.start(2);
        let ended = store.ended(running);
        if !ended.is_done() {
            wrong.push(format!("it does not go on: {}", shown(&ended.out)));
        }
        wrong.extend(store.judge());
    }
    if !wrong.is_empty() {
        tally.violation(
            format!("{act:?}, {}", scratch.keep(&store.folder)),
            wrong.join("; "),
        );
        store.renew();
    }
}

#[test]
fn a_failing_disk_is_told_and_loses_nothing_acknowledged() {
    let wanted = scaled(FAULTS);
    let (trial, scratch) = (Trial::begin("disk faults"), Scratch::new("faults"));
    let mut chance = Chance::new(trial.seed);
    // Some lie behind the end of a run.
    let faults: Vec<Act> = (0..wanted * 4).map(|_| fault(&mut chance)).collect();
    let make = |thread: usize| {
        let store = Store::new(WORKER, &scratch.path(&thread.to_string()));
        (store, Chance::new(trial.seed + thread as u64))
    };
    let fired = AtomicU64::new(0);
    let tally = over(&faults, make, |(store, chance), act, tally| {
        if fired.load(Ordering::Relaxed) < wanted {
            let before = tally.of("faults");
            try_fault(store, act, chance, &scratch, tally);
            fired.fetch_add(tally.of("faults") - before, Ordering::Relaxed);
        }
    });
    trial.end(&tally, &[("faults", wanted), ("faults told", wanted / 4)]);
}

/// The system cuts a write short, and refuses the next: what a full disk does, in the middle of a record.
#[test]
fn a_write_that_is_cut_short_is_told_and_loses_nothing_acknowledged() {
    let wanted = scaled(LIMITS);
    let (trial, scratch) = (Trial::begin("short writes"), Scratch::new("short"));
    let limits: Vec<u64> = (0..wanted).collect();
    let make = |thread: usize| {
        let store = Store::new(WORKER, &scratch.path(&thread.to_string()));
        (store, Chance::new(trial.seed + thread as u64))
    };
    let tally = over(&limits, make, |(store, chance), number, tally| {
        store.renew();
        if number % 2 == 0 {
            let running = store.start(STEPS);
            let _ = store.ended(running);
        }
        // Small files first: keys and trail; then the log, which grows by segments.
        let bytes = if number % 3 == 0 {
            (8 << 20) + chance.below(8 << 20)
        } else {
            40 + chance.below(6_000)
        };
        let running = store.start_limited(400, bytes);
        let ended = store.ended(running);
        tally.count("limits");
        tally.count(if ended.is_done() {
            "limits borne"
        } else {
            "limits told"
        });
        let mut wrong = ended.check();
        wrong.extend(store.judge());
        if !wrong.is_empty() {
            tally.violation(
                format!(
                    "at most {bytes} bytes a file, {}",
                    scratch.keep(&store.folder)
                ),
                wrong.join("; "),
            );
        }
    });
    trial.end(&tally, &[("limits", wanted), ("limits told", wanted / 3)]);
}

/// A whole run on such a disk, and then on a well one.
#[test]
fn a_run_on_a_failing_disk_is_told_and_goes_on() {
    const RECORDS: u64 = 500;
    let wanted = scaled(RUN_FAULTS);
    let (trial, scratch) = (
        Trial::begin("disk faults of a run"),
        Scratch::new("run-faults"),
    );
    let mut chance = Chance::new(trial.seed);
    let faults: Vec<Act> = (0..wanted * 6).map(|_| fault(&mut chance)).collect();
    let make = |thread: usize| {
        Deployment::new(
            &scratch.path(&thread.to_string()),
            Sink::Transactional,
            RECORDS,
        )
    };
    let fired = AtomicU64::new(0);
    let tally = over(&faults, make, |deployment, act, tally| {
        if fired.load(Ordering::Relaxed) >= wanted {
            return;
        }
        deployment.renew();
        let ended = deployment.run_under(act);
        if injected(&deployment.calls()) == 0 {
            return;
        }
        fired.fetch_add(1, Ordering::Relaxed);
        tally.count("faults");
        tally.add("panics of the engine, caught", ended.engine_panics() as u64);
        tally.count(if ended.is_done() {
            "faults borne"
        } else {
            "faults told"
        });
        let mut wrong = ended.check();
        let again = deployment.sluice(&["run", sluice_crash::deployment::PIPELINE]);
        wrong.extend(again.check());
        match deployment.facts() {
            Ok(facts) => wrong.extend(check_complete(&facts)),
            Err(ended) => wrong.push(format!("it says nothing: {}", shown(&ended.err))),
        }
        if !wrong.is_empty() {
            let place = format!("{act:?}, {}", scratch.keep(&deployment.folder));
            tally.violation(
                place,
                format!("{}; {}", wrong.join("; "), shown(&again.err)),
            );
        }
    });
    trial.end(&tally, &[("faults", wanted), ("faults told", wanted / 5)]);
}
