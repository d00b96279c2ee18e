//! Hosts, parsed once: what a manifest or grant names, and what a request names, become the same types, and
//! only those are compared. Not addresses that names resolve to: see `address`.
//!
//! Every spelling that two parsers could read differently is refused rather than mended.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// RFC 1035, section 2.3.4.
const NAME_BYTES_MAX: usize = 253;
/// RFC 1035, section 2.3.4.
const LABEL_BYTES_MAX: usize = 63;
/// Labels behind `*.`: one alone is a top-level domain.
const WILDCARD_LABELS_MIN: usize = 2;

/// One host: a name in lower-case A-labels without a trailing dot, or an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// `api.acme.example`
    Name(String),
    /// `192.0.2.7`, `2001:db8::7`; a v4-mapped one is its IPv4 address.
    Address(IpAddr),
}

/// Why a text is not a host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Nothing there.
    #[error("no host is named")]
    Empty,
    /// A character that parsers disagree on.
    #[error("a host name cannot have {0:?} in it")]
    Character(char),
    /// `a..b`, `.a`, `a..`
    #[error("a host name cannot have an empty part")]
    EmptyLabel,
    /// More than DNS can carry.
    #[error("a host name has {NAME_BYTES_MAX} bytes at most, {LABEL_BYTES_MAX} a part")]
    TooLong,
    /// `127.1`, `0x7f.0.0.1`, `2130706433`
    #[error("an address is written `{0}`")]
    Spelling(IpAddr),
    /// What IDNA or an address parser refuses.
    #[error("not a host name or address")]
    Malformed,
    /// `a.*.b`, `*`, `*.com`
    #[error("`*` stands once, in front, with two parts or more behind it: `*.acme.example`")]
    Wildcard,
}

impl Host {
    /// Reads a host. IPv6 with or without brackets.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        if text.is_empty() {
            return Err(HostError::Empty);
        }
        let bracketed = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'));
        if let Ok(address) = bracketed.unwrap_or(text).parse::<Ipv6Addr>() {
            return Ok(Self::Address(IpAddr::V6(address).to_canonical()));
        }
        let odd =
            |c: &char| c.is_control() || c.is_whitespace() || "\\%@/?#:[]*{}<>^|\"'`".contains(*c);
        if let Some(c) = text.chars().find(odd) {
            return Err(HostError::Character(c));
        }
        match url::Host::parse(text).map_err(|_| HostError::Malformed)? {
            url::Host::Domain(name) => name_of(&name),
            url::Host::Ipv4(address) if address.to_string() == text => {
                Ok(Self::Address(address.into()))
            }
            url::Host::Ipv4(address) => Err(HostError::Spelling(address.into())),
            url::Host::Ipv6(address) => Ok(Self::Address(IpAddr::V6(address).to_canonical())),
        }
    }
}

fn name_of(name: &str) -> Result<Host, HostError> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.split('.').any(str::is_empty) {
        return Err(HostError::EmptyLabel);
    }
    if name.len() > NAME_BYTES_MAX || name.split('.').any(|label| label.len() > LABEL_BYTES_MAX) {
        return Err(HostError::TooLong);
    }
    Ok(Host::Name(name.to_ascii_lowercase()))
}

impl fmt::Display for Host {
    /// As it stands in a URL: IPv6 in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// What a manifest or grant names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// This host and no other.
    Only(Host),
    /// `*.suffix`: one label or more before it, never the suffix itself.
    Below(String),
}

impl HostPattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        let Some(suffix) = text.strip_prefix("*.") else {
            return match Host::parse(text) {
                Err(HostError::Character('*')) => Err(HostError::Wildcard),
                other => other.map(Self::Only),
            };
        };
        match Host::parse(suffix) {
            Ok(Host::Name(name)) if name.split('.').count() >= WILDCARD_LABELS_MIN => {
                Ok(Self::Below(name))
            }
            Ok(_) | Err(HostError::Character('*')) => Err(HostError::Wildcard),
            Err(error) => Err(error),
        }
    }

    /// Does it name this host?
    pub fn matches(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Only(ours), host) => ours == host,
            (Self::Below(suffix), Host::Name(name)) => below(name, suffix),
            (Self::Below(_), Host::Address(_)) => false,
        }
    }

    /// Is there a host that both name?
    pub fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Only(host), pattern) | (pattern, Self::Only(host)) => pattern.matches(host),
            (Self::Below(ours), Self::Below(theirs)) => {
                ours == theirs || below(ours, theirs) || below(theirs, ours)
            }
        }
    }
}

fn below(name: &str, suffix: &str) -> bool {
    name.strip_suffix(suffix)
        .is_some_and(|head| head.len() > 1 && head.ends_with('.'))
}

impl fmt::Display for HostPattern {
    /// As a file names it: IPv6 without brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Only(Host::Address(address)) => write!(f, "{address}"),
            Self::Only(host) => write!(f, "{host}"),
            Self::Below(suffix) => write!(f, "*.{suffix}"),
        }
    }
}
