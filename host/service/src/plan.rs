//! A pipeline as it would run: each stage with its component, its settings, its effective grant and its secrets.
//! Everything here is decided without running a plugin; what only a plugin can say is asked in `check`.

use crate::audit::{Act, Action};
use crate::deployment::Deployment;
use crate::grants::{self, Filed};
use crate::plugins::{self, Shelf};
use crate::renew::{self, Asker};
use crate::secrets::{self, Provider, StageSecrets};
use crate::serve::timetable::Timetable;
use crate::signing::{Standing, Trusting};
use crate::{own, settings, ungranted};
use serde_json::Value;
use sluice_engine::Artifact;
use sluice_model::digest::Digest;
use sluice_model::guards::Guard;
use sluice_model::ids::{PipelineName, Role, SecretName, StageId, StreamName};
use sluice_model::manifest::{Manifest, Unit};
use sluice_model::pipeline::{Guarantee, Pipeline};
use sluice_model::schema::Schema;
use sluice_model::tomlfile::{FileError, nearest};
use sluice_policy::{Effective, Organisation, Own};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

mod faults;
mod guarantee;
mod making;
mod told;
mod written;

use guarantee::{guarantee, too_much};
use making::Unmade;
pub use making::{make, make_to_run};
pub(crate) use told::told_by_policy;
use told::{cannot_be_asked, indented};
pub(crate) use written::{Written, written};

/// A pipeline file and what it means in its deployment.
#[derive(Debug)]
pub struct Plan {
    /// Where it runs.
    pub deployment: Deployment,
    /// The pipeline file, as messages show it.
    pub file: String,
    /// Its text, for the line of a mistake.
    pub text: String,
    /// What it says.
    pub pipeline: Pipeline,
    /// Schemas it declares.
    pub declared: BTreeMap<StreamName, Arc<Schema>>,
    /// Where records come from.
    pub source: Stage,
    /// What happens to them.
    pub transforms: Vec<Stage>,
    /// Where they go.
    pub sinks: Vec<Stage>,
    /// What this pair of source and sinks promises.
    pub guarantee: Guarantee,
}

/// One stage, ready to be instantiated.
#[derive(Debug, Clone)]
pub struct Stage {
    /// Which.
    pub id: StageId,
    /// Its component.
    pub artifact: Artifact,
    /// What is known of who made it.
    pub standing: Standing,
    /// Its settings.
    pub config: Value,
    /// What it may do.
    pub effective: Arc<Effective>,
    /// The file of its grant.
    pub grant: PathBuf,
    /// Of the grant's text as it was read.
    pub grant_digest: Digest,
    /// Its secrets, under its own names for them: asked at each use.
    pub secrets: Arc<StageSecrets>,
    /// The streams it is for; all where empty.
    pub streams: Vec<StreamName>,
    /// Where it stands in the pipeline file: `/sink/0`.
    pub pointer: String,
}

impl Stage {
    /// `sluice/map (transform 1)`: how messages name it.
    pub fn label(&self) -> String {
        label(&self.artifact.manifest, self.id)
    }

    /// Whether records of this stream pass through it.
    pub fn takes(&self, stream: &StreamName) -> bool {
        self.streams.is_empty() || self.streams.contains(stream)
    }
}

/// How messages name a stage.
pub fn label(manifest: &Manifest, id: StageId) -> String {
    format!("{} ({id})", manifest.plugin.name)
}

impl Plan {
    /// Its name.
    pub fn name(&self) -> &PipelineName {
        &self.pipeline.pipeline.name
    }

    /// A mistake in the pipeline file, at this place of it.
    pub fn problem(&self, pointer: &str, message: impl Into<String>) -> FileError {
        FileError::new(&self.file, message).at_pointer(&self.text, pointer)
    }

    /// Its stages, in their order.
    pub fn stages(&self) -> impl Iterator<Item = &Stage> {
        [&self.source]
            .into_iter()
            .chain(&self.transforms)
            .chain(&self.sinks)
    }

    /// The plugins that nobody vouches for whom this deployment trusts, each with its version, once.
    pub fn unsigned(&self) -> Vec<String> {
        let stages = self.stages();
        let mut names: Vec<String> = stages
            .filter(|stage| !stage.standing.is_signed())
            .map(|stage| {
                let about = &stage.artifact.manifest.plugin;
                format!("{} {}", about.name, about.version)
            })
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// How much the host gathers before a write: the least of what the sinks ask for.
    pub fn unit(&self) -> Unit {
        let units = self.sinks.iter().map(|sink| sink.effective.unit);
        units
            .reduce(|a, b| Unit {
                bytes: a.bytes.min(b.bytes),
                rows: a.rows.min(b.rows),
                linger: a.linger.min(b.linger),
            })
            .unwrap_or_default()
    }
}

struct Maker {
    deployment: Deployment,
    policy: Arc<Organisation>,
    own: Arc<Own>,
    trusting: Trusting,
    shelf: Shelf,
    file: String,
    text: String,
    grants: Vec<Filed>,
    /// Opened for the first secret that is named.
    provider: Option<Arc<dyn Provider>>,
    problems: Vec<FileError>,
    /// Plugins that are not let in.
    refused: Vec<Act>,
}

impl Maker {
    fn make(mut self, pipeline: Pipeline) -> Result<Plan, Unmade> {
        if let Err(message) = Timetable::of(&pipeline.pipeline.schedule) {
            self.told("/pipeline/schedule", message, None);
        }
        let declared = self.declared(&pipeline);
        let name = pipeline.pipeline.name.clone();
        let stages: Vec<Option<Stage>> = written(&pipeline)
            .iter()
            .map(|stage| self.stage(&name, stage))
            .collect();
        if Guard::PlanWhole.bars(!self.problems.is_empty()) {
            let refused = self.refused;
            return Err(Unmade {
                problems: self.problems,
                refused: (!refused.is_empty()).then(|| Box::new((self.deployment, refused))),
            });
        }
        let mut stages = stages.into_iter().flatten();
        let source = stages
            .next()
            .expect("a pipeline has a source, and it had no problem");
        let (transforms, sinks): (Vec<Stage>, Vec<Stage>) =
            stages.partition(|stage| stage.id.role == Role::Transform);
        let guarantee = guarantee(&sinks);
        let plan = Plan {
            deployment: self.deployment,
            file: self.file,
            text: self.text,
            pipeline,
            declared,
            source,
            transforms,
            sinks,
            guarantee,
        };
        match plan.pipeline.delivery.guarantee {
            Some(wanted) if Guard::GuaranteeHeld.bars(wanted > guarantee) => {
                Err(vec![too_much(&plan, wanted)].into())
            }
            _ => Ok(plan),
        }
    }

    fn told(&mut self, pointer: &str, message: impl Into<String>, hint: Option<String>) {
        let mut problem = FileError::new(&self.file, message).at_pointer(&self.text, pointer);
        problem.hint = hint;
        self.problems.push(problem);
    }

    fn declared(&mut self, pipeline: &Pipeline) -> BTreeMap<StreamName, Arc<Schema>> {
        let mut schemas = BTreeMap::new();
        for (stream, declared) in &pipeline.schema {
            match declared.schema() {
                Ok(schema) => {
                    schemas.insert(stream.clone(), Arc::new(schema));
                }
                Err(message) => self.told(&format!("/schema/{stream}"), message, None),
            }
        }
        schemas
    }

    fn stage(&mut self, pipeline: &PipelineName, written: &Written<'_>) -> Option<Stage> {
        let place = format!("{}/plugin", written.pointer);
        let found = plugins::resolve(&self.deployment, &self.shelf, written.plugin);
        let judged =
            found.and_then(
                |found| match self.trusting.judge(&found.file, &found.artifact) {
                    Ok(standing) => Ok((found.artifact, standing)),
                    Err(distrusted) => {
                        let reason = distrusted.message.clone();
                        self.refuse(pipeline, written.id, &found.artifact, reason);
                        Err(distrusted)
                    }
                },
            );
        let (artifact, standing) = match judged {
            Ok(judged) => judged,
            Err(missing) => {
                self.told(&place, missing.message, missing.hint);
                return None;
            }
        };
        if !artifact.roles.contains(&written.id.role) {
            let mut roles: Vec<_> = artifact.roles.iter().collect();
            roles.sort();
            let roles: Vec<String> = roles.into_iter().map(ToString::to_string).collect();
            let name = &artifact.manifest.plugin.name;
            self.told(
                &place,
                format!(
                    "`{name}` is no {}: it is a {}",
                    written.id.role,
                    roles.join(" and a ")
                ),
                None,
            );
            return None;
        }
        let config = settings::json(written.config);
        let found = settings::validate(
            artifact.config_schema.as_ref(),
            &config,
            &self.file,
            &self.text,
            &format!("{}/config", written.pointer),
        );
        let fits = found.is_empty();
        self.problems.extend(found);
        self.imports(&artifact, &place);
        self.loads(pipeline, written.id, &artifact, &standing, &place);
        let secrets = self.secrets(&artifact.manifest, written);
        let manifest = artifact
            .manifest
            .clone()
            .without_unnamed(|name| secrets.names(name));
        let granted = if fits {
            self.effective(pipeline, &artifact, &manifest, written.id, &config, &place)
        } else {
            None
        };
        let (effective, (grant, grant_digest)) = granted?;
        Some(Stage {
            id: written.id,
            config,
            effective: Arc::new(effective),
            grant,
            grant_digest,
            secrets: Arc::new(secrets),
            streams: written.streams.to_vec(),
            pointer: written.pointer.clone(),
            artifact,
            standing,
        })
    }

    fn imports(&mut self, artifact: &Artifact, place: &str) {
        let report = sluice_policy::imports::explain(&artifact.manifest, &artifact.imports);
        for import in report.unexplained() {
            let message = format!(
                "`{}` imports `{}`, which its manifest does not explain",
                artifact.manifest.plugin.name, import.name
            );
            self.told(place, message, import.hint().map(ToOwned::to_owned));
        }
    }

    /// May it run at all, signed as it is?
    fn loads(
        &mut self,
        pipeline: &PipelineName,
        stage: StageId,
        artifact: &Artifact,
        standing: &Standing,
        place: &str,
    ) {
        let name = &artifact.manifest.plugin.name;
        let signer = standing.signer().map(ToString::to_string);
        if let Err(refusal) = self.policy.may_load(name, signer.as_deref()) {
            self.refuse(pipeline, stage, artifact, refusal.reason.clone());
            self.told(place, format!("`{name}`: {}", refusal.reason), refusal.hint);
        }
    }

    fn refuse(
        &mut self,
        pipeline: &PipelineName,
        stage: StageId,
        artifact: &Artifact,
        reason: String,
    ) {
        let about = &artifact.manifest.plugin;
        let act = Action::PluginRefused
            .with("pipeline", pipeline)
            .with("stage", stage)
            .with("plugin", format!("{} {}", about.name, about.version))
            .with("digest", artifact.digest);
        self.refused.push(act.with("reason", reason).by_the_host());
    }

    fn secrets(&mut self, manifest: &Manifest, written: &Written<'_>) -> StageSecrets {
        let known: Vec<&str> = manifest
            .secret
            .iter()
            .map(|secret| secret.name.as_str())
            .collect();
        for name in written
            .secrets
            .keys()
            .filter(|name| !known.contains(&name.as_str()))
        {
            let hint = nearest(name.as_str(), &known).map(|near| format!("did you mean `{near}`?"));
            let message = format!(
                "`{}` has no secret `{name}` in its manifest",
                manifest.plugin.name
            );
            self.told(
                &format!("{}/secrets/{name}", written.pointer),
                message,
                hint,
            );
        }
        let mut names = BTreeMap::new();
        for secret in &manifest.secret {
            match written.secrets.get(&secret.name) {
                Some(ours) => {
                    let place = format!("{}/secrets/{}", written.pointer, secret.name);
                    if self.can_be_had(ours, &place) {
                        names.insert(secret.name.clone(), ours.clone());
                    }
                }
                None if secret.optional => {}
                None => self.told(
                    &written.pointer,
                    format!(
                        "`{}` needs the secret `{}`",
                        manifest.plugin.name, secret.name
                    ),
                    Some(format!(
                        "secrets = {{ {} = \"NAME-OF-THE-SECRET-HERE\" }}",
                        secret.name
                    )),
                ),
            }
        }
        StageSecrets::new(names, self.provider.clone())
    }

    /// Whether the deployment has this secret. What is wrong with it is told at this place.
    fn can_be_had(&mut self, name: &SecretName, place: &str) -> bool {
        let provider = match &self.provider {
            Some(provider) => Arc::clone(provider),
            None => match secrets::provider(&self.deployment) {
                Ok(provider) => Arc::clone(self.provider.insert(provider)),
                Err(error) => {
                    let (message, hint) = cannot_be_asked(error);
                    self.told(place, message, hint);
                    return false;
                }
            },
        };
        match provider.check(name) {
            Ok(()) => true,
            Err(trouble) => {
                self.told(place, trouble.message, trouble.hint);
                false
            }
        }
    }

    fn effective(
        &mut self,
        pipeline: &PipelineName,
        artifact: &Artifact,
        manifest: &Manifest,
        stage: StageId,
        config: &Value,
        place: &str,
    ) -> Option<(Effective, (PathBuf, Digest))> {
        let name = &manifest.plugin.name;
        let filed = match grants::find(&self.grants, name, artifact.digest, pipeline) {
            Ok(filed) => filed,
            Err(missing) => {
                let asker = Asker {
                    artifact,
                    manifest,
                    uses: &[(stage.role, config)],
                    networks: &[],
                    named: &|name| manifest.secret.iter().any(|secret| &secret.name == name),
                };
                let (message, hint) =
                    ungranted::told(&missing, &self.grants, &asker, &self.file, |old| {
                        renew::renewal(&self.deployment, &self.shelf, old, &asker, false)
                    });
                self.told(place, message, Some(hint));
                return None;
            }
        };
        self.problems
            .extend(grants::unreadable_authorities(filed, &self.deployment.base));
        let built = Effective::build(
            manifest,
            &filed.grant,
            stage,
            config,
            pipeline,
            &self.deployment.base,
        );
        let read = (filed.path.clone(), filed.digest);
        let built = built
            .map_err(|refused| {
                let file = filed.file.clone();
                for one in refused {
                    let reason = format!("{name} (as {stage}): {}", one.refusal.reason);
                    let mut problem = FileError::new(&file, reason);
                    problem.hint = if one.lines.is_empty() {
                        one.refusal.hint // No line of the grant could help.
                    } else {
                        Some(format!("add to `{file}`:\n{}", indented(&one.lines)))
                    };
                    self.problems.push(problem);
                }
            })
            .ok()?;
        let ruled = built.under(Arc::clone(&self.policy));
        ruled
            .map_err(|forbidden| {
                let told = forbidden
                    .iter()
                    .map(|one| told_by_policy(one, name, &stage));
                self.problems.extend(told);
            })
            .ok()
            .and_then(|effective| {
                let effective = effective.apart_from(Arc::clone(&self.own));
                let touched = own::touched(&effective, &self.deployment.base);
                for refusal in &touched {
                    let message = format!("{name} (as {stage}): {}", refusal.reason);
                    self.told(place, message, refusal.hint.clone());
                }
                touched.is_empty().then_some((effective, read))
            })
    }
}
