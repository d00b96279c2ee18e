//! What a manifest asks for or a grant allows, in one form that can be compared: whether all that one may do, the
//! other may too. Knows inclusion only; what follows from it is in `diff` and `upgrade`.
//!
//! Every table is taken apart field by field, so that a capability which is added to a file and not compared here does
//! not compile.

mod connections;
mod requests;

pub(crate) use connections::Connections;
pub(crate) use requests::Requests;

use crate::columns::Columns;
use sluice_model::grant::{self, Grant};
use sluice_model::ids::{Role, SecretName};
use sluice_model::limits::{
    CALL_TIME_DEFAULT, CALL_TIME_MAX, MEMORY_BYTES_DEFAULT, MEMORY_BYTES_MAX,
};
use sluice_model::manifest::{self, Data, DirMode, Manifest, SecretPlace};
use sluice_model::sizes::{ByteSize, Span};
use sluice_model::visible::visible;
use std::collections::BTreeMap;
use std::fmt;

/// One file's word of a capability, as it is repeated to people.
const SHOWN_CHARS_MAX: usize = 200;

/// All that a file speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reach {
    pub(crate) http: Vec<Requests>,
    pub(crate) tcp: Vec<Connections>,
    pub(crate) dirs: Vec<Directory>,
    pub(crate) secrets: Vec<Use>,
    pub(crate) reads: Columns,
    pub(crate) writes: Columns,
}

/// A directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Directory {
    pub(crate) path: String,
    pub(crate) mode: DirMode,
    pub(crate) role: Option<Role>,
}

/// A use of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Use {
    pub(crate) name: SecretName,
    pub(crate) place: SecretPlace,
    /// What a manifest says of it besides, key by key.
    details: BTreeMap<String, String>,
}

impl Use {
    fn of_manifest(entry: &manifest::SecretUse) -> Self {
        let whole = serde_json::to_value(entry).expect("an entry is plain data, which JSON holds");
        let all = whole.as_object().into_iter().flatten();
        let besides =
            all.filter(|(key, _)| !matches!(key.as_str(), "name" | "use" | "optional" | "reason"));
        Self {
            name: entry.name.clone(),
            place: entry.place.clone(),
            details: besides
                .map(|(key, value)| (key.clone(), value.to_string()))
                .collect(),
        }
    }
}

impl Reach {
    /// Of one entry of a manifest: with each of the secrets that may go along, for which of them a pipeline says; and
    /// without, where there is none.
    pub(crate) fn requests(manifest: &Manifest, entry: &manifest::Http) -> Vec<Requests> {
        let manifest::Http {
            host,
            scheme,
            port,
            methods,
            paths,
            auth,
            role,
            reason: _,
        } = entry;
        let bare = Requests::new(host, *scheme, *port, methods, paths, *role);
        let place = |name: &SecretName| manifest.secret.iter().find(|secret| &secret.name == name);
        let with = |secret: &manifest::SecretUse| Requests {
            auth: Some((secret.name.clone(), secret.place.clone())),
            ..bare.clone()
        };
        let secrets: Vec<Requests> = auth.iter().filter_map(place).map(with).collect();
        if secrets.is_empty() {
            vec![bare]
        } else {
            secrets
        }
    }

    /// Of a manifest, with its settings left open.
    pub(crate) fn of_manifest(manifest: &Manifest) -> Self {
        // Those without a name here are no capability; `diff` compares them.
        let Manifest {
            plugin: _,
            source: _,
            http,
            tcp,
            dir,
            secret,
            data,
            sink: _,
            limits: _,
            config: _,
            unnamed: _,
        } = manifest;
        let directory = |entry: &manifest::Dir| {
            let manifest::Dir {
                path,
                mode,
                role,
                reason: _,
            } = entry;
            Directory::new(path, *mode, *role)
        };
        let used = |entry: &manifest::SecretUse| Use::of_manifest(entry);
        Self {
            http: http
                .iter()
                .flat_map(|entry| Self::requests(manifest, entry))
                .collect(),
            tcp: tcp.iter().map(Connections::of_manifest).collect(),
            dirs: dir.iter().map(directory).collect(),
            secrets: secret.iter().map(used).collect(),
            ..Self::of_data(data)
        }
    }

    /// Of a grant. Which secret goes with which request is the manifest's to say.
    pub(crate) fn of_grant(file: &Grant) -> Self {
        let Grant {
            grant: _,
            http,
            tcp,
            dir,
            secret,
            data,
            limits: _,
        } = file;
        let requests = |entry: &grant::Http| {
            // What a grant says besides narrows it, and no manifest asks for it.
            let grant::Http {
                host,
                scheme,
                port,
                methods,
                paths,
                networks,
                role,
                ..
            } = entry;
            let networks = networks.clone();
            Requests {
                networks,
                ..Requests::new(host, *scheme, *port, methods, paths, *role)
            }
        };
        let directory = |entry: &grant::Dir| {
            let grant::Dir { path, mode, role } = entry;
            Directory::new(path, *mode, *role)
        };
        let used = |entry: &grant::SecretUse| Use {
            name: entry.name.clone(),
            place: entry.place.clone(),
            details: BTreeMap::new(),
        };
        Self {
            http: http.iter().map(requests).collect(),
            tcp: tcp.iter().map(Connections::of_grant).collect(),
            dirs: dir.iter().map(directory).collect(),
            secrets: secret.iter().map(used).collect(),
            ..Self::of_data(data)
        }
    }

    fn of_data(data: &Data) -> Self {
        let Data { reads, writes } = data;
        Self {
            http: Vec::new(),
            tcp: Vec::new(),
            dirs: Vec::new(),
            secrets: Vec::new(),
            reads: Columns::of(reads.iter().cloned()),
            writes: Columns::of(writes.iter().cloned()),
        }
    }

    /// Requests that both may send, and that a secret goes with here and not there: a grant does not say which secret
    /// goes where, so that comparing grants alone would not show a secret that is sent to another host.
    pub(crate) fn newly_with_secret(&self, other: &Self) -> Self {
        let bare = |requests: &Requests| requests.bare().unwrap_or_else(|| requests.clone());
        let without: Vec<Requests> = other.http.iter().map(bare).collect();
        let known = |requests: &Requests| {
            requests
                .bare()
                .is_some_and(|bare| bare.beyond(&without).is_empty())
        };
        let beyond = self.http.iter().flat_map(|ours| ours.beyond(&other.http));
        Self {
            http: beyond.filter(known).collect(),
            ..Self::of_data(&Data::default())
        }
    }

    /// Both together.
    pub(crate) fn and(&self, other: &Self) -> Self {
        let both = |ours: &Columns, theirs: &Columns| {
            Columns::of(ours.names().into_iter().chain(theirs.names()))
        };
        Self {
            http: [self.http.as_slice(), &other.http].concat(),
            tcp: [self.tcp.as_slice(), &other.tcp].concat(),
            dirs: [self.dirs.as_slice(), &other.dirs].concat(),
            secrets: [self.secrets.as_slice(), &other.secrets].concat(),
            reads: both(&self.reads, &other.reads),
            writes: both(&self.writes, &other.writes),
        }
    }

    /// What of this the other does not hold. What is too much to compare is not held.
    pub(crate) fn beyond(&self, other: &Self) -> Self {
        let columns = |ours: &Columns, theirs: &Columns| {
            Columns::of(ours.names().into_iter().filter(|name| {
                // `*` is a column's name to nobody: only another `*` holds it.
                if name == "*" {
                    *theirs != Columns::Every
                } else {
                    !theirs.has(name)
                }
            }))
        };
        let tcp = self
            .tcp
            .iter()
            .filter(|ours| !other.tcp.iter().any(|theirs| theirs.includes(ours)));
        let dirs = self
            .dirs
            .iter()
            .filter(|ours| !other.dirs.iter().any(|theirs| theirs.includes(ours)));
        Self {
            http: self
                .http
                .iter()
                .flat_map(|ours| ours.beyond(&other.http))
                .collect(),
            tcp: tcp.cloned().collect(),
            dirs: dirs.cloned().collect(),
            secrets: self
                .secrets
                .iter()
                .filter(|ours| !other.secrets.contains(ours))
                .cloned()
                .collect(),
            reads: columns(&self.reads, &other.reads),
            writes: columns(&self.writes, &other.writes),
        }
    }

    /// Each thing it speaks of, in words, under its capability's name.
    pub(crate) fn words(&self) -> Vec<(&'static str, String)> {
        let mut words: Vec<(&'static str, String)> = Vec::new();
        words.extend(
            self.http
                .iter()
                .map(|requests| ("http", requests.to_string())),
        );
        words.extend(self.tcp.iter().map(|tcp| ("tcp", tcp.to_string())));
        words.extend(self.dirs.iter().map(|dir| ("dir", dir.to_string())));
        words.extend(self.secrets.iter().map(|used| ("secret", used.to_string())));
        for (capability, columns) in [("data.reads", &self.reads), ("data.writes", &self.writes)] {
            let name = |name: String| match name.as_str() {
                "*" => "every column".to_owned(),
                name => format!("`{}`", visible(name, SHOWN_CHARS_MAX)),
            };
            words.extend(
                columns
                    .names()
                    .into_iter()
                    .map(|column| (capability, name(column))),
            );
        }
        words
    }
}

impl Directory {
    fn new(path: &str, mode: DirMode, role: Option<Role>) -> Self {
        Self {
            path: path.to_owned(),
            mode,
            role,
        }
    }

    /// Whether whoever may use this may use the other.
    pub(crate) fn includes(&self, other: &Self) -> bool {
        let path = |text: &str| {
            text.trim_start_matches("./")
                .trim_end_matches('/')
                .to_owned()
        };
        path(&self.path) == path(&other.path)
            && (self.mode == other.mode || self.mode == DirMode::Write)
            && (self.role.is_none() || self.role == other.role)
    }
}

fn part(role: Option<Role>) -> String {
    role.map_or(String::new(), |role| format!(", as {role}"))
}

impl fmt::Display for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}{}",
            self.mode,
            visible(&self.path, SHOWN_CHARS_MAX),
            part(self.role)
        )
    }
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place == SecretPlace::Reveal {
            write!(f, "`{}` REVEALED: THE PLUGIN SEES IT", self.name)?;
        } else {
            let place = visible(&self.place.to_string(), SHOWN_CHARS_MAX);
            write!(f, "`{}` as {place}", self.name)?;
        }
        for (key, value) in &self.details {
            write!(f, ", {key} {}", visible(value, SHOWN_CHARS_MAX))?;
        }
        Ok(())
    }
}

/// What an instance gets of memory and of time, with what goes without saying filled in.
pub(crate) fn ceilings(limits: &manifest::Limits) -> (ByteSize, Span) {
    let manifest::Limits { memory, call_time } = limits;
    let memory = memory
        .map_or(MEMORY_BYTES_DEFAULT, |size| size.0)
        .min(MEMORY_BYTES_MAX);
    let time = call_time
        .map_or(CALL_TIME_DEFAULT, |span| span.0)
        .min(CALL_TIME_MAX);
    (ByteSize(memory), Span(time))
}
