//! A plugin, compiled and linked: what instances are made from.

use crate::bindings;
use crate::guest::Guest;
use crate::instance::Instance;
use crate::sink::Sink;
use crate::source::Source;
use crate::transform::TransformStage;
use sluice_codec::RowKey;
use sluice_model::fault::{Fault, FaultKind};
use sluice_model::ids::{PluginName, Role};
use sluice_model::ports::{HttpDoor, Observer, Secrets, TcpDoor};
use sluice_policy::Effective;
use std::sync::Arc;
use wasmtime::component::InstancePre;

/// What one instance is given: what it may do, its settings, and its doors.
#[derive(Clone)]
pub struct Context {
    /// What it may do: every call that reaches for something is decided by it.
    pub effective: Arc<Effective>,
    /// Its settings, as JSON; validated before.
    pub config: String,
    /// Where its requests go; none: each is refused.
    pub http: Option<Arc<dyn HttpDoor>>,
    /// Where its connections go; none: each is refused.
    pub tcp: Option<Arc<dyn TcpDoor>>,
    /// Where the secrets come from that it may see itself; none: it has none.
    pub secrets: Option<Arc<dyn Secrets>>,
    /// What row identities are made with; never handed to it.
    pub row_key: RowKey,
    /// Who is told of refusals and log lines.
    pub observer: Arc<dyn Observer>,
}

/// A plugin that is ready to run. Cheap to clone.
#[derive(Clone)]
pub struct Plugin {
    engine: wasmtime::Engine,
    name: PluginName,
    worlds: Arc<Worlds>,
}

/// The parts a plugin can play, linked.
pub(crate) struct Worlds {
    source: Option<bindings::source::PluginPre<Guest>>,
    transform: Option<bindings::transform::PluginPre<Guest>>,
    sink: Option<bindings::sink::PluginPre<Guest>>,
}

impl Worlds {
    /// Checks that the component exports what its roles need, with the contract's types.
    pub(crate) fn of(pre: &InstancePre<Guest>, roles: &[Role]) -> wasmtime::Result<Self> {
        let plays = |role| roles.contains(&role).then(|| pre.clone());
        Ok(Self {
            source: plays(Role::Source)
                .map(bindings::source::PluginPre::new)
                .transpose()?,
            transform: plays(Role::Transform)
                .map(bindings::transform::PluginPre::new)
                .transpose()?,
            sink: plays(Role::Sink)
                .map(bindings::sink::PluginPre::new)
                .transpose()?,
        })
    }
}

/// Makes an instance: a store of its own, under the limits of its stage.
macro_rules! instantiate {
    ($plugin:ident, $world:ident, $role:expr, $context:ident) => {{
        let pre = $plugin
            .worlds
            .$world
            .as_ref()
            .ok_or_else(|| $plugin.not_a($role))?;
        let mut instance = Instance::new(&$plugin.engine, &$context);
        let time_max = instance.begin()?;
        let outcome =
            crate::pace::timeout(time_max, pre.instantiate_async(&mut instance.store)).await;
        let world = instance.end("start", outcome)?;
        (instance, world)
    }};
}

impl Plugin {
    pub(crate) fn new(engine: wasmtime::Engine, name: PluginName, worlds: Worlds) -> Self {
        Self {
            engine,
            name,
            worlds: Arc::new(worlds),
        }
    }

    /// A new instance, as a source.
    pub async fn source(&self, context: Context) -> Result<Source, Fault> {
        let (instance, world) = instantiate!(self, source, Role::Source, context);
        Ok(Source::new(instance, world, context.config))
    }

    /// A new instance, as a transform.
    pub async fn transform(&self, context: Context) -> Result<TransformStage, Fault> {
        let (instance, world) = instantiate!(self, transform, Role::Transform, context);
        Ok(TransformStage::new(instance, world, context.config))
    }

    /// A new instance, as a sink.
    pub async fn sink(&self, context: Context) -> Result<Sink, Fault> {
        let (instance, world) = instantiate!(self, sink, Role::Sink, context);
        Ok(Sink::new(instance, world, context.config))
    }

    fn not_a(&self, role: Role) -> Fault {
        Fault::new(
            FaultKind::Misconfigured,
            format!(
                "`{}` is not a {role}: it exports no such interface",
                self.name
            ),
        )
    }
}
