//! `cargo x demo`: what Sluice does, shown on real data in a folder of its own that is made anew each time.

use crate::plugins;
use crate::project::Project;
use crate::server::Server;
use crate::steps::Steps;
use anyhow::{Context, Result};
use std::path::Path;

pub(crate) fn run(project: &Project) -> Result<()> {
    let mut steps = Steps::new("demo", plugins::STEPS + 3);
    plugins::prepare(project, &mut steps, &plugins::HOST_BUILD, &[])?;
    let folder = project.root.join("demo");
    steps.act("lay out the folder `demo`", || lay_out(project, &folder))?;
    let mut server = None;
    steps.act("start an API to write to", || {
        let started = server.insert(start_api(project, &folder)?);
        Ok(format!(
            "process {} listens on {}",
            started.id(),
            started.address()
        ))
    })?;
    let mut server = server.context("the server was started")?;
    server.tell("counts")?;
    let told = server.stop()?;
    steps.act("what the API received", || Ok(told))?;
    steps.finish("Everything it read and wrote lies in `demo`");
    Ok(())
}

/// Empties the folder and copies the data in: a demo changes nothing that is kept in git.
fn lay_out(project: &Project, folder: &Path) -> Result<String> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)
            .with_context(|| format!("cannot empty `{}`", folder.display()))?;
    }
    let data = project.root.join("tests/data");
    let mut copied = copy(
        &data.join("movies.ndjson"),
        &folder.join("in/movies.ndjson"),
    )?;
    for entry in std::fs::read_dir(data.join("weather")).context("cannot list the demo's data")? {
        let path = entry?.path();
        let name = path.file_name().context("a file has a name")?;
        copied += copy(&path, &folder.join("in/weather").join(name))?;
    }
    Ok(format!(
        "{:.1} MB of real data in demo/in",
        copied as f64 / 1e6
    ))
}

fn copy(from: &Path, to: &Path) -> Result<u64> {
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::copy(from, to).with_context(|| format!("cannot copy `{}`", from.display()))
}

fn start_api(project: &Project, folder: &Path) -> Result<Server> {
    let mut command = project.command(project.program("debug", "sluice-upstream"));
    command
        .args(["--token", "demo-token", "--out"])
        .arg(folder.join("received"));
    Server::start(command)
}
