//! Connections to one host, as two files' words of them are compared: hosts by what they include, a host or a port with a
//! setting in it letter by letter.

use super::requests::Host;
use super::{SHOWN_CHARS_MAX, part};
use crate::address;
use crate::host::HostPattern;
use crate::settings::is_template;
use crate::tcp::TcpRule;
use sluice_model::grant;
use sluice_model::grant::ipnet_text::Network;
use sluice_model::ids::Role;
use sluice_model::manifest::{self, Port};
use sluice_model::visible::visible;
use std::fmt;

/// Connections to one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Connections {
    host: Host,
    /// None: the setting of the host says it.
    port: Option<Port>,
    role: Option<Role>,
    networks: Vec<Network>,
}

impl Connections {
    pub(super) fn of_manifest(entry: &manifest::Tcp) -> Self {
        let manifest::Tcp {
            host,
            port,
            role,
            reason: _,
        } = entry;
        let networks = Vec::new();
        Self {
            host: read(host),
            port: port.clone(),
            role: *role,
            networks,
        }
    }

    pub(super) fn of_grant(entry: &grant::Tcp) -> Self {
        // What it says besides narrows it, and no manifest asks for it.
        let grant::Tcp {
            host,
            port,
            networks,
            ca: _,
            bytes_out_max: _,
            bytes_in_max: _,
            role,
        } = entry;
        Self {
            host: read(host),
            port: Some(Port::Number(*port)),
            role: *role,
            networks: networks.clone(),
        }
    }

    /// Whether whoever may open these may open the others.
    pub(super) fn includes(&self, other: &Self) -> bool {
        let host = match (&self.host, &other.host) {
            (Host::Pattern(ours), Host::Pattern(theirs)) => ours.includes(theirs),
            (ours, theirs) => ours == theirs,
        };
        // A setting may say any port, so that a number is no more than that.
        let is_open = !matches!(self.port, Some(Port::Number(_)));
        let is_number = matches!(other.port, Some(Port::Number(_)));
        let port = self.port == other.port || (is_open && is_number);
        let networks = other.networks.iter().all(|network| {
            let mut ours = self.networks.iter();
            ours.any(|ours| address::includes(*ours, *network))
        });
        host && port && networks && (self.role.is_none() || self.role == other.role)
    }

    /// Whether some connection could be meant by both.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        let host = match (&self.host, &other.host) {
            (Host::Pattern(ours), Host::Pattern(theirs)) => ours.meets(theirs),
            (ours, theirs) => ours == theirs,
        };
        let role = self.role.is_none() || other.role.is_none() || self.role == other.role;
        host && role && self.port == other.port
    }
}

fn read(host: &str) -> Host {
    match HostPattern::parse(host) {
        Ok(pattern) if !is_template(host) => Host::Pattern(pattern),
        _ => Host::Text(host.to_owned()),
    }
}

/// `db.acme.example:5432`, `{config.host}:{config.port:5432}`.
impl fmt::Display for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.host, &self.port) {
            (Host::Pattern(host), Some(Port::Number(port))) => {
                let (host, port) = (host.clone(), *port);
                write!(f, "{}", TcpRule { host, port })?;
            }
            (host, port) => {
                let host = match host {
                    Host::Pattern(pattern) => pattern.to_string(),
                    Host::Text(text) => text.clone(),
                };
                f.write_str(&visible(&host, SHOWN_CHARS_MAX))?;
                if let Some(port) = port {
                    write!(f, ":{}", visible(&port.to_string(), SHOWN_CHARS_MAX))?;
                }
            }
        }
        if !self.networks.is_empty() {
            let networks = self.networks.iter().map(|network| String::from(*network));
            let networks: Vec<String> = networks.collect();
            write!(
                f,
                ", into {}",
                visible(&networks.join(" "), SHOWN_CHARS_MAX)
            )?;
        }
        f.write_str(&part(self.role))
    }
}
