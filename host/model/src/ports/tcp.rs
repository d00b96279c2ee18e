//! Where a plugin's connections go: the port beside HTTP's. Implemented by `egress`, called by `engine`.

use super::Refusal;
use async_trait::async_trait;
use std::time::Duration;

/// How a connection begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// In the clear; it may be upgraded.
    Plain,
    /// TLS from the first byte.
    Tls,
}

/// Where a plugin's connections go: made for one stage of one pipeline, with its effective grant.
#[async_trait]
pub trait TcpDoor: Send + Sync {
    /// Decides, resolves, checks every address, dials one that was checked, and speaks TLS where that is asked. One
    /// connection for each call: none is kept, none is shared.
    async fn connect(
        &self,
        host: &str,
        port: u16,
        security: Security,
    ) -> Result<Box<dyn TcpConnection>, TcpError>;
}

/// An open connection. Dropped, it is closed.
#[async_trait]
pub trait TcpConnection: Send {
    /// Up to `bytes_max` bytes: what is there, or the first that come within `wait`. Empty: the other side has ended.
    /// May be cancelled, and called again after a timeout: nothing that came is lost.
    async fn read(&mut self, bytes_max: usize, wait: Duration) -> Result<Vec<u8>, TcpError>;

    /// All of `bytes`. Any error closes the connection, for nobody knows how much was sent.
    async fn write(&mut self, bytes: &[u8]) -> Result<(), TcpError>;

    /// From here on TLS, with a certificate for `server_name`. Any error but a refusal and [`TcpError::Invalid`]
    /// closes the connection.
    async fn upgrade(&mut self, server_name: &str) -> Result<(), TcpError>;

    /// No more will be written; what the other side sends is still read.
    async fn shutdown(&mut self) -> Result<(), TcpError>;

    /// `tls-server-end-point` of RFC 5929; none without TLS, and where the certificate's signature names no digest.
    fn server_end_point(&self) -> Option<Vec<u8>>;
}

/// Why a connection does not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TcpError {
    /// Not granted; already observed.
    #[error("{0}")]
    Denied(Refusal),
    /// No such name, or nobody answers.
    #[error("cannot reach `{to}`: {reason}")]
    Unreachable {
        /// The name and port.
        to: String,
        /// What the resolver or the system said.
        reason: String,
    },
    /// Too slow.
    #[error("`{to}` {what} within {after:?}")]
    Timeout {
        /// The name and port.
        to: String,
        /// What it did not do.
        what: &'static str,
        /// The limit.
        after: Duration,
    },
    /// It ended, and not as it should.
    #[error("the connection to `{to}` is closed: {reason}")]
    Closed {
        /// The name and port.
        to: String,
        /// Why.
        reason: String,
    },
    /// The handshake failed.
    #[error("tls with `{to}` failed: {reason}")]
    Tls {
        /// The name and port.
        to: String,
        /// What rustls said.
        reason: String,
    },
    /// A limit of the host or the grant.
    #[error("{0}")]
    Limit(String),
    /// What cannot be asked of it as it is.
    #[error("{0}")]
    Invalid(String),
}
