//! What keeps a stage from starting: whatever its manifest asks for that its grant does not touch at all, each with
//! the lines that would mend it. A grant that is merely narrower is no matter of this file.

use crate::asked::Asked;
use crate::columns::Columns;
use crate::effective::Effective;
use crate::refuse::{self, File, Lines};
use crate::rules::{Ask, Credential};
use crate::tcp::{self, TcpAsk};
use sluice_model::grant::{Dir, Grant, Http, SecretUse, Tcp};
use sluice_model::guards::Guard;
use sluice_model::manifest::Data;
use sluice_model::ports::Refusal;

/// Something the manifest asks for that the grant does not cover at all, or that neither could.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct NotGranted {
    /// What, and why not.
    pub refusal: Refusal,
    /// The lines that the grant file needs; empty where no line there could help.
    pub lines: String,
}

impl NotGranted {
    /// A mistake in the manifest, the settings or the grant.
    pub(crate) fn malformed(refusal: Refusal) -> Self {
        Self {
            refusal,
            lines: String::new(),
        }
    }

    pub(crate) fn lacking(
        file: File<'_>,
        capability: &'static str,
        asked: &str,
        reason: String,
        lines: &Lines,
    ) -> Self {
        let lines = lines.text();
        let refusal = Refusal {
            capability,
            asked: refuse::bounded(asked),
            reason,
            hint: Some(format!("{}:\n{lines}", file.place())),
        };
        Self { refusal, lines }
    }
}

/// All that is missing, in the order of the manifest.
pub(crate) fn missing(effective: &Effective, asked: &Asked, grant: &Grant) -> Vec<NotGranted> {
    if Guard::GrantPipeline.bars(grant.grant.pipeline != effective.pipeline) {
        let reason = format!("the grant is for pipeline `{}`", grant.grant.pipeline);
        let asked = effective.pipeline.to_string();
        return vec![NotGranted::malformed(Refusal {
            capability: "grant",
            asked,
            reason,
            hint: None,
        })];
    }
    let file = effective.grant();
    let http = asked
        .http
        .iter()
        .filter(|ask| Guard::StartRequests.bars(!effective.touches(ask)))
        .map(|ask| http(file, ask));
    let tcp = asked
        .tcp
        .iter()
        .filter(|ask| Guard::StartTcp.bars(!effective.touches_tcp(ask)))
        .map(|ask| tcp(file, ask));
    let dirs = asked
        .dirs
        .iter()
        .filter(|asked| Guard::DirGranted.bars(!effective.covers(asked)))
        .map(|asked| dir(file, asked));
    let secrets = asked
        .secrets
        .iter()
        .filter_map(|asked| secret(file, asked, grant));
    http.chain(tcp)
        .chain(dirs)
        .chain(secrets)
        .chain(data(file, asked, grant))
        .collect()
}

fn http(file: File<'_>, ask: &Ask) -> NotGranted {
    let rule = &ask.rule;
    let entry = Http {
        role: ask.role,
        ..refuse::http_entry(rule)
    };
    let lines = Lines {
        http: vec![entry],
        ..Lines::default()
    };
    let asked = format!("{}://{}:{}", rule.scheme, rule.host, rule.port);
    NotGranted::lacking(
        file,
        "http",
        &asked,
        "the grant allows no request to it".to_owned(),
        &lines,
    )
}

fn tcp(file: File<'_>, ask: &TcpAsk) -> NotGranted {
    let entry = Tcp {
        role: ask.role,
        ..tcp::entry(&ask.rule)
    };
    let lines = Lines {
        tcp: vec![entry],
        ..Lines::default()
    };
    let asked = format!("{}:{}", ask.rule.host, ask.rule.port);
    let reason = "the grant allows no connection to it".to_owned();
    NotGranted::lacking(file, "tcp", &asked, reason, &lines)
}

fn dir(file: File<'_>, asked: &Dir) -> NotGranted {
    let lines = Lines {
        dir: vec![asked.clone()],
        ..Lines::default()
    };
    let reason = format!(
        "the grant allows no directory of this name with `mode = \"{}\"`",
        asked.mode
    );
    NotGranted::lacking(file, "dir", &asked.path, reason, &lines)
}

fn secret(file: File<'_>, asked: &Credential, grant: &Grant) -> Option<NotGranted> {
    let Credential { name, place, .. } = asked;
    let named = || grant.secret.iter().filter(|entry| &entry.name == name);
    if Guard::SecretGranted.holds(named().any(|entry| &entry.place == place)) {
        return None;
    }
    let reason = match named().next() {
        Some(entry) => format!("the grant allows it as `{}`, not as `{place}`", entry.place),
        None => "the grant allows no secret of this name".to_owned(),
    };
    let entry = SecretUse::new(name.clone(), place.clone());
    let lines = Lines {
        secret: vec![entry],
        ..Lines::default()
    };
    Some(NotGranted::lacking(
        file,
        "secret",
        name.as_str(),
        reason,
        &lines,
    ))
}

/// One entry for both kinds of access, for a file has one `[data]`.
fn data(file: File<'_>, asked: &Asked, grant: &Grant) -> Option<NotGranted> {
    let lacks = |asked: &Columns, granted: &[String]| {
        let none = !asked.is_empty() && !asked.meets(&Columns::of(granted.iter().cloned()));
        Guard::StartColumns.bars(none)
    };
    let (no_reads, no_writes) = (
        lacks(&asked.reads, &grant.data.reads),
        lacks(&asked.writes, &grant.data.writes),
    );
    let reads = if no_reads {
        asked.reads.names()
    } else {
        grant.data.reads.clone()
    };
    let writes = if no_writes {
        asked.writes.names()
    } else {
        grant.data.writes.clone()
    };
    let (capability, columns) = match (no_reads, no_writes) {
        (true, _) => ("data.reads", reads.join(", ")),
        (_, true) => ("data.writes", writes.join(", ")),
        _ => return None,
    };
    let lines = Lines {
        data: Some(Data { reads, writes }),
        ..Lines::default()
    };
    let reason = "the grant allows none of these columns".to_owned();
    Some(NotGranted::lacking(
        file, capability, &columns, reason, &lines,
    ))
}
