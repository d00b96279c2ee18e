//! The key that a pipeline's row identities are made with: made once, and kept for as long as the pipeline's data is.

use super::key;
use super::record::{JournalError, decode, encode};
use crate::keys::random;
use sluice_model::ids::PipelineName;
use sluice_model::ports::{Namespace, StateBatch, StateStore, StateWrite, StoreError};

const WHAT: &str = "the key of row identities";

/// The pipeline's key of row identities: 32 random bytes, the same ever after. Commits where there is none yet.
pub fn row_key(store: &dyn StateStore, pipeline: &PipelineName) -> Result<[u8; 32], JournalError> {
    let key = key::identities(pipeline);
    if let Some(bytes) = store.get(Namespace::Meta, &key)? {
        return decode(WHAT, &bytes);
    }
    let made: [u8; 32] = random().map_err(|none| StoreError::Failed(none.to_string()))?;
    store.commit(StateBatch {
        expect: vec![(Namespace::Meta, key.clone(), None)],
        writes: vec![StateWrite::Put(Namespace::Meta, key, encode(&made))],
    })?;
    Ok(made)
}
