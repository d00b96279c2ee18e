//! Where a request goes, taken from its URI once. What was decided on is what is sent: the door builds the
//! outgoing URI from this and never from the plugin's text.

use crate::host::{Host, HostError};
use crate::path::{self, PathError};
use sluice_model::guards::Guard;
use sluice_model::manifest::Scheme;
use std::fmt;

/// A request's destination and path. Its query is not policy's business and is kept apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// How it travels.
    pub scheme: Scheme,
    /// To whom.
    pub host: Host,
    /// Never 0.
    pub port: u16,
    /// Begins with `/`; without the query.
    pub path: String,
}

/// Why a URI names no destination that could be decided on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Neither `http` nor `https`.
    #[error("the scheme is neither `http` nor `https`")]
    Scheme,
    /// `user:password@host`
    #[error("a url cannot have a user name in it")]
    UserInfo,
    /// `:0`, `:`, `:99999`, `:80x`
    #[error("the port is not a number from 1 to 65535")]
    Port,
    /// See [`HostError`].
    #[error(transparent)]
    Host(#[from] HostError),
    /// See [`PathError`].
    #[error(transparent)]
    Path(#[from] PathError),
}

impl Target {
    /// Takes a URI apart. An empty path is `/`.
    pub fn parse(uri: &http::Uri) -> Result<Self, TargetError> {
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            _ => return Err(TargetError::Scheme),
        };
        let authority = uri.authority().map_or("", http::uri::Authority::as_str);
        let (host, port) = parse_authority(authority)?;
        let path = if uri.path().is_empty() {
            "/"
        } else {
            uri.path()
        };
        path::check(path)?;
        Ok(Self {
            scheme,
            host,
            port: port.unwrap_or(scheme.default_port()),
            path: path.to_owned(),
        })
    }

    /// Host and port, the port only where it is not the scheme's own: what a `Host` header says.
    pub fn authority(&self) -> String {
        match self.own_port() {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.to_string(),
        }
    }

    fn own_port(&self) -> Option<u16> {
        (self.port != self.scheme.default_port()).then_some(self.port)
    }
}

/// `host`, `host:port`, `[::1]:port`.
pub(crate) fn parse_authority(text: &str) -> Result<(Host, Option<u16>), TargetError> {
    if Guard::UrlUser.bars(text.contains('@')) {
        return Err(TargetError::UserInfo);
    }
    let colon = match text.find(']') {
        Some(end) => text[end..].find(':').map(|colon| end + colon),
        None => text.find(':'),
    };
    let (host, port) = match colon {
        Some(colon) => (&text[..colon], Some(parse_port(&text[colon + 1..])?)),
        None => (text, None),
    };
    Ok((Host::parse(host)?, port))
}

/// 1 to 65535, in digits.
pub(crate) fn parse_port(text: &str) -> Result<u16, TargetError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let port = text.parse().ok().filter(|port| digits && *port != 0);
    port.ok_or(TargetError::Port)
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        if let Some(port) = self.own_port() {
            write!(f, ":{port}")?;
        }
        f.write_str(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(uri: &str) -> Result<String, TargetError> {
        Target::parse(&uri.parse().expect(uri)).map(|target| target.to_string())
    }

    #[test]
    fn a_uri_is_taken_apart_once() {
        for (uri, expected) in [
            (
                "https://api.acme.example/v2?q=1",
                "https://api.acme.example/v2",
            ),
            (
                "https://API.acme.example.:443/",
                "https://api.acme.example/",
            ),
            (
                "https://api.acme.example:8443",
                "https://api.acme.example:8443/",
            ),
            ("http://api.acme.example", "http://api.acme.example/"),
            (
                "http://api.acme.example:443/",
                "http://api.acme.example:443/",
            ),
            (
                "https://[2001:db8::1]:8443/a",
                "https://[2001:db8::1]:8443/a",
            ),
            ("https://[::ffff:127.0.0.1]/", "https://127.0.0.1/"),
        ] {
            assert_eq!(parse(uri).as_deref(), Ok(expected), "{uri}");
        }
    }

    #[test]
    fn what_two_parsers_could_read_differently_is_refused() {
        let spelling = || {
            TargetError::Host(HostError::Spelling(
                "127.0.0.1".parse().expect("an address"),
            ))
        };
        for (uri, expected) in [
            ("/v2", TargetError::Scheme),
            ("ftp://api.acme.example/", TargetError::Scheme),
            ("https://user@api.acme.example/", TargetError::UserInfo),
            ("https://user:pass@api.acme.example/", TargetError::UserInfo),
            ("https://api.acme.example@evil.test/", TargetError::UserInfo),
            ("https://api.acme.example:0/", TargetError::Port),
            ("https://api.acme.example:/", TargetError::Port),
            ("https://api.acme.example:65536/", TargetError::Port),
            ("https://127.1/", spelling()),
            ("https://0x7f.1/", spelling()),
            ("https://2130706433/", spelling()),
            ("https://0177.0.0.1/", spelling()),
            (
                "https://api..example/",
                TargetError::Host(HostError::EmptyLabel),
            ),
            (
                "https://api.acme.example../",
                TargetError::Host(HostError::EmptyLabel),
            ),
            (
                "https://api%2eacme.example/",
                TargetError::Host(HostError::Character('%')),
            ),
            (
                "https://api.acme.example/../x",
                TargetError::Path(PathError::Dots),
            ),
            (
                "https://api.acme.example//x",
                TargetError::Path(PathError::Empty),
            ),
        ] {
            if let Ok(uri) = uri.parse::<http::Uri>() {
                assert_eq!(Target::parse(&uri), Err(expected), "{uri}");
            } else {
                assert!(
                    matches!(expected, TargetError::Port | TargetError::Host(_)),
                    "{uri} was not even a uri"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "https?://[a-c.:@%\\[\\]0-9]{0,24}(/[a.%2e]{0,8}){0,3}|\\PC{0,40}") {
            if let Ok(uri) = text.parse::<http::Uri>()
                && let Ok(target) = Target::parse(&uri)
            {
                let again: http::Uri = target.to_string().parse().expect("a uri");
                prop_assert_eq!(Target::parse(&again), Ok(target));
            }
        }
    }
}
