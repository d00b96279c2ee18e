//! A deployment in a folder of its own, and the real binary at work in it: what the end-to-end tests walk through.
//! `cargo x test` builds the binary and the plugins and says where they are.

mod account;
pub mod canary;
pub mod checker;
pub mod mysql;
pub mod nats;
pub mod postgres;
mod process;
pub mod progress;
pub mod service;
pub mod sql;
pub mod storage;
pub mod tls;
pub mod writer;

use serde_json::Value;
use std::fmt::Write as _;
use std::ops::Range;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// The manifest of the plugin that misbehaves, with something to misbehave with.
pub const HOSTILE: &str = include_str!("../../hostile/manifest.toml");

/// A deployment. Gone when it is dropped.
pub struct TestHost {
    folder: tempfile::TempDir,
}

/// What a command of the binary gave.
#[derive(Debug)]
pub struct Answer {
    /// The exit code; none where it was killed.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Answer {
    /// Standard output as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in {self:#?}"))
    }

    /// The same, where the command must have done what was asked.
    #[must_use]
    pub fn done(self) -> Self {
        assert_eq!(self.code, Some(0), "{}\n{}", self.out, self.err);
        self
    }
}

fn said(variable: &str) -> PathBuf {
    let value = std::env::var_os(variable);
    value.map_or_else(
        || panic!("{variable} is not set: run `cargo x test`, which builds what these tests need"),
        PathBuf::from,
    )
}

impl Default for TestHost {
    fn default() -> Self {
        Self::new()
    }
}

impl TestHost {
    /// An empty deployment with our own plugins.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let host = Self { folder };
        host.write(
            "sluice.toml",
            format!(
                "[plugins]\ndir = \"{}\"\n",
                said("SLUICE_PLUGINS").display()
            ),
        );
        host.share_compiled();
        host
    }

    /// Every deployment of the tests runs the same plugins: they are compiled once, not once a test.
    fn share_compiled(&self) {
        let shared = said("SLUICE_PLUGINS").with_file_name("e2e-compiled");
        let mut folder = std::fs::DirBuilder::new();
        folder
            .recursive(true)
            .mode(0o700)
            .create(&shared)
            .expect("a folder beside the plugins");
        std::fs::create_dir_all(self.path(".sluice")).expect("a folder");
        std::os::unix::fs::symlink(shared, self.path(".sluice/compiled")).expect("a link");
    }

    /// Its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file, its folders too.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a file stands in a folder"))
            .expect("folders");
        std::fs::write(&path, content).expect("a file");
        path
    }

    /// Changes a file. What is to be replaced must stand in it once.
    pub fn edit(&self, name: &str, from: &str, to: &str) {
        let text = self.read(name);
        assert_eq!(text.matches(from).count(), 1, "`{from}` in {text}");
        self.write(name, text.replace(from, to));
    }

    /// A file's text.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Packs a guest (`files`, `hostile`) with this manifest into the deployment's folder.
    pub fn pack(&self, guest: &str, manifest: &str, out: &str) -> Answer {
        let component = said("SLUICE_GUESTS").join(format!("sluice_{guest}.wasm"));
        let folder = format!("packed-{guest}");
        self.write(&format!("{folder}/config.schema.json"), settings(guest));
        let manifest = self.write(&format!("{folder}/manifest.toml"), manifest);
        let paths = [component, manifest].map(|path| path.display().to_string());
        self.sluice(&[
            "plugin",
            "pack",
            &paths[0],
            "--manifest",
            &paths[1],
            "--out",
            out,
        ])
    }

    /// What was printed, without what differs between machines and runs: digests, and where things lie.
    pub fn shown(&self, text: &str) -> String {
        let plugins = said("SLUICE_PLUGINS").display().to_string();
        let guests = said("SLUICE_GUESTS").display().to_string();
        let here = self.folder.path().display().to_string();
        without_digests(
            &text
                .replace(&plugins, "PLUGINS")
                .replace(&guests, "GUESTS")
                .replace(&here, "HERE"),
        )
    }

    /// All that a command said, as [`TestHost::shown`], without its log and the figures of its time.
    pub fn seen(&self, answer: &Answer) -> String {
        let log = |line: &&str| !line.contains(" WARN ");
        let figures =
            |line: &&str| !line.is_empty() && !line.contains("records/s") && !line.contains(" s  ");
        let said = answer.err.lines().chain(answer.out.lines());
        let lines: Vec<&str> = said.filter(log).filter(figures).collect();
        self.shown(&lines.join("\n"))
    }

    /// Puts a secret where the deployment looks for it.
    pub fn secret(&self, name: &str, value: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.write(&format!("secrets/{name}"), value);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("a mode");
    }

    /// The binary in the deployment's folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(said("SLUICE_BIN"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_remove("SLUICE_LOG")
            .stdin(Stdio::null());
        command
    }

    /// Runs the binary.
    pub fn sluice(&self, arguments: &[&str]) -> Answer {
        let Output {
            status,
            stdout,
            stderr,
        } = self.command(arguments).output().expect("the binary runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("sluice prints text");
        Answer {
            code: status.code(),
            out: text(stdout),
            err: without_guard(&text(stderr)),
        }
    }

    /// Starts the binary and does not wait.
    pub fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary runs")
    }

    /// Grants a pipeline all it asks for.
    pub fn grant(&self, pipeline: &str) {
        drop(self.sluice(&["grant", "new", pipeline]).done());
    }

    /// Grants a pipeline all it asks for, at this machine's own address.
    pub fn grant_local(&self, pipeline: &str) {
        drop(
            self.sluice(&["grant", "new", pipeline, "--network", "127.0.0.1/32"])
                .done(),
        );
    }

    /// The same, with trust in the authority of a database that listens there. Granted again where it was before.
    pub fn grant_trusting<K>(&self, pipeline: &str, server: &sql::Server<K>) {
        self.grant_at(pipeline, server.port, &server.authority);
    }

    /// The same, of any server at this port.
    pub fn grant_at(&self, pipeline: &str, port: u16, authority: &str) {
        self.write("ca.pem", authority);
        let networks = ["--network", "127.0.0.0/8", "--network", "::1/128"];
        drop(
            self.sluice(&[&["grant", "new", pipeline], &networks[..]].concat())
                .done(),
        );
        self.trust(port);
    }

    /// Every grant of this port trusts `ca.pem`.
    pub fn trust(&self, port: u16) {
        let port = format!("port = {port}\n");
        let ca = "ca = \"ca.pem\"\n";
        for entry in std::fs::read_dir(self.path("grants")).expect("a folder") {
            let name = entry.expect("an entry").file_name();
            let name = format!("grants/{}", name.to_string_lossy());
            if self.path(&name).is_file() {
                // Once, where it was granted before.
                let text = self.read(&name).replace(&format!("{port}{ca}"), &port);
                self.write(&name, text.replace(&port, &format!("{port}{ca}")));
            }
        }
    }

    /// Runs a pipeline to its end, and gives its report.
    pub fn run(&self, pipeline: &str) -> Value {
        let report = self.sluice(&["run", pipeline, "--json"]).done().json();
        balanced(&report);
        report
    }

    /// Every dead letter of a pipeline.
    pub fn dead_letters(&self, pipeline: &str) -> Vec<Value> {
        lines(&self.sluice(&["dlq", "export", pipeline]).done().out)
    }

    /// Every record in the published parts of a folder of NDJSON, in the parts' order.
    pub fn records(&self, folder: &str) -> Vec<Value> {
        parts(&self.path(folder))
            .iter()
            .flat_map(|part| lines(&std::fs::read_to_string(part).expect("a part")))
            .collect()
    }
}

/// Without the line that tells of a guard that is switched off: a test goes red for what that lets through.
fn without_guard(err: &str) -> String {
    err.split_inclusive('\n')
        .filter(|line| !line.contains("a guard is switched off in this debug build"))
        .collect()
}

/// The manifest of one of our own plugins.
pub fn manifest(plugin: &str) -> String {
    let file = ours(plugin).join("manifest.toml");
    std::fs::read_to_string(file).expect("each of our plugins has a manifest")
}

/// The examples in this language that the README of one of our own plugins shows.
pub fn examples(plugin: &str, language: &str) -> Vec<String> {
    let text = std::fs::read_to_string(ours(plugin).join("README.md"));
    let text = text.expect("each of our plugins has a README");
    let fence = format!("```{language}\n");
    let after = text.split(&fence).skip(1);
    after
        .map(|rest| rest.split("```").next().unwrap_or_default().to_owned())
        .collect()
}

/// The schema of a guest's settings; one that takes any for a guest that has none.
fn settings(guest: &str) -> String {
    std::fs::read_to_string(ours(guest).join("config.schema.json")).unwrap_or("{}".to_owned())
}

fn ours(plugin: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../plugins")
        .join(plugin)
}

/// Digests and the numbers of runs: ten hexadecimal digits or more become `…`.
fn without_digests(text: &str) -> String {
    let hex = |character: char| matches!(character, '0'..='9' | 'a'..='f');
    let (mut shown, mut rest) = (String::new(), text);
    while let Some(start) = rest.find(hex) {
        let run = &rest[start..];
        let end = run.find(|character| !hex(character)).unwrap_or(run.len());
        shown.push_str(&rest[..start]);
        shown.push_str(if end < 10 { &run[..end] } else { "…" });
        rest = &run[end..];
    }
    shown + rest
}

/// The files a reader of the folder would see: those whose names do not begin with a dot, sorted.
pub fn parts(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for path in entries.map(|entry| entry.expect("an entry").path()) {
            let hidden = path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with('.'));
            match path.is_dir() {
                _ if hidden => {}
                true => folders.push(path),
                false => found.push(path),
            }
        }
    }
    found.sort();
    found
}

/// NDJSON as values. A broken line is a failure: nobody may see half a record.
pub fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// NDJSON of records that are told apart by their `id`, each with so many bytes in its `name`.
pub fn numbered(ids: Range<u64>, bytes: usize) -> String {
    let name = "x".repeat(bytes);
    ids.fold(String::new(), |mut text, id| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{{\"id\": {id}, \"name\": \"{name}\"}}");
        text
    })
}

/// The equation of every run.
pub fn balanced(report: &Value) {
    let count = |name: &str| {
        report[name]
            .as_u64()
            .unwrap_or_else(|| panic!("no `{name}` in {report}"))
    };
    let settled =
        count("written") + count("filtered") + count("dead_lettered") + count("in_flight");
    assert_eq!(count("read"), settled, "{report}");
}
