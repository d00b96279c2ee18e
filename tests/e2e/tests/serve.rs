//! `sluice serve`, as an operator lives with it: many pipelines of which some are bad, schedules, stops and kills,
//! commands beside it, and what it answers to machines.

use serde_json::{Value, json};
use sluice_e2e::{TestHost, lines, parts};
use sluice_upstream::{Options, Upstream};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A service at work. Killed when it is dropped.
struct Service<'a> {
    host: &'a TestHost,
    child: Child,
}

impl Drop for Service<'_> {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl<'a> Service<'a> {
    /// Starts it, and waits until it answers.
    fn start(host: &'a TestHost) -> Self {
        let log = std::fs::File::create(host.path("serve.log")).expect("a file");
        let child = host
            .command(&["serve"])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the binary runs");
        let mut service = Self { host, child };
        service.until("it answers", |service| {
            service.host.path(".sluice/state/control.sock").exists()
                && status(service.host).is_some_and(|status| status["service"]["pid"].is_u64())
        });
        service
    }

    /// Waits until this is so.
    fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !is_so(self) {
            let ended = self.child.try_wait().expect("a child");
            let late = began.elapsed() > PATIENCE;
            assert!(
                ended.is_none() && !late,
                "waited for: {what}\n{ended:?}\n{}\n{:#?}",
                self.host.read("serve.log"),
                status(self.host)
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn until_in(&mut self, pipeline: &str, state: &str) {
        self.until(&format!("{pipeline} is {state}"), |service| {
            view(service.host, pipeline)["state"] == state
        });
    }

    fn signal(&self, signal: &str) {
        let told = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status();
        assert!(told.expect("kill runs").success());
    }

    /// Its exit code, once it has ended by itself.
    fn ends(&mut self) -> Option<i32> {
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

    fn stops(&mut self) {
        self.signal("-TERM");
        assert_eq!(self.ends(), Some(0), "{}", self.host.read("serve.log"));
    }

    /// What it answers to a machine: the status and the body.
    fn get(&self, path: &str) -> (u16, String) {
        let request = format!("GET {path} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n");
        self.visit(&request)
    }

    fn visit(&self, request: &str) -> (u16, String) {
        let status = status(self.host).expect("a status");
        let address = status["service"]["listen"].as_str().expect("an address");
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        (code.expect("a status"), body.to_owned())
    }
}

fn status(host: &TestHost) -> Option<Value> {
    let answer = host.sluice(&["status", "--json"]);
    (answer.code == Some(0)).then(|| answer.json())
}

fn view(host: &TestHost, pipeline: &str) -> Value {
    let status = status(host).unwrap_or_default();
    let all = status["pipelines"].as_array().cloned().unwrap_or_default();
    let found = all.into_iter().find(|view| view["pipeline"] == pipeline);
    found.unwrap_or_default()
}

/// From files into files.
fn copy(name: &str, schedule: &str, from: &str, to: &str) -> String {
    format!(
        "[pipeline]\nname = \"{name}\"\nschedule = \"{schedule}\"\n\n\
         [source]\nplugin = \"sluice/files@0.1\"\nconfig = {{ dir = \"{from}\", format = \"ndjson\", stream = \"rows\" }}\n\n\
         [schema.rows]\nkey = [\"id\"]\nfields = {{ id = \"int64\", note = \"text\" }}\n\n\
         [[sink]]\nplugin = \"sluice/files@0.1\"\nconfig = {{ dir = \"{to}\", format = \"ndjson\" }}\n"
    )
}

/// To a server.
fn push(name: &str, schedule: &str, server: &Upstream) -> String {
    format!(
        "[pipeline]\nname = \"{name}\"\nschedule = \"{schedule}\"\n\n\
         [source]\nplugin = \"sluice/files@0.1\"\nconfig = {{ dir = \"in\", format = \"ndjson\", stream = \"rows\" }}\n\n\
         [[sink]]\nplugin = \"sluice/http@0.1\"\n\
         config = {{ url = \"{}\", path = \"/v1/rows\", mode = \"batch\", batch_size = 200, results = \"\" }}\n",
        server.address()
    )
}

fn rows(first: usize, count: usize) -> String {
    let mut text = String::new();
    for id in first..first + count {
        writeln!(text, "{{\"id\": {id}, \"note\": \"{}\"}}", "x".repeat(100)).expect("memory");
    }
    text
}

fn ids(host: &TestHost, folder: &str) -> Vec<u64> {
    let records = host.records(folder);
    let ids = records.iter().map(|record| record["id"].as_u64());
    ids.map(|id| id.expect("an id")).collect()
}

/// A deployment that listens.
fn deployment() -> TestHost {
    let host = TestHost::new();
    let mut text = host.read("sluice.toml");
    text.push_str("\n[service]\nlisten = \"127.0.0.1:0\"\ndrain = \"20s\"\n");
    host.write("sluice.toml", text);
    std::fs::create_dir(host.path("pipelines")).expect("a folder");
    host
}

fn add(host: &TestHost, name: &str, text: String) {
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

const HOSTILE: &str = r#"[plugin]
name = "acme/hostile"
version = "0.1.0"
interface = "sluice:plugin@0.1"
description = "Misbehaves."

[[http]]
host = "api.acme.example"
methods = ["GET"]
paths = ["/v1/**"]
reason = "To have something to go beyond."

[[dir]]
path = "{config.dir}"
mode = "read"
reason = "To have something to break out of."

[data]
reads = ["id"]
writes = ["id", "made"]

[limits]
memory = "64MiB"
call_time = "3s"

[config]
schema = "config.schema.json"
"#;

fn hostile(name: &str, behaviour: &str) -> String {
    format!(
        "[pipeline]\nname = \"{name}\"\nschedule = \"every 1s\"\n\n\
         [source]\nplugin = \"hostile.wasm\"\nconfig = {{ try = \"{behaviour}\", dir = \"in\" }}\n\n\
         [[sink]]\nplugin = \"sluice/files@0.1\"\nconfig = {{ dir = \"out-{name}\", format = \"ndjson\" }}\n"
    )
}

#[test]
fn bad_pipelines_harm_no_other() {
    const GOOD: usize = 5;
    let host = deployment();
    drop(host.pack("hostile", HOSTILE, "hostile.wasm").done());
    host.write("in/a.ndjson", rows(1, 1_000));
    for at in 0..GOOD {
        let name = format!("good-{at}");
        add(
            &host,
            &name,
            copy(&name, "every 1s", "in", &format!("out-{at}")),
        );
    }
    add(&host, "traps", hostile("traps", "panic"));
    // It computes for ever, until its time is over: meanwhile the others deliver.
    add(&host, "hangs", hostile("hangs", "loop"));
    host.write(
        "pipelines/typo.toml",
        "[pipeline]\nname = \"typo\"\n\n[sorce]\n",
    );
    host.write(
        "pipelines/ungranted.toml",
        copy("ungranted", "once", "elsewhere", "out-elsewhere"),
    );
    let mut service = Service::start(&host);
    for at in 0..GOOD {
        service.until("a good one delivers", |_| {
            ids(&host, &format!("out-{at}")).len() == 1_000
        });
    }
    for (pipeline, kind) in [
        ("traps", "trapped"),
        ("hangs", "timed out"),
        ("typo", "misconfigured"),
        ("ungranted", "misconfigured"),
    ] {
        service.until_in(pipeline, "paused");
        let view = view(&host, pipeline);
        assert_eq!(view["kind"], kind, "{view}");
        assert!(view["mend"].is_string(), "{view}");
    }
    // The next file is picked up, beside the bad ones.
    host.write("in/b.ndjson", rows(1_001, 500));
    for at in 0..GOOD {
        service.until("the next file", |_| {
            ids(&host, &format!("out-{at}")).len() == 1_500
        });
    }
    // Each bad state is told once, however often it is looked at.
    let log = host.read("serve.log");
    for pipeline in ["traps", "hangs", "typo", "ungranted"] {
        let told = log.lines().filter(|line| {
            line.contains("WARN")
                && line.contains(&format!("pipeline=\"{pipeline}\""))
                && line.contains("state=\"paused\"")
        });
        assert_eq!(told.count(), 1, "{pipeline}: {log}");
    }
    service.stops();
    for at in 0..GOOD {
        let once: BTreeSet<u64> = ids(&host, &format!("out-{at}")).into_iter().collect();
        assert_eq!(once, (1..=1_500).collect());
    }
}

#[test]
fn machines_are_told_how_it_is() {
    let host = deployment();
    host.write("in/a.ndjson", rows(1, 100) + "{\"id\": \"no number\"}\n");
    add(&host, "orders", copy("orders", "once", "in", "out"));
    host.write(
        "pipelines/typo.toml",
        "[pipeline]\nname = \"typo\"\n\n[sorce]\n",
    );
    let mut service = Service::start(&host);
    service.until_in("orders", "done");
    service.until_in("typo", "paused");
    assert_eq!(service.get("/healthz"), (200, "ok\n".to_owned()));
    let (code, body) = service.get("/readyz");
    let ready: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(
        (code, &ready["ready"]),
        (200, &json!(true)),
        "a bad pipeline makes no host unready"
    );
    let checks = ready["checks"].as_array().expect("checks");
    let named = |name: &str| {
        let found = checks
            .iter()
            .find(|check| check["check"] == name || check["pipeline"] == name);
        found.unwrap_or_else(|| panic!("{name} in {ready}")).clone()
    };
    for check in ["service", "state store", "audit trail", "host"] {
        assert_eq!(named(check), json!({ "check": check, "ok": true }));
    }
    assert_eq!(
        named("typo"),
        json!({ "check": "pipeline", "pipeline": "typo", "ok": false, "state": "paused", "reason": "misconfigured" })
    );
    let (code, text) = service.get("/metrics");
    assert_eq!(code, 200);
    for line in [
        "sluice_component_received_events_total{pipeline=\"orders\"} 101",
        "sluice_component_sent_events_total{pipeline=\"orders\"} 100",
        "sluice_component_discarded_events_total{pipeline=\"orders\",intentional=\"false\"} 1",
        "sluice_pipeline_state{pipeline=\"orders\",state=\"done\"} 1",
        "sluice_pipeline_state{pipeline=\"typo\",state=\"paused\"} 1",
        "sluice_pipeline_runs_total{pipeline=\"orders\",result=\"done\"} 1",
        "sluice_up 1",
    ] {
        assert!(text.lines().any(|told| told == line), "{line} in:\n{text}");
    }
    assert!(!text.contains("no number"), "a record's content");
    assert_eq!(service.get("/").0, 404);
    let posted = service.visit(
        "POST /metrics HTTP/1.1\r\nhost: here\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
    );
    assert_eq!(posted.0, 405, "it is there to be read");
    service.stops();
}

#[test]
fn a_service_listens_to_this_machine_alone() {
    let host = deployment();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:9464"] {
        host.edit("sluice.toml", "127.0.0.1:0", address);
        let began = Instant::now();
        let mut child = host
            .command(&["serve"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let code = loop {
            if let Some(status) = child.try_wait().expect("a child") {
                break status.code();
            }
            if began.elapsed() > Duration::from_secs(10) {
                drop(child.kill());
                drop(child.wait());
                panic!("it serves {address}");
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let mut err = String::new();
        let mut stderr = child.stderr.take().expect("piped");
        stderr.read_to_string(&mut err).expect("text");
        assert_eq!(code, Some(2), "{err}");
        assert!(
            err.contains("is not an address of this machine alone"),
            "{err}"
        );
        host.edit("sluice.toml", address, "127.0.0.1:0");
    }
}

#[test]
fn the_control_socket_is_its_owners() {
    let host = deployment();
    host.write("in/a.ndjson", rows(1, 1));
    add(&host, "orders", copy("orders", "once", "in", "out"));
    let mut service = Service::start(&host);
    let socket = host.path(".sluice/state/control.sock");
    let mode = |path: &std::path::Path| {
        std::fs::metadata(path).expect("there").permissions().mode() & 0o777
    };
    assert_eq!(mode(&socket), 0o600);
    assert_eq!(mode(&host.path(".sluice/state")), 0o700);
    // A request that is no request, and one without end.
    let ask = |body: &str| {
        let mut stream = UnixStream::connect(&socket).expect("it answers");
        let head = format!(
            "POST /v1/ask HTTP/1.1\r\nhost: here\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).expect("sent");
        // It may hang up in the middle.
        let _ = stream.write_all(body.as_bytes());
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    assert_eq!(ask("{\"ask\": \"status\"}"), "200");
    assert_eq!(ask("{\"ask\": \"everything\"}"), "422");
    let long = format!(
        "{{\"ask\": \"resume\", \"pipeline\": \"{}\"}}",
        "x".repeat(1 << 20)
    );
    assert_eq!(ask(&long), "413");
    service.stops();
    assert!(!socket.exists(), "it is taken away");
}

#[test]
fn told_to_stop_it_drains_and_the_next_goes_on() {
    const MANY: usize = 60_000;
    let server = Upstream::start(Options::default()).expect("a server");
    let host = deployment();
    host.write("in/rows.ndjson", rows(1, MANY));
    add(&host, "push", push("push", "once", &server));
    add(&host, "copy", copy("copy", "once", "in", "out"));
    server.hold_next(1);
    let mut service = Service::start(&host);
    service.until("a request", |_| server.requests() > 0);
    service.until_in("copy", "done");
    service.signal("-TERM");
    service.until("it drains", |service| {
        let (code, body) = service.get("/readyz");
        code == 503 && body.contains("draining")
    });
    server.release();
    assert_eq!(service.ends(), Some(0), "{}", host.read("serve.log"));
    let view = view(&host, "push");
    let count = |name: &str| view[name].as_u64().expect("a count");
    let first = count("read");
    assert!(first > 0 && first < MANY as u64, "{view}");
    assert_eq!(
        first,
        count("written") + count("filtered") + count("dead_lettered")
    );
    assert_eq!(server.collection("rows").len() as u64, first);
    drop(service);

    let mut service = Service::start(&host);
    service.until_in("push", "done");
    service.stops();
    assert_eq!(server.collection("rows").len(), MANY);
    assert_eq!(server.counts().repeated, 0);
}

#[test]
fn what_cannot_drain_in_time_is_cut_off_and_goes_on_later() {
    const MANY: usize = 5_000;
    let server = Upstream::start(Options::default()).expect("a server");
    let host = deployment();
    host.edit("sluice.toml", "drain = \"20s\"", "drain = \"1s\"");
    host.write("in/rows.ndjson", rows(1, MANY));
    add(&host, "push", push("push", "once", &server));
    server.hold_next(1);
    let mut service = Service::start(&host);
    service.until("a request", |_| server.requests() > 0);
    service.signal("-TERM");
    assert_eq!(service.ends(), Some(1), "{}", host.read("serve.log"));
    server.release();
    drop(service);
    let mut service = Service::start(&host);
    service.until_in("push", "done");
    service.stops();
    let rows = server.collection("rows");
    let once: BTreeSet<u64> = rows.iter().filter_map(|row| row["id"].as_u64()).collect();
    assert_eq!(once, (1..=MANY as u64).collect());
    let ended = lines(
        &host
            .sluice(&["audit", "export", "--action", "run.ended"])
            .done()
            .out,
    );
    assert_eq!(ended[0]["fields"]["ending"], "failed", "{ended:?}");
}

#[test]
fn killed_it_resumes_and_nothing_is_lost_or_doubled() {
    const MANY: usize = 100_000;
    const KILLS: usize = 3;
    let host = deployment();
    host.write("in/rows.ndjson", rows(1, MANY));
    for name in ["one", "two"] {
        add(
            &host,
            name,
            copy(name, "once", "in", &format!("out-{name}")),
        );
    }
    for kill in 0..KILLS {
        let mut service = Service::start(&host);
        let before = parts(&host.path("out-one")).len();
        service.until("it gets on", |_| {
            parts(&host.path("out-one")).len() > before || ids(&host, "out-one").len() == MANY
        });
        service.signal("-KILL");
        assert_eq!(service.ends(), None, "kill {kill}");
    }
    let mut service = Service::start(&host);
    for name in ["one", "two"] {
        service.until_in(name, "done");
        let mut ids = ids(&host, &format!("out-{name}"));
        ids.sort_unstable();
        assert!(
            ids.iter().copied().eq(1..=MANY as u64),
            "{name}: {} records",
            ids.len()
        );
    }
    service.stops();
    drop(host.sluice(&["audit", "verify"]).done());
}

#[test]
fn one_state_directory_has_one_host() {
    let host = deployment();
    host.write("in/a.ndjson", rows(1, 10));
    add(&host, "orders", copy("orders", "once", "in", "out"));
    let mut service = Service::start(&host);
    let pid = service.child.id();
    for command in [
        &["serve"][..],
        &["run", "pipelines/orders.toml"],
        &["check", "pipelines/orders.toml"],
    ] {
        let second = host.sluice(command);
        assert_eq!(second.code, Some(3), "{second:#?}");
        let told = format!("is in use by `sluice serve` (pid {pid}) since 2");
        assert!(second.err.contains(&told), "{second:#?}");
    }
    service.stops();
    assert_eq!(host.run("pipelines/orders.toml")["ending"], "done");
}

#[test]
fn commands_work_beside_it() {
    let host = deployment();
    host.write(
        "in/a.ndjson",
        rows(1, 10) + "{\"id\": \"seven\"}\n{\"id\": \"eight\"}\n",
    );
    add(&host, "orders", copy("orders", "every 1s", "in", "out"));
    let mut service = Service::start(&host);
    service.until("it delivers", |_| view(&host, "orders")["written"] == 10);
    let file = "pipelines/orders.toml";
    let checkpoints = host
        .sluice(&["checkpoint", "list", file, "--json"])
        .done()
        .json();
    assert_eq!(checkpoints[0]["written"], 10, "{checkpoints}");
    let split = checkpoints[0]["split"]
        .as_str()
        .expect("a split")
        .to_owned();
    let one = host
        .sluice(&["checkpoint", "show", file, &split, "--json"])
        .done()
        .json();
    assert_eq!(one["split"], split.as_str());
    let letters = host
        .sluice(&["dlq", "list", file, "--limit", "1", "--json"])
        .done()
        .json();
    let number = letters[0]["number"].to_string();
    let letter = host
        .sluice(&["dlq", "show", file, &number, "--json"])
        .done()
        .json();
    assert_eq!(letter, letters[0]);
    let more = host.sluice(&["dlq", "list", file, "--limit", "1"]).done();
    assert!(more.out.contains("there are more"), "{more:#?}");
    assert_eq!(host.dead_letters(file).len(), 2);
    let state = host.sluice(&["state", "show", "--json"]).done().json();
    assert!(state["last_commit"].as_u64() > Some(0), "{state}");
    let verified = host.sluice(&["audit", "verify", "--json"]).done().json();
    assert!(verified["store_commit"].is_u64(), "{verified}");
    let nobody = host.sluice(&["pause", "ordres"]);
    assert_eq!(nobody.code, Some(2), "{nobody:#?}");
    assert!(nobody.err.contains("did you mean `orders`?"), "{nobody:#?}");

    // A grant that is taken away ends its pipeline's runs, and one that is given lets it go on.
    let plugin = "sluice/files";
    drop(host.sluice(&["grant", "revoke", plugin, "--all"]).done());
    service.until_in("orders", "paused");
    host.write("in/b.ndjson", rows(11, 5));
    drop(host.sluice(&["grant", "new", file]).done());
    service.until("it goes on", |_| view(&host, "orders")["written"] == 15);
    // Whoever asked is who did it.
    let exported = lines(
        &host
            .sluice(&["audit", "export", "--action", "dlq.exported"])
            .done()
            .out,
    );
    let written = lines(
        &host
            .sluice(&["audit", "export", "--action", "grant.written"])
            .done()
            .out,
    );
    assert_eq!(exported[0]["actor"], written[0]["actor"], "{exported:?}");
    service.stops();
}

#[test]
fn a_place_is_not_taken_from_under_a_run() {
    let server = Upstream::start(Options::default()).expect("a server");
    let host = deployment();
    host.write("in/rows.ndjson", rows(1, 100));
    add(&host, "push", push("push", "once", &server));
    server.hold_next(1);
    let mut service = Service::start(&host);
    service.until("a request", |_| server.requests() > 0);
    let reset = ["checkpoint", "reset", "pipelines/push.toml", "--yes"];
    let refused = host.sluice(&reset);
    assert_eq!(refused.code, Some(2), "{refused:#?}");
    assert!(
        refused.err.contains("pause it first: `sluice pause push`"),
        "{refused:#?}"
    );
    drop(
        host.sluice(&["pause", "push", "--reason", "to begin anew"])
            .done(),
    );
    server.release();
    service.until_in("push", "paused");
    drop(host.sluice(&reset).done());
    drop(host.sluice(&["resume", "push"]).done());
    service.until_in("push", "done");
    // What was delivered before stays counted.
    assert_eq!(view(&host, "push")["written"], 200);
    assert!(server.counts().repeated > 0, "it began anew");
    service.stops();
}

#[test]
fn a_pause_outlives_the_service_and_is_its_owners_to_end() {
    let host = deployment();
    host.write("in/a.ndjson", rows(1, 10));
    add(&host, "orders", copy("orders", "every 1s", "in", "out"));
    let mut service = Service::start(&host);
    service.until("it delivers", |_| ids(&host, "out").len() == 10);
    drop(
        host.sluice(&["pause", "orders", "--reason", "the warehouse moves"])
            .done(),
    );
    service.until_in("orders", "paused");
    service.signal("-KILL");
    let _ = service.ends();
    let told = view(&host, "orders");
    assert_eq!(
        (&told["state"], &told["kind"]),
        (&json!("paused"), &json!("told"))
    );
    host.write("in/b.ndjson", rows(11, 10));
    let mut service = Service::start(&host);
    service.until_in("orders", "paused");
    let told = view(&host, "orders");
    let reason = told["reason"].as_str().expect("a reason");
    assert!(reason.ends_with("the warehouse moves"), "{told}");
    // No change of a file ends it.
    let text = host.read("pipelines/orders.toml");
    host.write("pipelines/orders.toml", text + "\n# a comment\n");
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(view(&host, "orders")["state"], "paused");
    assert_eq!(ids(&host, "out").len(), 10);
    drop(host.sluice(&["resume", "orders"]).done());
    service.until("it goes on", |_| ids(&host, "out").len() == 20);
    service.stops();
    for action in ["pipeline.paused", "pipeline.resumed"] {
        let entries = lines(
            &host
                .sluice(&["audit", "export", "--action", action])
                .done()
                .out,
        );
        assert_eq!(entries.len(), 1, "{action}");
        assert_eq!(entries[0]["fields"]["pipeline"], "orders");
        assert_ne!(entries[0]["actor"], "host");
    }
}

#[test]
fn files_come_change_and_go() {
    let host = deployment();
    host.write("in/a.ndjson", rows(1, 10));
    let mut service = Service::start(&host);
    add(&host, "orders", copy("orders", "once", "in", "out"));
    service.until("a new file's pipeline delivers", |_| {
        ids(&host, "out").len() == 10
    });
    service.until_in("orders", "done");
    host.write("in/b.ndjson", rows(11, 10));
    // Another plan of the same name has another run, and goes on where the older one was.
    host.edit(
        "pipelines/orders.toml",
        "schedule = \"once\"",
        "schedule = \"once\"\ndescription = \"Orders.\"",
    );
    service.until("the changed one delivers", |_| {
        ids(&host, "out").len() == 20
    });
    std::fs::remove_file(host.path("pipelines/orders.toml")).expect("removed");
    service.until("it is gone", |_| view(&host, "orders").is_null());
    assert!(status(&host).is_some());
    service.stops();
}

#[test]
fn two_files_of_one_name_are_one_pipeline() {
    let host = deployment();
    host.write("in/a.ndjson", rows(1, 10));
    add(&host, "a", copy("orders", "once", "in", "out"));
    add(&host, "b", copy("orders", "once", "in", "out-b"));
    let mut service = Service::start(&host);
    service.until("the first is done", |_| {
        let status = status(&host).unwrap_or_default();
        status["pipelines"][0]["state"] == "done"
    });
    let status = status(&host).expect("a status");
    let second = &status["pipelines"][1];
    assert_eq!(
        (&second["state"], &second["kind"]),
        (&json!("paused"), &json!("misconfigured")),
        "{status}"
    );
    assert!(
        second["reason"]
            .as_str()
            .is_some_and(|told| told.contains("has its name")),
        "{second}"
    );
    service.stops();
}

#[test]
fn a_service_keeps_the_state_it_began_with() {
    let host = deployment();
    host.write("in/a.ndjson", rows(1, 10));
    add(&host, "orders", copy("orders", "every 1s", "in", "out"));
    let mut service = Service::start(&host);
    service.until("it delivers", |_| ids(&host, "out").len() == 10);
    let text = host.read("sluice.toml");
    host.write(
        "sluice.toml",
        format!("{text}\n[audit]\ncopy = \"second\"\n"),
    );
    service.until("it stops at that", |_| {
        host.read("serve.log")
            .contains("is not what the service began with")
    });
    host.write("sluice.toml", text);
    host.write("in/b.ndjson", rows(11, 10));
    service.until("it goes on", |_| ids(&host, "out").len() == 20);
    service.stops();
}

#[test]
fn a_schedule_that_cannot_be_kept_is_told() {
    let host = deployment();
    host.write("in/a.ndjson", rows(1, 1));
    for (schedule, told) in [
        ("hourly", "`hourly` is not a schedule"),
        ("cron \\\"61 * * * *\\\"", "is not a cron expression"),
        (
            "cron \\\"0 6 * * *\\\" in \\\"Mars/Olympus\\\"",
            "is not a time zone",
        ),
    ] {
        host.write(
            "pipelines/orders.toml",
            copy("orders", schedule, "in", "out"),
        );
        let checked = host.sluice(&["check", "pipelines/orders.toml"]);
        assert_eq!(checked.code, Some(2), "{checked:#?}");
        assert!(checked.err.contains(told), "{checked:#?}");
        assert!(
            checked.err.contains("orders.toml:3"),
            "its line: {checked:#?}"
        );
    }
}

/// Through the service, beside its runs; and a place is not moved under it either.
#[test]
fn one_redrive_at_a_time() {
    let server = Upstream::start(Options::default()).expect("a server");
    let host = deployment();
    host.write("in/rows.ndjson", rows(1, 10));
    let mended = push("push", "once", &server);
    let refusing = "[delivery]\nstop_when = { dead_letters = \"100% of 1\" }\n\n\
         [[transform]]\nplugin = \"sluice/map@0.1\"\n[transform.config]\n\
         steps = [{ reject = { when = { column = \"id\", less = 100 }, code = \"no\", message = \"no\" } }]\n\n[[sink]]";
    add(&host, "push", mended.replace("[[sink]]", refusing));
    let mut service = Service::start(&host);
    service.until_in("push", "done");
    assert_eq!(view(&host, "push")["dead_lettered"], 10);
    host.write("pipelines/push.toml", mended);
    server.hold_next(1);
    let redrive = ["dlq", "redrive", "pipelines/push.toml"];
    let mut first = host.start(&redrive);
    service.until("a request", |_| server.requests() > 0);
    let reset = ["checkpoint", "reset", "pipelines/push.toml", "--yes"];
    for command in [&redrive[..], &reset] {
        let refused = host.sluice(command);
        let told = refused
            .err
            .contains("a redrive or backfill of `push` is under way");
        assert!(refused.code == Some(2) && told, "{refused:#?}");
    }
    server.release();
    assert!(first.wait().expect("an end").success());
    let again = host
        .sluice(&["dlq", "redrive", "pipelines/push.toml", "--json"])
        .done();
    assert_eq!(again.json()["job"]["totals"]["read"], 0);
    let list = host
        .sluice(&["dlq", "list", "pipelines/push.toml"])
        .done()
        .out;
    assert!(list.contains("0 waiting, 10 delivered since"), "{list}");
    service.stops();
}
