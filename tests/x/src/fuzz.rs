//! `cargo x fuzz [--seconds N] [--without-engine] [NAME…]`: builds the fuzz targets of `tests/fuzz` in one go, and runs
//! what is named, or each of them, from the seeds in the tree and from what earlier runs on this machine found. Without
//! the engine it takes minutes less to build; the engine's own tests make a short run of the two targets that need it.

use crate::project::Project;
use crate::steps::Steps;
use anyhow::{Context, Result, bail};
use std::path::PathBuf;

const FOLDER: &str = "tests/fuzz";
const SECONDS: u64 = 60;
/// One input that takes longer is a finding.
const INPUT_SECONDS_MAX: u64 = 10;
const INPUT_BYTES_MAX: usize = 16 << 10;
/// What sanitizers are built with.
const TOOLCHAIN: &str = "+nightly";

struct Wanted {
    seconds: u64,
    without_engine: bool,
    targets: Vec<String>,
}

pub(crate) fn run(project: &Project) -> Result<()> {
    let mut wanted = wanted(std::env::args().skip(2), &targets(project)?)?;
    if wanted.without_engine {
        wanted.targets.retain(|name| !names_engine(project, name));
    }
    let mut steps = Steps::new("fuzz", 3 + wanted.targets.len());
    steps.act("look for cargo-fuzz", || installed(project))?;
    // cargo-fuzz takes no `--locked`, and would write the lock file anew.
    let manifest = format!("{FOLDER}/Cargo.toml");
    steps.run(
        "hold its lock file against its manifest",
        project.cargo(&["fetch", "--locked", "--manifest-path", &manifest]),
        &format!("`cargo update --workspace --manifest-path {manifest}`, and commit the lock file"),
    )?;
    let output = project.target.join("fuzz");
    let mut build = project.cargo(&[TOOLCHAIN, "fuzz", "build", "--fuzz-dir", FOLDER]);
    build.arg("--target-dir").arg(&output);
    // It brings wasmtime with it: not for targets that do without.
    if wanted
        .targets
        .iter()
        .any(|name| names_engine(project, name))
    {
        build.args(["--features", "engine"]);
    }
    steps.run(
        "build the targets",
        build,
        "`rustup toolchain install nightly --profile minimal` where there is none; else mend what the compiler says",
    )?;
    for name in &wanted.targets {
        run_one(project, &mut steps, name, wanted.seconds)?;
    }
    steps.finish("No finding");
    Ok(())
}

fn run_one(project: &Project, steps: &mut Steps, name: &str, seconds: u64) -> Result<()> {
    let output = project.target.join("fuzz");
    let program = program(&output, name)?;
    let found = output.join("corpus").join(name);
    let artifacts = output.join("artifacts").join(name);
    for folder in [&found, &artifacts] {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make `{}`", folder.display()))?;
    }
    let mut fuzz = project.command(&program);
    fuzz.arg(format!("-max_total_time={seconds}"))
        .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
        .arg(format!("-max_len={INPUT_BYTES_MAX}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg("-print_final_stats=1")
        .arg(&found)
        .arg(project.root.join(FOLDER).join("seeds").join(name));
    let next = format!(
        "mend it; the input lies in {}, and alone it runs with: {} INPUT",
        project.short(&artifacts),
        project.short(&program)
    );
    steps.run_quietly(&format!("{name}, {seconds} s"), vec![fuzz], &next)
}

/// Where cargo-fuzz puts it: below the name of this machine's kind.
fn program(output: &std::path::Path, name: &str) -> Result<PathBuf> {
    let kinds = std::fs::read_dir(output).context("nothing was built")?;
    let mut programs = kinds
        .filter_map(|kind| Some(kind.ok()?.path().join("release").join(name)))
        .filter(|program| program.is_file());
    programs
        .next()
        .with_context(|| format!("`{name}` was not built"))
}

/// The targets there are: the files of their folder.
fn targets(project: &Project) -> Result<Vec<String>> {
    let folder = project.root.join(FOLDER).join("targets");
    let entries = std::fs::read_dir(&folder)
        .with_context(|| format!("cannot list `{}`", folder.display()))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}

fn names_engine(project: &Project, target: &str) -> bool {
    let file = project
        .root
        .join(FOLDER)
        .join("targets")
        .join(format!("{target}.rs"));
    std::fs::read_to_string(file).is_ok_and(|text| text.contains("sluice_engine"))
}

fn wanted(arguments: impl Iterator<Item = String>, known: &[String]) -> Result<Wanted> {
    let mut wanted = Wanted {
        seconds: SECONDS,
        without_engine: false,
        targets: Vec::new(),
    };
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--seconds" => {
                let seconds = arguments.next().context("`--seconds` wants a number")?;
                wanted.seconds = seconds
                    .parse()
                    .with_context(|| format!("`{seconds}` is not a number of seconds"))?;
            }
            "--without-engine" => wanted.without_engine = true,
            name if known.iter().any(|known| known == name) => wanted.targets.push(argument),
            other => bail!("`{other}` is no target; there are {}", known.join(", ")),
        }
    }
    if wanted.targets.is_empty() {
        wanted.targets = known.to_vec();
    }
    Ok(wanted)
}

fn installed(project: &Project) -> Result<String> {
    let version = project.cargo(&["fuzz", "--version"]).output();
    if let Ok(version) = version
        && version.status.success()
    {
        return Ok(String::from_utf8_lossy(&version.stdout).trim().to_owned());
    }
    println!("  $ cargo install cargo-fuzz --locked");
    let installed = project
        .cargo(&["install", "cargo-fuzz", "--locked", "--debug", "--quiet"])
        .status()
        .context("cargo does not start")?;
    if installed.success() {
        Ok("cargo-fuzz was installed".to_owned())
    } else {
        bail!("cargo-fuzz could not be installed\n  next: cargo install cargo-fuzz --locked")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_is_run() {
        let known = ["csv".to_owned(), "json".to_owned()];
        let check = |arguments: &[&str]| {
            let arguments = arguments.iter().map(ToString::to_string);
            let wanted = wanted(arguments, &known).map_err(|error| error.to_string())?;
            Ok::<_, String>((wanted.seconds, wanted.targets.join(" ")))
        };
        assert_eq!(check(&[]), Ok((SECONDS, "csv json".to_owned())));
        assert_eq!(
            check(&["--seconds", "5", "json"]),
            Ok((5, "json".to_owned()))
        );
        for wrong in [&["xml"][..], &["--seconds"], &["--seconds", "x"]] {
            assert!(check(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn every_target_has_seeds_and_every_seed_a_target() {
        let project = Project::find().expect("the repository");
        let folder = project.root.join(FOLDER);
        let seeds = std::fs::read_dir(folder.join("seeds")).expect("seeds");
        let mut seeds: Vec<String> = seeds
            .map(|entry| {
                let entry = entry.expect("an entry");
                entry.file_name().to_string_lossy().into_owned()
            })
            .collect();
        seeds.sort();
        assert_eq!(seeds, targets(&project).expect("targets"));
    }
}
