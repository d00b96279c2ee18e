//! The list of guards is complete: every guard is used, documented and tested; every limit has one; and whoever adds a
//! refusal without one is told. That each test goes red without its guard, `cargo x guards` sees.

use sluice_walls::guards::{
    Listed, Row, compared, limits, listed, reads_guarded, rows, unguarded, used,
};
use sluice_walls::{hold, rust_files};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

const LIST: &str = "host/model/src/guards/list.rs";

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn text(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn guards() -> Vec<Listed> {
    let found = listed(&text(LIST));
    assert!(found.len() > 200, "{} guards were read", found.len());
    found
}

fn documented() -> Vec<Row> {
    rows(&text("docs/guards.md"))
}

/// The product's code, without its guards' own file and without tests.
fn product() -> Vec<(String, String)> {
    let mut files = rust_files("host");
    let tests = test_modules(&files);
    files.retain(|(file, _)| {
        file.contains("/src/")
            && !tests.contains(file)
            && !file.starts_with("host/model/src/guards/")
            && !file.ends_with("/tests.rs")
            && !file.contains("/tests/")
    });
    files
}

/// Files that a `#[cfg(test)] mod` brings in.
fn test_modules(files: &[(String, String)]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (file, text) in files {
        let (folder, name) = file.rsplit_once('/').expect("a file stands in a folder");
        let folder = match name {
            "mod.rs" | "lib.rs" | "main.rs" => folder.to_owned(),
            name => format!("{folder}/{}", name.trim_end_matches(".rs")),
        };
        for after in text.split("#[cfg(test)]\nmod ").skip(1) {
            let name = after.split([';', ' ']).next().unwrap_or_default();
            found.insert(format!("{folder}/{name}.rs"));
        }
    }
    found
}

#[test]
fn every_guard_is_used() {
    let files = product();
    let used: BTreeSet<String> = files.iter().flat_map(|(_, text)| used(text)).collect();
    let idle: Vec<_> = guards()
        .into_iter()
        .filter(|guard| !used.contains(&guard.name))
        .collect();
    assert!(idle.is_empty(), "{idle:#?} guard nothing");
}

/// The enum and the table say the same, in the same order.
#[test]
fn every_guard_is_documented() {
    let listed: Vec<_> = guards()
        .into_iter()
        .map(|guard| (guard.word, guard.attack))
        .collect();
    let rows: Vec<_> = documented()
        .into_iter()
        .map(|row| (row.word, row.attack))
        .collect();
    assert_eq!(
        listed, rows,
        "hint: `{LIST}` and `docs/guards.md` have the same lines"
    );
}

/// Where the tests of a target stand: `egress/door` in `host/egress/tests`, `egress/lib` in `host/egress/src`.
fn sources(target: &str) -> Vec<(String, String)> {
    let (name, target) = target.split_once('/').expect("a crate and a target");
    let folder = ["host", "tests"].map(|place| format!("{place}/{name}"));
    let folder = folder
        .iter()
        .find(|folder| root().join(folder).join("Cargo.toml").is_file())
        .unwrap_or_else(|| panic!("there is no crate `{name}`"));
    if target == "lib" {
        return rust_files(&format!("{folder}/src"));
    }
    let mut files = rust_files(&format!("{folder}/tests"));
    let (one, several) = (
        format!("{folder}/tests/{target}.rs"),
        format!("{folder}/tests/{target}/"),
    );
    files.retain(|(file, _)| *file == one || file.starts_with(&several));
    assert!(!files.is_empty(), "`{name}` has no test program `{target}`");
    files
}

#[test]
fn every_guard_has_its_test() {
    let mut known: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    let mut missing = Vec::new();
    for row in documented() {
        let files = known
            .entry(row.target.clone())
            .or_insert_with_key(|target| sources(target));
        let name = row.test.rsplit("::").next().unwrap_or_default();
        let is_there = |text: &str| text.contains(&format!("fn {name}("));
        if !files.iter().any(|(_, text)| is_there(text)) {
            missing.push(format!("{}: {} {}", row.word, row.target, row.test));
        }
    }
    assert!(missing.is_empty(), "tests that are not there: {missing:#?}");
}

/// A behaviour that is not there would be tried by nobody, and every test of it green.
#[test]
fn every_behaviour_of_a_guard_is_there() {
    let (table, behaviours) = (
        text("docs/guards.md"),
        text("tests/hostile/src/behaviour.rs"),
    );
    let lines = table.lines().filter(|line| line.starts_with("| `"));
    let named: Vec<&str> = lines
        .filter_map(|line| line.split_once("` with `")?.1.split('`').next())
        .collect();
    assert!(named.len() > 10, "{named:?}");
    let is_there = |word: &str| behaviours.contains(&format!(" = \"{word}\","));
    let missing: Vec<_> = named.into_iter().filter(|word| !is_there(word)).collect();
    assert!(missing.is_empty(), "{missing:?} do not exist");
}

/// The switch is in debug builds alone.
#[test]
fn a_release_has_no_switch() {
    let module = text("host/model/src/guards/mod.rs");
    assert!(module.contains("#[cfg(debug_assertions)]\nmod off;"));
    assert!(module.contains("#[cfg(debug_assertions)]\n    return off::named();"));
    assert_eq!(module.matches("off::named").count(), 1);
    for (file, text) in rust_files("host") {
        let allowed = file == "host/model/src/guards/off.rs";
        assert!(
            allowed || !text.contains("SLUICE_GUARD_OFF"),
            "{file} reads the switch by itself"
        );
    }
    let workspace = text("Cargo.toml");
    assert!(
        !workspace.contains("debug-assertions"),
        "a release would have switches"
    );
}

/// Limits that no guard stands beside, and why.
const FREE_LIMITS: [(&str, &str); 19] = [
    ("BATCH_ROWS_MAX", "keeps the cache warm, and stops nobody"),
    (
        "PAGE_BYTES",
        "is what a read is asked for; `PageBytes` is what it may hold",
    ),
    (
        "PAGE_ROWS",
        "is what a read is asked for; `PageRows` is what it may hold",
    ),
    (
        "HTTP_RESPONSE_BYTES_MAX",
        "is a door's setting: `ResponseBytes` stands where it is used",
    ),
    (
        "HTTP_REQUEST_BYTES_MAX",
        "is a door's setting: `RequestBytes` stands where it is used",
    ),
    (
        "DNS_TIME_MAX",
        "is a door's setting: `DnsTime` stands where it is used",
    ),
    (
        "HTTP_CONNECT_TIME_MAX",
        "is a door's setting: `ConnectTime` stands where it is used",
    ),
    (
        "HTTP_FIRST_BYTE_TIME_MAX",
        "is a door's setting: `FirstByteTime` stands where it is used",
    ),
    (
        "HTTP_BETWEEN_BYTES_TIME_MAX",
        "is a door's setting: `BetweenBytesTime` stands where it is used",
    ),
    (
        "HTTP_ANSWER_TIME_MAX",
        "is a door's setting: `AnswerTime` stands where it is used",
    ),
    (
        "OAUTH2_TIME_MAX",
        "is a door's setting: `TokenTime` stands where it is used",
    ),
    (
        "OAUTH2_INTERVAL_MIN",
        "is a door's setting: `TokenInterval` stands where it is used",
    ),
    (
        "OAUTH2_REFUSAL_TIME",
        "is a door's setting: `TokenRefusal` stands where it is used",
    ),
    (
        "TCP_CONNECT_TIME_MAX",
        "is a door's setting: `TcpConnectTime` and `TcpHandshakeTime` stand where it is used",
    ),
    (
        "TCP_WRITE_TIME_MAX",
        "is a door's setting: `TcpWriteTime` stands where it is used",
    ),
    (
        "AUDIT_SEGMENT_BYTES",
        "cuts the trail into files, and stops nobody",
    ),
    (
        "AUDIT_WINDOW",
        "is how often is written; `AuditRefusals` and `AuditUses` bound what",
    ),
    (
        "AUDIT_UNSIGNED_ENTRIES_MAX",
        "is a trail's option: `TrailUnsigned` stands where it is used",
    ),
    (
        "AUDIT_UNSIGNED_TIME_MAX",
        "is the other half of `TrailUnsigned`, which no test waits for",
    ),
];

#[test]
fn every_limit_stands_beside_a_guard() {
    const LINES_APART: usize = 3;
    let files = product();
    let free: BTreeMap<&str, &str> = FREE_LIMITS.into();
    let all = limits(&text("host/model/src/limits.rs"));
    let mut wrong = Vec::new();
    for limit in &all {
        let is_guarded = files
            .iter()
            .any(|(_, text)| reads_guarded(text, limit, LINES_APART));
        match (is_guarded, free.contains_key(limit.as_str())) {
            (false, false) => wrong.push(format!(
                "`{limit}` is read beside no guard: `Guard::X.limit({limit})`"
            )),
            (true, true) => wrong.push(format!(
                "`{limit}` is read beside a guard: it needs no exception"
            )),
            _ => {}
        }
    }
    let gone = free
        .keys()
        .filter(|name| !all.iter().any(|limit| limit == *name));
    wrong.extend(gone.map(|name| format!("`{name}` is no limit any more")));
    // What a reason names is a guard.
    let guards: BTreeSet<String> = guards().into_iter().map(|guard| guard.name).collect();
    for (limit, reason) in FREE_LIMITS {
        let named = reason.split('`').skip(1).step_by(2);
        wrong.extend(
            named
                .filter(|name| !guards.contains(*name))
                .map(|name| format!("{limit}: `{name}` is no guard")),
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What cannot be read has no value to go on with: without the error there would be nothing to do.
const SHAPE: &str = "cannot be read";
/// Refused elsewhere, by a guard there, or failed by itself: this hands it on.
const PASSED_ON: &str = "passed on";
/// The host's own mistake, or the world's: nobody is stopped.
const FAILED: &str = "failed";
/// Without it the next line has nothing right to do: nothing is found under that name, another process holds the lock.
const NEEDED: &str = "needed";

#[test]
fn no_refusal_is_without_a_guard() {
    /// A file, a function of it, how many errors it makes more than it names guards, and why they need none.
    const ALLOWED: [(&str, &str, usize, &str); 209] = [
        ("audit/src/copy.rs", "append", 1, NEEDED),
        ("audit/src/desk.rs", "begin_in_the_last_file", 2, SHAPE),
        ("audit/src/desk.rs", "catch_up", 1, PASSED_ON),
        ("audit/src/desk.rs", "check_notes", 1, PASSED_ON),
        ("audit/src/desk.rs", "read_notes", 2, SHAPE),
        ("audit/src/folder.rs", "contents", 1, FAILED),
        ("audit/src/folder.rs", "segments", 1, FAILED),
        ("audit/src/hash.rs", "try_from", 3, SHAPE),
        ("audit/src/key.rs", "create", 1, FAILED),
        ("audit/src/key.rs", "read", 2, SHAPE),
        ("audit/src/keyring.rs", "public_key", 1, SHAPE),
        ("audit/src/keyring.rs", "remove", 1, FAILED),
        ("audit/src/note.rs", "parse_all", 1, SHAPE),
        ("audit/src/read.rs", "follows", 1, PASSED_ON),
        ("audit/src/standing.rs", "learn", 3, PASSED_ON),
        ("audit/src/trail.rs", "look", 1, NEEDED),
        ("audit/src/trail.rs", "with", 1, NEEDED),
        ("audit/src/verify.rs", "known", 1, PASSED_ON),
        ("audit/src/verify.rs", "wanted_key", 1, SHAPE),
        ("egress/src/answer.rs", "accept", 1, PASSED_ON),
        ("egress/src/answer.rs", "next", 1, FAILED),
        ("egress/src/answer.rs", "poll_frame", 2, PASSED_ON),
        ("egress/src/attach.rs", "hash", 1, SHAPE),
        ("egress/src/attach.rs", "secret", 1, PASSED_ON),
        ("egress/src/connect.rs", "open", 1, FAILED),
        ("egress/src/credential.rs", "attach", 1, SHAPE),
        ("egress/src/document.rs", "read", 1, SHAPE),
        ("egress/src/echo.rs", "check_headers", 1, PASSED_ON),
        ("egress/src/echo.rs", "pass", 1, PASSED_ON),
        ("egress/src/identity.rs", "authority", 1, FAILED),
        ("egress/src/identity.rs", "read_authority", 1, SHAPE),
        ("egress/src/keyring.rs", "ask", 1, FAILED),
        ("egress/src/oauth2.rs", "given", 1, SHAPE),
        ("egress/src/outgoing.rs", "poll_frame", 1, PASSED_ON),
        ("egress/src/resolve.rs", "addresses", 1, FAILED),
        ("egress/src/sigv4.rs", "canonical_headers", 1, SHAPE),
        ("egress/src/tcp/dial.rs", "open", 1, FAILED),
        ("egress/src/tcp/stream.rs", "check_open", 1, PASSED_ON),
        ("egress/src/tcp/stream.rs", "read", 1, PASSED_ON),
        ("egress/src/tcp/stream.rs", "shutdown", 2, PASSED_ON),
        ("egress/src/tcp/stream.rs", "write", 2, PASSED_ON),
        ("egress/src/tcp/trust.rs", "within", 1, FAILED),
        ("egress/src/tokens.rs", "get", 1, FAILED),
        ("egress/src/tokens.rs", "value", 1, PASSED_ON),
        ("engine/src/artifact.rs", "within", 2, SHAPE),
        ("engine/src/columns/lift.rs", "column", 1, SHAPE),
        ("engine/src/door/files/door.rs", "create", 1, PASSED_ON),
        ("engine/src/door/files/door.rs", "finish", 1, PASSED_ON),
        ("engine/src/door/files/door.rs", "open", 2, PASSED_ON),
        ("engine/src/door/files/path.rs", "check", 1, SHAPE),
        ("engine/src/door/files/write.rs", "open", 1, SHAPE),
        ("engine/src/door/files/write.rs", "rename", 1, PASSED_ON),
        ("engine/src/door/http.rs", "send", 1, PASSED_ON),
        ("engine/src/door/http.rs", "send_request", 1, PASSED_ON),
        ("engine/src/door/net.rs", "connect", 1, PASSED_ON),
        ("engine/src/door/net.rs", "open", 1, PASSED_ON),
        ("engine/src/door/records.rs", "batch", 1, PASSED_ON),
        ("engine/src/door/records.rs", "column", 1, PASSED_ON),
        ("engine/src/door/records.rs", "encode", 1, PASSED_ON),
        ("engine/src/door/records.rs", "encode_parquet", 1, PASSED_ON),
        ("engine/src/door/records.rs", "encode_rows", 1, PASSED_ON),
        ("engine/src/door/secrets.rs", "value", 1, SHAPE),
        ("engine/src/door/sockets.rs", "refuse", 1, PASSED_ON),
        ("engine/src/edits.rs", "lie", 1, PASSED_ON),
        ("engine/src/edits.rs", "shaped", 1, SHAPE),
        ("engine/src/engine.rs", "load", 1, PASSED_ON),
        ("engine/src/guest.rs", "tick", 1, PASSED_ON),
        ("engine/src/instance.rs", "end", 2, PASSED_ON),
        ("engine/src/place.rs", "resolved", 2, PASSED_ON),
        ("engine/src/sink.rs", "opened", 1, FAILED),
        ("engine/src/sink.rs", "rejected", 1, SHAPE),
        ("engine/src/sink.rs", "write", 1, PASSED_ON),
        ("engine/src/source.rs", "format", 1, SHAPE),
        ("engine/src/source.rs", "opened", 1, FAILED),
        ("engine/src/transform.rs", "apply", 2, FAILED),
        ("engine/src/transform.rs", "edited", 2, PASSED_ON),
        ("policy/src/asked.rs", "credential", 1, SHAPE),
        ("policy/src/asked.rs", "methods", 1, SHAPE),
        ("policy/src/asked.rs", "of", 1, PASSED_ON),
        ("policy/src/asked.rs", "setting", 1, SHAPE),
        ("policy/src/asked.rs", "tcp_allowances", 1, PASSED_ON),
        ("policy/src/budget.rs", "check", 1, PASSED_ON),
        ("policy/src/budget.rs", "of", 1, SHAPE),
        ("policy/src/effective.rs", "under", 1, PASSED_ON),
        ("policy/src/effective/report.rs", "from_str", 2, SHAPE),
        ("policy/src/host.rs", "parse", 3, SHAPE),
        ("policy/src/organisation/mod.rs", "read", 1, SHAPE),
        ("policy/src/path.rs", "check", 1, SHAPE),
        ("policy/src/path.rs", "check_encoding", 1, SHAPE),
        ("policy/src/path.rs", "parse", 1, SHAPE),
        ("policy/src/settings.rs", "expand", 1, SHAPE),
        ("policy/src/settings.rs", "find", 1, SHAPE),
        ("policy/src/target.rs", "parse", 1, SHAPE),
        ("policy/src/target.rs", "parse_port", 1, SHAPE),
        ("policy/src/tcp.rs", "asks", 1, SHAPE),
        ("policy/src/tcp.rs", "destination", 1, SHAPE),
        ("policy/src/tcp.rs", "parse", 1, SHAPE),
        ("policy/src/terms.rs", "entry", 1, SHAPE),
        ("policy/src/terms.rs", "fixed", 1, SHAPE),
        ("policy/src/terms.rs", "token", 2, SHAPE),
        ("service/src/audit.rs", "folder", 1, NEEDED),
        ("service/src/audit.rs", "verify", 3, PASSED_ON),
        ("service/src/auditing.rs", "digest", 1, FAILED),
        ("service/src/auditing.rs", "reveals", 1, PASSED_ON),
        ("service/src/build.rs", "cargo", 2, FAILED),
        ("service/src/check.rs", "columns_exist", 1, PASSED_ON),
        ("service/src/check.rs", "sample", 1, NEEDED),
        ("service/src/check.rs", "sound", 2, PASSED_ON),
        ("service/src/control.rs", "answer", 1, NEEDED),
        ("service/src/control.rs", "ask", 2, FAILED),
        ("service/src/control.rs", "from", 2, PASSED_ON),
        ("service/src/control.rs", "known", 1, NEEDED),
        ("service/src/control.rs", "as_it_is", 2, NEEDED),
        ("service/src/control/client.rs", "read", 5, SHAPE),
        ("service/src/control/client.rs", "asked", 1, PASSED_ON),
        ("service/src/control/pauses.rs", "read", 1, FAILED),
        ("service/src/deployment.rs", "find", 1, NEEDED),
        ("service/src/durable.rs", "written_beside", 1, FAILED),
        ("service/src/grants.rs", "all", 1, FAILED),
        ("service/src/host.rs", "open_keeping", 1, PASSED_ON),
        ("service/src/key.rs", "default_key", 2, FAILED),
        ("service/src/grants.rs", "propose", 2, PASSED_ON),
        ("service/src/keeping.rs", "open_as_it_is", 1, NEEDED),
        ("service/src/key.rs", "default_key", 1, FAILED),
        ("service/src/key.rs", "given_key", 1, NEEDED),
        ("service/src/key.rs", "only", 1, NEEDED),
        ("service/src/key.rs", "rotate", 1, NEEDED),
        ("service/src/plan.rs", "stage", 1, PASSED_ON),
        ("service/src/plugins.rs", "resolve", 2, NEEDED),
        ("service/src/run/work.rs", "blocking", 1, FAILED),
        ("service/src/run/expiring.rs", "once", 1, PASSED_ON),
        ("service/src/run/gate.rs", "call_unless", 1, NEEDED),
        ("service/src/run/gate.rs", "pass", 1, NEEDED),
        ("service/src/run/quarantine.rs", "too_slow", 1, PASSED_ON),
        ("service/src/run/splits.rs", "read_again", 1, NEEDED),
        ("service/src/run/transforming.rs", "applied", 2, PASSED_ON),
        ("service/src/run/trying.rs", "again", 1, PASSED_ON),
        ("service/src/run/writing.rs", "find", 2, PASSED_ON),
        ("service/src/run/writing.rs", "handed", 2, PASSED_ON),
        ("service/src/run/driving.rs", "next", 1, FAILED),
        ("service/src/run/mod.rs", "run", 2, PASSED_ON),
        ("service/src/run/reading.rs", "document", 1, PASSED_ON),
        ("service/src/run/reading.rs", "opened", 2, PASSED_ON),
        ("service/src/run/writing.rs", "publish", 1, FAILED),
        ("service/src/run/writing.rs", "written", 3, PASSED_ON),
        ("service/src/schemas.rs", "now", 1, PASSED_ON),
        ("service/src/schemas.rs", "output", 1, PASSED_ON),
        ("service/src/secrets/environment.rs", "check", 1, NEEDED),
        ("service/src/secrets/environment.rs", "replace", 1, NEEDED),
        ("service/src/secrets/folder.rs", "replace", 1, NEEDED),
        ("service/src/secrets/mod.rs", "replace", 1, NEEDED),
        ("service/src/secrets/vault.rs", "check", 1, NEEDED),
        ("service/src/secrets/vault.rs", "get", 1, NEEDED),
        ("service/src/secrets/vault.rs", "open", 1, NEEDED),
        ("service/src/serve/bounded.rs", "over", 1, PASSED_ON),
        ("service/src/serve/jobs.rs", "running", 1, NEEDED),
        ("service/src/serve/front.rs", "ask", 1, FAILED),
        ("service/src/serve/mod.rs", "go", 1, FAILED),
        ("service/src/serve/mod.rs", "off_the_workers", 1, FAILED),
        ("service/src/serve/mod.rs", "serve", 2, NEEDED),
        ("service/src/serve/timetable.rs", "of", 1, SHAPE),
        ("service/src/signing/key.rs", "read", 2, SHAPE),
        ("service/src/signing/mod.rs", "beside", 1, FAILED),
        ("service/src/trial.rs", "learn", 1, FAILED),
        ("state/src/bounds.rs", "refuse", 1, PASSED_ON),
        ("state/src/durable.rs", "of", 1, FAILED),
        ("state/src/journal/seen.rs", "digests", 1, SHAPE),
        ("state/src/journal/letters.rs", "stored", 1, PASSED_ON),
        ("state/src/journal/record.rs", "decode", 2, SHAPE),
        ("state/src/journal/rows.rs", "attempted", 1, NEEDED),
        ("state/src/keys/kek.rs", "from_str", 1, SHAPE),
        ("state/src/keys/kek.rs", "parse", 1, SHAPE),
        ("state/src/keys/source.rs", "keys", 3, NEEDED),
        ("state/src/sealed/keyring.rs", "open", 1, NEEDED),
        ("state/src/sealed/keyring.rs", "open_value", 1, NEEDED),
        ("state/src/sealed/keyring_file.rs", "read", 3, SHAPE),
        ("state/src/sealed/mod.rs", "commit", 1, PASSED_ON),
        ("state/src/sealed/mod.rs", "provided", 1, FAILED),
        ("state/src/sealed/open.rs", "first", 1, NEEDED),
        ("state/src/sealed/reseal.rs", "seal_anew", 1, PASSED_ON),
        ("state/src/sealed/seal.rs", "key_id", 4, SHAPE),
        ("state/src/sealed/seal.rs", "open", 2, NEEDED),
        ("state/src/sled_store/migrate.rs", "migrate", 1, FAILED),
        ("state/src/sled_store/mod.rs", "close", 2, FAILED),
        ("state/src/sled_store/mod.rs", "commit", 2, FAILED),
        ("state/src/sled_store/mod.rs", "read", 1, FAILED),
        ("state/src/sled_store/mod.rs", "start", 2, FAILED),
        ("state/src/sled_store/mod.rs", "usable", 1, NEEDED),
        ("state/src/sled_store/mod.rs", "write", 1, FAILED),
        ("state/src/sled_store/open.rs", "found", 1, NEEDED),
        ("state/src/sled_store/open.rs", "last_commit", 1, NEEDED),
        ("state/src/sled_store/open.rs", "lock", 2, NEEDED),
        ("state/src/sled_store/open.rs", "open", 1, PASSED_ON),
        ("state/src/sled_store/open.rs", "remove", 1, FAILED),
        ("state/src/sled_store/open.rs", "verify", 3, SHAPE),
        ("state/src/sled_store/open.rs", "write_format", 1, FAILED),
        ("state/src/sled_store/open.rs", "written_format", 2, SHAPE),
        ("state/src/sled_store/read.rs", "scan", 1, SHAPE),
        ("state/src/sled_store/read.rs", "value", 2, SHAPE),
        ("state/src/sled_store/writer.rs", "entry", 1, SHAPE),
        ("state/src/sled_store/writer.rs", "serve", 1, PASSED_ON),
        ("state/src/sled_store/writer.rs", "value", 1, SHAPE),
        ("state/src/vault/file.rs", "read", 7, SHAPE),
        ("state/src/vault/mod.rs", "entry", 1, NEEDED),
        ("state/src/vault/mod.rs", "lock_file", 2, NEEDED),
        ("state/src/vault/mod.rs", "new_vault", 1, NEEDED),
        ("state/src/vault/mod.rs", "remove", 1, NEEDED),
        ("state/src/vault/mod.rs", "renew", 1, PASSED_ON),
        ("state/src/vault/mod.rs", "take_back", 1, NEEDED),
    ];
    for (file, function, _, why) in ALLOWED {
        assert!(
            [SHAPE, PASSED_ON, FAILED, NEEDED].contains(&why),
            "{file}, `{function}`"
        );
    }
    let mut breaches = Vec::new();
    let walls = [
        "host/audit/src/",
        "host/egress/src/",
        "host/engine/src/",
        "host/policy/src/",
        "host/service/src/",
        "host/state/src/",
    ];
    let files = product();
    let files = files
        .iter()
        .filter(|(file, _)| walls.iter().any(|wall| file.starts_with(wall)));
    let mut seen = BTreeSet::new();
    for (file, text) in files {
        seen.insert(file.trim_start_matches("host/"));
        let here: Vec<(&str, usize)> = ALLOWED
            .iter()
            .filter(|(allowed, ..)| file.strip_prefix("host/") == Some(*allowed))
            .map(|(_, function, count, _)| (*function, *count))
            .collect();
        breaches.extend(compared(file, &unguarded(text), &here));
    }
    for (file, ..) in ALLOWED {
        assert!(seen.contains(file), "{file} is gone");
    }
    hold(&breaches);
}
