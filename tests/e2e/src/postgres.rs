//! PostgreSQL: two schemas of one database, `here` and `there`.

use crate::account::{Account, finish};
use crate::sql::{self, Kind, PASSWORD, Server, USER};
use sluice_sdk::net::NetError;
use sluice_sdk::testing::{self, Event, Turn};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Bytes that ask a server for TLS.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// As this kind goes.
#[derive(Debug, Clone)]
pub struct PostgresKind;

/// A running server.
pub type Postgres = Server<PostgresKind>;

/// Speaks to a server.
pub type Client = sql::Client<PostgresKind>;

impl Kind for PostgresKind {
    const PLUGIN: &'static str = "postgres";
    const DATABASE: &'static str = "postgres";
    const BETWEEN: char = '|';
    const READY: &'static str = "ready to accept connections";
    const KILL: &'static str = "-QUIT";
    /// Disconnects everybody and ends: what a killed server leaves behind would outlive the test.
    const END: &'static str = "-INT";
    const PLACES: &'static str = "CREATE SCHEMA here; CREATE SCHEMA there; ";

    fn place(name: &str) -> Vec<(&'static str, &str)> {
        vec![("database", Self::DATABASE), ("schema", name)]
    }

    fn make(account: &Account, folder: &Path) -> String {
        let data = folder.join("data");
        let password = folder.join("password");
        std::fs::write(&password, PASSWORD).expect("a file");
        account.own(&password);
        let mut initdb = account.command(&programs().join("initdb"), folder);
        initdb
            .arg("-D")
            .arg(&data)
            .args(["-U", USER, "-E", "UTF8", "--locale=C", "--no-sync"]);
        initdb.args(["--auth-local=trust", "--auth-host=scram-sha-256"]);
        finish(initdb.arg("--pwfile").arg(&password));
        account.certify(&data)
    }

    fn serve(account: &Account, folder: &Path, port: u16, settings: &[&str]) -> Command {
        let port = format!("port={port}");
        let own = [
            &*port,
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "ssl=on",
            "ssl_cert_file=server.crt",
            "ssl_key_file=server.key",
            // Of no use in a test that never cuts the power.
            "fsync=off",
            // Who is restored looks for more of the log than there is.
            "restore_command=false",
        ];
        let mut server = account.command(&programs().join("postgres"), folder);
        server.arg("-D").arg(folder.join("data"));
        for setting in own.iter().chain(settings) {
            server.args(["-c", setting]);
        }
        server
    }

    fn ask(client: &Client, sql: &str) -> Command {
        let mut psql = Command::new("psql");
        psql.env("PGPASSWORD", PASSWORD)
            .env("PGSSLROOTCERT", &client.authority)
            .args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql, "-d"])
            .arg(format!(
                "host=localhost port={} user={USER} dbname={} sslmode=verify-full",
                client.port, client.database
            ))
            .stdin(Stdio::null());
        psql
    }

    /// What TLS is made of elsewhere stays in the clear here.
    fn reach(port: u16, _: &str) {
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

    /// Arrays arrive as JSON.
    fn difference(client: &Client, one: &str, other: &str) -> Result<String, String> {
        let rows = |table: &str| format!("SELECT to_jsonb(t)::text FROM {table} AS t");
        let (one, other) = (rows(one), rows(other));
        client.sql(&format!(
            "({one} EXCEPT ALL {other}) UNION ALL ({other} EXCEPT ALL {one}) LIMIT 5"
        ))
    }
}

impl Postgres {
    /// A server whose log tells of rows.
    pub fn start_logical(sql: &str) -> Self {
        Self::start_with(sql, &["wal_level=logical", "max_wal_senders=8"])
    }

    /// Copies all of it away, for which it ends.
    pub fn back_up(&mut self) {
        self.process.stop(PostgresKind::END);
        let mut copy = Command::new("cp");
        copy.arg("-a").args(["data", "copy"]);
        finish(copy.current_dir(self.folder()));
        self.process.comes_back();
    }

    /// Is again as it was when it was copied away, and goes on from there: in a timeline of its own, as PostgreSQL has it.
    pub fn restore(&mut self) {
        self.process.stop(PostgresKind::END);
        let data = self.folder().join("data");
        std::fs::remove_dir_all(&data).expect("a folder");
        std::fs::rename(self.folder().join("copy"), &data).expect("a copy");
        std::fs::write(data.join("recovery.signal"), "").expect("a file");
        self.process.comes_back();
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
