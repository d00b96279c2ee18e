//! What stops a call, a batch or a run: the kind, who can mend it, and whether to try again. Decided where it
//! arises; everything above only reads it.

use serde::Serialize;
use std::fmt;
use std::time::Duration;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// Nothing is wrong with the records: try again, not sooner than this.
    Transient {
        /// What the other system asked for.
        retry_after: Option<Duration>,
    },
    /// Credentials were refused.
    Unauthorized,
    /// The configuration cannot work.
    Misconfigured,
    /// A capability was missing.
    Denied,
    /// The cursor is no longer valid at the source.
    CursorLost,
    /// A defect of the plugin, by its own word.
    Broken,
    /// The plugin handed over what the contract forbids: offsets that lie, rows that do not exist.
    Malformed,
    /// The plugin panicked or trapped.
    Trapped,
    /// The plugin ran past its call time.
    TimedOut,
    /// The plugin asked for more memory, table entries, handles or data than its limits allow.
    LimitExceeded,
    /// The plugin failed again and again, on everything it was given.
    Quarantined,
    /// More of the records were refused than the pipeline's `stop_when` lets pass.
    TooManyRejected,
    /// The dead letters take all the room that the pipeline gives them.
    DlqFull,
    /// Data does not fit the contract of the stream, and the contract says to stop.
    Drift,
    /// The host itself failed: storage, an invariant.
    Host,
}

/// Who can do something about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mender {
    /// The plugin's vendor.
    Plugin,
    /// Whoever runs the other system.
    Upstream,
    /// Whoever runs this pipeline.
    Operator,
    /// Whoever runs this host.
    Host,
}

/// A fault, with the words for the person who can mend it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// What happened.
    pub kind: FaultKind,
    /// In lower case, without a full stop.
    pub message: String,
    /// The next step, often the exact line to add.
    pub hint: Option<String>,
}

impl Fault {
    /// A fault of this kind.
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
        }
    }

    /// With the next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Whether the same call may succeed later with nothing changed here.
    pub fn is_transient(&self) -> bool {
        matches!(self.kind, FaultKind::Transient { .. })
    }

    /// Whether the instance that raised it must be thrown away and never entered again.
    pub fn poisons_instance(&self) -> bool {
        matches!(
            self.kind,
            FaultKind::Trapped
                | FaultKind::TimedOut
                | FaultKind::LimitExceeded
                | FaultKind::Malformed
        )
    }

    /// Whether it may be the records' doing: fewer of them may work. What breaks the contract is the plugin's own.
    pub fn may_be_a_record(&self) -> bool {
        matches!(
            self.kind,
            FaultKind::Broken | FaultKind::Trapped | FaultKind::TimedOut | FaultKind::LimitExceeded
        )
    }

    /// The kind as a dead letter's code.
    pub fn code(&self) -> String {
        self.word().replace(' ', "-")
    }

    /// Who can mend it.
    pub fn mender(&self) -> Mender {
        match self.kind {
            FaultKind::Transient { .. } => Mender::Upstream,
            FaultKind::Unauthorized
            | FaultKind::CursorLost
            | FaultKind::Drift
            | FaultKind::Misconfigured
            | FaultKind::Denied
            | FaultKind::TooManyRejected
            | FaultKind::DlqFull => Mender::Operator,
            FaultKind::Broken
            | FaultKind::Malformed
            | FaultKind::Trapped
            | FaultKind::TimedOut
            | FaultKind::LimitExceeded
            | FaultKind::Quarantined => Mender::Plugin,
            FaultKind::Host => Mender::Host,
        }
    }

    /// The kind in one or two words.
    pub fn word(&self) -> &'static str {
        match self.kind {
            FaultKind::Transient { .. } => "transient",
            FaultKind::Unauthorized => "unauthorized",
            FaultKind::Misconfigured => "misconfigured",
            FaultKind::Denied => "denied",
            FaultKind::CursorLost => "cursor lost",
            FaultKind::Broken => "broken",
            FaultKind::Malformed => "malformed",
            FaultKind::Trapped => "trapped",
            FaultKind::TimedOut => "timed out",
            FaultKind::LimitExceeded => "limit exceeded",
            FaultKind::Quarantined => "quarantined",
            FaultKind::TooManyRejected => "too many rejected",
            FaultKind::DlqFull => "dlq full",
            FaultKind::Drift => "schema drift",
            FaultKind::Host => "host failure",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.word(), self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}
