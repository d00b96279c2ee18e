//! `cargo x demo`: what Sluice does, shown on real data in a folder of its own that is made anew each time. The folder
//! stays, so that what it printed can be looked at and tried again by hand.

use crate::plugins;
use crate::project::Project;
use crate::server::Server;
use crate::steps::Steps;
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The pipelines, in the order they run, and whether they reach the API on this machine's own address.
const PIPELINES: [(&str, bool); 3] = [
    ("pipelines/1-movies.toml", false),
    ("pipelines/2-weather-to-api.toml", true),
    ("pipelines/3-api-to-files.toml", true),
];
/// Steps besides those of the build and of the pipelines.
const STEPS: usize = 6;
/// What the API asks for, and the host attaches: the plugins never see it. Made up.
const TOKEN: &str = "demo-token-made-up-0123456789";

/// Counts of one run, as its last equation tells them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Equation {
    read: u64,
    written: u64,
    filtered: u64,
    dead_lettered: u64,
}

pub(crate) fn run(project: &Project) -> Result<()> {
    let mut steps = Steps::new("demo", plugins::STEPS + STEPS + 2 * PIPELINES.len());
    plugins::prepare(project, &mut steps, &plugins::HOST_BUILD, &[])?;
    let demo = Demo {
        sluice: project.program("debug", "sluice"),
        folder: project.root.join("demo"),
    };
    steps.act("lay out the folder `demo`", || {
        lay_out(project, &demo.folder)
    })?;
    let mut server = None;
    steps.act("start an API to write to and read from", || {
        let mut started = start_api(project, &demo.folder)?;
        started.tell("fail 1 429 1")?;
        demo.point_pipelines_at(started.address())?;
        let (id, address) = (started.id(), started.address().to_owned());
        server = Some(started);
        Ok(format!(
            "process {id} listens on {address}, asks for a token, and will say 429 once"
        ))
    })?;
    let mut rows = Vec::new();
    for (pipeline, is_local) in PIPELINES {
        steps.act(
            &format!("grant the plugins of {pipeline} what they ask for"),
            || demo.grant(pipeline, is_local),
        )?;
        steps.act(&format!("run {pipeline}"), || {
            let counts = demo.run(pipeline)?;
            rows.push((pipeline, counts));
            Ok("done".to_owned())
        })?;
    }
    steps.act("look at what could not be delivered, and why", || {
        let (first, _) = PIPELINES[0];
        demo.show(&["dlq", "list", first, "--limit", "6"])?;
        demo.show(&["dlq", "show", first, "1"])?;
        demo.show(&["dlq", "list", PIPELINES[1].0, "--limit", "3"])
    })?;
    steps.act(
        "run all of them again: the checkpoints hold, so nothing is read",
        || demo.again(),
    )?;
    let server = server.context("the server was started")?;
    steps.act("what the API received", || server.stop())?;
    steps.act("the secret went to the API, and nowhere else", || {
        leaks(&demo.folder)
    })?;
    table(&rows);
    steps.finish("Everything it read and wrote lies in `demo`");
    Ok(())
}

struct Demo {
    sluice: PathBuf,
    folder: PathBuf,
}

impl Demo {
    fn command(&self, arguments: &[&str]) -> Command {
        println!("  $ sluice {}", arguments.join(" "));
        let mut command = Command::new(&self.sluice);
        command
            .args(arguments)
            .current_dir(&self.folder)
            .stdin(Stdio::null());
        command
    }

    /// Runs a command and shows what it prints, indented.
    fn said(&self, arguments: &[&str]) -> Result<String> {
        let output = self
            .command(arguments)
            .stderr(Stdio::inherit())
            .output()
            .context("cannot start sluice")?;
        let said = String::from_utf8(output.stdout).context("sluice prints text")?;
        for line in said.lines() {
            println!("    {line}");
        }
        ensure!(
            output.status.success(),
            "`sluice {}` failed ({})",
            arguments.join(" "),
            output.status
        );
        Ok(said)
    }

    fn show(&self, arguments: &[&str]) -> Result<String> {
        self.said(arguments).map(|_| "shown".to_owned())
    }

    /// What the security team does: reads what is asked, and grants it. The API is on this machine, which no plugin
    /// may reach unless a grant names its network.
    fn grant(&self, pipeline: &str, is_local: bool) -> Result<String> {
        let mut arguments = vec!["grant", "new", pipeline];
        if is_local {
            arguments.extend(["--network", "127.0.0.1/32"]);
        }
        self.show(&arguments)
    }

    fn run(&self, pipeline: &str) -> Result<Equation> {
        equation(&self.said(&["run", pipeline])?)
    }

    fn again(&self) -> Result<String> {
        for (pipeline, _) in PIPELINES {
            let counts = self.run(pipeline)?;
            ensure!(
                counts.read == 0,
                "{pipeline} read {} records again",
                counts.read
            );
        }
        Ok("nothing was read twice".to_owned())
    }

    fn point_pipelines_at(&self, address: &str) -> Result<()> {
        let address = address.trim_start_matches("http://");
        for (pipeline, _) in PIPELINES {
            let file = self.folder.join(pipeline);
            let text = std::fs::read_to_string(&file)
                .with_context(|| format!("cannot read {pipeline}"))?;
            std::fs::write(&file, text.replace("ADDRESS", address))?;
        }
        Ok(())
    }
}

/// The line `N read = N written + N filtered + N dead-lettered + 0 in flight`.
fn equation(said: &str) -> Result<Equation> {
    let line = said
        .lines()
        .find(|line| line.contains(" read = "))
        .context("the run ended without its equation")?;
    let numbers: Vec<u64> = line
        .split(' ')
        .filter_map(|word| word.parse().ok())
        .collect();
    let [read, written, filtered, dead_lettered, 0] = numbers[..] else {
        bail!("`{line}`: something is in flight after the end");
    };
    ensure!(
        read == written + filtered + dead_lettered,
        "`{line}` is not true"
    );
    Ok(Equation {
        read,
        written,
        filtered,
        dead_lettered,
    })
}

fn table(rows: &[(&str, Equation)]) {
    println!(
        "\n  {:<34}{:>9}{:>9}{:>10}{:>15}",
        "pipeline", "read", "written", "filtered", "dead-lettered"
    );
    for (pipeline, counts) in rows {
        let Equation {
            read,
            written,
            filtered,
            dead_lettered,
        } = counts;
        println!("  {pipeline:<34}{read:>9}{written:>9}{filtered:>10}{dead_lettered:>15}");
    }
}

/// Looks for the token in everything the demo left, but where it was put.
fn leaks(folder: &Path) -> Result<String> {
    let (mut folders, mut files) = (vec![folder.to_owned()], 0);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                if !path.ends_with("secrets") {
                    folders.push(path);
                }
                continue;
            }
            let bytes = std::fs::read(&path)?;
            let found = bytes
                .windows(TOKEN.len())
                .any(|window| window == TOKEN.as_bytes());
            ensure!(!found, "the token is in `{}`", path.display());
            files += 1;
        }
    }
    Ok(format!(
        "{files} files in `demo` looked through: in none of them"
    ))
}

/// Empties the folder and copies in the data, the deployment and the packed plugins: a demo changes nothing that is
/// kept in git.
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
    copied += copy_all(&data.join("weather"), &folder.join("in/weather"))?;
    let deployment = project.root.join("tests/x/demo");
    copy(&deployment.join("sluice.toml"), &folder.join("sluice.toml"))?;
    copy_all(&deployment.join("pipelines"), &folder.join("pipelines"))?;
    copy_all(&project.target.join("plugins"), &folder.join("plugins"))?;
    secret(&folder.join("secrets"), "weather-api", TOKEN)?;
    Ok(format!(
        "{:.1} MB of real data in demo/in",
        copied as f64 / 1e6
    ))
}

/// A secret's file is its owner's alone; the host takes no other.
fn secret(folder: &Path, name: &str, value: &str) -> Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::create_dir_all(folder)?;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(folder.join(name))?;
    file.write_all(value.as_bytes())
        .context("cannot write the secret")
}

fn copy_all(from: &Path, to: &Path) -> Result<u64> {
    let mut copied = 0;
    for entry in
        std::fs::read_dir(from).with_context(|| format!("cannot list `{}`", from.display()))?
    {
        let path = entry?.path();
        copied += copy(
            &path,
            &to.join(path.file_name().context("a file has a name")?),
        )?;
    }
    Ok(copied)
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
        .args(["--token", TOKEN, "--out"])
        .arg(folder.join("received"));
    Server::start(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_believed_only_with_a_true_equation() {
        let counts = Equation {
            read: 5,
            written: 2,
            filtered: 1,
            dead_lettered: 2,
        };
        let said = "x\n5 read = 2 written + 1 filtered + 2 dead-lettered + 0 in flight\n";
        assert_eq!(equation(said).expect("true"), counts);
        for bad in [
            "",
            "5 read = 2 written + 1 filtered + 1 dead-lettered + 0 in flight",
            "5 read = 2 written + 1 filtered + 1 dead-lettered + 1 in flight",
        ] {
            assert!(equation(bad).is_err(), "{bad}");
        }
    }
}
