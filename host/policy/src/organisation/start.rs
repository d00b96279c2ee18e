//! What the policy forbids of a grant altogether: the stage does not start. What it merely narrows is refused when
//! it is used.

use super::{Bound, No, Organisation};
use crate::address;
use crate::host::HostPattern;
use crate::refuse::{bounded, list_line};
use crate::rules::Allowance;
use crate::tcp::TcpAllowance;
use crate::terms::TokenTerms;
use serde::Serialize;
use sluice_model::grant::ipnet_text::Network;
use sluice_model::guards::Guard;
use sluice_model::ids::{PluginName, SecretName};
use sluice_model::ports::Refusal;
use std::path::{Path, PathBuf};

/// Something a grant names and the policy forbids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Forbidden {
    /// What, why, and the line of the policy that would change it.
    pub refusal: Refusal,
    /// The policy file.
    pub file: String,
    /// The line of it that forbids this.
    pub line: usize,
}

impl Organisation {
    fn forbidden(no: No, capability: &'static str, asked: &str) -> Forbidden {
        Forbidden {
            file: no.file.clone(),
            line: no.line,
            refusal: no.refusal(capability, bounded(asked)),
        }
    }

    /// What it forbids of these requests. Classes bind only what the manifest asks for too (`is_asked`): what it
    /// does not ask for is never sent.
    pub(crate) fn forbids_requests(
        &self,
        allowance: &Allowance,
        bounds: &[Bound],
        is_asked: bool,
    ) -> Vec<Forbidden> {
        let rule = &allowance.rule;
        let bounds = if is_asked { bounds } else { &[] };
        let way = self.may_travel(rule.scheme).err();
        let name = self.may_name(&rule.host).err();
        let host = self.left(bounds, &rule.host).err();
        let networks = self.forbids_networks(&allowance.networks);
        let asked = format!("{}://{}:{}", rule.scheme, rule.host, rule.port);
        way.into_iter()
            .chain(name)
            .chain(host)
            .chain(networks)
            .map(|no| Self::forbidden(no, "http", &asked))
            .collect()
    }

    /// What it forbids of these connections, as of requests.
    pub(crate) fn forbids_connections(
        &self,
        allowance: &TcpAllowance,
        bounds: &[Bound],
        is_asked: bool,
    ) -> Vec<Forbidden> {
        let rule = &allowance.rule;
        let bounds = if is_asked { bounds } else { &[] };
        let name = self.may_name(&rule.host).err();
        let host = self.left(bounds, &rule.host).err();
        let networks = self.forbids_networks(&allowance.terms.networks);
        let all = name.into_iter().chain(host).chain(networks);
        all.map(|no| Self::forbidden(no, "tcp", &rule.to_string()))
            .collect()
    }

    /// What it forbids of the host's own requests for a token.
    pub(crate) fn forbids_tokens(&self, terms: &TokenTerms) -> Vec<Forbidden> {
        let way = self.may_trade(terms).err();
        let networks = self.forbids_networks(&terms.networks);
        let asked = terms.target.to_string();
        way.into_iter()
            .chain(networks)
            .map(|no| Self::forbidden(no, "secret", &asked))
            .collect()
    }

    /// What it forbids of these secrets, which the grant lets this plugin see.
    pub(crate) fn forbids_reveals(
        &self,
        plugin: &PluginName,
        secrets: &[SecretName],
    ) -> Vec<Forbidden> {
        let told = |secret: &SecretName| {
            let no = self.may_show(plugin).err()?;
            Some(Self::forbidden(no, "secret", secret.as_str()))
        };
        secrets.iter().filter_map(told).collect()
    }

    /// May a grant name hosts so?
    pub(crate) fn may_name(&self, host: &HostPattern) -> Result<(), No> {
        match (&self.no_wildcards, host) {
            (Some(key), HostPattern::Below(_)) if Guard::PolicyWildcards.stands() => Err(self.no(
                key.line,
                "the policy allows no `*.` in a grant: `http.wildcards`".to_owned(),
                "wildcards = true",
            )),
            _ => Ok(()),
        }
    }

    fn forbids_networks(&self, granted: &[Network]) -> Vec<No> {
        let Some(networks) = &self.networks else {
            return Vec::new();
        };
        let meets = |network| {
            let ours = |other| address::common(network, other).is_some();
            networks.says.iter().any(|other| ours(*other))
        };
        let outside = granted
            .iter()
            .filter(|network| Guard::PolicyNetworks.bars(!meets(**network)));
        let told = |network: String| {
            let reason =
                format!("the policy opens network `{network}` to no grant: `http.networks`");
            let has = networks.says.iter().map(|network| String::from(*network));
            self.no(networks.line, reason, &list_line("networks", has, &network))
        };
        outside
            .map(|network| told(String::from(*network)))
            .collect()
    }

    /// What it forbids of these directories, as the grant opens them.
    pub(crate) fn forbids_dirs<'a>(
        &self,
        base: &Path,
        dirs: impl Iterator<Item = &'a PathBuf>,
    ) -> Vec<Forbidden> {
        let told = |path: &PathBuf| {
            let no = self.may_open(base, path).err()?;
            Some(Self::forbidden(no, "dir", &path.to_string_lossy()))
        };
        dirs.filter_map(told).collect()
    }
}
