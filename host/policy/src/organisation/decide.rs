//! Decisions of the policy about one call, or one plugin, each with the line of the policy that would change it.

use super::{Bound, Class, Key, No, Organisation};
use crate::address;
use crate::effective::plain;
use crate::host::{Host, HostPattern};
use crate::refuse::{bounded, list_line};
use crate::terms::TokenTerms;
use sluice_model::guards::Guard;
use sluice_model::ids::{PluginName, SecretName};
use sluice_model::manifest::Scheme;
use sluice_model::ports::Refusal;
use std::net::IpAddr;
use std::path::{Component, Path};

impl Organisation {
    pub(super) fn no(&self, line: usize, reason: String, change: &str) -> No {
        No {
            file: self.file.clone(),
            line,
            reason,
            hint: format!("change `{}:{line}`:\n{change}", self.file),
        }
    }

    fn class(&self, bound: &Bound) -> &Class {
        &self.classes[bound.class]
    }

    /// May a stage that these classes bind reach this host? The way there is another question.
    pub(crate) fn may_reach(&self, bounds: &[Bound], host: &Host) -> Result<(), No> {
        let named = |hosts: &[HostPattern]| hosts.iter().any(|pattern| pattern.matches(host));
        if let Some(hosts) = &self.hosts
            && Guard::PolicyHosts.bars(!named(&hosts.says))
        {
            return Err(self.unlisted(&host.pattern()));
        }
        if Guard::PolicyDeny.stands()
            && let Some(denied) = self.deny.iter().position(|deny| deny.says.matches(host))
        {
            return Err(self.denied(denied));
        }
        match bounds
            .iter()
            .find(|bound| Guard::PolicyClasses.bars(!named(&self.class(bound).hosts.says)))
        {
            Some(bound) => Err(self.beyond(bound, &host.pattern())),
            None => Ok(()),
        }
    }

    /// What of a host pattern it leaves, and which of the denied lie inside; or why nothing.
    pub(crate) fn left(
        &self,
        bounds: &[Bound],
        pattern: &HostPattern,
    ) -> Result<Vec<HostPattern>, No> {
        let mut left = vec![pattern.clone()];
        if let Some(hosts) = self.hosts.as_ref().filter(|_| Guard::PolicyHosts.stands()) {
            left = in_common(&left, &hosts.says);
            if left.is_empty() {
                return Err(self.unlisted(pattern));
            }
        }
        let swallows = |deny: &HostPattern| left.iter().any(|ours| ours.within(deny));
        let denied = self.deny.iter().position(|deny| swallows(&deny.says));
        let is_denied = |ours: &HostPattern| {
            Guard::PolicyDeny.bars(self.deny.iter().any(|deny| ours.within(&deny.says)))
        };
        left.retain(|ours| !is_denied(ours));
        if let (Some(denied), true) = (denied, left.is_empty()) {
            return Err(self.denied(denied));
        }
        for bound in bounds.iter().filter(|_| Guard::PolicyClasses.stands()) {
            left = in_common(&left, &self.class(bound).hosts.says);
            left.retain(|ours| !is_denied(ours));
            if left.is_empty() {
                return Err(self.beyond(bound, pattern));
            }
        }
        Ok(left)
    }

    /// The denied that lie inside a pattern which it leaves.
    pub(crate) fn denied_inside(&self, pattern: &HostPattern) -> Vec<HostPattern> {
        let denied = self.deny.iter().map(|deny| &deny.says);
        denied.filter(|deny| deny.meets(pattern)).cloned().collect()
    }

    fn unlisted(&self, host: &HostPattern) -> No {
        let hosts = self.hosts.as_ref();
        let (line, has) = hosts.map_or((0, &[][..]), |key| (key.line, &key.says[..]));
        let has = has.iter().map(ToString::to_string);
        self.no(
            line,
            "the policy allows no such host: `http.hosts` does not name it".to_owned(),
            &list_line("hosts", has, &host.to_string()),
        )
    }

    fn denied(&self, at: usize) -> No {
        let deny = &self.deny[at];
        let reason = format!(
            "the policy denies this host: `http.deny` names `{}`",
            deny.says
        );
        No {
            file: self.file.clone(),
            line: deny.line,
            reason,
            hint: format!("take `{}` out of `{}:{}`", deny.says, self.file, deny.line),
        }
    }

    fn beyond(&self, bound: &Bound, host: &HostPattern) -> No {
        let class = self.class(bound);
        let sees = match bound.column.as_str() {
            "*" => "every column".to_owned(),
            name => format!("column `{}`", bounded(name)),
        };
        let reason = format!(
            "it may see {sees}, and the policy lets what is `{}` go to no such host",
            bounded(&class.name)
        );
        let has = class.hosts.says.iter().map(ToString::to_string);
        let change = list_line("hosts", has, &host.to_string());
        self.no(class.hosts.line, reason, &change)
    }

    /// May a request travel so?
    pub(crate) fn may_travel(&self, scheme: Scheme) -> Result<(), No> {
        match &self.no_plain {
            Some(key) if Guard::PolicyPlain.bars(scheme == Scheme::Http) => Err(self.no(
                key.line,
                "the policy allows no `http`, only `https`: `http.plain`".to_owned(),
                "plain = true",
            )),
            _ => Ok(()),
        }
    }

    /// May a connection begin in the clear? What it becomes later is the plugin's word, which is not taken.
    pub(crate) fn may_begin_plain(&self) -> Result<(), No> {
        match &self.no_plain {
            Some(key) if Guard::PolicyPlainTcp.stands() => Err(self.no(
                key.line,
                "the policy allows no connection that begins in the clear: `http.plain`".to_owned(),
                "plain = true",
            )),
            _ => Ok(()),
        }
    }

    /// May a secret be traded there?
    pub(crate) fn may_trade(&self, terms: &TokenTerms) -> Result<(), No> {
        self.may_travel(terms.target.scheme)?;
        self.may_reach(&[], &terms.target.host)
    }

    /// May these addresses be dialled, which the grant permits?
    pub(crate) fn may_dial(&self, addresses: &[IpAddr]) -> Result<(), No> {
        let denies = |deny: &Key<HostPattern>| {
            let is = |address: &IpAddr| deny.says.matches(&Host::Address(address.to_canonical()));
            Guard::PolicyDenyAddress.bars(addresses.iter().any(is))
        };
        if let Some(denied) = self.deny.iter().position(denies) {
            return Err(self.denied(denied));
        }
        let Some(networks) = &self.networks else {
            return Ok(());
        };
        for address in addresses {
            if Guard::PolicyNetworks.stands()
                && let Err(barred) = address::check(*address, &networks.says)
            {
                let bits = if barred.address.is_ipv4() { 32 } else { 128 };
                let reason = format!(
                    "its host leads to `{}`, which is {}, and the policy opens that network to no grant: `http.networks`",
                    barred.address, barred.what
                );
                let has = networks.says.iter().map(|network| String::from(*network));
                let wants = format!("{}/{bits}", barred.address);
                return Err(self.no(networks.line, reason, &list_line("networks", has, &wants)));
            }
        }
        Ok(())
    }

    /// May this directory be opened? Compared as it is written; a link is not followed.
    pub(crate) fn may_open(&self, base: &Path, path: &Path) -> Result<(), No> {
        let Some(roots) = &self.roots else {
            return Ok(());
        };
        let below = |root: &String| {
            let inside = path.strip_prefix(plain(base, root));
            inside.is_ok_and(|inside| !inside.components().any(|part| part == Component::ParentDir))
        };
        if Guard::PolicyRoots.holds(roots.says.iter().any(below)) {
            return Ok(());
        }
        let change = list_line(
            "roots",
            roots.says.iter().cloned(),
            &path.display().to_string(),
        );
        let reason = "the policy allows no directory outside `dir.roots`".to_owned();
        Err(self.no(roots.line, reason, &change))
    }

    /// May this plugin be shown the value of a secret? The grant must say so too.
    pub fn may_reveal(&self, plugin: &PluginName, secret: &SecretName) -> Result<(), Refusal> {
        let shown = self.may_show(plugin);
        shown.map_err(|no| no.refusal("secret", secret.to_string()))
    }

    /// May it be shown any?
    pub(crate) fn may_show(&self, plugin: &PluginName) -> Result<(), No> {
        match &self.reveal {
            Some(reveal) if Guard::PolicyReveal.bars(!reveal.says.contains(plugin)) => {
                let reason = format!(
                    "the policy lets no secret's value be shown to `{plugin}`: `secrets.reveal`"
                );
                let has = reveal.says.iter().map(ToString::to_string);
                let change = list_line("reveal", has, plugin.as_str());
                Err(self.no(reveal.line, reason, &change))
            }
            _ => Ok(()),
        }
    }

    /// May this plugin run, signed by this key? `signer` is the id of a key whose signature over these very bytes
    /// was verified; none where there is no such signature.
    pub fn may_load(&self, plugin: &PluginName, signer: Option<&str>) -> Result<(), Refusal> {
        let Some(signed) = &self.signed else {
            return Ok(());
        };
        if self.unsigned.says.contains(plugin) {
            return Ok(());
        }
        let no = match (signer, &self.signers) {
            (Some(signer), Some(signers))
                if Guard::PolicySigners.bars(!signers.says.iter().any(|ours| ours == signer)) =>
            {
                let reason = format!(
                    "it is signed with key `{}`, which `signing.signers` of the policy does not name",
                    bounded(signer)
                );
                let change = list_line("signers", signers.says.iter().cloned(), signer);
                self.no(signers.line, reason, &change)
            }
            (None, _) if Guard::PolicySigned.stands() => {
                let reason =
                    "it is not signed, and the policy asks for a signature: `signing.required`";
                let has = self.unsigned.says.iter().map(ToString::to_string);
                let change = list_line("unsigned", has, plugin.as_str());
                let line = if self.unsigned.says.is_empty() {
                    signed.line
                } else {
                    self.unsigned.line
                };
                self.no(line, reason.to_owned(), &change)
            }
            _ => return Ok(()),
        };
        Err(no.refusal("plugin", plugin.to_string()))
    }
}

/// What any of the one shares with any of the other.
fn in_common(ours: &[HostPattern], theirs: &[HostPattern]) -> Vec<HostPattern> {
    let mut found = Vec::new();
    for common in ours
        .iter()
        .flat_map(|ours| theirs.iter().filter_map(|other| ours.common(other)))
    {
        if !found.contains(&common) {
            found.push(common);
        }
    }
    found
}
