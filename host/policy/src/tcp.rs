//! Connections, as a manifest asks for them and a grant allows them, in types that can be compared. Names and ports
//! only: what a name leads to is checked in `address`, and who may do what is decided in `effective`.

use crate::host::{Host, HostPattern};
use crate::settings::{expand, is_template};
use crate::target::{self, TargetError};
use serde_json::Value;
use sluice_model::grant::ipnet_text::Network;
use sluice_model::grant::{self, Grant};
use sluice_model::guards::Guard;
use sluice_model::ids::Role;
use sluice_model::limits::TCP_BYTES_MAX;
use sluice_model::manifest::{Port, Tcp};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Where a connection leads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// To whom.
    pub host: Host,
    /// Never 0.
    pub port: u16,
}

impl Endpoint {
    /// Reads a host as a plugin names it.
    pub(crate) fn parse(host: &str, port: u16) -> Result<Self, TargetError> {
        let host = Host::parse(host)?;
        match port {
            0 => Err(TargetError::Port),
            port => Ok(Self { host, port }),
        }
    }
}

/// `db.acme.example:5432`, `[2001:db8::7]:5432`.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Connections that one `[[tcp]]` speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TcpRule {
    pub(crate) host: HostPattern,
    pub(crate) port: u16,
}

impl TcpRule {
    pub(crate) fn permits(&self, endpoint: &Endpoint) -> bool {
        Guard::TcpPort.holds(self.port == endpoint.port)
            && Guard::TcpHost.holds(self.host.matches(&endpoint.host))
    }

    /// Whether some connection could be meant by both.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        self.port == other.port && self.host.meets(&other.host)
    }
}

/// `db.acme.example:5432`, `*.acme.example:5432`.
impl fmt::Display for TcpRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            // An address of six is in brackets there.
            HostPattern::Only(host) => write!(f, "{host}:{}", self.port),
            below @ HostPattern::Below(_) => write!(f, "{below}:{}", self.port),
        }
    }
}

/// What a manifest asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TcpAsk {
    pub(crate) rule: TcpRule,
    /// The one part it is asked for in.
    pub(crate) role: Option<Role>,
}

/// What a grant allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TcpAllowance {
    pub(crate) rule: TcpRule,
    pub(crate) terms: TcpTerms,
}

/// On what terms a grant's entry allows its connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpTerms {
    /// Which `[[tcp]]` of the grant, from 0: what its connections share is counted under it.
    pub entry: usize,
    /// Networks outside the public internet that the name may resolve into.
    pub networks: Vec<Network>,
    /// Who vouches for it, in place of the public authorities: a file of certificates.
    pub ca: Option<Arc<Path>>,
    /// What may be sent in one run.
    pub bytes_out_max: u64,
    /// What may be received in one run.
    pub bytes_in_max: u64,
}

/// A connection that may be opened: what the door needs to open it, and no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connecting {
    /// Where to, as it was decided on.
    pub endpoint: Endpoint,
    /// On what terms.
    pub terms: TcpTerms,
}

/// What the connections of one entry have carried in one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Carried {
    /// Sent.
    pub bytes_out: u64,
    /// Received.
    pub bytes_in: u64,
}

/// What one `[[tcp]]` of a manifest asks for with these settings.
pub(crate) fn asks(entry: &Tcp, config: &Value) -> Result<Vec<TcpAsk>, String> {
    let ports = ports(entry.port.as_ref(), config)?;
    let mut asks = Vec::new();
    for value in expand(&entry.host, config).map_err(|error| error.to_string())? {
        let (host, own) = destination(entry, &value)?;
        let ports = match (own, &entry.port) {
            (Some(own), Some(Port::Number(asked))) if Guard::TcpSettingPort.bars(own != *asked) => {
                return Err(format!(
                    "the setting gives the port `{own}`, the manifest asks for `{asked}` only"
                ));
            }
            (Some(own), _) => vec![own],
            (None, None) => {
                return Err("neither the setting nor the manifest names a port".to_owned());
            }
            (None, Some(_)) => ports.clone(),
        };
        asks.extend(ports.into_iter().map(|port| TcpAsk {
            rule: TcpRule {
                host: host.clone(),
                port,
            },
            role: entry.role,
        }));
    }
    Ok(asks)
}

fn ports(port: Option<&Port>, config: &Value) -> Result<Vec<u16>, String> {
    match port {
        None => Ok(Vec::new()),
        Some(Port::Number(number)) => Ok(vec![*number]),
        Some(Port::Setting(template)) => {
            let found = expand(template, config).map_err(|error| error.to_string())?;
            let parse = |text: &String| target::parse_port(text).map_err(|error| error.to_string());
            found.iter().map(parse).collect()
        }
    }
}

/// A host and, where a setting says it, its port.
fn destination(entry: &Tcp, value: &str) -> Result<(HostPattern, Option<u16>), String> {
    let pattern = HostPattern::parse(value);
    if !is_template(&entry.host) {
        return Ok((pattern.map_err(|error| error.to_string())?, None));
    }
    let widens = value.matches('*').count() > entry.host.matches('*').count();
    if Guard::TcpSettingWildcard.bars(widens) {
        return Err("a setting cannot hold a `*`".to_owned());
    }
    if let Ok(pattern) = pattern {
        return Ok((pattern, None));
    }
    if value.contains('/') {
        return Err("the setting is no url here: a host, or `host:port`".to_owned());
    }
    let (host, port) = target::parse_authority(value).map_err(|error| error.to_string())?;
    Ok((HostPattern::Only(host), port))
}

/// The `[[tcp]]` entries of a grant for one role, and those that cannot be read: the host, and why. `base` is the
/// folder that relative files stand in.
pub(crate) fn allowances(
    grant: &Grant,
    role: Role,
    base: &Path,
) -> (Vec<TcpAllowance>, Vec<(String, String)>) {
    let (mut allowances, mut wrong) = (Vec::new(), Vec::new());
    let entries = grant.tcp.iter().enumerate();
    for (at, entry) in entries.filter(|(_, entry)| entry.role.is_none_or(|only| only == role)) {
        match allowance(at, entry, base) {
            Ok(allowance) => allowances.push(allowance),
            Err(reason) => wrong.push((entry.host.clone(), reason)),
        }
    }
    (allowances, wrong)
}

fn allowance(at: usize, entry: &grant::Tcp, base: &Path) -> Result<TcpAllowance, String> {
    let host = HostPattern::parse(&entry.host).map_err(|error| error.to_string())?;
    if entry.port == 0 {
        return Err(TargetError::Port.to_string());
    }
    let most = Guard::TcpBytesMost.limit(TCP_BYTES_MAX);
    let capped =
        |size: Option<sluice_model::sizes::ByteSize>| size.map_or(most, |size| size.0.min(most));
    Ok(TcpAllowance {
        rule: TcpRule {
            host,
            port: entry.port,
        },
        terms: TcpTerms {
            entry: at,
            networks: entry.networks.clone(),
            ca: entry.ca.as_ref().map(|file| base.join(file).into()),
            bytes_out_max: capped(entry.bytes_out_max),
            bytes_in_max: capped(entry.bytes_in_max),
        },
    })
}

/// A rule as a grant file says it.
pub(crate) fn entry(rule: &TcpRule) -> grant::Tcp {
    grant::Tcp {
        host: rule.host.to_string(),
        port: rule.port,
        networks: Vec::new(),
        ca: None,
        bytes_out_max: None,
        bytes_in_max: None,
        role: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(host: &str, port: Option<Port>) -> Result<Vec<String>, String> {
        let config = json!({
            "host": "db.acme.example", "port": 6432, "both": "db.acme.example:7432", "v6": "[2001:db8::7]:5432",
            "brokers": ["a.acme.example:9092", "b.acme.example"], "star": "*.acme.example", "url": "postgres://u:p@db/x",
            "text": "five", "zero": 0,
        });
        let entry = Tcp {
            host: host.to_owned(),
            port,
            role: None,
            reason: "x".to_owned(),
        };
        let asks = asks(&entry, &config)?;
        Ok(asks
            .iter()
            .map(|ask| format!("{} {}", ask.rule.host, ask.rule.port))
            .collect())
    }

    #[test]
    fn an_entry_with_its_settings_filled_in() {
        let setting = |template: &str| Some(Port::Setting(template.to_owned()));
        let check = |host: &str, port: Option<Port>, expected: &[&str]| {
            assert_eq!(
                shown(host, port).as_deref(),
                Ok(expected.map_owned().as_slice()),
                "{host}"
            );
        };
        check(
            "db.acme.example",
            Some(Port::Number(5432)),
            &["db.acme.example 5432"],
        );
        check(
            "*.acme.example",
            Some(Port::Number(5432)),
            &["*.acme.example 5432"],
        );
        check(
            "{config.host}",
            setting("{config.port}"),
            &["db.acme.example 6432"],
        );
        check(
            "{config.host}",
            setting("{config.none:5432}"),
            &["db.acme.example 5432"],
        );
        check(
            "{config.host}",
            setting("{config.port:5432}"),
            &["db.acme.example 6432"],
        );
        check("{config.host}", setting("{config.none}"), &[]);
        check("{config.none}", setting("{config.port}"), &[]);
        check("{config.both}", None, &["db.acme.example 7432"]);
        check(
            "{config.both}",
            setting("{config.port}"),
            &["db.acme.example 7432"],
        );
        check(
            "{config.both}",
            Some(Port::Number(7432)),
            &["db.acme.example 7432"],
        );
        check("{config.v6}", None, &["2001:db8::7 5432"]);
        check(
            "{config.brokers}",
            Some(Port::Setting("{config.none:9093}".to_owned())),
            &["a.acme.example 9092", "b.acme.example 9093"],
        );
        for (host, port, expected) in [
            (
                "{config.both}",
                Some(Port::Number(5432)),
                "the setting gives the port `7432`",
            ),
            (
                "{config.host}",
                None,
                "neither the setting nor the manifest names a port",
            ),
            (
                "{config.star}",
                setting("{config.port}"),
                "a setting cannot hold a `*`",
            ),
            (
                "{config.url}",
                setting("{config.port}"),
                "the setting is no url here",
            ),
            (
                "{config.host}",
                setting("{config.text}"),
                "the port is not a number",
            ),
            (
                "{config.host}",
                setting("{config.zero}"),
                "the port is not a number",
            ),
            (
                "*.com",
                Some(Port::Number(5432)),
                "two parts or more behind it",
            ),
        ] {
            let error = shown(host, port).expect_err(expected);
            assert!(error.contains(expected), "{error}");
        }
    }

    trait Owned {
        fn map_owned(&self) -> Vec<String>;
    }

    impl Owned for [&str] {
        fn map_owned(&self) -> Vec<String> {
            self.iter().map(ToString::to_string).collect()
        }
    }
}
