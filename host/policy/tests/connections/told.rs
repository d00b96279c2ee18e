//! What is said of connections: what they come to, what was learnt, what is proposed, what is refused.

use super::{GRANT, MANIFEST, build, config, source, under};
use sluice_model::grant::Grant;
use sluice_model::ids::Role;
use sluice_model::limits::TCP_BYTES_MAX;
use sluice_model::manifest::Manifest;
use sluice_policy::learn::{Trial, narrow_grant, narrow_manifest};
use sluice_policy::{Effective, propose};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

#[test]
fn what_it_comes_to_is_told() {
    let mut page = String::new();
    for policy in [
        "",
        "[http]\nplain = false\ndeny = [\"one.replica.acme.example\"]\nnetworks = [\"10.0.0.0/8\"]\n[secrets]\nreveal = [\"acme/db\"]\n",
    ] {
        writeln!(page, "# {policy:?}").expect("memory");
        let ruled = under(policy).expect("it starts");
        for line in ruled.explained() {
            if matches!(line.capability, "tcp" | "secret") {
                writeln!(
                    page,
                    "{}: {:?} ∩ {:?} = {:?}, narrowed by {:?} {:?}",
                    line.capability,
                    line.asked,
                    line.granted,
                    line.left,
                    line.narrowed_by,
                    line.policy
                )
                .expect("memory");
            }
        }
        let secrets = BTreeMap::from([(
            "password".parse().expect("a name"),
            "warehouse".parse().expect("a name"),
        )]);
        for sought in [
            "host:db.acme.example",
            "host:one.replica.acme.example",
            "host:evil.test",
            "secret:warehouse",
            "secret:password",
            "secret:key",
        ] {
            let how = ruled.reaches(&sought.parse().expect(sought), Some(&secrets));
            writeln!(page, "{sought}: {how:?}").expect("memory");
        }
    }
    let alone = Grant::parse("g", GRANT).expect("a grant");
    let alone =
        Effective::of_grant_alone(&alone, Role::Source, Path::new("/srv")).expect("covered");
    assert!(alone.may_connect("db.acme.example", 5433).is_ok());
    assert!(alone.may_reveal("password").is_ok());
    insta::assert_snapshot!(page);
}

#[test]
fn what_is_learnt_is_what_was_used_on_the_same_terms() {
    let grant = Grant::parse("g", GRANT).expect("a grant");
    let manifest = Manifest::parse("m", MANIFEST).expect("a manifest");
    let learnt = |tcp: &[&str], revealed: &[&str]| {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let used = BTreeMap::from([
            ("tcp".to_owned(), names(tcp)),
            ("secret.reveal".to_owned(), names(revealed)),
        ]);
        let trial = Trial {
            used,
            ..Trial::default()
        };
        let asks = narrow_manifest(&manifest, &[(Role::Source, &config())], &trial);
        let asks: Vec<String> = asks.tcp.iter().map(|tcp| tcp.host.clone()).collect();
        let narrow = narrow_grant(&grant, &trial);
        let hosts: Vec<String> = narrow
            .tcp
            .iter()
            .map(|tcp| format!("{}:{}", tcp.host, tcp.port))
            .collect();
        let secrets: Vec<String> = narrow
            .secret
            .iter()
            .map(|secret| secret.name.to_string())
            .collect();
        format!(
            "{} / {} / {}",
            hosts.join(" "),
            secrets.join(" "),
            asks.join(" ")
        )
    };
    // The first entry sets the terms of a host that the second holds too: where the second stays, so does the first.
    assert_eq!(
        learnt(&["one.replica.acme.example:5432"], &["password"]),
        "db.acme.example:5432 *.acme.example:5432 / password / *.replica.acme.example mail.acme.example"
    );
    assert_eq!(
        learnt(&["10.9.9.9:5432"], &[]),
        "10.9.9.9:5432 /  / {config.address} mail.acme.example"
    );
    assert_eq!(learnt(&[], &["key"]), " / key / mail.acme.example");
}

#[test]
fn the_proposed_grant_covers_what_is_asked_and_no_network() {
    let manifest = Manifest::parse("m", MANIFEST).expect("a manifest");
    let digest = Grant::parse("g", GRANT).expect("a grant").grant.digest;
    let pipeline = "crm".parse().expect("a name");
    let uses = [(Role::Source, &config())];
    let proposed = propose(&manifest, &uses, digest, &pipeline, &[]).expect("a proposal");
    let text = toml::to_string(&proposed).expect("text");
    let expected = "[[tcp]]\nhost = \"db.acme.example\"\nport = 5432\n\n[[tcp]]\nhost = \"*.replica.acme.example\"\n\
        port = 5432\n\n[[tcp]]\nhost = \"10.9.9.9\"\nport = 5432\n\n[[secret]]\nname = \"password\"\nuse = \"reveal\"\n";
    assert!(text.contains(expected), "{text}");
    let effective = build(MANIFEST, &text, Role::Source, &config()).expect("it covers all");
    effective
        .may_connect("db.acme.example", 5432)
        .expect("permitted");
}

#[test]
fn what_is_refused_says_what_to_add() {
    let effective = source();
    let mut page = String::new();
    let mut tell = |refusal: sluice_model::ports::Refusal| {
        let hint = refusal.hint.unwrap_or_default();
        write!(
            page,
            "{} `{}`: {}\n{hint}\n\n",
            refusal.capability, refusal.asked, refusal.reason
        )
        .expect("memory");
    };
    for (host, port) in [
        ("evil.test", 5432),
        ("db.acme.example", 22),
        ("db.acme.example:5432", 5432),
        ("evil\u{1b}[2J", 5432),
        ("2001:db8::7", 5432),
    ] {
        tell(effective.may_connect(host, port).expect_err("refused"));
    }
    let wide = MANIFEST.replace("*.replica.acme.example", "*.elsewhere.example");
    let missing = build(&wide, GRANT, Role::Source, &config()).expect_err("not granted");
    tell(missing[0].refusal.clone());
    let narrow = GRANT.replace("*.acme.example", "*.one.replica.acme.example");
    let narrow = build(MANIFEST, &narrow, Role::Source, &config()).expect("touched");
    tell(
        narrow
            .may_connect("two.replica.acme.example", 5432)
            .expect_err("refused"),
    );
    let connecting = effective
        .may_connect("db.acme.example", 5432)
        .expect("permitted");
    let private = ["192.168.1.7".parse().expect("an address")];
    tell(
        effective
            .may_reach(&connecting, &private)
            .expect_err("refused"),
    );
    let spent = sluice_policy::Carried {
        bytes_out: (1 << 20) + 1,
        bytes_in: 0,
    };
    tell(
        effective
            .may_carry(&connecting, spent)
            .expect_err("refused"),
    );
    let spent = sluice_policy::Carried {
        bytes_out: 0,
        bytes_in: TCP_BYTES_MAX + 1,
    };
    tell(
        effective
            .may_carry(&connecting, spent)
            .expect_err("refused"),
    );
    tell(effective.may_reveal("other").expect_err("refused"));
    tell(sluice_policy::no_sockets("resolve-addresses evil.test"));
    insta::assert_snapshot!(page);
}
