//! Where a request goes, taken from its URI once. What was decided on is what is sent: the door builds the
//! outgoing URI from this and never from the plugin's text.

use crate::host::{Host, HostError};
use crate::path::{self, PathError};
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
        if self.port == self.scheme.default_port() {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// `host`, `host:port`, `[::1]:port`.
pub(crate) fn parse_authority(text: &str) -> Result<(Host, Option<u16>), TargetError> {
    if text.contains('@') {
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

fn parse_port(text: &str) -> Result<u16, TargetError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let port = text.parse().ok().filter(|port| digits && *port != 0);
    port.ok_or(TargetError::Port)
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority(), self.path)
    }
}
