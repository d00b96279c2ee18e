//! A redrive: dead letters sent again, each to the sinks that have not taken it. A run like any other, with the dead
//! letters in the place of the source, and checkpoints of its own: one for each set of sinks.

use super::driving::drive;
use super::redriving::Entry;
use super::work::{Input, Shared, Work};
use crate::report::SplitReport;
use sluice_model::fault::FaultKind;
use sluice_model::ids::{HOST_OWN, PluginName, Role, SplitId, StreamName};
use sluice_state::journal::DeadLetter;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Dead letters that go to the same sinks.
#[derive(Debug, Default)]
struct Group {
    numbers: Vec<u64>,
    streams: BTreeSet<StreamName>,
}

/// Which letters a redrive sends, and where to. Built from letters in the order of their numbers.
#[derive(Debug, Default)]
pub struct Chosen {
    groups: BTreeMap<Vec<usize>, Group>,
}

impl Chosen {
    /// Takes a letter in. It goes to those of these sinks that refused it; where it never came so far, or another plugin
    /// stands in the place of the one that refused it, to all of them.
    pub fn add(&mut self, letter: &DeadLetter, sinks: &[PluginName]) {
        let rejection = &letter.rejection;
        let by = [rejection.stage].into_iter().chain(rejection.also.clone());
        let by = by.filter(|stage| stage.role == Role::Sink);
        let mut to: Vec<usize> = by.map(|stage| usize::from(stage.index)).collect();
        to.retain(|sink| *sink < sinks.len());
        let stage = rejection.stage;
        let is_moved =
            stage.role == Role::Sink && sinks.get(usize::from(stage.index)) != Some(&letter.plugin);
        if to.is_empty() || is_moved {
            to = (0..sinks.len()).collect();
        }
        to.sort_unstable();
        let group = self.groups.entry(to).or_default();
        group.numbers.push(letter.number);
        group.streams.insert(rejection.stream.clone());
    }

    /// How many sets of sinks they go to.
    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// Whose records.
    pub fn streams(&self) -> BTreeSet<StreamName> {
        let groups = self.groups.values();
        groups.flat_map(|group| group.streams.clone()).collect()
    }

    /// The pieces of work that they make, one after the other.
    fn work(self, sinks: usize, entry: Entry) -> impl Iterator<Item = Work> {
        self.groups.into_iter().map(move |(to, group)| Work {
            id: split_of(&to, sinks),
            streams: group.streams.into_iter().collect(),
            sinks: to,
            input: Input::Letters(Arc::new(group.numbers), entry),
        })
    }
}

/// What the checkpoint of a redrive to these sinks is kept under.
fn split_of(to: &[usize], sinks: usize) -> SplitId {
    let all = to.len() == sinks;
    let named = to.iter().map(|sink| format!("/sink-{}", sink + 1));
    let named: String = if all { String::new() } else { named.collect() };
    format!("{HOST_OWN}redrive{named}")
        .parse()
        .expect("printable, and short: there are as many sinks as a pipeline file has")
}

/// Sends them, group after group.
pub async fn send(shared: &Arc<Shared>, chosen: Chosen, entry: Entry) -> Vec<SplitReport> {
    shared.watch.splits(chosen.groups.len());
    let mut done: Vec<SplitReport> = Vec::new();
    for work in chosen.work(shared.stages.plan.sinks.len(), entry) {
        // One sink that is away keeps nothing from the others.
        let is_over = |split: &SplitReport| {
            let kind = split.fault.as_ref().map(|fault| &fault.kind);
            matches!(kind, Some(FaultKind::Host | FaultKind::Quarantined))
        };
        if shared.is_draining() || done.iter().any(is_over) {
            break;
        }
        done.push(drive(Arc::clone(shared), work).await);
        shared.watch.split_done();
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_set_of_sinks_has_a_checkpoint_of_its_own() {
        let split = |to: &[usize], sinks| split_of(to, sinks).to_string();
        assert_eq!(split(&[0], 1), "~redrive");
        assert_eq!(split(&[0, 1], 2), "~redrive");
        assert_eq!(split(&[1], 2), "~redrive/sink-2");
        assert_eq!(split(&[0, 2], 3), "~redrive/sink-1/sink-3");
    }
}
