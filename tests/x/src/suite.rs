//! `cargo x test`: every test there is, after what they need is built.
//!
//! One profile for all of it: `dev`, whose dependencies are optimised. Building with `--all-targets` makes the `sluice`
//! binary and all test programs in one go, and the test run after it compiles nothing again.

use crate::project::Project;
use crate::steps::Steps;
use crate::{plugins, servers};
use anyhow::Result;

/// Guests of the tests, which are not packed: one that misbehaves, one that dials.
pub(crate) const GUESTS: [&str; 2] = ["sluice-hostile", "sluice-dialer"];

pub(crate) fn run(project: &Project) -> Result<()> {
    let mut steps = Steps::new("test", servers::STEPS + plugins::STEPS + 1);
    let nginx = servers::prepare(project, &mut steps)?;
    plugins::prepare(
        project,
        &mut steps,
        &["build", "--workspace", "--all-targets"],
        &GUESTS,
    )?;
    let mut tests = project.cargo(&["test", "--workspace", "--no-fail-fast"]);
    project.tell(&mut tests);
    tests.env("SLUICE_NGINX", nginx);
    servers::tell(project, &mut tests);
    let next = "mend it, and try that program alone: the same line with --test PROGRAM";
    steps.run("run every test", tests, next)?;
    steps.finish("Every test passed");
    Ok(())
}
