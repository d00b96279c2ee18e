//! Columns between the host's Arrow and the contract's lists. `lower` copies out what a guest asked for; `lift`
//! believes nothing until it has checked it.

#[cfg(test)]
mod lies;
pub(crate) mod lift;
pub(crate) mod lower;

use sluice_model::limits;
use sluice_model::text::shown;
use std::fmt;

/// What a guest handed over is not what it says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lie(String);

impl Lie {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }

    /// Another's words, with the guest's names in them.
    fn of_names(what: &impl fmt::Display) -> Self {
        Self(shown(&what.to_string(), limits::FAULT_BYTES_MAX))
    }

    /// About one column, whose name is the guest's.
    fn column(name: &str, what: impl fmt::Display) -> Self {
        Self(format!(
            "column `{}`: {what}",
            shown(name, limits::FIELD_NAME_BYTES_MAX)
        ))
    }
}

impl fmt::Display for Lie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
