//! Addresses that names resolve to: only the public internet, and the networks a grant names. A list of what is
//! allowed, for a list of what is forbidden is never complete. Not hosts as people write them: see `host`.

use sluice_model::grant::ipnet_text::Network;
use sluice_model::guards::Guard;
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
    (Ipv4Addr::UNSPECIFIED, 8, "this network itself"),
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
    (Ipv4Addr::BROADCAST, 32, "broadcast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved"),
    (Ipv4Addr::new(168, 63, 129, 16), 32, METADATA),
];

const METADATA: &str = "a cloud's metadata service";

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
    let address = if Guard::AddressMapped.stands() {
        address.to_canonical()
    } else {
        address
    };
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
    let found = SPECIAL_V4.iter().find(inside);
    found.map(|(_, _, what)| *what).filter(|what| {
        let guard = match *what {
            "loopback" => Guard::AddressLoopback,
            "private" => Guard::AddressPrivate,
            "link-local" | METADATA => Guard::AddressMetadata,
            _ => Guard::AddressReserved,
        };
        guard.stands()
    })
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    if Guard::AddressGlobal.bars(!same_v6(GLOBAL_V6.0, address, GLOBAL_V6.1)) {
        return Some("outside the public part of ipv6");
    }
    let inside = |(network, bits, _): &&(Ipv6Addr, u8, _)| same_v6(*network, address, *bits);
    let found = SPECIAL_V6.iter().find(inside);
    found
        .map(|(_, _, what)| *what)
        .filter(|_| Guard::AddressTunnels.stands())
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

/// The addresses that both networks hold: the smaller one, where it lies in the other.
pub fn common(ours: Network, theirs: Network) -> Option<Network> {
    let (small, large) = if ours.bits >= theirs.bits {
        (ours, theirs)
    } else {
        (theirs, ours)
    };
    contains(large, small.address).then_some(small)
}

/// Whether all addresses of the second are in the first.
pub(crate) fn includes(ours: Network, theirs: Network) -> bool {
    ours.bits <= theirs.bits && contains(ours, theirs.address)
}

fn same_v4(network: Ipv4Addr, address: Ipv4Addr, bits: u8) -> bool {
    let differ = network.to_bits() ^ address.to_bits();
    differ.leading_zeros() >= u32::from(bits)
}

fn same_v6(network: Ipv6Addr, address: Ipv6Addr, bits: u8) -> bool {
    let differ = network.to_bits() ^ address.to_bits();
    differ.leading_zeros() >= u32::from(bits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn network(text: &str) -> Network {
        Network::try_from(text.to_owned()).expect(text)
    }

    #[test]
    fn only_the_public_internet_is_open() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "168.63.129.15",
            "2606:4700::1111",
            "2a00::1",
            "2620:4f:8000::1",
            "2001:200::1",
            "::ffff:1.1.1.1",
            "2000::",
            "3ffe::1",
        ] {
            assert_eq!(
                check(address.parse().expect(address), &[]),
                Ok(()),
                "{address}"
            );
        }
        for (address, what) in [
            ("0.0.0.0", "this network itself"),
            ("0.255.255.255", "this network itself"),
            ("10.0.0.1", "private"),
            ("100.64.0.1", "a carrier's shared address"),
            ("100.100.100.200", "a carrier's shared address"),
            ("100.127.255.255", "a carrier's shared address"),
            ("127.0.0.1", "loopback"),
            ("127.255.255.255", "loopback"),
            ("169.254.169.254", "link-local"),
            ("172.16.0.1", "private"),
            ("172.31.255.255", "private"),
            ("192.0.0.1", "reserved for protocols"),
            ("192.0.0.192", "reserved for protocols"),
            ("192.0.2.1", "for documentation"),
            ("192.88.99.1", "a 6to4 relay"),
            ("192.168.1.1", "private"),
            ("198.18.0.1", "for benchmarks"),
            ("198.19.255.255", "for benchmarks"),
            ("198.51.100.1", "for documentation"),
            ("203.0.113.1", "for documentation"),
            ("224.0.0.1", "multicast"),
            ("239.255.255.255", "multicast"),
            ("240.0.0.1", "reserved"),
            ("255.255.255.255", "broadcast"),
            ("168.63.129.16", "a cloud's metadata service"),
            ("::", "outside the public part of ipv6"),
            ("::1", "outside the public part of ipv6"),
            ("::127.0.0.1", "outside the public part of ipv6"),
            ("::ffff:127.0.0.1", "loopback"),
            ("::ffff:169.254.169.254", "link-local"),
            ("::ffff:0:10.0.0.1", "outside the public part of ipv6"),
            ("64:ff9b::a9fe:a9fe", "outside the public part of ipv6"),
            ("64:ff9b:1::1", "outside the public part of ipv6"),
            ("100::1", "outside the public part of ipv6"),
            ("fc00::1", "outside the public part of ipv6"),
            ("fd00:ec2::254", "outside the public part of ipv6"),
            ("fe80::1", "outside the public part of ipv6"),
            ("fec0::1", "outside the public part of ipv6"),
            ("ff02::1", "outside the public part of ipv6"),
            ("5f00::1", "outside the public part of ipv6"),
            ("2001::1", "reserved for protocols"),
            ("2001:20::1", "reserved for protocols"),
            ("2001:db8::1", "for documentation"),
            ("2002:7f00:1::", "a 6to4 tunnel"),
            ("3fff::1", "for documentation"),
        ] {
            let barred = check(address.parse().expect(address), &[]).expect_err(address);
            assert_eq!(barred.what, what, "{address}");
        }
    }

    #[test]
    fn a_grant_opens_the_networks_it_names() {
        let expect = |address: &str, networks: &[&str], expected: bool| {
            let networks: Vec<Network> = networks.iter().map(|text| network(text)).collect();
            let permitted = check(address.parse().expect(address), &networks).is_ok();
            assert_eq!(permitted, expected, "{address} {networks:?}");
        };
        expect("10.1.2.3", &["10.1.0.0/16"], true);
        expect("10.1.2.3", &["10.1.77.1/16"], true);
        expect("10.2.0.0", &["10.1.0.0/16"], false);
        expect("127.0.0.1", &["127.0.0.1/32"], true);
        expect("127.0.0.2", &["127.0.0.1/32"], false);
        expect("::ffff:127.0.0.1", &["127.0.0.1/32"], true);
        expect("10.0.0.1", &["192.168.0.0/16", "10.0.0.0/8"], true);
        expect("fd00::1", &["fd00::/8"], true);
        expect("::1", &["::1/128"], true);
        expect("10.0.0.1", &["::/0"], false);
        expect("fd00::1", &["0.0.0.0/0"], false);
        expect("10.0.0.1", &["0.0.0.0/0"], true);
        expect("1.1.1.1", &["10.0.0.0/8"], true);
    }

    #[test]
    fn networks_have_the_smaller_in_common() {
        let check = |ours: &str, theirs: &str, expected: Option<&str>| {
            let found = common(network(ours), network(theirs)).map(String::from);
            assert_eq!(found.as_deref(), expected, "{ours} {theirs}");
            let found = common(network(theirs), network(ours)).map(|found| found.bits);
            assert_eq!(found, expected.map(|text| network(text).bits));
        };
        check("10.0.0.0/8", "10.1.0.0/16", Some("10.1.0.0/16"));
        check("10.0.0.0/8", "11.0.0.0/8", None);
        check("0.0.0.0/0", "127.0.0.1/32", Some("127.0.0.1/32"));
        check("::/0", "127.0.0.1/32", None);
        check("fd00::/8", "fd12::/16", Some("fd12::/16"));
    }

    proptest! {
        #[test]
        fn a_mapped_address_is_its_ipv4_address(bits: u32) {
            let address = Ipv4Addr::from_bits(bits);
            let mapped = check(address.to_ipv6_mapped().into(), &[]);
            prop_assert_eq!(mapped, check(address.into(), &[]));
        }

        #[test]
        fn what_the_standard_library_calls_special_is_barred(bits: u32) {
            let address = Ipv4Addr::from_bits(bits);
            let special = address.is_private() || address.is_loopback() || address.is_link_local()
                || address.is_multicast() || address.is_broadcast() || address.is_documentation() || address.is_unspecified();
            prop_assert!(!special || check(address.into(), &[]).is_err());
        }

        #[test]
        fn a_network_holds_what_shares_its_first_bits(address: u128, network: u128, bits in 0u8..=128) {
            let shift = 128 - u32::from(bits);
            let same = address.checked_shr(shift) == network.checked_shr(shift);
            let same = bits == 0 || same;
            prop_assert_eq!(same_v6(Ipv6Addr::from_bits(network), Ipv6Addr::from_bits(address), bits), same);
        }
    }
}
