//! The plugins of a deployment: a path, or a name and version found among the components of its plugin folder.

use crate::deployment::{Deployment, plain, shown};
pub use sluice_engine::Artifact;
use sluice_model::digest::Digest;
use sluice_model::guards::Guard;
use sluice_model::ids::PluginName;
use sluice_model::limits::COMPONENT_BYTES_MAX;
use std::cell::OnceCell;
use std::path::{Path, PathBuf};

/// A component with its manifest, and where it was found.
#[derive(Debug, Clone)]
pub struct Found {
    /// Where.
    pub file: PathBuf,
    /// What.
    pub artifact: Artifact,
}

/// Why a plugin is not to be had, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotFound {
    /// What is wrong.
    pub message: String,
    /// The next step.
    pub hint: Option<String>,
}

/// Reads a component.
pub fn open(file: &Path) -> Result<Artifact, NotFound> {
    let told = |message: String| NotFound {
        message,
        hint: None,
    };
    let size = std::fs::metadata(file)
        .map_err(|error| told(format!("`{}`: {}", shown(file), plain(&error))))?
        .len();
    if size > Guard::ComponentFile.limit(COMPONENT_BYTES_MAX as u64) {
        return Err(told(format!(
            "`{}` has {size} bytes; a component has at most {COMPONENT_BYTES_MAX}",
            shown(file)
        )));
    }
    let bytes = std::fs::read(file)
        .map_err(|error| told(format!("`{}`: {}", shown(file), plain(&error))))?;
    Artifact::read(&shown(file), bytes).map_err(|error| told(error.to_string()))
}

/// The plugin folder's components, read when a name first asks for them, and once: a component is validated whole
/// each time it is read.
#[derive(Debug, Default)]
pub struct Shelf(OnceCell<Result<Vec<Found>, NotFound>>);

impl Shelf {
    fn all(&self, deployment: &Deployment) -> Result<Vec<Found>, NotFound> {
        self.0.get_or_init(|| all(deployment)).clone()
    }

    /// The component with this digest, where it is still in the plugin folder.
    pub(crate) fn by_digest(&self, deployment: &Deployment, digest: Digest) -> Option<Artifact> {
        let all = self.all(deployment).ok()?;
        let found = all
            .into_iter()
            .find(|found| found.artifact.digest == digest);
        found.map(|found| found.artifact)
    }
}

/// The plugin that a pipeline names: `vendor/name@version` (or without the version, where there is one only), or a
/// path that ends in `.wasm`.
pub fn resolve(deployment: &Deployment, shelf: &Shelf, reference: &str) -> Result<Found, NotFound> {
    if Path::new(reference)
        .extension()
        .is_some_and(|extension| extension == "wasm")
    {
        let file = deployment.base.join(reference);
        return open(&file).map(|artifact| Found { file, artifact });
    }
    let (name, wanted) = reference_of(reference)?;
    let all = shelf.all(deployment)?;
    let mut named: Vec<Found> = all
        .into_iter()
        .filter(|found| found.artifact.manifest.plugin.name == name)
        .collect();
    if named.is_empty() {
        return Err(not_there(deployment, &name));
    }
    let there: Vec<String> = named
        .iter()
        .map(|found| found.artifact.manifest.plugin.version.to_string())
        .collect();
    named.retain(|found| wanted.matches(&found.artifact.manifest.plugin.version));
    named.sort_by(|a, b| {
        a.artifact
            .manifest
            .plugin
            .version
            .cmp(&b.artifact.manifest.plugin.version)
    });
    let best = named.pop().ok_or_else(|| NotFound {
        message: format!("no version of `{name}` fits `{reference}`"),
        hint: Some(format!("there is {}", there.join(", "))),
    })?;
    match named.pop() {
        Some(twin)
            if Guard::PluginOnce.bars(
                twin.artifact.manifest.plugin.version == best.artifact.manifest.plugin.version,
            ) =>
        {
            Err(NotFound {
                message: format!(
                    "`{}` and `{}` are both {name} {}",
                    shown(&twin.file),
                    shown(&best.file),
                    best.artifact.manifest.plugin.version
                ),
                hint: Some("keep one of them".to_owned()),
            })
        }
        _ => Ok(best),
    }
}

fn reference_of(reference: &str) -> Result<(PluginName, semver::VersionReq), NotFound> {
    let (name, version) = reference.split_once('@').unwrap_or((reference, "*"));
    let hint = || Some("write `vendor/name@version`, or the path of a `.wasm` file".to_owned());
    let name = name.parse().map_err(|_| NotFound {
        message: format!("`{reference}` names no plugin"),
        hint: hint(),
    })?;
    let version = semver::VersionReq::parse(version).map_err(|error| NotFound {
        message: format!("`{reference}`: {error}"),
        hint: hint(),
    })?;
    Ok((name, version))
}

fn not_there(deployment: &Deployment, name: &PluginName) -> NotFound {
    let folder = shown(&deployment.plugins_dir());
    NotFound {
        message: format!("plugin `{name}` is not in `{folder}`"),
        hint: Some(format!(
            "put its component there, or name its path: `plugin = \"{folder}/….wasm\"`"
        )),
    }
}

/// Every component of the plugin folder.
fn all(deployment: &Deployment) -> Result<Vec<Found>, NotFound> {
    let folder = deployment.plugins_dir();
    let entries = std::fs::read_dir(&folder).map_err(|error| NotFound {
        message: format!("the plugin folder `{}`: {}", shown(&folder), plain(&error)),
        hint: Some("`[plugins] dir` in `sluice.toml` names it".to_owned()),
    })?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "wasm")
        })
        .collect();
    files.sort();
    side_by_side(&files)
}

/// On every core: validating a component takes milliseconds, and the first record waits for all of them.
fn side_by_side(files: &[PathBuf]) -> Result<Vec<Found>, NotFound> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = files.len().div_ceil(threads).max(1);
    let read = |files: &[PathBuf]| -> Result<Vec<Found>, NotFound> {
        let found = files.iter().map(|file| {
            let artifact = open(file)?;
            let file = file.clone();
            Ok(Found { file, artifact })
        });
        found.collect()
    };
    std::thread::scope(|scope| {
        let shares: Vec<_> = files
            .chunks(share)
            .map(|files| scope.spawn(move || read(files)))
            .collect();
        let mut all = Vec::with_capacity(files.len());
        for share in shares {
            all.extend(share.join().expect("reading a component does not panic")?);
        }
        Ok(all)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_too_large_for_a_component_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image.wasm");
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(COMPONENT_BYTES_MAX as u64 + 1).unwrap();
        let told = open(&path).unwrap_err().message;
        assert!(told.ends_with("a component has at most 67108864"), "{told}");
    }

    #[test]
    fn two_components_of_one_name_and_version_are_none() {
        let dir = tempfile::tempdir().unwrap();
        let settings = "[plugins]\ndir = \".\"\n";
        let deployment = Deployment {
            base: dir.path().to_owned(),
            settings: sluice_model::deployment::Deployment::parse("sluice.toml", settings).unwrap(),
        };
        let plain = wat::parse_str(
            r#"(component (instance $empty) (export "sluice:plugin/source@0.1.0" (instance $empty)))"#,
        );
        let plain = plain.unwrap();
        let put = |file: &str, words: &str| {
            let manifest = format!(
                "[plugin]\nname = \"acme/thing\"\nversion = \"1.0.0\"\ninterface = \"sluice:plugin@0.1\"\ndescription = \"{words}\"\n"
            );
            let packed = sluice_engine::pack(&plain, &manifest, None).unwrap();
            std::fs::write(dir.path().join(file), packed).unwrap();
        };
        let found = || resolve(&deployment, &Shelf::default(), "acme/thing@1");
        put("thing.wasm", "reviewed");
        assert!(found().is_ok());
        put("thing-2.wasm", "not reviewed");
        let told = found().unwrap_err().message;
        assert!(told.contains("are both acme/thing 1.0.0"), "{told}");
    }
}
