//! `[source]`: what a source says of the places it gives.

use serde::{Deserialize, Serialize};

/// `[source]`: what a source says of the places it gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SourceShape {
    /// The version of its cursors: one more where older plugins could not read them. It reads those of all versions
    /// before; the host hands it none of a later one.
    pub cursor: u32,
}

impl Default for SourceShape {
    fn default() -> Self {
        Self { cursor: 1 }
    }
}
