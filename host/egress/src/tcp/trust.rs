//! TLS for connections: whom a grant trusts, and the handshake. One rustls configuration for each authority of a door,
//! so that no session is shared between plugins or resumed under another's trust.

use super::end_point;
use super::stream::Stream;
use crate::identity::read_authority;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use sluice_model::guards::Guard;
use sluice_model::ports::TcpError;
use sluice_policy::host::Host;
use sluice_policy::{Connecting, Endpoint};
use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Whom a door trusts.
pub(crate) struct Trust {
    public: TlsConnector,
    /// Read once by a door: what a run began with holds to its end.
    own: Mutex<HashMap<Arc<Path>, TlsConnector>>,
}

impl Trust {
    pub(crate) fn new(public: &Arc<RootCertStore>) -> Self {
        Self {
            public: connector(Arc::clone(public)),
            own: Mutex::default(),
        }
    }

    /// A handshake on this connection, under the name of `named`.
    pub(crate) fn begin<'a>(
        &'a self,
        connecting: &'a Connecting,
        named: &'a Endpoint,
        stream: TcpStream,
    ) -> Handshake<'a> {
        Handshake {
            trust: self,
            ca: connecting.terms.ca.as_ref(),
            to: connecting.endpoint.to_string(),
            named,
            stream,
        }
    }

    async fn connector(&self, ca: Option<&Arc<Path>>) -> Result<TlsConnector, String> {
        let Some(ca) = ca.filter(|_| Guard::TcpAuthority.stands()) else {
            return Ok(self.public.clone());
        };
        let known = self
            .own
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(ca)
            .cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let file = Arc::clone(ca);
        let read = tokio::task::spawn_blocking(move || read_authority(&file)).await;
        let roots = read.unwrap_or_else(|_| Err("reading it broke down".to_owned()))?;
        let connector = connector(Arc::new(roots));
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(own.entry(Arc::clone(ca)).or_insert(connector).clone())
    }
}

/// One handshake, not yet begun.
pub(crate) struct Handshake<'a> {
    trust: &'a Trust,
    ca: Option<&'a Arc<Path>>,
    to: String,
    named: &'a Endpoint,
    stream: TcpStream,
}

impl Handshake<'_> {
    /// Speaks TLS, or says why not. The connection is closed where it fails.
    pub(crate) async fn within(self, within: Duration) -> Result<Stream, TcpError> {
        let Self {
            trust,
            ca,
            to,
            named,
            stream,
        } = self;
        let refused = |reason: String| TcpError::Tls {
            to: to.clone(),
            reason,
        };
        let name = server_name(&named.host).map_err(refused)?;
        let connector = trust.connector(ca).await.map_err(refused)?;
        let within = Guard::TcpHandshakeTime.limit(within);
        match timeout(within, connector.connect(name, stream)).await {
            Ok(Ok(stream)) => {
                let shown = stream.get_ref().1.peer_certificates();
                let end_point = shown.and_then(|chain| end_point::of(chain.first()?));
                Ok(Stream::Tls(Box::new(stream), end_point))
            }
            Ok(Err(error)) => Err(failed(&to, &error)),
            Err(_) => Err(TcpError::Timeout {
                to: to.clone(),
                what: "did not finish its tls handshake",
                after: within,
            }),
        }
    }
}

/// What broke a connection: TLS itself, or the network under it.
pub(crate) fn failed(to: &str, error: &io::Error) -> TcpError {
    let tls = error
        .get_ref()
        .and_then(|source| source.downcast_ref::<rustls::Error>());
    match tls {
        Some(tls) => TcpError::Tls {
            to: to.to_owned(),
            reason: tls.to_string(),
        },
        None => TcpError::Closed {
            to: to.to_owned(),
            reason: error.to_string(),
        },
    }
}

fn server_name(host: &Host) -> Result<ServerName<'static>, String> {
    match host {
        Host::Address(address) => Ok(ServerName::from(*address)),
        Host::Name(name) => ServerName::try_from(name.clone()).map_err(|error| error.to_string()),
    }
}

/// TLS 1.2 or later, by ring alone, whatever the process has set up elsewhere. No ALPN: the plugin's protocol is its
/// own.
fn connector(roots: Arc<RootCertStore>) -> TlsConnector {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .expect("ring has cipher suites for both versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}
