//! What one process cost, by the kernel's own account: `wait4` gives the CPU time and the peak memory of exactly the
//! child that ended, and of the children it waited for.

use anyhow::{Context, Result, bail};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use wait4::Wait4;

/// What one run of a process cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Time on a CPU in its own code.
    pub cpu_user: Duration,
    /// Time on a CPU in the kernel.
    pub cpu_sys: Duration,
    /// From start to end.
    pub wall: Duration,
    /// The most memory it had resident.
    pub peak_rss_bytes: u64,
}

impl Cost {
    /// Time on a CPU in all.
    pub fn cpu(&self) -> Duration {
        self.cpu_user + self.cpu_sys
    }
}

/// Runs a command to its end. What it prints is thrown away, but for its errors.
pub fn measure(mut command: Command) -> Result<Cost> {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let began = Instant::now();
    let child = command
        .spawn()
        .with_context(|| format!("cannot start `{}`", shown(&command)))?;
    let used = child
        .wait4()
        .with_context(|| format!("cannot wait for `{}`", shown(&command)))?;
    let wall = began.elapsed();
    if !used.status.success() {
        bail!("`{}` ended with {}", shown(&command), used.status);
    }
    Ok(Cost {
        cpu_user: used.rusage.utime,
        cpu_sys: used.rusage.stime,
        wall,
        peak_rss_bytes: used.rusage.maxrss,
    })
}

fn shown(command: &Command) -> String {
    let words = [command.get_program()]
        .into_iter()
        .chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn work_costs_more_than_none() {
        let idle = measure(shell("exit 0")).expect("measured");
        let busy =
            measure(shell("i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done")).expect("measured");
        assert!(
            busy.cpu() > idle.cpu() && busy.wall >= idle.wall,
            "{busy:?} {idle:?}"
        );
        assert!(
            idle.peak_rss_bytes > 100 << 10,
            "bytes, not kibibytes: {idle:?}"
        );
    }

    #[test]
    fn a_failure_is_no_measurement() {
        let told = measure(shell("exit 3")).expect_err("fails").to_string();
        assert!(
            told.contains("exit 3") && told.contains("exit status: 3"),
            "{told}"
        );
        assert!(measure(Command::new("./no-such-program")).is_err());
    }
}
