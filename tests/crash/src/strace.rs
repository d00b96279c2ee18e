//! `strace` around a subject: it ends the subject right before a chosen system call, has a call fail, or records every
//! call that changes a disk, with its data. It sees the calls themselves, whatever library makes them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Every call that changes what a disk holds, or says that it must hold it. A call is a point to be killed at.
pub const CHANGES: [&str; 20] = [
    "write",
    "pwrite64",
    "writev",
    "pwritev",
    "pwritev2",
    "fsync",
    "fdatasync",
    "sync_file_range",
    "ftruncate",
    "fallocate",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "rmdir",
    "mkdir",
    "mkdirat",
    "link",
    "linkat",
];

/// What is followed besides, to know which file is written and where.
const FOLLOWED: [&str; 4] = ["openat", "open", "creat", "lseek"];

/// How long a call takes that fails late.
const LATE: Duration = Duration::from_millis(500);

/// The most of one write that is recorded: more than is ever written at once.
const DATA_BYTES_MAX: usize = 32 << 20;

/// What is done to the subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Each of its calls is written down with its data.
    Record,
    /// Each of its calls is written down, without.
    Count,
    /// It is killed before it makes this call for the so-manieth time, counted for each of its threads.
    Kill(&'static str, u64),
    /// This call fails so, the so-manieth time, or from then on.
    Fail {
        /// The call.
        call: &'static str,
        /// `ENOSPC`.
        error: &'static str,
        /// From the so-manieth.
        from: u64,
        /// And ever after.
        for_good: bool,
        /// Only after [`LATE`]: others wait for it by then.
        late: bool,
    },
}

/// Wraps a program, with its arguments. What is seen goes into `log`.
///
/// # Panics
/// Where there is no `strace`.
pub fn around(program: &Path, arguments: &[&str], act: &Act, log: &Path) -> Command {
    let mut strace = Command::new(installed());
    strace.args(["-f", "-qq", "-y", "-e", "signal=none"]);
    // Faster; but a signal that is sent where it stops a call is lost.
    if !matches!(act, Act::Kill(..)) {
        strace.arg("--seccomp-bpf");
    }
    strace.arg("-o").arg(log);
    let followed = || {
        CHANGES
            .iter()
            .chain(&FOLLOWED)
            .copied()
            .collect::<Vec<_>>()
            .join(",")
    };
    match act {
        Act::Record => {
            strace.args(["-xx", "-s", &DATA_BYTES_MAX.to_string()]);
            strace.args(["-e", &format!("trace={}", followed())]);
        }
        Act::Count => {
            strace.args(["-s", "0", "-e", &format!("trace={}", CHANGES.join(","))]);
        }
        Act::Kill(call, when) => {
            strace.args(["-s", "0", "-e", &format!("trace={call}")]);
            strace.args(["-e", &format!("inject={call}:signal=SIGKILL:when={when}")]);
        }
        Act::Fail {
            call,
            error,
            from,
            for_good,
            late,
        } => {
            let more = if *for_good { "+" } else { "" };
            let mut inject = format!("inject={call}:error={error}:when={from}{more}");
            if *late {
                let _ = write!(inject, ":delay_enter={}", LATE.as_micros());
            }
            strace.args(["-s", "0", "-e", &format!("trace={call}")]);
            strace.args(["-e", &inject]);
        }
    }
    strace.arg("--").arg(program).args(arguments);
    strace
}

fn installed() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join("strace"))
        .find(|file| file.is_file());
    found.expect(
        "`strace` is not installed: `cargo x crash` and `cargo x test` install it on a Debian",
    )
}

/// How often the busiest thread made each call, from a log of [`Act::Count`].
pub fn counts(log: &str) -> Vec<(&'static str, u64)> {
    let most = |call: &'static str| {
        let mut threads = std::collections::BTreeMap::<&str, u64>::new();
        for line in log.lines() {
            let (thread, said) = line.split_once(' ').unwrap_or_default();
            if said
                .trim_start()
                .strip_prefix(call)
                .is_some_and(|rest| rest.starts_with('('))
            {
                *threads.entry(thread).or_default() += 1;
            }
        }
        threads.into_values().max().map(|count| (call, count))
    };
    CHANGES.into_iter().filter_map(most).collect()
}

/// The file that the last call of a log was about, by its name; nothing where it was none.
pub fn last_file(log: &str) -> Option<String> {
    let line = log.lines().rev().find(|line| line.contains('('))?;
    let start = line.find(['<', '"'])? + 1;
    let end = start + line[start..].find(['>', '"'])?;
    let name = line[start..end].rsplit('/').next()?;
    Some(name.to_owned()).filter(|name| !name.is_empty())
}

/// Whether a log says that a call was made to fail.
pub fn injected(log: &str) -> u64 {
    log.matches("(INJECTED)").count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_for_each_thread() {
        let log = "11 write(1</x>, \"\"..., 4) = 4\n12 fsync(4</x/db>) = 0\n11 write(1</x>, \"\"..., 4 <unfinished ...>\n\
                   12 write(3</x>, \"\"..., 4) = 4\n11 <... write resumed>) = 4\n";
        assert_eq!(counts(log), [("write", 2), ("fsync", 1)]);
        assert_eq!(
            last_file("1 fsync(4</x/db>) = 0\n1 write(5</a/b>, \"\"..., 4 <unfinished ...>\n"),
            Some("b".to_owned())
        );
    }
}
