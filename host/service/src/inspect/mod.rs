//! One plugin on one page: who it is and who vouches for it, what it asks for and why and how far that goes, what its
//! imports say beyond that, how it runs and what it was made of. As text and JSON (the command line's to print), as
//! SARIF and as HTML.

mod html;
mod sarif;

pub use html::html;
pub use sarif::sarif;

use crate::Error;
use crate::deployment::{plain, shown};
use crate::plugins::NotFound;
use crate::signing::Standing;
use serde::Serialize;
use serde_json::Value;
pub use sluice_engine::Origin;
use sluice_engine::{Artifact, origin};
use sluice_model::digest::Digest;
use sluice_model::ids::Role;
use sluice_model::manifest::Manifest;
use sluice_model::tomlfile::FileError;
use sluice_model::visible::visible;
pub use sluice_policy::asks::Asks;
use sluice_policy::asks::asks;
use sluice_policy::diff::{Change, Side, is_wider};
use sluice_policy::imports::explain;
pub use sluice_policy::imports::{Import, ImportKind};
use sluice_policy::risk::{Facts, assess};
pub use sluice_policy::risk::{Finding, Level};
use std::path::Path;

/// What a setting is for, as it is repeated.
const DESCRIPTION_CHARS_MAX: usize = 500;

/// What `sluice plugin inspect` shows.
#[derive(Debug, Clone, Serialize)]
pub struct Page {
    /// Of the whole component, manifest included.
    pub digest: Digest,
    /// Its size.
    pub bytes: usize,
    /// Who vouches for it.
    pub made_by: MadeBy,
    /// The parts it can play.
    pub roles: Vec<Role>,
    /// What it asks for.
    pub manifest: Manifest,
    /// The same in words, with how far each goes.
    pub asks: Vec<Asks>,
    /// Every finding of the scale, what goes furthest first.
    pub findings: Vec<Finding>,
    /// Each import, and what becomes of it.
    pub imports: Vec<Import>,
    /// Its settings.
    pub settings: Vec<Setting>,
    /// What it says it was made of.
    pub origin: Origin,
}

/// Who vouches for it, as far as this deployment is concerned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum MadeBy {
    /// It may run; whether somebody vouches for it, this says.
    Known(Standing),
    /// It may not.
    Refused {
        /// Always `refused`.
        standing: &'static str,
        /// Why.
        message: String,
        /// The next step.
        hint: Option<String>,
    },
}

impl MadeBy {
    /// From what was decided.
    pub fn of(judged: Result<Standing, NotFound>) -> Self {
        match judged {
            Ok(standing) => Self::Known(standing),
            Err(NotFound { message, hint }) => Self::Refused {
                standing: "refused",
                message,
                hint,
            },
        }
    }

    /// One line about it, for people. What nobody vouches for is in capitals.
    pub fn words(&self) -> String {
        match self {
            Self::Known(Standing::Signed {
                key,
                vendor,
                created,
                not_after,
            }) => {
                format!(
                    "signed by {key} (trusted for {vendor}) on {created}, good until {not_after}"
                )
            }
            Self::Known(Standing::Unknown { key }) => {
                format!(
                    "UNSIGNED as far as this deployment knows: signed by {key}, which it does not trust"
                )
            }
            Self::Known(Standing::Unsigned) => "UNSIGNED: nobody vouches for it".to_owned(),
            Self::Refused { message, .. } => {
                format!("REFUSED: {}", visible(message, DESCRIPTION_CHARS_MAX))
            }
        }
    }
}

/// One setting of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// Whether there must be one.
    pub required: bool,
    /// What it takes: `string`, `one of "a", "b"`; empty where its schema is not that plain.
    pub takes: String,
    /// What it is for, in the vendor's words.
    pub description: String,
}

/// The page of this plugin.
pub fn page(artifact: &Artifact, judged: Result<Standing, NotFound>) -> Page {
    let imports = explain(&artifact.manifest, &artifact.imports).imports;
    let origin = origin(&artifact.bytes);
    let findings = assess(&Facts {
        manifest: &artifact.manifest,
        imports: &imports,
        roles: &artifact.roles,
        made_by: judged.as_ref().ok(),
        lists_dependencies: origin.dependencies.is_some(),
    });
    Page {
        digest: artifact.digest,
        bytes: artifact.bytes.len(),
        made_by: MadeBy::of(judged),
        roles: artifact.roles.clone(),
        asks: asks(&artifact.manifest, &findings),
        findings,
        imports,
        manifest: artifact.manifest.clone(),
        settings: artifact
            .config_schema
            .as_ref()
            .map(settings)
            .unwrap_or_default(),
        origin,
    }
}

impl Page {
    /// How many findings there are of each level, the highest first.
    pub fn counts(&self) -> [(Level, usize); 3] {
        [Level::High, Level::Medium, Level::Low].map(|level| {
            let of = |finding: &&Finding| finding.rule.level == level;
            (level, self.findings.iter().filter(of).count())
        })
    }
}

/// Writes the page as one HTML file.
pub fn write_html(page: &Page, file: &Path) -> Result<(), Error> {
    std::fs::write(file, html(page))
        .map_err(|error| FileError::new(shown(file), plain(&error)).into())
}

/// What `sluice plugin diff` shows.
#[derive(Debug, Clone, Serialize)]
pub struct Diff {
    /// The older component.
    pub old: Compared,
    /// The newer.
    pub new: Compared,
    /// Whether the newer asks for more.
    pub wider: bool,
    /// Everything that differs, what is wider first.
    pub changes: Vec<Change>,
}

/// One side of a comparison.
#[derive(Debug, Clone, Serialize)]
pub struct Compared {
    /// Its name.
    pub name: sluice_model::ids::PluginName,
    /// Its version.
    pub version: semver::Version,
    /// Its digest.
    pub digest: Digest,
}

/// What the newer asks that the older did not, and the other way.
pub fn diff(old: &Artifact, new: &Artifact) -> Diff {
    let compared = |artifact: &Artifact| Compared {
        name: artifact.manifest.plugin.name.clone(),
        version: artifact.manifest.plugin.version.clone(),
        digest: artifact.digest,
    };
    let changes = sluice_policy::diff::diff(&side(old), &side(new));
    Diff {
        old: compared(old),
        new: compared(new),
        wider: is_wider(&changes),
        changes,
    }
}

fn side(artifact: &Artifact) -> Side<'_> {
    Side {
        manifest: &artifact.manifest,
        imports: &artifact.imports,
        roles: &artifact.roles,
        config_schema: artifact.config_schema.as_ref(),
    }
}

fn settings(schema: &Value) -> Vec<Setting> {
    let required: Vec<&str> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let properties = schema["properties"].as_object().into_iter().flatten();
    properties
        .map(|(name, about)| Setting {
            name: visible(name, DESCRIPTION_CHARS_MAX),
            required: required.contains(&name.as_str()),
            takes: visible(&takes(about), DESCRIPTION_CHARS_MAX),
            description: visible(
                about["description"].as_str().unwrap_or_default(),
                DESCRIPTION_CHARS_MAX,
            ),
        })
        .collect()
}

fn takes(about: &Value) -> String {
    if let Some(values) = about["enum"].as_array() {
        let values: Vec<String> = values.iter().map(ToString::to_string).collect();
        return format!("one of {}", values.join(", "));
    }
    about["type"].as_str().unwrap_or_default().to_owned()
}
