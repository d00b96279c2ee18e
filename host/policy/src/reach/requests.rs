//! Requests to one host, as two files' words of them are compared: hosts, methods and paths by what they include, a
//! host or path with a setting in it letter by letter.

use super::{SHOWN_CHARS_MAX, part};
use crate::address;
use crate::host::HostPattern;
use crate::path::PathPattern;
use crate::refuse::http_entry;
use crate::rules::HttpRule;
use crate::settings::is_template;
use sluice_model::grant;
use sluice_model::grant::ipnet_text::Network;
use sluice_model::guards::Guard;
use sluice_model::ids::{Role, SecretName};
use sluice_model::limits::COMPARISONS_MAX;
use sluice_model::manifest::{Scheme, SecretPlace};
use sluice_model::visible::visible;
use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

/// Paths of one line that are named; of more, how many more there are.
const PATHS_SHOWN_MAX: usize = 8;

/// Requests to one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Requests {
    pub(super) host: Host,
    /// None: a setting decides.
    pub(super) scheme: Option<Scheme>,
    pub(super) port: Option<u16>,
    pub(super) methods: BTreeSet<String>,
    pub(super) paths: Vec<PathText>,
    pub(crate) auth: Option<(SecretName, SecretPlace)>,
    pub(super) role: Option<Role>,
    pub(super) networks: Vec<Network>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    Pattern(HostPattern),
    /// With a setting in it, or in no spelling that could be granted: compared letter by letter.
    Text(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PathText {
    Pattern(PathPattern),
    Text(String),
}

impl Requests {
    pub(super) fn new(
        host: &str,
        scheme: Option<Scheme>,
        port: Option<u16>,
        methods: &[String],
        paths: &[String],
        role: Option<Role>,
    ) -> Self {
        let path = |text: &String| match PathPattern::parse(text) {
            Ok(pattern) => PathText::Pattern(pattern),
            Err(_) => PathText::Text(text.clone()),
        };
        let (host, scheme, port) = match HostPattern::parse(host) {
            Ok(pattern) if !is_template(host) => {
                let scheme = scheme.unwrap_or(Scheme::Https);
                let port = port.unwrap_or(scheme.default_port());
                (Host::Pattern(pattern), Some(scheme), Some(port))
            }
            _ => (Host::Text(host.to_owned()), scheme, port),
        };
        Self {
            host,
            scheme,
            port,
            methods: methods.iter().cloned().collect(),
            paths: paths.iter().map(path).collect(),
            auth: None,
            role,
            networks: Vec::new(),
        }
    }

    /// What of these is in none of `theirs`, alone or together: the same paths with the methods that are left.
    pub(super) fn beyond(&self, theirs: &[Self]) -> Vec<Self> {
        let near: Vec<&Self> = theirs
            .iter()
            .filter(|other| other.leads_as_far_as(self))
            .collect();
        let comparisons = self
            .paths
            .len()
            .saturating_mul(near.iter().map(|other| other.paths.len()).sum());
        if comparisons > Guard::Comparisons.limit(COMPARISONS_MAX) {
            return vec![self.clone()];
        }
        let mut left: Vec<Self> = Vec::new();
        for path in &self.paths {
            let held: BTreeSet<&String> = near
                .iter()
                .filter(|other| other.paths.iter().any(|theirs| theirs.includes(path)))
                .flat_map(|other| &other.methods)
                .collect();
            let methods: BTreeSet<String> = self
                .methods
                .iter()
                .filter(|method| !held.contains(method))
                .cloned()
                .collect();
            if methods.is_empty() {
                continue;
            }
            match left.iter_mut().find(|line| line.methods == methods) {
                Some(line) => line.paths.push(path.clone()),
                None => left.push(Self {
                    methods,
                    paths: vec![path.clone()],
                    ..self.clone()
                }),
            }
        }
        left
    }

    /// Methods and paths aside.
    fn leads_as_far_as(&self, other: &Self) -> bool {
        let host = match (&self.host, &other.host) {
            (Host::Pattern(ours), Host::Pattern(theirs)) => ours.includes(theirs),
            (Host::Text(ours), Host::Text(theirs)) => ours == theirs,
            _ => false,
        };
        let open = |ours: bool, same: bool| ours || same;
        host && open(self.scheme.is_none(), self.scheme == other.scheme)
            && open(self.port.is_none(), self.port == other.port)
            && open(self.role.is_none(), self.role == other.role)
            && (other.auth.is_none() || self.auth == other.auth)
            && other.networks.iter().all(|network| {
                self.networks
                    .iter()
                    .any(|ours| address::includes(*ours, *network))
            })
    }

    /// The same without the secret that goes with them; none where none does.
    pub(crate) fn bare(&self) -> Option<Self> {
        self.auth.as_ref().map(|_| Self {
            auth: None,
            ..self.clone()
        })
    }

    /// Whether some request could be meant by both, methods and paths aside.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        let host = match (&self.host, &other.host) {
            (Host::Pattern(ours), Host::Pattern(theirs)) => ours.meets(theirs),
            (ours, theirs) => ours == theirs,
        };
        let role = self.role.is_none() || other.role.is_none() || self.role == other.role;
        host && role && self.scheme == other.scheme && self.port == other.port
    }

    /// As a grant's entry; none where a setting is still open.
    pub(crate) fn entry(&self) -> Option<grant::Http> {
        let Host::Pattern(host) = &self.host else {
            return None;
        };
        let pattern = |path: &PathText| match path {
            PathText::Pattern(pattern) => Some(pattern.clone()),
            PathText::Text(_) => None,
        };
        let scheme = self.scheme.unwrap_or(Scheme::Https);
        let rule = HttpRule {
            host: host.clone(),
            scheme,
            port: self.port.unwrap_or(scheme.default_port()),
            methods: self.methods.iter().cloned().collect(),
            paths: self.paths.iter().filter_map(pattern).collect(),
        };
        Some(grant::Http {
            networks: self.networks.clone(),
            role: self.role,
            ..http_entry(&rule)
        })
    }
}

impl PathText {
    fn includes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Pattern(ours), Self::Pattern(theirs)) => ours.includes(theirs),
            (ours, theirs) => ours == theirs,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Pattern(pattern) => pattern.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

impl fmt::Display for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |items: Vec<String>, between: &str| {
            let (count, shown) = (items.len(), PATHS_SHOWN_MAX);
            let mut text = items
                .into_iter()
                .take(shown)
                .collect::<Vec<_>>()
                .join(between);
            if count > shown {
                let _ = write!(text, "{between}and {} more", count - shown);
            }
            visible(&text, SHOWN_CHARS_MAX)
        };
        let scheme = self
            .scheme
            .map_or(String::new(), |scheme| format!("{scheme}://"));
        let host = match &self.host {
            Host::Pattern(pattern) => pattern.to_string(),
            Host::Text(text) => visible(text, SHOWN_CHARS_MAX),
        };
        let ordinary = self.scheme.map(Scheme::default_port);
        let port = self.port.filter(|port| Some(*port) != ordinary);
        let port = port.map_or(String::new(), |port| format!(":{port}"));
        let methods = list(self.methods.iter().cloned().collect(), ",");
        let paths = list(self.paths.iter().map(PathText::text).collect(), " ");
        write!(f, "{methods} {scheme}{host}{port} {paths}")?;
        if let Some((name, place)) = &self.auth {
            write!(
                f,
                ", with secret `{name}` as {}",
                visible(&place.to_string(), SHOWN_CHARS_MAX)
            )?;
        }
        if !self.networks.is_empty() {
            let networks = self.networks.iter().map(|network| String::from(*network));
            write!(f, ", into {}", list(networks.collect(), " "))?;
        }
        f.write_str(&part(self.role))
    }
}
