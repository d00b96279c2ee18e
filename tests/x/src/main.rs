//! `cargo x`: what a developer does to this repository, each command as numbered steps that say what they run. Needs
//! the Rust toolchain and nothing else, but for `test` (see `servers`). It starts programs and waits for them; it holds
//! no crate of ours.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it talks to a person"
)]

mod bench;
mod checks;
mod crash;
mod demo;
mod fuzz;
mod guards;
mod plugins;
mod project;
mod server;
mod servers;
mod steps;
mod storm;
mod suite;

use project::Project;
use std::process::ExitCode;

type Task = fn(&Project) -> anyhow::Result<()>;

const TASKS: [(&str, Task, &str); 11] = [
    (
        "demo",
        demo::run,
        "real data through real plugins, from a file to an API and back, and what was refused on the way",
    ),
    ("test", suite::run, "every test there is"),
    (
        "plugins",
        plugins::run,
        "build every plugin and pack it with its manifest",
    ),
    (
        "lint",
        checks::lint,
        "formatting, clippy natively and for the guests, licences and bans",
    ),
    (
        "docs",
        checks::docs,
        "the API documentation, with broken links as errors",
    ),
    (
        "bench",
        bench::run,
        "how much a record costs, against native code in the same run",
    ),
    (
        "fuzz",
        fuzz::run,
        "hostile input to whatever parses, matches or decodes: [--seconds N] [NAME…]",
    ),
    (
        "storm",
        storm::run,
        "a sink that refuses, fails for a minute and hangs for a minute; and every fault with more seeds: [SEEDS]",
    ),
    (
        "crash",
        crash::run,
        "kills, power cuts, failing disks and damaged files: [--long] [--times N] [TEST…]",
    ),
    (
        "guards",
        guards::run,
        "the mutation check: each guard off, and a test that goes red: [GUARD…]",
    ),
    (
        "ci",
        checks::ci,
        "lint and docs: what CI asks besides the tests",
    ),
];

fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_default();
    let Some((_, task, _)) = TASKS.iter().find(|(own, _, _)| *own == name) else {
        return usage(&name);
    };
    match Project::find().and_then(|project| task(&project)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\n{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn usage(name: &str) -> ExitCode {
    let asked_for_help = matches!(name, "" | "help" | "--help" | "-h");
    if !asked_for_help {
        eprintln!("`{name}` is not a command\n");
    }
    println!("cargo x COMMAND\n");
    for (name, _, about) in TASKS {
        println!("  {name:<9}{about}");
    }
    if asked_for_help {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(2)
    }
}
