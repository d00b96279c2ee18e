//! Numbered steps: what is done, the command, how long it took; and, where one fails, the command, the end of what it
//! said, and what to do next.

use anyhow::{Context, Result, bail};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Lines of a failed command's output that are shown.
const TAIL_LINES: usize = 30;

pub(crate) struct Steps {
    task: &'static str,
    total: usize,
    number: usize,
    began: Instant,
}

impl Steps {
    pub(crate) fn new(task: &'static str, total: usize) -> Self {
        Self {
            task,
            total,
            number: 0,
            began: Instant::now(),
        }
    }

    fn begin(&mut self, what: &str) -> String {
        self.number += 1;
        let title = format!("[{}/{}] {what}", self.number, self.total);
        println!("\n{title}");
        title
    }

    /// Runs a command that shows its own progress.
    pub(crate) fn run(&mut self, what: &str, mut command: Command, next: &str) -> Result<()> {
        let title = self.begin(what);
        println!("  $ {}", line(&command));
        let began = Instant::now();
        let status = command
            .status()
            .with_context(|| unstartable(&title, &command, next))?;
        let elapsed = seconds(began.elapsed());
        if !status.success() {
            bail!(
                "{title}: failed after {elapsed} ({status}); its output stands above\n  command: {}\n  next: {next}",
                line(&command)
            );
        }
        println!("  done in {elapsed}");
        Ok(())
    }

    /// Runs commands whose output matters only where one fails.
    pub(crate) fn run_quietly(
        &mut self,
        what: &str,
        commands: Vec<Command>,
        next: &str,
    ) -> Result<()> {
        let title = self.begin(what);
        let began = Instant::now();
        for mut command in commands {
            println!("  $ {}", line(&command));
            command.stdin(Stdio::null());
            let output = command
                .output()
                .with_context(|| unstartable(&title, &command, next))?;
            if !output.status.success() {
                let said = [output.stdout, output.stderr].concat();
                let tail = tail(&String::from_utf8_lossy(&said), TAIL_LINES);
                bail!(
                    "{title}: failed ({})\n{tail}\n  command: {}\n  next: {next}",
                    output.status,
                    line(&command)
                );
            }
        }
        println!("  done in {}", seconds(began.elapsed()));
        Ok(())
    }

    /// Does something that is no command; what it returns is said.
    pub(crate) fn act(&mut self, what: &str, act: impl FnOnce() -> Result<String>) -> Result<()> {
        let title = self.begin(what);
        let began = Instant::now();
        let said = act().with_context(|| format!("{title}: failed"))?;
        println!("  {said} ({})", seconds(began.elapsed()));
        Ok(())
    }

    /// The last line: that all is done, and what came of it.
    pub(crate) fn finish(self, result: &str) {
        assert_eq!(
            self.number, self.total,
            "`{}` says how many steps it has",
            self.task
        );
        println!(
            "\n{}: done in {}. {result}",
            self.task,
            seconds(self.began.elapsed())
        );
    }
}

fn unstartable(title: &str, command: &Command, next: &str) -> String {
    format!(
        "{title}: cannot start\n  command: {}\n  next: {next}",
        line(command)
    )
}

/// A command as one would type it, with the environment that was set for it by us and matters.
pub(crate) fn line(command: &Command) -> String {
    let set = command.get_envs().filter_map(|(name, value)| {
        let (name, value) = (name.to_string_lossy(), value?.to_string_lossy());
        (name != "CARGO_TARGET_DIR").then(|| format!("{name}={}", quoted(&value)))
    });
    let words = [command.get_program()]
        .into_iter()
        .chain(command.get_args());
    set.chain(words.map(|word| quoted(&word.to_string_lossy())))
        .collect::<Vec<_>>()
        .join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.trim_end().lines().collect();
    let shown = &all[all.len().saturating_sub(lines)..];
    shown
        .iter()
        .map(|line| format!("  | {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn seconds(elapsed: Duration) -> String {
    match elapsed.as_secs() {
        0..60 => format!("{:.1} s", elapsed.as_secs_f64()),
        all => format!("{} min {:02} s", all / 60, all % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_one_types_it() {
        let mut command = Command::new("cargo");
        command
            .args(["test", "it's", ""])
            .env("A", "-D warnings")
            .env("CARGO_TARGET_DIR", "/t")
            .env_remove("B");
        assert_eq!(line(&command), r"A='-D warnings' cargo test 'it'\''s' ''");
    }

    #[test]
    fn a_tail_is_the_end() {
        assert_eq!(tail("a\nb\nc\n", 2), "  | b\n  | c");
        assert_eq!(tail("a", 2), "  | a");
        assert_eq!(tail("", 2), "");
    }

    #[test]
    fn a_failure_says_command_output_and_next_step() {
        let mut failing = Command::new("cargo");
        failing.arg("no-such-command-at-all");
        let error = Steps::new("t", 1)
            .run_quietly("try", vec![failing], "mend it")
            .expect_err("fails");
        let told = format!("{error:#}");
        for part in [
            "[1/1] try: failed",
            "  | ",
            "command: cargo no-such-command-at-all",
            "next: mend it",
        ] {
            assert!(told.contains(part), "{part} in {told}");
        }
        let absent = Command::new("./no-such-program-at-all");
        let error = Steps::new("t", 1)
            .run("try", absent, "mend it")
            .expect_err("fails");
        assert!(
            format!("{error:#}")
                .contains("cannot start\n  command: ./no-such-program-at-all\n  next: mend it")
        );
    }

    #[test]
    fn time_is_told_in_its_own_size() {
        assert_eq!(seconds(Duration::from_millis(1_250)), "1.2 s");
        assert_eq!(seconds(Duration::from_secs(125)), "2 min 05 s");
    }
}
