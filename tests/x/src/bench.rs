//! `cargo x bench [--quick] [NAME…]`: builds host, plugins and rivals as they are shipped, and starts the runner in
//! `tests/bench` on what is named, or all of it.

use crate::plugins;
use crate::project::Project;
use crate::steps::Steps;
use anyhow::Result;

/// Both in one build, so that they share every crate.
const HOST_BUILD: [&str; 6] = [
    "build",
    "--release",
    "-p",
    "sluice-cli",
    "-p",
    "sluice-bench",
];

/// The neighbour of `beside` and `served`.
const HOSTILE: &str = "sluice-hostile";

pub(crate) fn run(project: &Project) -> Result<()> {
    let mut steps = Steps::new("bench", plugins::STEPS + 1);
    plugins::prepare(project, &mut steps, &HOST_BUILD, &[HOSTILE])?;
    let mut bench = project.command(project.program("release", "sluice-bench"));
    bench
        .args(["run", "--host"])
        .arg(project.program("release", "sluice"))
        .arg("--plugins")
        .arg(project.target.join("plugins"))
        .arg("--work")
        .arg(project.target.join("bench"))
        .arg("--hostile")
        .arg(project.component("hostile"))
        .args(std::env::args_os().skip(2));
    steps.run(
        "measure",
        bench,
        "look at the output above; a measurement needs an idle machine",
    )?;
    steps.finish("The ratios count: absolute figures are this machine's");
    Ok(())
}
