//! What a grant permits, item by item, so that what was used can be held beside it.

use crate::host::{Host, HostPattern};
use serde::Serialize;
use sluice_model::grant::{Grant, Http};
use sluice_model::manifest::{Scheme, SecretPlace};
use std::path::{Component, Path, PathBuf};

/// One thing that a grant permits: in the words of the manifest, and as uses of it are named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// `http`, `tcp`, `dir`, `secret`, `secret.reveal`, `data.reads`, `data.writes`.
    pub capability: &'static str,
    /// `https://*.acme.example:443`, `db.acme.example:5432`, `read in`, a secret's or a column's name; `*` for every column.
    pub name: String,
}

/// Everything in a grant, in its order, each once.
pub fn items(grant: &Grant) -> Vec<Item> {
    let http = grant.http.iter().map(|http| ("http", door(http)));
    let tcp = grant.tcp.iter();
    let tcp = tcp.map(|tcp| ("tcp", format!("{}:{}", tcp.host, tcp.port)));
    let dirs = grant
        .dir
        .iter()
        .map(|dir| ("dir", format!("{} {}", dir.mode, dir.path)));
    let secrets = grant
        .secret
        .iter()
        .map(|secret| (of_secret(&secret.place), secret.name.to_string()));
    let reads = grant
        .data
        .reads
        .iter()
        .map(|column| ("data.reads", column.clone()));
    let writes = grant
        .data
        .writes
        .iter()
        .map(|column| ("data.writes", column.clone()));
    let mut items = Vec::new();
    let network = http.chain(tcp);
    for (capability, name) in network
        .chain(dirs)
        .chain(secrets)
        .chain(reads)
        .chain(writes)
    {
        let item = Item { capability, name };
        if !items.contains(&item) {
            items.push(item);
        }
    }
    items
}

/// What a use of a secret is told as: the host's, or the plugin's own look at it.
pub(crate) fn of_secret(place: &SecretPlace) -> &'static str {
    match place {
        SecretPlace::Reveal => "secret.reveal",
        _ => "secret",
    }
}

fn door(http: &Http) -> String {
    let scheme = http.scheme.unwrap_or(Scheme::Https);
    let port = http.port.unwrap_or(scheme.default_port());
    format!("{scheme}://{}:{port}", http.host)
}

impl Item {
    /// Whether a use of this name was a use of it.
    pub fn covers(&self, capability: &str, name: &str) -> bool {
        capability == self.capability
            && match self.capability {
                "http" => is_door(&self.name, name),
                "tcp" => is_end_point(&self.name, name),
                "dir" => is_dir(&self.name, name),
                "data.reads" | "data.writes" => self.name == "*" || self.name == name,
                _ => self.name == name,
            }
    }
}

fn is_door(ours: &str, used: &str) -> bool {
    let parts = |text: &str| {
        let (scheme, rest) = text.split_once("://")?;
        let (host, port) = rest.rsplit_once(':')?;
        Some([scheme, host, port].map(ToOwned::to_owned))
    };
    let (Some([scheme, host, port]), Some(used)) = (parts(ours), parts(used)) else {
        return false;
    };
    scheme == used[0] && port == used[2] && is_host(&host, &used[1])
}

fn is_end_point(ours: &str, used: &str) -> bool {
    match (ours.rsplit_once(':'), used.rsplit_once(':')) {
        (Some((host, port)), Some((used, used_port))) => port == used_port && is_host(host, used),
        _ => false,
    }
}

fn is_host(ours: &str, used: &str) -> bool {
    let matches = || {
        Some(
            HostPattern::parse(ours)
                .ok()?
                .matches(&Host::parse(used).ok()?),
        )
    };
    matches() == Some(true)
}

/// `write` permits reading too.
fn is_dir(ours: &str, used: &str) -> bool {
    let parts = |text: &str| {
        let (mode, path) = text.split_once(' ')?;
        let path: PathBuf = Path::new(path)
            .components()
            .filter(|part| *part != Component::CurDir)
            .collect();
        Some((mode.to_owned(), path))
    };
    match (parts(ours), parts(used)) {
        (Some((mode, path)), Some((used, used_path))) => {
            path == used_path && (mode == used || mode == "write")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_is_of_what_permits_it() {
        for (capability, ours, used, expected) in [
            ("http", "https://api.test:443", "https://api.test:443", true),
            (
                "http",
                "https://api.test:443",
                "https://api.test:8443",
                false,
            ),
            ("http", "https://api.test:443", "http://api.test:443", false),
            (
                "http",
                "https://*.acme.test:443",
                "https://eu.acme.test:443",
                true,
            ),
            (
                "http",
                "https://*.acme.test:443",
                "https://acme.test:443",
                false,
            ),
            ("http", "http://127.0.0.1:80", "http://127.0.0.1:80", true),
            ("http", "https://api.test:443", "others", false),
            ("tcp", "db.test:5432", "db.test:5432", true),
            ("tcp", "db.test:5432", "db.test:5433", false),
            ("tcp", "*.db.test:5432", "one.db.test:5432", true),
            ("tcp", "*.db.test:5432", "db.test:5432", false),
            ("tcp", "2001:db8::7:5432", "[2001:db8::7]:5432", true),
            ("tcp", "db.test:5432", "others", false),
            ("secret.reveal", "password", "password", true),
            ("dir", "read in", "read ./in/", true),
            ("dir", "write out", "read out", true),
            ("dir", "read in", "write in", false),
            ("data.reads", "*", "email", true),
            ("data.reads", "name", "email", false),
            ("data.writes", "email", "email", true),
            ("secret", "token", "token", true),
        ] {
            let name = ours.to_owned();
            assert_eq!(
                Item { capability, name }.covers(capability, used),
                expected,
                "{ours} {used}"
            );
        }
        let item = Item {
            capability: "data.reads",
            name: "*".to_owned(),
        };
        assert!(!item.covers("data.writes", "email"));
    }
}
