//! An S3 server of the tests' own, on loopback: moto, with Apache Arrow beside it to read and write Parquet. It checks
//! the signature of each request. Gone when it is dropped.

use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;

/// The one bucket there is.
pub const BUCKET: &str = "exports";
/// Where the server says that it is.
pub const REGION: &str = "eu-north-1";

/// A running server.
pub struct Storage {
    /// On 127.0.0.1.
    pub port: u16,
    /// Of the user who may do everything: as the host takes keys.
    pub keys: String,
    server: Child,
    line: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Drop for Storage {
    fn drop(&mut self) {
        drop(self.server.kill());
        drop(self.server.wait());
    }
}

impl Default for Storage {
    fn default() -> Self {
        Self::start()
    }
}

impl Storage {
    /// A server with an empty bucket.
    pub fn start() -> Self {
        let folder = std::env::var_os("SLUICE_OBJECT_STORAGE")
            .map(PathBuf::from)
            .expect("SLUICE_OBJECT_STORAGE is not set: run `cargo x test`, which installs it");
        let mut server = Command::new(folder.join("venv/bin/python"))
            .arg(folder.join("server.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        let input = server.stdin.take().expect("a pipe");
        let mut output = BufReader::new(server.stdout.take().expect("a pipe"));
        let mut said = String::new();
        output.read_line(&mut said).expect("it speaks");
        let words: Vec<&str> = said.split_whitespace().collect();
        let ["listening", "on", port, id, secret] = words[..] else {
            panic!("the server said: {said}");
        };
        Self {
            port: port.parse().expect("a port"),
            keys: format!("access_key_id = \"{id}\"\nsecret_access_key = \"{secret}\"\n"),
            server,
            line: Mutex::new((input, output)),
        }
    }

    fn ask(&self, command: &Value) -> Value {
        let mut line = self.line.lock().expect("nobody panicked");
        writeln!(line.0, "{command}").expect("it listens");
        let mut said = String::new();
        line.1.read_line(&mut said).expect("it answers");
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{command}: {error}: {said}"))
    }

    /// Puts an object.
    pub fn put(&self, key: &str, text: &str) {
        self.ask(&json!(["put", key, text]));
    }

    /// The keys that begin so, in their order.
    pub fn list(&self, prefix: &str) -> Vec<String> {
        strings(&self.ask(&json!(["list", prefix])))
    }

    /// The keys of data below a folder.
    pub fn data(&self, prefix: &str) -> Vec<String> {
        let keys = self.list(prefix).into_iter();
        keys.filter(|key| !key.contains("_sluice/")).collect()
    }

    /// The keys of uploads that are no objects.
    pub fn uploads(&self) -> Vec<String> {
        strings(&self.ask(&json!(["uploads"])))
    }

    /// Begins an upload that nobody completes.
    pub fn begin(&self, key: &str) {
        self.ask(&json!(["begin", key]));
    }

    /// What Apache Arrow reads in an object of Parquet: its `rows`, each value as a text, and its `types`.
    pub fn parquet(&self, key: &str) -> Value {
        self.ask(&json!(["parquet", key]))
    }

    /// Has Apache Arrow write an object of Parquet with so many rows of `id` and `name`, so many in each group.
    pub fn write_parquet(&self, key: &str, rows: usize, group: usize) {
        self.ask(&json!(["write-parquet", key, rows, group, 0]));
    }

    /// The same in one group, with names of so many letters that do not pack: gives how large it is.
    pub fn write_large_parquet(&self, key: &str, rows: usize, letters: usize) -> u64 {
        let said = self.ask(&json!(["write-parquet", key, rows, rows, letters]));
        said.as_u64().expect("bytes")
    }

    /// A stage of `sluice/s3`, with more settings behind a comma.
    pub fn stage(&self, plugin: &str, format: &str, more: &str) -> String {
        format!(
            "plugin = \"{plugin}\"\nsecrets = {{ keys = \"storage\" }}\n\
             config = {{ endpoint = \"http://127.0.0.1:{}\", region = \"{REGION}\", bucket = \"{BUCKET}\", format = \"{format}\"{more} }}\n",
            self.port
        )
    }
}

fn strings(value: &Value) -> Vec<String> {
    let values = value.as_array().expect("a list").iter();
    values
        .map(|value| value.as_str().expect("a text").to_owned())
        .collect()
}
