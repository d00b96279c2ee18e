//! Every way that is known to us of reaching a host that was not granted: URLs, hosts and addresses as an attacker
//! writes them, one case a line in `ssrf.txt`. Each goes the way a request goes: parsed once, decided, dialled.

use serde_json::json;
use sluice_model::grant::Grant;
use sluice_model::ids::{Role, StageId};
use sluice_model::manifest::Manifest;
use sluice_policy::host::{Host, HostError};
use sluice_policy::{Effective, Target, TargetError};
use std::collections::HashSet;
use std::path::Path;

const CASES: &str = include_str!("ssrf.txt");
/// The table is not to shrink.
const CASES_MIN: usize = 300;

const HEAD: &str = "[plugin]\nname = \"a/b\"\nversion = \"1.0.0\"\ninterface = \"sluice:plugin@0.1\"\ndescription = \"x\"\n";
const GRANT_HEAD: &str = "[grant]\nplugin = \"a/b\"\nversion = \"1.0.0\"\npipeline = \"p\"\n\
    digest = \"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"\n";

/// What is granted: scheme, host, port.
const GRANTED: [(&str, &str, u16); 7] = [
    ("https", "api.acme.example", 443),
    ("https", "api.acme.example", 8443),
    ("http", "plain.acme.example", 80),
    ("https", "*.cdn.acme.example", 443),
    ("https", "bücher.example", 443),
    ("https", "1.1.1.1", 443),
    ("https", "2606:4700::1111", 443),
];

fn effective() -> Effective {
    let entries = GRANTED
        .iter()
        .map(|(scheme, host, port)| {
            format!("[[http]]\nhost = \"{host}\"\nscheme = \"{scheme}\"\nport = {port}\nmethods = [\"GET\"]\npaths = [\"/v2/**\"]\n")
        })
        .collect::<Vec<_>>()
            .concat();
    let asks = entries.replace("[[http]]", "[[http]]\nreason = \"x\"");
    let manifest = Manifest::parse("m", &format!("{HEAD}{asks}")).expect("a manifest");
    let grant = Grant::parse("g", &format!("{GRANT_HEAD}{entries}")).expect("a grant");
    let stage = StageId {
        role: Role::Source,
        index: 0,
    };
    let pipeline = "p".parse().expect("a name");
    Effective::build(
        &manifest,
        &grant,
        stage,
        &json!({}),
        &pipeline,
        Path::new("/"),
    )
    .expect("a grant that covers it")
}

/// `\t`, `\u{…}` and the like, for what they stand for.
fn unescaped(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        let (c, after) = match after.split_at(1) {
            ("t", after) => ('\t', after),
            ("n", after) => ('\n', after),
            ("r", after) => ('\r', after),
            ("0", after) => ('\0', after),
            ("\\", after) => ('\\', after),
            ("u", after) => {
                let (hex, after) = after[1..].split_once('}').expect("an escape ends");
                let code = u32::from_str_radix(hex, 16).expect("hexadecimal digits");
                (char::from_u32(code).expect("a character"), after)
            }
            (other, _) => panic!("`\\{other}` in {text}"),
        };
        plain.push(c);
        rest = after;
    }
    plain + rest
}

/// What becomes of a request to this URL.
fn url(effective: &Effective, text: &str) -> &'static str {
    let Ok(uri) = text.parse::<http::Uri>() else {
        return "no uri";
    };
    match Target::parse(&uri) {
        Err(TargetError::Scheme) => "scheme",
        Err(TargetError::UserInfo) => "user",
        Err(TargetError::Port) => "port",
        Err(TargetError::Host(HostError::Spelling(_))) => "spelling",
        Err(TargetError::Host(_)) => "host",
        Err(TargetError::Path(_)) => "path",
        Ok(target) => match effective.may_send(&http::Method::GET, &uri) {
            Ok(sending) => {
                assert_eq!(
                    sending.target, target,
                    "what was decided on is what is sent"
                );
                "sent"
            }
            Err(_) => "not granted",
        },
    }
}

#[test]
fn no_spelling_reaches_what_is_not_granted() {
    let effective = effective();
    let mut seen = HashSet::new();
    let mut wrong = Vec::new();
    let lines = CASES
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    for line in lines {
        assert!(seen.insert(line), "{line} stands twice");
        let parts: Vec<&str> = line.splitn(2, " | ").collect();
        let [kind, rest] = parts[..] else {
            panic!("{line} is no case")
        };
        let (what, verdict) = rest
            .rsplit_once(" | ")
            .unwrap_or_else(|| panic!("{line} is no case"));
        let what = unescaped(what);
        let found = match kind {
            // What is no URL at all goes nowhere, whichever part of it is wrong.
            "url" => match url(&effective, &what) {
                "no uri" if verdict != "sent" && verdict != "not granted" => verdict.to_owned(),
                found => found.to_owned(),
            },
            "host" => Host::parse(&what).map_or("refused".to_owned(), |host| host.to_string()),
            "dial" => {
                let uri = "https://api.acme.example/v2".parse().expect("a uri");
                let sending = effective
                    .may_send(&http::Method::GET, &uri)
                    .expect("granted");
                let address = what
                    .parse()
                    .unwrap_or_else(|_| panic!("{line}: an address"));
                let alone = effective.may_dial(&sending, &[address]).is_ok();
                // One bad address among good ones spoils them all.
                let good = "8.8.8.8".parse().expect("an address");
                let among = effective.may_dial(&sending, &[good, address]).is_ok();
                assert_eq!(alone, among, "{line}");
                if alone { "dialled" } else { "barred" }.to_owned()
            }
            other => panic!("`{other}` is no kind of case: {line}"),
        };
        if found != verdict {
            wrong.push(format!("{line}: {found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen.len() >= CASES_MIN, "{} cases", seen.len());
}

#[test]
fn another_method_is_another_request() {
    let effective = effective();
    let uri = "https://api.acme.example/v2/a".parse().expect("a uri");
    for method in [
        "POST", "get", "GETT", "CONNECT", "TRACE", "OPTIONS", "PROPFIND",
    ] {
        let method = method.parse().expect("a method");
        assert!(effective.may_send(&method, &uri).is_err(), "{method}");
    }
}
