//! Compiled plugins on disk, so that a start compiles nothing. wasmtime reads and writes the files; this sees to it
//! that it reads only what it wrote: next to each stands the SHA-256 of it, and a file that differs, or that nobody
//! vouches for, is removed before wasmtime looks. Never the root of trust: the component was verified before, and
//! whoever may write the directory could as well replace the host.

use crate::engine::EngineError;
use sluice_model::digest::Digest;
use sluice_model::guards::Guard;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use wasmtime::component::Component;
use wasmtime::{CacheConfig, Engine};

/// wasmtime's own directory.
const COMPILED: &str = "compiled";

/// A directory of compiled plugins. Our notes stand beside wasmtime's own directory, for it removes what it does not
/// know.
pub(crate) struct Cache {
    dir: PathBuf,
    wasmtime: wasmtime::Cache,
}

impl Cache {
    /// Creates the directory for this user alone, and refuses one that others may write.
    pub(crate) fn open(dir: &Path) -> Result<Self, EngineError> {
        let failed = |error: io::Error| EngineError::Cache(format!("`{}`: {error}", dir.display()));
        private(dir).map_err(failed)?;
        let dir = dir.canonicalize().map_err(failed)?;
        let mut config = CacheConfig::new();
        // Files are never packed again behind our back: their sums would no longer hold.
        config
            .with_directory(dir.join(COMPILED))
            .with_optimized_compression_usage_counter_threshold(u64::MAX);
        let wasmtime = wasmtime::Cache::new(config)
            .map_err(|error| EngineError::Cache(format!("{error:#}")))?;
        Ok(Self { dir, wasmtime })
    }

    pub(crate) fn wasmtime(&self) -> wasmtime::Cache {
        self.wasmtime.clone()
    }

    /// Compiles through the cache: one component at a time, over all processes that share the directory.
    pub(crate) fn through(
        &self,
        engine: &Engine,
        digest: Digest,
        compile: impl FnOnce() -> wasmtime::Result<Component>,
    ) -> wasmtime::Result<Component> {
        let lock = File::create(self.dir.join("lock"))?;
        lock.lock()?;
        let note = self
            .dir
            .join(format!("{}-{:016x}.sum", digest.hex(), settings(engine)));
        if self.vouched(&note).is_none() {
            let _ = fs::remove_file(&note);
            self.remove_strangers()?;
        }
        let component = compile()?;
        if !note.exists() {
            self.vouch(&note)?;
        }
        Ok(component)
    }

    /// The compiled file that a note speaks of, where its bytes are those that were written.
    fn vouched(&self, note: &Path) -> Option<PathBuf> {
        let text = fs::read_to_string(note).ok()?;
        let (sum, name) = text.trim_end().split_once(' ')?;
        let file = self
            .compiled()
            .into_iter()
            .find(|file| file.ends_with(name))?;
        let bytes = fs::read(&file).ok()?;
        Guard::CacheSums
            .holds(Digest::of(&bytes).hex() == sum)
            .then_some(file)
    }

    /// Removes compiled files that no note vouches for: damaged ones, and those of a process that died in between.
    fn remove_strangers(&self) -> io::Result<()> {
        self.strangers()?.iter().try_for_each(fs::remove_file)
    }

    fn strangers(&self) -> io::Result<Vec<PathBuf>> {
        let mut strangers = self.compiled();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "sum")
                && let Some(file) = self.vouched(&path)
            {
                strangers.retain(|stranger| *stranger != file);
            }
        }
        Ok(strangers)
    }

    /// Notes the sum of the file that was just written.
    fn vouch(&self, note: &Path) -> io::Result<()> {
        for file in self.strangers()? {
            let Some(name) = file.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            let sum = Digest::of(&fs::read(&file)?).hex();
            let fresh = note.with_extension("new");
            fs::write(&fresh, format!("{sum} {name}\n"))?;
            fs::rename(&fresh, note)?;
        }
        Ok(())
    }

    /// wasmtime's files: `compiled/modules/<compiler>/<key>`. Those with an extension are its statistics and locks.
    fn compiled(&self) -> Vec<PathBuf> {
        let below = |dir: &Path| -> Vec<PathBuf> {
            fs::read_dir(dir)
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| entry.path())
                .collect()
        };
        let mut files: Vec<_> = below(&self.dir.join(COMPILED).join("modules"))
            .iter()
            .flat_map(|dir| below(dir))
            .collect();
        files.retain(|file| file.extension().is_none() && file.is_file());
        files
    }
}

/// What of the engine a compiled file depends on.
fn settings(engine: &Engine) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish()
}

/// The directory, for this user alone.
fn private(dir: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt, MetadataExt};
        const OTHERS_MAY_WRITE: u32 = 0o022;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)?;
        let metadata = fs::metadata(dir)?;
        let is_ours = metadata.uid() == rustix::process::geteuid().as_raw();
        if Guard::CachePrivate.bars(!is_ours || metadata.mode() & OTHERS_MAY_WRITE != 0) {
            return Err(io::Error::other(
                "others may write it: they could hand the host code to run",
            ));
        }
        Ok(())
    }
    #[cfg(not(unix))]
    fs::create_dir_all(dir)
}
