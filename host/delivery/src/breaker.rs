//! A circuit breaker for one destination, shared by all splits that use it: a stage of a pipeline whose other end is
//! down is called by one of them now and then, and not by each as often as its own backoff lets it. Pure: the time and
//! the draw are handed in, and whoever owns it sees to it that one caller at a time uses it.
//!
//! ```text
//! closed ── so many failures in a row ──▶ open ── its time is over ──▶ probing ── answered ──▶ closed
//!                                          ▲                              │
//!                                          └── failed: open twice as long ┘
//! ```
//!
//! A caller asks before each call and, where it may call, hands its [`Permit`] back with what came of it. Where it must
//! wait it does not call: it waits and asks again, or answers its own step with a transient fault and the time that is
//! named, where that is longer than it has patience for.
//!
//! Invariant: while nothing but failures comes, no more calls are let through than it takes to open it, those that were
//! under way by then, those that were given up without an answer, and one for each time it was open (test: `failing_calls_are_bounded_and_somebody_may_always_go`).

use sluice_model::fault::{Fault, FaultKind};
use sluice_model::guards::Guard;
use std::time::Duration;

/// When it opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerSettings {
    /// Transient faults in a row, over all splits, that open it; at least 1.
    pub failures_to_open: u32,
    /// The ceiling of the first time it is open; it doubles each time a probe fails.
    pub base_delay: Duration,
    /// The ceiling that it grows to. What the destination asked for may be longer, and is honoured.
    pub max_delay: Duration,
}

impl BreakerSettings {
    /// What [`BreakerSettings::failures_to_open`] is where nobody says otherwise.
    pub const FAILURES_TO_OPEN: u32 = 5;
}

/// Whether a call may be made now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    /// Yes.
    Go,
    /// Yes, and on this call hangs whether others may: it is the only one until it is handed back.
    Probe,
    /// No: not for so long, or until whoever probes has its answer.
    Wait(Option<Duration>),
}

/// What it is like, for whoever watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls are made.
    Closed,
    /// None is made.
    Open {
        /// When the destination began to fail: the clock that it is asked with.
        since: Duration,
        /// When one may be made again.
        until: Duration,
        /// Transient faults since it last answered.
        failures: u32,
        /// What the last of them said.
        message: String,
    },
    /// One call is made, to see.
    Probing,
}

/// The breaker of one destination.
#[derive(Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    gate: Gate,
    /// How often in a row it has opened.
    openings: u32,
    failing: Option<Failing>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gate {
    Closed,
    Open { until: Duration },
    Probing { until: Duration },
}

/// Since the destination last answered.
#[derive(Debug)]
struct Failing {
    since: Duration,
    failures: u32,
    message: String,
}

impl Breaker {
    /// A closed one.
    pub fn new(settings: BreakerSettings) -> Self {
        Self {
            settings,
            gate: Gate::Closed,
            openings: 0,
            failing: None,
        }
    }

    /// Whether to call. `now` is any clock that never goes back, the same for all callers and calls.
    pub fn ask(&mut self, now: Duration) -> Permit {
        match self.gate {
            Gate::Closed => Permit::Go,
            Gate::Open { until } if now < until => Permit::Wait(Some(until.saturating_sub(now))),
            Gate::Open { until } => {
                self.gate = Gate::Probing { until };
                Permit::Probe
            }
            Gate::Probing { .. } if Guard::BreakerProbe.stands() => Permit::Wait(None),
            Gate::Probing { .. } => Permit::Probe,
        }
    }

    /// The call was answered.
    pub fn succeeded(&mut self, permit: Permit) {
        // What was under way when it opened says nothing of now: whoever probes decides.
        if permit == Permit::Probe || self.gate == Gate::Closed {
            self.gate = Gate::Closed;
            self.openings = 0;
            self.failing = None;
        }
    }

    /// The call failed. Only a transient fault counts: with any other the destination, or the plugin, did answer.
    /// `draw` is from 0 to 1, drawn evenly: how much of the ceiling it is open for, but no less than a tenth.
    pub fn failed(&mut self, permit: Permit, now: Duration, fault: &Fault, draw: f64) {
        let FaultKind::Transient { retry_after } = fault.kind else {
            return self.succeeded(permit);
        };
        let asked = now.saturating_add(retry_after.unwrap_or_default());
        let failures = self.count(now, &fault.message);
        match (&mut self.gate, permit) {
            (Gate::Probing { .. }, Permit::Probe) => self.open(now, asked, draw),
            (Gate::Closed, _) => {
                let limit = self.settings.failures_to_open;
                if failures >= Guard::BreakerOpens.limit(limit) {
                    self.open(now, asked, draw);
                }
            }
            // It was under way when the breaker opened: what the destination asks for holds all the same.
            (Gate::Open { until }, _) => *until = asked.max(*until),
            (Gate::Probing { .. }, _) => {}
        }
    }

    /// The call was given up before it was answered: where it was to probe, another may.
    pub fn abandoned(&mut self, permit: Permit) {
        if let (Gate::Probing { until }, Permit::Probe) = (self.gate, permit) {
            self.gate = Gate::Open { until };
        }
    }

    /// What it is like.
    pub fn state(&self) -> BreakerState {
        match (self.gate, &self.failing) {
            (Gate::Open { until }, Some(failing)) => BreakerState::Open {
                since: failing.since,
                until,
                failures: failing.failures,
                message: failing.message.clone(),
            },
            (Gate::Probing { .. }, _) => BreakerState::Probing,
            _ => BreakerState::Closed,
        }
    }

    fn count(&mut self, now: Duration, message: &str) -> u32 {
        let failing = self.failing.get_or_insert(Failing {
            since: now,
            failures: 0,
            message: String::new(),
        });
        failing.failures = failing.failures.saturating_add(1);
        message.clone_into(&mut failing.message);
        failing.failures
    }

    fn open(&mut self, now: Duration, asked: Duration, draw: f64) {
        let doubled = 2_u32.saturating_pow(self.openings);
        let ceiling = self.settings.base_delay.saturating_mul(doubled);
        let ceiling = ceiling.min(self.settings.max_delay);
        let delay = part_of(ceiling, draw).max(if Guard::BreakerFloor.stands() {
            ceiling / 10
        } else {
            Duration::ZERO
        });
        let until = now.saturating_add(delay).max(asked);
        self.gate = Gate::Open { until };
        self.openings = self.openings.saturating_add(1);
    }
}

/// All of it, where `part` is no number from 0 to 1.
fn part_of(whole: Duration, part: f64) -> Duration {
    let seconds = whole.as_secs_f64() * part;
    let drawn = Duration::try_from_secs_f64(seconds).unwrap_or(whole);
    drawn.min(whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SETTINGS: BreakerSettings = BreakerSettings {
        failures_to_open: BreakerSettings::FAILURES_TO_OPEN,
        base_delay: Duration::from_secs(1),
        max_delay: Duration::from_secs(30),
    };

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn transient(retry_after: Option<Duration>) -> Fault {
        Fault::new(FaultKind::Transient { retry_after }, "503")
    }

    /// Opened at this time, by a draw of this much.
    fn opened(now: Duration, draw: f64) -> Breaker {
        let mut breaker = Breaker::new(SETTINGS);
        for _ in 0..SETTINGS.failures_to_open {
            let permit = breaker.ask(now);
            breaker.failed(permit, now, &transient(None), draw);
        }
        breaker
    }

    #[test]
    fn it_opens_after_so_many_failures_in_a_row() {
        let mut breaker = Breaker::new(SETTINGS);
        let fail = |breaker: &mut Breaker, times: u32| {
            for _ in 0..times {
                assert_eq!(breaker.ask(seconds(9)), Permit::Go);
                breaker.failed(Permit::Go, seconds(9), &transient(None), 1.0);
            }
        };
        fail(&mut breaker, 4);
        breaker.succeeded(Permit::Go);
        fail(&mut breaker, 4);
        // Whoever answers that the credentials are wrong does answer.
        let refused = Fault::new(FaultKind::Unauthorized, "401");
        breaker.failed(Permit::Go, seconds(9), &refused, 1.0);
        fail(&mut breaker, 4);
        assert_eq!(breaker.state(), BreakerState::Closed);
        fail(&mut breaker, 1);
        let open = BreakerState::Open {
            since: seconds(9),
            until: seconds(10),
            failures: 5,
            message: "503".to_owned(),
        };
        assert_eq!(breaker.state(), open);
        assert_eq!(breaker.ask(seconds(9)), Permit::Wait(Some(seconds(1))));
    }

    #[test]
    fn one_caller_probes() {
        let mut breaker = opened(seconds(0), 1.0);
        assert_eq!(breaker.ask(seconds(1)), Permit::Probe);
        assert_eq!(breaker.ask(seconds(1)), Permit::Wait(None));
        assert_eq!(breaker.state(), BreakerState::Probing);
        // Cancelled: another takes its place.
        breaker.abandoned(Permit::Go);
        assert_eq!(breaker.ask(seconds(1)), Permit::Wait(None));
        breaker.abandoned(Permit::Probe);
        assert_eq!(breaker.ask(seconds(1)), Permit::Probe);
        // What was under way before says nothing.
        breaker.succeeded(Permit::Go);
        breaker.failed(Permit::Go, seconds(1), &transient(None), 1.0);
        assert_eq!(breaker.ask(seconds(1)), Permit::Wait(None));
        breaker.succeeded(Permit::Probe);
        assert_eq!(breaker.state(), BreakerState::Closed);
        assert_eq!(breaker.ask(seconds(1)), Permit::Go);
    }

    /// How long it is open, each time.
    fn open_times(draw: f64, retry_after: Option<Duration>) -> Vec<Duration> {
        let mut breaker = opened(seconds(0), draw);
        let mut now = seconds(0);
        (0..8)
            .map(|_| {
                let Permit::Wait(Some(left)) = breaker.ask(now) else {
                    return Duration::ZERO;
                };
                now += left;
                let permit = breaker.ask(now);
                breaker.failed(permit, now, &transient(retry_after), draw);
                left
            })
            .collect()
    }

    #[test]
    fn the_ceiling_doubles_up_to_its_maximum() {
        let whole = [1, 2, 4, 8, 16, 30, 30, 30].map(seconds);
        assert_eq!(open_times(1.0, None), whole);
        assert_eq!(open_times(0.5, None), whole.map(|time| time / 2));
        assert_eq!(open_times(f64::NAN, None), whole);
        assert_eq!(open_times(7.0, None), whole);
    }

    #[test]
    fn a_draw_of_zero_is_no_storm() {
        let whole = [1, 2, 4, 8, 16, 30, 30, 30].map(seconds);
        assert_eq!(open_times(0.0, None), whole.map(|time| time / 10));
        assert_eq!(open_times(-1.0, None)[7], seconds(30), "no draw at all");
    }

    #[test]
    fn what_the_destination_asks_for_is_the_floor() {
        assert_eq!(open_times(0.0, Some(seconds(60)))[1], seconds(60));
        assert_eq!(
            open_times(1.0, Some(seconds(3)))[2..4],
            [seconds(4), seconds(8)]
        );
        let mut breaker = opened(seconds(0), 1.0);
        breaker.failed(Permit::Go, seconds(0), &transient(Some(seconds(7))), 0.0);
        assert_eq!(breaker.ask(seconds(1)), Permit::Wait(Some(seconds(6))));
        // It cannot ask for more than there is.
        breaker.failed(Permit::Go, seconds(1), &transient(Some(Duration::MAX)), 0.0);
        assert!(matches!(breaker.ask(seconds(2)), Permit::Wait(Some(_))));
    }

    /// An answer closes it for all, and the next time begins small again.
    #[test]
    fn an_answer_forgets_what_was() {
        let mut breaker = opened(seconds(0), 1.0);
        let permit = breaker.ask(seconds(1));
        breaker.failed(permit, seconds(1), &transient(None), 1.0);
        let permit = breaker.ask(seconds(3));
        breaker.failed(
            permit,
            seconds(3),
            &Fault::new(FaultKind::Broken, "400"),
            1.0,
        );
        assert_eq!(breaker.state(), BreakerState::Closed);
        for _ in 0..5 {
            breaker.failed(Permit::Go, seconds(3), &transient(None), 1.0);
        }
        assert_eq!(breaker.ask(seconds(3)), Permit::Wait(Some(seconds(1))));
    }

    proptest! {
        /// Splits that ask, and whose calls fail or are given up, in any order.
        #[test]
        fn failing_calls_are_bounded_and_somebody_may_always_go(
            splits in 1_usize..6,
            failures_to_open in 1_u32..6,
            script in prop::collection::vec((0_usize..6, 0_u64..900, 0.0_f64..=1.0, 0_u8..10), 0..300),
        ) {
            let mut breaker = Breaker::new(BreakerSettings { failures_to_open, ..SETTINGS });
            let mut under_way: Vec<Option<Permit>> = vec![None; splits];
            let (mut now, mut calls, mut given_up, mut openings) = (Duration::ZERO, 0_u64, 0_u64, 0_u64);
            for (split, after_ms, draw, luck) in script {
                now += Duration::from_millis(after_ms);
                let split = split % splits;
                if let Some(permit) = under_way[split].take() {
                    if luck == 0 {
                        given_up += 1;
                        breaker.abandoned(permit);
                        continue;
                    }
                    let was_open = matches!(breaker.state(), BreakerState::Open { .. });
                    breaker.failed(permit, now, &transient(None), draw);
                    let is_open = matches!(breaker.state(), BreakerState::Open { .. });
                    openings += u64::from(is_open && !was_open);
                    continue;
                }
                match breaker.ask(now) {
                    Permit::Wait(Some(left)) => prop_assert!(!left.is_zero() && left <= SETTINGS.max_delay),
                    Permit::Wait(None) => {
                        prop_assert!(under_way.contains(&Some(Permit::Probe)), "nobody probes");
                    }
                    permit => {
                        under_way[split] = Some(permit);
                        calls += 1;
                    }
                }
                let probes = under_way.iter().filter(|permit| **permit == Some(Permit::Probe));
                prop_assert!(probes.count() <= 1);
            }
            let most = u64::from(failures_to_open) + splits as u64 - 1 + openings + given_up;
            prop_assert!(calls <= most, "{} calls, {} at most", calls, most);
        }
    }
}
