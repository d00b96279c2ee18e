//! Who has a state directory open: written beside its lock by whoever takes it, read by whoever finds it taken. The
//! lock decides; this only says whose it is.

use crate::deployment::{Deployment, shown};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// What a command is called that answers and is gone.
pub(crate) const COMMAND: &str = "command";

/// A process that has a state directory open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its command: `run`, `serve`.
    pub command: String,
    /// Its number.
    pub pid: u32,
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
}

/// The state directory is another process's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InUse {
    /// Which.
    pub dir: String,
    /// Whose, where that can be said.
    pub holder: Option<Holder>,
}

impl InUse {
    /// Whether whoever has it may be gone in a moment: no run and no service, as far as is known.
    pub(crate) fn is_for_a_moment(&self) -> bool {
        let holder = self.holder.as_ref();
        holder.is_none_or(|holder| holder.command == COMMAND)
    }
}

impl std::fmt::Display for InUse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the state directory `{}` is in use by ", self.dir)?;
        let Some(Holder {
            command,
            pid,
            since_ms,
        }) = &self.holder
        else {
            return f.write_str("another process");
        };
        match command.as_str() {
            COMMAND => write!(f, "a command (pid {pid})")?,
            command => write!(f, "`sluice {command}` (pid {pid})")?,
        }
        let since = jiff::Timestamp::from_millisecond(i64::try_from(*since_ms).unwrap_or_default());
        match since {
            Ok(since) => write!(f, " since {since:.0}"),
            Err(_) => Ok(()),
        }
    }
}

fn file(deployment: &Deployment) -> PathBuf {
    deployment.state_dir().join("holder")
}

/// Writes down that it is this process. Whoever calls holds the lock.
pub(crate) fn tell(deployment: &Deployment, command: &str) {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let holder = Holder {
        command: command.to_owned(),
        pid: std::process::id(),
        since_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
    };
    let text = serde_json::to_vec(&holder).expect("a holder is plain data");
    // Only words of a message depend on it.
    if let Err(error) = std::fs::write(file(deployment), text) {
        tracing::debug!(%error, "who has the state directory open cannot be written down");
    }
}

/// Whose the directory is. A process that is gone, or wrote half of it, holds nothing.
pub(crate) fn in_use(deployment: &Deployment) -> InUse {
    let written = std::fs::read(file(deployment)).ok();
    let holder = written.and_then(|text| serde_json::from_slice::<Holder>(&text).ok());
    let is_alive = |holder: &Holder| {
        let pid = i32::try_from(holder.pid).ok();
        let pid = pid.and_then(rustix::process::Pid::from_raw);
        pid.is_some_and(|pid| match rustix::process::test_kill_process(pid) {
            Ok(()) => true,
            Err(error) => error == rustix::io::Errno::PERM,
        })
    };
    InUse {
        dir: shown(&deployment.state_dir()),
        holder: holder.filter(is_alive),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_holds_it_is_named_and_a_dead_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let deployment = Deployment {
            base: folder.path().to_owned(),
            settings: sluice_model::deployment::Deployment::default(),
        };
        std::fs::create_dir_all(deployment.state_dir()).unwrap();
        assert_eq!(in_use(&deployment).holder, None);
        tell(&deployment, "serve");
        let told = in_use(&deployment).to_string();
        let pid = std::process::id();
        assert!(
            told.contains(&format!("in use by `sluice serve` (pid {pid}) since 20")),
            "{told}"
        );
        let dead = Holder {
            command: "run".to_owned(),
            pid: i32::MAX as u32,
            since_ms: 0,
        };
        std::fs::write(file(&deployment), serde_json::to_vec(&dead).unwrap()).unwrap();
        let told = in_use(&deployment).to_string();
        assert!(told.ends_with("is in use by another process"), "{told}");
    }
}
