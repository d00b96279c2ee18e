//! Instances of the packed plugins, as a run makes them: compiled, linked, granted, limited.

use crate::deployment::Host;
use anyhow::{Context as _, Result, anyhow};
use serde_json::Value;
use sluice_egress::{Door, DoorSettings, SystemResolver};
use sluice_engine::{Artifact, Context, Engine, Plugin, Settings, Sink, Source, TransformStage};
use sluice_model::grant::Grant;
use sluice_model::ids::{Role, SecretName, StageId};
use sluice_model::ports::{LogLine, Observer, Refusal};
use sluice_model::secret::Secret;
use sluice_policy::Effective;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The pipeline that the grants are for.
pub(super) const PIPELINE: &str = "bench";

/// Whoever is refused here is a mistake in the benchmark, and its call fails.
struct Deaf;

impl Observer for Deaf {
    fn refused(&self, _: StageId, _: &Refusal) {}
    fn logged(&self, _: LogLine) {}
}

/// The plugins of a folder, and where their directories stand.
pub(crate) struct Plugins {
    engine: Engine,
    packed: PathBuf,
    base: PathBuf,
}

impl Plugins {
    pub(crate) fn new(host: &Host, base: &Path) -> Result<Self> {
        Ok(Self {
            engine: Engine::new(Settings::default())?,
            packed: host.plugins.clone(),
            base: base.to_owned(),
        })
    }

    /// An instance of a transform.
    pub(super) async fn transform(&self, name: &str, config: &Value) -> Result<TransformStage> {
        let (plugin, context) = self.made(name, Role::Transform, config).await?;
        Ok(plugin.transform(context).await?)
    }

    /// An instance of a source.
    pub(crate) async fn source(&self, name: &str, config: &Value) -> Result<Source> {
        let (plugin, context) = self.made(name, Role::Source, config).await?;
        Ok(plugin.source(context).await?)
    }

    /// An instance of a sink.
    pub(super) async fn sink(&self, name: &str, config: &Value) -> Result<Sink> {
        let (plugin, context) = self.made(name, Role::Sink, config).await?;
        Ok(plugin.sink(context).await?)
    }

    async fn made(&self, name: &str, role: Role, config: &Value) -> Result<(Plugin, Context)> {
        let file = self.packed.join(format!("{name}.wasm"));
        let bytes =
            std::fs::read(&file).with_context(|| format!("cannot read `{}`", file.display()))?;
        let artifact = Artifact::read(name, bytes)?;
        let plugin = self.engine.load(&artifact).await?;
        let grant = format!(
            "[grant]\nplugin = \"sluice/{name}\"\nversion = \"{}\"\ndigest = \"{}\"\npipeline = \"{PIPELINE}\"\n{}\
             [data]\nreads = [\"*\"]\nwrites = [\"*\"]\n",
            artifact.manifest.plugin.version,
            artifact.digest,
            reach(name, role, config)?,
        );
        // No pipeline here names a secret.
        let manifest = artifact.manifest.without_unnamed(|_| false);
        let effective = Effective::build(
            &manifest,
            &Grant::parse("grant", &grant)?,
            StageId { role, index: 0 },
            config,
            &PIPELINE.parse()?,
            &self.base,
        );
        let effective = effective.map_err(|missing| anyhow!("not granted: {missing:?}"))?;
        let effective = Arc::new(effective);
        let door = Door::new(
            Arc::clone(&effective),
            Arc::new(HashMap::<SecretName, Secret>::new()),
            Arc::new(SystemResolver::default()),
            Arc::new(Deaf),
            DoorSettings::default(),
        );
        let context = Context {
            effective,
            config: config.to_string(),
            http: Some(Arc::new(door)),
            tcp: None,
            secrets: None,
            row_key: [7; 32],
            observer: Arc::new(Deaf),
        };
        Ok((plugin, context))
    }
}

/// What a plugin is granted beside its columns.
fn reach(name: &str, role: Role, config: &Value) -> Result<String> {
    Ok(match (name, role) {
        ("files", Role::Source) => "[[dir]]\npath = \"in\"\nmode = \"read\"\n".to_owned(),
        ("files", Role::Sink) => "[[dir]]\npath = \"out\"\nmode = \"write\"\n".to_owned(),
        ("rest", _) => {
            let server = config["base_url"].as_str().context("no `base_url`")?;
            let server: http::Uri = server.parse()?;
            let host = server.host().context("no host")?;
            let port = server.port_u16().context("no port")?;
            format!(
                "[[http]]\nhost = \"{host}\"\nscheme = \"http\"\nport = {port}\nmethods = [\"GET\"]\npaths = [\"/**\"]\n\
                 networks = [\"{host}/32\"]\n"
            )
        }
        _ => String::new(),
    })
}
