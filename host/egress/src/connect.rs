//! One connection to an address that policy has checked: TCP, TLS, HTTP/1.1. Resolves nothing.

use crate::outgoing::Outgoing;
use crate::pool::Connection;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use sluice_model::guards::Guard;
use sluice_model::limits::{HTTP_HEADER_BYTES_MAX, HTTP_HEADERS_MAX};
use sluice_model::manifest::Scheme;
use sluice_model::ports::HttpError;
use sluice_policy::Target;
use sluice_policy::host::Host;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

/// Opens a connection to the first of `addresses` that answers, all within the time given.
pub(crate) async fn open(
    tls: &TlsConnector,
    target: &Target,
    addresses: &[IpAddr],
    within: Duration,
) -> Result<Connection, HttpError> {
    let deadline = Instant::now() + within;
    let host = target.authority();
    let mut last = HttpError::Timeout {
        host: host.clone(),
        after: within,
    };
    for (tried, address) in addresses.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        // The first of several that is silent leaves time for the others.
        let share = left / u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        match timeout(share, attempt(tls, target, &host, *address)).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => last = error,
            Err(_) => {
                last = HttpError::Timeout {
                    host: host.clone(),
                    after: within,
                }
            }
        }
    }
    Err(last)
}

async fn attempt(
    tls: &TlsConnector,
    target: &Target,
    host: &str,
    address: IpAddr,
) -> Result<Connection, HttpError> {
    let failed = |error: std::io::Error| HttpError::Connect {
        host: host.to_owned(),
        reason: error.to_string(),
    };
    let stream = TcpStream::connect(SocketAddr::new(address, target.port))
        .await
        .map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    match target.scheme {
        Scheme::Http => handshake(stream, host, address).await,
        Scheme::Https => {
            let refused = |reason: String| HttpError::Tls {
                host: host.to_owned(),
                reason,
            };
            let name = server_name(&target.host).map_err(refused)?;
            let stream = tls
                .connect(name, stream)
                .await
                .map_err(|error| refused(error.to_string()))?;
            handshake(stream, host, address).await
        }
    }
}

fn server_name(host: &Host) -> Result<ServerName<'static>, String> {
    match host {
        Host::Address(address) => Ok(ServerName::from(*address)),
        Host::Name(name) => ServerName::try_from(name.clone()).map_err(|error| error.to_string()),
    }
}

async fn handshake<S>(stream: S, host: &str, address: IpAddr) -> Result<Connection, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::Builder::new()
        // Hyper makes room for as many: without the guard for some more, not for all there can be.
        .max_headers(
            Guard::AnswerHeaders
                .limit(HTTP_HEADERS_MAX)
                .min(10 * HTTP_HEADERS_MAX),
        )
        .max_header_size(Guard::AnswerHeaderBytes.limit(HTTP_HEADER_BYTES_MAX))
        // The head and a piece of the body behind it.
        .max_buf_size(2 * HTTP_HEADER_BYTES_MAX)
        .handshake::<_, Outgoing>(TokioIo::new(stream))
        .await
        .map_err(|error| HttpError::Protocol {
            host: host.to_owned(),
            reason: error.to_string(),
        })?;
    // Ends with the `Connection` at the latest: a server that reads a body a byte at a time would keep it for ever.
    let task = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::trace!(%error, "connection ended");
        }
    });
    Ok(Connection::new(sender, address, task.abort_handle()))
}
