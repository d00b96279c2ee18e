//! What a batch may hold, the same for every store. Beneath a sealed store each value is larger by its seal.

use sluice_model::guards::Guard;
use sluice_model::limits::{STATE_BATCH_BYTES_MAX, STATE_KEY_BYTES_MAX, STATE_VALUE_BYTES_MAX};
use sluice_model::ports::{StateBatch, StateWrite, StoreError};

/// What the journal fills of one batch before it begins the next: the rest is for what a caller adds to it, such as the
/// schemas that grew.
pub(crate) const FILLED_BYTES_MAX: usize = STATE_BATCH_BYTES_MAX - (4 << 20);

/// What a write counts for.
pub(crate) fn bytes_of(write: &StateWrite) -> usize {
    match write {
        StateWrite::Put(_, key, value) => key.len() + value.len(),
        StateWrite::Delete(_, key) => key.len(),
    }
}

/// Refuses a batch that breaks a limit.
pub(crate) fn check(batch: &StateBatch) -> Result<(), StoreError> {
    check_beneath(batch, 0)
}

/// The same, where so many bytes of each value were added on its way here.
pub(crate) fn check_beneath(batch: &StateBatch, seal_bytes: usize) -> Result<(), StoreError> {
    let mut bytes = 0usize;
    for write in &batch.writes {
        let (key, value) = match write {
            StateWrite::Put(_, key, value) => (key, value.len().saturating_sub(seal_bytes)),
            StateWrite::Delete(_, key) => (key, 0),
        };
        refuse(
            "a value",
            value,
            Guard::StateValue.limit(STATE_VALUE_BYTES_MAX),
        )?;
        refuse(
            "a key",
            key.len(),
            Guard::StateKey.limit(STATE_KEY_BYTES_MAX),
        )?;
        bytes = bytes.saturating_add(key.len()).saturating_add(value);
    }
    for (_, key, _) in &batch.expect {
        refuse(
            "a key",
            key.len(),
            Guard::StateKey.limit(STATE_KEY_BYTES_MAX),
        )?;
    }
    refuse(
        "a batch",
        bytes,
        Guard::StateBatch.limit(STATE_BATCH_BYTES_MAX),
    )
}

fn refuse(what: &str, bytes: usize, bytes_max: usize) -> Result<(), StoreError> {
    if bytes <= bytes_max {
        return Ok(());
    }
    Err(StoreError::TooLarge(format!(
        "{what} of {bytes} bytes is more than the state store takes ({bytes_max})"
    )))
}
