//! The bounds of a door for connections, by default those of `limits`. None can be reached from a plugin's settings.

use crate::settings::public_roots;
use rustls::RootCertStore;
use sluice_model::limits;
use std::sync::Arc;
use std::time::Duration;

/// Connections of one stage that are open at once. Each of its instances is held to [`limits::TCP_CONNECTIONS_MAX`] by
/// the engine; this stops many instances from taking every socket.
const CONNECTIONS_MAX: usize = 16 * limits::TCP_CONNECTIONS_MAX;

/// How a door connects, and what it stops at.
#[derive(Debug, Clone)]
pub struct TcpSettings {
    /// Whom it trusts where the grant names nobody. A grant's `ca` replaces them, it does not join them.
    pub roots: Arc<RootCertStore>,
    /// Looking a name up.
    pub dns_time_max: Duration,
    /// Opening a connection, its TLS included; and one upgrade.
    pub connect_time_max: Duration,
    /// One read where nothing comes.
    pub read_time_max: Duration,
    /// One write.
    pub write_time_max: Duration,
    /// Open at once, over all instances of the stage; one more is refused, for waiting while holding others could wait
    /// for ever.
    pub connections_max: usize,
}

impl Default for TcpSettings {
    fn default() -> Self {
        Self {
            roots: Arc::new(public_roots()),
            dns_time_max: limits::DNS_TIME_MAX,
            connect_time_max: limits::TCP_CONNECT_TIME_MAX,
            read_time_max: limits::TCP_READ_TIME_MAX,
            write_time_max: limits::TCP_WRITE_TIME_MAX,
            connections_max: CONNECTIONS_MAX,
        }
    }
}
