//! `cargo x bench`: builds host and rivals as they are shipped, and starts the runner in `tests/bench`.

use crate::project::Project;
use crate::steps::Steps;
use anyhow::Result;

pub(crate) fn run(project: &Project) -> Result<()> {
    let mut steps = Steps::new("bench", 2);
    let build = project.cargo(&[
        "build",
        "--release",
        "-p",
        "sluice-cli",
        "-p",
        "sluice-bench",
    ]);
    steps.run(
        "build host and rivals, optimised",
        build,
        "mend what the compiler says",
    )?;
    let mut bench = project.command(project.program("release", "sluice-bench"));
    bench
        .args(["run", "--work"])
        .arg(project.target.join("bench"));
    steps.run(
        "measure",
        bench,
        "look at the output above; a measurement needs an idle machine",
    )?;
    steps.finish("The ratios count: absolute figures are this machine's");
    Ok(())
}
