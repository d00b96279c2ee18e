//! The grants of a deployment: the files of its grant folder. Exactly one may speak for a plugin in a pipeline.

use crate::audit::{Act, Action, Audit, named};
use crate::deployment::{Deployment, plain, read, shown};
use crate::plan::told_by_policy;
use crate::renew::{self, Asker, Renewal};
use crate::signing::{Standing, Trusting};
use crate::{Error, durable, own, plugins, policy, settings};
use serde::Serialize;
use serde_json::Value;
use sluice_engine::Artifact;
use sluice_model::digest::Digest;
use sluice_model::grant::Grant;
use sluice_model::grant::ipnet_text::Network;
use sluice_model::guards::Guard;
use sluice_model::ids::{PipelineName, PluginName, Role, SecretName, StageId};
use sluice_model::manifest::Manifest;
use sluice_model::pipeline::Pipeline;
use sluice_model::tomlfile::FileError;
use sluice_policy::{Effective, Organisation};
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
    /// Of the text that was parsed: the file may be another by now.
    #[serde(skip)]
    pub digest: Digest,
    /// What it says.
    #[serde(flatten)]
    pub grant: Grant,
}

/// What is wrong with the files that a grant's `ca` names: told before a run, not by its first request.
pub fn unreadable_authorities(filed: &Filed, base: &Path) -> Vec<FileError> {
    let named = filed
        .grant
        .http
        .iter()
        .filter_map(|entry| entry.ca.as_ref());
    let named = named.chain(filed.grant.tcp.iter().filter_map(|entry| entry.ca.as_ref()));
    let named = named.chain(
        filed
            .grant
            .secret
            .iter()
            .filter_map(|entry| entry.ca.as_ref()),
    );
    let wrong = named.filter_map(|file| sluice_egress::read_authority(&base.join(file)).err());
    wrong
        .map(|message| FileError::new(&filed.file, message))
        .collect()
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
                digest: Digest::of(text.as_bytes()),
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
    let mut exact = grants.iter().filter(here).filter(|filed| {
        let about = &filed.grant.grant;
        about.digest == digest || (&about.plugin == plugin && !Guard::GrantDigest.stands())
    });
    match (exact.next(), exact.next()) {
        (Some(filed), other) if Guard::GrantOnce.holds(other.is_none()) => Ok(filed),
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
    /// What of it the organisation's policy forbids, or is the host's own: with this, it would not start.
    pub forbidden: Vec<FileError>,
    /// What is known of who made the plugin.
    pub made_by: Standing,
    /// Where the plugin changed since it was granted: how its grant is carried over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renews: Option<Renewal>,
}

impl Proposed {
    /// Whether it was held back: it would widen what was granted, and nobody said that it may.
    pub fn is_held_back(&self) -> bool {
        !self.written && self.renews.as_ref().is_some_and(Renewal::is_wider)
    }
}

/// How grants are proposed.
#[derive(Debug, Clone, Copy, Default)]
pub struct How<'a> {
    /// Networks outside the public internet that the hosts asked for may be in.
    pub networks: &'a [Network],
    /// Whether what a newer plugin asks beyond its older grant is granted too.
    pub widen: bool,
    /// Whether they are written.
    pub write: bool,
}

/// The grants that a pipeline needs and has not: all that its plugins ask for, with its settings filled in. Written,
/// they are put into the grant folder, where a person can narrow them. A file that is there is written over only where
/// it grants an older component of the same plugin, and then it stays as narrow as it was unless widening is said.
pub fn propose(file: &Path, how: How<'_>) -> Result<Vec<Proposed>, Error> {
    let deployment = Deployment::find(file.parent().unwrap_or(Path::new(".")))?;
    let text = read(file)?;
    let shown_file = shown(file);
    let pipeline = Pipeline::parse(&shown_file, &text)?;
    let granted = all(&deployment)?;
    let policy = policy::read(&deployment).map_err(Error::Wrong)?;
    let trusting = Trusting::of(&deployment)?;
    let shelf = plugins::Shelf::default();
    let mut plugins: Vec<Asking> = Vec::new();
    let secrets = secrets(&pipeline);
    let named = |name: &SecretName| secrets.contains(&name);
    for (reference, role, config, pointer) in uses(&pipeline) {
        let resolved = plugins::resolve(&deployment, &shelf, reference).and_then(|found| {
            let made_by = trusting.judge(&found.file, &found.artifact)?;
            Ok((found.artifact, made_by))
        });
        let (mut artifact, made_by) = resolved.map_err(|missing| {
            let mut problem =
                FileError::new(&shown_file, missing.message).at_pointer(&text, &pointer);
            problem.hint = missing.hint;
            problem
        })?;
        artifact.manifest = artifact.manifest.without_unnamed(named);
        let with = (role, settings::json(config));
        match plugins
            .iter_mut()
            .find(|known| known.artifact.digest == artifact.digest)
        {
            Some(known) => known.uses.push(with),
            None => plugins.push(Asking {
                artifact,
                made_by,
                uses: vec![with],
            }),
        }
    }
    let name = &pipeline.pipeline.name;
    let mut proposed = Vec::new();
    for asking in &plugins {
        let about = &asking.artifact.manifest.plugin;
        let uses: Vec<(Role, &Value)> = asking
            .uses
            .iter()
            .map(|(role, config)| (*role, config))
            .collect();
        let asker = Asker {
            artifact: &asking.artifact,
            manifest: &asking.artifact.manifest,
            uses: &uses,
            networks: how.networks,
            named: &named,
        };
        let refused = |refused: Vec<sluice_model::ports::Refusal>| {
            let told = |refusal: &sluice_model::ports::Refusal| {
                FileError::new(&shown_file, refusal.to_string())
            };
            Error::Wrong(refused.iter().map(told).collect())
        };
        let mut one = match find(&granted, &about.name, asking.artifact.digest, name) {
            Ok(_) => continue,
            Err(Missing::Two(one, other)) => {
                let message = format!(
                    "`{}` has two grants in this pipeline, `{one}` and `{other}`",
                    about.name
                );
                return Err(FileError::new(&shown_file, message)
                    .hint("keep the one that is meant")
                    .into());
            }
            Err(Missing::Changed { file, .. }) => {
                let old = granted.iter().find(|filed| filed.file == file);
                let old = old.expect("the file was named because it is among them");
                renewed(&deployment, &shelf, old, asking, &asker, how).map_err(
                    |error| match error {
                        Renewing::Refused(wrong) => refused(wrong),
                        Renewing::Failed(error) => error,
                    },
                )?
            }
            Err(Missing::None) => {
                let grant = sluice_policy::propose(
                    asker.manifest,
                    &uses,
                    asking.artifact.digest,
                    name,
                    how.networks,
                )
                .map_err(refused)?;
                let path = file_for(&deployment, &about.name, name);
                let text =
                    toml::to_string(&grant).expect("a grant is plain data, which TOML holds");
                Proposed {
                    file: shown(&path),
                    grant,
                    text,
                    written: how.write,
                    forbidden: Vec::new(),
                    made_by: asking.made_by.clone(),
                    renews: None,
                }
            }
        };
        one.forbidden = forbidden(&deployment, &policy, asker.manifest, &uses, &one.grant);
        proposed.push((one, &asking.artifact));
    }
    // All or none: half a pipeline's grants would only be found out about when it does not start.
    let forbidden = proposed.iter().flat_map(|(grant, _)| &grant.forbidden);
    let forbidden: Vec<FileError> = forbidden.cloned().collect();
    if how.write && !forbidden.is_empty() {
        return Err(Error::Wrong(forbidden));
    }
    for (grant, artifact) in proposed.iter().filter(|(grant, _)| grant.written) {
        if grant.renews.is_some() {
            replace(&deployment, grant)?;
        } else {
            let path = file_for(&deployment, &grant.grant.grant.plugin, name);
            put(&deployment, &path, &grant.grant, &grant.text)?;
        }
        renew::keep_asked(&deployment, artifact)?;
    }
    Ok(proposed.into_iter().map(|(grant, _)| grant).collect())
}

/// What the policy forbids of a grant, in each of these roles, and what is the host's own.
fn forbidden(
    deployment: &Deployment,
    policy: &Arc<Organisation>,
    manifest: &Manifest,
    uses: &[(Role, &Value)],
    grant: &Grant,
) -> Vec<FileError> {
    let mut found: Vec<FileError> = Vec::new();
    let own = Arc::new(own::own(deployment));
    for (role, config) in uses {
        let stage = StageId {
            role: *role,
            index: 0,
        };
        let pipeline = &grant.grant.pipeline;
        let built = Effective::build(manifest, grant, stage, config, pipeline, &deployment.base);
        // What is wrong with the manifest or the settings was told when the grant was made of them.
        let Ok(built) = built else { continue };
        let built = built.apart_from(Arc::clone(&own));
        let name = &manifest.plugin.name;
        let file = shown(&file_for(deployment, name, pipeline));
        for refusal in own::touched(&built, &deployment.base) {
            let mut told = FileError::new(&file, format!("{name} (as {role}): {}", refusal.reason));
            told.hint = refusal.hint;
            if !found.contains(&told) {
                found.push(told);
            }
        }
        let forbidden = built.under(Arc::clone(policy)).err().unwrap_or_default();
        for one in &forbidden {
            let told = told_by_policy(one, name, role);
            if !found.contains(&told) {
                found.push(told);
            }
        }
    }
    found
}

/// A plugin of the pipeline, and each use of it there.
struct Asking {
    artifact: Artifact,
    made_by: Standing,
    uses: Vec<(Role, Value)>,
}

enum Renewing {
    Refused(Vec<sluice_model::ports::Refusal>),
    Failed(Error),
}

/// The grant of an older component, carried over in its own file.
fn renewed(
    deployment: &Deployment,
    shelf: &plugins::Shelf,
    old: &Filed,
    asking: &Asking,
    asker: &Asker<'_>,
    how: How<'_>,
) -> Result<Proposed, Renewing> {
    let failed = |error: FileError| Renewing::Failed(error.into());
    let renewal = renew::renewal(deployment, shelf, &old.grant, asker, how.widen)
        .map_err(Renewing::Refused)?;
    let path = Path::new(&old.file);
    let before = read(path).map_err(failed)?;
    let grant = renewal.upgrade.grant.clone();
    let text = renew::rewritten(&before, old, &grant);
    Ok(Proposed {
        file: old.file.clone(),
        grant,
        text,
        written: how.write && (how.widen || !renewal.is_wider()),
        forbidden: Vec::new(),
        made_by: asking.made_by.clone(),
        renews: Some(renewal),
    })
}

/// Whole, in the place of what was there. What cannot be audited is not granted.
fn replace(deployment: &Deployment, proposed: &Proposed) -> Result<(), Error> {
    let path = Path::new(&proposed.file);
    let told = |error: std::io::Error| Error::wrong(FileError::new(shown(path), plain(&error)));
    let act = act_of(deployment, path, &proposed.grant, Action::GrantWritten);
    let digest = Digest::of(proposed.text.as_bytes());
    Audit::open(deployment)?.act(act.with("grant-digest", digest))?;
    durable::replace(path, proposed.text.as_bytes()).map_err(told)
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
    durable::create(path, text.as_bytes()).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Error::wrong(
            FileError::new(shown(path), "this file is there, and grants something else").hint(
                "see what it grants (`sluice grant show`); rename or remove it, and run this again",
            ),
        ),
        _ => told(path, &error),
    })
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
    if Guard::GrantMatched.bars(found.is_empty()) {
        let problem = FileError::new("grants", format!("nothing is granted to `{which}`"));
        return Err(problem.hint("`sluice grant list` shows all").into());
    }
    Ok(found)
}

/// Ends grants: their files are removed, once the trail says so. A run that has begun goes on as it began, but for a service's: that is drained.
pub fn revoke(
    deployment: &Deployment,
    grants: &[Filed],
    reason: Option<&str>,
) -> Result<(), Error> {
    let audit = Audit::open(deployment)?;
    for filed in grants {
        let act = act_of(deployment, &filed.path, &filed.grant, Action::GrantRevoked);
        let act = act.with("grant-digest", filed.digest);
        audit.act(act.with_some("reason", reason))?;
        durable::remove(&filed.path).map_err(|error| FileError::new(&filed.file, plain(&error)))?;
    }
    Ok(())
}

/// The plugins' own words for the secrets that a pipeline names.
fn secrets(pipeline: &Pipeline) -> Vec<&SecretName> {
    let transforms = pipeline.transform.iter().map(|stage| &stage.secrets);
    let sinks = pipeline.sink.iter().map(|stage| &stage.secrets);
    let source = std::iter::once(&pipeline.source.secrets);
    let all = source.chain(transforms).chain(sinks);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_grants_for_one_plugin_are_none() {
        let digest = Digest::of(b"x");
        let text = format!(
            "[grant]\nplugin = \"acme/crm\"\nversion = \"1.0.0\"\ndigest = \"{digest}\"\npipeline = \"people\"\n"
        );
        let filed = |file: &str| Filed {
            file: file.to_owned(),
            path: file.into(),
            digest: Digest::of(text.as_bytes()),
            grant: Grant::parse(file, &text).unwrap(),
        };
        let (plugin, pipeline) = ("acme/crm".parse().unwrap(), "people".parse().unwrap());
        let both = [filed("one.toml"), filed("two.toml")];
        let one = find(&both[..1], &plugin, digest, &pipeline).unwrap();
        assert_eq!(one.file, "one.toml");
        let two = Missing::Two("one.toml".to_owned(), "two.toml".to_owned());
        let missing = find(&both, &plugin, digest, &pipeline).unwrap_err();
        assert_eq!(missing, two);
    }
}
