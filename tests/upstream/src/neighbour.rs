//! A server that somebody else wrote, as a process: it says `listening on PORT`, and ends when its standard input does,
//! with the test that started it. `cargo x test` installs them, and says where in the environment.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

/// A running server. It ends with this value.
pub struct Neighbour {
    child: Child,
    said: BufReader<ChildStdout>,
    /// Where it listens, on `127.0.0.1`.
    pub port: u16,
}

impl Neighbour {
    /// `localstripe`: Stripe's API over records in memory, see `tests/localstripe`. Any key that begins with `sk_` is
    /// good for it.
    ///
    /// # Panics
    /// Where it is not installed, or does not start.
    pub fn localstripe() -> Self {
        let folder = installed("SLUICE_LOCALSTRIPE");
        let mut command = Command::new(folder.join("venv/bin/python"));
        command.arg("server.py").current_dir(folder);
        Self::start(command)
    }

    /// Prism before `upstream`, with GitHub's own document of these paths: see `tests/prism`.
    ///
    /// # Panics
    /// Where it is not installed, or does not start.
    pub fn prism(upstream: &str, paths: &[&str]) -> Self {
        let mut command = Command::new("node");
        command
            .args(["server.mjs", upstream])
            .args(paths)
            .current_dir(installed("SLUICE_PRISM"));
        Self::start(command)
    }

    /// # Panics
    /// Where it does not start.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let said = BufReader::new(child.stdout.take().expect("piped"));
        let mut neighbour = Self {
            child,
            said,
            port: 0,
        };
        let line = neighbour.line();
        let port = line
            .strip_prefix("listening on ")
            .unwrap_or_else(|| panic!("it said `{line}`"));
        neighbour.port = port.parse().expect("a port");
        neighbour
    }

    /// `http://127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The next line that it says.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).expect("it speaks");
        line.trim_end().to_owned()
    }

    /// Tells it a line.
    pub(crate) fn tell(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().expect("piped"), "{line}").expect("it listens");
    }
}

/// Where a server is installed.
pub(crate) fn installed(variable: &str) -> PathBuf {
    let folder = std::env::var_os(variable);
    folder.map_or_else(
        || {
            panic!(
                "{variable} is not set: run `cargo x test`, which installs what these tests need"
            )
        },
        PathBuf::from,
    )
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
