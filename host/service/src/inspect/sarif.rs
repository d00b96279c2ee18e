//! The page as SARIF 2.1.0 (OASIS), which code scanners read: one result for each finding of the scale.

use super::{Level, Page};
use serde_json::{Value, json};
use sluice_model::digest::Digest;
use sluice_policy::risk::{Finding, RULES, Rule};
use std::fmt::Write as _;

/// `level`, and GitHub's `security-severity` (0 to 10, as text).
fn grades(level: Level) -> (&'static str, &'static str) {
    match level {
        Level::High => ("error", "8.0"),
        Level::Medium => ("warning", "5.0"),
        Level::Low => ("note", "2.0"),
    }
}

/// The document. `file`: the component, as a path from wherever the report is read.
pub fn sarif(page: &Page, file: &str) -> Value {
    let uri = uri(file);
    let results: Vec<Value> = page
        .findings
        .iter()
        .map(|finding| result(page, finding, &uri))
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "sluice",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": RULES.iter().map(rule).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "artifacts": [{
                "location": { "uri": uri },
                "length": page.bytes,
                "hashes": { "sha-256": page.digest.hex() },
            }],
            "results": results,
            "properties": {
                "plugin": page.manifest.plugin.name,
                "version": page.manifest.plugin.version,
                "madeBy": page.made_by.words(),
            },
        }],
    })
}

fn rule(rule: &Rule) -> Value {
    let (level, severity) = grades(rule.level);
    json!({
        "id": rule.id,
        "shortDescription": { "text": rule.title },
        "fullDescription": { "text": rule.why },
        "help": { "text": rule.why },
        "defaultConfiguration": { "level": level },
        "properties": { "security-severity": severity, "tags": ["security", "capability"] },
    })
}

fn result(page: &Page, finding: &Finding, uri: &str) -> Value {
    let (level, _) = grades(finding.rule.level);
    let place = match finding.capability {
        "http" | "tcp" | "dir" | "secret" => format!("{}[{}]", finding.capability, finding.entry),
        other => other.to_owned(),
    };
    // The same finding of the next version is the same to a tracker: nothing of the bytes is in it.
    let same = format!(
        "{}\0{}\0{}",
        page.manifest.plugin.name, finding.rule.id, finding.subject
    );
    json!({
        "ruleId": finding.rule.id,
        "ruleIndex": RULES.iter().position(|rule| rule.id == finding.rule.id),
        "level": level,
        "message": { "text": format!(
            "{} {}: {} ({}: {})",
            page.manifest.plugin.name, page.manifest.plugin.version, finding.rule.title, finding.capability, finding.subject
        )},
        "locations": [{
            "physicalLocation": { "artifactLocation": { "uri": uri, "index": 0 } },
            "logicalLocations": [{ "fullyQualifiedName": place, "kind": "resource" }],
        }],
        "partialFingerprints": { "sluice/v1": Digest::of(same.as_bytes()).hex() },
    })
}

/// A path as a URI reference: all but what RFC 3986 lets stand is percent-encoded.
fn uri(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}
