//! Encryption and the vault, as an operator meets them: the first run's key, a lost one, another one; secrets that are set,
//! rotated under a run that goes on, and expire; what is shredded.

use sluice_e2e::{Answer, TestHost, balanced};
use sluice_upstream::{Options, Upstream};
use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

const CANARY: &str = "made-up-4111111111111111";
/// Far more than the host reads ahead, so that most is sent after the secret was rotated.
const MANY: usize = 20_000;

const COPY: &str = "[pipeline]\nname = \"copy\"\n\n\
     [source]\nplugin = \"sluice/files@0.1\"\nconfig = { dir = \"in\", format = \"ndjson\", stream = \"rows\" }\n\n\
     [schema.rows]\nfields = { id = \"int64\", note = \"text\" }\n\n\
     [[sink]]\nplugin = \"sluice/files@0.1\"\nconfig = { dir = \"out\", format = \"ndjson\" }\n";

/// A pipeline whose dead letter holds what must not be read.
fn copying() -> TestHost {
    let host = TestHost::new();
    let rows = format!(
        "{{\"id\": 1, \"note\": \"{CANARY}\"}}\n{{\"id\": \"{CANARY}\", \"note\": \"{CANARY}\"}}\n"
    );
    host.write("in/rows.ndjson", rows);
    host.write("copy.toml", COPY);
    host.grant("copy.toml");
    host
}

fn holds(folder: &Path, needle: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            found.extend(holds(&path, needle));
        } else {
            let bytes = std::fs::read(&path).expect("a file");
            let is_in = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
            if is_in(needle.as_bytes()) {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

/// Runs the binary with this on its standard input.
fn fed(host: &TestHost, arguments: &[&str], input: &str) -> Answer {
    let mut command = host.command(arguments);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut stdin = child.stdin.take().expect("piped");
    // One that is refused before it reads is gone already.
    drop(stdin.write_all(input.as_bytes()));
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Answer {
        code: output.status.code(),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

fn refused(answer: &Answer, says: &[&str]) {
    assert_eq!(answer.code, Some(2), "{answer:#?}");
    for words in says {
        assert!(answer.err.contains(words), "`{words}` in {}", answer.err);
    }
}

#[test]
fn the_first_run_makes_a_key_and_seals_what_it_keeps() {
    let host = copying();
    let first = host.sluice(&["run", "copy.toml"]).done();
    assert!(first.err.contains("names no key"), "{}", first.err);
    let key = host.path(".sluice/key");
    let mode = std::fs::metadata(&key).expect("a key").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(host.read(".sluice/.gitignore").contains('*'));
    assert_eq!(holds(&host.path(".sluice"), CANARY), Vec::<String>::new());
    assert!(
        !holds(&host.path("in"), CANARY).is_empty(),
        "the scan is blind"
    );
    let letters = host.dead_letters("copy.toml");
    assert!(letters[0].to_string().contains(CANARY));
    let second = host.sluice(&["run", "copy.toml"]).done();
    assert!(
        !second.err.contains("key"),
        "it is said once: {}",
        second.err
    );
    let state = host.sluice(&["state", "show", "--json"]).done().json();
    assert!(
        state["keys"].as_array().expect("keys").len() >= 3,
        "{state}"
    );
}

#[test]
fn without_its_key_nothing_opens_and_nothing_is_begun_anew() {
    let host = copying();
    host.run("copy.toml");
    let (key, away) = (host.path(".sluice/key"), host.path("away"));
    std::fs::rename(&key, &away).expect("moves");
    refused(
        &host.sluice(&["run", "copy.toml"]),
        &["key", "no such file", "put it back"],
    );
    assert!(!key.exists(), "a new key was made over a sealed store");
    drop(host.sluice(&["key", "new", ".sluice/key"]).done());
    refused(
        &host.sluice(&["dlq", "list", "copy.toml"]),
        &["the state is sealed with key"],
    );
    refused(&host.sluice(&["key", "new", ".sluice/key"]), &["already"]);
    std::fs::set_permissions(&away, std::fs::Permissions::from_mode(0o644)).expect("a mode");
    std::fs::rename(&away, &key).expect("moves");
    refused(
        &host.sluice(&["run", "copy.toml"]),
        &["mode 644", "chmod 600"],
    );
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o400)).expect("a mode");
    assert_eq!(host.run("copy.toml")["read"], 0);
}

#[test]
fn the_key_is_changed_and_moves_from_one_provider_to_another() {
    let host = copying();
    host.run("copy.toml");
    let before = host.read(".sluice/key");
    drop(host.sluice(&["key", "rotate"]).done());
    assert_ne!(host.read(".sluice/key"), before);
    assert!(!host.path(".sluice/key.next").exists());
    assert_eq!(host.run("copy.toml")["read"], 0);

    drop(host.sluice(&["key", "new", "elsewhere"]).done());
    let moved = host.sluice(&["key", "rotate", "--to", "elsewhere"]).done();
    assert!(moved.out.contains("[state.key]"), "{}", moved.out);
    refused(
        &host.sluice(&["run", "copy.toml"]),
        &["the state is sealed with key"],
    );
    let settings = host.read("sluice.toml");
    host.write(
        "sluice.toml",
        format!("{settings}\n[state.key]\nprovider = \"env\"\n"),
    );
    refused(
        &host.sluice(&["run", "copy.toml"]),
        &["SLUICE_STATE_KEY", "not set"],
    );
    let ran = host
        .command(&["run", "copy.toml", "--json"])
        .env("SLUICE_STATE_KEY", host.read("elsewhere"))
        .output()
        .expect("the binary runs");
    assert!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    assert!(String::from_utf8_lossy(&ran.stderr).contains("from the environment"));
    host.write(
        "sluice.toml",
        format!("{settings}\n[state.key]\nprovider = \"systemd\"\ncredential = \"elsewhere\"\n"),
    );
    refused(
        &host.sluice(&["run", "copy.toml"]),
        &["CREDENTIALS_DIRECTORY"],
    );
    let ran = host
        .command(&["run", "copy.toml"])
        .env("CREDENTIALS_DIRECTORY", host.path(""))
        .output()
        .expect("the binary runs");
    assert!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
}

#[test]
fn a_pipeline_is_shredded_and_begins_anew() {
    let host = copying();
    host.run("copy.toml");
    assert_eq!(host.dead_letters("copy.toml").len(), 1);
    refused(
        &host.sluice(&["state", "shred", "copy.toml"]),
        &["not confirmed", "--yes"],
    );
    assert_eq!(host.dead_letters("copy.toml").len(), 1);
    let mistyped = host.sluice(&["state", "shred", "cpoy", "--yes"]).done();
    assert!(
        mistyped.out.contains("nothing was destroyed"),
        "{mistyped:?}"
    );
    let shred = host
        .sluice(&["state", "shred", "copy.toml", "--yes", "--json"])
        .done();
    assert_eq!(shred.json()["shredded"]["dead_letters"], 1);
    assert!(host.dead_letters("copy.toml").is_empty());
    let reset = host
        .sluice(&["checkpoint", "reset", "copy.toml", "--yes"])
        .done();
    assert!(reset.out.contains("there is no checkpoint"), "{reset:?}");
    std::fs::remove_dir_all(host.path("out")).expect("to begin anew");
    assert_eq!(host.run("copy.toml")["read"], 2);
    let letters = host.dead_letters("copy.toml");
    assert!(
        letters[0]["number"].as_u64() > Some(1),
        "a number was given twice"
    );
    // By its name, once its file is gone.
    std::fs::remove_file(host.path("copy.toml")).expect("removes");
    let shred = host
        .sluice(&["state", "shred", "copy", "--yes", "--json"])
        .done();
    assert_eq!(shred.json()["shredded"]["dead_letters"], 1);
}

/// A pipeline that sends many rows to a server, with a secret of the vault.
fn sending(server: &Upstream) -> TestHost {
    let host = TestHost::new();
    let settings = host.read("sluice.toml");
    host.write(
        "sluice.toml",
        format!("{settings}\n[secrets]\nprovider = \"vault\"\n"),
    );
    let mut rows = String::new();
    for id in 1..=MANY {
        writeln!(rows, "{{\"id\": {id}, \"note\": \"{}\"}}", "x".repeat(300)).expect("memory");
    }
    host.write("in/rows.ndjson", rows);
    host.write(
        "push.toml",
        format!(
            "[pipeline]\nname = \"push\"\n\n\
             [source]\nplugin = \"sluice/files@0.1\"\n\
             config = {{ dir = \"in\", format = \"ndjson\", stream = \"rows\" }}\n\n\
             [[sink]]\nplugin = \"sluice/http@0.1\"\nsecrets = {{ token = \"api\" }}\n\
             config = {{ url = \"{}\", path = \"/v1/rows\", mode = \"batch\", batch_size = 200, results = \"\" }}\n",
            server.address()
        ),
    );
    host
}

#[test]
fn a_run_uses_a_secret_that_another_process_rotated() {
    let server = Upstream::start(Options::default()).expect("a server");
    let host = sending(&server);
    let (old, new) = (format!("old-{CANARY}"), format!("new-{CANARY}"));
    drop(fed(&host, &["secret", "set", "api"], &format!("{old}\n")).done());
    host.grant_local("push.toml");
    server.hold_next(1);
    let child = host
        .command(&["run", "push.toml", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    while server.requests() == 0 {
        std::thread::sleep(Duration::from_millis(2));
    }
    drop(fed(&host, &["secret", "rotate", "api"], &new).done());
    server.release();
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let report = serde_json::from_slice(&output.stdout).expect("a report");
    balanced(&report);
    assert_eq!(server.collection("rows").len(), MANY);
    let tokens: Vec<String> = server
        .seen()
        .iter()
        .filter_map(|seen| seen.header("authorization").map(ToOwned::to_owned))
        .collect();
    let with = |token: &str| {
        let bearer = format!("Bearer {token}");
        tokens.iter().filter(|sent| **sent == bearer).count()
    };
    assert_eq!(
        with(&old) + with(&new),
        tokens.len(),
        "every request had one of the two"
    );
    assert!(with(&old) >= 1, "the first had the old one");
    assert_eq!(
        with(&old),
        tokens
            .iter()
            .position(|token| token.contains("new"))
            .unwrap_or(0)
    );
    assert!(
        with(&new) > tokens.len() / 2,
        "{} of {}",
        with(&new),
        tokens.len()
    );

    assert_eq!(holds(&host.path(""), CANARY), Vec::<String>::new());
    assert!(!said.contains(CANARY) && !String::from_utf8_lossy(&output.stdout).contains(CANARY));
    let list = host.sluice(&["secret", "list", "--json"]).done();
    assert!(!list.out.contains(CANARY));
    let secret = &list.json()[0];
    assert_eq!(
        (secret["version"].as_u64(), secret["earlier"].as_u64()),
        (Some(2), Some(1))
    );
    assert!(secret["last_used_ms"].as_u64() > Some(0), "{secret}");
}

#[test]
fn secrets_are_set_listed_taken_back_and_removed() {
    let server = Upstream::start(Options::default()).expect("a server");
    let host = sending(&server);
    let empty = host.sluice(&["secret", "list"]).done();
    assert!(empty.out.contains("no secrets"), "{}", empty.out);
    refused(
        &host.sluice(&["secret", "rotate", "api"]),
        &["no secret `api`", "secret set api"],
    );
    refused(
        &fed(&host, &["secret", "set", "api"], "\n"),
        &["there is no value"],
    );
    refused(
        &fed(&host, &["secret", "set", "../x"], "v"),
        &["not a secret name"],
    );
    host.write("token.txt", "from a file\n");
    drop(
        host.sluice(&[
            "secret",
            "set",
            "api",
            "--file",
            "token.txt",
            "--expires",
            "10d",
        ])
        .done(),
    );
    refused(
        &fed(&host, &["secret", "set", "api"], "v"),
        &["already", "secret rotate api"],
    );
    host.grant_local("push.toml");
    let soon = host.sluice(&["check", "push.toml"]).done();
    assert!(soon.err.contains("expires soon"), "{}", soon.err);
    drop(
        fed(
            &host,
            &["secret", "rotate", "api", "--expires", "1ms"],
            "v2",
        )
        .done(),
    );
    std::thread::sleep(Duration::from_millis(5));
    refused(
        &host.sluice(&["check", "push.toml"]),
        &["push.toml:10:", "it expired", "secret rotate api"],
    );
    drop(host.sluice(&["secret", "rotate", "api", "--undo"]).done());
    drop(host.sluice(&["check", "push.toml"]).done());
    refused(
        &host.sluice(&["secret", "rotate", "api", "--undo"]),
        &["no earlier version"],
    );
    refused(
        &host.sluice(&["secret", "remove", "api"]),
        &["not confirmed"],
    );
    drop(host.sluice(&["secret", "remove", "api", "--yes"]).done());
    refused(
        &host.sluice(&["check", "push.toml"]),
        &["push.toml:10:", "no secret `api`", "secret set api"],
    );
    host.edit("sluice.toml", "\"vault\"", "\"env\"");
    refused(
        &host.sluice(&["secret", "list"]),
        &["not in a vault", "provider = \"vault\""],
    );
}
