//! The engine: wasmtime, set up once for every plugin. What one plugin may do is decided per stage, not here.

use crate::artifact::Artifact;
use crate::cache::Cache;
use crate::features;
use crate::guest::Guest;
use crate::link;
use crate::plugin::{Plugin, Worlds};
use sluice_model::guards::Guard;
use sluice_model::ids::PluginName;
use sluice_policy::imports;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, OptLevel, Strategy, WasmFeatures};

/// How often the clock inside guests ticks: the grain of the call time, and of giving way to other work.
pub(crate) const TICK: Duration = Duration::from_millis(10);
/// Components compiled at once. One uses every core.
const COMPILING_MAX: usize = 1;
/// A guest's own stack; what runs deeper traps.
const STACK_BYTES: usize = 512 << 10;
/// A guest's stack and the host calls on top of it.
const STACK_WITH_HOST_BYTES: usize = 1 << 20;

/// How an engine is set up.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Where compiled plugins are kept, so that the next start compiles nothing: a directory for this user alone,
    /// created where there is none. None: every start compiles.
    pub cache_dir: Option<PathBuf>,
}

/// Why a plugin cannot be loaded.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineError {
    /// wasmtime refused its settings: this machine cannot run it.
    #[error("the webassembly engine cannot start: {0}")]
    Start(String),
    /// The cache cannot be used.
    #[error("the cache of compiled plugins cannot be used: {0}")]
    Cache(String),
    /// The component imports what its manifest does not explain.
    #[error("`{plugin}` imports `{import}`, which its manifest does not explain\n  hint: {hint}")]
    Unexplained {
        /// Which plugin.
        plugin: PluginName,
        /// The first such import.
        import: String,
        /// What to do about it.
        hint: String,
    },
    /// The component does not compile, or does not fit the contract it was built against.
    #[error("`{plugin}` cannot be loaded: {reason}")]
    Load {
        /// Which plugin.
        plugin: PluginName,
        /// wasmtime's words.
        reason: String,
    },
}

/// Compiles and links plugins. Cheap to clone; one for the process.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    wasmtime: wasmtime::Engine,
    linker: Linker<Guest>,
    cache: Option<Cache>,
    compiling: Arc<Semaphore>,
}

impl Engine {
    /// Sets wasmtime up, and starts the thread that ticks; it ends with the last clone and the last plugin.
    pub fn new(settings: Settings) -> Result<Self, EngineError> {
        let start = |error: wasmtime::Error| EngineError::Start(format!("{error:#}"));
        let cache = settings
            .cache_dir
            .map(|dir| Cache::open(&dir))
            .transpose()?;
        let mut config = config();
        config.cache(cache.as_ref().map(Cache::wasmtime));
        let wasmtime = wasmtime::Engine::new(&config).map_err(start)?;
        let linker = link::linker(&wasmtime).map_err(start)?;
        ticking(&wasmtime)?;
        let compiling = Arc::new(Semaphore::new(COMPILING_MAX));
        Ok(Self {
            shared: Arc::new(Shared {
                wasmtime,
                linker,
                cache,
                compiling,
            }),
        })
    }

    /// Makes a plugin ready to run: from the cache where it was compiled before by this version with these settings,
    /// else by compiling it, one at a time and off the async threads.
    pub async fn load(&self, artifact: &Artifact) -> Result<Plugin, EngineError> {
        let plugin = artifact.manifest.plugin.name.clone();
        if let Some(import) = imports::explain(&artifact.manifest, &artifact.imports)
            .unexplained()
            .next()
        {
            let hint = match &import.kind {
                imports::ImportKind::Unexplained { hint } => hint.clone(),
                _ => String::new(),
            };
            return Err(EngineError::Unexplained {
                plugin,
                import: import.name.clone(),
                hint,
            });
        }
        let failed = |reason: String| EngineError::Load {
            plugin: plugin.clone(),
            reason,
        };
        let permit = Arc::clone(&self.shared.compiling)
            .acquire_owned()
            .await
            .map_err(|_| failed("the host is stopping".to_owned()))?;
        let (shared, artifact) = (Arc::clone(&self.shared), artifact.clone());
        let loaded = tokio::task::spawn_blocking(move || {
            let worlds = shared.load(&artifact);
            drop(permit);
            worlds
        });
        let worlds = loaded.await.map_err(|error| failed(error.to_string()))?;
        let worlds = worlds.map_err(|error| failed(format!("{error:#}")))?;
        Ok(Plugin::new(
            self.shared.wasmtime.clone(),
            plugin.clone(),
            worlds,
        ))
    }
}

impl Shared {
    fn load(&self, artifact: &Artifact) -> wasmtime::Result<Worlds> {
        let compile = || Component::from_binary(&self.wasmtime, &artifact.bytes);
        let component = match &self.cache {
            Some(cache) => cache.through(&self.wasmtime, artifact.digest, compile)?,
            None => compile()?,
        };
        let linker = link::with_doors(&self.linker, &artifact.manifest)?;
        Worlds::of(&linker.instantiate_pre(&component)?, &artifact.roles)
    }
}

/// wasmtime's settings. Guard pages, signals and on-demand allocation are its defaults, and stay.
pub(crate) fn config() -> Config {
    let allowed = features::allowed(Guard::FeaturesCompiled);
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        .wasm_features(WasmFeatures::all().difference(allowed), false)
        .wasm_features(allowed, true)
        .concurrency_support(false)
        .epoch_interruption(true)
        .consume_fuel(false)
        .max_wasm_stack(STACK_BYTES)
        .async_stack_size(STACK_WITH_HOST_BYTES);
    config
}

pub(crate) fn ticking(engine: &wasmtime::Engine) -> Result<(), EngineError> {
    let weak = engine.weak();
    let tick = move || {
        while let Some(engine) = weak.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(TICK);
        }
    };
    std::thread::Builder::new()
        .name("sluice-tick".to_owned())
        .spawn(tick)
        .map(drop)
        .map_err(|error| EngineError::Start(format!("no thread for the clock: {error}")))
}
