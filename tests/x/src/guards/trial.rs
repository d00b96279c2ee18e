//! One run of a test program, with an end: what hangs is killed, with all it started.

use anyhow::{Context, Result};
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Between two looks at whether it ended.
const STEP: Duration = Duration::from_millis(10);

pub(super) struct Trial {
    pub(super) command: Command,
    /// Where its words go.
    pub(super) log: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Green,
    Red,
    Hangs,
}

impl Trial {
    pub(super) fn run(mut self, patience: Duration) -> Result<Outcome> {
        let log = File::create(&self.log).with_context(|| format!("`{}`", self.log.display()))?;
        self.command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        let mut child = self.command.spawn().context("a test does not start")?;
        let began = Instant::now();
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(if status.success() {
                    Outcome::Green
                } else {
                    Outcome::Red
                });
            }
            if began.elapsed() >= patience {
                kill(&mut child);
                return Ok(Outcome::Hangs);
            }
            std::thread::sleep(STEP);
        }
    }
}

/// Its process group: a test may have started others.
fn kill(child: &mut Child) {
    let group = format!("kill -s KILL -- -{}", child.id());
    let _ = Command::new("sh").args(["-c", &group]).status();
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hangs_is_killed_with_what_it_started() {
        let log = std::env::temp_dir().join(format!("sluice-x-trial-{}", std::process::id()));
        let run = |script: &str, patience: Duration| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            let log = log.clone();
            Trial { command, log }.run(patience).expect("it starts")
        };
        let long = Duration::from_mins(1);
        assert_eq!(run("exit 0", long), Outcome::Green);
        assert_eq!(run("exit 101", long), Outcome::Red);
        assert_eq!(run("kill -ABRT $$", long), Outcome::Red);
        // The inner one writes as long as it lives.
        let loops = "(while :; do echo x; sleep 0.01; done) & wait";
        assert_eq!(run(loops, Duration::from_millis(200)), Outcome::Hangs);
        let length = || std::fs::metadata(&log).expect("its words").len();
        let before = length();
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(length(), before);
        std::fs::remove_file(&log).expect("it is there");
    }
}
