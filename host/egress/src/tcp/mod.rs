//! The way of one connection: decide, resolve, check every address, dial one that was checked, speak TLS where that is
//! asked. Every step is in [`NetDoor::connect`], in this order; none can be left out from outside. No connection is
//! kept when it is let go of, and none is ever shared.

mod dial;
mod end_point;
mod meter;
mod settings;
mod spent;
mod stream;
mod trust;

pub use settings::TcpSettings;

use crate::resolve::{self, Resolver};
use async_trait::async_trait;
use sluice_model::guards::Guard;
use sluice_model::ports::{Observer, Refusal, Security, TcpConnection, TcpDoor, TcpError};
use sluice_policy::{Connecting, Effective};
use spent::Spent;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use stream::{Connection, Stream};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use trust::Trust;

/// The way to the network of one stage of one run, for connections by name.
pub struct NetDoor {
    line: Arc<Line>,
    resolver: Arc<dyn Resolver>,
    open: Arc<Semaphore>,
}

/// What every connection of a door needs of it.
pub(crate) struct Line {
    pub(crate) effective: Arc<Effective>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) settings: TcpSettings,
    pub(crate) trust: Trust,
    pub(crate) spent: Spent,
}

impl fmt::Debug for NetDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetDoor")
            .field("plugin", &self.line.effective.plugin)
            .finish_non_exhaustive()
    }
}

impl Line {
    /// Tells the observer, and gives the error for the plugin.
    pub(crate) fn denied(&self, refusal: Refusal) -> TcpError {
        self.observer.refused(self.effective.stage, &refusal);
        TcpError::Denied(refusal)
    }
}

impl NetDoor {
    /// A door for whoever has this effective grant.
    pub fn new(
        effective: Arc<Effective>,
        resolver: Arc<dyn Resolver>,
        observer: Arc<dyn Observer>,
        settings: TcpSettings,
    ) -> Self {
        Self {
            open: Arc::new(Semaphore::new(
                Guard::TcpOpen
                    .limit(settings.connections_max)
                    .min(Semaphore::MAX_PERMITS),
            )),
            line: Arc::new(Line {
                trust: Trust::new(&settings.roots),
                spent: Spent::default(),
                effective,
                observer,
                settings,
            }),
            resolver,
        }
    }

    /// All addresses of a host, each of them permitted: one that is not refuses them all.
    async fn addresses(&self, connecting: &Connecting) -> Result<Vec<IpAddr>, TcpError> {
        let settings = &self.line.settings;
        let within = settings.dns_time_max.min(settings.connect_time_max);
        let found = resolve::addresses(&*self.resolver, &connecting.endpoint.host, within).await;
        let addresses = found.map_err(|error| TcpError::Unreachable {
            to: connecting.endpoint.to_string(),
            reason: error.to_string(),
        })?;
        if Guard::TcpAddressChecked.stands() {
            self.line
                .effective
                .may_reach(connecting, &addresses)
                .map_err(|refusal| self.line.denied(refusal))?;
        }
        Ok(addresses)
    }
}

#[async_trait]
impl TcpDoor for NetDoor {
    async fn connect(
        &self,
        host: &str,
        port: u16,
        security: Security,
    ) -> Result<Box<dyn TcpConnection>, TcpError> {
        let line = &self.line;
        let permitted = line
            .effective
            .may_connect(host, port)
            .and_then(|connecting| {
                line.effective.may_begin(&connecting, security)?;
                // What is spent is spent: it opens no more connections.
                line.spent.check(&line.effective, &connecting)?;
                Ok(connecting)
            });
        let connecting = permitted.map_err(|refusal| line.denied(refusal))?;
        let slot = Arc::clone(&self.open).try_acquire_owned().map_err(|_| {
            let most = line.settings.connections_max;
            TcpError::Limit(format!("{most} connections are open: let go of one first"))
        })?;
        let addresses = self.addresses(&connecting).await?;
        let within = Guard::TcpConnectTime.limit(line.settings.connect_time_max);
        let deadline = Instant::now() + within;
        let stream = dial::open(&connecting.endpoint, &addresses, deadline, within).await?;
        let stream = match security {
            Security::Plain => Stream::Plain(stream),
            Security::Tls => {
                let speaking = line.trust.begin(&connecting, &connecting.endpoint, stream);
                let within = deadline.saturating_duration_since(Instant::now());
                speaking.within(within).await?
            }
        };
        Ok(Box::new(Connection::new(
            Arc::clone(line),
            connecting,
            stream,
            slot,
        )))
    }
}
