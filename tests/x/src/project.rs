//! Where things are, and how cargo is called. Runs nothing.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What plugins are compiled for.
pub(crate) const GUEST_TARGET: &str = "wasm32-wasip2";

/// The repository and its build output.
pub(crate) struct Project {
    pub(crate) root: PathBuf,
    /// Cargo's target folder, wherever it was set: the one this program itself lies in.
    pub(crate) target: PathBuf,
}

impl Project {
    pub(crate) fn find() -> Result<Project> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../..")
            .canonicalize()
            .context("cannot find the repository")?;
        let own = std::env::current_exe().context("cannot find this program")?;
        let target = own
            .ancestors()
            .nth(2)
            .context("this program does not lie in a target folder")?
            .to_owned();
        Ok(Project { root, target })
    }

    /// A program, run from the root.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(&self.root)
            .env("CARGO_TARGET_DIR", &self.target);
        // What cargo set for this program is not meant for what it starts; and a build script that watches it, as
        // ring's does, would run again, and all above it be built again, for each other way in.
        for (name, _) in std::env::vars_os() {
            let set_by_cargo = name.to_str().is_some_and(|name| {
                ["CARGO_PKG_", "CARGO_MANIFEST_"]
                    .iter()
                    .any(|start| name.starts_with(start))
                    || name == "CARGO"
            });
            if set_by_cargo {
                command.env_remove(name);
            }
        }
        command
    }

    /// `cargo` with these arguments.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = self.command("cargo");
        command.args(arguments);
        command
    }

    /// A program of this workspace, as `profile` builds it.
    pub(crate) fn program(&self, profile: &str, name: &str) -> PathBuf {
        self.target
            .join(profile)
            .join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
    }

    /// Tells a test program where what it tries was built.
    pub(crate) fn tell(&self, tests: &mut Command) {
        tests
            .env("SLUICE_BIN", self.program("debug", "sluice"))
            .env("SLUICE_PLUGINS", self.target.join("plugins"))
            .env(
                "SLUICE_GUESTS",
                self.target.join(GUEST_TARGET).join("plugin"),
            );
    }

    /// The names of the folders in `plugins/`, sorted.
    pub(crate) fn plugins(&self) -> Result<Vec<String>> {
        let folder = self.root.join("plugins");
        let entries = std::fs::read_dir(&folder)
            .with_context(|| format!("cannot list `{}`", folder.display()))?;
        let mut names: Vec<String> = entries
            .filter_map(Result::ok)
            .filter(|entry| entry.path().join("Cargo.toml").is_file())
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        Ok(names)
    }

    /// Where a guest's component lies once it is built.
    pub(crate) fn component(&self, plugin: &str) -> PathBuf {
        self.target
            .join(GUEST_TARGET)
            .join("plugin")
            .join(format!("sluice_{plugin}.wasm"))
    }

    /// Where a plugin lies once it is packed.
    pub(crate) fn packed(&self, plugin: &str) -> PathBuf {
        self.target.join("plugins").join(format!("{plugin}.wasm"))
    }

    /// A path for people: from the root where it lies below.
    pub(crate) fn short<'a>(&self, path: &'a Path) -> std::path::Display<'a> {
        path.strip_prefix(&self.root).unwrap_or(path).display()
    }
}
