//! A recorded run: what each plugin did of what it was granted, so that a tighter grant can be proposed from it.
//! Recording permits nothing: the run is under the grants there are.

use crate::Error;
use crate::audit::{Action, Audit, named};
use crate::deployment::{Deployment, plain, read, shown};
use crate::grants::{self, Filed};
use crate::plan::Plan;
use crate::{plugins, settings};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sluice_model::digest::Digest;
use sluice_model::grant::Grant;
use sluice_model::guards::Guard;
use sluice_model::ids::{PipelineName, PluginName, Role, StageId};
use sluice_model::limits::TRIAL_NAMES_MAX;
use sluice_model::pipeline::Pipeline;
use sluice_model::ports::{Body, HttpDoor, HttpError, HttpTimeouts, Used};
use sluice_model::tomlfile::FileError;
use sluice_policy::learn::{Trial, narrow_grant, narrow_manifest};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// What `sluice run --record` writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The pipeline.
    pub pipeline: PipelineName,
    /// Its plugins.
    pub plugins: Vec<PluginRecord>,
}

/// What one plugin did, in all the parts it played.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginRecord {
    /// Its name.
    pub plugin: PluginName,
    /// The component.
    pub digest: Digest,
    /// What it did.
    #[serde(flatten)]
    pub trial: Trial,
}

/// What is recorded while a run goes.
#[derive(Debug, Default)]
pub struct Recorder(Mutex<BTreeMap<StageId, Trial>>);

impl Recorder {
    fn with(&self, stage: StageId, tell: impl FnOnce(&mut Trial)) {
        let mut trials = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tell(trials.entry(stage).or_default());
    }

    /// A plugin used something; requests are recorded by [`Recorder::door`], which knows their paths.
    pub fn used(&self, stage: StageId, used: &Used<'_>) {
        self.with(stage, |trial| {
            let names = trial.used.entry(used.capability.to_owned()).or_default();
            if names.len() < Guard::TrialNames.limit(TRIAL_NAMES_MAX) {
                names.insert(used.name.to_owned());
            }
        });
    }

    /// The same door, whose requests are recorded where they were let through.
    pub fn door(self: &Arc<Self>, stage: StageId, door: Arc<dyn HttpDoor>) -> Arc<dyn HttpDoor> {
        Arc::new(Recording {
            recorder: Arc::clone(self),
            stage,
            door,
        })
    }

    /// What was recorded.
    pub fn record(&self, plan: &Plan) -> Record {
        let trials = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut plugins: Vec<PluginRecord> = Vec::new();
        for stage in plan.stages() {
            let digest = stage.artifact.digest;
            let at = plugins
                .iter()
                .position(|known| known.digest == digest)
                .unwrap_or_else(|| {
                    plugins.push(PluginRecord {
                        plugin: stage.artifact.manifest.plugin.name.clone(),
                        digest,
                        trial: Trial::default(),
                    });
                    plugins.len() - 1
                });
            let Some(trial) = trials.get(&stage.id) else {
                continue;
            };
            let sum = &mut plugins[at].trial;
            sum.requests.extend(trial.requests.iter().cloned());
            sum.requests_cut |= trial.requests_cut;
            for (capability, names) in &trial.used {
                sum.used
                    .entry(capability.clone())
                    .or_default()
                    .extend(names.iter().cloned());
            }
        }
        Record {
            pipeline: plan.name().clone(),
            plugins,
        }
    }
}

struct Recording {
    recorder: Arc<Recorder>,
    stage: StageId,
    door: Arc<dyn HttpDoor>,
}

#[async_trait]
impl HttpDoor for Recording {
    async fn send(
        &self,
        request: http::Request<Body>,
        timeouts: HttpTimeouts,
    ) -> Result<http::Response<Body>, HttpError> {
        let uri = request.uri();
        let authority = uri.authority().map_or("", http::uri::Authority::as_str);
        let url = format!(
            "{}://{authority}{}",
            uri.scheme_str().unwrap_or_default(),
            uri.path()
        );
        let method = request.method().to_string();
        let answer = self.door.send(request, timeouts).await;
        if !matches!(answer, Err(HttpError::Denied(_))) {
            self.recorder.with(self.stage, |trial| {
                if trial.requests.len() < Guard::TrialNames.limit(TRIAL_NAMES_MAX) {
                    trial.requests.insert((method, url));
                } else {
                    trial.requests_cut |= !trial.requests.contains(&(method, url));
                }
            });
        }
        answer
    }
}

/// Writes a record, whole or not at all.
pub fn write(record: &Record, file: &Path) -> Result<(), Error> {
    let text =
        serde_json::to_string_pretty(record).expect("a record is plain data, which JSON holds");
    put(file, &text)
}

fn put(file: &Path, text: &str) -> Result<(), Error> {
    let written = crate::durable::replace(file, text.as_bytes());
    written.map_err(|error| FileError::new(shown(file), plain(&error)).into())
}

/// A tighter grant, and the manifest that would ask for no more.
#[derive(Debug, Clone, Serialize)]
pub struct Learnt {
    /// The grant's file.
    pub file: String,
    /// The grant there is permits no more than this already.
    pub same: bool,
    /// The grant, narrowed.
    #[serde(flatten)]
    pub grant: Grant,
    /// As it would stand in its file.
    #[serde(skip)]
    pub text: String,
    /// What the vendor would have to ask for, as it would stand in the manifest; none where that is all it asks for.
    pub manifest: Option<String>,
    /// Whether it is there now.
    pub written: bool,
}

/// The tightest grants that a recorded run would have needed; with `replace` they take the place of those there are.
pub fn learn(file: &Path, record: &Path, replace: bool) -> Result<Vec<Learnt>, Error> {
    let deployment = Deployment::find(file.parent().unwrap_or(Path::new(".")))?;
    let (shown_file, text) = (shown(file), read(file)?);
    let pipeline = Pipeline::parse(&shown_file, &text)?;
    let recorded: Record = serde_json::from_str(&read(record)?).map_err(|error| {
        FileError::new(shown(record), format!("not a record of a run: {error}"))
    })?;
    if recorded.pipeline != pipeline.pipeline.name {
        let other = format!("it is of pipeline `{}`", recorded.pipeline);
        return Err(FileError::new(shown(record), other).into());
    }
    let granted = grants::all(&deployment)?;
    let mut learnt = Vec::new();
    for plugin in &recorded.plugins {
        let found = grants::find(&granted, &plugin.plugin, plugin.digest, &recorded.pipeline);
        let filed = found.map_err(|_| {
            let problem = format!(
                "`{}` is granted nothing any more as it was when this was recorded",
                plugin.plugin
            );
            FileError::new(shown(record), problem).hint("record a run again")
        })?;
        let manifest = manifest(&deployment, &pipeline, plugin);
        learnt.push(one(&deployment, filed, plugin, manifest, replace)?);
    }
    Ok(learnt)
}

fn one(
    deployment: &Deployment,
    filed: &Filed,
    plugin: &PluginRecord,
    manifest: Option<String>,
    replace: bool,
) -> Result<Learnt, Error> {
    let grant = narrow_grant(&filed.grant, &plugin.trial);
    let text = toml::to_string(&grant).expect("a grant is plain data, which TOML holds");
    let same = grant == filed.grant;
    if replace && !same {
        let about = &grant.grant;
        let act = Action::GrantWritten
            .with("file", named(deployment, &filed.path))
            .with("pipeline", &about.pipeline)
            .with("plugin", format!("{} {}", about.plugin, about.version))
            .with("digest", about.digest)
            .with("grant-digest", Digest::of(text.as_bytes()))
            .with("before", filed.digest)
            .with("learnt", true);
        Audit::open(deployment)?.act(act)?;
        put(&filed.path, &text)?;
    }
    Ok(Learnt {
        file: filed.file.clone(),
        written: replace && !same,
        same,
        grant,
        text,
        manifest,
    })
}

/// What the plugin's manifest could do without, as text; none where nothing.
fn manifest(deployment: &Deployment, pipeline: &Pipeline, plugin: &PluginRecord) -> Option<String> {
    let shelf = plugins::Shelf::default();
    let mut found = None;
    let mut uses: Vec<(Role, Value)> = Vec::new();
    for (reference, role, config, _) in grants::uses(pipeline) {
        let Ok(resolved) = plugins::resolve(deployment, &shelf, reference) else {
            continue;
        };
        if resolved.artifact.digest == plugin.digest {
            uses.push((role, settings::json(config)));
            found = Some(resolved.artifact.manifest);
        }
    }
    let manifest = found?;
    let uses: Vec<(Role, &Value)> = uses.iter().map(|(role, config)| (*role, config)).collect();
    let narrow = narrow_manifest(&manifest, &uses, &plugin.trial);
    let text = || toml::to_string(&narrow).expect("a manifest is plain data, which TOML holds");
    (narrow != manifest).then(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_is_bounded() {
        let recorder = Recorder(Mutex::default());
        let stage = StageId {
            role: Role::Source,
            index: 0,
        };
        for at in 0..=TRIAL_NAMES_MAX {
            let name = format!("column {at}");
            let used = Used {
                capability: "data.reads",
                name: &name,
                times: 1,
                bytes_out: 0,
                bytes_in: 0,
            };
            recorder.used(stage, &used);
        }
        let trials = recorder.0.into_inner().unwrap();
        assert_eq!(trials[&stage].used["data.reads"].len(), TRIAL_NAMES_MAX);
    }
}
