//! `cargo x crash [--long] [--times N] [TEST…]`: the real store and the real binary, killed, cut off from power, on failing
//! disks and with damaged files. As long as in CI, or so many times as long.

use crate::plugins;
use crate::project::Project;
use crate::servers;
use crate::steps::Steps;
use anyhow::{Context, Result};

/// The test programs of `tests/crash`.
const TESTS: [&str; 5] = [
    "damage",
    "delivery",
    "disk_faults",
    "kill_points",
    "power_loss",
];
/// What `--long` is: a night's run.
const LONG_TIMES: f64 = 10.0;

struct Wanted {
    times: f64,
    /// Test programs of `tests/crash`; all where none is named.
    tests: Vec<String>,
}

pub(crate) fn run(project: &Project) -> Result<()> {
    let wanted = wanted(std::env::args().skip(2))?;
    let mut steps = Steps::new("crash", plugins::STEPS + 2);
    steps.act("look for strace", || servers::strace(project))?;
    plugins::prepare(project, &mut steps, &plugins::HOST_BUILD, &[])?;
    // Of the whole workspace, or other features would be compiled: see `plugins::HOST_BUILD`.
    let mut tests = project.cargo(&["test", "--workspace", "--no-fail-fast"]);
    for test in &wanted.tests {
        tests.args(["--test", test]);
    }
    // One test after the other: each takes both cores.
    tests.args(["--", "--nocapture", "--test-threads", "1"]);
    project.tell(&mut tests);
    tests.env("SLUICE_CRASH_TIMES", wanted.times.to_string());
    let next = "what broke lies in the folders that the violations name; `SLUICE_CRASH_SEED` tries the same again";
    steps.run("break it", tests, next)?;
    steps.finish("Nothing acknowledged was lost, and nothing was silent");
    Ok(())
}

fn wanted(mut arguments: impl Iterator<Item = String>) -> Result<Wanted> {
    let mut wanted = Wanted {
        times: 1.0,
        tests: Vec::new(),
    };
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--long" => wanted.times = LONG_TIMES,
            "--times" => {
                let times = arguments.next().context("`--times` wants a number")?;
                wanted.times = times
                    .parse()
                    .with_context(|| format!("`{times}` is no number of times"))?;
            }
            _ => wanted.tests.push(argument),
        }
    }
    if wanted.tests.is_empty() {
        wanted.tests = TESTS.map(str::to_owned).to_vec();
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_is_named() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../crash/tests");
        let there = std::fs::read_dir(folder).expect("a folder");
        let there = there.map(|entry| entry.expect("an entry").path());
        let mut there: Vec<_> = there
            .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
            .collect();
        there.sort();
        assert_eq!(there, TESTS);
    }

    #[test]
    fn a_run_is_as_long_as_was_asked() {
        let check = |arguments: &[&str]| {
            let wanted = wanted(arguments.iter().map(ToString::to_string));
            wanted
                .map(|wanted| (wanted.times, wanted.tests.join(" ")))
                .ok()
        };
        assert_eq!(check(&[]), Some((1.0, TESTS.join(" "))));
        assert_eq!(
            check(&["--long", "damage"]),
            Some((LONG_TIMES, "damage".to_owned()))
        );
        assert_eq!(
            check(&["--times", "0.1", "delivery"]),
            Some((0.1, "delivery".to_owned()))
        );
        assert!(check(&["--times", "often"]).is_none() && check(&["--times"]).is_none());
    }
}
