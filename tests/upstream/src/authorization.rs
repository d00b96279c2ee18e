//! A real authorization server, `oidc-provider`, and an API that takes its tokens: see `tests/authorization-server`.

use crate::neighbour::{Neighbour, installed};
use std::process::Command;

/// The server: `machine` and `refreshing` are its clients, both with the secret `made-up-client-secret-0123`; its API at
/// `/v2/whoami` says whose token it was shown. It ends with this value, and where the test is killed, with its standard
/// input.
pub struct Authorization {
    server: Neighbour,
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
        let mut command = Command::new("node");
        command
            .arg("server.mjs")
            .current_dir(installed("SLUICE_AUTHORIZATION_SERVER"));
        let mut server = Neighbour::start(command);
        Self {
            refresh_token: server.line(),
            port: server.port,
            server,
        }
    }

    /// Revokes every access token.
    ///
    /// # Panics
    /// Where it is gone.
    pub fn forget(&mut self) {
        self.server.tell("forget");
        assert_eq!(self.server.line(), "forgot");
    }
}
