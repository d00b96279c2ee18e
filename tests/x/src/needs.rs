//! Real servers that the tests start: looked for before anything is built, and installed on Debian where we are root.
//! Elsewhere it says what to install.

use crate::project::Project;
use anyhow::{Context, Result, bail};
use std::path::Path;

/// Something that the tests run and do not build.
struct Need {
    what: &'static str,
    /// Found, it is there.
    is_there: fn() -> bool,
    /// Debian's package.
    package: &'static str,
}

const NEEDS: [Need; 1] = [Need {
    what: "PostgreSQL",
    is_there: || has_below("/usr/lib/postgresql", "bin/initdb") || is_program("initdb"),
    package: "postgresql",
}];

/// Makes sure of all of them. What it returns says which there are.
pub(crate) fn provide(project: &Project) -> Result<String> {
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| !(need.is_there)()).collect();
    if !missing.is_empty() {
        install(project, &missing)?;
    }
    let all: Vec<&str> = NEEDS.iter().map(|need| need.what).collect();
    Ok(format!("{} is installed", all.join(", ")))
}

fn install(project: &Project, missing: &[&Need]) -> Result<()> {
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    let whats: Vec<&str> = missing.iter().map(|need| need.what).collect();
    let next = format!(
        "next: install {} (on Debian: apt-get install {})",
        whats.join(" and "),
        packages.join(" ")
    );
    if !is_program("apt-get") || !is_root(project)? {
        bail!(
            "the tests need {}, and it is not installed\n  {next}",
            whats.join(" and ")
        );
    }
    for arguments in [
        &["update", "--quiet"][..],
        &[
            &["install", "--yes", "--quiet", "--no-install-recommends"],
            &packages[..],
        ]
        .concat(),
    ] {
        println!("  $ apt-get {}", arguments.join(" "));
        let mut command = project.command("apt-get");
        let status = command
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .status()
            .with_context(|| next.clone())?;
        if !status.success() {
            bail!("apt-get failed ({status})\n  {next}");
        }
    }
    Ok(())
}

fn is_root(project: &Project) -> Result<bool> {
    let output = project.command("id").arg("-u").output();
    let output = output.context("cannot start `id`")?;
    Ok(output.stdout.trim_ascii() == b"0")
}

fn is_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// Whether one of the folder's folders has this file.
fn has_below(folder: &str, file: &str) -> bool {
    let entries = Path::new(folder).read_dir().into_iter().flatten();
    entries
        .filter_map(Result::ok)
        .any(|entry| entry.path().join(file).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_seen() {
        let repository = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
        assert!(has_below(repository, "x/Cargo.toml"), "in `tests`");
        assert!(!has_below(repository, "no/such.file"));
        assert!(!has_below("/no/such/folder", "x/Cargo.toml"));
        assert!(is_program("sh") && !is_program("no-such-program-at-all"));
    }
}
