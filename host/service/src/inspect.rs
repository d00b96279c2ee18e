//! One plugin on one page: who it is, what it asks for and why, what its imports say beyond that, how it runs.

use serde::Serialize;
use serde_json::Value;
use sluice_engine::Artifact;
use sluice_model::digest::Digest;
use sluice_model::ids::Role;
use sluice_model::manifest::Manifest;
use sluice_policy::imports::explain;
pub use sluice_policy::imports::{Import, ImportKind};

/// What `sluice plugin inspect` shows.
#[derive(Debug, Clone, Serialize)]
pub struct Page {
    /// Of the whole component, manifest included.
    pub digest: Digest,
    /// Its size.
    pub bytes: usize,
    /// The parts it can play.
    pub roles: Vec<Role>,
    /// What it asks for.
    pub manifest: Manifest,
    /// Each import, and what becomes of it.
    pub imports: Vec<Import>,
    /// Its settings.
    pub settings: Vec<Setting>,
}

/// One setting of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// Whether there must be one.
    pub required: bool,
    /// What it is for, in the vendor's words.
    pub description: String,
}

/// The page of this plugin.
pub fn page(artifact: &Artifact) -> Page {
    Page {
        digest: artifact.digest,
        bytes: artifact.bytes.len(),
        roles: artifact.roles.clone(),
        imports: explain(&artifact.manifest, &artifact.imports).imports,
        manifest: artifact.manifest.clone(),
        settings: artifact
            .config_schema
            .as_ref()
            .map(settings)
            .unwrap_or_default(),
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
            name: name.clone(),
            required: required.contains(&name.as_str()),
            description: about["description"].as_str().unwrap_or_default().to_owned(),
        })
        .collect()
}
