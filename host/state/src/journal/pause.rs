//! That a pipeline stands still: what a person or the host decided, and a restart must not forget.

use super::key;
use super::record::{JournalError, decode, encode};
use serde::{Deserialize, Serialize};
use sluice_model::ids::PipelineName;
use sluice_model::ports::{Namespace, StateBatch, StateStore, StateWrite};

const WHAT: &str = "a pause";

/// Who or what had a pipeline pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PauseKind {
    /// A plugin of it trapped again and again.
    Quarantined,
}

/// That a pipeline is not run until somebody says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Of which kind.
    pub why: PauseKind,
    /// What happened, for a person to read.
    pub reason: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
    /// Who decided: a person's name, or the host's.
    pub by: String,
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
    /// The digest of the plugin that is to blame: another one may be tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
}

/// The pause of a pipeline; none where it may run.
pub fn pause(
    store: &dyn StateStore,
    pipeline: &PipelineName,
) -> Result<Option<Pause>, JournalError> {
    let bytes = store.get(Namespace::Meta, &key::pause(pipeline))?;
    bytes.map(|bytes| decode(WHAT, &bytes)).transpose()
}

/// Adds to a batch that a pipeline pauses, in place of any pause before.
pub fn put_pause(batch: &mut StateBatch, pipeline: &PipelineName, pause: &Pause) {
    let put = StateWrite::Put(Namespace::Meta, key::pause(pipeline), encode(pause));
    batch.writes.push(put);
}

/// Adds to a batch that a pipeline may run again.
pub fn delete_pause(batch: &mut StateBatch, pipeline: &PipelineName) {
    let delete = StateWrite::Delete(Namespace::Meta, key::pause(pipeline));
    batch.writes.push(delete);
}
