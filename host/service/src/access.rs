//! What the grants of a deployment come to: each with the manifest of its plugin, the settings of its pipeline and the
//! organisation's policy; and who can reach what, as one answer over all of them.
//!
//! Where the pipeline or the component of a grant is not to be had, the grant alone is taken, for that is the most it
//! could come to: an answer may say too much and never too little.

use crate::deployment::{Deployment, read, shown};
use crate::grants::{self, Filed};
use crate::plan::{Written, written};
use crate::plugins::{self, Shelf};
use crate::{Error, policy, settings};
use serde::Serialize;
use sluice_model::ids::{PipelineName, PluginName, Role, SecretName, StageId};
use sluice_model::pipeline::Pipeline;
use sluice_model::tomlfile::FileError;
use sluice_policy::{Effective, Organisation};
pub use sluice_policy::{Explained, Sought, SoughtError};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// What one grant comes to in one stage.
#[derive(Debug, Clone, Serialize)]
pub struct Access {
    /// The grant's file.
    pub file: String,
    /// The pipeline it is for.
    pub pipeline: PipelineName,
    /// The plugin it is for.
    pub plugin: PluginName,
    /// Its version.
    pub version: semver::Version,
    /// The stage; none where no pipeline file that can be read uses the plugin: by the grant alone.
    pub stage: Option<StageId>,
    /// Why the stage does not start; it can do nothing then.
    pub stopped: Vec<String>,
    /// What it may do.
    pub capabilities: Vec<Explained>,
    #[serde(skip)]
    able: Vec<Effective>,
    /// The plugin's words for secrets and the deployment's; none where no pipeline file says them.
    #[serde(skip)]
    secrets: Option<BTreeMap<SecretName, SecretName>>,
}

/// One stage that can reach what was sought.
#[derive(Debug, Clone, Serialize)]
pub struct Reaching {
    /// The pipeline.
    pub pipeline: PipelineName,
    /// The plugin.
    pub plugin: PluginName,
    /// Its version.
    pub version: semver::Version,
    /// The stage; none: by the grant alone.
    pub stage: Option<StageId>,
    /// How, a line a way.
    pub how: Vec<String>,
    /// The grant's file.
    pub file: String,
}

/// What every grant comes to.
pub fn all(deployment: &Deployment) -> Result<Vec<Access>, Error> {
    let policy = policy::read(deployment).map_err(Error::Wrong)?;
    let grants = grants::all(deployment)?;
    let pipelines = pipelines(deployment);
    let shelf = Shelf::default();
    let mut found = Vec::new();
    for filed in &grants {
        let stages = pipelines
            .iter()
            .filter(|pipeline| pipeline.pipeline.name == filed.grant.grant.pipeline)
            .flat_map(written)
            .filter_map(|stage| in_stage(deployment, &shelf, &policy, filed, &stage));
        let known = found.len();
        found.extend(stages);
        if found.len() == known {
            found.push(alone(deployment, &policy, filed));
        }
    }
    Ok(found)
}

/// Who can reach it.
pub fn reaching(deployment: &Deployment, sought: &Sought) -> Result<Vec<Reaching>, Error> {
    let reaching = all(deployment)?.into_iter().filter_map(|access| {
        let mut how: Vec<String> = Vec::new();
        for effective in &access.able {
            let more = effective.reaches(sought, access.secrets.as_ref());
            how.extend(
                more.into_iter()
                    .filter(|way| !how.contains(way))
                    .collect::<Vec<_>>(),
            );
        }
        (!how.is_empty()).then_some(Reaching {
            pipeline: access.pipeline,
            plugin: access.plugin,
            version: access.version,
            stage: access.stage,
            how,
            file: access.file,
        })
    });
    Ok(reaching.collect())
}

/// The pipeline files beside `sluice.toml`, in `pipelines/` and where the service has them, that can be read.
fn pipelines(deployment: &Deployment) -> Vec<Pipeline> {
    let mut found = Vec::new();
    let base = &deployment.base;
    let folders = [
        base.clone(),
        base.join("pipelines"),
        deployment.pipelines_dir(),
    ];
    for folder in BTreeSet::from(folders) {
        let Ok(entries) = std::fs::read_dir(folder) else {
            continue;
        };
        let mut files: Vec<_> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect();
        files.sort();
        found.extend(files.iter().filter_map(|file| pipeline(file)));
    }
    found
}

fn pipeline(file: &Path) -> Option<Pipeline> {
    let is_toml = file
        .extension()
        .is_some_and(|extension| extension == "toml");
    let text = is_toml.then(|| read(file).ok()).flatten()?;
    let is_pipeline =
        toml::from_str::<toml::Table>(&text).is_ok_and(|table| table.contains_key("pipeline"));
    if !is_pipeline {
        return None;
    }
    let read = Pipeline::parse(&shown(file), &text);
    read.map_err(|error| tracing::warn!(%error, "a pipeline file is left out"))
        .ok()
}

/// The stage, where it is of the component that the grant is for.
fn in_stage(
    deployment: &Deployment,
    shelf: &Shelf,
    policy: &Arc<Organisation>,
    filed: &Filed,
    written: &Written<'_>,
) -> Option<Access> {
    let about = &filed.grant.grant;
    let found = plugins::resolve(deployment, shelf, written.plugin).ok()?;
    if found.artifact.digest != about.digest {
        return None;
    }
    let manifest = found
        .artifact
        .manifest
        .without_unnamed(|name| written.secrets.contains_key(name));
    let built = Effective::build(
        &manifest,
        &filed.grant,
        written.id,
        &settings::json(written.config),
        &about.pipeline,
        &deployment.base,
    );
    let built = built.map_err(|missing| {
        let told = missing.iter().map(|one| one.refusal.to_string());
        told.collect()
    });
    Some(access(
        filed,
        Some(written.id),
        [ruled(built, policy)],
        Some(written.secrets.clone()),
    ))
}

/// What the grant comes to where nothing else is known of it.
fn alone(deployment: &Deployment, policy: &Arc<Organisation>, filed: &Filed) -> Access {
    let roles = [Role::Source, Role::Transform, Role::Sink].map(|role| {
        let built = Effective::of_grant_alone(&filed.grant, role, &deployment.base);
        let built = built.map_err(|missing| {
            let told = missing.iter().map(|one| one.refusal.to_string());
            told.collect()
        });
        ruled(built, policy)
    });
    let mut access = access(filed, None, roles, None);
    // A part that can do nothing with it says nothing of what another part can.
    let idle = |line: &Explained| line.left.is_empty();
    let busy: Vec<&'static str> = access
        .capabilities
        .iter()
        .filter(|line| !idle(line))
        .map(|line| line.capability)
        .collect();
    access
        .capabilities
        .retain(|line| !idle(line) || !busy.contains(&line.capability));
    for line in &mut access.capabilities {
        line.asked.clear();
        line.narrowed_by.retain(|by| *by == "policy");
    }
    access
}

fn ruled(
    built: Result<Effective, Vec<String>>,
    policy: &Arc<Organisation>,
) -> Result<Effective, Vec<String>> {
    built?.under(Arc::clone(policy)).map_err(|forbidden| {
        let told = forbidden
            .iter()
            .map(|one| format!("{}:{}: {}", one.file, one.line, one.refusal));
        told.collect()
    })
}

fn access(
    filed: &Filed,
    stage: Option<StageId>,
    built: impl IntoIterator<Item = Result<Effective, Vec<String>>>,
    secrets: Option<BTreeMap<SecretName, SecretName>>,
) -> Access {
    let about = &filed.grant.grant;
    let mut access = Access {
        file: filed.file.clone(),
        pipeline: about.pipeline.clone(),
        plugin: about.plugin.clone(),
        version: about.version.clone(),
        stage,
        stopped: Vec::new(),
        capabilities: Vec::new(),
        able: Vec::new(),
        secrets,
    };
    for one in built {
        match one {
            Ok(effective) => {
                for line in effective.explained() {
                    if !access.capabilities.contains(&line) {
                        access.capabilities.push(line);
                    }
                }
                access.able.push(effective);
            }
            Err(stopped) => {
                let new = stopped
                    .into_iter()
                    .filter(|line| !access.stopped.contains(line));
                let new: Vec<String> = new.collect();
                access.stopped.extend(new);
            }
        }
    }
    access
}

/// The accesses of one plugin, by its name or the start of its digest, as `sluice grant show` takes it.
pub fn of_plugin(deployment: &Deployment, plugin: &str) -> Result<Vec<Access>, Error> {
    let files: Vec<String> = grants::matching(deployment, plugin)?
        .into_iter()
        .map(|filed| filed.file)
        .collect();
    let mut found = all(deployment)?;
    found.retain(|access| files.contains(&access.file));
    Ok(found)
}

/// Something to seek, as it was typed.
pub fn sought(text: &str) -> Result<Sought, Error> {
    text.parse().map_err(|error: SoughtError| {
        let wrong = FileError::new("arguments", error.to_string());
        Error::wrong(wrong.hint("`--reach host:api.acme.example`"))
    })
}
