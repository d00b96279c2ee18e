//! The traits through which the house acts on the world, implemented by one crate each: `state` keeps, `egress`
//! sends, and whoever runs a pipeline observes.

mod tcp;

pub use tcp::{Security, TcpConnection, TcpDoor, TcpError};

use crate::fault::Fault;
use crate::ids::{SecretName, StageId};
use crate::secret::Secret;
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

/// A streamed HTTP body.
pub type Body =
    http_body_util::combinators::UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// Where a plugin's HTTP requests go: made for one stage of one pipeline, with its effective grant and its secrets.
/// Implemented by `egress`.
#[async_trait]
pub trait HttpDoor: Send + Sync {
    /// Decides, resolves, checks, dials and sends; follows no redirect. The answer's body is bounded.
    async fn send(
        &self,
        request: http::Request<Body>,
        timeouts: HttpTimeouts,
    ) -> Result<http::Response<Body>, HttpError>;
}

/// What the plugin asked for, already capped by `limits`.
#[derive(Debug, Clone, Copy)]
pub struct HttpTimeouts {
    /// Opening the connection.
    pub connect: Duration,
    /// From the request to the answer's headers.
    pub first_byte: Duration,
    /// Between two pieces of the body.
    pub between_bytes: Duration,
}

/// Why a request got no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum HttpError {
    /// Not granted; already observed.
    #[error("{0}")]
    Denied(Refusal),
    /// The name does not resolve.
    #[error("cannot resolve `{host}`: {reason}")]
    Dns {
        /// The name.
        host: String,
        /// What the resolver said.
        reason: String,
    },
    /// No connection.
    #[error("cannot connect to `{host}`: {reason}")]
    Connect {
        /// The name and port.
        host: String,
        /// What the system said.
        reason: String,
    },
    /// The TLS handshake failed.
    #[error("tls with `{host}` failed: {reason}")]
    Tls {
        /// The name and port.
        host: String,
        /// What rustls said.
        reason: String,
    },
    /// Too slow.
    #[error("`{host}` did not answer within {after:?}")]
    Timeout {
        /// The name and port.
        host: String,
        /// The limit.
        after: Duration,
    },
    /// A limit of the host.
    #[error("{0}")]
    TooLarge(String),
    /// Anything else the protocol did.
    #[error("`{host}`: {reason}")]
    Protocol {
        /// The name and port.
        host: String,
        /// What hyper said.
        reason: String,
    },
}

/// One thing a plugin asked for and did not get.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Refusal {
    /// What was asked, in the words of the manifest: `http`, `tcp`, `dir`, `data.reads`, `data.writes`, `secret`; and
    /// `wasi:sockets`, which no manifest can ask for.
    pub capability: &'static str,
    /// What exactly: a request's method and URL without its query, a path, a column.
    pub asked: String,
    /// Why not.
    pub reason: String,
    /// The line that would permit it, and the file it belongs in.
    pub hint: Option<String>,
}

/// One line, for it travels through guests and logs.
impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` refused: {}", self.asked, self.reason)?;
        match &self.hint {
            Some(hint) => write!(f, "; hint: {}", hint.replace('\n', " ")),
            None => Ok(()),
        }
    }
}

/// A plugin's log line, bounded and escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The stage that wrote it.
    pub stage: StageId,
    /// How loud.
    pub level: LogLevel,
    /// The text, its fields appended as `name=value`.
    pub text: String,
}

/// How loud a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// For the plugin's author.
    Trace,
    /// For whoever debugs.
    Debug,
    /// For the record.
    Info,
    /// Something to look at.
    Warn,
    /// Something failed.
    Error,
}

/// What a plugin did with something it was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used<'a> {
    /// In the words of the manifest: `http`, `tcp`, `dir`, `data.reads`, `data.writes`, `secret`; and
    /// `secret.reveal` where the plugin itself was given the value.
    pub capability: &'static str,
    /// Which: a destination (`https://host:port`, `host:port` of `tcp`), a directory with what for (`read in`), a column, a secret.
    pub name: &'a str,
    /// Requests, connections, opened directories, batches, reveals.
    pub times: u64,
    /// Towards it.
    pub bytes_out: u64,
    /// From it.
    pub bytes_in: u64,
}

/// Who is told what plugins do. Called on the data path: must not block.
pub trait Observer: Send + Sync {
    /// A plugin asked for what it was not granted.
    fn refused(&self, stage: StageId, refusal: &Refusal);
    /// A plugin wrote a log line.
    fn logged(&self, line: LogLine);
    /// A plugin used what it was granted. Whoever does not count need not listen.
    fn used(&self, _stage: StageId, _used: &Used<'_>) {}
    /// A plugin is about to be given the value of a secret (`use = "reveal"`). An error refuses it: what cannot be
    /// recorded does not happen. Unlike the others, called where it may block.
    fn reveals(&self, _stage: StageId, _secret: &SecretName) -> Result<(), String> {
        Ok(())
    }
}

/// Why a secret cannot be had, or not be kept. Never says anything of its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("secret `{name}`: {reason}")]
pub struct SecretError {
    /// The plugin's own word for it.
    pub name: SecretName,
    /// What went wrong.
    pub reason: String,
}

/// The secrets of one stage, by the plugin's own words for them. Asked at each use, so that a rotation takes effect
/// without a restart. Blocking: may read a file or the state store.
pub trait Secrets: Send + Sync {
    /// Its value as it is now; none where nothing is named for it.
    fn get(&self, name: &SecretName) -> Result<Option<Secret>, SecretError>;
    /// Puts a new value in the place of this one, durable when this returns: what an authorization server has rotated.
    /// No, where it has another value by now: somebody's newer one is never lost to it.
    fn replace(&self, name: &SecretName, old: &Secret, value: Secret) -> Result<bool, SecretError>;
}

/// Values that were read once and stay as they are.
impl<S: BuildHasher + Send + Sync> Secrets for HashMap<SecretName, Secret, S> {
    fn get(&self, name: &SecretName) -> Result<Option<Secret>, SecretError> {
        Ok(HashMap::get(self, name).cloned())
    }

    fn replace(&self, name: &SecretName, _: &Secret, _: Secret) -> Result<bool, SecretError> {
        Err(SecretError {
            name: name.clone(),
            reason: "its provider cannot be written to".to_owned(),
        })
    }
}

/// The namespaces of the state store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Namespace {
    /// Where each split of each pipeline is.
    Checkpoint,
    /// Dead letters.
    DeadLetter,
    /// Schemas, counters, the store's own marks.
    Meta,
}

/// One write of a [`StateBatch`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateWrite {
    /// Sets a value.
    Put(Namespace, Vec<u8>, Vec<u8>),
    /// Removes a value.
    Delete(Namespace, Vec<u8>),
}

/// Writes that happen together or not at all, if what they assume still holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StateBatch {
    /// Guards: each key must hold exactly this value (none: must be absent), or nothing is written. A checkpoint's
    /// guard fences an older owner.
    pub expect: Vec<(Namespace, Vec<u8>, Option<Vec<u8>>)>,
    /// The writes, in order.
    pub writes: Vec<StateWrite>,
}

/// The number of a durable commit: grows by one with each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct CommitNumber(pub u64);

/// Why the store did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A guard did not hold: another owner wrote. Nothing was written.
    #[error("the state changed under this run: another owner holds it")]
    Fenced,
    /// Another process has the directory open.
    #[error("the state directory `{0}` is in use by another process")]
    Locked(String),
    /// The batch breaks a limit. Nothing was written.
    #[error("{0}")]
    TooLarge(String),
    /// The engine failed: the outcome of a write is unknown until the store is opened again.
    #[error("the state store failed: {0}")]
    Failed(String),
    /// A value is there and cannot be read: it was changed, moved, or its key is destroyed. Nothing was written.
    #[error("the state store cannot read {0}")]
    Unreadable(String),
    /// It will not open. Nothing was changed.
    #[error("the state store will not open: {0}")]
    Unopenable(String),
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Fault {
        Fault::new(crate::fault::FaultKind::Host, error.to_string())
    }
}

/// What a store says of itself.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct StateStats {
    /// On disk.
    pub bytes: u64,
    /// The last durable commit.
    pub last_commit: CommitNumber,
    /// Whether it refuses work until reopened.
    pub poisoned: bool,
}

/// Keys and values, as a scan returns them.
pub type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// The state store: below any encryption, above any engine. Blocking; call it off the async threads.
/// Implemented by `state`, on sled and in memory; one conformance suite runs on both.
pub trait StateStore: Send + Sync {
    /// `Ok`: durable, atomic over all namespaces, visible. Any `Err` but `Fenced`, `TooLarge` and `Unreadable`:
    /// unknown until reopened. Values may be of any size up to 16 MiB: the store cuts them as its engine needs.
    fn commit(&self, batch: StateBatch) -> Result<CommitNumber, StoreError>;
    /// One value.
    fn get(&self, namespace: Namespace, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;
    /// Up to `limit` pairs whose key begins with `prefix` and is greater than `after` (the empty key: from the
    /// first), in order.
    fn scan(
        &self,
        namespace: Namespace,
        prefix: &[u8],
        after: &[u8],
        limit: usize,
    ) -> Result<Pairs, StoreError>;
    /// Its size and health.
    fn stats(&self) -> StateStats;
}

/// A store that several hold.
impl<S: StateStore + ?Sized> StateStore for Arc<S> {
    fn commit(&self, batch: StateBatch) -> Result<CommitNumber, StoreError> {
        (**self).commit(batch)
    }

    fn get(&self, namespace: Namespace, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        (**self).get(namespace, key)
    }

    fn scan(
        &self,
        namespace: Namespace,
        prefix: &[u8],
        after: &[u8],
        limit: usize,
    ) -> Result<Pairs, StoreError> {
        (**self).scan(namespace, prefix, after, limit)
    }

    fn stats(&self) -> StateStats {
        (**self).stats()
    }
}
