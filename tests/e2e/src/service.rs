//! `sluice serve` at work, and what is asked of it.

use crate::TestHost;
use crate::progress::Page;
use serde_json::Value;
use sluice_upstream::Upstream;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_mins(3);

/// A service at work. Killed when it is dropped.
pub struct Service<'a> {
    /// Its deployment.
    pub host: &'a TestHost,
    /// How long it is waited for.
    pub patience: Duration,
    child: Child,
}

impl Drop for Service<'_> {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl<'a> Service<'a> {
    /// Starts it.
    pub fn spawn(host: &'a TestHost) -> Self {
        let log = std::fs::File::create(host.path("serve.log")).expect("a file");
        let child = host
            .command(&["serve"])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the binary runs");
        Self {
            host,
            patience: PATIENCE,
            child,
        }
    }

    /// Starts it, and waits until it answers.
    pub fn start(host: &'a TestHost) -> Self {
        let mut service = Self::spawn(host);
        service.until("it answers", |service| {
            service.host.path(".sluice/state/control.sock").exists()
                && status(service.host).is_some_and(|status| status["service"]["pid"].is_u64())
        });
        service
    }

    /// The same, waited for as long as so many rows may take, 60,000 or more.
    #[must_use]
    pub fn patient(mut self, rows: u64) -> Self {
        self.patience *= u32::try_from(rows / 60_000).expect("not so many rows");
        self
    }

    /// Waits until this is so.
    pub fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !is_so(self) {
            let ended = self.child.try_wait().expect("a child");
            let late = began.elapsed() > self.patience;
            assert!(
                ended.is_none() && !late,
                "waited for: {what}\n{ended:?}\n{}\n{:#?}",
                self.host.read("serve.log"),
                status(self.host)
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until a pipeline is in this state.
    pub fn until_in(&mut self, pipeline: &str, state: &str) {
        self.until(&format!("{pipeline} is {state}"), |service| {
            view(service.host, pipeline)["state"] == state
        });
    }

    /// Kills it, by SIGKILL. Until then no pipeline stood still: what went down was met again within a run, and not because
    /// a budget was spent.
    pub fn kill(self) {
        let log = self.host.read("serve.log");
        let stood = ["stalled", "paused"].map(|state| log.contains(&format!("state=\"{state}\"")));
        assert_eq!(stood, [false; 2], "{log}");
    }

    /// Sends it a signal, `-TERM` or another.
    pub fn signal(&self, signal: &str) {
        let told = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status();
        assert!(told.expect("kill runs").success());
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its exit code, once it has ended by itself.
    pub fn ends(&mut self) -> Option<i32> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status.code();
            }
            assert!(
                began.elapsed() < PATIENCE,
                "{}",
                self.host.read("serve.log")
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Has it end, which it must do well.
    pub fn stops(&mut self) {
        self.signal("-TERM");
        assert_eq!(self.ends(), Some(0), "{}", self.host.read("serve.log"));
    }

    /// What it answers to a machine: the status and the body.
    pub fn get(&self, path: &str) -> (u16, String) {
        let request = format!("GET {path} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n");
        self.visit(&request)
    }

    /// Where it listens.
    pub fn listen(&self) -> String {
        let status = status(self.host).expect("a status");
        let address = status["service"]["listen"].as_str();
        address.expect("an address").to_owned()
    }

    /// How far behind its source a pipeline is, as `/metrics` has it, and how much is left; none where it is not said.
    pub fn lag(&self, pipeline: &str, unit: &str) -> Option<(u64, Option<u64>)> {
        let page = Page::fetch(&format!("http://{}/metrics", self.listen())).ok()?;
        let labels = [("pipeline", pipeline), ("unit", unit)];
        let behind = page.count("sluice_source_lag", &labels)?;
        Some((behind, page.count("sluice_source_lag_left", &labels)))
    }

    /// What it answers to this.
    pub fn visit(&self, request: &str) -> (u16, String) {
        let address = self.listen();
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        (code.expect("a status"), body.to_owned())
    }
}

/// What `sluice status` says; none where it cannot.
pub fn status(host: &TestHost) -> Option<Value> {
    let answer = host.sluice(&["status", "--json"]);
    (answer.code == Some(0)).then(|| answer.json())
}

/// What it says of one pipeline; null where it knows none.
pub fn view(host: &TestHost, pipeline: &str) -> Value {
    let status = status(host).unwrap_or_default();
    let all = status["pipelines"].as_array().cloned().unwrap_or_default();
    let found = all.into_iter().find(|view| view["pipeline"] == pipeline);
    found.unwrap_or_default()
}

/// A deployment that listens, and has a folder of pipelines.
pub fn deployment() -> TestHost {
    let host = TestHost::new();
    let mut text = host.read("sluice.toml");
    text.push_str("\n[service]\nlisten = \"127.0.0.1:0\"\ndrain = \"20s\"\n");
    host.write("sluice.toml", text);
    std::fs::create_dir(host.path("pipelines")).expect("a folder");
    host
}

/// Adds a pipeline to it, granted all it asks for.
pub fn add(host: &TestHost, name: &str, text: String) {
    let file = format!("pipelines/{name}.toml");
    // Written whole in one step, as an editor does, and granted before a service can see it.
    host.write(&format!("pipelines/.{name}.toml"), text);
    drop(
        host.sluice(&[
            "grant",
            "new",
            &format!("pipelines/.{name}.toml"),
            "--network",
            "127.0.0.1/32",
        ])
        .done(),
    );
    std::fs::rename(
        host.path(&format!("pipelines/.{name}.toml")),
        host.path(&file),
    )
    .expect("renamed");
}

/// A pipeline from files into files.
pub fn copy(name: &str, schedule: &str, from: &str, to: &str) -> String {
    format!(
        "[pipeline]\nname = \"{name}\"\nschedule = \"{schedule}\"\n\n\
         [source]\nplugin = \"sluice/files@0.1\"\nconfig = {{ dir = \"{from}\", format = \"ndjson\", stream = \"rows\" }}\n\n\
         [schema.rows]\nkey = [\"id\"]\nfields = {{ id = \"int64\", note = \"text\" }}\n\n\
         [[sink]]\nplugin = \"sluice/files@0.1\"\nconfig = {{ dir = \"{to}\", format = \"ndjson\" }}\n"
    )
}

/// A pipeline from the files in `in` to the server at this address.
pub fn push(name: &str, schedule: &str, address: &str) -> String {
    format!(
        "[pipeline]\nname = \"{name}\"\nschedule = \"{schedule}\"\n\n\
         [source]\nplugin = \"sluice/files@0.1\"\nconfig = {{ dir = \"in\", format = \"ndjson\", stream = \"rows\" }}\n\n\
         [[sink]]\nplugin = \"sluice/http@0.1\"\n\
         config = {{ url = \"{address}\", path = \"/v1/rows\", mode = \"batch\", batch_size = 200, results = \"\" }}\n"
    )
}

/// A deployment with one pipeline, `push`, of so many rows into this server, which holds what comes.
pub fn held(server: &Upstream, count: usize) -> TestHost {
    let host = deployment();
    host.write("in/rows.ndjson", rows(1, count));
    add(&host, "push", push("push", "once", &server.address()));
    server.hold_next(1);
    host
}

/// A deployment with one pipeline, `orders`, of ten rows from `in` into `out`.
pub fn copying(schedule: &str) -> TestHost {
    let host = deployment();
    host.write("in/a.ndjson", rows(1, 10));
    add(&host, "orders", copy("orders", schedule, "in", "out"));
    host
}

/// NDJSON of so many rows, numbered from the first.
pub fn rows(first: usize, count: usize) -> String {
    let mut text = String::new();
    for id in first..first + count {
        writeln!(text, "{{\"id\": {id}, \"note\": \"{}\"}}", "x".repeat(100)).expect("memory");
    }
    text
}

/// The ids of what stands in the published parts of a folder.
pub fn ids(host: &TestHost, folder: &str) -> Vec<u64> {
    let records = host.records(folder);
    let ids = records.iter().map(|record| record["id"].as_u64());
    ids.map(|id| id.expect("an id")).collect()
}
