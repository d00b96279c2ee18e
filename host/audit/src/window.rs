//! What plugins do on the data path, gathered until it is written: equal refusals are one entry with a count, uses are
//! sums. Knows no clock and no disk.
//!
//! Invariant: what one window makes of a stage is bounded, whatever the plugin does (test:
//! `a_million_refusals_are_a_few_entries`).

use crate::action::{Act, Action};
use sluice_model::guards::Guard;
use sluice_model::ids::StageId;
use sluice_model::limits::{AUDIT_NAMES_MAX, AUDIT_WINDOW_KINDS_MAX, LOG_LINES_MAX};
use sluice_model::ports::{Refusal, Used};
use std::collections::BTreeMap;

/// Columns of one stage that a window tells apart. See [`AUDIT_WINDOW_KINDS_MAX`].
const COLUMNS_MAX: usize = 4 * AUDIT_NAMES_MAX;

/// Whose doings they are.
#[derive(Debug, Clone, Default)]
pub struct Party {
    /// The entry of the run.
    pub run: u64,
    /// The pipeline.
    pub pipeline: String,
    /// The plugin of each stage.
    pub plugins: BTreeMap<StageId, String>,
}

/// What was gathered since it was last emptied.
#[derive(Debug, Default)]
pub struct Window {
    stages: BTreeMap<StageId, Stage>,
}

#[derive(Debug, Default)]
struct Stage {
    refused: BTreeMap<(&'static str, String), (Refusal, u64)>,
    refused_others: u64,
    used: BTreeMap<(&'static str, String), Sum>,
    used_others: BTreeMap<&'static str, Sum>,
    columns: BTreeMap<&'static str, BTreeMap<String, u64>>,
    columns_others: BTreeMap<&'static str, u64>,
    log_lines: u64,
}

#[derive(Debug, Default, Clone, Copy)]
struct Sum {
    times: u64,
    bytes_out: u64,
    bytes_in: u64,
}

impl Sum {
    fn add(&mut self, used: &Used<'_>) {
        self.times = self.times.saturating_add(used.times);
        self.bytes_out = self.bytes_out.saturating_add(used.bytes_out);
        self.bytes_in = self.bytes_in.saturating_add(used.bytes_in);
    }
}

impl Window {
    /// A plugin asked for what it may not have.
    pub fn refused(&mut self, stage: StageId, refusal: &Refusal) {
        let here = self.stages.entry(stage).or_default();
        let key = (refusal.capability, refusal.asked.clone());
        let full = here.refused.len() >= Guard::AuditRefusals.limit(AUDIT_WINDOW_KINDS_MAX);
        match here.refused.get_mut(&key) {
            Some((_, times)) => *times += 1,
            None if full => here.refused_others += 1,
            None => drop(here.refused.insert(key, (refusal.clone(), 1))),
        }
    }

    /// A plugin used what it may.
    pub fn used(&mut self, stage: StageId, used: &Used<'_>) {
        let here = self.stages.entry(stage).or_default();
        if used.capability.starts_with("data.") {
            let columns = here.columns.entry(used.capability).or_default();
            let full = columns.len() >= Guard::AuditColumns.limit(COLUMNS_MAX);
            match columns.get_mut(used.name) {
                Some(times) => *times = times.saturating_add(used.times),
                None if full => *here.columns_others.entry(used.capability).or_default() += 1,
                None => drop(columns.insert(used.name.to_owned(), used.times)),
            }
            return;
        }
        let key = (used.capability, used.name.to_owned());
        let full = here.used.len() >= Guard::AuditUses.limit(AUDIT_WINDOW_KINDS_MAX);
        match here.used.get_mut(&key) {
            Some(sum) => sum.add(used),
            None if full => here
                .used_others
                .entry(used.capability)
                .or_default()
                .add(used),
            None => here.used.entry(key).or_default().add(used),
        }
    }

    /// A plugin wrote a log line.
    pub fn logged(&mut self, stage: StageId) {
        self.stages.entry(stage).or_default().log_lines += 1;
    }

    /// What was gathered, as entries; it is empty then.
    pub fn empty(&mut self, party: &Party) -> Vec<Act> {
        let mut acts = Vec::new();
        for (stage, gathered) in std::mem::take(&mut self.stages) {
            let of = |action: Action| {
                Act::from(action)
                    .with("run", party.run)
                    .with("pipeline", &party.pipeline)
                    .with("stage", stage)
                    .with_some("plugin", party.plugins.get(&stage))
            };
            gathered.acts(&of, &mut acts);
        }
        acts
    }
}

impl Stage {
    fn acts(self, of: &dyn Fn(Action) -> Act, acts: &mut Vec<Act>) {
        for (refusal, times) in self.refused.into_values() {
            let act = of(Action::Refused).with("capability", refusal.capability);
            let act = act
                .with("asked", refusal.asked)
                .with("reason", refusal.reason);
            acts.push(act.with("times", times));
        }
        if self.refused_others > 0 {
            acts.push(
                of(Action::Refused)
                    .with("asked", "others")
                    .with("times", self.refused_others),
            );
        }
        let sum = |capability: &str, name: &str, sum: Sum| {
            let act = of(Action::Used)
                .with("capability", capability)
                .with("name", name);
            let act = act
                .with("times", sum.times)
                .with("bytes-out", sum.bytes_out);
            act.with("bytes-in", sum.bytes_in)
        };
        acts.extend(
            self.used
                .iter()
                .map(|((capability, name), used)| sum(capability, name, *used)),
        );
        acts.extend(
            self.used_others
                .iter()
                .map(|(capability, used)| sum(capability, "others", *used)),
        );
        for (capability, columns) in self.columns {
            let columns: Vec<(String, u64)> = columns.into_iter().collect();
            for some in columns.chunks(AUDIT_NAMES_MAX) {
                acts.push(
                    of(Action::Used)
                        .with("capability", capability)
                        .names("names", some),
                );
            }
            if let Some(others) = self.columns_others.get(capability) {
                acts.push(
                    of(Action::Used)
                        .with("capability", capability)
                        .with("others", others),
                );
            }
        }
        if self.log_lines >= LOG_LINES_MAX {
            acts.push(of(Action::LogFlood).with("lines", self.log_lines));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_model::ids::Role;

    const STAGE: StageId = StageId {
        role: Role::Sink,
        index: 0,
    };

    fn refusal(asked: String) -> Refusal {
        Refusal {
            capability: "http",
            asked,
            reason: "not granted".to_owned(),
            hint: None,
        }
    }

    fn used<'a>(capability: &'static str, name: &'a str) -> Used<'a> {
        Used {
            capability,
            name,
            times: 2,
            bytes_out: 10,
            bytes_in: 100,
        }
    }

    #[test]
    fn a_million_refusals_are_a_few_entries() {
        let mut window = Window::default();
        for at in 0..1_000_000_u32 {
            window.refused(
                STAGE,
                &refusal(format!("GET https://{}.evil.test/", at % 5_000)),
            );
        }
        let acts = window.empty(&Party::default());
        assert_eq!(acts.len(), AUDIT_WINDOW_KINDS_MAX + 1);
        let times: u64 = acts
            .iter()
            .map(|act| act.fields["times"].parse::<u64>().unwrap())
            .sum();
        assert_eq!(times, 1_000_000, "each is counted");
        assert!(window.empty(&Party::default()).is_empty());
    }

    #[test]
    fn a_million_names_are_a_few_entries() {
        let mut window = Window::default();
        for at in 0..1_000 {
            window.used(STAGE, &used("http", &format!("name {at}")));
        }
        let acts = window.empty(&Party::default());
        assert_eq!(acts.len(), AUDIT_WINDOW_KINDS_MAX + 1);
    }

    #[test]
    fn uses_are_sums_and_columns_are_lists() {
        let mut window = Window::default();
        for _ in 0..3 {
            window.used(STAGE, &used("http", "https://api.test:443"));
        }
        for at in 0..1_000 {
            window.used(STAGE, &used("data.reads", &format!("c{at:04}")));
        }
        for _ in 0..LOG_LINES_MAX {
            window.logged(STAGE);
        }
        let party = Party {
            run: 7,
            pipeline: "p".to_owned(),
            plugins: BTreeMap::from([(STAGE, "acme/x 1.0.0".to_owned())]),
        };
        let acts = window.empty(&party);
        assert_eq!(acts.len(), 1 + COLUMNS_MAX / AUDIT_NAMES_MAX + 1 + 1);
        let http = &acts[0].fields;
        let sums = ["times", "bytes-out", "bytes-in"].map(|key| http[key].as_str());
        assert_eq!(sums, ["6", "30", "300"]);
        assert_eq!(
            (http["run"].as_str(), http["plugin"].as_str()),
            ("7", "acme/x 1.0.0")
        );
        assert!(acts[1].fields["names"].starts_with("[[\"c0000\",2],"));
        assert_eq!(acts[acts.len() - 2].fields["others"], "744");
        assert_eq!(acts[acts.len() - 1].action, Action::LogFlood);
    }

    /// A window is written in one piece: it must not be larger than a reader will take.
    #[test]
    fn the_largest_window_has_lines_that_can_be_read() {
        let mut window = Window::default();
        for at in 0..COLUMNS_MAX {
            window.used(
                STAGE,
                &used("data.reads", &format!("{at}{}", "\u{1b}".repeat(1_000))),
            );
        }
        for at in 0..AUDIT_WINDOW_KINDS_MAX {
            window.refused(STAGE, &refusal(format!("{at}{}", "\"".repeat(1_000))));
        }
        for act in window.empty(&Party::default()) {
            let entry = crate::Entry::new(1, 1, &crate::Actor::host(), &act, crate::Hash::NONE);
            let bytes = entry.line().len();
            assert!(
                bytes < sluice_model::limits::AUDIT_LINE_BYTES_MAX,
                "{bytes}"
            );
        }
    }
}
