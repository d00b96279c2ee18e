//! The grants of a deployment: the files of its grant folder. Exactly one may speak for a plugin in a pipeline.

use crate::audit::{Act, Action, Audit, named};
use crate::deployment::{Deployment, plain, read, shown};
use crate::{Error, plugins, settings};
use serde::Serialize;
use serde_json::Value;
use sluice_engine::Artifact;
use sluice_model::digest::Digest;
use sluice_model::grant::Grant;
use sluice_model::grant::ipnet_text::Network;
use sluice_model::ids::{PipelineName, PluginName, Role, SecretName};
use sluice_model::pipeline::Pipeline;
use sluice_model::tomlfile::FileError;
use std::path::{Path, PathBuf};

/// Digits that a digest must be named by: `a` is a digit, and no name of a grant to end.
const DIGEST_DIGITS_MIN: usize = 6;

/// A grant and its file.
#[derive(Debug, Clone, Serialize)]
pub struct Filed {
    /// As messages show it.
    pub file: String,
    /// Where it is.
    #[serde(skip)]
    pub path: PathBuf,
    /// What it says.
    #[serde(flatten)]
    pub grant: Grant,
}

/// Every grant, by file name. A folder that does not exist holds none.
pub fn all(deployment: &Deployment) -> Result<Vec<Filed>, FileError> {
    let folder = deployment.grants_dir();
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(FileError::new(shown(&folder), plain(&error))),
    };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    files.sort();
    files
        .iter()
        .map(|file| {
            let text = read(file)?;
            Ok(Filed {
                file: shown(file),
                path: file.clone(),
                grant: Grant::parse(&shown(file), &text)?,
            })
        })
        .collect()
}

/// Why no grant speaks for a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// There is none for it in this pipeline.
    None,
    /// There is one for it, but for other bytes: the plugin changed since it was granted.
    Changed {
        /// The grant's file.
        file: String,
        /// The digest it names.
        granted: Digest,
    },
    /// Two speak for it, and nobody could say which counts.
    Two(String, String),
}

/// The one grant for this component in this pipeline.
pub fn find<'a>(
    grants: &'a [Filed],
    plugin: &PluginName,
    digest: Digest,
    pipeline: &PipelineName,
) -> Result<&'a Filed, Missing> {
    let here = |filed: &&Filed| &filed.grant.grant.pipeline == pipeline;
    let mut exact = grants
        .iter()
        .filter(here)
        .filter(|filed| filed.grant.grant.digest == digest);
    match (exact.next(), exact.next()) {
        (Some(filed), None) => Ok(filed),
        (Some(one), Some(other)) => Err(Missing::Two(one.file.clone(), other.file.clone())),
        _ => Err(grants
            .iter()
            .filter(here)
            .find(|filed| &filed.grant.grant.plugin == plugin)
            .map_or(Missing::None, |filed| Missing::Changed {
                file: filed.file.clone(),
                granted: filed.grant.grant.digest,
            })),
    }
}

/// Where a new grant goes: one file for each plugin and pipeline.
pub fn file_for(deployment: &Deployment, plugin: &PluginName, pipeline: &PipelineName) -> PathBuf {
    deployment.grants_dir().join(format!(
        "{pipeline}.{}.toml",
        plugin.as_str().replace('/', "-")
    ))
}

/// A grant that was written, or would be.
#[derive(Debug, Clone, Serialize)]
pub struct Proposed {
    /// Where it goes.
    pub file: String,
    /// What it says.
    #[serde(flatten)]
    pub grant: Grant,
    /// As it stands in the file.
    #[serde(skip)]
    pub text: String,
    /// Whether it is there now; one that was there already, and says the same, is not written again.
    pub written: bool,
}

/// The grants that a pipeline needs and has not: all that its plugins ask for, with its settings filled in. With
/// `write` they are put into the grant folder, where a person can narrow them; a file that is there is never written
/// over.
pub fn propose(file: &Path, networks: &[Network], write: bool) -> Result<Vec<Proposed>, Error> {
    let deployment = Deployment::find(file.parent().unwrap_or(Path::new(".")))?;
    let text = read(file)?;
    let shown_file = shown(file);
    let pipeline = Pipeline::parse(&shown_file, &text)?;
    let granted = all(&deployment)?;
    let shelf = plugins::Shelf::default();
    let mut plugins: Vec<(Artifact, Vec<(Role, Value)>)> = Vec::new();
    let named = secrets(&pipeline);
    for (reference, role, config, pointer) in uses(&pipeline) {
        let artifact = plugins::resolve(&deployment, &shelf, reference).map_err(|missing| {
            let mut problem =
                FileError::new(&shown_file, missing.message).at_pointer(&text, &pointer);
            problem.hint = missing.hint;
            problem
        })?;
        let mut artifact = artifact.artifact;
        artifact.manifest = artifact
            .manifest
            .without_unnamed(|name| named.contains(&name));
        let with = (role, settings::json(config));
        match plugins
            .iter_mut()
            .find(|(known, _)| known.digest == artifact.digest)
        {
            Some((_, uses)) => uses.push(with),
            None => plugins.push((artifact, vec![with])),
        }
    }
    let name = &pipeline.pipeline.name;
    let mut proposed = Vec::new();
    for (artifact, uses) in plugins {
        let about = &artifact.manifest.plugin;
        if find(&granted, &about.name, artifact.digest, name).is_ok() {
            continue;
        }
        let uses: Vec<(Role, &Value)> = uses.iter().map(|(role, config)| (*role, config)).collect();
        let grant =
            sluice_policy::propose(&artifact.manifest, &uses, artifact.digest, name, networks)
                .map_err(|refused| {
                    let told = |refusal: &sluice_model::ports::Refusal| {
                        FileError::new(&shown_file, refusal.to_string())
                    };
                    Error::Wrong(refused.iter().map(told).collect())
                })?;
        let path = file_for(&deployment, &about.name, name);
        let text = toml::to_string(&grant).expect("a grant is plain data, which TOML holds");
        if write {
            put(&deployment, &path, &grant, &text)?;
        }
        proposed.push(Proposed {
            file: shown(&path),
            grant,
            text,
            written: write,
        });
    }
    Ok(proposed)
}

/// What cannot be audited is not granted.
fn put(deployment: &Deployment, path: &Path, grant: &Grant, text: &str) -> Result<(), Error> {
    let folder = deployment.grants_dir();
    let told = |path: &Path, error: &std::io::Error| {
        Error::wrong(FileError::new(shown(path), plain(error)))
    };
    std::fs::create_dir_all(&folder).map_err(|error| told(&folder, &error))?;
    if !path.exists() {
        let act = act_of(deployment, path, grant, Action::GrantWritten);
        Audit::open(deployment)?.act(act.with("grant-digest", Digest::of(text.as_bytes())))?;
    }
    let mut file = std::fs::File::create_new(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Error::wrong(
            FileError::new(
                shown(path),
                "this file is there, and grants another component of that name",
            )
            .hint("compare the two (`sluice grant show`), then remove it and run this again"),
        ),
        _ => told(path, &error),
    })?;
    std::io::Write::write_all(&mut file, text.as_bytes()).map_err(|error| told(path, &error))
}

/// Something done to this grant.
fn act_of(deployment: &Deployment, path: &Path, grant: &Grant, action: Action) -> Act {
    let about = &grant.grant;
    action
        .with("file", named(deployment, path))
        .with("pipeline", &about.pipeline)
        .with("plugin", format!("{} {}", about.plugin, about.version))
        .with("digest", about.digest)
}

/// The grants that `which` names: a file of the grant folder, a plugin, or the start of a digest.
pub fn matching(deployment: &Deployment, which: &str) -> Result<Vec<Filed>, Error> {
    let path = std::path::absolute(which).ok();
    let mut found = all(deployment)?;
    found.retain(|filed| {
        let about = &filed.grant.grant;
        let digest = which.trim_start_matches("sha256:");
        Some(&filed.path) == path.as_ref()
            || about.plugin.as_str() == which
            || (digest.len() >= DIGEST_DIGITS_MIN && about.digest.hex().starts_with(digest))
    });
    if found.is_empty() {
        let problem = FileError::new("grants", format!("nothing is granted to `{which}`"));
        return Err(problem.hint("`sluice grant list` shows all").into());
    }
    Ok(found)
}

/// Ends grants: their files are removed, once the trail says so. A run that has begun goes on as it began.
pub fn revoke(
    deployment: &Deployment,
    grants: &[Filed],
    reason: Option<&str>,
) -> Result<(), Error> {
    let audit = Audit::open(deployment)?;
    for filed in grants {
        let act = act_of(deployment, &filed.path, &filed.grant, Action::GrantRevoked);
        let text = read(&filed.path)?;
        let act = act.with("grant-digest", Digest::of(text.as_bytes()));
        audit.act(act.with_some("reason", reason))?;
        std::fs::remove_file(&filed.path)
            .map_err(|error| FileError::new(&filed.file, plain(&error)))?;
    }
    Ok(())
}

/// The plugins' own words for the secrets that a pipeline names.
fn secrets(pipeline: &Pipeline) -> Vec<&SecretName> {
    let transforms = pipeline.transform.iter().map(|stage| &stage.secrets);
    let sinks = pipeline.sink.iter().map(|stage| &stage.secrets);
    let all = [&pipeline.source.secrets]
        .into_iter()
        .chain(transforms)
        .chain(sinks);
    all.flat_map(|secrets| secrets.keys()).collect()
}

pub(crate) fn uses(pipeline: &Pipeline) -> Vec<(&str, Role, &toml::Value, String)> {
    let source = &pipeline.source;
    let mut uses = vec![(
        source.plugin.as_str(),
        Role::Source,
        &source.config,
        "/source/plugin".to_owned(),
    )];
    for (at, stage) in pipeline.transform.iter().enumerate() {
        uses.push((
            &stage.plugin,
            Role::Transform,
            &stage.config,
            format!("/transform/{at}/plugin"),
        ));
    }
    for (at, stage) in pipeline.sink.iter().enumerate() {
        uses.push((
            &stage.plugin,
            Role::Sink,
            &stage.config,
            format!("/sink/{at}/plugin"),
        ));
    }
    uses
}
