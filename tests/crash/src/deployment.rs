//! The real `sluice` in a deployment of its own: several files, through `map`, into files or into an API.

use crate::program::{PATIENCE, Running, run};
use crate::scratch::{copy, remove};
use crate::server::Server;
use crate::strace::{self, Act};
use sluice_crash_checker::delivery::{Facts, Sink};
use sluice_crash_checker::words::Ended;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Files of the source, each a split.
const FILES: u64 = 4;
/// One record in so many is refused, one in so many filtered.
const REFUSED_EVERY: u64 = 50;
const FILTERED_EVERY: u64 = 10;
/// A few hundred records are a page, so that a file has several.
const NOTE_BYTES: usize = 3_000;
/// The pipeline's file, in its folder.
pub const PIPELINE: &str = "orders.toml";

/// A deployment with one pipeline.
pub struct Deployment {
    /// Its folder.
    pub folder: PathBuf,
    scratch: PathBuf,
    sink: Sink,
    server: Option<Server>,
    /// The source's files, by name.
    source: Vec<(String, String)>,
}

fn said(variable: &str) -> PathBuf {
    let value = std::env::var_os(variable);
    value.map_or_else(
        || panic!("{variable} is not set: run `cargo x crash`, which builds what these tests need"),
        PathBuf::from,
    )
}

impl Deployment {
    /// With so many records in each of its files, and all it asks for granted.
    pub fn new(scratch: &Path, sink: Sink, records: u64) -> Self {
        fs::create_dir_all(scratch).expect("a folder");
        let deployment = Self {
            folder: scratch.join("deployment"),
            scratch: scratch.to_owned(),
            sink,
            server: (sink == Sink::Plain).then(Server::start),
            source: (0..FILES)
                .map(|file| (format!("part-{file}.ndjson"), lines(file, records)))
                .collect(),
        };
        deployment.write();
        deployment.pack();
        let granted = deployment.sluice(&["grant", "new", PIPELINE, "--network", "127.0.0.1/32"]);
        assert!(granted.is_done(), "{granted:?}");
        deployment
    }

    fn write(&self) {
        let write = |name: &str, text: &str| {
            let path = self.folder.join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        };
        write(
            "sluice.toml",
            &format!(
                "[plugins]\ndir = \"{}\"\n",
                said("SLUICE_PLUGINS").display()
            ),
        );
        for (name, text) in &self.source {
            write(&format!("in/{name}"), text);
        }
        write(PIPELINE, &self.pipeline());
        // Compiled once for all deployments of the tests.
        let shared = said("SLUICE_PLUGINS").with_file_name("e2e-compiled");
        let mut folder = fs::DirBuilder::new();
        folder
            .recursive(true)
            .mode(0o700)
            .create(&shared)
            .expect("a folder");
        fs::create_dir_all(self.folder.join(".sluice")).expect("a folder");
        std::os::unix::fs::symlink(shared, self.folder.join(".sluice/compiled")).expect("a link");
    }

    /// Our own sink of files with small units, so that a file has several: one is under way while another is committed.
    fn pack(&self) {
        let manifest = include_str!("../../../plugins/files/manifest.toml")
            .replace("sluice/files", "acme/files");
        assert!(manifest.contains("bytes = \"16MiB\""), "{manifest}");
        let manifest = manifest.replace("bytes = \"16MiB\"", "bytes = \"1MiB\"");
        fs::write(self.folder.join("manifest.toml"), manifest).expect("a file");
        let schema = include_str!("../../../plugins/files/config.schema.json");
        fs::write(self.folder.join("config.schema.json"), schema).expect("a file");
        let component = said("SLUICE_GUESTS").join("sluice_files.wasm");
        let component = component.display().to_string();
        let packed = self.sluice(&[
            "plugin",
            "pack",
            &component,
            "--manifest",
            "manifest.toml",
            "--out",
            "files.wasm",
        ]);
        assert!(packed.is_done(), "{packed:?}");
    }

    fn pipeline(&self) -> String {
        let sink = match &self.server {
            Some(server) => format!(
                "plugin = \"sluice/http@0.1\"\nconfig = {{ url = \"{}\", path = \"/orders\", mode = \"batch\", \
                 batch_size = 50, key_field = \"key\" }}\n",
                server.url()
            ),
            None => "plugin = \"files.wasm\"\nconfig = { dir = \"out\", format = \"ndjson\" }\n"
                .to_owned(),
        };
        format!(
            "[pipeline]\nname = \"orders\"\n\
             [source]\nplugin = \"sluice/files@0.1\"\nconfig = {{ dir = \"in\", format = \"ndjson\", stream = \"orders\" }}\n\
             [schema.orders]\nkey = [\"id\"]\nfields = {{ id = \"int64\", status = \"text\", note = \"text\" }}\n\
             [[transform]]\nplugin = \"sluice/map@0.1\"\n\
             config = {{ steps = [ {{ keep = {{ column = \"status\", is_not = \"cancelled\" }} }}, {{ upper = [\"status\"] }} ] }}\n\
             [[sink]]\n{sink}\
             [delivery]\nretry = {{ for = \"5s\", max_delay = \"500ms\" }}\n"
        )
    }

    /// The binary, in its folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(said("SLUICE_BIN"));
        command.args(arguments);
        self.placed(command)
    }

    fn placed(&self, mut command: Command) -> Command {
        command.current_dir(&self.folder).env_remove("SLUICE_LOG");
        command
    }

    /// Runs the binary to its end.
    pub fn sluice(&self, arguments: &[&str]) -> Ended {
        run(&mut self.command(arguments), &self.scratch)
    }

    /// Starts the pipeline, and does not wait.
    pub fn start(&self) -> Running {
        Running::start(&mut self.command(&["run", PIPELINE]), &self.scratch)
    }

    /// Runs the pipeline with this done to it.
    pub fn run_under(&self, act: &Act) -> Ended {
        let command = strace::around(&said("SLUICE_BIN"), &["run", PIPELINE], act, &self.log());
        Running::start(&mut self.placed(command), &self.scratch).end(PATIENCE)
    }

    /// Where `strace` writes.
    pub fn log(&self) -> PathBuf {
        self.scratch.join("strace")
    }

    /// What `strace` wrote.
    pub fn calls(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// Forgets all that a run did.
    pub fn renew(&self) {
        for folder in ["out", ".sluice/state", ".sluice/audit"] {
            remove(&self.folder.join(folder));
        }
        let key = self.folder.join(".sluice/key");
        if key.exists() {
            fs::remove_file(key).expect("removes");
        }
        if let Some(server) = &self.server {
            server.forget();
        }
    }

    /// Puts a copy of another's folder in the place of its own.
    pub fn restore(&self, from: &Path) {
        remove(&self.folder);
        copy(from, &self.folder);
    }

    /// Whether its sink may be told of a record again.
    pub fn is_plain(&self) -> bool {
        self.sink == Sink::Plain
    }

    /// Requests that the API took and did not answer.
    pub fn unanswered(&self) -> u64 {
        self.server.as_ref().map_or(0, Server::unanswered)
    }

    /// What is at the destination.
    pub fn delivered(&self) -> Vec<String> {
        match &self.server {
            Some(server) => server.received(),
            None => parts(&self.folder.join("out")),
        }
    }

    /// What there is to judge: read from files and from what the binary says of itself. The error is what it said in
    /// place of that.
    pub fn facts(&self) -> Result<Facts, Ended> {
        let asked = |arguments: &[&str]| {
            let ended = self.sluice(arguments);
            if ended.is_done() {
                Ok(ended.out)
            } else {
                Err(ended)
            }
        };
        let checkpoints = asked(&["checkpoint", "list", PIPELINE, "--json"])?;
        let letters = asked(&["dlq", "export", PIPELINE])?;
        Ok(Facts {
            sink: self.sink,
            source: self.source.clone(),
            delivered: self.delivered(),
            letters,
            checkpoints,
        })
    }
}

/// The source's lines: most are delivered, some filtered, some of another type than was promised.
fn lines(file: u64, records: u64) -> String {
    let mut text = String::new();
    for record in 0..records {
        let id = file * 1_000_000 + record;
        let status = if id % FILTERED_EVERY == 1 {
            "cancelled"
        } else {
            "shipped"
        };
        let id = if id % REFUSED_EVERY == 7 {
            format!("\"{id}\"")
        } else {
            id.to_string()
        };
        let note = "x".repeat(NOTE_BYTES);
        writeln!(
            text,
            "{{\"id\": {id}, \"status\": \"{status}\", \"note\": \"{note}\"}}"
        )
        .expect("memory");
    }
    text
}

/// The published parts: those whose names do not begin with a dot.
fn parts(folder: &Path) -> Vec<String> {
    let is_hidden = |path: &Path| {
        path.iter()
            .any(|name| name.to_string_lossy().starts_with('.'))
    };
    let files = crate::scratch::files(folder);
    let shown = files.iter().filter(|path| !is_hidden(path));
    shown
        .map(|path| fs::read_to_string(folder.join(path)).expect("a part"))
        .collect()
}
