//! How long to wait before a step is tried again, and when to give up.

use crate::protocol::Step;
use crate::settings::RetrySettings;
use sluice_model::fault::{Fault, FaultKind};
use sluice_model::guards::Guard;
use std::collections::HashMap;
use std::time::Duration;

/// What the retries of every step have come to. A step is here while it fails.
#[derive(Debug, Default)]
pub(crate) struct Retries {
    failing: HashMap<Step, Failing>,
}

#[derive(Debug)]
struct Failing {
    since: Duration,
    /// When its budget was last whole.
    renewed: Duration,
    attempts: u32,
    /// Of those, since it last got on.
    in_a_row: u32,
    message: String,
}

/// A step that fails now and is tried again: for whoever watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Which step.
    pub step: Step,
    /// When it failed first.
    pub since: Duration,
    /// How often it has failed.
    pub attempts: u32,
    /// What it said last.
    pub message: String,
}

/// When to try again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Delay {
    pub attempt: u32,
    pub at_least: Duration,
    pub ceiling: Duration,
}

impl Retries {
    /// The wait after this fault, or the fault that ends the run: any but a transient one, and a transient one when the
    /// budget would be spent before the next try.
    pub fn after(
        &mut self,
        settings: &RetrySettings,
        now: Duration,
        step: Step,
        fault: Fault,
    ) -> Result<Delay, Fault> {
        let FaultKind::Transient { retry_after } = fault.kind else {
            return Err(fault);
        };
        let failing = self.failing.entry(step).or_insert(Failing {
            since: now,
            renewed: now,
            attempts: 0,
            in_a_row: 0,
            message: String::new(),
        });
        failing.attempts = failing.attempts.saturating_add(1);
        failing.in_a_row = failing.in_a_row.saturating_add(1);
        failing.message.clone_from(&fault.message);
        let at_least = retry_after.unwrap_or_default();
        let spent = failing.renewed.saturating_add(settings.budget);
        if Guard::RetryBudget.bars(now.saturating_add(at_least) >= spent) {
            return Err(exhausted(
                settings,
                now.saturating_sub(failing.since),
                failing.attempts,
                step,
                fault,
            ));
        }
        let doubled = 2u32.saturating_pow(failing.in_a_row - 1);
        let ceiling = settings
            .base_delay
            .saturating_mul(doubled)
            .min(settings.max_delay);
        Ok(Delay {
            attempt: failing.attempts,
            at_least,
            ceiling,
        })
    }

    /// The steps that fail now, in no order.
    pub fn list(&self) -> Vec<Retry> {
        let retry = |(step, failing): (&Step, &Failing)| Retry {
            step: *step,
            since: failing.since,
            attempts: failing.attempts,
            message: failing.message.clone(),
        };
        self.failing.iter().map(retry).collect()
    }

    /// The step worked: its budget is whole again.
    pub fn succeeded(&mut self, step: Step) {
        self.failing.remove(&step);
    }

    /// The step failed, and got on all the same: its budget is whole again, and its waits begin anew.
    pub fn got_on(&mut self, now: Duration, step: Step) {
        if let Some(failing) = self.failing.get_mut(&step) {
            failing.renewed = now;
            failing.in_a_row = 0;
        }
    }

    /// A commit: every budget is whole again. The waits are not short again: what fails beside the commits, as an
    /// acknowledgement may, is not tried as often as they come.
    pub fn progressed(&mut self, now: Duration) {
        for failing in self.failing.values_mut() {
            failing.renewed = now;
        }
    }

    /// The step will not be tried again.
    pub fn given_up(&mut self, step: Step) {
        self.failing.remove(&step);
    }
}

fn exhausted(
    settings: &RetrySettings,
    failed_for: Duration,
    attempts: u32,
    step: Step,
    fault: Fault,
) -> Fault {
    let message = format!(
        "{step} failed for {failed_for:?}, {attempts} times, and `delivery.retry` allows {:?}: {}",
        settings.budget, fault.message
    );
    Fault {
        kind: fault.kind,
        message,
        hint: fault.hint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: RetrySettings = RetrySettings {
        budget: Duration::from_mins(1),
        base_delay: Duration::from_millis(100),
        max_delay: Duration::from_secs(5),
    };

    fn transient(retry_after: Option<Duration>) -> Fault {
        Fault::new(FaultKind::Transient { retry_after }, "connection reset")
    }

    fn after(retries: &mut Retries, now_s: u64, fault: Fault) -> Result<Delay, Fault> {
        retries.after(&SETTINGS, Duration::from_secs(now_s), Step::Read, fault)
    }

    #[test]
    fn the_ceiling_doubles_up_to_its_maximum() {
        let mut retries = Retries::default();
        let ceilings: Vec<u128> = (0..8)
            .map(|_| {
                after(&mut retries, 0, transient(None))
                    .expect("a delay")
                    .ceiling
                    .as_millis()
            })
            .collect();
        assert_eq!(ceilings, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    }

    #[test]
    fn many_attempts_do_not_overflow() {
        let mut retries = Retries::default();
        for _ in 0..200 {
            assert!(
                after(&mut retries, 0, transient(None))
                    .expect("a delay")
                    .ceiling
                    <= SETTINGS.max_delay
            );
        }
    }

    #[test]
    fn what_the_other_system_asks_for_is_the_floor() {
        let asked = Some(Duration::from_secs(30));
        let delay = after(&mut Retries::default(), 0, transient(asked)).expect("a delay");
        assert_eq!(delay.at_least, Duration::from_secs(30));
        let too_long = Some(Duration::from_mins(1));
        assert!(after(&mut Retries::default(), 0, transient(too_long)).is_err());
    }

    /// A plugin may hand over any number.
    #[test]
    fn the_longest_wait_there_is_spends_the_budget() {
        let asked = Some(Duration::MAX);
        assert!(after(&mut Retries::default(), 1, transient(asked)).is_err());
    }

    #[test]
    fn the_budget_is_time_and_success_renews_it() {
        let mut retries = Retries::default();
        assert!(after(&mut retries, 0, transient(None)).is_ok());
        assert!(after(&mut retries, 59, transient(None)).is_ok());
        let fault = after(&mut retries, 60, transient(None)).expect_err("the budget is spent");
        assert!(
            fault.message.contains("3 times") && fault.message.contains("connection reset"),
            "{fault}"
        );
        assert!(fault.is_transient());
        retries.succeeded(Step::Write(0));
        assert!(
            after(&mut retries, 61, transient(None)).is_err(),
            "another step's success renews nothing"
        );
        retries.succeeded(Step::Read);
        assert!(after(&mut retries, 61, transient(None)).is_ok());
        retries.progressed(Duration::from_secs(190));
        let delay = after(&mut retries, 200, transient(None)).expect("its budget is whole");
        assert_eq!(
            (delay.attempt, retries.list()[0].since),
            (2, Duration::from_secs(61))
        );
        assert!(after(&mut retries, 250, transient(None)).is_err());
    }

    #[test]
    fn a_step_that_gets_on_is_not_given_up() {
        let mut retries = Retries::default();
        for attempt in 0..9 {
            let now_s = attempt * 50;
            retries.got_on(Duration::from_secs(now_s), Step::Read);
            let delay = after(&mut retries, now_s, transient(None)).expect("its budget is whole");
            assert_eq!(delay.ceiling, SETTINGS.base_delay);
            assert_eq!(u64::from(delay.attempt), attempt + 1);
        }
        retries.got_on(Duration::from_secs(400), Step::Write(0));
        let given_up = after(&mut retries, 460, transient(None));
        assert!(given_up.is_err(), "another step's progress renews nothing");
    }

    #[test]
    fn only_transient_faults_are_tried_again() {
        for kind in [
            FaultKind::Unauthorized,
            FaultKind::Misconfigured,
            FaultKind::Denied,
            FaultKind::CursorLost,
            FaultKind::Broken,
            FaultKind::Malformed,
            FaultKind::Trapped,
            FaultKind::TimedOut,
            FaultKind::LimitExceeded,
            FaultKind::Drift,
            FaultKind::Host,
        ] {
            let fault = Fault::new(kind, "no");
            assert_eq!(after(&mut Retries::default(), 0, fault.clone()), Err(fault));
        }
    }
}
