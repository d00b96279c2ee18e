//! Why a plugin could not do its work, and which record it refuses. Deliberately no error chain: the host acts on
//! the case, and people read one line.

use crate::bindings::source::sluice::plugin::{records::ColumnError, types};
use std::fmt;

/// One record the plugin refuses: see [`Rejection::new`].
pub use types::Rejection;

/// Why a plugin could not do its work. The host decides what happens next from the case alone, so choose it with
/// care; the message is for the person who can mend it: lower case, no full stop, values in backticks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Try again: nothing is wrong with the records. The host backs off; a plugin never sleeps or loops to retry.
    Transient {
        /// What happened.
        message: String,
        /// What the other system asked for, in milliseconds.
        retry_after_ms: Option<u64>,
    },
    /// Credentials were refused: the host stops the pipeline and says so.
    Unauthorized(String),
    /// The configuration cannot work: the host stops the pipeline and says so.
    Misconfigured(String),
    /// A capability was missing: the text the host gave with the refusal.
    Denied(String),
    /// The cursor is no longer valid at the source (log truncated, snapshot expired, file replaced).
    CursorLost(String),
    /// A defect: these records will never work.
    Broken(String),
}

impl Fault {
    /// See [`Fault::Transient`].
    pub fn transient(message: impl Into<String>) -> Self {
        Self::Transient {
            message: message.into(),
            retry_after_ms: None,
        }
    }

    /// See [`Fault::Unauthorized`].
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::Unauthorized(message.into())
    }

    /// See [`Fault::Misconfigured`].
    pub fn misconfigured(message: impl Into<String>) -> Self {
        Self::Misconfigured(message.into())
    }

    /// See [`Fault::Denied`].
    pub fn denied(message: impl Into<String>) -> Self {
        Self::Denied(message.into())
    }

    /// See [`Fault::CursorLost`].
    pub fn cursor_lost(message: impl Into<String>) -> Self {
        Self::CursorLost(message.into())
    }

    /// See [`Fault::Broken`].
    pub fn broken(message: impl Into<String>) -> Self {
        Self::Broken(message.into())
    }

    /// Not sooner than this many milliseconds; means something for [`Fault::Transient`] only.
    #[must_use]
    pub fn retry_after_ms(mut self, wait_ms: u64) -> Self {
        if let Self::Transient { retry_after_ms, .. } = &mut self {
            *retry_after_ms = Some(wait_ms);
        }
        self
    }

    /// The same fault with more words before its message: `page 3: connection reset`.
    #[must_use]
    pub fn context(mut self, what: impl fmt::Display) -> Self {
        let message = self.message_mut();
        *message = format!("{what}: {message}");
        self
    }

    /// The words for the person who can mend it.
    pub fn message(&self) -> &str {
        match self {
            Self::Transient { message, .. }
            | Self::Unauthorized(message)
            | Self::Misconfigured(message)
            | Self::Denied(message)
            | Self::CursorLost(message)
            | Self::Broken(message) => message,
        }
    }

    fn message_mut(&mut self) -> &mut String {
        match self {
            Self::Transient { message, .. }
            | Self::Unauthorized(message)
            | Self::Misconfigured(message)
            | Self::Denied(message)
            | Self::CursorLost(message)
            | Self::Broken(message) => message,
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Transient { .. } => "transient",
            Self::Unauthorized(_) => "unauthorized",
            Self::Misconfigured(_) => "misconfigured",
            Self::Denied(_) => "denied",
            Self::CursorLost(_) => "cursor lost",
            Self::Broken(_) => "broken",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.word(), self.message())
    }
}

impl std::error::Error for Fault {}

impl From<Fault> for types::Fault {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Transient {
                message,
                retry_after_ms,
            } => Self::Transient(types::Transient {
                message,
                retry_after_ms,
            }),
            Fault::Unauthorized(message) => Self::Unauthorized(message),
            Fault::Misconfigured(message) => Self::Misconfigured(message),
            Fault::Denied(message) => Self::Denied(message),
            Fault::CursorLost(message) => Self::CursorLost(message),
            Fault::Broken(message) => Self::Broken(message),
        }
    }
}

impl From<ColumnError> for Fault {
    fn from(error: ColumnError) -> Self {
        match error {
            ColumnError::Unknown(name) => Self::broken(format!("the batch has no column `{name}`")),
            ColumnError::Denied(text) => Self::denied(text),
        }
    }
}

impl Rejection {
    /// Refuses row `row` (from zero) of the batch at hand. `code` is a short stable word for people to filter by
    /// (`out-of-range`); `message` says what was wrong. Neither should quote the record's content.
    ///
    /// A sink that was given several parts names the part with [`Rejection::in_part`].
    pub fn new(row: usize, code: impl Into<String>, message: impl Into<String>) -> Self {
        let row = u32::try_from(row).unwrap_or(u32::MAX);
        Self {
            part: 0,
            row,
            code: code.into(),
            message: message.into(),
        }
    }

    /// For a sink: the index of the part in the list it was given.
    #[must_use]
    pub fn in_part(mut self, part: usize) -> Self {
        self.part = u32::try_from(part).unwrap_or(u32::MAX);
        self
    }
}
