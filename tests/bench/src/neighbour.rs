//! A deployment with the plugin that misbehaves, and the binary at work in it.

use crate::deployment::Host;
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::{Command, Stdio};

/// It may compute for longer than anything here takes.
fn manifest() -> Result<String> {
    let (manifest, short) = (
        include_str!("../../hostile/manifest.toml"),
        "call_time = \"3s\"",
    );
    ensure!(manifest.contains(short), "its manifest has no `{short}`");
    Ok(manifest.replace(short, "call_time = \"60s\""))
}

/// A deployment with the hostile plugin packed in it, made anew.
pub(crate) fn deploy(host: &Host, hostile: &Path, folder: &Path) -> Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    std::fs::create_dir_all(folder)?;
    let plugins = host.plugins.display();
    std::fs::write(
        folder.join("sluice.toml"),
        format!("[plugins]\ndir = '{plugins}'\n"),
    )?;
    std::fs::write(folder.join("manifest.toml"), manifest()?)?;
    std::fs::write(folder.join("config.schema.json"), "{}")?;
    std::fs::create_dir(folder.join("in"))?;
    let component = hostile.canonicalize().with_context(|| {
        format!(
            "`{}` is not there: `cargo x bench` builds it",
            hostile.display()
        )
    })?;
    let component = component.display().to_string();
    host.done(
        folder,
        &[
            "plugin",
            "pack",
            &component,
            "--manifest",
            "manifest.toml",
            "--out",
            "hostile.wasm",
        ],
    )
}

/// The binary in that deployment, in silence.
pub(crate) fn sluice(host: &Host, folder: &Path, arguments: &[&str]) -> Command {
    let mut command = host.command(folder, arguments);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}
