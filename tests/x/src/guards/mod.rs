//! `cargo x guards`: the mutation check. Each guard of `docs/guards.md` is switched off, alone, and the test that its
//! line names must go red; with every guard standing all of them are green. A guard without such a test could be
//! taken out, and nobody would know.

mod programs;
mod table;
mod trial;

use crate::plugins;
use crate::project::Project;
use crate::steps::Steps;
use anyhow::{Result, bail};
use programs::Programs;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use table::Line;
use trial::{Outcome, Trial};

/// What a test may take with every guard standing, and without a guard where its line does not say that it hangs.
const TIME_MAX: Duration = Duration::from_mins(3);
/// What a test that hangs without its guard is waited for; it takes a fraction of that with it.
const HANG: Duration = Duration::from_secs(12);

pub(crate) fn run(project: &Project) -> Result<()> {
    let lines = table::chosen(project, std::env::args().skip(2))?;
    let mut steps = Steps::new("guards", plugins::STEPS + 4);
    steps.act("look for strace", || crate::servers::strace(project))?;
    plugins::prepare(
        project,
        &mut steps,
        &["build", "--workspace", "--all-targets"],
        &crate::suite::GUESTS,
    )?;
    let mut programs = Programs::default();
    steps.act("find the tests", || {
        programs = Programs::find(project, &lines)?;
        Ok(format!("{} guards have a test each", lines.len()))
    })?;
    let check = Check {
        project,
        programs,
        logs: project.target.join("guards"),
    };
    std::fs::create_dir_all(&check.logs)?;
    steps.act("every guard stands: all are green", || {
        check.standing(&lines)
    })?;
    steps.act("one guard is off: its test is red", || check.off(&lines))?;
    steps.finish("Every guard has a test that goes red without it");
    Ok(())
}

struct Check<'a> {
    project: &'a Project,
    programs: Programs,
    logs: PathBuf,
}

impl Check<'_> {
    /// The tests of one program together, and two programs at once.
    fn standing(&self, lines: &[Line]) -> Result<String> {
        let mut by_target: BTreeMap<&str, Vec<&Line>> = BTreeMap::new();
        for line in lines {
            by_target.entry(&line.target).or_default().push(line);
        }
        let groups: Vec<(&str, Vec<&Line>)> = by_target.into_iter().collect();
        let judge = |(target, lines): &(&str, Vec<&Line>)| {
            let log = target.replace('/', "-");
            let outcome = self.trial(lines, &log).run(TIME_MAX)?;
            Ok(match outcome {
                Outcome::Green => None,
                Outcome::Red => Some(format!("`{target}` is red though every guard stands")),
                Outcome::Hangs => Some(format!("`{target}` hangs though every guard stands")),
            }
            .map(|wrong| format!("{wrong}; it said: {}", self.shown(&log))))
        };
        let wrong = side_by_side(&groups, judge)?;
        if wrong.is_empty() {
            Ok(format!("{} programs, all green", groups.len()))
        } else {
            bail!("{}", wrong.join("\n"))
        }
    }

    fn off(&self, lines: &[Line]) -> Result<String> {
        let judge = |line: &Line| {
            let began = Instant::now();
            let mut trial = self.trial(&[line], &line.guard);
            trial.command.env("SLUICE_GUARD_OFF", &line.guard);
            let patience = if line.hangs { HANG } else { TIME_MAX };
            let outcome = trial.run(patience)?;
            let Line {
                guard,
                target,
                test,
                ..
            } = line;
            let (is_right, said) = match outcome {
                Outcome::Red => (true, "red"),
                Outcome::Hangs if line.hangs => (true, "red: it hangs"),
                Outcome::Hangs => (false, "HANGS, and its line does not say so"),
                Outcome::Green => (false, "STAYS GREEN"),
            };
            let elapsed = began.elapsed().as_secs_f32();
            println!("  {guard:<24} {said:<14} {elapsed:>5.1} s  {target} {test}");
            Ok((!is_right).then(|| {
                format!(
                    "`{guard}`: `{target} {test}`: {said}; its words: {}",
                    self.shown(guard)
                )
            }))
        };
        let wrong = side_by_side(lines, judge)?;
        if wrong.is_empty() {
            Ok(format!("{} guards, {} red", lines.len(), lines.len()))
        } else {
            bail!(
                "{} of {} guards have no test that goes red\n{}\n  next: give each a test that fails without it, and name \
                 that in {}",
                wrong.len(),
                lines.len(),
                wrong.join("\n"),
                table::FILE
            )
        }
    }

    fn trial(&self, lines: &[&Line], log: &str) -> Trial {
        let program = self.programs.of(&lines[0].target);
        let mut command = self.project.command(&program.path);
        command.current_dir(&program.folder).arg("--exact");
        let mut names: Vec<&str> = lines.iter().map(|line| program.named(&line.test)).collect();
        names.sort_unstable();
        names.dedup();
        command.args(names);
        let words: Vec<&str> = lines
            .iter()
            .filter_map(|line| line.behaviour.as_deref())
            .collect();
        if !words.is_empty() {
            command.env("SLUICE_BEHAVIOURS", words.join(","));
        }
        self.project.tell(&mut command);
        command
            .env("CARGO_MANIFEST_DIR", &program.folder)
            // What fails here fails on purpose: it leaves nothing in the tree.
            .env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1")
            .env("INSTA_UPDATE", "no");
        Trial {
            command,
            log: self.log(log),
        }
    }

    fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    fn shown(&self, name: &str) -> String {
        self.project.short(&self.log(name)).to_string()
    }
}

/// Judges all of them, one more at once than there are cores: those that hang need none. Gives what is wrong, in their
/// order.
fn side_by_side<T: Sync>(
    all: &[T],
    judge: impl Fn(&T) -> Result<Option<String>> + Sync,
) -> Result<Vec<String>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from) + 1;
    let next = AtomicUsize::new(0);
    let work = || {
        let mut found = Vec::new();
        while let Some(at) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|at| *at < all.len())
        {
            found.push((at, judge(&all[at])));
        }
        found
    };
    let mut found: Vec<(usize, Result<Option<String>>)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let found = workers
            .into_iter()
            .map(|worker| worker.join().expect("judging does not panic"));
        found.flatten().collect()
    });
    found.sort_by_key(|(at, _)| *at);
    let found: Result<Vec<Option<String>>> = found.into_iter().map(|(_, found)| found).collect();
    Ok(found?.into_iter().flatten().collect())
}
