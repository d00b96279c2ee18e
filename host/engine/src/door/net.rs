//! Connections by name: each goes to the stage's door, which decides, dials and speaks TLS. Here is only what one
//! instance may hold, and the contract's words.

use crate::bindings::imports::net::{self as wit, NetError, Security};
use crate::guest::Guest;
use sluice_model::guards::Guard;
use sluice_model::limits::{TCP_CONNECTIONS_MAX, TCP_READ_TIME_MAX};
use sluice_model::ports::{self, Refusal, TcpConnection, TcpDoor, TcpError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::component::Resource;

type Answer<T> = wasmtime::Result<Result<T, NetError>>;

/// A connection in a guest's hands. Closed when the guest lets go of it, and with its instance.
pub struct Handle {
    connection: Box<dyn TcpConnection>,
    /// Counts as open until it is dropped.
    _open: OwnedSemaphorePermit,
}

/// The way out of one instance.
pub(crate) struct Dialer {
    door: Option<Arc<dyn TcpDoor>>,
    open: Arc<Semaphore>,
}

impl Dialer {
    pub(crate) fn new(door: Option<Arc<dyn TcpDoor>>) -> Self {
        Self {
            door,
            open: Arc::new(Semaphore::new(
                Guard::TcpInstance
                    .limit(TCP_CONNECTIONS_MAX)
                    .min(Semaphore::MAX_PERMITS),
            )),
        }
    }
}

impl Guest {
    fn no_net(&self, host: &str, port: u16) -> NetError {
        let refusal = match self.effective.may_connect(host, port) {
            Err(refusal) => refusal,
            Ok(connecting) => Refusal {
                capability: "tcp",
                asked: connecting.endpoint.to_string(),
                reason: format!(
                    "`{}` was started without connections",
                    self.effective.plugin
                ),
                hint: None,
            },
        };
        NetError::Denied(self.refused(&refusal))
    }

    async fn open(
        &mut self,
        host: &str,
        port: u16,
        security: Security,
    ) -> Result<Handle, NetError> {
        let Some(door) = self.dialer.door.clone() else {
            return Err(self.no_net(host, port));
        };
        let open = Arc::clone(&self.dialer.open)
            .try_acquire_owned()
            .map_err(|_| {
                NetError::Limit(format!(
                    "an instance holds {TCP_CONNECTIONS_MAX} connections at most: let go of one first"
                ))
            })?;
        let security = match security {
            Security::Plain => ports::Security::Plain,
            Security::Tls => ports::Security::Tls,
        };
        let connection = door
            .connect(host, port, security)
            .await
            .map_err(|error| told(&error))?;
        Ok(Handle {
            connection,
            _open: open,
        })
    }
}

/// The door's errors in the contract's words. What was refused, the door has told already.
fn told(error: &TcpError) -> NetError {
    let text = error.to_string();
    match error {
        TcpError::Denied(_) => NetError::Denied(text),
        TcpError::Unreachable { .. } => NetError::Unreachable(text),
        TcpError::Timeout { .. } => NetError::Timeout(text),
        TcpError::Closed { .. } => NetError::Closed(text),
        TcpError::Tls { .. } => NetError::Tls(text),
        TcpError::Limit(_) => NetError::Limit(text),
        TcpError::Invalid(_) => NetError::Invalid(text),
    }
}

impl wit::Host for Guest {}

impl wit::HostConnection for Guest {
    async fn connect(
        &mut self,
        host: String,
        port: u16,
        security: Security,
    ) -> Answer<Resource<Handle>> {
        match self.open(&host, port, security).await {
            Ok(handle) => Ok(Ok(self.table.push(handle)?)),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn read(
        &mut self,
        handle: Resource<Handle>,
        max: u32,
        wait_ms: Option<u32>,
    ) -> Answer<Vec<u8>> {
        let connection = &mut self.table.get_mut(&handle)?.connection;
        let wait = wait_ms.map_or(TCP_READ_TIME_MAX, |ms| Duration::from_millis(ms.into()));
        let wait = wait.min(Guard::TcpWait.limit(TCP_READ_TIME_MAX));
        let read = connection.read(max as usize, wait).await;
        Ok(read.map_err(|error| told(&error)))
    }

    async fn write(&mut self, handle: Resource<Handle>, bytes: Vec<u8>) -> Answer<()> {
        let connection = &mut self.table.get_mut(&handle)?.connection;
        Ok(connection.write(&bytes).await.map_err(|error| told(&error)))
    }

    async fn upgrade(&mut self, handle: Resource<Handle>, server_name: String) -> Answer<()> {
        let connection = &mut self.table.get_mut(&handle)?.connection;
        Ok(connection
            .upgrade(&server_name)
            .await
            .map_err(|error| told(&error)))
    }

    async fn shutdown(&mut self, handle: Resource<Handle>) -> Answer<()> {
        let connection = &mut self.table.get_mut(&handle)?.connection;
        Ok(connection.shutdown().await.map_err(|error| told(&error)))
    }

    fn tls_server_end_point(
        &mut self,
        handle: Resource<Handle>,
    ) -> wasmtime::Result<Option<Vec<u8>>> {
        Ok(self.table.get(&handle)?.connection.server_end_point())
    }

    fn drop(&mut self, handle: Resource<Handle>) -> wasmtime::Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}
