//! Addresses that names resolve to: only the public internet, and the networks a grant names. A list of what is
//! allowed, for a list of what is forbidden is never complete. Not hosts as people write them: see `host`.

use sluice_model::grant::ipnet_text::Network;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address that may not be dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("`{address}` is {what}")]
pub struct Barred {
    /// The address, a v4-mapped one as its IPv4 address.
    pub address: IpAddr,
    /// What it is instead of public.
    pub what: &'static str,
}

/// The IANA special-purpose registry (RFC 6890 and what updates it) without its globally reachable entries, and
/// the metadata address of a cloud that uses a public one.
const SPECIAL_V4: [(Ipv4Addr, u8, &str); 17] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, "this network itself"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private"),
    (
        Ipv4Addr::new(100, 64, 0, 0),
        10,
        "a carrier's shared address",
    ),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "reserved for protocols"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "for documentation"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "a 6to4 relay"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "for benchmarks"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "for documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "for documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::new(255, 255, 255, 255), 32, "broadcast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved"),
    (
        Ipv4Addr::new(168, 63, 129, 16),
        32,
        "a cloud's metadata service",
    ),
];

/// Where the public part of IPv6 lies.
const GLOBAL_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// What inside it is not public: tunnels that carry another address among them.
const SPECIAL_V6: [(Ipv6Addr, u8, &str); 4] = [
    (
        Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0),
        23,
        "reserved for protocols",
    ),
    (
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0),
        32,
        "for documentation",
    ),
    (
        Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0),
        16,
        "a 6to4 tunnel",
    ),
    (
        Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0),
        20,
        "for documentation",
    ),
];

/// May this address be dialled, where the grant names these networks besides the public internet?
pub fn check(address: IpAddr, networks: &[Network]) -> Result<(), Barred> {
    let address = address.to_canonical();
    if networks.iter().any(|network| contains(*network, address)) {
        return Ok(());
    }
    let what = match address {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    };
    what.map_or(Ok(()), |what| Err(Barred { address, what }))
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    let inside = |(network, bits, _): &&(Ipv4Addr, u8, _)| same_v4(*network, address, *bits);
    SPECIAL_V4.iter().find(inside).map(|(_, _, what)| *what)
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    if !same_v6(GLOBAL_V6.0, address, GLOBAL_V6.1) {
        return Some("outside the public part of ipv6");
    }
    let inside = |(network, bits, _): &&(Ipv6Addr, u8, _)| same_v6(*network, address, *bits);
    SPECIAL_V6.iter().find(inside).map(|(_, _, what)| *what)
}

/// A network is compared with addresses of its own family; `address` is canonical.
fn contains(network: Network, address: IpAddr) -> bool {
    match (network.address, address) {
        (IpAddr::V4(network_address), IpAddr::V4(address)) => {
            same_v4(network_address, address, network.bits)
        }
        (IpAddr::V6(network_address), IpAddr::V6(address)) => {
            same_v6(network_address, address, network.bits)
        }
        _ => false,
    }
}

fn same_v4(network: Ipv4Addr, address: Ipv4Addr, bits: u8) -> bool {
    let differ = network.to_bits() ^ address.to_bits();
    differ.leading_zeros() >= u32::from(bits)
}

fn same_v6(network: Ipv6Addr, address: Ipv6Addr, bits: u8) -> bool {
    let differ = network.to_bits() ^ address.to_bits();
    differ.leading_zeros() >= u32::from(bits)
}
