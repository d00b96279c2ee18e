//! The tightest grant and manifest that a trial run would have needed. They only ever narrow: whatever they permit,
//! the grant or manifest they are made from permits too (test: `what_is_learnt_is_never_wider`).

use crate::asked;
use crate::host::HostPattern;
use crate::path::PathPattern;
use crate::rules::HttpRule;
use crate::settings::expand;
use crate::target::Target;
use crate::tcp;
use crate::used::{Item, items, of_secret};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sluice_model::grant::{Dir, Grant, Tcp};
use sluice_model::manifest::{Manifest, SecretPlace};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Paths of one entry that are listed one by one; more of them become a pattern. A list that nobody reads protects
/// nobody.
const PATHS_MAX: usize = 8;

/// What a plugin did in a trial run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// Requests that were let through: method and URL without its query, each once.
    #[serde(default)]
    pub requests: BTreeSet<(String, String)>,
    /// Whether there were more than are listed: then what is asked of the network stays as it is.
    #[serde(default)]
    pub requests_cut: bool,
    /// What else it used, by capability: connections, directories, secrets, columns.
    #[serde(default)]
    pub used: BTreeMap<String, BTreeSet<String>>,
}

impl Trial {
    fn has(&self, capability: &str, item: &str) -> bool {
        self.used
            .get(capability)
            .is_some_and(|names| names.contains(item))
    }

    fn of<'a>(&'a self, item: &'a Item) -> impl Iterator<Item = &'a str> {
        let names = self.used.get(item.capability).into_iter().flatten();
        names
            .map(String::as_str)
            .filter(|name| item.covers(item.capability, name))
    }

    /// Method and target of each request that one of these rules permits.
    fn sent(&self, rules: &[HttpRule]) -> Vec<(&str, Target)> {
        let parsed = self.requests.iter().filter_map(|(method, url)| {
            let target = Target::parse(&url.parse().ok()?).ok()?;
            Some((method.as_str(), target))
        });
        parsed
            .filter(|(method, target)| rules.iter().any(|rule| rule.permits(method, target)))
            .collect()
    }

    /// These methods and paths, down to what was sent.
    fn narrow(
        &self,
        rules: &[HttpRule],
        methods: &mut Vec<String>,
        paths: &mut Vec<String>,
    ) -> bool {
        if self.requests_cut {
            return true;
        }
        let sent = self.sent(rules);
        methods.retain(|method| sent.iter().any(|(used, _)| used == method));
        let used: BTreeSet<&str> = sent
            .iter()
            .map(|(_, target)| target.path.as_str())
            .collect();
        *paths = paths
            .iter()
            .flat_map(|path| tightest(path, &used))
            .collect();
        paths.dedup();
        !sent.is_empty()
    }
}

/// What of a pattern the used paths need.
fn tightest(pattern: &str, used: &BTreeSet<&str>) -> Vec<String> {
    let Ok(parsed) = PathPattern::parse(pattern) else {
        return Vec::new();
    };
    let matched: Vec<&str> = used
        .iter()
        .copied()
        .filter(|path| parsed.matches(path))
        .collect();
    if matched.len() <= PATHS_MAX {
        // A `*` in a path would be read as a pattern.
        let plain = |path: &&str| !path.contains('*') && PathPattern::parse(path).is_ok();
        if matched.iter().all(plain) {
            return matched.into_iter().map(ToOwned::to_owned).collect();
        }
    }
    match pattern.strip_suffix("/**") {
        // Only below an open end is a longer beginning still within the pattern.
        Some(fixed) => vec![below(fixed, &matched)],
        None => vec![pattern.to_owned()],
    }
}

/// `fixed/**`, with as many more parts in front as all these paths share.
fn below(fixed: &str, paths: &[&str]) -> String {
    let depth = fixed.split('/').count();
    let parts: Vec<Vec<&str>> = paths
        .iter()
        .map(|path| path.split('/').skip(depth).collect())
        .collect();
    let mut pattern = fixed.to_owned();
    for at in 0.. {
        let Some(part) = parts
            .first()
            .and_then(|parts| parts.get(at))
            .filter(|part| !part.is_empty())
        else {
            break;
        };
        if part.contains('*') || parts.iter().any(|parts| parts.get(at) != Some(part)) {
            break;
        }
        pattern.push('/');
        pattern.push_str(part);
    }
    pattern.push_str("/**");
    pattern
}

/// The grant, down to what the trial used. What was not used at all is left out.
pub fn narrow_grant(grant: &Grant, trial: &Trial) -> Grant {
    let mut narrow = grant.clone();
    narrow.http.retain_mut(|http| {
        let alone = Grant {
            http: vec![http.clone()],
            ..empty(grant)
        };
        let roles = [
            sluice_model::ids::Role::Source,
            sluice_model::ids::Role::Transform,
            sluice_model::ids::Role::Sink,
        ];
        let rules: Vec<HttpRule> = roles
            .iter()
            .flat_map(|role| asked::allowances(&alone, *role, Path::new("")).unwrap_or_default())
            .map(|allowance| allowance.rule)
            .collect();
        trial.narrow(&rules, &mut http.methods, &mut http.paths)
    });
    narrow.tcp = connections(grant, trial);
    narrow
        .dir
        .retain(|dir| item(grant, "dir", &format!("{} {}", dir.mode, dir.path), trial));
    narrow.dir = narrow
        .dir
        .into_iter()
        .map(|dir| mode_used(dir, trial))
        .collect();
    // A secret goes with its requests; where it was told of on its own, that counts too.
    narrow.secret.retain(|secret| {
        let is_attached = secret.place != SecretPlace::Reveal;
        (is_attached && trial.requests_cut)
            || trial.has(of_secret(&secret.place), secret.name.as_str())
    });
    narrow.data.reads = columns("data.reads", &grant.data.reads, trial);
    narrow.data.writes = columns("data.writes", &grant.data.writes, trial);
    narrow
}

fn empty(grant: &Grant) -> Grant {
    Grant {
        grant: grant.grant.clone(),
        http: Vec::new(),
        tcp: Vec::new(),
        dir: Vec::new(),
        secret: Vec::new(),
        data: sluice_model::manifest::Data::default(),
        limits: sluice_model::manifest::Limits::default(),
    }
}

/// The entries that were used, and those before them that set the terms of a host which one of them holds too: of several
/// that fit the first counts, and without it the host would be on another's terms.
fn connections(grant: &Grant, trial: &Trial) -> Vec<Tcp> {
    let is_used = |tcp: &Tcp| item(grant, "tcp", &format!("{}:{}", tcp.host, tcp.port), trial);
    let meets = |one: &Tcp, other: &Tcp| {
        let hosts = [&one.host, &other.host].map(|host| HostPattern::parse(host));
        let [Ok(ours), Ok(theirs)] = hosts else {
            return true;
        };
        one.port == other.port && ours.meets(&theirs)
    };
    let all = grant.tcp.iter().enumerate();
    let kept = all.filter(|(at, tcp)| {
        let later = &mut grant.tcp[at + 1..].iter();
        is_used(tcp) || later.any(|later| is_used(later) && meets(tcp, later))
    });
    kept.map(|(_, tcp)| tcp.clone()).collect()
}

fn item(grant: &Grant, capability: &str, name: &str, trial: &Trial) -> bool {
    let found = items(grant)
        .into_iter()
        .find(|item| item.capability == capability && item.name == name);
    found.is_some_and(|item| trial.of(&item).next().is_some())
}

/// Write access that was used for reading only becomes that.
fn mode_used(mut dir: Dir, trial: &Trial) -> Dir {
    use sluice_model::manifest::DirMode::{Read, Write};
    if dir.mode == Write {
        let writes = Item {
            capability: "dir",
            name: format!("write {}", dir.path),
        };
        if trial.of(&writes).all(|used| used.starts_with("read ")) {
            dir.mode = Read;
        }
    }
    dir
}

/// The columns that were used: those named, or of every one those that were.
fn columns(capability: &'static str, granted: &[String], trial: &Trial) -> Vec<String> {
    let mut names = Vec::new();
    for name in granted {
        let item = Item {
            capability,
            name: name.clone(),
        };
        let used = trial.of(&item).map(ToOwned::to_owned);
        names.extend(
            used.filter(|used| !names.contains(used))
                .collect::<Vec<_>>(),
        );
    }
    names
}

/// The manifest, down to what the trial used in this role with these settings. What a setting stands for stays a
/// setting, for another deployment's is another; entries of other roles stay as they are.
pub fn narrow_manifest(
    manifest: &Manifest,
    uses: &[(sluice_model::ids::Role, &Value)],
    trial: &Trial,
) -> Manifest {
    let mut narrow = manifest.clone();
    let plays = |role: Option<sluice_model::ids::Role>| {
        uses.iter()
            .filter(move |(ours, _)| role.is_none_or(|only| only == *ours))
            .map(|(_, config)| *config)
    };
    narrow.http.retain_mut(|http| {
        let rules: Vec<HttpRule> = plays(http.role)
            .flat_map(|config| asked::rules(manifest, http, config))
            .collect();
        rules.is_empty() || trial.narrow(&rules, &mut http.methods, &mut http.paths)
    });
    narrow.tcp.retain(|tcp| {
        let asked = plays(tcp.role).flat_map(|config| tcp::asks(tcp, config).unwrap_or_default());
        let mut asked = asked.peekable();
        asked.peek().is_none()
            || asked.any(|ask| {
                let name = format!("{}:{}", ask.rule.host, ask.rule.port);
                let capability = "tcp";
                trial.of(&Item { capability, name }).next().is_some()
            })
    });
    narrow.dir.retain(|dir| {
        let mut paths = plays(dir.role)
            .flat_map(|config| expand(&dir.path, config).unwrap_or_default())
            .peekable();
        paths.peek().is_none()
            || paths.any(|path| {
                let name = format!("{} {path}", dir.mode);
                trial
                    .of(&Item {
                        capability: "dir",
                        name,
                    })
                    .next()
                    .is_some()
            })
    });
    let used = |capability: &'static str, templates: &[String]| {
        let mut kept = Vec::new();
        for template in templates {
            let names = uses
                .iter()
                .flat_map(|(_, config)| expand(template, config).unwrap_or_default());
            let names: Vec<String> = names.collect();
            let used = columns(capability, &names, trial);
            match template.as_str() {
                "*" => kept.extend(used),
                _ if !used.is_empty() => kept.push(template.clone()),
                _ => {}
            }
        }
        kept
    };
    narrow.data.reads = used("data.reads", &manifest.data.reads);
    narrow.data.writes = used("data.writes", &manifest.data.writes);
    let needed: Vec<_> = narrow
        .http
        .iter()
        .flat_map(|http| http.auth.clone())
        .collect();
    narrow.secret.retain(|secret| {
        let capability = of_secret(&secret.place);
        needed.contains(&secret.name) || trial.has(capability, secret.name.as_str())
    });
    narrow
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_as_tight_as_can_be_read() {
        let check = |pattern: &str, used: &[&str], expected: &[&str]| {
            let used: BTreeSet<&str> = used.iter().copied().collect();
            assert_eq!(tightest(pattern, &used), expected, "{pattern}");
        };
        check(
            "/v2/**",
            &["/v2/a", "/v2/b/7", "/v3"],
            &["/v2/a", "/v2/b/7"],
        );
        check("/v2/**", &["/v3"], &[]);
        let many: Vec<String> = (0..20).map(|at| format!("/v2/items/{at}/parts")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        check("/v2/**", &many, &["/v2/items/**"]);
        check("/**", &many, &["/v2/items/**"]);
        check("/v2/items/*/parts", &many, &["/v2/items/*/parts"]);
        check(
            "/v2/items/**",
            &[&many[..], &["/v2/items"]].concat(),
            &["/v2/items/**"],
        );
        check("/v2/**", &["/v2/a*"], &["/v2/**"]);
    }
}
