//! The compiled plugins of a run, and how an instance of each is made: its grant, its settings, its door.

use crate::Error;
use crate::auditing::Auditor;
use crate::host::Host;
use crate::plan::{Plan, Stage};
use sluice_codec::RowKey;
use sluice_egress::{Door, DoorSettings, NetDoor, Resolver, SystemResolver, TcpSettings};
use sluice_engine::{Context, Plugin, Sink, Source, TransformStage};
use sluice_model::digest::Digest;
use sluice_model::fault::Fault;
use sluice_model::ports::{HttpDoor, TcpDoor};
use std::collections::HashMap;
use std::sync::Arc;

/// A run's plugins, compiled. Instances are made from it by the tasks that own them.
pub struct Stages {
    /// What they are for.
    pub plan: Arc<Plan>,
    source: Ready,
    transforms: Vec<Ready>,
    sinks: Vec<Ready>,
    auditor: Arc<Auditor>,
    row_key: RowKey,
}

/// A compiled plugin and the doors of its stage: their own for each stage of a run, so that no connection is shared.
struct Ready {
    plugin: Plugin,
    door: Arc<dyn HttpDoor>,
    /// Where the plugin is to have connections at all.
    tcp: Option<Arc<dyn TcpDoor>>,
    config: String,
}

impl Stages {
    /// Compiles what the plan names, or takes it from the cache.
    pub async fn load(host: &Host, plan: Arc<Plan>, auditor: Arc<Auditor>) -> Result<Self, Error> {
        let engine = host.engine()?;
        // A component that plays several parts is loaded once.
        let mut loaded: HashMap<Digest, Plugin> = HashMap::new();
        let mut ready = async |stage: &Stage| -> Result<Ready, Error> {
            let digest = stage.artifact.digest;
            let plugin = match loaded.get(&digest) {
                Some(plugin) => plugin.clone(),
                None => engine.load(&stage.artifact).await.map_err(|error| {
                    let pointer = format!("{}/plugin", stage.pointer);
                    Error::wrong(plan.problem(&pointer, error.to_string()))
                })?,
            };
            loaded.insert(digest, plugin.clone());
            let resolver: Arc<dyn Resolver> = Arc::new(SystemResolver::default());
            let door = Door::new(
                Arc::clone(&stage.effective),
                Arc::clone(&stage.secrets) as _,
                Arc::clone(&resolver),
                Arc::clone(&auditor) as _,
                DoorSettings::default(),
            );
            let tcp = stage.effective.connects().then(|| {
                let (effective, resolver) = (Arc::clone(&stage.effective), Arc::clone(&resolver));
                let observer = Arc::clone(&auditor) as _;
                let door = NetDoor::new(effective, resolver, observer, TcpSettings::default());
                Arc::new(door) as Arc<dyn TcpDoor>
            });
            Ok(Ready {
                plugin,
                tcp,
                door: auditor.door(stage.id, Arc::new(door)),
                config: stage.config.to_string(),
            })
        };
        let source = ready(&plan.source).await?;
        let mut transforms = Vec::new();
        for stage in &plan.transforms {
            transforms.push(ready(stage).await?);
        }
        let mut sinks = Vec::new();
        for stage in &plan.sinks {
            sinks.push(ready(stage).await?);
        }
        Ok(Self {
            plan,
            source,
            transforms,
            sinks,
            auditor,
            row_key: RowKey::default(),
        })
    }

    /// What row identities are made with from here on. A check makes none that anybody keeps.
    #[must_use]
    pub fn identify(self, row_key: RowKey) -> Self {
        Self { row_key, ..self }
    }

    /// What row identities are made with.
    pub fn row_key(&self) -> RowKey {
        self.row_key
    }

    /// A new instance of the source.
    pub async fn source(&self) -> Result<Source, Fault> {
        self.source
            .plugin
            .source(self.context(&self.plan.source, &self.source))
            .await
    }

    /// A new instance of a transform.
    pub async fn transform(&self, at: usize) -> Result<TransformStage, Fault> {
        let ready = &self.transforms[at];
        ready
            .plugin
            .transform(self.context(&self.plan.transforms[at], ready))
            .await
    }

    /// A new instance of a sink.
    pub async fn sink(&self, at: usize) -> Result<Sink, Fault> {
        let ready = &self.sinks[at];
        ready
            .plugin
            .sink(self.context(&self.plan.sinks[at], ready))
            .await
    }

    fn context(&self, stage: &Stage, ready: &Ready) -> Context {
        Context {
            effective: Arc::clone(&stage.effective),
            config: ready.config.clone(),
            http: Some(Arc::clone(&ready.door)),
            tcp: ready.tcp.clone(),
            secrets: Some(Arc::clone(&stage.secrets) as _),
            row_key: self.row_key,
            observer: Arc::clone(&self.auditor) as _,
        }
    }
}
