//! The store under test, in a folder: runs of the worker on it, and the judgement of what it holds.

use crate::program::{PATIENCE, Running, run};
use crate::strace::{self, Act};
use crate::words::KEPT;
use sluice_crash_checker::store::{Told, check, openings};
use sluice_crash_checker::words::{Ended, shown};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The store, and what it was told.
pub struct Store {
    worker: PathBuf,
    /// Holds what the worker says, and what `strace` does.
    scratch: PathBuf,
    /// Where the store, its key and its trail are.
    pub folder: PathBuf,
    /// By all runs on it.
    pub told: Told,
}

impl Store {
    /// A store that is not there yet, in a folder of its own below `scratch`.
    pub fn new(worker: &str, scratch: &Path) -> Self {
        std::fs::create_dir_all(scratch).expect("a folder");
        Self {
            worker: worker.into(),
            folder: scratch.join("deployment"),
            scratch: scratch.to_owned(),
            told: Told::default(),
        }
    }

    /// Begins again with nothing.
    pub fn renew(&mut self) {
        crate::scratch::remove(&self.folder);
        self.told = Told::default();
    }

    /// Where `strace` writes.
    pub fn log(&self) -> PathBuf {
        self.scratch.join("strace")
    }

    /// What `strace` wrote.
    pub fn calls(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// Starts so many steps of each writer, without `strace`.
    pub fn start(&self, commits: u64) -> Running {
        let mut command = Command::new(&self.worker);
        command
            .arg("commit")
            .arg(&self.folder)
            .arg(commits.to_string());
        Running::start(&mut command, &self.scratch)
    }

    /// The same, where no file may be longer than this.
    pub fn start_limited(&self, commits: u64, bytes: u64) -> Running {
        // A write at the limit is an error then, and not the end of the process.
        let mut command = Command::new("sh");
        command
            .args(["-c", "trap '' XFSZ; exec prlimit --fsize=\"$0\" \"$@\""])
            .arg(bytes.to_string());
        command
            .arg(&self.worker)
            .arg("commit")
            .arg(&self.folder)
            .arg(commits.to_string());
        Running::start(&mut command, &self.scratch)
    }

    /// Waits for the end of what was started, and takes what it said.
    pub fn ended(&mut self, running: Running) -> Ended {
        let ended = running.end(PATIENCE);
        self.told.hear(&ended.out);
        ended
    }

    /// So many steps of each writer, with this done to it.
    pub fn commit(&mut self, commits: u64, act: &Act) -> Ended {
        let folder = self.folder.display().to_string();
        let commits = commits.to_string();
        let arguments = ["commit", &folder, &commits];
        let mut command = strace::around(&self.worker, &arguments, act, &self.log());
        let ended = run(&mut command, &self.scratch);
        self.told.hear(&ended.out);
        ended
    }

    /// What is wrong with what it holds.
    pub fn judge(&self) -> Vec<String> {
        let ended = self.hold();
        let mut wrong = ended.check();
        let (openings, refused) = openings(&ended.out);
        if let Some(why) = refused {
            wrong.push(format!("it does not open: {why}; {}", shown(&ended.err)));
        } else if wrong.is_empty() {
            wrong.extend(check(&self.told, &openings, &self.folder, KEPT));
        }
        wrong
    }

    /// Opens it twice, in a process of its own: it may panic, and it may hang.
    pub fn hold(&self) -> Ended {
        let mut command = Command::new(&self.worker);
        command.arg("hold").arg(&self.folder);
        run(&mut command, &self.scratch)
    }
}
