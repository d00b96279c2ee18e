//! Every behaviour of the hostile plugin through the real binary, in one deployment: each ends in an outcome that a
//! person can read, the host goes on, and the secret that the plugin was granted the use of is nowhere but at the server
//! it is for.

use serde_json::{Value, json};
use sluice_e2e::{Answer, TestHost, canary};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[path = "../../hostile/src/behaviour.rs"]
mod behaviour;
#[path = "../../hostile/server.rs"]
mod server;

use behaviour::{Behaviour, Plays};
use server::{Hostile, hidings};

/// Made up. Every character is there that some spelling treats in its own way.
const SECRET: &str = "k/9+\"mAde-uP_s3cret~Zq7&vT=4hX'wN8rB";

/// The same for every run of this test: it is compiled once.
const MANIFEST: &str = r#"[plugin]
name = "acme/hostile"
version = "0.1.0"
interface = "sluice:plugin@0.1"
description = "Misbehaves."

[[http]]
host = "{config.url}"
methods = ["GET", "POST"]
paths = ["/v1/**"]
auth = "token"
reason = "To have something to go beyond."

[[secret]]
name = "token"
use = "bearer"
reason = "To have something to give away."

[[dir]]
path = "{config.dir}"
mode = "read"
reason = "To have something to break out of."

[[dir]]
path = "{config.out}"
mode = "write"
reason = "To have something to break out of."

[data]
reads = ["id"]
writes = ["id", "made"]

[sink]
idempotent = true

[limits]
memory = "64MiB"
call_time = "600ms"

[config]
schema = "config.schema.json"
"#;

const FILES: &str = "plugin = \"sluice/files@0.1\"\n\
                     config = { dir = \"rows\", format = \"ndjson\", stream = \"rows\" }";
const OUT: &str = "plugin = \"sluice/files@0.1\"\nconfig = { dir = \"out\", format = \"ndjson\" }";

/// A deployment with the hostile plugin in it and the secret in its vault, and a good pipeline beside.
fn deployment() -> TestHost {
    let host = TestHost::new();
    // With one plugin on its shelf: all of them are looked at by each run, and there are many runs.
    let plugins = std::env::var_os("SLUICE_PLUGINS").expect("`cargo x test` sets it");
    let files = std::fs::read(Path::new(&plugins).join("files.wasm")).expect("a packed plugin");
    host.write("plugins/files.wasm", files);
    host.write(
        "sluice.toml",
        "[plugins]\ndir = \"plugins\"\n\n[secrets]\nprovider = \"vault\"\n",
    );
    let outside = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(outside.path(), SECRET).expect("a file");
    let file = outside.path().display().to_string();
    drop(
        host.sluice(&["secret", "set", "api", "--file", &file])
            .done(),
    );
    let rows = "{\"id\": 1, \"name\": \"Ada\"}\n".repeat(3);
    host.write("rows/a.ndjson", &rows);
    host.write("in/a.ndjson", &rows);
    furnish(&host);
    drop(host.pack("hostile", MANIFEST, "hostile.wasm").done());
    host.write(
        "good.toml",
        format!(
            "[pipeline]\nname = \"good\"\n\n[source]\n{}\n\n[[sink]]\n{}\n",
            FILES.replace("dir = \"rows\"", "dir = \"in\""),
            OUT.replace("dir = \"out\"", "dir = \"good\"")
        ),
    );
    host.grant("good.toml");
    host
}

/// Directories beside what is not granted, with every kind of way out.
fn furnish(host: &TestHost) {
    use std::os::unix::fs::symlink;
    host.write("beside", "untouched");
    for dir in ["held", "made"] {
        host.write(&format!("{dir}/plain"), "plain");
        host.write(&format!("{dir}/sub/deep"), "deep");
        let dir = host.path(dir);
        symlink("../beside", dir.join("link-out")).expect("a link");
        symlink("..", dir.join("link-dir")).expect("a link");
        symlink("plain", dir.join("link-in")).expect("a link");
        let sparse = std::fs::File::create(dir.join(".sparse")).expect("a file");
        sparse.set_len(1 << 40).expect("a hole");
        let fifo = Command::new("mkfifo").arg(dir.join("fifo")).status();
        assert!(fifo.expect("mkfifo").success());
    }
    std::fs::hard_link(host.path("beside"), host.path("made/hard-link")).expect("a link");
}

/// The pipeline in which it misbehaves.
fn pipeline(behaviour: Behaviour, name: &str, port: u16) -> String {
    let dir = match behaviour {
        Behaviour::Device => "/dev",
        Behaviour::WriteEscape | Behaviour::HardLink => "made",
        _ => "held",
    };
    let word = behaviour.word();
    let bad = format!(
        "plugin = \"hostile.wasm\"\nsecrets = {{ token = \"api\" }}\n\
         config = {{ try = \"{word}\", dir = \"{dir}\", out = \"made\", url = \"http://127.0.0.1:{port}\", \
         api = \"127.0.0.1:{port}\" }}"
    );
    let (source, transform, sink) = match behaviour.plays() {
        Plays::Source => (bad.as_str(), String::new(), OUT),
        Plays::Transform => (FILES, format!("[[transform]]\n{bad}\n\n"), OUT),
        Plays::Sink => (FILES, String::new(), bad.as_str()),
    };
    format!(
        "[pipeline]\nname = \"{name}\"\n\n[source]\n{source}\n\n{transform}[[sink]]\n{sink}\n\n\
         [delivery]\nretry = {{ for = \"1s\", max_delay = \"100ms\" }}\n"
    )
}

/// Grants for one pipeline of each role, to be written for the others by another name: a command for each would take
/// most of the test's time.
struct Grants(Vec<(String, String)>);

impl Grants {
    fn of(host: &TestHost, behaviour: Behaviour, port: u16) -> Self {
        host.write("template.toml", pipeline(behaviour, "template", port));
        host.grant_local("template.toml");
        let mut grants = Vec::new();
        for entry in std::fs::read_dir(host.path("grants")).expect("grants") {
            let path = entry.expect("an entry").path();
            let name = path
                .file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            if let Some(rest) = name.strip_prefix("template.") {
                let text = std::fs::read_to_string(&path).expect("a grant");
                grants.push((rest.to_owned(), text));
                std::fs::remove_file(&path).expect("removed");
            }
        }
        assert_eq!(grants.len(), 2, "{grants:?}");
        Self(grants)
    }

    fn write(&self, host: &TestHost, behaviour: Behaviour) {
        let word = behaviour.word();
        for (rest, text) in &self.0 {
            let mut text = text.replace("\"template\"", &format!("\"{word}\""));
            match behaviour {
                Behaviour::Device => text = text.replace("\"held\"", "\"/dev\""),
                Behaviour::WriteEscape | Behaviour::HardLink => {
                    text = text.replace("\"held\"", "\"made\"");
                }
                _ => {}
            }
            host.write(&format!("grants/{word}.{rest}"), text);
        }
    }
}

/// What its run ends with: nothing worse than lines of its log, or a fault.
fn is_harmless(behaviour: Behaviour) -> bool {
    matches!(
        behaviour,
        Behaviour::Honest
            | Behaviour::StderrFlood
            | Behaviour::LogFlood
            | Behaviour::LogControl
            | Behaviour::LogFields
            | Behaviour::Utf8Unseen
            | Behaviour::ColumnHidden
            | Behaviour::CursorBack
            | Behaviour::EchoKept
            | Behaviour::DocumentName
            // A run ends without a call to let go.
            | Behaviour::DropLoop
            | Behaviour::DropPanic
            | Behaviour::ReadUndeclared
            | Behaviour::RejectMany
            | Behaviour::RejectText
            | Behaviour::PutMany
            | Behaviour::EncodeUndeclared
            | Behaviour::SinkRejectMany
            | Behaviour::SinkRejectText
            // There is one schema here.
            | Behaviour::ParquetMixed
            // There is one unit here, and it shows after several.
            | Behaviour::BatchLeak
            | Behaviour::BatchLate
    )
}

/// How faults begin.
const WORDS: [&str; 10] = [
    "quarantined: ",
    "timed out: ",
    "limit exceeded: ",
    "trapped: ",
    "malformed: ",
    "broken: ",
    "denied: ",
    "misconfigured: ",
    "transient: ",
    "drift: ",
];

/// A fault's word, and the plugin with its stage behind it: in one line.
fn names_plugin_and_stage(said: &str, role: Plays) -> bool {
    let stage = match role {
        Plays::Source => "acme/hostile (source): ",
        Plays::Transform => "acme/hostile (transform 1): ",
        Plays::Sink => "acme/hostile (sink 1): ",
    };
    said.lines()
        .filter(|line| line.contains(stage) && WORDS.iter().any(|word| line.contains(word)))
        .count()
        == 1
}

/// The code of its three records' dead letters, where its run goes on: each was tried alone. Nine would be a quarantine.
fn letters_of(behaviour: Behaviour) -> Option<&'static str> {
    match behaviour {
        Behaviour::ColumnStorm | Behaviour::EncodeStorm => Some("timed-out"),
        Behaviour::ApplyPanic
        | Behaviour::Poison
        | Behaviour::WritePanic
        | Behaviour::SinkPoison => Some("trapped"),
        _ => None,
    }
}

fn judged(host: &TestHost, behaviour: Behaviour, answer: &Answer) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("{behaviour:?}: {what}: {answer:#?}"));
    let said = format!("{}\n{}", answer.out, answer.err);
    if said.chars().any(|c| c.is_control() && c != '\n') {
        return wrong("a control character");
    }
    if said.lines().any(|line| line.len() > 8 << 10) {
        return wrong("a line without end");
    }
    if said.contains("panicked at host/") || said.contains("task of the host panicked") {
        return wrong("the host panicked");
    }
    match (is_harmless(behaviour), answer.code) {
        (true, Some(0)) => Ok(()),
        (false, Some(1)) if names_plugin_and_stage(&said, behaviour.plays()) => Ok(()),
        (false, Some(0)) => {
            let Some(code) = letters_of(behaviour) else {
                return wrong("it went on");
            };
            let letters = host.dead_letters("bad.toml");
            let is_its = |letter: &Value| {
                letter["rejection"]["code"] == code && letter["plugin"] == "acme/hostile"
            };
            if letters.len() == 3 && letters.iter().all(is_its) {
                Ok(())
            } else {
                wrong("other dead letters")
            }
        }
        _ => wrong("another outcome"),
    }
}

/// Counts who dials it.
fn proxy() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let dialled = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&dialled);
    std::thread::spawn(move || {
        for _ in listener.incoming() {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    (address, dialled)
}

/// Runs the binary where the environment names a proxy, with all of its log.
fn run(host: &TestHost, arguments: &[&str], proxy: &str, log: &str) -> Answer {
    let mut command = host.command(arguments);
    for name in [
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
    ] {
        command.env(name, proxy);
    }
    command.env("SLUICE_LOG", log);
    let output = command.output().expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("sluice prints text");
    Answer {
        code: output.status.code(),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

/// The honest pipeline, which reads one more record each time.
fn goes_on(host: &TestHost, turn: usize) {
    host.write(
        &format!("in/{turn}.ndjson"),
        format!("{{\"id\": {turn}, \"name\": \"Ada\"}}\n"),
    );
    let report = host.run("good.toml");
    assert_eq!(report["ending"], "done");
}

/// Each of its documents is within its bounds; all of them together are not.
#[test]
fn a_page_cannot_become_more_than_memory_holds() {
    let host = deployment();
    let (behaviour, port) = (Behaviour::DocumentsMany, 1);
    Grants::of(&host, behaviour, port).write(&host, behaviour);
    host.write("bad.toml", pipeline(behaviour, behaviour.word(), port));
    let answer = host.sluice(&["run", "bad.toml"]);
    assert_eq!(answer.code, Some(1), "{answer:#?}");
    let told = "what it handed over in one page takes more than 128MiB in memory";
    assert!(answer.out.contains(told), "{answer:#?}");
}

#[test]
fn every_behaviour_ends_readably_and_the_secret_stays_where_it_is() {
    every_second(0);
}

#[test]
fn every_other_behaviour_does_too() {
    every_second(1);
}

fn every_second(first: usize) {
    let host = deployment();
    let server = Hostile::start();
    let (proxy, dialled) = proxy();
    let mut wrong = Vec::new();
    let mut said = Vec::new();
    let mut grants = None;
    let behaviours = Behaviour::ALL.iter().copied().enumerate();
    for (turn, behaviour) in behaviours.skip(first).step_by(2) {
        let word = behaviour.word();
        let grants = match &mut grants {
            Some((role, grants)) if *role == behaviour.plays() => &*grants,
            _ => {
                let made = Grants::of(&host, behaviour, server.port);
                &grants.insert((behaviour.plays(), made)).1
            }
        };
        grants.write(&host, behaviour);
        host.write("bad.toml", pipeline(behaviour, word, server.port));
        let answer = run(&host, &["run", "bad.toml"], &proxy, "warn");
        if let Err(what) = judged(&host, behaviour, &answer) {
            wrong.push(what);
        }
        said.push(answer);
        if matches!(
            behaviour,
            Behaviour::Echo | Behaviour::EchoKept | Behaviour::HeaderSecret
        ) {
            // Whatever any part of the host has to say of it.
            said.push(run(&host, &["run", "bad.toml", "--json"], &proxy, "trace"));
        }
        if turn % 16 == first {
            goes_on(&host, turn);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    goes_on(&host, Behaviour::ALL.len());
    assert_eq!(host.read("beside"), "untouched");
    assert_eq!(
        dialled.load(Ordering::SeqCst),
        0,
        "a proxy of the environment was asked"
    );

    // The server was sent what is granted, the secret among it.
    let heads = server.heads();
    let bearer = format!("authorization: Bearer {SECRET}\r\n");
    assert!(heads.iter().filter(|head| head.contains(&bearer)).count() > 10);
    for head in &heads {
        let is_granted = head.starts_with("GET /v1/") || head.starts_with("POST /v1/");
        assert!(is_granted && !head.contains("x-smuggled: "), "{head}");
    }

    for arguments in [
        &["audit", "export"][..],
        &["audit", "log", "--json", "--limit", "0"],
        &["dlq", "list", "bad.toml", "--json"],
        &["grant", "list", "--json"],
        &["grant", "usage", "--json"],
        &["grant", "show", "acme/hostile", "--json"],
        &["secret", "list", "--json"],
        &["state", "show", "--json"],
        &["checkpoint", "list", "good.toml", "--json"],
        &["plugin", "inspect", "hostile.wasm", "--json"],
        &["audit", "verify", "--json"],
    ] {
        said.push(host.sluice(arguments).done());
    }
    scan(&host, &said);
}

/// The secret is in none of what the binary said, and in no file, in no form. And would be found.
fn scan(host: &TestHost, said: &[Answer]) {
    let forms = hidings(SECRET);
    for answer in said {
        for text in [&answer.out, &answer.err] {
            assert_eq!(
                canary::within(text.as_bytes(), &forms),
                Vec::<&str>::new(),
                "{text}"
            );
        }
    }
    let found = canary::below(&host.path(""), &forms);
    assert!(found.is_empty(), "{found:#?}");
    for (at, (_, form)) in forms.iter().enumerate() {
        let planted = [b"before".as_slice(), form, b"after"].concat();
        host.write(&format!(".sluice/state/planted-{at}"), &planted);
    }
    let found = canary::below(&host.path(""), &forms);
    for (at, (name, _)) in forms.iter().enumerate() {
        let expected = format!(".sluice/state/planted-{at}: {name}");
        assert!(
            found.iter().any(|found| found.ends_with(&expected)),
            "{name}: {found:?}"
        );
    }
}

#[test]
fn a_secret_is_found_in_every_form_it_is_hidden_in() {
    let forms = hidings(SECRET);
    assert!(forms.len() >= 14);
    for before in ["", "u", "us", "use", "{\"a\":\"", "Bearer "] {
        // However it stands among other text, some form of its base64 is in there.
        let other = hidings(&format!("{before}{SECRET}"));
        let (_, base64) = other
            .iter()
            .find(|(name, _)| *name == "base64")
            .expect("base64");
        assert!(
            !canary::within(base64, &forms).is_empty(),
            "after `{before}`"
        );
    }
    let spelled = server::spellings(SECRET);
    for (name, form) in &spelled {
        assert!(canary::within(form, &forms).contains(name), "{name}");
    }
    assert!(canary::within(b"nothing of the kind, however long it is", &forms).is_empty());
}

/// A plugin is a file of the deployment: naming one elsewhere asks nobody.
#[test]
fn a_plugin_is_not_fetched() {
    let host = deployment();
    let (address, dialled) = proxy();
    for plugin in [
        &format!("{address}/hostile.wasm"),
        "oci://127.0.0.1/acme/hostile",
    ] {
        let text = pipeline(Behaviour::Honest, "fetched", 1).replace("hostile.wasm", plugin);
        host.write("bad.toml", text);
        for command in ["check", "run"] {
            let answer = run(&host, &[command, "bad.toml"], &address, "warn");
            assert_eq!(answer.code, Some(2), "{answer:#?}");
        }
    }
    assert_eq!(dialled.load(Ordering::SeqCst), 0);
}

/// What the host promises of cursors: the last one it was given is where the next run begins, and nothing is lost.
#[test]
fn a_cursor_that_goes_backwards_is_the_place_that_is_kept() {
    let host = deployment();
    let server = Hostile::start();
    host.write(
        "bad.toml",
        pipeline(Behaviour::CursorBack, "back", server.port),
    );
    host.grant_local("bad.toml");
    for _ in 0..2 {
        let report = host.run("bad.toml");
        // Three pages of three records, with the cursors 2, 1 and 0: none is held against the one before.
        assert_eq!(
            (&report["read"], &report["written"]),
            (&json!(9), &json!(9))
        );
    }
    assert_eq!(
        host.records("out").len(),
        18,
        "read again is delivered again, and counted"
    );
}
