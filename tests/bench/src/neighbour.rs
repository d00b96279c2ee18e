//! A deployment with the plugin that misbehaves, and the binary at work in it.

use crate::deployment::Host;
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::{Command, Stdio};

/// It may compute for longer than anything here takes.
fn manifest() -> String {
    include_str!("../../hostile/manifest.toml").replace("call_time = \"3s\"", "call_time = \"60s\"")
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
    std::fs::write(folder.join("manifest.toml"), manifest())?;
    std::fs::write(folder.join("config.schema.json"), "{}")?;
    std::fs::create_dir(folder.join("in"))?;
    let component = hostile.canonicalize().with_context(|| {
        format!(
            "`{}` is not there: `cargo x bench` builds it",
            hostile.display()
        )
    })?;
    let component = component.display().to_string();
    done(
        host,
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

pub(crate) fn sluice(host: &Host, folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(&host.binary);
    command
        .args(arguments)
        .current_dir(folder)
        .env_remove("SLUICE_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Runs it, and it must have done what was asked.
pub(crate) fn done(host: &Host, folder: &Path, arguments: &[&str]) -> Result<()> {
    let output = sluice(host, folder, arguments)
        .stderr(Stdio::piped())
        .output()?;
    if !output.status.success() {
        bail!(
            "`sluice {}`: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}
