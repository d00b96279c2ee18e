//! A test's many cases over two threads, and what came of all of them in one line.

use crate::chance::Chance;
use sluice_crash_checker::Tally;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Cases side by side: the machines that run this in CI have two cores.
const THREADS: usize = 2;

/// So many as CI tries, times what was asked for: `0.1` while one writes a test, `10` for a long run.
pub fn scaled(count: u64) -> u64 {
    let asked = std::env::var("SLUICE_CRASH_TIMES").ok();
    let times = asked.map_or(1.0, |times| {
        times
            .parse::<f64>()
            .expect("SLUICE_CRASH_TIMES is a number")
    });
    {
        #[expect(clippy::cast_sign_loss, reason = "it is one at least")]
        let scaled = (count as f64 * times).ceil().max(1.0) as u64;
        scaled
    }
}

/// Works through these cases. `make` makes what one thread needs for all of its own.
pub fn over<C: Sync, W>(
    cases: &[C],
    make: impl Fn(usize) -> W + Sync,
    work: impl Fn(&mut W, &C, &mut Tally) + Sync,
) -> Tally {
    let (next, all) = (AtomicUsize::new(0), Mutex::new(Tally::default()));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (next, all, make, work) = (&next, &all, &make, &work);
            scope.spawn(move || {
                let (mut place, mut tally) = (make(thread), Tally::default());
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(&mut place, case, &mut tally);
                }
                all.lock().expect("no thread panicked").merge(tally);
            });
        }
    });
    all.into_inner().expect("no thread panicked")
}

/// A test as a whole: its seed, its time, its verdict.
pub struct Trial {
    name: &'static str,
    /// What its random numbers follow from.
    pub seed: u64,
    began: Instant,
}

impl Trial {
    /// Begins now.
    pub fn begin(name: &'static str) -> Self {
        let seed = Chance::seed();
        Self {
            name,
            seed,
            began: Instant::now(),
        }
    }

    /// Prints what was counted.
    ///
    /// # Panics
    /// Where something did not hold, or less was tried than at least so many of each.
    pub fn end(&self, tally: &Tally, least: &[(&str, u64)]) {
        match tally.verdict(self.name, self.began.elapsed(), least) {
            // The harness of tests keeps what a passing test prints through it: these figures are to be seen.
            Ok(line) => {
                use std::io::Write as _;
                let _ = writeln!(std::io::stderr(), "{line}");
            }
            Err(wrong) => panic!("{wrong}\nseed {}", self.seed),
        }
    }
}
