//! What one access decision costs: a request, the addresses it resolved to, a column, a directory, under a manifest, a
//! grant and a policy of the size that people write. In this process, for it is the same code that the doors call.

use anyhow::{Context, Result, anyhow};
use sluice_model::grant::Grant;
use sluice_model::ids::{Role, StageId};
use sluice_model::manifest::{DirMode, Manifest};
use sluice_policy::{Effective, Organisation};
use std::fmt::Write as _;
use std::hint::black_box;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The most that one decision may cost.
const DECISION_MAX: Duration = Duration::from_micros(1);
/// Decisions in one round: long enough for the clock, short enough to fit between two interruptions.
const CALLS: u32 = 10_000;

const MANIFEST: &str = r#"
[plugin]
name = "acme/crm"
version = "1.4.0"
interface = "sluice:plugin@0.1"
description = "Sends contacts."

[[http]]
host = "auth.acme.example"
methods = ["POST"]
paths = ["/oauth/token"]
reason = "x"

[[http]]
host = "*.acme.example"
methods = ["GET", "POST", "PATCH"]
paths = ["/v2/contacts/**", "/v2/deals/**"]
auth = "token"
reason = "x"

[[secret]]
name = "token"
use = "bearer"
reason = "x"

[[dir]]
path = "in"
mode = "read"
reason = "x"

[data]
reads = ["id", "email", "name", "phone", "city", "country", "created_at", "updated_at"]
"#;

const GRANT: &str = r#"
[grant]
plugin = "acme/crm"
version = "1.4.0"
digest = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
pipeline = "crm"

[[http]]
host = "auth.acme.example"
methods = ["POST"]
paths = ["/oauth/token"]

[[http]]
host = "*.eu.acme.example"
methods = ["GET", "POST", "PATCH"]
paths = ["/v2/contacts/**"]
networks = ["10.1.0.0/16"]

[[secret]]
name = "token"
use = "bearer"

[[dir]]
path = "in"
mode = "read"

[data]
reads = ["id", "email", "name", "phone", "city", "country"]
"#;

/// Twenty hosts, the one that fits among the last; two classes.
fn policy() -> String {
    let hosts: Vec<String> = (0..20)
        .map(|partner| format!("*.partner-{partner}.example"))
        .chain(["*.acme.example".to_owned()])
        .collect();
    format!(
        "[http]\nhosts = {hosts:?}\ndeny = [\"legacy.acme.example\", \"*.test.acme.example\"]\nplain = false\n\
         networks = [\"10.0.0.0/8\"]\n[dir]\nroots = [\"out\", \"in\"]\n\
         [[class]]\nname = \"pii\"\ncolumns = [\"email\", \"phone\", \"*_ssn\"]\nhosts = [\"*.acme.example\"]\n\
         [[class]]\nname = \"pay\"\ncolumns = [\"salary\"]\nhosts = []\n"
    )
}

fn effective() -> Result<Effective> {
    let manifest = Manifest::parse("manifest.toml", MANIFEST)?;
    let grant = Grant::parse("grant.toml", GRANT)?;
    let policy =
        Organisation::read("policy.toml", &policy()).map_err(|wrong| anyhow!("{wrong:?}"))?;
    let stage = StageId {
        role: Role::Sink,
        index: 0,
    };
    let config = serde_json::json!({});
    let pipeline = "crm".parse().context("a name")?;
    let base = Path::new("/srv/deployment");
    Effective::build(&manifest, &grant, stage, &config, &pipeline, base)
        .map_err(|missing| anyhow!("{missing:?}"))?
        .under(Arc::new(policy))
        .map_err(|forbidden| anyhow!("{forbidden:?}"))
}

/// The median and the worst of `rounds` rounds for each kind of decision.
pub fn decision(rounds: usize) -> Result<String> {
    let effective = effective()?;
    let uri = |text: &str| text.parse::<http::Uri>().context("a uri");
    let permitted = uri("https://api.eu.acme.example/v2/contacts/4711/notes?page=2")?;
    let refused = uri("https://api.evil.example/v2/contacts/4711/notes?page=2")?;
    let method = http::Method::GET;
    let sending = effective
        .may_send(&method, &permitted)
        .map_err(|refusal| anyhow!("{refusal}"))?;
    let addresses: [IpAddr; 2] = ["93.184.216.34".parse()?, "2606:4700::1111".parse()?];
    let mut text = format!(
        "decision: manifest, grant and policy; {rounds} rounds of {CALLS}\n{:<28} {:>9} {:>9}\n",
        "", "median ns", "most ns"
    );
    let mut row = |name: &str, decide: &dyn Fn() -> bool, expected: bool| -> Result<()> {
        anyhow::ensure!(decide() == expected, "{name}: another answer");
        let mut costs = Vec::with_capacity(rounds);
        for round in 0..=rounds.max(1) {
            let began = Instant::now();
            for _ in 0..CALLS {
                black_box(decide());
            }
            if round > 0 {
                costs.push(began.elapsed() / CALLS);
            }
        }
        costs.sort();
        let (median, most) = (costs[costs.len() / 2], costs[costs.len() - 1]);
        let word = if !expected {
            "" // A refusal is told to people in full, and is not on anybody's hot path.
        } else if median <= DECISION_MAX {
            "at most 1000: holds"
        } else {
            "at most 1000: MISSED"
        };
        let (median, most) = (median.as_nanos(), most.as_nanos());
        writeln!(text, "{name:<28} {median:>9} {most:>9}  {word}")?;
        Ok(())
    };
    row(
        "request, permitted",
        &|| {
            effective
                .may_send(black_box(&method), black_box(&permitted))
                .is_ok()
        },
        true,
    )?;
    row(
        "its addresses",
        &|| effective.may_dial(&sending, black_box(&addresses)).is_ok(),
        true,
    )?;
    row(
        "header",
        &|| {
            effective
                .may_set_header(&sending, black_box(&http::header::ACCEPT))
                .is_ok()
        },
        true,
    )?;
    row(
        "column",
        &|| effective.may_read(black_box("email")).is_ok(),
        true,
    )?;
    row(
        "directory",
        &|| effective.may_open(black_box("in"), DirMode::Read).is_ok(),
        true,
    )?;
    row(
        "request, refused",
        &|| {
            effective
                .may_send(black_box(&method), black_box(&refused))
                .is_ok()
        },
        false,
    )?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_decision_is_measured() {
        let text = decision(1).expect("the answers are those that are expected");
        for name in [
            "request, permitted",
            "its addresses",
            "header",
            "column",
            "directory",
            "request, refused",
        ] {
            assert!(text.contains(name), "{text}");
        }
    }
}
