//! An organisation's policy over a deployment: what it forbids before a run and during one, what it leaves, and who can
//! reach what, as people and machines are told.

use serde_json::Value;
use sluice_e2e::TestHost;
use std::fmt::Write as _;

const PUSH: &str = r#"[pipeline]
name = "push"

[source]
plugin = "sluice/files@0.1"
config = { dir = "in", format = "ndjson", stream = "people" }

[[sink]]
plugin = "sluice/http@0.1"
config = { url = "https://api.acme.example", path = "/v1/people" }
secrets = { token = "crm-writer" }
"#;

/// A deployment whose pipeline would send people to an API.
fn people() -> TestHost {
    let host = TestHost::new();
    host.write(
        "in/people.ndjson",
        "{\"id\": 1, \"email\": \"a@b.example\"}\n",
    );
    host.write("push.toml", PUSH);
    host.secret("crm-writer", "made-up-and-long-enough");
    host
}

/// What these commands say, one after the other.
fn session(host: &TestHost, commands: &[&[&str]]) -> String {
    let mut page = String::new();
    for command in commands {
        let answer = host.sluice(command);
        let code = answer.code.expect("it ended");
        let said = host.shown(&format!("{}{}", answer.out, answer.err));
        writeln!(page, "$ sluice {}   → {code}\n{said}", command.join(" ")).expect("memory");
    }
    page
}

#[test]
fn what_a_policy_forbids_is_neither_granted_nor_run() {
    let host = people();
    host.write(
        "policy.toml",
        "[http]\nhosts = [\"*.partner.example\"]\n\n[dir]\nroots = [\"exports\"]\n\n[signing]\nrequired = true\nunsigned = [\"sluice/http\"]\n",
    );
    let refused = session(&host, &[&["grant", "new", "push.toml"]]);
    assert!(!host.path("grants").exists(), "none of them is written");
    let shown = session(&host, &[&["grant", "new", "push.toml", "--dry-run"]]);
    // Granted before there was a policy.
    host.write(
        "sluice.toml",
        host.read("sluice.toml") + "\n[policy]\nfile = \"rules.toml\"\n",
    );
    let missing = session(&host, &[&["check", "push.toml"]]);
    host.write("rules.toml", "");
    host.grant("push.toml");
    host.write("rules.toml", host.read("policy.toml"));
    let check = session(&host, &[&["check", "push.toml"]]);
    host.write("rules.toml", "[http]\nhots = []\ndeny = [\"*\"]\n");
    let broken = session(&host, &[&["check", "push.toml"]]);
    insta::assert_snapshot!([refused, shown, missing, check, broken].join("\n"));
}

#[test]
fn a_deployment_tells_who_can_reach_what() {
    let host = people();
    host.grant("push.toml");
    host.write(
        "policy.toml",
        "[http]\nhosts = [\"*.acme.example\"]\n\n[limits]\nmemory = \"32MiB\"\n\n[[class]]\nname = \"pii\"\ncolumns = [\"email\"]\nhosts = [\"*.acme.example\"]\n",
    );
    let page = session(
        &host,
        &[
            &["grant", "show", "sluice/http", "--effective"],
            &["grant", "list", "--reach", "host:api.acme.example"],
            &["grant", "list", "--reach", "host:*.acme.example"],
            &["grant", "list", "--reach", "host:evil.test"],
            &["grant", "list", "--reach", "secret:crm-writer"],
            &["grant", "list", "--reach", "column:email"],
            &["grant", "list", "--reach", "api.acme.example"],
        ],
    );
    let reach = |what: &str| -> Vec<Value> {
        let answer = host
            .sluice(&["grant", "list", "--reach", what, "--json"])
            .done();
        answer.json().as_array().expect("a list").clone()
    };
    assert_eq!(reach("secret:crm-writer").len(), 1);
    assert_eq!(reach("secret:crm-writer")[0]["plugin"], "sluice/http");
    assert_eq!(reach("secret:other"), Vec::<Value>::new());
    // Without its pipeline, the grant alone is told: the most it could come to.
    std::fs::rename(host.path("push.toml"), host.path("push.old")).expect("a file");
    let alone = session(
        &host,
        &[
            &["grant", "list", "--reach", "host:api.acme.example"],
            &["grant", "show", "sluice/http", "--effective"],
        ],
    );
    insta::assert_snapshot!(page + "\n" + &alone);
}

#[test]
fn a_policy_stops_a_class_at_the_door() {
    let host = people();
    host.grant("push.toml");
    host.write(
        "policy.toml",
        "[[class]]\nname = \"pii\"\ncolumns = [\"email\"]\nhosts = [\"vault.acme.example\"]\n",
    );
    insta::assert_snapshot!(session(&host, &[&["run", "push.toml"]]));
}
