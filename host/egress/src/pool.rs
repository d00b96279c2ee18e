//! Open connections of one door that wait for their next request. A door belongs to one stage of one run, so no
//! connection and no TLS session is ever shared between plugins or grants.

use crate::identity::Identity;
use crate::outgoing::Outgoing;
use hyper::client::conn::http1::SendRequest;
use sluice_model::guards::Guard;
use sluice_model::manifest::Scheme;
use sluice_policy::Target;
use sluice_policy::host::Host;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

/// Connections that wait, over all hosts. Stops a wildcard grant from holding a socket for each of a thousand names.
const IDLE_MAX: usize = 64;

/// How long a connection may take to be ready for its next request once an answer was read to its end. More means
/// that its request is still being sent.
const READY_TIME_MAX: Duration = Duration::from_millis(100);

/// Where a connection leads, and who is at either end of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    scheme: Scheme,
    host: Host,
    port: u16,
    /// Of whom at either end.
    identity: Option<Identity>,
}

impl Key {
    pub(crate) fn of(target: &Target, identity: Identity) -> Self {
        Self {
            scheme: target.scheme,
            host: target.host.clone(),
            port: target.port,
            identity: Guard::KeptIdentity.stands().then_some(identity),
        }
    }
}

/// An open connection, and the address that was checked when it was dialled. Closed when it is dropped.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) sender: SendRequest<Outgoing>,
    pub(crate) address: IpAddr,
    idle_since: Instant,
    task: AbortHandle,
}

impl Connection {
    pub(crate) fn new(sender: SendRequest<Outgoing>, address: IpAddr, task: AbortHandle) -> Self {
        Self {
            sender,
            address,
            idle_since: Instant::now(),
            task,
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Pool {
    idle: Mutex<HashMap<Key, Vec<Connection>>>,
    idle_time_max: Duration,
}

impl Pool {
    pub(crate) fn new(idle_time_max: Duration) -> Self {
        Self {
            idle: Mutex::default(),
            idle_time_max,
        }
    }

    /// The connection used last, if one is open and leads to an address that this request may go to.
    pub(crate) async fn take(
        &self,
        key: &Key,
        permitted: impl Fn(IpAddr) -> bool,
    ) -> Option<Connection> {
        loop {
            let mut connection = self.pop(key, &permitted)?;
            if let Ok(Ok(())) = timeout(READY_TIME_MAX, connection.sender.ready()).await {
                return Some(connection);
            }
        }
    }

    fn pop(&self, key: &Key, permitted: impl Fn(IpAddr) -> bool) -> Option<Connection> {
        let mut idle = self.lock();
        self.forget_stale(&mut idle);
        let waiting = idle.get_mut(key)?;
        let at = waiting
            .iter()
            .rposition(|connection| permitted(connection.address))?;
        Some(waiting.remove(at))
    }

    /// Keeps a connection whose last answer was read to its end.
    pub(crate) fn put(&self, key: Key, mut connection: Connection) {
        let mut idle = self.lock();
        self.forget_stale(&mut idle);
        if idle.values().map(Vec::len).sum::<usize>() < IDLE_MAX {
            connection.idle_since = Instant::now();
            idle.entry(key).or_default().push(connection);
        }
    }

    fn forget_stale(&self, idle: &mut HashMap<Key, Vec<Connection>>) {
        idle.retain(|_, waiting| {
            waiting.retain(|connection| {
                !connection.sender.is_closed()
                    && connection.idle_since.elapsed() < Guard::IdleTime.limit(self.idle_time_max)
            });
            !waiting.is_empty()
        });
    }

    /// A panic elsewhere leaves the map whole: each change is one call.
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Vec<Connection>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
