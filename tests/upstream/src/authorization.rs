//! A real authorization server, `oidc-provider`, and an API that takes its tokens: see `tests/authorization-server`.
//! What these tests need is installed by `cargo x test`, which says where in `SLUICE_AUTHORIZATION_SERVER`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};

/// The server: `machine` and `refreshing` are its clients, both with the secret `made-up-client-secret-0123`; its API at
/// `/v2/whoami` says whose token it was shown. It ends with this value, and where the test is killed, with its standard
/// input.
pub struct Authorization {
    child: Child,
    said: BufReader<ChildStdout>,
    /// Where it listens, on `127.0.0.1`.
    pub port: u16,
    /// Of the client `refreshing`, good for one trade.
    pub refresh_token: String,
}

impl Authorization {
    /// Starts it.
    ///
    /// # Panics
    /// Where it is not installed, or does not start.
    pub fn start() -> Self {
        let folder = std::env::var("SLUICE_AUTHORIZATION_SERVER").expect(
            "SLUICE_AUTHORIZATION_SERVER is not set: run `cargo x test`, which installs what these tests need",
        );
        let mut command = Command::new("node");
        command.arg("server.mjs").current_dir(&folder);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("node: {error}"));
        let said = BufReader::new(child.stdout.take().expect("piped"));
        let mut server = Self {
            child,
            said,
            port: 0,
            refresh_token: String::new(),
        };
        let line = server.line();
        let port = line
            .strip_prefix("listening on ")
            .unwrap_or_else(|| panic!("it said `{line}`"));
        server.port = port.parse().expect("a port");
        server.refresh_token = server.line();
        server
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).expect("it speaks");
        line.trim_end().to_owned()
    }

    /// Revokes every access token.
    ///
    /// # Panics
    /// Where it is gone.
    pub fn forget(&mut self) {
        writeln!(self.child.stdin.as_mut().expect("piped"), "forget").expect("it listens");
        assert_eq!(self.line(), "forgot");
    }
}

impl Drop for Authorization {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
