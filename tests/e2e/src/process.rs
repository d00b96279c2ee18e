//! A server's process: on a port that was free, gone when it is dropped, back on the same port when it is wanted.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// How often a port that was free and then is not is given up for another.
const PORTS_TRIED_MAX: usize = 5;

/// One at work.
pub(crate) struct Process {
    child: Child,
    command: Command,
    ready: &'static str,
    end: &'static str,
}

impl Process {
    /// Starts what this makes of a port on 127.0.0.1, and waits until its log says that it is ready. The port, and what ends
    /// by this signal when it is dropped.
    pub(crate) fn start(
        ready: &'static str,
        end: &'static str,
        command: impl Fn(u16) -> Command,
    ) -> (u16, Self) {
        for _ in 0..PORTS_TRIED_MAX {
            let free = TcpListener::bind("127.0.0.1:0").expect("a port");
            let port = free.local_addr().expect("an address").port();
            drop(free);
            let mut command = command(port);
            if let Some(child) = started(&mut command, ready) {
                let process = Self {
                    child,
                    command,
                    ready,
                    end,
                };
                return (port, process);
            }
        }
        panic!("no server started on {PORTS_TRIED_MAX} ports that were free");
    }

    /// Ends it by this signal, such as `-KILL`. Nothing where it is over.
    pub(crate) fn stop(&mut self, signal: &str) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let pid = self.child.id().to_string();
            let asked = Command::new("kill").args([signal, &pid]).status();
            if !asked.is_ok_and(|status| status.success()) {
                drop(self.child.kill());
            }
        }
        drop(self.child.wait());
    }

    /// Back, on its own port.
    pub(crate) fn comes_back(&mut self) {
        self.child = started(&mut self.command, self.ready).expect("its own port is free");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop(self.end);
    }
}

/// The server once it says that it takes connections; none where its port was taken meanwhile.
fn started(command: &mut Command, ready: &str) -> Option<Child> {
    let mut server = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut log = BufReader::new(server.stderr.take().expect("a pipe"));
    let mut said = String::new();
    while log.read_line(&mut said).expect("text") > 0 {
        if said.contains(ready) {
            // It goes on to write there, and must not meet a closed pipe.
            std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
            return Some(server);
        }
    }
    drop(server.wait());
    let is_taken = said.to_lowercase().contains("address already in use");
    assert!(is_taken, "{said}");
    None
}

/// Where Debian puts a program, or wherever it is found.
pub(crate) fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let elsewhere = [PathBuf::from("/usr/sbin")];
    let found = std::env::split_paths(&path)
        .chain(elsewhere)
        .map(|folder| folder.join(name))
        .find(|program| program.is_file());
    found.unwrap_or_else(|| {
        panic!("there is no `{name}` on this machine: run `cargo x test`, which installs it on Debian, or install it by hand")
    })
}
