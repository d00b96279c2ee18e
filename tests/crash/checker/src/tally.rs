//! What a run tried, by name. A run that tried less than it was to try shows nothing, and is refused.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Violations that are told in full.
const TOLD_MAX: usize = 12;

/// Counts of what was tried and seen, and what was wrong.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    counts: BTreeMap<String, u64>,
    violations: Vec<String>,
}

impl Tally {
    /// One more of these.
    pub fn count(&mut self, what: impl Into<String>) {
        self.add(what, 1);
    }

    /// So many more of these.
    pub fn add(&mut self, what: impl Into<String>, more: u64) {
        *self.counts.entry(what.into()).or_default() += more;
    }

    /// How many of these.
    pub fn of(&self, what: &str) -> u64 {
        self.counts.get(what).copied().unwrap_or_default()
    }

    /// Writes down what is wrong, and where it can be looked at.
    pub fn violation(&mut self, place: impl fmt::Display, wrong: impl fmt::Display) {
        self.violations.push(format!("{place}: {wrong}"));
    }

    /// What is wrong.
    pub fn violations(&self) -> &[String] {
        &self.violations
    }

    /// All of another.
    pub fn merge(&mut self, other: Tally) {
        for (what, count) in other.counts {
            self.add(what, count);
        }
        self.violations.extend(other.violations);
    }

    /// What is to be said of a run that was to try at least so many of each; the error says what did not hold, or that
    /// the run was vacuous.
    pub fn verdict(
        &self,
        name: &str,
        took: Duration,
        least: &[(&str, u64)],
    ) -> Result<String, String> {
        let counts: Vec<String> = self
            .counts
            .iter()
            .map(|(what, count)| format!("{count} {what}"))
            .collect();
        let line = format!(
            "{name}: {}; {} violations ({:.1} s)",
            counts.join(", "),
            self.violations.len(),
            took.as_secs_f64()
        );
        let few = least.iter().filter(|(what, least)| self.of(what) < *least);
        let few: Vec<String> = few
            .map(|(what, least)| format!("{} of {least} {what}", self.of(what)))
            .collect();
        match (self.violations.is_empty(), few.is_empty()) {
            (true, true) => Ok(line),
            (true, false) => Err(format!("{line}\nvacuous: {}", few.join(", "))),
            (false, _) => {
                let told = self.violations.iter().take(TOLD_MAX);
                Err(format!(
                    "{line}\n{}",
                    told.map(String::as_str).collect::<Vec<_>>().join("\n")
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vacuous_run_is_refused() {
        let mut tally = Tally::default();
        tally.add("kills", 3);
        let second = Duration::from_secs(1);
        assert_eq!(
            tally.verdict("kills", second, &[("kills", 3)]).as_deref(),
            Ok("kills: 3 kills; 0 violations (1.0 s)")
        );
        for least in [("kills", 4), ("images", 1)] {
            let refused = tally
                .verdict("kills", second, &[least])
                .expect_err("refused");
            assert!(refused.contains("vacuous"), "{refused}");
        }
        let mut other = Tally::default();
        other.violation("here", "lost");
        tally.merge(other);
        let told = tally.verdict("kills", second, &[]).expect_err("violated");
        assert!(
            told.contains("1 violations") && told.contains("here: lost"),
            "{told}"
        );
    }
}
