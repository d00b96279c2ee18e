//! MariaDB: two databases, `here` and `there`, and nothing without TLS.

use crate::account::{Account, finish};
use crate::process::program;
use crate::sql::{self, Kind, PASSWORD, Server, USER};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use sluice_sdk::net::NetError;
use sluice_sdk::testing::{self, Event, Turn};
use std::io::{self, Read, Seek as _, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};

/// Bytes of the packet that asks a server for TLS.
const SSL_REQUEST_BYTES: usize = 4 + 32;

/// Done at every start, a statement a line: two databases, and the user.
const INIT: &str = "init.sql";

/// As this kind goes.
#[derive(Debug, Clone)]
pub struct MariadbKind;

/// A running server.
pub type Mariadb = Server<MariadbKind>;

/// Speaks to a server.
pub type Client = sql::Client<MariadbKind>;

impl Kind for MariadbKind {
    const PLUGIN: &'static str = "mysql";
    const DATABASE: &'static str = "mysql";
    const BETWEEN: char = '\t';
    const READY: &'static str = "ready for connections";
    const KILL: &'static str = "-KILL";
    const END: &'static str = Self::KILL;
    /// They are there from the start.
    const PLACES: &'static str = "";

    fn place(name: &str) -> Vec<(&'static str, &str)> {
        vec![("database", name)]
    }

    fn make(account: &Account, folder: &Path) -> String {
        copy(installed(account), &folder.join("data"));
        let init = format!(
            "CREATE DATABASE IF NOT EXISTS here;\nCREATE DATABASE IF NOT EXISTS there;\n\
             CREATE USER IF NOT EXISTS {USER}@'%' IDENTIFIED VIA mysql_native_password USING PASSWORD('{PASSWORD}');\n\
             GRANT ALL ON *.* TO {USER}@'%' WITH GRANT OPTION;\n"
        );
        std::fs::write(folder.join(INIT), init).expect("a file");
        account.certify(folder)
    }

    /// Of two that say the same the last counts.
    fn serve(account: &Account, folder: &Path, port: u16, settings: &[&str]) -> Command {
        let of = |name: &str, file: &str| format!("--{name}={}", folder.join(file).display());
        let mut server = account.command(&program("mariadbd"), folder);
        server
            .args(["--no-defaults".to_owned(), format!("--port={port}")])
            .args([of("datadir", "data"), of("socket", "socket")])
            .args([of("pid-file", "pid"), of("tmpdir", "")])
            .arg(of("init-file", INIT))
            .args([of("ssl-cert", "server.crt"), of("ssl-key", "server.key")])
            .args(["--bind-address=127.0.0.1", "--require-secure-transport=ON"])
            .args(["--skip-name-resolve", "--skip-log-bin"])
            .arg("--character-set-server=utf8mb4")
            .args([
                "--innodb-buffer-pool-size=64M",
                "--innodb-log-file-size=16M",
            ])
            .arg("--innodb-flush-log-at-trx-commit=1")
            // Of no use in a test that never cuts the power.
            .arg("--innodb-flush-method=nosync")
            .args(settings);
        server
    }

    fn ask(client: &Client, sql: &str) -> Command {
        // In a file: one argument of a program is no longer than 128 KiB.
        let mut script = tempfile::tempfile().expect("a file");
        script.write_all(sql.as_bytes()).expect("a file");
        script.rewind().expect("a file");
        let mut mariadb = Command::new(program("mariadb"));
        mariadb
            .env("MYSQL_PWD", PASSWORD)
            .args(["--no-defaults", "--batch", "--skip-column-names"])
            .args(["--binary-mode", "--default-character-set=utf8mb4"])
            .args(["--protocol=TCP", "--host=localhost", "--user", USER])
            .arg(format!("--port={}", client.port))
            .arg(format!("--database={}", client.database))
            .arg("--ssl-verify-server-cert")
            .arg(format!("--ssl-ca={}", client.authority.display()))
            .stdin(Stdio::from(script));
        mariadb
    }

    /// What TLS is made of elsewhere is made of it here.
    fn reach(port: u16, authority: &str) {
        let trust = trust(authority);
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

    /// Each as it is byte for byte. Columns are those of the first.
    fn difference(client: &Client, one: &str, other: &str) -> Result<String, String> {
        let (database, table) = one.split_once('.').expect("a database and a table");
        // A number of four bytes is shown with six digits, and has more; a time may have digits that are nothing.
        let columns = client.sql(&format!(
            "SELECT GROUP_CONCAT('''{{'', COALESCE(HEX(CAST(', CASE WHEN type = 'float' THEN CONCAT('1e0 * ', name) \
             WHEN type IN ('datetime', 'timestamp') THEN CONCAT('CAST(', name, ' AS DATETIME(6))') ELSE name END, \
             ' AS BINARY)), ''none''), ''}} ''' ORDER BY place) \
             FROM (SELECT data_type AS type, ordinal_position AS place, CONCAT('`', REPLACE(column_name, '`', '``'), '`') AS name \
             FROM information_schema.columns WHERE table_schema = '{database}' AND table_name = '{table}') AS c"
        ))?;
        let rows = |table: &str| format!("SELECT CONCAT({columns}) FROM {table}");
        let (one, other) = (rows(one), rows(other));
        client.sql(&format!(
            "({one} EXCEPT ALL {other}) UNION ALL ({other} EXCEPT ALL {one}) LIMIT 5"
        ))
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
