//! The test programs that cargo made, and the tests in them.

use super::table::Line;
use crate::project::Project;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;

/// By `egress/door`: the folder of the crate, and the target.
#[derive(Default)]
pub(super) struct Programs(BTreeMap<String, Program>);

pub(super) struct Program {
    pub(super) path: PathBuf,
    /// Where cargo runs it.
    pub(super) folder: PathBuf,
    /// Every test in it.
    tests: Vec<String>,
}

impl Program {
    /// The whole path of a test that was found before.
    pub(super) fn named(&self, end: &str) -> &str {
        let found = self.tests.iter().find(|test| is_named(test, end));
        found.expect("each line's test is looked for first")
    }
}

fn is_named(test: &str, end: &str) -> bool {
    test.strip_suffix(end)
        .is_some_and(|before| before.is_empty() || before.ends_with("::"))
}

impl Programs {
    /// Those that the lines name, each with its test: exactly one.
    pub(super) fn find(project: &Project, lines: &[Line]) -> Result<Self> {
        let mut cargo = project.cargo(&["test", "--workspace", "--no-run", "--quiet"]);
        cargo.arg("--message-format=json").stderr(Stdio::inherit());
        let output = cargo.output().context("cargo does not start")?;
        if !output.status.success() {
            bail!("the tests do not compile; what is wrong stands above");
        }
        let mut programs = BTreeMap::new();
        for message in String::from_utf8_lossy(&output.stdout).lines() {
            if let Some((target, path, folder)) = program(message)
                && lines.iter().any(|line| line.target == target)
            {
                let tests = tests(project, &path)?;
                programs.insert(
                    target,
                    Program {
                        path,
                        folder,
                        tests,
                    },
                );
            }
        }
        for Line {
            guard,
            target,
            test,
            ..
        } in lines
        {
            let program = programs.get(target);
            let program = program.with_context(|| format!("`{guard}`: there is no `{target}`"))?;
            let found = program
                .tests
                .iter()
                .filter(|found| is_named(found, test))
                .count();
            if found != 1 {
                bail!("`{guard}`: {found} tests of `{target}` are called `{test}`");
            }
        }
        Ok(Self(programs))
    }

    pub(super) fn of(&self, target: &str) -> &Program {
        &self.0[target]
    }
}

fn tests(project: &Project, path: &PathBuf) -> Result<Vec<String>> {
    let listed = project
        .command(path)
        .args(["--list", "--format", "terse"])
        .output();
    let listed = listed.with_context(|| format!("cannot start `{}`", path.display()))?;
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    let names = text.lines().filter_map(|line| line.strip_suffix(": test"));
    Ok(names.map(str::to_owned).collect())
}

/// One message of cargo's: the target, its program and its crate's folder, where it is a test program.
fn program(message: &str) -> Option<(String, PathBuf, PathBuf)> {
    let after = |text: &str, key: &str| {
        let (_, rest) = text.split_once(key)?;
        rest.split_once('"').map(|(value, _)| value.to_owned())
    };
    if !message.contains("\"reason\":\"compiler-artifact\"") || !message.contains("\"test\":true}")
    {
        return None;
    }
    let path = after(message, "\"executable\":\"")?;
    let manifest = PathBuf::from(after(message, "\"manifest_path\":\"")?);
    let folder = manifest.parent()?.to_owned();
    let target = message.split_once("\"target\":{")?.1;
    let kind = after(target, "\"kind\":[\"")?;
    let name = match kind.as_str() {
        "test" => after(target, "\"name\":\"")?,
        "lib" | "bin" => kind,
        _ => return None,
    };
    let crate_ = folder.file_name()?.to_string_lossy().into_owned();
    Some((format!("{crate_}/{name}"), path.into(), folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_program_is_known_by_its_message() {
        let message = |kind: &str, test: bool| {
            format!(
                r#"{{"reason":"compiler-artifact","package_id":"x","manifest_path":"/r/host/egress/Cargo.toml","target":{{"kind":["{kind}"],"crate_types":["bin"],"name":"door"}},"profile":{{"opt_level":"1","test":{test}}},"executable":"/t/door-1"}}"#
            )
        };
        let found = |kind: &str, test| program(&message(kind, test)).map(|(target, ..)| target);
        assert_eq!(found("test", true).as_deref(), Some("egress/door"));
        assert_eq!(found("lib", true).as_deref(), Some("egress/lib"));
        assert_eq!(found("bench", true), None);
        assert_eq!(found("bin", false), None);
        assert!(is_named("a::tests::b", "b") && is_named("a::tests::b", "tests::b"));
        assert!(!is_named("a::tests::ab", "b"));
    }
}
