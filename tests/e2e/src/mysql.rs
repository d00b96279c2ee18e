//! A MariaDB server of the tests' own: a fresh folder, on loopback at a port that was free, with TLS by a made-up authority
//! and nothing without it, run by somebody who is not root. Gone when it is dropped.

use crate::account::{Account, finish};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use sluice_sdk::net::NetError;
use sluice_sdk::testing::{self, Event, Turn};
use std::io::{self, BufRead as _, BufReader, Read, Seek as _, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};

/// Bytes of the packet that asks a server for TLS.
const SSL_REQUEST_BYTES: usize = 4 + 32;

/// The one user who may log in over the network.
pub const USER: &str = "reader";
/// Made up.
pub const PASSWORD: &str = "correct-horse-battery-staple-7";
/// How often a port that was free and then is not is given up for another.
const PORTS_TRIED_MAX: usize = 5;
/// Done at every start, a statement a line: two databases, and the user.
const INIT: &str = "init.sql";

/// A running server.
pub struct Mariadb {
    /// On 127.0.0.1, by the name `localhost`.
    pub port: u16,
    /// The authority behind its certificate, as PEM.
    pub authority: String,
    server: Child,
    folder: tempfile::TempDir,
    settings: Vec<String>,
}

impl Mariadb {
    /// A server whose databases, `here` and `there`, were filled by this SQL.
    pub fn start(sql: &str) -> Self {
        Self::start_with(sql, &[])
    }

    /// The same, with settings of its own, which come behind all others and count.
    pub fn start_with(sql: &str, settings: &[&str]) -> Self {
        let account = Account::find();
        let folder = tempfile::tempdir().expect("a folder");
        account.own(folder.path());
        copy(installed(&account), &folder.path().join("data"));
        let authority = account.certify(folder.path());
        let init = format!(
            "CREATE DATABASE IF NOT EXISTS here;\nCREATE DATABASE IF NOT EXISTS there;\n\
             CREATE USER IF NOT EXISTS {USER}@'%' IDENTIFIED VIA mysql_native_password USING PASSWORD('{PASSWORD}');\n\
             GRANT ALL ON *.* TO {USER}@'%' WITH GRANT OPTION;\n"
        );
        std::fs::write(folder.path().join(INIT), init).expect("a file");
        for _ in 0..PORTS_TRIED_MAX {
            let free = TcpListener::bind("127.0.0.1:0").expect("a port");
            let port = free.local_addr().expect("an address").port();
            drop(free);
            let arguments = arguments(folder.path(), port, settings);
            if let Some(server) = ready(&mut served(&account, folder.path(), &arguments)) {
                let started = Self {
                    port,
                    authority,
                    server,
                    folder,
                    settings: arguments,
                };
                if !sql.is_empty() {
                    started.sql(sql);
                }
                return started;
            }
        }
        panic!("MariaDB did not start on {PORTS_TRIED_MAX} ports that were free");
    }

    /// Killed, and back on the same port.
    pub fn restart(&mut self) {
        self.stop();
        let mut server = served(&Account::find(), self.folder.path(), &self.settings);
        self.server = ready(&mut server).expect("its own port is free");
    }

    fn stop(&mut self) {
        drop(self.server.kill());
        drop(self.server.wait());
    }

    /// What it says to this SQL, a row a line, its values between tabs. It must take it.
    pub fn sql(&self, sql: &str) -> String {
        let said = self.client().sql(sql);
        said.unwrap_or_else(|said| panic!("{sql}: {said}"))
    }

    /// Plugins of this thread reach the server. What TLS is made of elsewhere is made of it here.
    pub fn reach(&self) {
        let (port, trust) = (self.port, trust(&self.authority));
        testing::secrets(&[("password", Some(PASSWORD))]);
        testing::net(move |_, _, _| {
            let lost = |error: io::Error| NetError::Closed(error.to_string());
            let unreachable = |error: io::Error| NetError::Unreachable(error.to_string());
            let stream = TcpStream::connect(("127.0.0.1", port)).map_err(unreachable)?;
            let mut secured = None;
            let (mut stream, trust) = (stream, Arc::clone(&trust));
            Ok(Box::new(move |event| {
                let turn = match event {
                    // What asked for it comes with what is said behind it.
                    Event::Upgrade(name) => secure(&stream, &trust, name).map(|tls| {
                        secured = Some((tls, SSL_REQUEST_BYTES));
                        Turn::Wait
                    }),
                    Event::Read(written) => match &mut secured {
                        None => answer(&mut stream, written),
                        Some((tls, clear)) => {
                            let (first, rest) = written.split_at((*clear).min(written.len()));
                            *clear -= first.len();
                            stream.write_all(first).and_then(|()| answer(tls, rest))
                        }
                    },
                };
                turn.unwrap_or_else(|error| Turn::Fail(lost(error)))
            }))
        });
    }

    /// Settings of `sluice/mysql` for one of its databases, with more behind a comma.
    pub fn settings(&self, database: &str, more: &str) -> String {
        format!(
            "{{\"host\": \"localhost\", \"port\": {}, \"database\": \"{database}\", \"user\": \"{USER}\"{more}}}",
            self.port
        )
    }

    /// A stage of a pipeline that has one of its databases, with more settings behind a comma; its secret is `shop`.
    pub fn stage(&self, database: &str, more: &str) -> String {
        format!(
            "plugin = \"sluice/mysql@0.1\"\nsecrets = {{ password = \"shop\" }}\n\
             config = {{ host = \"localhost\", port = {}, database = \"{database}\", user = \"{USER}\"{more} }}\n",
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
        }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What of one table the other does not have, either way, each as it is byte for byte: some of it.
    pub fn difference(&self, one: &str, other: &str) -> String {
        self.client().difference(one, other).expect("it is there")
    }
}

/// Speaks to a server.
#[derive(Debug, Clone)]
pub struct Client {
    port: u16,
    authority: PathBuf,
}

impl Client {
    /// What the server says to this SQL, a row a line, its values between tabs; else why it did not take it.
    pub fn sql(&self, sql: &str) -> Result<String, String> {
        // In a file: one argument of a program is no longer than 128 KiB.
        let mut script = tempfile::tempfile().expect("a file");
        script.write_all(sql.as_bytes()).expect("a file");
        script.rewind().expect("a file");
        let output = Command::new(program("mariadb"))
            .env("MYSQL_PWD", PASSWORD)
            .args(["--no-defaults", "--batch", "--skip-column-names"])
            .args(["--binary-mode", "--default-character-set=utf8mb4"])
            .args(["--protocol=TCP", "--host=localhost", "--user", USER])
            .arg(format!("--port={}", self.port))
            .arg("--ssl-verify-server-cert")
            .arg(format!("--ssl-ca={}", self.authority.display()))
            .stdin(Stdio::from(script))
            .output()
            .expect("`mariadb` runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() {
            Ok(text(&output.stdout))
        } else {
            Err(text(&output.stderr))
        }
    }

    /// What of one table the other does not have, either way, each as it is byte for byte: some of it. Columns are
    /// those of the first.
    pub fn difference(&self, one: &str, other: &str) -> Result<String, String> {
        let (database, table) = one.split_once('.').expect("a database and a table");
        // A number of four bytes is shown with six digits, and has more; a time may have digits that are nothing.
        let columns = self.sql(&format!(
            "SELECT GROUP_CONCAT('''{{'', COALESCE(HEX(CAST(', CASE WHEN type = 'float' THEN CONCAT('1e0 * ', name) \
             WHEN type IN ('datetime', 'timestamp') THEN CONCAT('CAST(', name, ' AS DATETIME(6))') ELSE name END, \
             ' AS BINARY)), ''none''), ''}} ''' ORDER BY place) \
             FROM (SELECT data_type AS type, ordinal_position AS place, CONCAT('`', REPLACE(column_name, '`', '``'), '`') AS name \
             FROM information_schema.columns WHERE table_schema = '{database}' AND table_name = '{table}') AS c"
        ))?;
        let rows = |table: &str| format!("SELECT CONCAT({columns}) FROM {table}");
        let (one, other) = (rows(one), rows(other));
        self.sql(&format!(
            "({one} EXCEPT ALL {other}) UNION ALL ({other} EXCEPT ALL {one}) LIMIT 5"
        ))
    }
}

impl Drop for Mariadb {
    /// Nothing of it is wanted any more.
    fn drop(&mut self) {
        self.stop();
    }
}

/// Sends this, and gives what comes back.
fn answer(stream: &mut (impl Read + Write), written: &[u8]) -> io::Result<Turn> {
    stream.write_all(written)?;
    stream.flush()?;
    let mut bytes = vec![0; 64 << 10];
    let count = stream.read(&mut bytes)?;
    bytes.truncate(count);
    Ok(if count == 0 {
        Turn::End
    } else {
        Turn::Send(bytes)
    })
}

fn trust(authority: &str) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(authority.as_bytes()).expect("a certificate");
    roots.add(authority).expect("an authority");
    let config = ClientConfig::builder().with_root_certificates(roots);
    Arc::new(config.with_no_client_auth())
}

fn secure(
    stream: &TcpStream,
    trust: &Arc<ClientConfig>,
    name: &str,
) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let name = name.to_owned().try_into().map_err(io::Error::other)?;
    let tls = ClientConnection::new(Arc::clone(trust), name).map_err(io::Error::other)?;
    Ok(StreamOwned::new(tls, stream.try_clone()?))
}

/// Where Debian puts it, or wherever it is found.
fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let elsewhere = [PathBuf::from("/usr/sbin")];
    let found = std::env::split_paths(&path)
        .chain(elsewhere)
        .map(|folder| folder.join(name))
        .find(|program| program.is_file());
    found.unwrap_or_else(|| {
        panic!("there is no `{name}` on this machine: run `cargo x test`, which installs MariaDB on Debian, or install it by hand")
    })
}

/// A folder with the system's tables. They are made once, beside the tests' programs, and copied: the server syncs each of
/// them, which takes seconds.
fn installed(account: &Account) -> &'static Path {
    static INSTALLED: OnceLock<PathBuf> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let said = Command::new(program("mariadbd")).arg("--version").output();
        let said = String::from_utf8_lossy(&said.expect("it runs").stdout).into_owned();
        let version = said
            .split_whitespace()
            .find(|word| word.contains("MariaDB"));
        let name = format!("mariadb-{}", version.expect("a version"));
        let own = std::env::current_exe().expect("a program");
        let installed = own.with_file_name(name);
        if installed.is_dir() {
            return installed;
        }
        let folder = tempfile::tempdir().expect("a folder");
        account.own(folder.path());
        install(account, folder.path());
        let beside = installed.parent().expect("a file stands in a folder");
        let copied = tempfile::tempdir_in(beside).expect("a folder");
        copy(&folder.path().join("data"), &copied.path().join("data"));
        // Another program may have been faster.
        let moved = std::fs::rename(copied.path().join("data"), &installed);
        assert!(moved.is_ok() || installed.is_dir(), "{moved:?}");
        installed
    })
}

fn copy(from: &Path, to: &Path) {
    finish(Command::new("cp").arg("-a").args([from, to]));
}

fn install(account: &Account, folder: &Path) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut command = account.command(&program("mariadb-install-db"), folder);
    command
        .env("PATH", path)
        .arg("--no-defaults")
        .arg(format!("--datadir={}", folder.join("data").display()))
        .args(["--auth-root-authentication-method=normal"])
        .args(["--skip-test-db", "--skip-name-resolve"])
        .args(["--innodb-log-file-size=16M", "--innodb-flush-method=nosync"]);
    finish(&mut command);
}

/// Of two that say the same the last counts.
fn arguments(folder: &Path, port: u16, settings: &[&str]) -> Vec<String> {
    let of = |name: &str, file: &str| format!("--{name}={}", folder.join(file).display());
    let mut arguments = vec![
        "--no-defaults".to_owned(),
        format!("--port={port}"),
        of("datadir", "data"),
        of("socket", "socket"),
        of("pid-file", "pid"),
        of("tmpdir", ""),
        of("init-file", INIT),
        of("ssl-cert", "server.crt"),
        of("ssl-key", "server.key"),
    ];
    arguments.extend(
        [
            "--bind-address=127.0.0.1",
            "--require-secure-transport=ON",
            "--skip-name-resolve",
            "--skip-log-bin",
            "--character-set-server=utf8mb4",
            "--innodb-buffer-pool-size=64M",
            "--innodb-log-file-size=16M",
            "--innodb-flush-log-at-trx-commit=1",
            // Of no use in a test that never cuts the power.
            "--innodb-flush-method=nosync",
        ]
        .map(ToOwned::to_owned),
    );
    arguments.extend(settings.iter().map(ToString::to_string));
    arguments
}

fn served(account: &Account, folder: &Path, arguments: &[String]) -> Command {
    let mut server = account.command(&program("mariadbd"), folder);
    server.args(arguments);
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
        if said.contains("ready for connections") {
            // It goes on to write there, and must not meet a closed pipe.
            std::thread::spawn(move || io::copy(&mut log, &mut io::sink()));
            return Some(server);
        }
    }
    drop(server.wait());
    assert!(said.contains("Address already in use"), "{said}");
    None
}
