//! Connections by name, for plugins whose manifest declares `[[tcp]]`: a socket as `std::io` has it, with TLS by the
//! host. Deliberately no buffering, no retries, no addresses: the host resolves the name and checks where it leads.

use crate::Fault;
use crate::bindings::capabilities::sluice::plugin::net as wire;
use std::io;
use std::time::Duration;

#[cfg(not(target_family = "wasm"))]
use crate::testing::net as native;

pub use wire::{NetError, Security};

/// The most that one read gives: 256 KiB.
pub const READ_BYTES_MAX: usize = 256 << 10;
/// The most that one call of the host takes; longer writes are made of several: 1 MiB.
pub const WRITE_BYTES_MAX: usize = 1 << 20;

/// An open connection. Closed when it is dropped.
///
/// It is [`io::Read`] and [`io::Write`]: what takes those takes this. There the host's error travels inside the
/// [`io::Error`], and [`fault`] takes it out again, so that `?` on either way ends in the right [`Fault`].
#[derive(Debug)]
pub struct Connection {
    #[cfg(target_family = "wasm")]
    connection: wire::Connection,
    #[cfg(not(target_family = "wasm"))]
    connection: native::Connection,
}

impl Connection {
    /// To a host and port as the manifest names them after `{config.…}` is filled in; TLS from the first byte, for that
    /// host, or [`Security::Plain`] with an [`upgrade`](Self::upgrade) to come.
    pub fn open(host: &str, port: u16, security: Security) -> Result<Self, NetError> {
        #[cfg(target_family = "wasm")]
        let connection = wire::Connection::connect(host, port, security)?;
        #[cfg(not(target_family = "wasm"))]
        let connection = native::Connection::open(host, port, security)?;
        Ok(Self { connection })
    }

    /// Up to `max` bytes (at most [`READ_BYTES_MAX`]): what has arrived, or the first that arrives within `wait` (a
    /// minute at most). None at all is the end. After [`NetError::Timeout`] the connection is as it was.
    pub fn receive(&mut self, max: usize, wait: Option<Duration>) -> Result<Vec<u8>, NetError> {
        let max = u32::try_from(max.min(READ_BYTES_MAX)).unwrap_or(u32::MAX);
        let wait_ms = wait.map(|wait| u32::try_from(wait.as_millis()).unwrap_or(u32::MAX));
        self.connection.read(max, wait_ms)
    }

    /// All of `bytes`. After an error the connection is closed.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), NetError> {
        bytes
            .chunks(WRITE_BYTES_MAX)
            .try_for_each(|piece| self.connection.write(piece))
    }

    /// Makes TLS of a plain connection, once both sides have agreed to it in their own words (STARTTLS, PostgreSQL's
    /// `SSLRequest`). `server_name`: whom the certificate must be for, the host or another that is granted on the port.
    ///
    /// What was read before it came in the clear. A reader with a buffer must find it empty here, and take anything else
    /// for an attack.
    pub fn upgrade(&mut self, server_name: &str) -> Result<(), NetError> {
        self.connection.upgrade(server_name)
    }

    /// Says that no more will be written; what the other side still sends can be read.
    pub fn shutdown(&mut self) -> Result<(), NetError> {
        self.connection.shutdown()
    }

    /// `tls-server-end-point` of RFC 5929, with which SCRAM binds a login to this channel. None without TLS, or where
    /// the certificate's signature names no digest.
    pub fn tls_server_end_point(&self) -> Option<Vec<u8>> {
        self.connection.tls_server_end_point()
    }
}

impl io::Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let bytes = self.receive(buffer.len(), None).map_err(told)?;
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }
}

impl io::Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = &bytes[..bytes.len().min(WRITE_BYTES_MAX)];
        self.connection.write(piece).map_err(told)?;
        Ok(piece.len())
    }

    /// Nothing to do: what was written has left.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn told(error: NetError) -> io::Error {
    let kind = match &error {
        NetError::Denied(_) => io::ErrorKind::PermissionDenied,
        NetError::Unreachable(_) => io::ErrorKind::HostUnreachable,
        NetError::Timeout(_) => io::ErrorKind::TimedOut,
        NetError::Closed(_) => io::ErrorKind::ConnectionReset,
        NetError::Invalid(_) => io::ErrorKind::InvalidInput,
        NetError::Tls(_) | NetError::Limit(_) => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

/// What an error of reading or writing means: the host's own where it is that, else a connection that broke.
pub fn fault(error: io::Error) -> Fault {
    match error.downcast::<NetError>() {
        Ok(error) => error.into(),
        Err(error) => Fault::transient(error.to_string()),
    }
}

/// A name that does not resolve, a server that is silent and a connection that breaks are [`Fault::Transient`]; a
/// certificate that is not trusted is [`Fault::Misconfigured`]; a limit and a wrong call are [`Fault::Broken`].
impl From<NetError> for Fault {
    fn from(error: NetError) -> Self {
        match error {
            NetError::Denied(text) => Self::denied(text),
            NetError::Unreachable(text) | NetError::Timeout(text) | NetError::Closed(text) => {
                Self::transient(text)
            }
            NetError::Tls(text) => Self::misconfigured(text),
            NetError::Limit(text) | NetError::Invalid(text) => Self::broken(text),
        }
    }
}
