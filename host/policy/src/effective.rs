//! What one stage may do: manifest ∩ grant, with the pipeline's settings filled in.

use sluice_model::ids::{PipelineName, PluginName, StageId};
use sluice_model::manifest::{DirMode, Unit};
use sluice_model::ports::Refusal;
use std::path::PathBuf;
use std::time::Duration;

/// What one stage of one pipeline may do. Made once, before the plugin is instantiated; every guest call that
/// reaches for something is decided here.
#[derive(Debug, Clone)]
pub struct Effective {
    /// Whose.
    pub plugin: PluginName,
    /// Where.
    pub pipeline: PipelineName,
    /// As what.
    pub stage: StageId,
    /// Linear memory of one instance.
    pub memory_bytes_max: u64,
    /// One call.
    pub call_time_max: Duration,
    /// How a sink wants to be fed.
    pub unit: Unit,
}

impl Effective {
    /// May it copy in this column?
    pub fn may_read(&self, column: &str) -> Result<(), Refusal> {
        let _ = column;
        Ok(())
    }

    /// May it put, rename or drop this column?
    pub fn may_write(&self, column: &str) -> Result<(), Refusal> {
        let _ = column;
        Ok(())
    }

    /// May it open this directory so? The directory as the deployment has it.
    pub fn may_open(&self, dir: &str, mode: DirMode) -> Result<PathBuf, Refusal> {
        let _ = mode;
        Ok(PathBuf::from(dir))
    }
}
