//! What a stage may do, told to people: each capability as the manifest asks for it, the grant allows it and the
//! policy leaves it; and who can reach a host, a secret or a column. Decides nothing: what it says is what
//! `Effective` decides (test: `nothing_outside_any_file_is_permitted`).

mod connections;

use super::Effective;
use crate::columns::Columns;
use crate::host::HostPattern;
use crate::rules::{Allowance, Ask, Credential, HttpRule};
use serde::Serialize;
use sluice_model::grant::ipnet_text::Network;
use sluice_model::ids::SecretName;
use sluice_model::manifest::DirMode;
use sluice_model::sizes::{ByteSize, Span};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// Whether a plugin's word for a secret may stand for this one of the deployment's.
fn may_be(
    secrets: Option<&BTreeMap<SecretName, SecretName>>,
    word: &SecretName,
    sought: &SecretName,
) -> bool {
    secrets.is_none_or(|secrets| secrets.get(word).unwrap_or(word) == sought)
}

/// One capability of one stage, as each of the three says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// In the words of the manifest: `http`, `tcp`, `dir`, `secret`, `data.reads`, `data.writes`, `limits.memory`,
    /// `limits.call_time`.
    pub capability: &'static str,
    /// What the manifest asks for; nothing where only the grant speaks of it.
    pub asked: Vec<String>,
    /// What the grant allows.
    pub granted: Vec<String>,
    /// What is left of both under the policy: what it can do.
    pub left: Vec<String>,
    /// Which of the three left less than the others: `manifest`, `grant`, `policy`.
    pub narrowed_by: Vec<&'static str>,
    /// The policy's reason, with its line, where it narrows.
    pub policy: Option<String>,
}

/// Requests that a stage can send.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Permitted {
    rule: HttpRule,
    /// Hosts of it that the policy denies.
    except: Vec<HostPattern>,
    /// Networks outside the public internet that its host may be in.
    networks: Vec<Network>,
    auth: Option<Credential>,
}

impl Permitted {
    fn text(&self) -> String {
        let mut text = with_networks(&self.rule, &self.networks);
        if !self.except.is_empty() {
            let except: Vec<String> = self.except.iter().map(ToString::to_string).collect();
            text.push_str(", but not to ");
            text.push_str(&except.join(", "));
        }
        text
    }
}

fn with_networks(rule: &impl fmt::Display, networks: &[Network]) -> String {
    if networks.is_empty() {
        return rule.to_string();
    }
    let networks: Vec<String> = networks
        .iter()
        .map(|network| String::from(*network))
        .collect();
    format!("{rule} in {}", networks.join(", "))
}

/// A thing that somebody may reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sought {
    /// A host, or all below a name.
    Host(HostPattern),
    /// A secret, by the deployment's name for it.
    Secret(SecretName),
    /// A column.
    Column(String),
}

/// Not something that can be sought.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither `host:NAME`, `secret:NAME` nor `column:NAME`")]
pub struct SoughtError(String);

impl std::str::FromStr for Sought {
    type Err = SoughtError;
    fn from_str(text: &str) -> Result<Self, SoughtError> {
        let bad = || SoughtError(text.to_owned());
        match text.split_once(':').ok_or_else(bad)? {
            ("host", host) => HostPattern::parse(host).map(Self::Host).map_err(|_| bad()),
            ("secret", name) => name.parse().map(Self::Secret).map_err(|_| bad()),
            ("column", name) if !name.is_empty() => Ok(Self::Column(name.to_owned())),
            _ => Err(bad()),
        }
    }
}

impl Effective {
    /// Each capability, as the manifest asks for it, the grant allows it and the policy leaves it.
    pub fn explained(&self) -> Vec<Explained> {
        let mut lines: Vec<Explained> = self
            .asks
            .iter()
            .map(|ask| self.asked_requests(ask))
            .collect();
        let unasked = self
            .allowances
            .iter()
            .filter(|allowance| !self.asks.iter().any(|ask| ask.rule.meets(&allowance.rule)));
        lines.extend(unasked.map(|allowance| Explained {
            capability: "http",
            asked: Vec::new(),
            granted: vec![with_networks(&allowance.rule, &allowance.networks)],
            left: Vec::new(),
            narrowed_by: vec!["manifest"],
            policy: None,
        }));
        lines.extend(self.connections());
        lines.extend(self.dirs());
        lines.extend(self.secrets());
        lines.extend(self.reveals_explained());
        let (asked, granted) = (&self.asked_data, &self.granted_data);
        lines.extend(columns("data.reads", &asked.reads, &granted.reads));
        lines.extend(columns("data.writes", &asked.writes, &granted.writes));
        lines.extend(self.limits());
        lines
    }

    /// What this ask and the grant's entries have in common, before the policy.
    fn in_both<'a>(
        &'a self,
        ask: &'a Ask,
    ) -> impl Iterator<Item = (&'a Allowance, HttpRule)> + Clone + 'a {
        self.allowances.iter().filter_map(|allowance| {
            let common = ask.rule.common(&allowance.rule)?;
            Some((allowance, common))
        })
    }

    fn asked_requests(&self, ask: &Ask) -> Explained {
        let granted: Vec<&Allowance> = self
            .allowances
            .iter()
            .filter(|allowance| allowance.rule.meets(&ask.rule))
            .collect();
        let both: Vec<(&Allowance, HttpRule)> = self.in_both(ask).collect();
        let left: Vec<Permitted> = both
            .iter()
            .flat_map(|(allowance, common)| self.ruled(common, allowance, ask))
            .collect();
        let mut narrowed_by = Vec::new();
        if !granted
            .iter()
            .all(|allowance| allowance.rule.within(&std::iter::once(&ask.rule)))
        {
            narrowed_by.push("manifest");
        }
        if !ask
            .rule
            .within(&granted.iter().map(|allowance| &allowance.rule))
        {
            narrowed_by.push("grant");
        }
        let policy = both.iter().find_map(|(allowance, rule)| {
            self.policy.narrows(&self.bounds, rule, &allowance.networks)
        });
        if policy.is_some() {
            narrowed_by.push("policy");
        }
        let text = |allowance: &&Allowance| with_networks(&allowance.rule, &allowance.networks);
        Explained {
            capability: "http",
            asked: vec![ask.rule.to_string()],
            granted: granted.iter().map(text).collect(),
            left: once_each(left.iter().map(Permitted::text)),
            narrowed_by,
            policy,
        }
    }

    /// What the policy leaves of requests that both files permit.
    fn ruled(&self, rule: &HttpRule, allowance: &Allowance, ask: &Ask) -> Vec<Permitted> {
        if self.policy.may_travel(rule.scheme).is_err() {
            return Vec::new();
        }
        let hosts = self.policy.left(&self.bounds, &rule.host);
        let permitted = hosts.unwrap_or_default().into_iter().map(|host| Permitted {
            except: self.policy.denied_inside(&host),
            networks: self.policy.open_networks(&allowance.networks),
            auth: ask.auth.clone(),
            rule: HttpRule {
                host,
                ..rule.clone()
            },
        });
        permitted.collect()
    }

    fn permitted(&self) -> Vec<Permitted> {
        let all = self.asks.iter().flat_map(|ask| {
            let both = self.in_both(ask);
            both.flat_map(move |(allowance, common)| self.ruled(&common, allowance, ask))
        });
        once_each(all)
    }

    fn dirs(&self) -> Vec<Explained> {
        let told = |dirs: &[(PathBuf, DirMode)], path: &PathBuf| {
            let of = dirs.iter().filter(|(ours, _)| ours == path);
            once_each(of.map(|(path, mode)| format!("{mode} {}", path.display())))
        };
        let all = self.asked_dirs.iter().chain(&self.granted_dirs);
        let paths = once_each(all.map(|(path, _)| path.clone()));
        let line = |path: &PathBuf| {
            let has = |dirs: &[(PathBuf, DirMode)], mode| {
                let fits = |(ours, has): &(PathBuf, DirMode)| {
                    ours == path && (*has == mode || *has == DirMode::Write)
                };
                dirs.iter().any(fits)
            };
            let modes = [DirMode::Read, DirMode::Write];
            let (mut left, mut narrowed_by, mut policy) = (Vec::new(), Vec::new(), None);
            for mode in modes {
                match (has(&self.asked_dirs, mode), has(&self.granted_dirs, mode)) {
                    (true, true) => match self.policy.may_open(&self.base, path) {
                        Ok(()) => left.push(format!("{mode} {}", path.display())),
                        Err(no) => {
                            narrowed_by.push("policy");
                            policy = Some(no.told());
                        }
                    },
                    (true, false) => narrowed_by.push("grant"),
                    (false, true) => narrowed_by.push("manifest"),
                    (false, false) => {}
                }
            }
            Explained {
                capability: "dir",
                asked: told(&self.asked_dirs, path),
                granted: told(&self.granted_dirs, path),
                left,
                narrowed_by: once_each(narrowed_by.into_iter()),
                policy,
            }
        };
        paths.iter().map(line).collect()
    }

    fn secrets(&self) -> Vec<Explained> {
        let used = once_each(self.asks.iter().filter_map(|ask| ask.auth.clone()));
        let permitted = self.permitted();
        let line = |credential: &Credential| {
            let to = permitted
                .iter()
                .filter(|permitted| permitted.auth.as_ref() == Some(credential));
            let text = format!("{} as {}", credential.name, credential.place);
            Explained {
                capability: "secret",
                asked: vec![text.clone()],
                // A grant without it keeps the stage from starting.
                granted: vec![text],
                left: once_each(to.map(Permitted::text)),
                narrowed_by: Vec::new(),
                policy: None,
            }
        };
        used.iter().map(line).collect()
    }

    fn limits(&self) -> [Explained; 2] {
        let narrowed = |asked: u128, granted: Option<u128>, left: u128| {
            let both = granted.map_or(asked, |granted| granted.min(asked));
            let mut narrowed_by = Vec::new();
            if granted.is_some_and(|granted| granted > asked) {
                narrowed_by.push("manifest");
            }
            if granted.is_some_and(|granted| granted < asked) {
                narrowed_by.push("grant");
            }
            if left < both {
                narrowed_by.push("policy");
            }
            narrowed_by
        };
        let [memory, call_time] = self.policy.ceilings();
        let wished = &self.wished;
        let memory_left = u128::from(self.memory_bytes_max);
        let memory_granted = wished.granted_memory_bytes.map(u128::from);
        let time_granted = wished.granted_call_time.map(|time| time.as_millis());
        let size = |bytes: u64| ByteSize(bytes).to_string();
        let span = |time| Span(time).to_string();
        let line = |capability,
                    asked,
                    granted: Option<String>,
                    left,
                    narrowed_by: Vec<_>,
                    policy: Option<String>| {
            let policy = policy.filter(|_| narrowed_by.contains(&"policy"));
            Explained {
                capability,
                asked: vec![asked],
                granted: granted.into_iter().collect(),
                left: vec![left],
                narrowed_by,
                policy,
            }
        };
        [
            line(
                "limits.memory",
                size(wished.memory_bytes),
                wished.granted_memory_bytes.map(size),
                size(self.memory_bytes_max),
                narrowed(u128::from(wished.memory_bytes), memory_granted, memory_left),
                memory,
            ),
            line(
                "limits.call_time",
                span(wished.call_time),
                wished.granted_call_time.map(span),
                span(self.call_time_max),
                narrowed(
                    wished.call_time.as_millis(),
                    time_granted,
                    self.call_time_max.as_millis(),
                ),
                call_time,
            ),
        ]
    }

    /// How this stage can reach it, a line a way; none where it cannot. `secrets`: the plugin's words for secrets and
    /// the deployment's; none where no pipeline says what its words stand for, and each may stand for any.
    pub fn reaches(
        &self,
        sought: &Sought,
        secrets: Option<&BTreeMap<SecretName, SecretName>>,
    ) -> Vec<String> {
        let with = |permitted: &Permitted| match &permitted.auth {
            Some(auth) => {
                let name = secrets.and_then(|secrets| secrets.get(&auth.name));
                let name = name.unwrap_or(&auth.name);
                format!("{}, with secret {name} as {}", permitted.text(), auth.place)
            }
            None => permitted.text(),
        };
        let permitted = self.permitted();
        match sought {
            Sought::Host(host) => {
                let there = permitted.iter().filter(|permitted| {
                    permitted.rule.host.meets(host)
                        && !permitted.except.iter().any(|except| host.within(except))
                });
                once_each(there.map(with).chain(self.connects_to(host)))
            }
            Sought::Secret(name) => {
                let uses = permitted.iter().filter_map(|permitted| {
                    let auth = permitted.auth.as_ref()?;
                    may_be(secrets, &auth.name, name)
                        .then(|| format!("as {}: {}", auth.place, permitted.text()))
                });
                once_each(uses.chain(self.shows(name, secrets)))
            }
            Sought::Column(name) => {
                let uses = [
                    ("reads", self.may_read(name).is_ok()),
                    ("writes", self.may_write(name).is_ok()),
                ];
                let verbs: Vec<&str> = uses
                    .iter()
                    .filter_map(|(verb, may)| may.then_some(*verb))
                    .collect();
                if verbs.is_empty() {
                    return Vec::new();
                }
                let hosts = once_each(
                    permitted
                        .iter()
                        .map(|permitted| permitted.rule.host.to_string())
                        .chain(self.connectable()),
                );
                let hosts = if hosts.is_empty() {
                    "no host".to_owned()
                } else {
                    hosts.join(", ")
                };
                vec![format!("{}; may reach {hosts}", verbs.join(" and "))]
            }
        }
    }
}

fn columns(capability: &'static str, asked: &Columns, granted: &Columns) -> Option<Explained> {
    if asked.is_empty() && granted.is_empty() {
        return None;
    }
    let left = asked.common(granted);
    let mut narrowed_by = Vec::new();
    if &left != granted {
        narrowed_by.push("manifest");
    }
    if &left != asked {
        narrowed_by.push("grant");
    }
    Some(Explained {
        capability,
        asked: asked.names(),
        granted: granted.names(),
        left: left.names(),
        narrowed_by,
        policy: None,
    })
}

fn once_each<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut found = Vec::new();
    for value in values {
        if !found.contains(&value) {
            found.push(value);
        }
    }
    found
}
