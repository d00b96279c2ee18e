//! Rules for requests, as a manifest asks and a grant allows, in types that can be compared; and the decision
//! about one request. Not where the rules come from: see `asked` and `effective`.

use crate::budget::Budget;
use crate::host::HostPattern;
use crate::path::PathPattern;
use crate::refuse;
use crate::target::Target;
use crate::terms::Terms;
use http::Method;
use sluice_model::grant::ipnet_text::Network;
use sluice_model::guards::Guard;
use sluice_model::ids::{Role, SecretName};
use sluice_model::manifest::{Scheme, SecretPlace};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Requests that one `[[http]]` speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HttpRule {
    pub(crate) host: HostPattern,
    pub(crate) scheme: Scheme,
    pub(crate) port: u16,
    pub(crate) methods: Vec<String>,
    pub(crate) paths: Vec<PathPattern>,
}

impl HttpRule {
    pub(crate) fn is_for_host(&self, target: &Target) -> bool {
        Guard::HostNamed.holds(self.host.matches(&target.host))
    }

    pub(crate) fn is_for_door(&self, target: &Target) -> bool {
        self.is_for_host(target)
            && Guard::SchemeNamed.holds(self.scheme == target.scheme)
            && Guard::PortNamed.holds(self.port == target.port)
    }

    pub(crate) fn is_for_method(&self, method: &str, target: &Target) -> bool {
        self.is_for_door(target)
            && Guard::MethodNamed.holds(self.methods.iter().any(|ours| ours == method))
    }

    pub(crate) fn permits(&self, method: &str, target: &Target) -> bool {
        self.is_for_method(method, target)
            && Guard::PathNamed.holds(self.paths.iter().any(|path| path.matches(&target.path)))
    }

    /// The requests that both permit.
    pub(crate) fn common(&self, other: &Self) -> Option<Self> {
        if (self.scheme, self.port) != (other.scheme, other.port) {
            return None;
        }
        let methods: Vec<String> = self
            .methods
            .iter()
            .filter(|method| other.methods.contains(method))
            .cloned()
            .collect();
        let mut paths = Vec::new();
        for ours in &self.paths {
            for path in other.paths.iter().filter_map(|other| ours.common(other)) {
                if !paths.contains(&path) {
                    paths.push(path);
                }
            }
        }
        let host = self.host.common(&other.host)?;
        (!methods.is_empty() && !paths.is_empty()).then_some(Self {
            host,
            scheme: self.scheme,
            port: self.port,
            methods,
            paths,
        })
    }

    /// Whether every request that it permits is permitted by one of these.
    pub(crate) fn within<'a>(&self, others: &(impl Iterator<Item = &'a Self> + Clone)) -> bool {
        let pairs = self.methods.iter().flat_map(|method| {
            let with = move |path| (method, path);
            self.paths.iter().map(with)
        });
        let permits = |other: &Self, method: &String, path: &PathPattern| {
            self.scheme == other.scheme
                && self.port == other.port
                && self.host.within(&other.host)
                && other.methods.contains(method)
                && other
                    .paths
                    .iter()
                    .any(|theirs| path.common(theirs).as_ref() == Some(path))
        };
        pairs
            .into_iter()
            .all(|(method, path)| others.clone().any(|other| permits(other, method, path)))
    }

    /// Whether some request could be meant by both, methods and paths aside.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        self.scheme == other.scheme && self.port == other.port && self.host.meets(&other.host)
    }
}

/// `GET, POST https://api.acme.example /v2/**, /v3`, the port where it is not the scheme's own.
impl fmt::Display for HttpRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let none = |list: String| {
            if list.is_empty() {
                "nothing".to_owned()
            } else {
                list
            }
        };
        let paths: Vec<String> = self.paths.iter().map(ToString::to_string).collect();
        let host = match &self.host {
            HostPattern::Only(host) => host.to_string(),
            below @ HostPattern::Below(_) => below.to_string(),
        };
        write!(
            f,
            "{} {}://{host}",
            none(self.methods.join(", ")),
            self.scheme
        )?;
        if self.port != self.scheme.default_port() {
            write!(f, ":{}", self.port)?;
        }
        write!(f, " {}", none(paths.join(", ")))
    }
}

/// What a manifest asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ask {
    pub(crate) rule: HttpRule,
    pub(crate) auth: Option<Credential>,
    /// The one part it is asked for in.
    pub(crate) role: Option<Role>,
}

/// What a grant allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Allowance {
    pub(crate) rule: HttpRule,
    pub(crate) networks: Vec<Network>,
    pub(crate) ca: Option<Arc<Path>>,
    pub(crate) budget: Budget,
}

/// A secret and where the host puts it. Both are the manifest's and the grant's choice, never the plugin's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The plugin's word for it.
    pub name: SecretName,
    /// Where it goes.
    pub place: SecretPlace,
    /// What the grant fixes besides.
    pub terms: Arc<Terms>,
}

/// A request that may be sent: what the door needs to send it, and no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sending {
    /// How.
    pub method: Method,
    /// Where to, as it was decided on.
    pub target: Target,
    /// Networks outside the public internet that the name may resolve into.
    pub networks: Vec<Network>,
    /// Who vouches for the server, in place of the public authorities: a file of certificates.
    pub ca: Option<Arc<Path>>,
    /// What the host attaches.
    pub auth: Option<Credential>,
    /// Which of [`crate::Effective::budgets`] it is counted against.
    pub budgets: Vec<usize>,
    /// The grant's table that allows it.
    pub table: &'static str,
}

impl Sending {
    /// Method and URL without its query, bounded: for messages.
    pub fn asked(&self) -> String {
        refuse::request(self.method.as_str(), &self.target)
    }
}
