//! What is said of a policy: the line that refuses, what is explained, who reaches what.

use super::{GRANT, MANIFEST, PII, effective, organisation, sends, under};
use serde_json::json;
use sluice_model::grant::Grant;
use sluice_model::ids::{Role, StageId};
use sluice_model::manifest::{DirMode, Manifest};
use sluice_model::ports::Refusal;
use sluice_policy::Effective;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

#[test]
fn a_refusal_names_the_line_of_the_policy_that_would_change_it() {
    let mut text = String::new();
    let mut tell = |refusal: &Refusal| {
        let hint = refusal.hint.as_deref().unwrap_or("none");
        writeln!(
            text,
            "{}: `{}`: {}\nhint: {hint}\n",
            refusal.capability, refusal.asked, refusal.reason
        )
        .expect("a string takes all");
    };
    let policy = "[http]\nhosts = [\"api.acme.example\", \"cdn.acme.example\", \"hooks.test\"]\n\
                  deny = [\n  \"cdn.acme.example\"\n]\nnetworks = [\"10.1.0.0/16\", \"127.0.0.0/8\"]\n";
    let ruled = effective(policy);
    for uri in ["https://img.acme.example/a", "https://cdn.acme.example/a"] {
        tell(&sends(&ruled, "GET", uri).expect_err("a refusal"));
    }
    let uri = "https://api.acme.example/a".parse().expect("a uri");
    let sending = ruled.may_send(&http::Method::GET, &uri).expect("permitted");
    let inside = "10.2.0.1".parse().expect("an address");
    tell(&ruled.may_dial(&sending, &[inside]).expect_err("a refusal"));
    tell(&sends(&effective(PII), "GET", "https://cdn.acme.example/a").expect_err("a refusal"));
    let whole = "[http]\nhosts = [\"other.test\"]\nwildcards = false\nplain = false\nnetworks = []\n[dir]\nroots = [\"in\"]\n";
    for one in under(whole, GRANT).expect_err("much is forbidden") {
        tell(&one.refusal);
    }
    insta::assert_snapshot!(text);
}

fn explained(effective: &Effective) -> String {
    let mut text = String::new();
    for line in effective.explained() {
        writeln!(text, "{}", line.capability).expect("memory");
        for (who, what) in [
            ("asked", &line.asked),
            ("granted", &line.granted),
            ("left", &line.left),
        ] {
            writeln!(text, "  {who}: {}", what.join("; ")).expect("memory");
        }
        let by = line.narrowed_by.join(", ");
        let why = line.policy.map_or(String::new(), |why| format!(": {why}"));
        writeln!(text, "  narrowed by: {by}{why}").expect("memory");
    }
    text
}

#[test]
fn each_capability_is_explained_by_the_three() {
    let wide = GRANT.replace("methods = [\"GET\"]", "methods = [\"GET\", \"POST\"]")
        + "\n[[http]]\nhost = \"unasked.test\"\nmethods = [\"GET\"]\npaths = [\"/\"]\n\n[limits]\nmemory = \"1GiB\"\ncall_time = \"5s\"\n";
    let plain = under("", &wide).expect("no policy");
    let policy = "[http]\nhosts = [\"*.acme.example\", \"hooks.test\", \"unasked.test\"]\ndeny = [\"cdn.acme.example\"]\n\
                  networks = [\"10.1.0.0/16\", \"127.0.0.1/32\"]\n[limits]\nmemory = \"32MiB\"\n";
    let ruled = under(policy, &wide).expect("it leaves something of each");
    let class = under(PII, &wide).expect("it leaves something of each");
    let pages = [("no policy", plain), ("policy", ruled), ("class", class)];
    let text = pages
        .iter()
        .map(|(title, effective)| format!("# {title}\n{}\n", explained(effective)))
        .collect::<Vec<_>>()
        .concat();
    insta::assert_snapshot!(text);
}

#[test]
fn what_is_sought_is_told_by_how_it_is_reached() {
    let manifest = MANIFEST.replacen(
        "[[http]]",
        "[[secret]]\nname = \"token\"\nuse = \"bearer\"\nreason = \"x\"\n\n[[http]]\nauth = \"token\"",
        1,
    );
    let manifest = Manifest::parse("m", &manifest).expect("a manifest");
    let grant = format!("{GRANT}\n[[secret]]\nname = \"token\"\nuse = \"bearer\"\n");
    let grant = Grant::parse("g", &grant).expect("a grant");
    let stage = StageId {
        role: Role::Sink,
        index: 0,
    };
    let pipeline = "crm".parse().expect("a name");
    let built = Effective::build(
        &manifest,
        &grant,
        stage,
        &json!({}),
        &pipeline,
        Path::new("/"),
    );
    let policy = organisation("[http]\ndeny = [\"cdn.acme.example\"]\nnetworks = []\n");
    // Networks that are closed altogether would keep it from starting.
    let effective = built.expect("covered");
    assert!(effective.clone().under(policy).is_err());
    let policy = organisation("[http]\ndeny = [\"cdn.acme.example\"]\n");
    let effective = effective.under(policy).expect("it starts");
    let secrets = [(
        "token".parse().expect("a name"),
        "crm-readonly".parse().expect("a name"),
    )]
    .into();
    let mut text = String::new();
    for sought in [
        "host:api.acme.example",
        "host:cdn.acme.example",
        "host:*.acme.example",
        "host:hooks.test",
        "host:evil.test",
        "secret:crm-readonly",
        "secret:token",
        "column:Email",
        "column:id",
        "column:salary",
    ] {
        let how = effective.reaches(&sought.parse().expect(sought), Some(&secrets));
        writeln!(text, "{sought}\n  {}", how.join("\n  ")).expect("memory");
    }
    insta::assert_snapshot!(text);
    for wrong in [
        "",
        "api.acme.example",
        "host:",
        "host:*.example",
        "secret:a b",
        "column:",
        "dir:x",
    ] {
        assert!(wrong.parse::<sluice_policy::Sought>().is_err(), "{wrong}");
    }
}

#[test]
fn a_grant_alone_is_the_most_it_could_come_to() {
    let grant = format!("{GRANT}\n[[secret]]\nname = \"token\"\nuse = \"bearer\"\n");
    let grant = Grant::parse("g", &grant).expect("a grant");
    let alone = Effective::of_grant_alone(&grant, Role::Sink, Path::new("/srv")).expect("covered");
    assert!(sends(&alone, "GET", "https://api.acme.example/a").is_ok());
    assert!(alone.may_read("anything").is_ok());
    assert!(alone.may_open("out/crm", DirMode::Write).is_ok());
    let how = alone.reaches(
        &"secret:token".parse().expect("a secret"),
        Some(&BTreeMap::new()),
    );
    assert_eq!(
        how,
        [
            "as bearer: GET https://*.acme.example /** in 10.0.0.0/8, 127.0.0.1/32",
            "as bearer: POST http://hooks.test /hook"
        ]
    );
    // Its word may stand for any secret of the deployment, where no pipeline says for which.
    let any = alone.reaches(&"secret:crm-readonly".parse().expect("a secret"), None);
    assert_eq!(any, how);
}

/// A certificate goes with what is encrypted; what is sent in the clear beside it hides nothing of that.
#[test]
fn a_certificate_reaches_what_is_encrypted() {
    let grant = format!("{GRANT}\n[[secret]]\nname = \"identity\"\nuse = \"mtls\"\n");
    let grant = Grant::parse("g", &grant).expect("a grant");
    let alone = Effective::of_grant_alone(&grant, Role::Sink, Path::new("/srv")).expect("covered");
    let identity = "secret:identity".parse().expect("a secret");
    assert_eq!(
        alone.reaches(&identity, Some(&BTreeMap::new())),
        ["as mtls: GET https://*.acme.example /** in 10.0.0.0/8, 127.0.0.1/32"]
    );
}
