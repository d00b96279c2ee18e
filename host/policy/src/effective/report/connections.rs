//! Connections and revealed secrets, told to people. Decides nothing, like the rest of the report.

use super::{Effective, Explained, once_each, with_networks};
use crate::host::HostPattern;
use crate::tcp::{TcpAllowance, TcpAsk, TcpRule};
use sluice_model::grant::ipnet_text::Network;
use sluice_model::ids::SecretName;
use std::collections::BTreeMap;

/// Connections that a stage can open.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Permitted {
    rule: TcpRule,
    /// Hosts of it that the policy denies.
    except: Vec<HostPattern>,
    /// Networks outside the public internet that its host may be in.
    networks: Vec<Network>,
    /// Whether it may not begin in the clear.
    is_secure: bool,
}

impl Permitted {
    fn text(&self) -> String {
        let mut text = with_networks(&self.rule, &self.networks);
        if self.is_secure {
            text.push_str(", with TLS from the first byte");
        }
        if !self.except.is_empty() {
            let except: Vec<String> = self.except.iter().map(ToString::to_string).collect();
            text.push_str(", but not to ");
            text.push_str(&except.join(", "));
        }
        text
    }
}

/// As it stands in capitals wherever capabilities are shown.
fn revealed(name: &SecretName) -> String {
    format!("{name} REVEALED")
}

impl Effective {
    /// Each ask of the manifest, and each entry of the grant that nobody asks for.
    pub(super) fn connections(&self) -> Vec<Explained> {
        let asked = self.tcp_asks.iter().map(|ask| self.asked_connections(ask));
        let is_asked = |allowance: &TcpAllowance| {
            let asks = &mut self.tcp_asks.iter();
            asks.any(|ask| ask.rule.meets(&allowance.rule))
        };
        let unasked = self.tcp_allowances.iter();
        let unasked = unasked.filter(|allowance| !is_asked(allowance));
        let unasked = unasked.map(|allowance| Explained {
            capability: "tcp",
            asked: Vec::new(),
            granted: vec![with_networks(&allowance.rule, &allowance.terms.networks)],
            left: Vec::new(),
            narrowed_by: vec!["manifest"],
            policy: None,
        });
        asked.chain(unasked).collect()
    }

    /// What this ask and the grant's entries have in common, before the policy. Of several entries that hold a host the
    /// first alone counts.
    fn connections_in_both(&self, ask: &TcpAsk) -> Vec<(&TcpAllowance, TcpRule)> {
        let mut found: Vec<(&TcpAllowance, TcpRule)> = Vec::new();
        let allowances = self.tcp_allowances.iter();
        for allowance in allowances.filter(|allowance| allowance.rule.port == ask.rule.port) {
            let Some(host) = allowance.rule.host.common(&ask.rule.host) else {
                continue;
            };
            if !found.iter().any(|(_, first)| host.within(&first.host)) {
                let port = ask.rule.port;
                found.push((allowance, TcpRule { host, port }));
            }
        }
        found
    }

    fn asked_connections(&self, ask: &TcpAsk) -> Explained {
        let granted = self.tcp_allowances.iter();
        let granted: Vec<&TcpAllowance> = granted
            .filter(|allowance| allowance.rule.meets(&ask.rule))
            .collect();
        let both = self.connections_in_both(ask);
        let mut narrowed_by = Vec::new();
        if !granted
            .iter()
            .all(|ours| ours.rule.host.within(&ask.rule.host))
        {
            narrowed_by.push("manifest");
        }
        if !granted
            .iter()
            .any(|ours| ask.rule.host.within(&ours.rule.host))
        {
            narrowed_by.push("grant");
        }
        let policy = both.iter().find_map(|(allowance, rule)| {
            let networks = &allowance.terms.networks;
            let narrows = self.policy.narrows_host(&self.bounds, &rule.host, networks);
            narrows.or_else(|| self.policy.may_begin_plain().err().map(|no| no.told()))
        });
        if policy.is_some() {
            narrowed_by.push("policy");
        }
        let text =
            |allowance: &&TcpAllowance| with_networks(&allowance.rule, &allowance.terms.networks);
        let left = both.iter();
        let left = left.flat_map(|(allowance, rule)| self.ruled_connections(allowance, rule));
        Explained {
            capability: "tcp",
            asked: vec![ask.rule.to_string()],
            granted: granted.iter().map(text).collect(),
            left: once_each(left.map(|permitted| permitted.text())),
            narrowed_by,
            policy,
        }
    }

    /// What the policy leaves of connections that both files permit.
    fn ruled_connections(&self, allowance: &TcpAllowance, rule: &TcpRule) -> Vec<Permitted> {
        let hosts = self.policy.left(&self.bounds, &rule.host);
        let permitted = hosts.unwrap_or_default().into_iter().map(|host| Permitted {
            except: self.policy.denied_inside(&host),
            networks: self.policy.open_networks(&allowance.terms.networks),
            is_secure: self.policy.may_begin_plain().is_err(),
            rule: TcpRule {
                host,
                port: rule.port,
            },
        });
        permitted.collect()
    }

    fn permitted_connections(&self) -> Vec<Permitted> {
        let all = self.tcp_asks.iter().flat_map(|ask| {
            let both = self.connections_in_both(ask).into_iter();
            both.flat_map(|(allowance, rule)| self.ruled_connections(allowance, &rule))
        });
        once_each(all)
    }

    /// How it connects to a host, a line a way.
    pub(super) fn connects_to(&self, host: &HostPattern) -> Vec<String> {
        let there = self.permitted_connections().into_iter();
        let there = there.filter(|permitted| {
            let mut except = permitted.except.iter();
            permitted.rule.host.meets(host) && !except.any(|except| host.within(except))
        });
        there
            .map(|permitted| format!("tcp {}", permitted.text()))
            .collect()
    }

    /// The hosts it can connect to.
    pub(super) fn connectable(&self) -> Vec<String> {
        let all = self.permitted_connections().into_iter();
        all.map(|permitted| permitted.rule.host.to_string())
            .collect()
    }

    /// Each secret that manifest or grant would let it see.
    pub(super) fn reveals_explained(&self) -> Vec<Explained> {
        let all = self.asked_reveals.iter().chain(&self.granted_reveals);
        let line = |name: &SecretName| {
            let (asked, granted) = (
                self.asked_reveals.contains(name),
                self.granted_reveals.contains(name),
            );
            let ruled = self.policy.may_show(&self.plugin).err();
            let no = ruled.filter(|_| asked && granted);
            let mut narrowed_by = Vec::new();
            if !asked {
                narrowed_by.push("manifest");
            }
            if !granted {
                narrowed_by.push("grant");
            }
            if no.is_some() {
                narrowed_by.push("policy");
            }
            let text = |is: bool| is.then(|| revealed(name)).into_iter().collect();
            Explained {
                capability: "secret",
                asked: text(asked),
                granted: text(granted),
                left: text(asked && granted && no.is_none()),
                narrowed_by,
                policy: no.map(|no| no.told()),
            }
        };
        once_each(all.cloned()).iter().map(line).collect()
    }

    /// Whether it is shown the deployment's secret of this name, a line a way.
    pub(super) fn shows(
        &self,
        sought: &SecretName,
        secrets: Option<&BTreeMap<SecretName, SecretName>>,
    ) -> Vec<String> {
        let ours = self.asked_reveals.iter().filter(|name| {
            super::may_be(secrets, name, sought) && self.may_reveal(name.as_str()).is_ok()
        });
        ours.map(|name| format!("REVEALED to it, as its `{name}`"))
            .collect()
    }
}
