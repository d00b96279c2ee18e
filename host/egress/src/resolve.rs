//! Names to addresses, bounded in time and number. Which addresses are permitted is `policy`'s to say.

use async_trait::async_trait;
use sluice_model::guards::Guard;
use sluice_model::limits::DNS_ADDRESSES_MAX;
use sluice_model::ports::HttpError;
use sluice_policy::host::Host;
use std::net::IpAddr;
use std::time::Duration;

/// Who knows the addresses of names. Asked once for each connection that is opened; its answer is checked whole
/// and dialled as it stands.
#[async_trait]
pub trait Resolver: Send + Sync {
    /// Every address of this name: lower-case A-labels, without a trailing dot. Errors: why there is none.
    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, String>;
}

/// The operating system's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, String> {
        let found = tokio::net::lookup_host((name, 0))
            .await
            .map_err(|error| error.to_string())?;
        let mut addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
        addresses.dedup();
        Ok(addresses)
    }
}

/// The addresses of a host: at least one, not too many. An address is its own.
pub(crate) async fn addresses(
    resolver: &dyn Resolver,
    host: &Host,
    within: Duration,
) -> Result<Vec<IpAddr>, HttpError> {
    let name = match host {
        Host::Address(address) => return Ok(vec![*address]),
        Host::Name(name) => name,
    };
    let failed = |reason: String| HttpError::Dns {
        host: name.clone(),
        reason,
    };
    let answer = tokio::time::timeout(within, resolver.resolve(name)).await;
    let found = answer
        .map_err(|_| failed(format!("no answer within {within:?}")))?
        .map_err(failed)?;
    match found.len() {
        0 => Err(failed("it has no address".to_owned())),
        // Cut off, the rest would go unchecked.
        more if more > Guard::DnsAddresses.limit(DNS_ADDRESSES_MAX) => Err(failed(format!(
            "it has more than {DNS_ADDRESSES_MAX} addresses"
        ))),
        _ => Ok(found),
    }
}
