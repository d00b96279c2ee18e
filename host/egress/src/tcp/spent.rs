//! What one door has spent of its grant's budgets, entry by entry. Counts; what is too much is `policy`'s to say.

use sluice_model::ports::Refusal;
use sluice_policy::{Carried, Connecting, Effective};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Spent(Mutex<HashMap<usize, Carried>>);

impl Spent {
    /// May it go on at all?
    pub(crate) fn check(
        &self,
        effective: &Effective,
        connecting: &Connecting,
    ) -> Result<(), Refusal> {
        self.count(effective, connecting, Carried::default())
    }

    /// Counts what is about to be sent, or has been received, and says whether it is too much.
    pub(crate) fn count(
        &self,
        effective: &Effective,
        connecting: &Connecting,
        more: Carried,
    ) -> Result<(), Refusal> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let carried = all.entry(connecting.terms.entry).or_default();
        let sum = Carried {
            bytes_out: carried.bytes_out.saturating_add(more.bytes_out),
            bytes_in: carried.bytes_in.saturating_add(more.bytes_in),
        };
        let permitted = effective.may_carry(connecting, sum);
        // What is refused is not sent; but what has come has come.
        if permitted.is_ok() || more.bytes_in > 0 {
            *carried = sum;
        }
        permitted
    }
}
