//! A PostgreSQL server of the tests' own: a fresh cluster in a temporary folder, on loopback at a port that was free,
//! with TLS by a made-up authority, run by somebody who is not root. Gone when it is dropped.

use crate::account::{Account, finish};
use sluice_sdk::net::NetError;
use sluice_sdk::testing::{self, Event, Turn};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Bytes that ask a server for TLS.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// The one user who may log in over the network, by SCRAM.
pub const USER: &str = "reader";
/// Made up.
pub const PASSWORD: &str = "correct-horse-battery-staple-7";
/// How often a port that was free and then is not is given up for another.
const PORTS_TRIED_MAX: usize = 5;

/// A running server.
pub struct Postgres {
    /// On 127.0.0.1, by the name `localhost`.
    pub port: u16,
    /// The authority behind its certificate, as PEM.
    pub authority: String,
    server: Child,
    folder: tempfile::TempDir,
    settings: Vec<String>,
}

impl Postgres {
    /// A server whose one database, `postgres`, was made by this SQL.
    pub fn start(sql: &str) -> Self {
        Self::start_with(sql, &[])
    }

    /// The same, whose log tells of rows.
    pub fn start_logical(sql: &str) -> Self {
        Self::start_with(sql, &["wal_level=logical", "max_wal_senders=8"])
    }

    /// The same, with settings of its own, which come before all others.
    pub fn start_with(sql: &str, settings: &[&str]) -> Self {
        let account = Account::find();
        let folder = tempfile::tempdir().expect("a folder");
        account.own(folder.path());
        let data = folder.path().join("data");
        let password = folder.path().join("password");
        std::fs::write(&password, PASSWORD).expect("a file");
        account.own(&password);
        let mut initdb = account.command(&programs().join("initdb"), folder.path());
        initdb
            .arg("-D")
            .arg(&data)
            .args(["-U", USER, "-E", "UTF8", "--locale=C", "--no-sync"]);
        initdb.args(["--auth-local=trust", "--auth-host=scram-sha-256"]);
        finish(initdb.arg("--pwfile").arg(&password));
        let authority = account.certify(&data);
        for _ in 0..PORTS_TRIED_MAX {
            let free = TcpListener::bind("127.0.0.1:0").expect("a port");
            let port = free.local_addr().expect("an address").port();
            drop(free);
            let mut arguments = vec![format!("port={port}")];
            arguments.extend(
                [
                    "listen_addresses=127.0.0.1",
                    "unix_socket_directories=",
                    "ssl=on",
                    "ssl_cert_file=server.crt",
                    "ssl_key_file=server.key",
                ]
                .map(ToOwned::to_owned),
            );
            // Of no use in a test that never cuts the power.
            arguments.push("fsync=off".to_owned());
            // Who is restored looks for more of the log than there is.
            arguments.push("restore_command=false".to_owned());
            arguments.extend(settings.iter().map(ToString::to_string));
            if let Some(server) = ready(&mut served(&account, folder.path(), &arguments)) {
                let started = Self {
                    port,
                    authority,
                    server,
                    folder,
                    settings: arguments,
                };
                started.sql(sql);
                return started;
            }
        }
        panic!("PostgreSQL did not start on {PORTS_TRIED_MAX} ports that were free");
    }

    /// Ends at once, as it would if it were killed, and comes back on the same port.
    pub fn restart(&mut self) {
        self.stop("-QUIT");
        self.comes_back();
    }

    /// Copies all of it away, for which it ends.
    pub fn back_up(&mut self) {
        self.stop("-INT");
        let data = self.folder().join("data");
        finish(
            Command::new("cp")
                .arg("-a")
                .arg(&data)
                .arg(self.folder().join("copy")),
        );
        self.comes_back();
    }

    /// Is again as it was when it was copied away, and goes on from there: in a timeline of its own, as PostgreSQL has it.
    pub fn restore(&mut self) {
        self.stop("-INT");
        let data = self.folder().join("data");
        std::fs::remove_dir_all(&data).expect("a folder");
        std::fs::rename(self.folder().join("copy"), &data).expect("a copy");
        std::fs::write(data.join("recovery.signal"), "").expect("a file");
        self.comes_back();
    }

    fn comes_back(&mut self) {
        let account = Account::find();
        let mut server = served(&account, self.folder.path(), &self.settings);
        self.server = ready(&mut server).expect("its own port is free");
    }

    fn stop(&mut self, signal: &str) {
        let pid = self.server.id().to_string();
        let asked = Command::new("kill").args([signal, &pid]).status();
        if !asked.is_ok_and(|status| status.success()) {
            let _ = self.server.kill();
        }
        let _ = self.server.wait();
    }

    /// What it says to this SQL, a row a line, its values between `|`. It must take it.
    pub fn sql(&self, sql: &str) -> String {
        let said = self.client().sql(sql);
        said.unwrap_or_else(|said| panic!("{sql}: {said}"))
    }

    /// Plugins of this thread reach the server; what TLS is made of elsewhere stays in the clear here.
    pub fn reach(&self) {
        let port = self.port;
        testing::secrets(&[("password", Some(PASSWORD))]);
        testing::net(move |_, _, _| {
            let stream = TcpStream::connect(("127.0.0.1", port));
            let mut stream = stream.map_err(|error| NetError::Unreachable(error.to_string()))?;
            Ok(Box::new(move |event| match event {
                Event::Upgrade(_) => Turn::Wait,
                Event::Read(written) if written == SSL_REQUEST => Turn::Send(b"S".to_vec()),
                Event::Read(written) => {
                    let mut bytes = vec![0; 64 << 10];
                    match stream
                        .write_all(written)
                        .and_then(|()| stream.read(&mut bytes))
                    {
                        Ok(0) => Turn::End,
                        Ok(count) => Turn::Send(bytes[..count].to_vec()),
                        Err(error) => Turn::Fail(NetError::Closed(error.to_string())),
                    }
                }
            }))
        });
    }

    /// Settings of `sluice/postgres` for it, with more behind a comma.
    pub fn settings(&self, more: &str) -> String {
        format!(
            "{{\"host\": \"localhost\", \"port\": {}, \"database\": \"postgres\", \"user\": \"{USER}\"{more}}}",
            self.port
        )
    }

    /// Whoever speaks to it, also while it is away.
    pub fn client(&self) -> Client {
        let authority = self.folder().join("authority.pem");
        std::fs::write(&authority, &self.authority).expect("a file");
        Client {
            port: self.port,
            authority,
            database: "postgres".to_owned(),
        }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// Speaks to a server.
#[derive(Debug, Clone)]
pub struct Client {
    port: u16,
    authority: PathBuf,
    database: String,
}

impl Client {
    /// The same, in another database.
    #[must_use]
    pub fn to(&self, database: &str) -> Self {
        Self {
            database: database.to_owned(),
            ..self.clone()
        }
    }

    /// What the server says to this SQL, a row a line, its values between `|`; else why it did not take it.
    pub fn sql(&self, sql: &str) -> Result<String, String> {
        let output = Command::new("psql")
            .env("PGPASSWORD", PASSWORD)
            .env("PGSSLROOTCERT", &self.authority)
            .args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql, "-d"])
            .arg(format!(
                "host=localhost port={} user={USER} dbname={} sslmode=verify-full",
                self.port, self.database
            ))
            .stdin(Stdio::null())
            .output()
            .expect("`psql` runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() {
            Ok(text(&output.stdout))
        } else {
            Err(text(&output.stderr))
        }
    }
}

impl Drop for Postgres {
    /// Disconnects everybody and ends: what a killed server leaves behind would outlive the test.
    fn drop(&mut self) {
        self.stop("-INT");
    }
}

/// Where Debian puts the newest version's programs, or wherever `initdb` is found.
fn programs() -> PathBuf {
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|folder| folder.join("initdb").is_file())
        .collect();
    versions.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).find(|folder| folder.join("initdb").is_file());
    versions.pop().or(found).expect(
        "there is no PostgreSQL on this machine: run `cargo x test`, which installs it on Debian, or install it by hand",
    )
}

fn served(account: &Account, folder: &Path, settings: &[String]) -> Command {
    let mut server = account.command(&programs().join("postgres"), folder);
    server.arg("-D").arg(folder.join("data"));
    for setting in settings {
        server.args(["-c", setting]);
    }
    server
}

/// The server once it says that it takes connections; none where its port was taken meanwhile.
fn ready(command: &mut Command) -> Option<Child> {
    let mut server = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut log = BufReader::new(server.stderr.take().expect("a pipe"));
    let mut said = String::new();
    while log.read_line(&mut said).expect("text") > 0 {
        if said.contains("ready to accept connections") {
            // It goes on to write there, and must not meet a closed pipe.
            std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
            return Some(server);
        }
    }
    let _ = server.wait();
    assert!(said.contains("Address already in use"), "{said}");
    None
}
