//! A dead letter: the record that was refused, what became of it since, and the rule by which an attempt to send it again
//! counts. Not how letters are found or written: see `letters`, `rows` and `acts`.

use serde::{Deserialize, Serialize};
use sluice_model::checkpoint::Mark;
use sluice_model::ids::{PipelineName, PluginName, Role, SplitId};
use sluice_model::rejection::{Record, Rejection};
use std::fmt;

/// A record that was refused, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Unique in its pipeline, for ever.
    pub number: u64,
    /// Whose.
    pub pipeline: PipelineName,
    /// Of which split.
    pub split: SplitId,
    /// The run that met it.
    pub run: String,
    /// The unit it was in.
    pub mark: Mark,
    /// The plugin of the stage that refused it last, the source's for what could not be decoded.
    pub plugin: PluginName,
    /// When it came, in milliseconds since 1970.
    pub at_ms: u64,
    /// What, where and why: why is of the last refusal; the record, its place and its identity are as they entered.
    pub rejection: Rejection,
    /// What became of it.
    #[serde(default, skip_serializing_if = "Standing::is_waiting")]
    pub standing: Standing,
    /// Redrives that ended in another refusal.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempts: u32,
    /// The last redrive. As it is stored, what it brought is not yet in the fields above; as it is read, it is, once
    /// its unit is settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<Attempt>,
    /// How often it was edited.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub edits: u32,
    /// What a person made of the record: this is redriven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited: Option<Edit>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "what serde calls it with"
)]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What became of a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Standing {
    /// It waits for somebody to redrive or discard it.
    #[default]
    Waiting,
    /// A redrive delivered it.
    Delivered {
        /// When, in milliseconds since 1970.
        at_ms: u64,
        /// The run that did.
        run: String,
    },
    /// A redrive left it out, as a transform was told to.
    Filtered {
        /// When, in milliseconds since 1970.
        at_ms: u64,
        /// The run that did.
        run: String,
    },
    /// A person gave it up: its record is gone.
    Discarded {
        /// When, in milliseconds since 1970.
        at_ms: u64,
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
}

/// A [`Standing`] without its particulars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StandingKind {
    /// See [`Standing::Waiting`].
    Waiting,
    /// See [`Standing::Delivered`].
    Delivered,
    /// See [`Standing::Filtered`].
    Filtered,
    /// See [`Standing::Discarded`].
    Discarded,
}

impl fmt::Display for StandingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Filtered => "filtered",
            Self::Discarded => "discarded",
        })
    }
}

impl Standing {
    /// Which.
    pub fn kind(&self) -> StandingKind {
        match self {
            Self::Waiting => StandingKind::Waiting,
            Self::Delivered { .. } => StandingKind::Delivered,
            Self::Filtered { .. } => StandingKind::Filtered,
            Self::Discarded { .. } => StandingKind::Discarded,
        }
    }

    /// Since when it is so; none for what waits, which does so since it came.
    pub fn since_ms(&self) -> Option<u64> {
        match self {
            Self::Waiting => None,
            Self::Delivered { at_ms, .. }
            | Self::Filtered { at_ms, .. }
            | Self::Discarded { at_ms, .. } => Some(*at_ms),
        }
    }

    fn is_waiting(&self) -> bool {
        *self == Self::Waiting
    }
}

/// One redrive of a letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The split that redrives.
    pub split: SplitId,
    /// Its unit.
    pub mark: Mark,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The run that did.
    pub run: String,
    /// How it ended.
    pub fate: Fate,
}

/// How one redrive of a letter ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Fate {
    /// Every sink has it.
    Delivered,
    /// A transform left it out.
    Filtered,
    /// It was refused again. As it is stored, the rejection's record is empty: it is the letter's.
    Refused {
        /// The plugin of the stage that refused it.
        plugin: PluginName,
        /// Where and why.
        rejection: Box<Rejection>,
    },
}

impl Fate {
    /// Without what the letter holds already.
    pub(super) fn stripped(mut self) -> Self {
        if let Self::Refused { rejection, .. } = &mut self {
            rejection.record = Record::Raw(Vec::new());
        }
        self
    }
}

/// What a person made of a letter's record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// Who.
    pub by: String,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// What is redriven in place of the record as it entered.
    pub record: Record,
}

impl DeadLetter {
    /// What is redriven: the record as it was edited, else as it entered.
    pub fn sent(&self) -> &Record {
        self.edited
            .as_ref()
            .map_or(&self.rejection.record, |edit| &edit.record)
    }

    /// As it stands once its last attempt is settled: the one rule by which an attempt counts.
    #[must_use]
    pub(super) fn settled(mut self) -> Self {
        let Some(attempt) = &self.attempt else {
            return self;
        };
        let (at_ms, run) = (attempt.at_ms, attempt.run.clone());
        match &attempt.fate {
            Fate::Delivered => self.standing = Standing::Delivered { at_ms, run },
            Fate::Filtered => self.standing = Standing::Filtered { at_ms, run },
            Fate::Refused { plugin, rejection } => {
                let (plugin, mut again) = (plugin.clone(), (**rejection).clone());
                let entered = self.rejection;
                if again.stage.role != Role::Sink {
                    // It came to no sink this time: those that lack it are those that refused it before.
                    let by = [entered.stage].into_iter().chain(entered.also);
                    again.also = by.filter(|stage| stage.role == Role::Sink).collect();
                }
                self.attempts = self.attempts.saturating_add(1);
                self.plugin = plugin;
                self.rejection = Rejection {
                    place: entered.place,
                    record: entered.record,
                    csv: entered.csv,
                    truncated: entered.truncated,
                    identity: entered.identity,
                    ..again
                };
            }
        }
        self
    }

    /// As it is written once it is settled: the attempt is in it.
    #[must_use]
    pub(super) fn without_attempt(mut self) -> Self {
        self.attempt = None;
        self
    }
}
