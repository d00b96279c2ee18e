//! Pipelines that somebody has wait, and why: kept in the state directory, so that a restart forgets none.

use crate::Error;
use crate::audit::Actor;
use crate::deployment::{Deployment, plain, shown};
use crate::keeping::now_ms;
use serde::{Deserialize, Serialize};
use sluice_model::ids::PipelineName;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// Somebody has a pipeline wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Who, as the audit trail names them.
    pub by: String,
    /// Why, in their words.
    pub reason: Option<String>,
    /// Since when, in milliseconds since 1970.
    pub at_ms: u64,
}

impl Pause {
    pub(super) fn now(who: &Actor, reason: Option<String>) -> Self {
        Self {
            by: who.to_string(),
            reason,
            at_ms: now_ms(),
        }
    }

    /// In a sentence.
    pub fn told(&self) -> String {
        match &self.reason {
            Some(reason) => format!("paused by {}: {reason}", self.by),
            None => format!("paused by {}", self.by),
        }
    }
}

fn file(deployment: &Deployment) -> PathBuf {
    deployment.state_dir().join("paused.json")
}

/// All of them. What cannot be read is an error: nobody's pause is forgotten.
pub(crate) fn read(deployment: &Deployment) -> Result<BTreeMap<PipelineName, Pause>, Error> {
    let file = file(deployment);
    let failed = |reason: String| Error::Host(format!("`{}`: {reason}", shown(&file)));
    match std::fs::read(&file) {
        Ok(text) => serde_json::from_slice(&text).map_err(|error| failed(error.to_string())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(failed(plain(&error))),
    }
}

/// Has a pipeline wait, or go on. Durable when this returns. Whoever calls holds the state directory's lock.
pub(super) fn write(
    deployment: &Deployment,
    pipeline: &PipelineName,
    pause: Option<&Pause>,
) -> Result<(), Error> {
    // Commands come side by side, each from a connection of its own.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut pauses = read(deployment)?;
    match pause {
        Some(pause) => pauses.insert(pipeline.clone(), pause.clone()),
        None => pauses.remove(pipeline),
    };
    let text = serde_json::to_vec(&pauses).expect("names and words are plain data");
    crate::durable::replace(&file(deployment), &text)
        .map_err(|error| Error::Host(format!("`{}`: {error}", shown(&file(deployment)))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_kept_until_they_are_ended() {
        let folder = tempfile::tempdir().unwrap();
        let deployment = Deployment {
            base: folder.path().to_owned(),
            settings: sluice_model::deployment::Deployment::default(),
        };
        std::fs::create_dir_all(deployment.state_dir()).unwrap();
        let name: PipelineName = "orders".parse().unwrap();
        assert_eq!(read(&deployment).unwrap(), BTreeMap::new());
        let pause = Pause::now(&Actor::host(), Some("maintenance".to_owned()));
        write(&deployment, &name, Some(&pause)).unwrap();
        assert_eq!(read(&deployment).unwrap()[&name], pause);
        assert_eq!(pause.told(), "paused by host: maintenance");
        write(&deployment, &name, None).unwrap();
        assert_eq!(read(&deployment).unwrap(), BTreeMap::new());
        std::fs::write(file(&deployment), "{").unwrap();
        assert_eq!(read(&deployment).unwrap_err().exit_code(), 3);
    }
}
