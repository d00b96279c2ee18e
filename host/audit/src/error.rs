//! Why the trail could not be written or read.

use crate::verify::Finding;
use std::io;
use std::path::Path;

/// Why something was not audited, and therefore must not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// The disk.
    #[error("the audit trail: `{file}`: {reason}")]
    Io {
        /// Where.
        file: String,
        /// What the system said.
        reason: String,
    },
    /// The trail is not what the host wrote.
    #[error(
        "the audit trail does not hold: {0}\n  hint: `sluice audit verify` says more; `docs/auditing.md` says what to do"
    )]
    Broken(Finding),
    /// The key cannot be used.
    #[error("the audit key `{file}`: {reason}")]
    Key {
        /// Where.
        file: String,
        /// Why not.
        reason: String,
    },
    /// The second place is not a copy of the trail.
    #[error("the audit trail's copy in `{dir}`: {reason}")]
    Copy {
        /// Where.
        dir: String,
        /// Why not.
        reason: String,
    },
    /// A write failed before: what is on the disk since then is not known.
    #[error("the audit trail could not be written earlier; start again once that is mended")]
    Poisoned,
}

impl From<Finding> for AuditError {
    fn from(finding: Finding) -> Self {
        Self::Broken(finding)
    }
}

/// What the system said of this file.
pub(crate) fn io(file: &Path) -> impl FnOnce(io::Error) -> AuditError {
    let file = file.display().to_string();
    move |error| AuditError::Io {
        file,
        reason: error.to_string().to_lowercase(),
    }
}
