//! What all runs of one process share: the deployment, its open state store, its audit trail, and the engine with its
//! cache of compiled plugins and its one clock. Each is opened when it is first needed, and once.

use crate::Error;
use crate::audit::{Action, Audit};
use crate::deployment::Deployment;
use crate::holder::COMMAND;
use crate::keeping::Keeping;
use sluice_engine::{Engine, Settings};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a run or a service waits for a command that has the store, and how often.
const WAIT: Duration = Duration::from_millis(50);
const WAITS_MAX: u32 = 60;

/// One process's hold of a deployment.
pub struct Host {
    deployment: Deployment,
    command: &'static str,
    engine: Mutex<Option<Engine>>,
    keeping: Mutex<Option<Arc<Keeping>>>,
    audit: Mutex<Option<Arc<Audit>>>,
    /// What runs last saw of the files that say what may be done is read, told and kept by one at a time.
    beginning: Mutex<()>,
}

fn locked<T>(slot: &Mutex<T>) -> MutexGuard<'_, T> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Host {
    /// Of this deployment, for a command of this name. Opens nothing yet.
    pub fn new(deployment: Deployment, command: &'static str) -> Self {
        Self {
            deployment,
            command,
            engine: Mutex::default(),
            keeping: Mutex::default(),
            audit: Mutex::default(),
            beginning: Mutex::default(),
        }
    }

    /// The deployment.
    pub fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// The engine. The first call sets it up.
    pub fn engine(&self) -> Result<Engine, Error> {
        let mut slot = locked(&self.engine);
        if let Some(engine) = &*slot {
            return Ok(engine.clone());
        }
        let settings = Settings {
            cache_dir: Some(self.deployment.cache_dir()),
        };
        let engine = Engine::new(settings).map_err(|error| Error::Host(error.to_string()))?;
        Ok(slot.insert(engine).clone())
    }

    /// The state store. The first call opens it, or creates it. Blocking.
    pub fn keeping(&self) -> Result<Arc<Keeping>, Error> {
        let mut slot = locked(&self.keeping);
        if let Some(keeping) = &*slot {
            return Ok(Arc::clone(keeping));
        }
        let keeping = self.open_keeping()?;
        Ok(Arc::clone(slot.insert(Arc::new(keeping))))
    }

    /// A command such as `sluice status` has the store for a moment: a run or a service waits that long.
    fn open_keeping(&self) -> Result<Keeping, Error> {
        let mut waits = 0;
        loop {
            match Keeping::open_as(&self.deployment, self.command) {
                Err(Error::InUse(in_use))
                    if self.command != COMMAND && in_use.is_for_a_moment() && waits < WAITS_MAX =>
                {
                    waits += 1;
                    std::thread::sleep(WAIT);
                }
                opened => return opened,
            }
        }
    }

    /// The state store, where there is one. Blocking.
    pub fn keeping_if_there(&self) -> Result<Option<Arc<Keeping>>, Error> {
        if self.deployment.state_dir().is_dir() {
            self.keeping().map(Some)
        } else {
            Ok(None)
        }
    }

    /// The audit trail. The first call opens it; one that a failed write has closed is opened anew. Blocking.
    pub fn audit(&self) -> Result<Arc<Audit>, Error> {
        let mut slot = locked(&self.audit);
        if let Some(audit) = &*slot
            && audit.is_open()
        {
            return Ok(Arc::clone(audit));
        }
        *slot = None;
        let audit = Audit::open(&self.deployment)?;
        Ok(Arc::clone(slot.insert(Arc::new(audit))))
    }

    /// Held while a run begins its audit.
    pub(crate) fn beginning(&self) -> MutexGuard<'_, ()> {
        locked(&self.beginning)
    }

    /// Writes down that a host of many runs begins. Blocking.
    pub(crate) fn begin(&self) -> Result<(), Error> {
        let (keeping, audit) = (self.keeping()?, self.audit()?);
        audit.hold_store(&keeping)?;
        let acts = audit.host_begins()?;
        audit.acts_at(acts, Some(&keeping)).map(drop)
    }

    /// Writes down that it ends, and signs. Blocking.
    pub(crate) fn end(&self) -> Result<(), Error> {
        let (keeping, audit) = (self.keeping()?, self.audit()?);
        let act = crate::audit::Act::from(Action::HostStopped).by_the_host();
        let _ = audit.acts_at(vec![act], Some(&keeping))?;
        audit.sign()
    }
}
