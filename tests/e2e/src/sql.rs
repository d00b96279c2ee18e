//! Servers for tables, of the tests' own: a fresh folder, on loopback at a port that was free, with TLS by a made-up
//! authority, run by somebody who is not root. Gone when it is dropped. What each kind does in its own way stands with it:
//! [`crate::postgres`], [`crate::mysql`].

use crate::account::Account;
use crate::process::Process;
use sluice_sdk::testing;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The one user who may log in over the network.
pub const USER: &str = "reader";
/// Made up.
pub const PASSWORD: &str = "correct-horse-battery-staple-7";
/// What the password is called in a deployment.
pub const SECRET: &str = "database";

/// A kind of server.
pub trait Kind: Clone + Debug + Send + 'static {
    /// The name of its plugin, behind `sluice/`.
    const PLUGIN: &'static str;
    /// The database it is asked in where nothing else is said.
    const DATABASE: &'static str;
    /// Between two values of a row, as its client shows them.
    const BETWEEN: char;
    /// What its log says once it takes connections.
    const READY: &'static str;
    /// The signal after which it is as if it had been killed.
    const KILL: &'static str;
    /// The signal that ends it for good.
    const END: &'static str;
    /// SQL that makes `here` and `there`, if they are not there from the start.
    const PLACES: &'static str;

    /// What its plugin is told to find `here` or `there`.
    fn place(name: &str) -> Vec<(&'static str, &str)>;

    /// Makes all that is served in a folder. The PEM of the authority behind its certificate.
    fn make(account: &Account, folder: &Path) -> String;

    /// Serves what was made. The settings count before all others.
    fn serve(account: &Account, folder: &Path, port: u16, settings: &[&str]) -> Command;

    /// The client that asks this. It says a row a line.
    fn ask(client: &Client<Self>, sql: &str) -> Command;

    /// Plugins of this thread reach the server at this port.
    fn reach(port: u16, authority: &str);

    /// See [`Client::difference`].
    fn difference(client: &Client<Self>, one: &str, other: &str) -> Result<String, String>;
}

/// A running server.
pub struct Server<K> {
    /// On 127.0.0.1, by the name `localhost`.
    pub port: u16,
    /// The authority behind its certificate, as PEM.
    pub authority: String,
    // Over before its folder is gone.
    pub(crate) process: Process,
    folder: tempfile::TempDir,
    kind: PhantomData<K>,
}

impl<K: Kind> Server<K> {
    /// A server with two places for tables, `here` and `there`, filled by this SQL.
    pub fn start(sql: &str) -> Self {
        Self::start_with(sql, &[])
    }

    /// The same, with settings of its own.
    pub fn start_with(sql: &str, settings: &[&str]) -> Self {
        let account = Account::find();
        let folder = tempfile::tempdir().expect("a folder");
        account.own(folder.path());
        let authority = K::make(&account, folder.path());
        let (port, process) = Process::start(K::READY, K::END, |port| {
            K::serve(&account, folder.path(), port, settings)
        });
        let server = Self {
            port,
            authority,
            process,
            folder,
            kind: PhantomData,
        };
        // One that takes no client has none to fill it.
        let sql = format!("{}{sql}", K::PLACES);
        if !sql.is_empty() {
            server.sql(&sql);
        }
        server
    }

    /// As if it were killed, and back on the same port.
    pub fn restart(&mut self) {
        self.process.stop(K::KILL);
        self.process.comes_back();
    }

    /// What it says to this SQL, a row a line, its values between `|`. It must take it.
    pub fn sql(&self, sql: &str) -> String {
        let said = self.client().sql(sql);
        said.unwrap_or_else(|said| panic!("{sql}: {said}"))
    }

    /// See [`Client::difference`].
    pub fn difference(&self, one: &str, other: &str) -> String {
        self.client()
            .difference(one, other)
            .expect("both are there")
    }

    /// Plugins of this thread reach the server.
    pub fn reach(&self) {
        testing::secrets(&[("password", Some(PASSWORD))]);
        K::reach(self.port, &self.authority);
    }

    /// Settings of its plugin for `here` or `there`, with more behind a comma; where no place is said, none is given.
    pub fn settings(&self, place: &str, more: &str) -> String {
        format!(
            "{{{}{more}}}",
            self.pairs(place, |name, value| format!("\"{name}\": {value}"))
        )
    }

    /// A stage of a pipeline with the same settings, for a deployment that has the [`SECRET`].
    pub fn stage(&self, place: &str, more: &str) -> String {
        format!(
            "plugin = \"sluice/{}@0.1\"\nsecrets = {{ password = \"{SECRET}\" }}\nconfig = {{ {}{more} }}\n",
            K::PLUGIN,
            self.pairs(place, |name, value| format!("{name} = {value}"))
        )
    }

    fn pairs(&self, place: &str, pair: impl Fn(&str, &str) -> String) -> String {
        let place = K::place(place)
            .into_iter()
            .filter(|(_, value)| !value.is_empty());
        let texts = [("host", "localhost"), ("user", USER)]
            .into_iter()
            .chain(place);
        let port = pair("port", &self.port.to_string());
        texts.fold(port, |pairs, (name, value)| {
            format!("{pairs}, {}", pair(name, &format!("\"{value}\"")))
        })
    }

    /// Whoever speaks to it, also while it is away.
    pub fn client(&self) -> Client<K> {
        let authority = self.folder().join("authority.pem");
        std::fs::write(&authority, &self.authority).expect("a file");
        Client {
            port: self.port,
            authority,
            database: K::DATABASE.to_owned(),
            kind: PhantomData,
        }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// Speaks to a server.
#[derive(Debug, Clone)]
pub struct Client<K> {
    pub(crate) port: u16,
    pub(crate) authority: PathBuf,
    pub(crate) database: String,
    kind: PhantomData<K>,
}

impl<K: Kind> Client<K> {
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
        let output = K::ask(self, sql).output().expect("its client runs");
        let text = |bytes| String::from_utf8_lossy(bytes).replace(K::BETWEEN, "|");
        if output.status.success() {
            Ok(text(&output.stdout).trim().to_owned())
        } else {
            Err(text(&output.stderr).trim().to_owned())
        }
    }

    /// What of one table the other does not have, either way: some of it.
    pub fn difference(&self, one: &str, other: &str) -> Result<String, String> {
        K::difference(self, one, other)
    }

    /// How many units the sink of the one pipeline has delivered.
    pub fn units(&self) -> u64 {
        let sum = self.sql("SELECT COALESCE(SUM(sequence), 0) FROM there.sluice_commits");
        sum.ok()
            .and_then(|sum| sum.parse().ok())
            .unwrap_or_default()
    }
}

/// Runs a case over either server, both at once. A failure names the thread, which is called as the server is.
pub fn on_both(postgres: fn(), mariadb: fn()) {
    std::thread::scope(|scope| {
        for (name, case) in [("PostgreSQL", postgres), ("MariaDB", mariadb)] {
            let thread = std::thread::Builder::new().name(name.to_owned());
            thread.spawn_scoped(scope, case).expect("a thread");
        }
    });
}
