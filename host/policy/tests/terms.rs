//! What a grant fixes about a secret and a destination: taken as it says, and refused where it says too little, or
//! something else than the manifest asks for.

use serde_json::{Value, json};
use sluice_model::grant::Grant;
use sluice_model::ids::{Role, StageId};
use sluice_model::manifest::Manifest;
use sluice_policy::{Effective, NotGranted, Organisation, Terms};
use std::path::Path;
use std::sync::Arc;

const MANIFEST: &str = r#"
[plugin]
name = "acme/crm"
version = "1.4.0"
interface = "sluice:plugin@0.1"
description = "x"
[[http]]
host = "api.acme.example"
methods = ["GET"]
paths = ["/**"]
auth = "token"
reason = "x"
[[secret]]
name = "token"
reason = "x"
"#;

const GRANT: &str = r#"
[grant]
plugin = "acme/crm"
version = "1.4.0"
digest = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
pipeline = "crm"
[[http]]
host = "api.acme.example"
methods = ["GET"]
paths = ["/**"]
"#;

const SECRET: &str = "[[secret]]\nname = \"token\"\n";

fn build(manifest: &str, grant: &str, config: &Value) -> Result<Effective, Vec<NotGranted>> {
    Effective::build(
        &Manifest::parse("m", manifest).expect("a manifest"),
        &Grant::parse("g", grant).expect("a grant"),
        StageId {
            role: Role::Source,
            index: 0,
        },
        config,
        &"crm".parse().expect("a name"),
        Path::new("/deployment"),
    )
}

/// The terms of the one secret, or why there are none.
fn terms(manifest: &str, grant: &str) -> Result<Terms, Vec<NotGranted>> {
    found(manifest, grant).map(|(_, terms)| terms)
}

/// The same, with who decides on them.
fn found(manifest: &str, grant: &str) -> Result<(Effective, Terms), Vec<NotGranted>> {
    let config = json!({ "login": "https://login.acme.example/token", "region": "eu-north-1" });
    let (manifest, grant) = (
        format!("{MANIFEST}{manifest}"),
        format!("{GRANT}{SECRET}{grant}"),
    );
    let effective = build(&manifest, &grant, &config)?;
    let uri = "https://api.acme.example/v2".parse().expect("a uri");
    let sending = effective
        .may_send(&http::Method::GET, &uri)
        .expect("permitted");
    let auth = sending.auth.expect("a secret");
    Ok((effective, (*auth.terms).clone()))
}

#[test]
fn a_token_endpoint_is_the_grants() {
    let url = "token_url = \"https://login.acme.example/token\"\n";
    let grant = format!(
        "use = \"oauth2\"\n{url}scopes = [\"read\"]\nnetworks = [\"10.0.0.0/8\"]\nca = \"acme.pem\"\n"
    );
    for wish in [
        "",
        "token_url = \"{config.login}\"\n",
        "token_url = \"https://login.acme.example/token\"\nscopes = [\"read\", \"write\"]\n",
    ] {
        let found = found(&format!("use = \"oauth2\"\n{wish}"), &grant);
        let Ok((effective, Terms::Token(terms))) = found else {
            panic!("{wish}")
        };
        let sending = effective.may_trade(&terms).expect("no policy forbids it");
        assert_eq!(
            sending.target.to_string(),
            "https://login.acme.example/token"
        );
        assert_eq!(
            sending.ca.as_deref(),
            Some(Path::new("/deployment/acme.pem"))
        );
        assert_eq!((sending.networks.len(), sending.auth), (1, None));
        assert_eq!(terms.scopes, ["read"]);
    }
}

#[test]
fn a_token_endpoint_is_under_the_policy_too() {
    let policy = |text: &str| Arc::new(Organisation::read("policy.toml", text).expect("a policy"));
    let of = |url: &str| {
        let grant =
            format!("use = \"oauth2\"\ntoken_url = \"{url}\"\nnetworks = [\"10.0.0.0/8\"]\n");
        let (effective, terms) = found("use = \"oauth2\"\n", &grant).expect("covered");
        match terms {
            Terms::Token(terms) => (effective, terms),
            other => panic!("{other:?}"),
        }
    };
    let url = "https://login.acme.example/token";
    for (text, url, permitted) in [
        ("", url, true),
        ("[http]\nhosts = [\"*.acme.example\"]", url, true),
        ("[http]\nhosts = [\"api.acme.example\"]", url, false),
        ("[http]\ndeny = [\"login.acme.example\"]", url, false),
        ("[http]\nplain = false", url, true),
        (
            "[http]\nplain = false",
            "http://login.acme.example/token",
            false,
        ),
        ("[http]\nnetworks = [\"10.1.0.0/16\"]", url, true),
        ("[http]\nnetworks = []", url, false),
    ] {
        let (effective, terms) = of(url);
        let forbidden = match effective.clone().under(policy(text)) {
            Ok(ruled) => {
                assert!(ruled.may_trade(&terms).is_ok(), "{text}");
                Vec::new()
            }
            Err(forbidden) => forbidden,
        };
        let told: Vec<_> = forbidden
            .iter()
            .map(|one| (one.refusal.capability, one.refusal.asked.as_str()))
            .collect();
        let expected: &[_] = if permitted { &[] } else { &[("secret", url)] };
        assert_eq!(told, expected, "{text}");
    }
    // A network that the policy opens in part is held to that part when it is dialled.
    let (effective, terms) = of(url);
    let ruled = effective
        .under(policy("[http]\nnetworks = [\"10.1.0.0/16\"]"))
        .expect("some of it is left");
    let sending = ruled.may_trade(&terms).expect("permitted");
    for (address, permitted) in [("10.1.2.3", true), ("10.2.2.3", false)] {
        let address = address.parse().expect("an address");
        assert_eq!(ruled.may_dial(&sending, &[address]).is_ok(), permitted);
    }
}

#[test]
fn a_grant_that_says_too_little_or_something_else_keeps_the_stage_from_starting() {
    let check = |manifest: &str, grant: &str, reason: &str, line: &str| {
        let missing = terms(manifest, grant).expect_err(reason);
        let [one] = &missing[..] else {
            panic!("{missing:#?}")
        };
        assert!(
            one.refusal.reason.contains(reason),
            "{}",
            one.refusal.reason
        );
        assert!(one.lines.contains(line), "{}", one.lines);
        assert_eq!(one.lines.is_empty(), line.is_empty(), "{}", one.lines);
    };
    let oauth2 = "use = \"oauth2\"\n";
    let wish = "use = \"oauth2\"\ntoken_url = \"{config.login}\"\nscopes = [\"read\"]\n";
    let lacks = "the grant does not say where it is traded for tokens";
    check(oauth2, oauth2, lacks, "token_url = \"https://…\"");
    check(
        wish,
        oauth2,
        lacks,
        "token_url = \"https://login.acme.example/token\"",
    );
    let url = |url: &str| format!("use = \"oauth2\"\ntoken_url = \"{url}\"\n");
    check(
        wish,
        &url("https://evil.test/"),
        "the manifest asks for `https://login.acme.example/token`",
        "login.acme",
    );
    let more = format!(
        "{}scopes = [\"read\", \"admin\"]\n",
        url("https://login.acme.example/token")
    );
    check(
        wish,
        &more,
        "the manifest does not ask for scope `admin`",
        "scopes = [\"read\"]",
    );
    for (bad, reason) in [
        ("login.acme.example", "neither `http` nor `https`"),
        ("https://user@login.acme.example/", "a user name"),
        ("https://127.1/", "address"),
        ("https://login.acme.example/#a", "a fragment is never sent"),
        ("https://login.acme.example/a b", "it is not a url"),
    ] {
        check(oauth2, &url(bad), reason, "");
    }
    let scoped = format!("{}scopes = [\"a b\"]\n", url("https://login.acme.example/"));
    check(oauth2, &scoped, "`a b` is not a scope", "");

    let aws = "use = \"aws-sigv4\"\nservice = \"s3\"\nregion = \"{config.region}\"\n";
    check(
        aws,
        "use = \"aws-sigv4\"\nregion = \"eu-north-1\"\n",
        "which service it signs for",
        "service = \"s3\"",
    );
    check(
        aws,
        "use = \"aws-sigv4\"\nservice = \"s3\"\n",
        "which region it signs for",
        "region = \"eu-north-1\"",
    );
    check(
        aws,
        "use = \"aws-sigv4\"\nservice = \"sqs\"\nregion = \"eu-north-1\"\n",
        "the manifest asks for `s3`",
        "service = \"s3\"",
    );
    let odd = "use = \"aws-sigv4\"\nservice = \"s3/x\"\nregion = \"eu-north-1\"\n";
    check("use = \"aws-sigv4\"\n", odd, "small letters", "");

    let stray = "which is for `use = \"oauth2\"`, not for `bearer`";
    check(
        "use = \"bearer\"\n",
        "use = \"bearer\"\nscopes = [\"a\"]\n",
        stray,
        "",
    );
    check(
        "use = \"bearer\"\n",
        "use = \"bearer\"\nca = \"x.pem\"\n",
        stray,
        "",
    );
    let twice = format!("use = \"bearer\"\n{SECRET}use = \"bearer\"\n");
    check("use = \"bearer\"\n", &twice, "twice", "");
}

#[test]
fn a_signature_is_for_what_the_grant_says() {
    let aws = "use = \"aws-sigv4\"\nservice = \"s3\"\nregion = \"eu-north-1\"\n";
    let expected = Terms::Aws {
        service: "s3".to_owned(),
        region: "eu-north-1".to_owned(),
    };
    assert_eq!(terms("use = \"aws-sigv4\"\n", aws), Ok(expected));
}

#[test]
fn what_a_destination_cannot_have_keeps_the_stage_from_starting() {
    let bare = MANIFEST
        .replace(
            "auth = \"token\"
",
            "",
        )
        .replace(
            "[[secret]]
name = \"token\"
reason = \"x\"
",
            "",
        );
    let reason = |grant: &str| {
        let wrong = build(&bare, grant, &json!({})).expect_err(grant);
        wrong[0].refusal.reason.clone()
    };
    let other = "[[http]]\nhost = \"*.acme.example\"\nmethods = [\"GET\"]\npaths = [\"/x\"]\n";
    let pinned = GRANT.replace("host = \"api", "ca = \"a.pem\"\nhost = \"api");
    assert!(reason(&format!("{pinned}{other}")).contains("differ in `ca`"));
    assert!(reason(&format!("{pinned}{other}ca = \"b.pem\"\n")).contains("differ in `ca`"));
    assert!(
        build(
            &bare,
            &format!("{pinned}{other}ca = \"a.pem\"\n"),
            &json!({})
        )
        .is_ok()
    );
    assert!(
        reason(&format!(
            "{GRANT}[[http]]\nhost = \"b.acme.example\"\nscheme = \"http\"\nca = \"a.pem\"\n"
        ))
        .contains("`ca` is for `https`")
    );
    assert!(
        reason(&format!("{GRANT}rate = {{ requests = 0, per = \"1s\" }}\n"))
            .contains("from 1 to 10000")
    );
    assert!(
        reason(&format!("{GRANT}rate = {{ requests = 1, per = \"0s\" }}\n"))
            .contains("no time at all")
    );

    let in_the_clear = MANIFEST.replace("host = \"api", "scheme = \"http\"\nhost = \"api");
    let wrong = build(
        &format!("{in_the_clear}use = \"mtls\"\n"),
        GRANT,
        &json!({}),
    )
    .expect_err("in the clear");
    assert!(wrong[0].refusal.reason.contains("is for `https`"));
    let owned = build(
        &format!("{MANIFEST}use = \"hmac-sha256:Host\"\n"),
        GRANT,
        &json!({}),
    )
    .expect_err("owned");
    assert!(
        owned[0]
            .refusal
            .reason
            .contains("the host sets that header itself")
    );
}

/// A manifest may offer several ways in; which of them is used is the deployment's to say, and two at once are a mistake.
#[test]
fn a_request_carries_one_of_the_secrets_it_may_carry() {
    let secrets = "use = \"bearer\"\noptional = true\n[[secret]]\nname = \"login\"\nuse = \"basic\"\noptional = true\nreason = \"x\"\n";
    let manifest = MANIFEST.replacen("\"token\"", "[\"token\", \"login\"]", 1) + secrets;
    let manifest = Manifest::parse("m", &manifest).expect("a manifest");
    let carried = |named: &[&str]| {
        let entries: Vec<String> = [("token", "bearer"), ("login", "basic")]
            .iter()
            .filter(|(name, _)| named.contains(name))
            .map(|(name, place)| format!("[[secret]]\nname = \"{name}\"\nuse = \"{place}\"\n"))
            .collect();
        let manifest = manifest
            .clone()
            .without_unnamed(|name| named.contains(&name.as_str()));
        let effective = build(
            &toml::to_string(&manifest).expect("plain data"),
            &format!("{GRANT}{}", entries.concat()),
            &json!({}),
        )?;
        let uri = "https://api.acme.example/v2".parse().expect("a uri");
        let sending = effective
            .may_send(&http::Method::GET, &uri)
            .expect("permitted");
        Ok::<_, Vec<NotGranted>>(sending.auth.map(|auth| auth.name.to_string()))
    };
    assert_eq!(carried(&[]).expect("bare"), None);
    assert_eq!(
        carried(&["token"]).expect("covered").as_deref(),
        Some("token")
    );
    assert_eq!(
        carried(&["login"]).expect("covered").as_deref(),
        Some("login")
    );
    let wrong = carried(&["token", "login"]).expect_err("two");
    assert!(
        wrong[0]
            .refusal
            .reason
            .contains("`token`, `login`: a request carries one of them"),
        "{wrong:?}"
    );
}
