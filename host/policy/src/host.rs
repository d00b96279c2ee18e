//! Hosts, parsed once: what a manifest or grant names, and what a request names, become the same types, and
//! only those are compared. Not addresses that names resolve to: see `address`.
//!
//! Every spelling that two parsers could read differently is refused rather than mended.

use sluice_model::guards::Guard;
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
        if is_canonical(text) {
            return name_of(text);
        }
        let bracketed = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'));
        if let Ok(address) = bracketed.unwrap_or(text).parse::<Ipv6Addr>() {
            return Ok(Self::Address(IpAddr::V6(address).to_canonical()));
        }
        let odd = |c: &char| {
            c.is_control()
                || c.is_whitespace()
                || matches!(
                    c,
                    '\\' | '%'
                        | '@'
                        | '/'
                        | '?'
                        | '#'
                        | ':'
                        | '['
                        | ']'
                        | '*'
                        | '{'
                        | '}'
                        | '<'
                        | '>'
                )
                || matches!(c, '^' | '|' | '"' | '\'' | '`')
        };
        if Guard::HostCharacters.stands()
            && let Some(c) = text.chars().find(odd)
        {
            return Err(HostError::Character(c));
        }
        match url::Host::parse(text).map_err(|_| HostError::Malformed)? {
            url::Host::Domain(name) => name_of(&name),
            url::Host::Ipv4(address) if Guard::HostSpelling.holds(address.to_string() == text) => {
                Ok(Self::Address(address.into()))
            }
            url::Host::Ipv4(address) => Err(HostError::Spelling(address.into())),
            url::Host::Ipv6(address) => Ok(Self::Address(IpAddr::V6(address).to_canonical())),
        }
    }
}

impl Host {
    /// The pattern that names it alone.
    pub(crate) fn pattern(&self) -> HostPattern {
        HostPattern::Only(self.clone())
    }
}

/// Whether this is a name that every parser leaves as it is: small letters, digits, `-`, `_` and dots, nothing encoded, and
/// no number at its end, which would be an address. Nearly every host that is asked for is one, and this costs a tenth of
/// asking the parser of URLs (test: `what_is_canonical_is_what_a_browser_makes_of_it`).
fn is_canonical(text: &str) -> bool {
    let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
    let last = text.trim_end_matches('.').rsplit('.').next();
    let is_word = last.is_some_and(|last| last.starts_with(|c: char| c.is_ascii_lowercase()));
    text.bytes().all(plain) && is_word && !text.contains("xn--")
}

fn name_of(name: &str) -> Result<Host, HostError> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if Guard::HostLabels.bars(name.split('.').any(str::is_empty)) {
        return Err(HostError::EmptyLabel);
    }
    let is_long =
        name.len() > NAME_BYTES_MAX || name.split('.').any(|label| label.len() > LABEL_BYTES_MAX);
    if Guard::HostLength.bars(is_long) {
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
            Ok(Host::Name(name))
                if Guard::WildcardSuffix.holds(name.split('.').count() >= WILDCARD_LABELS_MIN) =>
            {
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

    /// Does it name every host that the other does?
    pub fn includes(&self, other: &Self) -> bool {
        match (self, other) {
            (ours, Self::Only(host)) => ours.matches(host),
            (Self::Only(_), Self::Below(_)) => false,
            (Self::Below(ours), Self::Below(theirs)) => ours == theirs || below(theirs, ours),
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

impl HostPattern {
    /// Is every host that it names one that `other` names?
    pub fn within(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Only(host), other) => other.matches(host),
            (Self::Below(_), Self::Only(_)) => false,
            (Self::Below(ours), Self::Below(theirs)) => ours == theirs || below(ours, theirs),
        }
    }

    /// The hosts that both name.
    pub fn common(&self, other: &Self) -> Option<Self> {
        if self.within(other) {
            Some(self.clone())
        } else if other.within(self) {
            Some(other.clone())
        } else {
            None
        }
    }
}

fn below(name: &str, suffix: &str) -> bool {
    name.strip_suffix(suffix)
        .is_some_and(|head| head.len() > 1 && Guard::WildcardLabel.holds(head.ends_with('.')))
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_hosts_are_read() {
        for (text, expected) in [
            ("api.acme.example", "api.acme.example"),
            ("API.Acme.Example", "api.acme.example"),
            ("api.acme.example.", "api.acme.example"),
            ("localhost", "localhost"),
            ("my_db.internal", "my_db.internal"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("api。acme。example", "api.acme.example"),
            // Cyrillic `а`: another host, and visibly so.
            ("аpi.acme.example", "xn--pi-6kc.acme.example"),
            ("192.0.2.7", "192.0.2.7"),
            ("2001:db8::7", "[2001:db8::7]"),
            ("[2001:DB8:0::7]", "[2001:db8::7]"),
            ("::ffff:127.0.0.1", "127.0.0.1"),
            ("[::ffff:7f00:1]", "127.0.0.1"),
        ] {
            assert_eq!(
                Host::parse(text).map(|host| host.to_string()).as_deref(),
                Ok(expected),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_canonical_is_what_a_browser_makes_of_it(text in "([a-c0-9x_.-]|xn--){1,20}") {
            if is_canonical(&text) {
                match url::Host::parse(&text) {
                    Ok(url::Host::Domain(name)) => prop_assert_eq!(name, text),
                    // Empty parts and lengths are looked at in both cases, by `name_of`.
                    other => prop_assert!(false, "{text}: {other:?}"),
                }
            }
        }
    }

    #[test]
    fn odd_spellings_are_refused() {
        let spelling = || HostError::Spelling("127.0.0.1".parse().expect("an address"));
        let long_label = format!("{}.example", "a".repeat(64));
        let long_name = format!("{}example", "abcdefg.".repeat(32));
        for (text, expected) in [
            ("", HostError::Empty),
            ("0x7f.1", spelling()),
            ("127.1", spelling()),
            ("2130706433", spelling()),
            ("0177.0.0.1", spelling()),
            ("127.0.0.1.", spelling()),
            ("①②⑦.0.0.1", spelling()),
            ("127。0。0。1", spelling()),
            ("256.0.0.1", HostError::Malformed),
            ("1.2.3.4.5", HostError::Malformed),
            ("api%2eacme.example", HostError::Character('%')),
            ("api.acme.example\t.evil.test", HostError::Character('\t')),
            ("api.acme.example\n", HostError::Character('\n')),
            ("api.acme.example\0.evil.test", HostError::Character('\0')),
            (" api.acme.example", HostError::Character(' ')),
            ("api.acme.example\\.evil.test", HostError::Character('\\')),
            ("api.acme.example@evil.test", HostError::Character('@')),
            ("api.acme.example/evil.test", HostError::Character('/')),
            ("api.acme.example?evil.test", HostError::Character('?')),
            ("api.acme.example#evil.test", HostError::Character('#')),
            ("api.acme.example:443", HostError::Character(':')),
            ("[::1]:8080", HostError::Character('[')),
            ("[api.acme.example]", HostError::Character('[')),
            ("fe80::1%eth0", HostError::Character(':')),
            ("*.acme.example", HostError::Character('*')),
            ("api..example", HostError::EmptyLabel),
            (".acme.example", HostError::EmptyLabel),
            ("api.acme.example..", HostError::EmptyLabel),
            (".", HostError::EmptyLabel),
            (&long_label, HostError::TooLong),
            (&long_name, HostError::TooLong),
        ] {
            assert_eq!(Host::parse(text), Err(expected), "{text:?}");
        }
    }

    #[test]
    fn patterns_match_what_they_name() {
        let check = |pattern: &str, host: &str, expected: bool| {
            let matches = HostPattern::parse(pattern)
                .expect(pattern)
                .matches(&Host::parse(host).expect(host));
            assert_eq!(matches, expected, "{pattern} {host}");
        };
        check("api.acme.example", "api.acme.example", true);
        check("api.acme.example", "API.ACME.EXAMPLE.", true);
        check("api.acme.example", "evil.api.acme.example", false);
        check("api.acme.example", "api.acme.example.evil.test", false);
        check("*.acme.example", "api.acme.example", true);
        check("*.acme.example", "a.b.c.acme.example", true);
        check("*.acme.example", "acme.example", false);
        check("*.acme.example", "evilacme.example", false);
        check("*.acme.example", "acme.example.evil.test", false);
        check("192.0.2.7", "192.0.2.7", true);
        check("192.0.2.7", "192.0.2.70", false);
        check("127.0.0.1", "[::ffff:127.0.0.1]", true);
        check("::1", "[::1]", true);
        for bad in [
            "*",
            "*.",
            "*.com",
            "*.com.",
            "api.*.example",
            "**.acme.example",
            "*.*.acme.example",
            "*acme.example",
            "*.192.0.2.7",
            "*.0.2.7",
        ] {
            assert!(HostPattern::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn patterns_meet_where_they_share_a_host() {
        let check = |ours: &str, theirs: &str, expected: bool| {
            let (ours, theirs) = (
                HostPattern::parse(ours).expect(ours),
                HostPattern::parse(theirs).expect(theirs),
            );
            assert_eq!(
                (ours.meets(&theirs), theirs.meets(&ours)),
                (expected, expected),
                "{ours} {theirs}"
            );
        };
        check("a.acme.example", "a.acme.example", true);
        check("a.acme.example", "*.acme.example", true);
        check("acme.example", "*.acme.example", false);
        check("*.acme.example", "*.eu.acme.example", true);
        check("*.acme.example", "*.evilacme.example", false);
        check("*.acme.example", "192.0.2.7", false);
    }

    proptest! {
        #[test]
        fn reading_never_panics_and_is_stable(text in "\\PC{0,40}|[a-c.*:%\\[\\]0-9-]{0,24}") {
            if let Ok(host) = Host::parse(&text) {
                prop_assert_eq!(Host::parse(&host.to_string()), Ok(host));
            }
            if let Ok(pattern) = HostPattern::parse(&text) {
                prop_assert_eq!(HostPattern::parse(&pattern.to_string()), Ok(pattern));
            }
        }

        #[test]
        fn a_wildcard_never_matches_outside_its_suffix(host in "([a-c]{1,2}\\.){0,3}[a-c]{1,2}", suffix in "[a-c]{1,2}\\.[a-c]{1,2}") {
            let pattern = HostPattern::parse(&format!("*.{suffix}")).expect("a pattern");
            let inside = host.ends_with(&format!(".{suffix}"));
            prop_assert_eq!(pattern.matches(&Host::Name(host)), inside);
        }
    }
}
