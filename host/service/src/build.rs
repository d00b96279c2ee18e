//! Making a plugin file: `pack` embeds a manifest into any component, `build` runs cargo on a Rust plugin first.

use crate::Error;
use crate::deployment::{plain, read, shown};
use serde_json::Value;
use sluice_engine::Artifact;
use sluice_model::manifest::Manifest;
use sluice_model::tomlfile::FileError;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The target a Rust plugin is built for.
const TARGET: &str = "wasm32-wasip2";
/// The manifest's name in a plugin's folder.
const MANIFEST: &str = "manifest.toml";

/// Embeds a manifest, and the config schema it names, into a component.
pub fn pack(component: &Path, manifest: &Path, out: &Path) -> Result<Artifact, Error> {
    let bytes = std::fs::read(component).map_err(|error| told(component, &error))?;
    let text = read(manifest)?;
    let parsed = Manifest::parse(&shown(manifest), &text)?;
    let schema = match &parsed.config {
        Some(config) => Some(read(&manifest.with_file_name(&config.schema))?),
        None => None,
    };
    let wrong = |error: &dyn std::fmt::Display| {
        Error::wrong(FileError::new(shown(component), error.to_string()))
    };
    let packed =
        sluice_engine::pack(&bytes, &text, schema.as_deref()).map_err(|error| wrong(&error))?;
    let artifact = Artifact::read(&shown(out), packed).map_err(|error| wrong(&error))?;
    write_whole(out, &artifact.bytes).map_err(|error| told(out, &error))?;
    Ok(artifact)
}

/// A component appears under its name whole, or not at all: a host may be reading the folder.
fn write_whole(out: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = out.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    let partial = out.with_extension("wasm.part");
    std::fs::write(&partial, bytes)?;
    std::fs::rename(&partial, out)
}

/// Builds the Rust plugin in this folder with cargo, and packs it.
pub fn build(folder: &Path, out: Option<&Path>) -> Result<(PathBuf, Artifact), Error> {
    let manifest = folder.join(MANIFEST);
    let parsed = Manifest::parse(&shown(&manifest), &read(&manifest)?)?;
    let component = cargo(folder)?;
    let name = parsed.plugin.name.as_str().replace('/', "-");
    let out = out.map_or_else(
        || folder.join(format!("{name}-{}.wasm", parsed.plugin.version)),
        Path::to_owned,
    );
    pack(&component, &manifest, &out).map(|artifact| (out, artifact))
}

/// Runs cargo; its own words go to the terminal. Gives the component it made.
fn cargo(folder: &Path) -> Result<PathBuf, Error> {
    let wrong = |message: String| Error::wrong(FileError::new(shown(folder), message));
    let mut command = Command::new("cargo");
    // Build scripts are code of others: what the host keeps secret is not in what they see.
    for (variable, value) in std::env::vars_os() {
        if crate::secrets::is_secret_variable(&variable, &value) {
            command.env_remove(variable);
        }
    }
    let output = command
        .args([
            "build",
            "--release",
            "--target",
            TARGET,
            "--message-format",
            "json-render-diagnostics",
        ])
        .current_dir(folder)
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|error| wrong(format!("cargo does not run: {}", plain(&error))))?;
    if !output.status.success() {
        let problem = FileError::new(shown(folder), "cargo could not build the plugin");
        return Err(Error::wrong(problem.hint(format!(
            "where the target is missing: `rustup target add {TARGET}`"
        ))));
    }
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let made = lines
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut made = made
        .filter(|message| message["reason"] == "compiler-artifact")
        .filter_map(|message| {
            let files = message["filenames"]
                .as_array()?
                .iter()
                .filter_map(Value::as_str);
            files.map(PathBuf::from).find(|file| {
                file.extension()
                    .is_some_and(|extension| extension == "wasm")
            })
        });
    made.next_back().ok_or_else(|| {
        wrong("cargo made no component: the crate needs `crate-type = [\"cdylib\"]`".to_owned())
    })
}

fn told(file: &Path, error: &std::io::Error) -> Error {
    Error::wrong(FileError::new(shown(file), plain(error)))
}
