//! A program, started and waited for, but never for ever.

use rustix::process::{Pid, Signal, kill_process_group};
use sluice_crash_checker::words::Ended;
use std::fs::File;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Between two looks at whether it ended.
const STEP: Duration = Duration::from_millis(1);
/// What is waited for an end. Ten times what a slow machine takes, for a hang is a finding.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A program at work. What it says goes into files: nobody has to listen.
pub struct Running {
    child: Child,
    began: Instant,
    said: [std::path::PathBuf; 2],
}

impl Running {
    /// Starts it, in a process group of its own.
    pub fn start(command: &mut Command, scratch: &Path) -> Self {
        let said = ["out", "err"].map(|name| scratch.join(name));
        let [out, err] = [0, 1].map(|at| File::create(&said[at]).expect("a file for its words"));
        command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .process_group(0);
        let child = command.spawn();
        let child = child.unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        Self {
            child,
            began: Instant::now(),
            said,
        }
    }

    /// Kills it, and all it started, with a signal that nothing survives.
    pub fn kill(&mut self) {
        if let Some(group) = Pid::from_raw(self.child.id().cast_signed()) {
            let _ = kill_process_group(group, Signal::KILL); // It may have ended already.
        }
    }

    /// Whether it is still at work.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end.
    pub fn end(mut self, patience: Duration) -> Ended {
        let mut hung = false;
        while self.is_running() {
            if self.began.elapsed() > patience {
                hung = true;
                self.kill();
                break;
            }
            std::thread::sleep(STEP);
        }
        let status = self.child.wait().expect("our own child");
        let [out, err] = [0, 1].map(|at| {
            let bytes = std::fs::read(&self.said[at]).expect("its words");
            String::from_utf8_lossy(&bytes).into_owned()
        });
        Ended {
            code: status.code(),
            signal: status.signal(),
            hung,
            out,
            err: without_guard(&err),
            took: self.began.elapsed(),
        }
    }
}

/// Starts a program and waits for its end.
pub fn run(command: &mut Command, scratch: &Path) -> Ended {
    Running::start(command, scratch).end(PATIENCE)
}

/// Without the line that tells of a guard that is switched off: a test goes red for what that lets through.
fn without_guard(err: &str) -> String {
    err.split_inclusive('\n')
        .filter(|line| !line.contains("a guard is switched off in this debug build"))
        .collect()
}
