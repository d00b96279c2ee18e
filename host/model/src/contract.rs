//! What a pipeline does when data stops fitting the schema it was promised.

use serde::{Deserialize, Serialize};

/// What happens to a field the schema does not have, and to a value that does not fit its field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Drift {
    /// A new field joins the schema, nullable; a misfit is a dead letter.
    Evolve,
    /// The run stops at the first of either.
    Freeze,
    /// A new field is left out; a misfit becomes null where the field allows it, else a dead letter. Counted.
    DiscardValue,
    /// The record is a dead letter.
    #[default]
    DeadLetter,
}
