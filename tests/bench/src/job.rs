//! The whole job: a file of orders through the host, beside the program that does nothing else.

use crate::deployment::{Deployment, Host};
use crate::orders::make_orders;
use crate::rounds::{Outcome, Subject, interleave, table};
use crate::same::same;
use anyhow::{Result, bail};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the CPU time may be, of the native program's.
const CPU_MAX: f64 = 1.3;
/// What the time on the wall may be, of the native program's.
const WALL_MAX: f64 = 0.8;

/// Measures both, after the host's output was found to be the native program's.
pub fn job(host: &Host, work: &Path, records: u64, rounds: usize) -> Result<String> {
    let input = make_orders(records, work)?;
    let output = work.join("native.ndjson");
    let deployment = Deployment::new(host, &work.join("job"), &input)?;
    let mut subjects = vec![native(&input, &output)?, sluice("sluice", &deployment)];
    interleave(&mut subjects, 0, |_, _| {})?;
    let written = same(&output, &deployment.published()?)?;
    let outcomes = interleave(&mut subjects, rounds, |round, name| {
        tell(round, rounds, name);
    })?;
    let mut text = format!(
        "whole job: {records} orders, {:.0} MB; the {written} records written are the same\n",
        input.metadata()?.len() as f64 / 1e6
    );
    text.push_str(&table(&outcomes, records));
    text.push_str(&verdict(&outcomes));
    Ok(text)
}

/// Says which round of which rival begins.
#[expect(clippy::print_stderr, reason = "progress, for a person who waits")]
pub fn tell(round: usize, rounds: usize, name: &str) {
    if round == 0 {
        eprintln!("warm-up: {name}");
    } else {
        eprintln!("round {round} of {rounds}: {name}");
    }
}

fn verdict(outcomes: &[Outcome]) -> String {
    let [native, sluice] = outcomes else {
        return String::new();
    };
    let cpu = sluice.median.cpu().as_secs_f64() / native.median.cpu().as_secs_f64();
    let wall = sluice.median.wall.as_secs_f64() / native.median.wall.as_secs_f64();
    let mut text = String::new();
    for (what, ratio, most) in [("CPU time", cpu, CPU_MAX), ("wall time", wall, WALL_MAX)] {
        let word = if ratio <= most { "holds" } else { "MISSED" };
        let _ = writeln!(text, "{what}: {ratio:.2} of native; at most {most}: {word}");
    }
    text
}

/// The host on this deployment.
pub fn sluice(name: &str, deployment: &Deployment) -> Subject {
    let deployment = deployment.clone();
    Subject {
        name: name.to_owned(),
        command: Box::new(move || deployment.run()),
    }
}

fn native(input: &Path, output: &Path) -> Result<Subject> {
    let program = std::env::current_exe()?
        .with_file_name(format!("native-orders{}", std::env::consts::EXE_SUFFIX));
    if !program.exists() {
        bail!(
            "`{}` is not there\nhint: cargo build --release -p sluice-bench",
            program.display()
        );
    }
    let (input, output): (PathBuf, PathBuf) = (input.to_owned(), output.to_owned());
    let command = move || {
        let mut command = Command::new(&program);
        command.arg(&input).arg(&output);
        Ok(command)
    };
    Ok(Subject {
        name: "native, by hand".to_owned(),
        command: Box::new(command),
    })
}
