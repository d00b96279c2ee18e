//! Rivals side by side: every round runs each of them once, so that what the machine does meanwhile befalls all alike.
//! The first round warms caches and is thrown away. Medians, for one bad round must not count.

use crate::cost::{Cost, measure};
use anyhow::Result;
use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

/// One rival: its name, and the command of one run.
pub struct Subject {
    /// As the table shows it.
    pub name: String,
    /// Makes the command anew for each run, and puts right what the last run left.
    pub command: Box<dyn FnMut() -> Result<Command>>,
}

/// What a rival cost: the median of each figure on its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The rival.
    pub name: String,
    /// Medians over the rounds that counted.
    pub median: Cost,
    /// The least and the most CPU time of those rounds: how far to trust the median.
    pub cpu_range: (Duration, Duration),
}

/// Runs `rounds` rounds that count, after one that does not. `progress` is told before each run.
pub fn interleave(
    subjects: &mut [Subject],
    rounds: usize,
    mut progress: impl FnMut(usize, &str),
) -> Result<Vec<Outcome>> {
    let mut costs: Vec<Vec<Cost>> = subjects
        .iter()
        .map(|_| Vec::with_capacity(rounds))
        .collect();
    for round in 0..=rounds {
        for (subject, costs) in subjects.iter_mut().zip(&mut costs) {
            progress(round, &subject.name);
            let cost = measure((subject.command)()?)?;
            if round > 0 {
                costs.push(cost);
            }
        }
    }
    Ok(subjects
        .iter()
        .zip(&costs)
        .map(|(subject, costs)| outcome(&subject.name, costs))
        .collect())
}

fn outcome(name: &str, costs: &[Cost]) -> Outcome {
    let cpu = sorted(costs.iter().map(Cost::cpu));
    Outcome {
        name: name.to_owned(),
        median: Cost {
            cpu_user: median(costs.iter().map(|cost| cost.cpu_user)),
            cpu_sys: median(costs.iter().map(|cost| cost.cpu_sys)),
            wall: median(costs.iter().map(|cost| cost.wall)),
            peak_rss_bytes: median(costs.iter().map(|cost| cost.peak_rss_bytes)),
        },
        cpu_range: (
            cpu.first().copied().unwrap_or_default(),
            cpu.last().copied().unwrap_or_default(),
        ),
    }
}

fn sorted<T: Ord>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut all: Vec<T> = values.collect();
    all.sort();
    all
}

/// Of an even count, the lower of the two in the middle: a value that was measured.
fn median<T: Ord + Copy + Default>(values: impl Iterator<Item = T>) -> T {
    let all = sorted(values);
    all.get(all.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or_default()
}

/// The outcomes for a person, with ratios to the first of them; `records` is what one run worked on.
pub fn table(outcomes: &[Outcome], records: u64) -> String {
    let mut text = format!(
        "{:<28} {:>9} {:>17} {:>9} {:>10} {:>9} {:>8} {:>8}\n",
        "subject", "CPU s", "least–most", "wall s", "ns/record", "peak MiB", "CPU ×", "memory ×"
    );
    let Some(first) = outcomes.first() else {
        return text;
    };
    for outcome in outcomes {
        let cpu = outcome.median.cpu().as_secs_f64();
        let range = format!(
            "{:.3}–{:.3}",
            outcome.cpu_range.0.as_secs_f64(),
            outcome.cpu_range.1.as_secs_f64()
        );
        let _ = writeln!(
            text,
            "{:<28} {cpu:>9.3} {range:>17} {:>9.3} {:>10.0} {:>9.1} {:>8.2} {:>8.2}",
            outcome.name,
            outcome.median.wall.as_secs_f64(),
            cpu * 1e9 / records.max(1) as f64,
            outcome.median.peak_rss_bytes as f64 / f64::from(1 << 20),
            ratio(cpu, first.median.cpu().as_secs_f64()),
            ratio(
                outcome.median.peak_rss_bytes as f64,
                first.median.peak_rss_bytes as f64
            ),
        );
    }
    text
}

fn ratio(value: f64, of: f64) -> f64 {
    if of > 0.0 { value / of } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;

    fn cost(cpu_ms: u64, peak_rss_bytes: u64) -> Cost {
        let cpu_user = Duration::from_millis(cpu_ms);
        Cost {
            cpu_user,
            cpu_sys: Duration::ZERO,
            wall: cpu_user,
            peak_rss_bytes,
        }
    }

    #[test]
    fn a_median_is_not_moved_by_one_bad_round() {
        let outcome = outcome("a", &[cost(10, 3), cost(900, 1), cost(12, 2)]);
        assert_eq!(outcome.median, cost(12, 2));
        assert_eq!(
            outcome.cpu_range,
            (Duration::from_millis(10), Duration::from_millis(900))
        );
        assert_eq!(median([4, 1, 3, 2].into_iter()), 2);
    }

    #[test]
    fn rivals_take_turns_and_the_first_round_does_not_count() {
        let order = Rc::new(RefCell::new(String::new()));
        let subject = |name: &'static str| {
            let order = Rc::clone(&order);
            let command = move || {
                order.borrow_mut().push_str(name);
                Ok(Command::new("true"))
            };
            Subject {
                name: name.to_owned(),
                command: Box::new(command),
            }
        };
        let outcomes =
            interleave(&mut [subject("a"), subject("b")], 2, |_, _| {}).expect("measured");
        assert_eq!(order.borrow().as_str(), "ababab");
        assert_eq!(outcomes.len(), 2);
    }

    #[test]
    fn ratios_are_to_the_first() {
        let one = outcome("native", &[cost(100, 1 << 20)]);
        let two = outcome("sluice", &[cost(250, 3 << 20)]);
        let text = table(&[one, two], 1_000);
        let last: Vec<&str> = text
            .lines()
            .last()
            .expect("a line")
            .split_whitespace()
            .collect();
        assert_eq!(
            last,
            [
                "sluice",
                "0.250",
                "0.250–0.250",
                "0.250",
                "250000",
                "3.0",
                "2.50",
                "3.00"
            ]
        );
    }
}
