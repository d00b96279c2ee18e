//! Rules for requests, as a manifest asks and a grant allows, in types that can be compared; and the decision
//! about one request. Not where the rules come from: see `asked` and `effective`.

use crate::budget::Budget;
use crate::host::HostPattern;
use crate::path::PathPattern;
use crate::target::Target;
use crate::terms::Terms;
use sluice_model::grant::ipnet_text::Network;
use sluice_model::ids::{Role, SecretName};
use sluice_model::manifest::{Scheme, SecretPlace};
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
        self.host.matches(&target.host)
    }

    pub(crate) fn is_for_door(&self, target: &Target) -> bool {
        self.is_for_host(target) && self.scheme == target.scheme && self.port == target.port
    }

    pub(crate) fn is_for_method(&self, method: &str, target: &Target) -> bool {
        self.is_for_door(target) && self.methods.iter().any(|ours| ours == method)
    }

    pub(crate) fn permits(&self, method: &str, target: &Target) -> bool {
        self.is_for_method(method, target)
            && self.paths.iter().any(|path| path.matches(&target.path))
    }

    /// Whether some request could be meant by both, methods and paths aside.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        self.scheme == other.scheme && self.port == other.port && self.host.meets(&other.host)
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
    /// Method and URL without its query, bounded: for messages.
    pub asked: String,
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
