//! The demo's API server as a child process. It ends when its standard input ends, so it cannot outlive this program,
//! however that ends; dropped, it is waited for.

use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

pub(crate) struct Server {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    address: String,
}

impl Server {
    /// Starts it, and returns when it listens.
    pub(crate) fn start(mut command: Command) -> Result<Server> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start the server")?;
        let (stdin, stdout) = (
            child.stdin.take(),
            child.stdout.take().context("its output is piped")?,
        );
        let mut server = Server {
            child,
            stdin,
            stdout: BufReader::new(stdout),
            address: String::new(),
        };
        let said = server.line()?;
        let Some(address) = said.strip_prefix("listening on ") else {
            bail!("the server said `{said}`");
        };
        address.clone_into(&mut server.address);
        Ok(server)
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Says a line to it, and returns what it answers.
    pub(crate) fn tell(&mut self, line: &str) -> Result<String> {
        let stdin = self.stdin.as_mut().context("the server was told to end")?;
        writeln!(stdin, "{line}")
            .and_then(|()| stdin.flush())
            .context("the server is gone")?;
        self.line()
    }

    /// Ends it, and returns its last words.
    pub(crate) fn stop(mut self) -> Result<String> {
        drop(self.stdin.take());
        let last = self.line();
        let status = self.child.wait().context("the server did not end")?;
        if !status.success() {
            bail!("the server ended with {status}");
        }
        last
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self
            .stdout
            .read_line(&mut line)
            .context("the server is gone")?
            == 0
        {
            bail!("the server ended without a word");
        }
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // It was told to end; what became of it no longer matters to a demo that failed.
        let _ = self.child.wait();
    }
}
