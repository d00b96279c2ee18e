//! What can stand in the trail: a closed list of words, and what is said of each.

use sluice_model::guards::Guard;
use sluice_model::limits::{AUDIT_NAMES_MAX, AUDIT_VALUE_BYTES_MAX};
use sluice_model::text::shown;
use std::collections::BTreeMap;
use std::fmt;

/// A column's name in a list of many. See [`AUDIT_NAMES_MAX`].
const NAME_BYTES_MAX: usize = 128;

macro_rules! actions {
    ($($(#[$doc:meta])* $action:ident = $word:literal,)*) => {
        /// What was done.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Action { $($(#[$doc])* $action,)* }

        impl Action {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$action,)*];

            /// As it stands in an entry.
            pub fn word(self) -> &'static str {
                match self { $(Self::$action => $word,)* }
            }
        }
    };
}

actions! {
    /// The first entry of all: its origin and its key.
    AuditBegun = "audit.begun",
    /// The first entry of each further file: where the trail stood.
    AuditSegment = "audit.segment",
    /// A line that a crash had left half written was taken off.
    AuditRepaired = "audit.repaired",
    /// From here on another key signs.
    AuditKey = "audit.key",
    /// A host began to work.
    HostStarted = "host.started",
    /// It ended as it should.
    HostStopped = "host.stopped",
    /// It had ended without saying so; found by the next.
    HostLost = "host.lost",
    /// A run began: with these plugins, grants and policy.
    RunStarted = "run.started",
    /// It ended.
    RunEnded = "run.ended",
    /// A plugin, by its digest, was about to be instantiated.
    PluginLoaded = "plugin.loaded",
    /// A plugin was not let in.
    PluginRefused = "plugin.refused",
    /// What signatures are trusted was changed: a key added, removed, revoked.
    TrustChanged = "trust.changed",
    /// A grant was written.
    GrantWritten = "grant.written",
    /// A grant was ended.
    GrantRevoked = "grant.revoked",
    /// A grant's file is not as a run last saw it.
    GrantChanged = "grant.changed",
    /// `sluice.toml` is not as a run last saw it.
    DeploymentChanged = "deployment.changed",
    /// The policy is not as a run last saw it.
    PolicyChanged = "policy.changed",
    /// A secret was given its first value.
    SecretSet = "secret.set",
    /// A secret was given another value: by somebody, or by the host for an authorization server.
    SecretRotated = "secret.rotated",
    /// A secret was removed.
    SecretRemoved = "secret.removed",
    /// A plugin was shown a secret.
    SecretRevealed = "secret.revealed",
    /// A key that encrypts what is at rest was made, rotated or destroyed.
    StateKey = "state.key",
    /// What a pipeline kept was made unreadable.
    StateShredded = "state.shredded",
    /// The state store was put back to an older one, and somebody said so.
    StateRestored = "state.restored",
    /// Where a pipeline is was forgotten.
    CheckpointReset = "checkpoint.reset",
    /// Where a pipeline is was set to another place.
    CheckpointSet = "checkpoint.set",
    /// Records that a pipeline has read are read again from another place, beside it.
    CheckpointBackfill = "checkpoint.backfill",
    /// Somebody told a pipeline to wait.
    PipelinePaused = "pipeline.paused",
    /// Somebody let it go on.
    PipelineResumed = "pipeline.resumed",
    /// Dead letters were written out, readable.
    DlqExported = "dlq.exported",
    /// Dead letters were shown with all that stands in them.
    DlqRevealed = "dlq.revealed",
    /// A dead letter's record was edited.
    DlqEdited = "dlq.edited",
    /// Dead letters were sent again.
    DlqRedriven = "dlq.redriven",
    /// Dead letters were given up.
    DlqDiscarded = "dlq.discarded",
    /// Dead letters whose time is over were removed, or settled ones to make room.
    DlqExpired = "dlq.expired",
    /// A plugin asked for what it may not have.
    Refused = "refused",
    /// A plugin used what it may.
    Used = "used",
    /// A plugin wrote more log lines than are kept.
    LogFlood = "log.flood",
}

/// Something done, with what there is to say of it: what an entry is made from.
///
/// Invariant: no value is longer than [`AUDIT_VALUE_BYTES_MAX`], and none moves a terminal's cursor
/// (test: `values_are_bounded_and_plain`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    pub(crate) action: Action,
    pub(crate) fields: BTreeMap<&'static str, String>,
    pub(crate) commit: Option<u64>,
    /// Done by the host itself, whoever's command it is.
    pub(crate) by_host: bool,
}

impl Action {
    /// With something to say of it.
    #[must_use]
    pub fn with(self, key: &'static str, value: impl fmt::Display) -> Act {
        Act::from(self).with(key, value)
    }
}

impl From<Action> for Act {
    fn from(action: Action) -> Self {
        Self {
            action,
            fields: BTreeMap::new(),
            commit: None,
            by_host: false,
        }
    }
}

impl Act {
    /// What the host itself did or saw, while it does what somebody asked for.
    #[must_use]
    pub fn by_the_host(mut self) -> Self {
        self.by_host = true;
        self
    }

    /// With more to say of it. Never a secret's value.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        let value = shown(
            &value.to_string(),
            Guard::AuditValue.limit(AUDIT_VALUE_BYTES_MAX),
        );
        self.fields.insert(key, value);
        self
    }

    /// The same, where there is something to say.
    #[must_use]
    pub fn with_some(self, key: &'static str, value: Option<impl fmt::Display>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// With the state store's last commit at that moment.
    #[must_use]
    pub fn at(mut self, commit: u64) -> Self {
        self.commit = Some(commit);
        self
    }

    /// With names and how often each: as a JSON array of pairs. At most [`AUDIT_NAMES_MAX`] of them.
    #[must_use]
    pub(crate) fn names(mut self, key: &'static str, names: &[(String, u64)]) -> Self {
        let names: Vec<(String, u64)> = names
            .iter()
            .take(Guard::AuditNames.limit(AUDIT_NAMES_MAX))
            .map(|(name, times)| (shown(name, NAME_BYTES_MAX), *times))
            .collect();
        let list = serde_json::to_string(&names).expect("names and numbers are plain data");
        self.fields.insert(key, list);
        self
    }

    /// Machine-made and of a known size: nothing to bound or escape.
    #[must_use]
    pub(crate) fn own(mut self, key: &'static str, value: String) -> Self {
        self.fields.insert(key, value);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_bounded_and_plain() {
        let act = Action::Refused
            .with("asked", "x\u{1b}[2J\n".repeat(1_000))
            .with_some("none", None::<u8>)
            .at(7);
        let asked = &act.fields["asked"];
        assert!(asked.len() <= AUDIT_VALUE_BYTES_MAX && asked.starts_with("x\\u{1b}[2J\\u{a}x"));
        assert!(!act.fields.contains_key("none"));
        let many: Vec<(String, u64)> = (0..1_000).map(|at| (format!("\u{1b}{at}"), at)).collect();
        let act = Act::from(Action::Used).names("columns", &many);
        let list: Vec<(String, u64)> = serde_json::from_str(&act.fields["columns"]).unwrap();
        assert_eq!(list.len(), AUDIT_NAMES_MAX);
        assert_eq!(list[1], ("\\u{1b}1".to_owned(), 1));
    }

    #[test]
    fn words_are_told_apart() {
        let mut words: Vec<&str> = Action::ALL.iter().map(|action| action.word()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Action::ALL.len());
    }

    /// Whoever reads a trail finds each word in the manual's table, and no other.
    #[test]
    fn the_manual_names_every_action() {
        let manual = include_str!("../../../docs/auditing.md");
        let table = manual.split_once("| action | when |").unwrap().1;
        let rows = table
            .lines()
            .skip(2)
            .take_while(|line| line.starts_with('|'));
        let mut told: Vec<&str> = rows
            .flat_map(|row| row.split('|').nth(1).unwrap().split(','))
            .map(|word| word.trim().trim_matches('`'))
            .collect();
        let mut words: Vec<&str> = Action::ALL.iter().map(|action| action.word()).collect();
        told.sort_unstable();
        words.sort_unstable();
        assert_eq!(told, words);
    }
}
