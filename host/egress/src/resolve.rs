//! Names to addresses, bounded in time and number. Which addresses are permitted is `policy`'s to say.

use async_trait::async_trait;
use sluice_model::guards::Guard;
use sluice_model::limits::{DNS_ADDRESSES_MAX, DNS_LOOK_UPS_MAX};
use sluice_model::ports::HttpError;
use sluice_policy::host::Host;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Who knows the addresses of names. Asked once for each connection that is opened; its answer is checked whole
/// and dialled as it stands.
#[async_trait]
pub trait Resolver: Send + Sync {
    /// Every address of this name: lower-case A-labels, without a trailing dot. Errors: why there is none.
    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, String>;
}

/// The operating system's resolver. A look-up that nobody waits for any more still runs, on a thread that others need
/// too: so one stage has a resolver of its own, and that has so many look-ups at once.
#[derive(Debug, Clone)]
pub struct SystemResolver {
    look_ups: Arc<Semaphore>,
}

impl Default for SystemResolver {
    fn default() -> Self {
        Self {
            look_ups: Arc::new(Semaphore::new(
                Guard::LookUps
                    .limit(DNS_LOOK_UPS_MAX)
                    .min(Semaphore::MAX_PERMITS),
            )),
        }
    }
}

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, String> {
        let turn = Arc::clone(&self.look_ups).acquire_owned().await;
        let turn = turn.map_err(|closed| closed.to_string())?;
        let name = name.to_owned();
        let found = tokio::task::spawn_blocking(move || {
            let _until_it_is_over = turn;
            (name.as_str(), 0).to_socket_addrs()
        });
        let found = found.await.map_err(|error| error.to_string())?;
        let found = found.map_err(|error| error.to_string())?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn look_ups_take_turns() {
        let resolver = SystemResolver::default();
        let all = u32::try_from(DNS_LOOK_UPS_MAX).expect("few");
        let held = Arc::clone(&resolver.look_ups).acquire_many_owned(all).await;
        let soon = Duration::from_millis(50);
        let waits = tokio::time::timeout(soon, resolver.resolve("127.0.0.1")).await;
        assert!(waits.is_err(), "all turns are taken: {waits:?}");
        drop(held);
        let found = resolver.resolve("127.0.0.1").await.expect("an address");
        assert_eq!(found.len(), 1);
    }
}
