//! Every way in which a component is not believed, as one table: one thing changed each, against a component that is.

use ring::signature::{Ed25519KeyPair, KeyPair as _};
use sluice_model::digest::Digest;
use sluice_model::manifest::Manifest;
use sluice_model::moment::Moment;
use sluice_model::signature::{PublicKey, Signed, Statement, Subject, signed_bytes};
use sluice_model::trust::Trust;
use sluice_policy::trust::{Standing, judge};

const MANIFEST: &str = r#"
[plugin]
name = "acme/crm-source"
version = "1.4.0"
interface = "sluice:plugin@0.1"
description = "Reads contacts."

[[http]]
host = "api.acme.example"
methods = ["GET"]
paths = ["/v2/**"]
reason = "List contacts."
"#;
const NOW: &str = "2026-11-26T12:00:00Z";

fn at(text: &str) -> Moment {
    text.parse().expect("a time")
}

/// A key pair made of one byte: made up, and the same in every run.
fn pair(seed: u8) -> (Ed25519KeyPair, PublicKey) {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("a seed");
    let public = PublicKey(pair.public_key().as_ref().try_into().expect("32 bytes"));
    (pair, public)
}

fn subject(bytes: &[u8]) -> Subject {
    let manifest = Manifest::parse("m", MANIFEST).expect("a manifest");
    Subject::of(Digest::of(bytes), MANIFEST, &manifest)
}

fn statement() -> Statement {
    Statement {
        subject: subject(b"component"),
        created: at("2026-11-01T00:00:00Z"),
        not_after: at("2027-11-01T00:00:00Z"),
        key: pair(1).1.id(),
    }
}

fn sign(seed: u8, statement: &Statement) -> Signed {
    let (pair, public) = pair(seed);
    let payload = statement.to_payload();
    let signature = pair.sign(&signed_bytes(&payload)).as_ref().to_vec();
    Signed {
        key: public.id(),
        payload,
        signature,
    }
}

fn trust_text() -> String {
    let (_, public) = pair(1);
    format!(
        "[signing]\nrequired = true\n[[key]]\nid = \"{}\"\npublic = \"{public}\"\nvendor = \"acme/*\"\nexpires = \"2027-06-01\"\n",
        public.id()
    )
}

/// What is put before the decision. Each case changes one thing of it.
struct Case {
    trust: Option<String>,
    subject: Subject,
    file: Option<Vec<u8>>,
    now: Moment,
}

fn good() -> Case {
    Case {
        trust: Some(trust_text()),
        subject: subject(b"component"),
        file: Some(sign(1, &statement()).to_text().into_bytes()),
        now: at(NOW),
    }
}

impl Case {
    fn judged(&self) -> Result<Standing, String> {
        let trust = self
            .trust
            .as_ref()
            .map(|text| Trust::parse("trust.toml", text).expect("a trust file"));
        judge(
            trust.as_ref(),
            &self.subject,
            self.file.as_deref(),
            self.now,
        )
        .map_err(|refused| {
            assert!(!refused.hint().is_empty(), "{refused}");
            refused.to_string()
        })
    }

    fn signing(mut self, seed: u8, change: impl FnOnce(&mut Statement)) -> Self {
        let mut statement = statement();
        change(&mut statement);
        self.file = Some(sign(seed, &statement).to_text().into_bytes());
        self
    }

    fn trusting(mut self, more: &str) -> Self {
        self.trust = Some(trust_text() + more);
        self
    }
}

#[test]
fn what_a_trusted_key_signed_is_believed() {
    let standing = good().judged().expect("believed");
    assert!(standing.is_signed());
    assert_eq!(
        standing,
        Standing::Signed {
            key: pair(1).1.id(),
            vendor: "acme/*".parse().expect("a pattern"),
            created: at("2026-11-01T00:00:00Z"),
            not_after: at("2027-11-01T00:00:00Z"),
        }
    );
}

#[test]
fn every_refusal() {
    let id = pair(1).1.id();
    let raw = |change: &dyn Fn(&mut Signed)| {
        let mut signed = sign(1, &statement());
        change(&mut signed);
        Case {
            file: Some(signed.to_text().into_bytes()),
            ..good()
        }
    };
    let two = || {
        let text = sign(1, &statement()).to_text();
        let mut file: serde_json::Value = serde_json::from_str(&text).expect("json");
        let again = file["signatures"][0].clone();
        file["signatures"]
            .as_array_mut()
            .expect("a list")
            .push(again);
        file.to_string().into_bytes()
    };
    let cases: Vec<(&str, Case, &str)> = vec![
        (
            "unsigned where a signature is required",
            Case {
                file: None,
                ..good()
            },
            "is not signed, and this deployment requires it",
        ),
        (
            "no JSON",
            Case {
                file: Some(b"{".to_vec()),
                ..good()
            },
            "cannot be read: EOF",
        ),
        (
            "two signatures",
            Case {
                file: Some(two()),
                ..good()
            },
            "it holds 2 signatures; there must be one",
        ),
        (
            "a key that nobody knows",
            good().signing(2, |s| s.key = pair(2).1.id()),
            "which this deployment does not trust",
        ),
        (
            "another key that says it is this one",
            raw(&|s| {
                s.signature = sign(2, &statement()).signature;
            }),
            "it is forged",
        ),
        (
            "a signature that is cut off",
            raw(&|s| {
                s.signature.truncate(63);
            }),
            "it is forged",
        ),
        (
            "no signature at all",
            raw(&|s| s.signature.clear()),
            "it is forged",
        ),
        (
            "a statement that was changed after signing",
            raw(&|s| {
                s.payload = {
                    let mut other = statement();
                    other.not_after = at("2099-01-01T00:00:00Z");
                    other.to_payload()
                }
            }),
            "it is forged",
        ),
        (
            "a signature over the payload alone",
            raw(&|s| s.signature = pair(1).0.sign(&s.payload).as_ref().to_vec()),
            "it is forged",
        ),
        (
            "signed, and no statement",
            raw(&|s| {
                s.payload = b"{}".to_vec();
                s.signature = pair(1).0.sign(&signed_bytes(b"{}")).as_ref().to_vec();
            }),
            "its statement: missing field",
        ),
        (
            "a key that expired",
            Case {
                now: at("2027-06-02T00:00:00Z"),
                ..good()
            },
            "which expired at 2027-06-02T00:00:00Z",
        ),
        (
            "a key that was revoked",
            good().trusting(&format!(
                "[[revoked]]\nkey = \"{id}\"\nreason = \"stolen\"\n"
            )),
            "which is revoked: stolen",
        ),
        (
            "these bytes were revoked",
            good().trusting(&format!(
                "[[revoked]]\ndigest = \"{}\"\n",
                Digest::of(b"component")
            )),
            "is revoked",
        ),
        (
            "bytes that changed since: a stale signature",
            Case {
                subject: subject(b"component, changed"),
                ..good()
            },
            "is for other bytes",
        ),
        (
            "a key for other names",
            Case {
                trust: Some(trust_text().replace("acme/*", "umbrella/*")),
                ..good()
            },
            "which may sign `umbrella/*` only",
        ),
        (
            "another version than the manifest's",
            good().signing(1, |s| {
                s.subject.version = "9.0.0".parse().expect("a version");
            }),
            "another version than its manifest",
        ),
        (
            "another name than the manifest's",
            good().signing(1, |s| {
                s.subject.name = "acme/other".parse().expect("a name");
            }),
            "another name than its manifest",
        ),
        (
            "another manifest",
            good().signing(1, |s| s.subject.manifest = Digest::of(b"x")),
            "another manifest than its manifest",
        ),
        (
            "another interface",
            good().signing(1, |s| s.subject.interface = "sluice:plugin@9".to_owned()),
            "another interface than its manifest",
        ),
        (
            "other capabilities",
            good().signing(1, |s| s.subject.capabilities = Digest::of(b"x")),
            "another set of capabilities than its manifest",
        ),
        (
            "a statement for another key's envelope",
            good().signing(1, |s| s.key = pair(2).1.id()),
            "another key than its manifest",
        ),
        (
            "a signature past its end",
            good().signing(1, |s| s.not_after = at("2026-11-26T12:00:00Z")),
            "was good until 2026-11-26T12:00:00Z",
        ),
        (
            "a signature from tomorrow",
            good().signing(1, |s| s.created = at("2026-11-27T12:00:00Z")),
            "which is yet to come",
        ),
        (
            "a version below the floor",
            good().trusting("[[floor]]\nplugin = \"acme/crm-source\"\nversion = \"1.4.1\"\n"),
            "1.4.0 is below the floor of 1.4.1",
        ),
    ];
    for (title, case, expected) in cases {
        let told = case.judged().expect_err(title);
        assert!(told.contains(expected), "{title}: {told}");
    }
}

/// What is refused whether or not a signature is required: revocation, the floor, and signatures that are plainly wrong.
#[test]
fn what_is_refused_even_where_nothing_must_be_signed() {
    let lax = |case: Case| Case {
        trust: case
            .trust
            .map(|text| text.replace("required = true", "required = false")),
        ..case
    };
    let unsigned = |case: Case| Case { file: None, ..case };
    let digest = format!("[[revoked]]\ndigest = \"{}\"\n", Digest::of(b"component"));
    for (title, case) in [
        ("revoked bytes", unsigned(good().trusting(&digest))),
        (
            "below the floor",
            unsigned(
                good().trusting("[[floor]]\nplugin = \"acme/crm-source\"\nversion = \"2.0.0\"\n"),
            ),
        ),
        (
            "stale",
            Case {
                subject: subject(b"changed"),
                ..good()
            },
        ),
        (
            "stale, by a key nobody knows",
            Case {
                subject: subject(b"changed"),
                ..good().signing(2, |s| s.key = pair(2).1.id())
            },
        ),
        (
            "stale, without a trust file",
            Case {
                subject: subject(b"changed"),
                trust: None,
                ..good()
            },
        ),
        (
            "broken",
            Case {
                file: Some(Vec::new()),
                ..good()
            },
        ),
        (
            "broken, without a trust file",
            Case {
                file: Some(Vec::new()),
                trust: None,
                ..good()
            },
        ),
        (
            "an expired key",
            Case {
                now: at("2027-07-01"),
                ..good()
            },
        ),
    ] {
        assert!(lax(case).judged().is_err(), "{title}");
    }
}

#[test]
fn what_may_run_though_nobody_who_is_trusted_signed_it() {
    let unknown = Standing::Unknown {
        key: pair(2).1.id(),
    };
    let by_two = || good().signing(2, |s| s.key = pair(2).1.id());
    let excepted = |pattern: &str| {
        Some(trust_text().replace(
            "required = true",
            &format!("required = true\nunsigned = [\"{pattern}\"]"),
        ))
    };
    let lax = Some(trust_text().replace("required = true", "required = false"));
    for (title, case, expected) in [
        (
            "no trust file",
            Case {
                trust: None,
                file: None,
                ..good()
            },
            Standing::Unsigned,
        ),
        (
            "no trust file, signed",
            Case {
                trust: None,
                ..by_two()
            },
            unknown.clone(),
        ),
        (
            "not required",
            Case {
                trust: lax.clone(),
                file: None,
                ..good()
            },
            Standing::Unsigned,
        ),
        (
            "not required, by a key that nobody knows",
            Case {
                trust: lax,
                ..by_two()
            },
            unknown,
        ),
        (
            "excepted by vendor",
            Case {
                trust: excepted("acme/*"),
                file: None,
                ..good()
            },
            Standing::Unsigned,
        ),
        (
            "excepted by name",
            Case {
                trust: excepted("acme/crm-source"),
                file: None,
                ..good()
            },
            Standing::Unsigned,
        ),
    ] {
        assert_eq!(case.judged(), Ok(expected), "{title}");
    }
    let other = Case {
        trust: excepted("umbrella/*"),
        file: None,
        ..good()
    };
    assert!(
        other.judged().is_err(),
        "an exception is for those it names"
    );
}

#[test]
fn edges_of_time() {
    let at_now = |text: &str| {
        Case {
            now: at(text),
            ..good()
        }
        .judged()
        .is_ok()
    };
    assert!(
        at_now("2027-06-01T23:59:59Z"),
        "the last second of a key's last day"
    );
    assert!(!at_now("2027-06-02T00:00:00Z"));
    assert!(
        good()
            .signing(1, |s| s.created = at("2026-11-26T12:59:59Z"))
            .judged()
            .is_ok(),
        "clocks differ a little"
    );
    assert!(
        good()
            .trusting("[[floor]]\nplugin = \"acme/crm-source\"\nversion = \"1.4.0\"\n")
            .judged()
            .is_ok(),
        "the floor itself"
    );
}
