//! What a grant lets a stage spend at a destination in one run: requests, bytes each way, and how fast. Pure: whoever
//! counts says what was spent and when.

use crate::refuse::File;
use crate::rules::{Allowance, Sending};
use sluice_model::grant::{Http, Rate};
use sluice_model::guards::Guard;
use sluice_model::limits::HTTP_RATE_REQUESTS_MAX;
use sluice_model::ports::Refusal;
use sluice_model::sizes::{ByteSize, Span};
use std::collections::VecDeque;
use std::time::Duration;

/// What one `[[http]]` of a grant allows in one run. Of several entries that a request fits, each counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Budget {
    /// Requests.
    pub requests_max: Option<u64>,
    /// Heads and bodies sent.
    pub bytes_out_max: Option<u64>,
    /// Heads and bodies received.
    pub bytes_in_max: Option<u64>,
    /// How fast.
    pub rate: Option<Rate>,
}

/// What was spent of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// Requests.
    pub requests: u64,
    /// Heads and bodies sent.
    pub bytes_out: u64,
    /// Heads and bodies received.
    pub bytes_in: u64,
}

impl Budget {
    /// Errors: a rate that cannot be kept.
    pub(crate) fn of(entry: &Http) -> Result<Self, String> {
        if let Some(rate) = entry.rate {
            if rate.requests == 0 || rate.requests > Guard::RateMost.limit(HTTP_RATE_REQUESTS_MAX) {
                return Err(format!(
                    "`rate` has from 1 to {HTTP_RATE_REQUESTS_MAX} requests"
                ));
            }
            if rate.per.0.is_zero() {
                return Err("`rate` has requests per no time at all".to_owned());
            }
        }
        Ok(Self {
            requests_max: entry.requests_max,
            bytes_out_max: entry.bytes_out_max.map(|size| size.0),
            bytes_in_max: entry.bytes_in_max.map(|size| size.0),
            rate: entry.rate,
        })
    }

    /// Whether it bounds anything.
    pub(crate) fn is_bound(&self) -> bool {
        self != &Self::default()
    }

    /// The key that is exceeded, its line as it is, and as it might be.
    fn over(&self, spent: &Spent) -> Option<(String, String)> {
        let most = |key: &str, most: Option<u64>, spent: u64, show: &dyn Fn(u64) -> String| {
            let most = most.filter(|most| spent > *most)?;
            let line = |value: u64| format!("{key} = {}", show(value));
            Some((line(most), line(most.max(1).saturating_mul(2))))
        };
        let bytes = |bytes: u64| format!("\"{}\"", ByteSize(bytes));
        let number = |number: u64| number.to_string();
        let under = |guard: Guard, most: Option<u64>| most.filter(|_| guard.stands());
        let requests_max = under(Guard::BudgetRequests, self.requests_max);
        let bytes_out_max = under(Guard::BudgetBytesOut, self.bytes_out_max);
        let bytes_in_max = under(Guard::BudgetBytesIn, self.bytes_in_max);
        most("requests_max", requests_max, spent.requests, &number)
            .or_else(|| most("bytes_out_max", bytes_out_max, spent.bytes_out, &bytes))
            .or_else(|| most("bytes_in_max", bytes_in_max, spent.bytes_in, &bytes))
    }
}

/// May so much be spent under this entry?
pub(crate) fn check(
    file: File<'_>,
    sending: &Sending,
    allowance: &Allowance,
    spent: &Spent,
) -> Result<(), Refusal> {
    let Some((line, wider)) = allowance.budget.over(spent) else {
        return Ok(());
    };
    let reason = format!("the grant allows no more of it in one run: `{line}`");
    Err(refused(file, sending, allowance, reason, &wider))
}

/// A request whose turn would come too late.
pub(crate) fn too_fast(
    file: File<'_>,
    sending: &Sending,
    allowance: &Allowance,
    wait: Duration,
) -> Refusal {
    let line =
        |requests: u32, per: Span| format!("rate = {{ requests = {requests}, per = \"{per}\" }}");
    let (now, wider) = match allowance.budget.rate {
        Some(Rate { requests, per }) => {
            let more = requests.saturating_mul(2).min(HTTP_RATE_REQUESTS_MAX);
            (line(requests, per), line(more, per))
        }
        None => (String::new(), String::new()),
    };
    let reason = format!(
        "the grant allows it no faster than `{now}`, and its turn comes only in {wait:.0?}"
    );
    refused(file, sending, allowance, reason, &wider)
}

fn refused(
    file: File<'_>,
    sending: &Sending,
    allowance: &Allowance,
    reason: String,
    line: &str,
) -> Refusal {
    Refusal {
        capability: "http",
        asked: sending.asked(),
        reason,
        hint: Some(format!(
            "{}, in its `[[http]]` with `host = \"{}\"`, where that much is meant:\n{line}",
            file.place(),
            allowance.rule.host
        )),
    }
}

/// Turns at a rate: in no length of time `per` do more than `requests` begin. Time is counted from wherever the caller
/// likes, and never goes back.
#[derive(Debug)]
pub struct Turns {
    rate: Rate,
    /// The last `rate.requests` beginnings, the oldest first.
    begun: VecDeque<Duration>,
}

impl Turns {
    /// Nothing has begun yet.
    pub fn new(rate: Rate) -> Self {
        Self {
            rate,
            begun: VecDeque::new(),
        }
    }

    /// Takes the next turn, and says how long it is until then. Errors: it is longer than `patience`, so it was not
    /// taken.
    pub fn take(&mut self, now: Duration, patience: Duration) -> Result<Duration, Duration> {
        let is_full = Guard::BudgetRate.bars(self.begun.len() >= self.rate.requests as usize);
        let free = self.begun.front().filter(|_| is_full);
        let begins = free.map_or(now, |oldest| now.max(*oldest + self.rate.per.0));
        let wait = begins.saturating_sub(now);
        if wait > patience {
            return Err(wait);
        }
        if is_full {
            self.begun.pop_front();
        }
        self.begun.push_back(begins);
        Ok(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rate(requests: u32, per_ms: u64) -> Rate {
        Rate {
            requests,
            per: Span(Duration::from_millis(per_ms)),
        }
    }

    #[test]
    fn each_bound_is_told_by_its_own_line() {
        let budget = Budget {
            requests_max: Some(2),
            bytes_out_max: Some(1 << 20),
            bytes_in_max: Some(1000),
            rate: None,
        };
        let check = |requests, bytes_out, bytes_in, expected: Option<(&str, &str)>| {
            let over = budget.over(&Spent {
                requests,
                bytes_out,
                bytes_in,
            });
            let over = over
                .as_ref()
                .map(|(line, wider)| (line.as_str(), wider.as_str()));
            assert_eq!(over, expected);
        };
        check(2, 1 << 20, 1000, None);
        check(3, 0, 0, Some(("requests_max = 2", "requests_max = 4")));
        check(
            0,
            (1 << 20) + 1,
            0,
            Some(("bytes_out_max = \"1MiB\"", "bytes_out_max = \"2MiB\"")),
        );
        check(
            0,
            0,
            1001,
            Some(("bytes_in_max = \"1000\"", "bytes_in_max = \"2000\"")),
        );
        assert_eq!(
            Budget::default().over(&Spent {
                requests: u64::MAX,
                bytes_out: u64::MAX,
                bytes_in: u64::MAX
            }),
            None
        );
    }

    #[test]
    fn a_turn_that_comes_too_late_is_not_taken() {
        let mut turns = Turns::new(rate(1, 1000));
        let at = Duration::from_millis;
        assert_eq!(turns.take(at(0), at(0)), Ok(at(0)));
        assert_eq!(turns.take(at(300), at(500)), Err(at(700)));
        assert_eq!(turns.take(at(600), at(500)), Ok(at(400)));
        assert_eq!(turns.take(at(1000), at(999)), Err(at(1000)));
    }

    proptest! {
        #[test]
        fn no_length_of_time_holds_more_than_the_rate(
            requests in 1u32..5,
            per in 1u64..50,
            gaps in prop::collection::vec(0u64..30, 1..60),
        ) {
            let mut turns = Turns::new(rate(requests, per));
            let (mut now, mut begun) = (0, Vec::new());
            for gap in gaps {
                now += gap;
                let wait = turns.take(Duration::from_millis(now), Duration::MAX).expect("patient");
                begun.push(now + u64::try_from(wait.as_millis()).expect("short"));
            }
            prop_assert!(begun.is_sorted());
            for window in begun.windows(requests as usize + 1) {
                prop_assert!(window[requests as usize] - window[0] >= per, "{begun:?}");
            }
        }
    }
}
