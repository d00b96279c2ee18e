//! `cargo x storm [SEEDS]`: the long runs of what every test run does in short. A sink that refuses, fails for a minute
//! and hangs for a minute under 100,000 records; each script of faults with many seeds; a million rows between tables and
//! files, and a million messages, through kills of the host and of the servers.

use crate::project::Project;
use crate::steps::Steps;
use crate::{plugins, servers, suite};
use anyhow::Result;

/// What the tests read, and for how many seeds where nobody says.
const FULL: &str = "SLUICE_STORM";
const SEEDS: &str = "SLUICE_FAULT_SEEDS";
const SEEDS_DEFAULT: &str = "200";
const ROWS: &str = "SLUICE_ROWS";
const ROWS_FULL: &str = "1000000";

pub(crate) fn run(project: &Project) -> Result<()> {
    let mut steps = Steps::new("storm", servers::STEPS + plugins::STEPS + 5);
    let nginx = servers::prepare(project, &mut steps)?;
    let build = ["build", "--workspace", "--all-targets"];
    plugins::prepare(project, &mut steps, &build, &suite::GUESTS)?;
    let seeds = std::env::args().nth(2);
    let seeds = seeds.as_deref().unwrap_or(SEEDS_DEFAULT);
    for (what, program) in [
        ("a storm at its full length", "storm"),
        ("each script of faults with every seed", "faults"),
        ("a million rows and what changes in them", "changes"),
        ("the same of MariaDB", "mysql_kills"),
        ("a million messages", "messages"),
    ] {
        // Of the whole workspace, or other features would be compiled: see `plugins::HOST_BUILD`.
        let arguments = [
            "test",
            "--workspace",
            "--test",
            program,
            "--",
            "--nocapture",
        ];
        let mut tests = project.cargo(&arguments);
        tests
            .env(FULL, "full")
            .env(SEEDS, seeds)
            .env(ROWS, ROWS_FULL);
        tests.env("SLUICE_NGINX", &nginx);
        project.tell(&mut tests);
        let next =
            "try that test alone; where a script of faults is red, the message names the seed";
        steps.run(what, tests, next)?;
    }
    steps.finish("Nothing was lost, and nothing doubled");
    Ok(())
}
