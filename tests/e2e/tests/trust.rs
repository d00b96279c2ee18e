//! A vendor signs, a security team trusts, revokes, looks and grants, through the real binary: who may run, what is
//! told of a plugin that changed, and what its pages say.

use serde_json::Value;
use sluice_e2e::{Answer, TestHost, manifest, parts};

const ORDERS: &str = r#"[pipeline]
name = "orders"

[source]
plugin = "files.wasm"
config = { dir = "in", format = "ndjson", stream = "orders" }

[[sink]]
plugin = "files.wasm"
config = { dir = "out", format = "ndjson" }
"#;

/// A deployment with one plugin, packed here, and a vendor's key.
fn deployment() -> (TestHost, Value) {
    let host = TestHost::new();
    drop(host.pack("files", &manifest("files"), "files.wasm").done());
    host.write("in/orders.ndjson", "{\"id\": 1}\n");
    host.write("orders.toml", ORDERS);
    let key = host
        .sluice(&["plugin", "key", "new", "vendor.key", "--json"])
        .done()
        .json();
    (host, key)
}

fn trust(key: &Value, vendor: &str, more: &str) -> String {
    format!(
        "[signing]\nrequired = true\n{more}\n[[key]]\nid = {}\npublic = {}\nvendor = \"{vendor}\"\nexpires = \"9000-01-01\"\n",
        key["id"], key["public"]
    )
}

fn sign(host: &TestHost) {
    drop(
        host.sluice(&["plugin", "sign", "files.wasm", "--key", "vendor.key"])
            .done(),
    );
}

/// All that it said, without what differs from run to run.
fn told(host: &TestHost, answer: &Answer, key: &Value) -> String {
    let said = host.shown(&format!("{}{}", answer.err, answer.out));
    let id = key["id"].as_str().expect("an id");
    // How large a component is differs with where it was built.
    let said: Vec<&str> = said.split(" bytes · speaks").collect();
    let said: Vec<&str> = said
        .iter()
        .enumerate()
        .map(|(at, part)| {
            let is_before = at + 1 < said.len();
            let digit = |character: char| character.is_ascii_digit() || character == ',';
            if is_before {
                part.trim_end_matches(digit)
            } else {
                part
            }
        })
        .collect();
    let said = said.join("SIZE bytes · speaks");
    // Keys are random, and so is what of an id looks like a digest.
    said.replace(id, "ed25519:KEY")
        .replace("ed25519:…", "ed25519:KEY")
}

#[test]
fn what_is_not_trusted_does_not_start() {
    let refused = |title: &str, host: &TestHost, expected: &str| {
        for command in [
            &["check", "orders.toml"][..],
            &["run", "orders.toml"],
            &["grant", "new", "orders.toml", "--dry-run"],
        ] {
            let answer = host.sluice(command);
            assert_eq!(answer.code, Some(2), "{title}: {answer:#?}");
            assert!(answer.err.contains(expected), "{title}: {answer:#?}");
        }
        let verified = host.sluice(&["plugin", "verify", "files.wasm"]);
        assert_eq!(verified.code, Some(1), "{title}: {verified:#?}");
        assert!(verified.out.contains("REFUSED: "), "{title}: {verified:#?}");
        assert!(parts(&host.path("out")).is_empty(), "{title}: it ran");
    };
    let (host, key) = deployment();
    // Granted and compiled while nothing had to be signed; the cache must not let it in later.
    host.grant("orders.toml");
    drop(host.sluice(&["check", "orders.toml"]).done());

    host.write("trust.toml", trust(&key, "sluice/*", ""));
    refused(
        "unsigned",
        &host,
        "is not signed, and this deployment requires it",
    );
    sign(&host);
    drop(host.sluice(&["check", "orders.toml"]).done());
    let verified = host.sluice(&["plugin", "verify", "files.wasm"]).done();
    assert!(verified.out.contains("signed by ed25519:"), "{verified:#?}");

    host.write("trust.toml", trust(&key, "acme/*", ""));
    refused("not theirs", &host, "which may sign `acme/*` only");
    host.write(
        "trust.toml",
        trust(&key, "sluice/*", "")
            + &format!("[[revoked]]\nkey = {}\nreason = \"stolen\"\n", key["id"]),
    );
    refused("revoked", &host, "which is revoked: stolen");
    host.write(
        "trust.toml",
        trust(&key, "sluice/*", "") + "[[floor]]\nplugin = \"sluice/files\"\nversion = \"9.0.0\"\n",
    );
    refused("below the floor", &host, "is below the floor of 9.0.0");
    host.write("trust.toml", "[signing]\nrequired = true\n");
    refused("unknown", &host, "which this deployment does not trust");

    // One byte more: the signature beside it is stale.
    host.write("trust.toml", trust(&key, "sluice/*", ""));
    let changed = manifest("files").replacen("description = \"", "description = \"Ha. ", 1);
    drop(host.pack("files", &changed, "files.wasm").done());
    refused("stale", &host, "is for other bytes");
    std::fs::remove_file(host.path("files.wasm.sig")).expect("a signature");
    host.write(
        "trust.toml",
        trust(&key, "sluice/*", "unsigned = [\"sluice/files\"]"),
    );
    drop(host.sluice(&["grant", "new", "orders.toml"]).done());
    drop(host.sluice(&["run", "orders.toml"]).done());
    assert!(
        !parts(&host.path("out")).is_empty(),
        "what is excepted runs"
    );
    // Six runs were refused, each of them for every stage; looking is not told.
    let told = host
        .sluice(&["audit", "export", "--action", "plugin.refused"])
        .done();
    let stages = ORDERS.matches("plugin = ").count();
    assert_eq!(told.out.lines().count(), 6 * stages, "{told:#?}");
    assert!(told.out.contains("which is revoked: stolen"), "{told:#?}");
}

#[test]
fn a_trust_file_that_is_named_must_be_there() {
    let (host, _) = deployment();
    let settings = host.read("sluice.toml") + "[trust]\nfile = \"security/trust.toml\"\n";
    host.write("sluice.toml", settings);
    let answer = host.sluice(&["check", "orders.toml"]);
    assert_eq!(answer.code, Some(2));
    assert!(
        answer.err.contains("security/trust.toml: no such file"),
        "{answer:#?}"
    );
}

#[test]
fn a_key_is_told_by_its_public_half_only() {
    let (host, _) = deployment();
    let answer = host.sluice(&["plugin", "key", "new", "other.key"]).done();
    let secret: String = host
        .read("other.key")
        .lines()
        .filter(|line| !line.starts_with('-'))
        .collect();
    assert!(!answer.out.contains(&secret[24..48]), "{answer:#?}");
    let twice = host.sluice(&["plugin", "key", "new", "other.key"]);
    assert!(
        twice.code == Some(2) && twice.err.contains("a key is never written over"),
        "{twice:#?}"
    );
}

#[test]
fn a_plugin_that_changed_says_what_it_asks_beyond_its_grant() {
    let (host, key) = deployment();
    host.write("orders.toml", ORDERS.replace("files.wasm", "sluice/files"));
    host.write("sluice.toml", "[plugins]\ndir = \".\"\n");
    host.grant("orders.toml");
    host.edit(
        "grants/orders.sluice-files.toml",
        "reads = [\"*\"]",
        "reads = [\"id\"] # no more than this",
    );
    let command = |arguments: &[&str]| {
        let answer = host.sluice(arguments);
        format!(
            "$ sluice {}   → {}\n{}\n",
            arguments.join(" "),
            answer.code.expect("a code"),
            told(&host, &answer, &key)
        )
    };
    // Rebuilt, one word changed: nothing more is asked.
    let rebuilt = manifest("files").replacen("version = \"0.1.0\"", "version = \"0.1.1\"", 1);
    drop(host.pack("files", &rebuilt, "files-0.1.1.wasm").done());
    let mut session = command(&["check", "orders.toml"]);
    session += &command(&["plugin", "diff", "files.wasm", "files-0.1.1.wasm"]);
    session += &command(&["grant", "new", "orders.toml"]);
    // The next one reaches for a network.
    let wider = rebuilt.replacen("0.1.1", "0.2.0", 1)
        + "\n[[http]]\nhost = \"collect.example\"\nmethods = [\"POST\"]\npaths = [\"/**\"]\nreason = \"Telemetry.\"\n";
    drop(host.pack("files", &wider, "files-0.2.0.wasm").done());
    let before = host.read("grants/orders.sluice-files.toml");
    session += &command(&["check", "orders.toml"]);
    session += &command(&["plugin", "diff", "files-0.1.1.wasm", "files-0.2.0.wasm"]);
    session += &command(&["grant", "new", "orders.toml"]);
    assert_eq!(
        host.read("grants/orders.sluice-files.toml"),
        before,
        "nothing widens by itself"
    );
    session += &command(&["grant", "new", "orders.toml", "--widen"]);
    assert!(
        host.read("grants/orders.sluice-files.toml")
            .contains("# no more than this")
    );
    drop(host.sluice(&["check", "orders.toml"]).done());
    insta::assert_snapshot!(session);
}

#[test]
fn the_page_of_a_plugin() {
    let (host, key) = deployment();
    let hostile = manifest("files").replacen(
        "description = \"",
        "description = \"\\u001b[2J\\u202E<b>",
        1,
    );
    drop(host.pack("files", &hostile, "files.wasm").done());
    let page = host
        .sluice(&["plugin", "inspect", "files.wasm", "--html", "page.html"])
        .done();
    insta::assert_snapshot!(told(&host, &page, &key));
    let html = host.read("page.html");
    assert!(
        html.starts_with("<!DOCTYPE html>") && html.contains("\\u{1b}[2J\\u{202e}&lt;b&gt;"),
        "{html}"
    );
    let sarif = host
        .sluice(&["plugin", "inspect", "files.wasm", "--sarif"])
        .done()
        .json();
    assert_eq!(sarif["runs"][0]["results"][0]["ruleId"], "unsigned");
    let json = host
        .sluice(&["plugin", "inspect", "files.wasm", "--json"])
        .done()
        .json();
    assert_eq!(json["made_by"]["standing"], "unsigned");
    host.write("trust.toml", trust(&key, "sluice/*", ""));
    sign(&host);
    let json = host
        .sluice(&["plugin", "inspect", "files.wasm", "--json"])
        .done()
        .json();
    assert_eq!(
        (&json["made_by"]["standing"], &json["made_by"]["key"]),
        (&"signed".into(), &key["id"])
    );
}
