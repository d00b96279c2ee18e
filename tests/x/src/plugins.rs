//! Guests: the WASM target, their build, and packing each component with its manifest.

use crate::project::{GUEST_TARGET, Project};
use crate::steps::Steps;
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;

/// Steps that [`prepare`] takes.
pub(crate) const STEPS: usize = 4;

/// The whole workspace, though fewer crates would do: built in parts, wasmtime would be asked for with other features,
/// and `cargo x test` would compile it a second time.
pub(crate) const HOST_BUILD: [&str; 2] = ["build", "--workspace"];

pub(crate) fn run(project: &Project) -> Result<()> {
    let mut steps = Steps::new("plugins", STEPS);
    prepare(project, &mut steps, &HOST_BUILD, &[])?;
    let names = project.plugins()?;
    steps.finish(&format!(
        "{} plugins lie in {}",
        names.len(),
        project.short(&project.target.join("plugins"))
    ));
    Ok(())
}

/// Everything a test or the demo needs: the target, the guests, the host as `host_build` builds it (`--release` or
/// not), packed plugins.
/// `more_guests` are guests that are built and not packed.
pub(crate) fn prepare(
    project: &Project,
    steps: &mut Steps,
    host_build: &[&str],
    more_guests: &[&str],
) -> Result<()> {
    steps.act("look for the WASM target", || target(project))?;
    let next =
        "mend what the compiler says; a guest compiles for wasm32-wasip2 only with what WASI has";
    steps.run("build the plugins", guests(project, more_guests)?, next)?;
    steps.run(
        "build the host",
        project.cargo(host_build),
        "mend what the compiler says",
    )?;
    std::fs::create_dir_all(project.target.join("plugins"))
        .context("cannot make the folder for packed plugins")?;
    let next = "mend the manifest: the message names the line";
    let profile = if host_build.contains(&"--release") {
        "release"
    } else {
        "debug"
    };
    let packing = pack(project, profile)?;
    steps.run_quietly("pack each plugin with its manifest", packing, next)
}

fn target(project: &Project) -> Result<String> {
    let next = format!(
        "next: install rustup, or add the target `{GUEST_TARGET}` to your toolchain by hand"
    );
    let Ok(listed) = project
        .command("rustup")
        .args(["target", "list", "--installed"])
        .output()
    else {
        return without_rustup(project);
    };
    if String::from_utf8_lossy(&listed.stdout)
        .lines()
        .any(|line| line == GUEST_TARGET)
    {
        return Ok(format!("{GUEST_TARGET} is installed"));
    }
    println!("  $ rustup target add {GUEST_TARGET}");
    let added = project
        .command("rustup")
        .args(["target", "add", GUEST_TARGET])
        .status()
        .context(next.clone())?;
    if !added.success() {
        bail!("rustup could not add `{GUEST_TARGET}`\n  {next}");
    }
    Ok(format!("{GUEST_TARGET} was added"))
}

/// A toolchain from elsewhere, a distribution's say: the target is there or not.
fn without_rustup(project: &Project) -> Result<String> {
    let asked = project
        .command("rustc")
        .args(["--print", "target-libdir", "--target", GUEST_TARGET])
        .output();
    let folder = asked
        .context("cannot start `rustc`\n  next: install the Rust toolchain")?
        .stdout;
    if Path::new(String::from_utf8_lossy(&folder).trim()).is_dir() {
        return Ok(format!("{GUEST_TARGET} is installed"));
    }
    bail!(
        "this toolchain has no `{GUEST_TARGET}` and there is no rustup to add it\n  next: install rustup"
    );
}

fn guests(project: &Project, more: &[&str]) -> Result<Command> {
    let mut command = project.cargo(&["build", "--profile", "plugin", "--target", GUEST_TARGET]);
    for name in project.plugins()? {
        command.arg("-p").arg(format!("sluice-{name}"));
    }
    for name in more {
        command.args(["-p", name]);
    }
    Ok(command)
}

fn pack(project: &Project, profile: &str) -> Result<Vec<Command>> {
    let sluice = project.program(profile, "sluice");
    let one = |name: String| {
        let mut command = project.command(&sluice);
        command
            .args(["plugin", "pack"])
            .arg(project.component(&name));
        command
            .arg("--manifest")
            .arg(format!("plugins/{name}/manifest.toml"));
        command.arg("--out").arg(project.packed(&name));
        command
    };
    Ok(project.plugins()?.into_iter().map(one).collect())
}
