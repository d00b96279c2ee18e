//! What a newer plugin asks that an older did not, and the other way: the question of every upgrade. Each change is
//! wider, narrower, or neither; one wider change makes the whole wider.
//!
//! Invariant: what the new manifest permits and the old does not is told as wider (test: `nothing_wider_is_missed`).

use crate::imports::{ImportKind, explain};
use crate::reach::{Reach, ceilings};
use serde::Serialize;
use serde_json::Value;
use sluice_model::ids::Role;
use sluice_model::manifest::{About, Limits, Manifest, SinkShape};
use sluice_model::visible::visible;
use std::collections::BTreeSet;

/// A word of a manifest, as it is repeated.
const SHOWN_CHARS_MAX: usize = 120;

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Change {
    /// Which way.
    pub direction: Direction,
    /// Of what: `http`, `dir`, `secret`, `data.reads`, `limits`, `imports`, `config` …
    pub capability: &'static str,
    /// What exactly, for people. Hidden characters are shown.
    pub what: String,
}

/// Which way a difference leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// The new one may do what the old one might not.
    Wider,
    /// The old one might do what the new one may not.
    Narrower,
    /// No capability: settings, how a sink is fed, what runtimes import.
    Other,
}

/// One plugin, as far as it is compared.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// What it asks for.
    pub manifest: &'a Manifest,
    /// What it imports.
    pub imports: &'a [String],
    /// The parts it can play.
    pub roles: &'a [Role],
    /// The schema of its settings.
    pub config_schema: Option<&'a Value>,
}

/// Whether any of these leads wider.
pub fn is_wider(changes: &[Change]) -> bool {
    changes
        .iter()
        .any(|change| change.direction == Direction::Wider)
}

/// Everything that differs: what is wider first.
pub fn diff(old: &Side<'_>, new: &Side<'_>) -> Vec<Change> {
    let mut changes = between(
        &Reach::of_manifest(old.manifest),
        &Reach::of_manifest(new.manifest),
    );
    changes.extend(limits(&old.manifest.limits, &new.manifest.limits));
    changes.extend(imports(old, new));
    changes.extend(about(old, new));
    changes.extend(sink(old.manifest.sink, new.manifest.sink));
    changes.extend(optional(old.manifest, new.manifest));
    changes.extend(config(old.config_schema, new.config_schema));
    changes.sort();
    changes
}

/// What one may do and the other may not, both ways.
pub(crate) fn between(old: &Reach, new: &Reach) -> Vec<Change> {
    let told = |direction, reach: Reach| {
        let change = move |(capability, what)| Change {
            direction,
            capability,
            what,
        };
        reach.words().into_iter().map(change)
    };
    told(Direction::Wider, new.beyond(old))
        .chain(told(Direction::Narrower, old.beyond(new)))
        .collect()
}

fn change(direction: Direction, capability: &'static str, what: impl Into<String>) -> Change {
    Change {
        direction,
        capability,
        what: what.into(),
    }
}

pub(crate) fn limits(old: &Limits, new: &Limits) -> Vec<Change> {
    let ((old_memory, old_time), (new_memory, new_time)) = (ceilings(old), ceilings(new));
    let way = |ordering| match ordering {
        std::cmp::Ordering::Greater => Some(Direction::Wider),
        std::cmp::Ordering::Less => Some(Direction::Narrower),
        std::cmp::Ordering::Equal => None,
    };
    let memory = way(new_memory.cmp(&old_memory)).map(|way| {
        change(
            way,
            "limits",
            format!("memory {new_memory} (was {old_memory})"),
        )
    });
    let time = way(new_time.cmp(&old_time)).map(|way| {
        change(
            way,
            "limits",
            format!("a call may take {new_time} (was {old_time})"),
        )
    });
    memory.into_iter().chain(time).collect()
}

/// An interface without the last number of its version, which never matters.
fn interface(import: &str) -> &str {
    import.rsplit_once('.').map_or(import, |(name, _)| name)
}

fn imports(old: &Side<'_>, new: &Side<'_>) -> Vec<Change> {
    let missing = |from: &Side<'_>, other: &Side<'_>, way: Direction| -> Vec<Change> {
        let known: BTreeSet<&str> = other
            .imports
            .iter()
            .map(|import| interface(import))
            .collect();
        let report = explain(from.manifest, from.imports);
        let gone = report
            .imports
            .into_iter()
            .filter(|import| !known.contains(interface(&import.name)));
        gone.map(|import| {
            let (way, linked) = match &import.kind {
                ImportKind::Granted { by } if by == "every plugin" => {
                    (Direction::Other, by.clone())
                }
                ImportKind::Granted { by } => (way, by.clone()),
                ImportKind::Empty => (Direction::Other, "linked empty".to_owned()),
                ImportKind::Refusing => (
                    Direction::Other,
                    "linked, and every call refused".to_owned(),
                ),
                ImportKind::Unexplained { .. } => {
                    (way, "unexplained: it does not start".to_owned())
                }
            };
            let verb = if std::ptr::eq(from, new) {
                "imports"
            } else {
                "no longer imports"
            };
            change(
                way,
                "imports",
                format!(
                    "{verb} `{}` ({linked})",
                    visible(&import.name, SHOWN_CHARS_MAX)
                ),
            )
        })
        .collect()
    };
    let mut changes = missing(new, old, Direction::Wider);
    changes.extend(missing(old, new, Direction::Narrower));
    changes
}

fn about(old: &Side<'_>, new: &Side<'_>) -> Vec<Change> {
    let (
        About {
            name,
            version,
            interface,
            description: _,
        },
        now,
    ) = (&old.manifest.plugin, &new.manifest.plugin);
    let mut changes = Vec::new();
    if name != &now.name {
        changes.push(change(
            Direction::Other,
            "plugin",
            format!("another plugin: `{}` (was `{name}`)", now.name),
        ));
    } else if now.version < *version {
        changes.push(change(
            Direction::Other,
            "plugin",
            format!("an older version: {} (was {version})", now.version),
        ));
    }
    if interface != &now.interface {
        let what = format!(
            "built against `{}` (was `{}`)",
            visible(&now.interface, SHOWN_CHARS_MAX),
            visible(interface, SHOWN_CHARS_MAX)
        );
        changes.push(change(Direction::Other, "plugin", what));
    }
    let only = |these: &Side<'_>, those: &Side<'_>| -> Vec<Role> {
        these
            .roles
            .iter()
            .filter(|role| !those.roles.contains(role))
            .copied()
            .collect()
    };
    changes.extend(
        only(new, old)
            .iter()
            .map(|role| change(Direction::Other, "plugin", format!("is a {role} too"))),
    );
    changes.extend(
        only(old, new)
            .iter()
            .map(|role| change(Direction::Other, "plugin", format!("is a {role} no longer"))),
    );
    changes
}

fn sink(old: Option<SinkShape>, new: Option<SinkShape>) -> Vec<Change> {
    let words = |shape: Option<SinkShape>| -> Vec<String> {
        let Some(SinkShape {
            unit,
            transactional,
            idempotent,
        }) = shape
        else {
            return Vec::new();
        };
        let mut words = vec![format!(
            "takes {} or {} rows, or what comes in {}",
            unit.bytes, unit.rows, unit.linger
        )];
        words.extend(transactional.then(|| "is transactional".to_owned()));
        words.extend(idempotent.then(|| "is idempotent".to_owned()));
        words
    };
    let (old, new) = (words(old), words(new));
    let gained = new.iter().filter(|word| !old.contains(word)).cloned();
    let lost = old
        .iter()
        .filter(|word| !new.contains(word))
        .map(|word| format!("no longer: {word}"));
    gained
        .chain(lost)
        .map(|what| change(Direction::Other, "sink", what))
        .collect()
}

/// A secret that one could do without and now cannot, or the other way.
fn optional(old: &Manifest, new: &Manifest) -> Vec<Change> {
    let was = |name| {
        old.secret
            .iter()
            .find(|secret| &secret.name == name)
            .map(|secret| secret.optional)
    };
    let differs = new
        .secret
        .iter()
        .filter(|secret| was(&secret.name).is_some_and(|was| was != secret.optional));
    differs
        .map(|secret| {
            let now = if secret.optional {
                "now optional"
            } else {
                "no longer optional"
            };
            change(
                Direction::Other,
                "secret",
                format!("`{}` is {now}", secret.name),
            )
        })
        .collect()
}

/// The settings by name. What they open, the capabilities that name them say.
fn config(old: Option<&Value>, new: Option<&Value>) -> Vec<Change> {
    if old == new {
        return Vec::new();
    }
    let nothing = Value::Null;
    let (old, new) = (old.unwrap_or(&nothing), new.unwrap_or(&nothing));
    let properties = |schema: &Value| {
        schema["properties"]
            .as_object()
            .cloned()
            .unwrap_or_default()
    };
    let required = |schema: &Value, name: &str| {
        schema["required"]
            .as_array()
            .is_some_and(|names| names.iter().any(|one| one == name))
    };
    let (before, after) = (properties(old), properties(new));
    let mut changes = Vec::new();
    for (name, shape) in &after {
        let shown = visible(name, SHOWN_CHARS_MAX);
        let must = required(new, name);
        let what = match before.get(name) {
            None if must => format!("new setting `{shown}`, required"),
            None => format!("new setting `{shown}`"),
            Some(_) if must && !required(old, name) => format!("setting `{shown}` is now required"),
            Some(_) if !must && required(old, name) => {
                format!("setting `{shown}` is no longer required")
            }
            Some(was) if was != shape => format!("setting `{shown}` takes other values"),
            Some(_) => continue,
        };
        changes.push(change(Direction::Other, "config", what));
    }
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    changes.extend(gone.map(|name| {
        change(
            Direction::Other,
            "config",
            format!("setting `{}` is gone", visible(name, SHOWN_CHARS_MAX)),
        )
    }));
    if changes.is_empty() {
        changes.push(change(
            Direction::Other,
            "config",
            "the schema of the settings is another",
        ));
    }
    changes
}
