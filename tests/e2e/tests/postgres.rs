//! A plugin with a protocol of its own against a real server: PostgreSQL, reached by name, TLS by the host from an
//! upgrade on, a login that is bound to the channel, and a password that only this plugin may see.

use serde_json::json;
use sluice_e2e::TestHost;
use sluice_e2e::postgres::Postgres;
use sluice_e2e::sql::{PASSWORD, USER};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

const MANIFEST: &str = r#"[plugin]
name = "acme/dialer"
version = "0.1.0"
interface = "sluice:plugin@0.1"
description = "Reads one table of PostgreSQL."

[[tcp]]
host = "{config.host}"
port = "{config.port:5432}"
reason = "The database to read."

[[secret]]
name = "password"
use = "reveal"
reason = "PostgreSQL's login needs it in the plugin's hands."

[config]
schema = "config.schema.json"
"#;

const SQL: &str = "CREATE TABLE things (id bigint PRIMARY KEY, name text, price numeric(10,2));\n\
    INSERT INTO things VALUES (1, 'Ada', 1.50), (2, 'Blåbär', 12345678.90), (3, NULL, NULL);\n";

const QUERY: &str = "SELECT row_to_json(things) FROM things ORDER BY id";

/// A deployment that reads the server's table; nothing is granted yet.
fn deployment(server: &Postgres, more: &str) -> TestHost {
    let host = TestHost::new();
    drop(host.pack("dialer", MANIFEST, "dialer.wasm").done());
    host.write("ca.pem", &server.authority);
    host.secret("warehouse-reader", PASSWORD);
    let port = server.port;
    host.write(
        "pg.toml",
        format!(
            "[pipeline]\nname = \"pg\"\n\n[source]\nplugin = \"dialer.wasm\"\n\
             config = {{ host = \"localhost\", port = {port}, user = \"{USER}\", database = \"postgres\", query = \"{QUERY}\"{more} }}\n\
             secrets = {{ password = \"warehouse-reader\" }}\n\n\
             [[sink]]\nplugin = \"sluice/files@0.1\"\nconfig = {{ dir = \"out\", format = \"ndjson\" }}\n"
        ),
    );
    host
}

const GRANT: &str = "grants/pg.acme-dialer.toml";

/// Grants it this machine's own addresses, and trust in the server's authority.
fn grant(host: &TestHost, server: &Postgres) {
    let networks = ["--network", "127.0.0.0/8", "--network", "::1/128"];
    drop(
        host.sluice(&[&["grant", "new", "pg.toml"], &networks[..]].concat())
            .done(),
    );
    let port = format!("port = {}\n", server.port);
    host.edit(GRANT, &port, &format!("{port}ca = \"ca.pem\"\n"));
}

/// No file of the deployment but the secret itself holds the password.
fn kept(folder: &Path) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            if !path.ends_with("secrets") && !path.is_symlink() {
                kept(&path);
            }
        } else {
            let bytes = std::fs::read(&path).expect("a file");
            let holds = bytes
                .windows(PASSWORD.len())
                .any(|window| window == PASSWORD.as_bytes());
            assert!(!holds, "{}", path.display());
        }
    }
}

#[test]
fn a_table_is_read_over_tls_with_a_login_bound_to_the_channel() {
    let server = Postgres::start(SQL);
    let host = deployment(&server, "");
    grant(&host, &server);
    drop(host.sluice(&["check", "pg.toml"]).done());
    let answer = host.sluice(&["run", "pg.toml", "-v"]).done();
    assert!(
        answer
            .err
            .contains("logged in mechanism=SCRAM-SHA-256-PLUS"),
        "{}",
        answer.err
    );
    let expected = [
        json!({ "id": 1, "name": "Ada", "price": 1.50 }),
        json!({ "id": 2, "name": "Blåbär", "price": 12_345_678.90 }),
        json!({ "id": 3, "name": null, "price": null }),
    ];
    assert_eq!(host.records("out"), expected);
    assert!(!answer.err.contains(PASSWORD) && !answer.out.contains(PASSWORD));
    kept(&host.path(""));
    assert!(
        server.folder().join("data/server.key").exists(),
        "the server was this test's own"
    );
    recorded(&host, server.port);
}

/// Every reveal stands in the trail, and what the connection carried is summed as other uses are.
fn recorded(host: &TestHost, port: u16) {
    let log = |action: &str| {
        let answer = host.sluice(&["audit", "log", "--action", action, "--json"]);
        let entries = answer.done().json();
        entries.as_array().expect("a list").clone()
    };
    let revealed = log("secret.revealed");
    let runs: BTreeSet<_> = revealed
        .iter()
        .map(|entry| entry["fields"]["run"].to_string())
        .collect();
    assert_eq!(runs.len(), 2, "the check's and the run's: {revealed:?}");
    for entry in &revealed {
        let fields = &entry["fields"];
        assert_eq!(
            (&fields["secret"], &fields["plugin"], &fields["pipeline"]),
            (
                &json!("password"),
                &json!("acme/dialer 0.1.0"),
                &json!("pg")
            )
        );
    }
    let name = format!("localhost:{port}");
    let used = log("used");
    let tcp = used
        .iter()
        .filter(|entry| entry["fields"]["capability"] == "tcp");
    let tcp: Vec<_> = tcp.collect();
    assert_eq!(tcp.len(), 2, "{used:?}");
    for entry in tcp {
        let fields = &entry["fields"];
        let bytes = |key: &str| {
            fields[key]
                .as_str()
                .and_then(|text| text.parse::<u64>().ok())
        };
        assert_eq!(fields["name"], *name);
        assert!(
            bytes("bytes-out") > Some(0) && bytes("bytes-in") > Some(0),
            "{entry}"
        );
    }
    let usage = host.sluice(&["grant", "usage", "acme/dialer"]).done().out;
    for expected in ["tcp", &name, "secret.reveal"] {
        assert!(usage.contains(expected), "{usage}");
    }
    assert!(!usage.contains("never used"), "{usage}");
    let shown = host
        .sluice(&["grant", "show", "acme/dialer", "--effective"])
        .done()
        .out;
    assert!(
        shown.contains(&name) && shown.contains("password REVEALED"),
        "{shown}"
    );
    let reach = ["grant", "list", "--reach", "secret:warehouse-reader"];
    let reach = host.sluice(&reach).done().out;
    assert!(
        reach.contains("REVEALED to it, as its `password`"),
        "{reach}"
    );
    assert_eq!(
        host.sluice(&["audit", "verify", "--json"]).done().json()["outcome"],
        "holds"
    );
}

#[test]
fn the_policy_decides_too() {
    let server = Postgres::start(SQL);
    let host = deployment(&server, "");
    grant(&host, &server);
    drop(host.sluice(&["check", "pg.toml"]).done());
    host.write("policy.toml", "[secrets]\nreveal = []\n");
    let answer = host.sluice(&["check", "pg.toml"]);
    assert_eq!(answer.code, Some(2), "{answer:#?}");
    assert!(
        answer.err.contains("policy.toml:2") && answer.err.contains("secrets.reveal"),
        "{answer:#?}"
    );
    host.write("policy.toml", "[http]\nplain = false\n");
    let answer = host.sluice(&["check", "pg.toml"]);
    assert_eq!(answer.code, Some(1), "{answer:#?}");
    assert!(answer.err.contains("begins in the clear"), "{answer:#?}");
    host.write(
        "policy.toml",
        "[secrets]\nreveal = [\"acme/dialer\"]\n[http]\nnetworks = [\"127.0.0.0/8\", \"::1/128\"]\n",
    );
    drop(host.sluice(&["check", "pg.toml"]).done());
}

/// What `check` says once this is done to a deployment that could run; and its exit code.
fn check(server: &Postgres, more: &str, code: i32, change: impl FnOnce(&TestHost)) -> String {
    let host = deployment(server, more);
    grant(&host, server);
    change(&host);
    let answer = host.sluice(&["check", "pg.toml"]);
    assert_eq!(answer.code, Some(code), "{answer:#?}");
    host.seen(&answer).replace(&server.port.to_string(), "PORT")
}

#[test]
fn each_thing_that_is_missing_is_told() {
    let server = Postgres::start(SQL);
    let mut page = String::new();
    let mut tell = |what: &str, said: String| write!(page, "# {what}\n{said}\n\n").expect("memory");
    let ca = "ca = \"ca.pem\"\n";
    tell(
        "this machine is no network",
        check(&server, "", 1, |host| {
            let text = host.read(GRANT);
            let (start, rest) = text.split_once("networks = ").expect("it has some");
            let (_, end) = rest.split_once("]\n").expect("a list");
            host.write(GRANT, format!("{start}{end}"));
        }),
    );
    tell(
        "a server that nobody vouches for",
        check(&server, "", 1, |host| host.edit(GRANT, ca, "")),
    );
    tell(
        "an authority that is not there",
        check(&server, "", 2, |host| {
            std::fs::remove_file(host.path("ca.pem")).expect("it is there");
        }),
    );
    tell(
        "another port",
        check(&server, "", 2, |host| {
            let port = format!("port = {}\n", server.port);
            host.edit(GRANT, &port, "port = 1\n");
        }),
    );
    tell(
        "a certificate under another name",
        check(&server, ", server_name = \"127.0.0.1\"", 1, |_| ()),
    );
    tell(
        "a secret that may not be seen",
        check(&server, "", 2, |host| {
            host.edit(GRANT, "use = \"reveal\"", "use = \"bearer\"");
        }),
    );
    tell(
        "a wrong password",
        check(&server, "", 1, |host| {
            host.secret("warehouse-reader", "another");
        }),
    );
    tell(
        "twice upgraded",
        check(&server, ", try = \"upgrade-twice\"", 1, |_| ()),
    );
    tell(
        "a thousand connections",
        check(&server, ", try = \"hoard\"", 1, |_| ()),
    );
    tell(
        "a secret that it has not",
        check(&server, ", try = \"reveal\", secret = \"other\"", 1, |_| ()),
    );
    insta::assert_snapshot!(page);
}

#[test]
fn what_it_asks_for_is_shown() {
    let host = TestHost::new();
    drop(host.pack("dialer", MANIFEST, "dialer.wasm").done());
    let inspected = host
        .sluice(&["plugin", "inspect", "dialer.wasm"])
        .done()
        .out;
    for expected in [
        "  tcp       {config.host}:{config.port:5432}\n            The database to read.\n",
        "  secret    `password` REVEALED: THE PLUGIN SEES IT\n",
        "secret-revealed",
        "tcp-config-host",
    ] {
        assert!(inspected.contains(expected), "{inspected}");
    }
    let linked = |import: &str| {
        let mut lines = inspected.lines().filter(|line| line.contains(import));
        let words: Vec<&str> = lines
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        words.get(1..).unwrap_or_default().join(" ")
    };
    assert_eq!(linked("sluice:plugin/net@"), "granted [[tcp]]");
    assert_eq!(
        linked("sluice:plugin/secrets@"),
        "granted [[secret]] with use = \"reveal\""
    );
    assert_eq!(linked("wasi:cli/environment@"), "empty");
}
