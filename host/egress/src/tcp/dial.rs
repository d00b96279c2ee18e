//! One TCP connection to an address that policy has checked. Resolves nothing, decides nothing.

use sluice_model::ports::TcpError;
use sluice_policy::Endpoint;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

/// Opens a connection to the first of `addresses` that answers, all of them before `deadline`. `within` is the whole
/// time there was, for the message.
pub(crate) async fn open(
    endpoint: &Endpoint,
    addresses: &[IpAddr],
    deadline: Instant,
    within: Duration,
) -> Result<TcpStream, TcpError> {
    let silent = || TcpError::Timeout {
        to: endpoint.to_string(),
        what: "did not answer",
        after: within,
    };
    let mut last = silent();
    for (tried, address) in addresses.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        // The first of several that is silent leaves time for the others.
        let share = left / u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        match timeout(share, attempt(*address, endpoint.port)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => {
                last = TcpError::Unreachable {
                    to: endpoint.to_string(),
                    reason: error.to_string(),
                }
            }
            Err(_) => last = silent(),
        }
    }
    Err(last)
}

async fn attempt(address: IpAddr, port: u16) -> io::Result<TcpStream> {
    let socket = match address {
        IpAddr::V4(_) => TcpSocket::new_v4()?,
        IpAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_nodelay(true)?;
    // A connection may rest for hours; the system then finds out whether anybody is still there.
    socket.set_keepalive(true)?;
    socket.connect(SocketAddr::new(address, port)).await
}
