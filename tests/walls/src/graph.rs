//! Who depends on whom: what `cargo tree` says of normal dependencies on this platform, with the features that the
//! workspace turns on. Development and build dependencies are not part of it.

use crate::source::Breach;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::process::Command;

/// The resolved dependencies of the workspace. A package's id is its name and version, as `cargo tree` prints it.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    /// Of each package id, the ids of what it depends on.
    edges: BTreeMap<String, BTreeSet<String>>,
    /// The ids of the workspace's own packages, by name.
    own: BTreeMap<String, String>,
    /// The folder of each of the workspace's own packages.
    folders: BTreeMap<String, String>,
}

impl Graph {
    /// Asks cargo. What this platform does not build, cargo may have to fetch first to see that.
    pub fn of_this_workspace() -> Result<Graph, String> {
        let arguments = [
            "tree",
            "--workspace",
            "--edges",
            "normal",
            "--prefix",
            "depth",
            "--format",
            " {p}",
        ];
        let output = Command::new("cargo")
            .args(arguments)
            .current_dir(crate::tree::root())
            .output();
        let output = output.map_err(|error| format!("cargo does not start: {error}"))?;
        if !output.status.success() {
            return Err(format!(
                "cargo tree: {}",
                String::from_utf8_lossy(&output.stderr)
            ));
        }
        Ok(Graph::from_tree(&String::from_utf8_lossy(&output.stdout)))
    }

    /// Reads lines of `DEPTH NAME vVERSION (PATH)`: the packages at depth 0 are the workspace's own. A package that
    /// stood before is not spelt out again.
    pub fn from_tree(text: &str) -> Graph {
        let mut graph = Graph::default();
        let mut above: Vec<String> = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            let words: Vec<&str> = line.split(' ').collect();
            let [depth, name, version, rest @ ..] = words.as_slice() else {
                panic!("`{line}` is not of a tree")
            };
            let depth: usize = depth
                .parse()
                .unwrap_or_else(|_| panic!("`{line}` has no depth"));
            let id = format!("{name} {version}");
            above.truncate(depth);
            if let Some(parent) = above.last() {
                graph
                    .edges
                    .entry(parent.clone())
                    .or_default()
                    .insert(id.clone());
            } else {
                let path = rest
                    .iter()
                    .map(|word| word.trim_matches(['(', ')']))
                    .find(|word| word.contains(['/', '\\']));
                graph.folders.insert(
                    (*name).to_owned(),
                    path.unwrap_or_default().replace('\\', "/"),
                );
                graph.own.insert((*name).to_owned(), id.clone());
            }
            above.push(id);
        }
        graph
    }

    /// The names of the workspace's own crates in a folder: `host`, `plugins`.
    pub fn own_in(&self, folder: &str) -> Vec<&str> {
        let within = |path: &str| path.rsplit('/').nth(1) == Some(folder);
        self.folders
            .iter()
            .filter(|(_, path)| within(path))
            .map(|(name, _)| name.as_str())
            .collect()
    }

    /// What a crate of ours names in its own manifest.
    ///
    /// # Panics
    /// Where there is no such crate: a wall around nothing must not stand.
    pub fn direct(&self, name: &str) -> BTreeSet<&str> {
        self.edges
            .get(self.id(name))
            .into_iter()
            .flatten()
            .map(|id| name_of(id))
            .collect()
    }

    /// Everything a crate of ours brings with it, each with the crates that lead there, by a shortest way.
    pub fn reached(&self, name: &str) -> BTreeMap<&str, Vec<&str>> {
        let start = self.id(name);
        let mut paths: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut seen = BTreeSet::from([start]);
        let mut waiting = VecDeque::from([(start, Vec::new())]);
        while let Some((id, path)) = waiting.pop_front() {
            for next in self
                .edges
                .get(id)
                .into_iter()
                .flatten()
                .filter(|next| seen.insert(next.as_str()))
            {
                let longer: Vec<&str> = path.iter().copied().chain([name_of(next)]).collect();
                paths.entry(name_of(next)).or_insert_with(|| longer.clone());
                waiting.push_back((next.as_str(), longer));
            }
        }
        paths
    }

    fn id(&self, name: &str) -> &str {
        self.own
            .get(name)
            .unwrap_or_else(|| panic!("no crate `{name}` in the workspace"))
    }

    /// A crate of ours that brings, through whatever, a crate it must not know. A name that ends with `*` stands for
    /// all that begin so.
    pub fn must_not_reach(&self, name: &str, forbidden: &[&str], hint: &str) -> Vec<Breach> {
        let reached = self.reached(name);
        let broken = reached
            .iter()
            .filter(|(found, _)| forbidden.iter().any(|pattern| matches(found, pattern)));
        broken
            .map(|(found, path)| {
                Breach::new(
                    name,
                    format!("brings `{found}` ({})", path.join(" → ")),
                    hint,
                )
            })
            .collect()
    }

    /// A crate of ours other than `owners` that names a dependency which only they may name.
    pub fn only_named_by(&self, dependency: &str, owners: &[&str], hint: &str) -> Vec<Breach> {
        let others = self
            .own
            .keys()
            .filter(|name| !owners.contains(&name.as_str()));
        let broken = others.flat_map(|name| {
            let named = self
                .direct(name)
                .into_iter()
                .filter(|found| matches(found, dependency));
            named
                .map(|found| Breach::new(name.as_str(), format!("names `{found}`"), hint))
                .collect::<Vec<_>>()
        });
        broken.collect()
    }

    /// A crate of ours that names another of ours outside of `allowed`.
    pub fn own_arrows(&self, name: &str, allowed: &[&str]) -> Vec<Breach> {
        let named = self
            .direct(name)
            .into_iter()
            .filter(|found| self.own.contains_key(*found));
        let broken = named.filter(|found| !allowed.contains(found));
        let hint = match allowed {
            [] => {
                format!("`{name}` depends on no crate of ours: move what it needs, or pass it in")
            }
            allowed => format!(
                "`{name}` may name {} only: move what it needs, or pass it in",
                allowed.join(", ")
            ),
        };
        broken
            .map(|found| Breach::new(name, format!("depends on `{found}`"), hint.as_str()))
            .collect()
    }
}

fn name_of(id: &str) -> &str {
    id.split(' ').next().unwrap_or(id)
}

fn matches(name: &str, pattern: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `pure → middle → tokio`, `door → tokio`, `door → pure`, the last not spelt out again.
    fn graph() -> Graph {
        Graph::from_tree(
            "0 door v0.1.0 (/r/host/door)\n1 pure v0.1.0 (/r/host/pure)\n2 middle v2.0.0\n3 tokio v1.0.0\n\
             1 tokio v1.0.0\n\n0 pure v0.1.0 (/r/host/pure) (*)\n\n0 derive v0.1.0 (proc-macro) (/r/sdk/derive)\n",
        )
    }

    #[test]
    fn what_is_reached_has_its_path() {
        let told: Vec<_> = graph()
            .must_not_reach("pure", &["tok*"], "h")
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(told, ["pure: brings `tokio` (middle → tokio); hint: h"]);
        assert_eq!(
            graph().must_not_reach("pure", &["wasmtime*", "tok"], "h"),
            []
        );
    }

    #[test]
    fn a_door_is_named_by_its_owner_only() {
        assert_eq!(graph().only_named_by("tokio", &["door"], "h"), []);
        assert_eq!(graph().only_named_by("tokio", &["pure"], "h").len(), 1);
    }

    #[test]
    fn arrows_are_as_drawn() {
        assert_eq!(graph().own_arrows("door", &["pure"]), []);
        let told = graph().own_arrows("door", &[])[0].to_string();
        assert_eq!(
            told,
            "door: depends on `pure`; hint: `door` depends on no crate of ours: move what it needs, or pass it in"
        );
        assert_eq!(graph().own_in("host"), ["door", "pure"]);
        assert_eq!(graph().own_in("sdk"), ["derive"]);
        assert!(graph().own_in("r").is_empty());
    }

    #[test]
    #[should_panic(expected = "no crate `nobody` in the workspace")]
    fn a_wall_around_nothing_does_not_stand() {
        graph().direct("nobody");
    }
}
