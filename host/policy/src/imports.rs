//! What a component imports, explained by its manifest: a component that reaches for what its manifest does not
//! ask for is told so before it runs. Reads names only; knows no wasm.

use serde::Serialize;
use sluice_model::guards::Guard;
use sluice_model::manifest::{Manifest, SecretPlace};

/// Every import of a component, explained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// In the component's order.
    pub imports: Vec<Import>,
}

impl ImportReport {
    /// The imports that keep the component from starting.
    pub fn unexplained(&self) -> impl Iterator<Item = &Import> {
        self.imports.iter().filter(|import| {
            Guard::ImportsExplained.bars(matches!(import.kind, ImportKind::Unexplained { .. }))
        })
    }
}

/// One import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Import {
    /// As the component names it: `wasi:cli/environment@0.2.6`.
    pub name: String,
    /// What it is linked to.
    #[serde(flatten)]
    pub kind: ImportKind,
}

impl Import {
    /// What to do about it, where something must be done.
    pub fn hint(&self) -> Option<&str> {
        match &self.kind {
            ImportKind::Unexplained { hint } => Some(hint),
            _ => None,
        }
    }
}

/// What an import is linked to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "linked", rename_all = "kebab-case")]
pub enum ImportKind {
    /// The real thing, because of this.
    Granted {
        /// What permits it, in the words of the manifest.
        by: String,
    },
    /// What a language's runtime imports without using it: no variables, no arguments, no directories.
    Empty,
    /// There, but each call is refused.
    Refusing,
    /// Nothing: the component does not start.
    Unexplained {
        /// What to do about it.
        hint: String,
    },
}

/// Explains each import of a component. Names are `package/interface@version`; a patch version never matters.
pub fn explain(manifest: &Manifest, imports: &[String]) -> ImportReport {
    let explained = |name: &String| Import {
        name: name.clone(),
        kind: kind(manifest, name),
    };
    ImportReport {
        imports: imports.iter().map(explained).collect(),
    }
}

fn kind(manifest: &Manifest, import: &str) -> ImportKind {
    let unexplained = |hint: &str| ImportKind::Unexplained {
        hint: hint.to_owned(),
    };
    let Some((name, version)) = import.split_once('@') else {
        return unexplained("the host links interfaces with a version only");
    };
    let (package, interface) = name.split_once('/').unwrap_or((name, ""));
    let spoken = match package.split_once(':') {
        Some(("wasi", _)) => (0, 2),
        Some(("sluice", "plugin")) => (0, 1),
        _ => return unexplained("the host has no such interface: build the plugin without it"),
    };
    let fits = |version: &semver::Version| {
        (version.major, version.minor) == spoken && version.pre.is_empty()
    };
    if !version.parse().is_ok_and(|version| fits(&version)) {
        return unexplained(&format!(
            "the host speaks `{package}@{}.{}`",
            spoken.0, spoken.1
        ));
    }
    match (package, interface) {
        ("sluice:plugin", "types" | "records" | "log") => ImportKind::Granted {
            by: "every plugin".to_owned(),
        },
        ("sluice:plugin", "files") if manifest.dir.is_empty() => unexplained(
            "add to the manifest:\n[[dir]]\npath = \"{config.dir}\"\nmode = \"read\"\nreason = \"…\"",
        ),
        ("sluice:plugin", "files") => ImportKind::Granted {
            by: "[[dir]]".to_owned(),
        },
        ("sluice:plugin", "net") if manifest.tcp.is_empty() => unexplained(
            "add to the manifest:\n[[tcp]]\nhost = \"{config.host}\"\nport = \"{config.port}\"\nreason = \"…\"",
        ),
        ("sluice:plugin", "net") => ImportKind::Granted {
            by: "[[tcp]]".to_owned(),
        },
        ("sluice:plugin", "secrets") if !reveals(manifest) => unexplained(
            "add to the manifest:\n[[secret]]\nname = \"password\"\nuse = \"reveal\"\nreason = \"…\"",
        ),
        ("sluice:plugin", "secrets") => ImportKind::Granted {
            by: "[[secret]] with use = \"reveal\"".to_owned(),
        },
        ("wasi:http", "types" | "outgoing-handler") if manifest.http.is_empty() => unexplained(
            "add to the manifest:\n[[http]]\nhost = \"api.acme.example\"\nmethods = [\"GET\"]\npaths = [\"/**\"]\nreason = \"…\"",
        ),
        ("wasi:http", "types" | "outgoing-handler") => ImportKind::Granted {
            by: "[[http]]".to_owned(),
        },
        ("wasi:cli" | "wasi:io" | "wasi:clocks" | "wasi:random" | "wasi:filesystem", _) => {
            ImportKind::Empty
        }
        ("wasi:sockets", _) => ImportKind::Refusing,
        _ => unexplained("the host has no such interface: build the plugin without it"),
    }
}

/// Whether the plugin is to see any secret itself.
pub fn reveals(manifest: &Manifest) -> bool {
    let mut places = manifest.secret.iter().map(|secret| &secret.place);
    places.any(|place| *place == SecretPlace::Reveal) || !manifest.unnamed.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = r#"
[plugin]
name = "acme/x"
version = "1.0.0"
interface = "sluice:plugin@0.1"
description = "x"
"#;
    const HTTP: &str = "[[http]]\nhost = \"api.acme.example\"\nreason = \"x\"\n";
    const TCP: &str = "[[tcp]]\nhost = \"db.acme.example\"\nport = 5432\nreason = \"x\"\n";
    const BEARER: &str = "[[secret]]\nname = \"a\"\nuse = \"bearer\"\nreason = \"x\"\n";
    const REVEAL: &str = "[[secret]]\nname = \"a\"\nuse = \"reveal\"\nreason = \"x\"\n";
    const DIR: &str = "[[dir]]\npath = \"in\"\nmode = \"read\"\nreason = \"x\"\n";

    fn linked(manifest: &str, import: &str) -> String {
        let manifest = Manifest::parse("m", &format!("{PLAIN}{manifest}")).expect("a manifest");
        let report = explain(&manifest, &[import.to_owned()]);
        let text = serde_json::to_value(&report.imports[0]).expect("json");
        assert_eq!(
            report.unexplained().count(),
            usize::from(text["linked"] == "unexplained")
        );
        text["linked"].as_str().expect("a word").to_owned()
    }

    #[test]
    fn each_import_is_explained() {
        for (manifest, import, expected) in [
            ("", "sluice:plugin/log@0.1.0", "granted"),
            ("", "sluice:plugin/records@0.1.7", "granted"),
            ("", "sluice:plugin/types@0.1.0", "granted"),
            (DIR, "sluice:plugin/files@0.1.0", "granted"),
            ("", "sluice:plugin/files@0.1.0", "unexplained"),
            (HTTP, "sluice:plugin/files@0.1.0", "unexplained"),
            (TCP, "sluice:plugin/net@0.1.0", "granted"),
            ("", "sluice:plugin/net@0.1.0", "unexplained"),
            (HTTP, "sluice:plugin/net@0.1.0", "unexplained"),
            (REVEAL, "sluice:plugin/secrets@0.1.0", "granted"),
            ("", "sluice:plugin/secrets@0.1.0", "unexplained"),
            (BEARER, "sluice:plugin/secrets@0.1.0", "unexplained"),
            (TCP, "wasi:sockets/tcp-create-socket@0.2.0", "refusing"),
            ("", "sluice:plugin/log@0.2.0", "unexplained"),
            ("", "sluice:plugin/log@1.1.0", "unexplained"),
            ("", "sluice:plugin/log", "unexplained"),
            (HTTP, "wasi:http/outgoing-handler@0.2.6", "granted"),
            (HTTP, "wasi:http/types@0.2.0", "granted"),
            (HTTP, "wasi:http/incoming-handler@0.2.0", "unexplained"),
            (DIR, "wasi:http/outgoing-handler@0.2.6", "unexplained"),
            ("", "wasi:cli/environment@0.2.3", "empty"),
            ("", "wasi:io/streams@0.2.99", "empty"),
            ("", "wasi:clocks/monotonic-clock@0.2.0", "empty"),
            ("", "wasi:random/random@0.2.0", "empty"),
            ("", "wasi:filesystem/preopens@0.2.0", "empty"),
            ("", "wasi:filesystem/preopens@0.3.0", "unexplained"),
            (
                "",
                "wasi:cli/environment@0.2.0-rc-2023-11-10",
                "unexplained",
            ),
            ("", "wasi:cli/environment@1.2.0", "unexplained"),
            ("", "wasi:sockets/tcp@0.2.0", "refusing"),
            ("", "wasi:keyvalue/store@0.2.0", "unexplained"),
            ("", "wasi:clipboard/x@0.2.0", "unexplained"),
            ("", "evil:cli/environment@0.2.0", "unexplained"),
            ("", "env", "unexplained"),
            ("", "@", "unexplained"),
            ("", "", "unexplained"),
        ] {
            assert_eq!(linked(manifest, import), expected, "{import} {manifest}");
        }
    }
}
