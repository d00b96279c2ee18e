//! Each thing a manifest asks for, in words, with its vendor's reason and what the scale of `risk` says of it: what
//! every report about one plugin is made of.

use crate::reach::{Reach, Requests, ceilings};
use crate::risk::{Finding, Level};
use serde::Serialize;
use sluice_model::manifest::Manifest;
use sluice_model::visible::visible;

/// A reason, as it is repeated.
const REASON_CHARS_MAX: usize = 500;

/// One thing asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Asks {
    /// `http`, `tcp`, `dir`, `secret`, `data.reads`, `data.writes`, `limits`.
    pub capability: &'static str,
    /// What exactly, with hidden characters shown.
    pub what: String,
    /// Why, in its vendor's words, with hidden characters shown.
    pub reason: String,
    /// How far it goes at most; none where the scale says nothing of it.
    pub level: Option<Level>,
    /// What the scale says.
    pub findings: Vec<Finding>,
}

/// Requests that differ in the secret that goes with them.
fn one_of(several: &[Requests]) -> String {
    let secret = |requests: &Requests| {
        let (name, place) = requests.auth.as_ref()?;
        let place = visible(&place.to_string(), REASON_CHARS_MAX);
        Some(format!("`{name}` as {place}"))
    };
    let secrets: Vec<String> = several.iter().filter_map(secret).collect();
    let bare = several.first().and_then(Requests::bare);
    let bare = bare.map_or(String::new(), |bare| bare.to_string());
    format!("{bare}, with one of the secrets {}", secrets.join(", "))
}

/// Everything a manifest asks for, in its order.
pub fn asks(manifest: &Manifest, findings: &[Finding]) -> Vec<Asks> {
    let reach = Reach::of_manifest(manifest);
    let asks = |capability: &'static str, entry: usize, what: String, reason: &str| {
        let ours = |finding: &&Finding| finding.capability == capability && finding.entry == entry;
        let findings: Vec<Finding> = findings.iter().filter(ours).cloned().collect();
        Asks {
            capability,
            what,
            reason: visible(reason, REASON_CHARS_MAX),
            level: findings.iter().map(|finding| finding.rule.level).max(),
            findings,
        }
    };
    let mut all = Vec::new();
    for (at, entry) in manifest.http.iter().enumerate() {
        let what = match Reach::requests(manifest, entry).as_slice() {
            [one] => one.to_string(),
            several => one_of(several),
        };
        all.push(asks("http", at, what, &entry.reason));
    }
    for (at, (tcp, entry)) in reach.tcp.iter().zip(&manifest.tcp).enumerate() {
        all.push(asks("tcp", at, tcp.to_string(), &entry.reason));
    }
    for (at, (dir, entry)) in reach.dirs.iter().zip(&manifest.dir).enumerate() {
        all.push(asks("dir", at, dir.to_string(), &entry.reason));
    }
    for (at, (used, entry)) in reach.secrets.iter().zip(&manifest.secret).enumerate() {
        let optional = if entry.optional { ", optional" } else { "" };
        all.push(asks(
            "secret",
            at,
            format!("{used}{optional}"),
            &entry.reason,
        ));
    }
    for (capability, columns) in [("data.reads", &reach.reads), ("data.writes", &reach.writes)] {
        let names = columns.names();
        let what = match names.as_slice() {
            [] => continue,
            [every] if every == "*" => "EVERY COLUMN".to_owned(),
            names => visible(&names.join(", "), REASON_CHARS_MAX),
        };
        all.push(asks(capability, 0, what, ""));
    }
    let (memory, time) = ceilings(&manifest.limits);
    all.push(asks(
        "limits",
        0,
        format!("{memory} of memory, {time} a call"),
        "",
    ));
    all
}
