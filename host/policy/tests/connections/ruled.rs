//! Connections under the organisation's policy.

use super::{GRANT, MANIFEST, build, config, under};
use sluice_model::ids::Role;
use sluice_model::ports::Security;
use sluice_policy::Organisation;
use std::sync::Arc;

#[test]
fn a_policy_binds_connections_as_it_binds_requests() {
    let check = |policy: &str, host: &str, expected: bool| {
        let ruled = under(policy).unwrap_or_else(|forbidden| panic!("{policy}: {forbidden:?}"));
        assert_eq!(
            ruled.may_connect(host, 5432).is_ok(),
            expected,
            "{policy}: {host}"
        );
    };
    let hosts = "[http]\nhosts = [\"db.acme.example\", \"*.replica.acme.example\", \"10.9.9.9\"]";
    check(hosts, "db.acme.example", true);
    check(hosts, "one.replica.acme.example", true);
    let deny = "[http]\ndeny = [\"one.replica.acme.example\"]";
    check(deny, "one.replica.acme.example", false);
    check(deny, "two.replica.acme.example", true);
    // Under another name of the host, too.
    let ruled = under(deny).expect("it starts");
    let connecting = ruled
        .may_connect("db.acme.example", 5432)
        .expect("permitted");
    assert!(
        ruled
            .may_name(&connecting, "one.replica.acme.example")
            .is_err()
    );
    // What it forbids altogether keeps the stage from starting, at the line that does.
    for (policy, expected) in [
        (
            "[http]\nhosts = [\"*.acme.example\"]",
            &["10.9.9.9:5432"][..],
        ),
        (
            "[http]\ndeny = [\"db.acme.example\"]",
            &["db.acme.example:5432"],
        ),
        (
            "[http]\nwildcards = false",
            &["*.acme.example:5432", "*.acme.example:5433"],
        ),
        ("[http]\nnetworks = [\"10.1.0.0/16\"]", &["10.9.9.9:5432"]),
    ] {
        let forbidden = under(policy).expect_err(policy);
        let told: Vec<&str> = forbidden
            .iter()
            .map(|one| one.refusal.asked.as_str())
            .collect();
        assert_eq!(told, expected, "{policy}");
        assert!(
            forbidden
                .iter()
                .all(|one| one.line == 2 && one.refusal.capability == "tcp")
        );
    }
    // A network that is left in part.
    let narrow = "[http]\nnetworks = [\"10.1.2.0/24\", \"10.9.9.9/32\"]";
    let ruled = under(narrow).expect("it starts");
    let connecting = ruled
        .may_connect("db.acme.example", 5432)
        .expect("permitted");
    for (address, expected) in [("10.1.2.3", true), ("10.1.3.3", false)] {
        let address = address.parse().expect("an address");
        assert_eq!(ruled.may_reach(&connecting, &[address]).is_ok(), expected);
    }
}

#[test]
fn no_connection_begins_in_the_clear_where_the_policy_says_so() {
    for (policy, expected) in [
        ("", true),
        ("[http]\nplain = true", true),
        ("[http]\nplain = false", false),
    ] {
        let ruled = under(policy).expect("it starts");
        let connecting = ruled
            .may_connect("db.acme.example", 5432)
            .expect("permitted");
        assert!(ruled.may_begin(&connecting, Security::Tls).is_ok());
        let plain = ruled.may_begin(&connecting, Security::Plain);
        assert_eq!(plain.is_ok(), expected, "{policy}");
        if let Err(refusal) = plain {
            assert_eq!(
                refusal.hint.as_deref(),
                Some("change `policy.toml:2`:\nplain = true")
            );
        }
    }
}

#[test]
fn who_sees_a_column_of_a_class_connects_to_the_hosts_of_the_class_only() {
    let class = |hosts: &str| {
        format!("[[class]]\nname = \"pii\"\ncolumns = [\"email\"]\nhosts = [{hosts}]\n")
    };
    let reads = "\n[data]\nreads = [\"email\"]\n";
    let sees = |policy: &str| {
        let manifest = MANIFEST.replace("host = \"{config.address}\"", "host = \"{config.none}\"");
        let grant = format!("{GRANT}\n[[tcp]]\nhost = \"mail.acme.example\"\nport = 587\n{reads}");
        let built = build(&format!("{manifest}{reads}"), &grant, Role::Sink, &config());
        let policy = Organisation::read("policy.toml", policy).expect("a policy");
        built.expect("covered").under(Arc::new(policy))
    };
    let ruled = sees(&class("\"*.acme.example\"")).expect("it starts");
    assert!(ruled.may_connect("db.acme.example", 5432).is_ok());
    let forbidden = sees(&class("\"mail.acme.example\"")).expect_err("no database of the class");
    assert!(
        forbidden
            .iter()
            .any(|one| one.refusal.asked == "db.acme.example:5432")
    );
    // Who sees none of its columns is not bound by it.
    assert!(under(&class("")).is_ok());
}

#[test]
fn a_secret_is_revealed_to_whom_the_policy_names() {
    assert!(
        under("[secrets]\nreveal = [\"acme/db\"]")
            .expect("it starts")
            .may_reveal("password")
            .is_ok()
    );
    let forbidden = under("[secrets]\nreveal = [\"acme/other\"]").expect_err("not named");
    let told: Vec<_> = forbidden
        .iter()
        .map(|one| (one.refusal.asked.as_str(), one.line))
        .collect();
    assert_eq!(told, [("password", 2), ("key", 2)]);
}
