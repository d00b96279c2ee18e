//! What `audit` answers, and what `grant` answers from it.

use super::{MESSAGE_WIDTH, say, say_json, say_lines, time};
use crate::table::{count, lines, plain};
use serde_json::json;
use sluice_service::audit::{Entry, Outcome, Verified};
use sluice_service::grants::Filed;
use sluice_service::trial::Learnt;
use sluice_service::usage::{IDLE_DAYS, Remark, Usage};

/// Names of one item that a line shows.
const NAMES_MAX: usize = 8;

/// One line that is the whole answer.
pub fn answer(text: &str, json: bool) {
    if json {
        return say_json(&json!({ "answer": text }));
    }
    say(text);
}

/// `sluice audit log`
pub fn entries(entries: &[Entry], more: bool, json: bool) {
    if json {
        return say_json(&entries);
    }
    let rows: Vec<Vec<String>> = entries
        .iter()
        .map(|entry| {
            let fields = entry
                .fields
                .iter()
                .map(|(key, value)| format!("{key}={}", quoted(value)));
            vec![
                entry.seq.to_string(),
                time(entry.time),
                plain(&entry.actor, 40),
                plain(&entry.action, 40),
                fields.collect::<Vec<_>>().join(" "),
            ]
        })
        .collect();
    say_lines(&lines(
        &[">entry", "time", "actor", "action", "what"],
        &rows,
    ));
    if more {
        say("there are more: `--limit 0` shows all");
    }
}

fn quoted(value: &str) -> String {
    let shown = plain(value, 2 * MESSAGE_WIDTH);
    if shown.is_empty() || shown.contains([' ', '"', '=']) {
        format!("\"{shown}\"")
    } else {
        shown
    }
}

/// `sluice audit verify`
pub fn verified(verified: &Verified, json: bool) {
    if json {
        return say_json(verified);
    }
    match &verified.outcome {
        Outcome::Holds(verdict) => {
            say(&format!(
                "the trail holds: {} entries in {} files, {} signed checkpoints",
                count(verdict.entries),
                verdict.files,
                count(verdict.checkpoints as u64)
            ));
            if verdict.unsigned > 0 {
                say(&format!(
                    "  the last {} entries are not signed yet",
                    count(verdict.unsigned)
                ));
            }
            if verdict.torn {
                say(
                    "  half a line stands at its end, as a crash leaves it; the next entry takes it off and says so",
                );
            }
            say(&format!("  root      {}", verdict.root));
            say(&format!("  key       {}", verdict.key));
        }
        Outcome::Broken(finding) => say(&format!("the trail does not hold: {finding}")),
    }
    say(&format!(
        "  copy      {}",
        verified
            .copy
            .as_deref()
            .unwrap_or("none to hold it against")
    ));
    let given = match verified.checkpoints.as_slice() {
        [] => "none given".to_owned(),
        some => some.join(", "),
    };
    say(&format!("  elsewhere {given}"));
    let store = match verified.store_commit {
        Some(commit) => format!("at commit {commit}"),
        None if verified.store_in_use => "in use by a run, not looked at".to_owned(),
        None => "none yet".to_owned(),
    };
    say(&format!("  store     {store}"));
}

/// `sluice grant usage`
pub fn usage(usage: &[Usage], json: bool) {
    if json {
        return say_json(&usage);
    }
    for (at, grant) in usage.iter().enumerate() {
        if at > 0 {
            say("");
        }
        say(&format!(
            "{} in {} ({})",
            grant.plugin, grant.pipeline, grant.file
        ));
        let rows: Vec<Vec<String>> = grant
            .items
            .iter()
            .map(|item| {
                let last = match item.remark {
                    Remark::Never => "–".to_owned(),
                    _ => time(item.used.last_ms),
                };
                let remark = match item.remark {
                    Remark::Used => String::new(),
                    Remark::Idle => format!("not used in {IDLE_DAYS} days"),
                    Remark::Never => "never used".to_owned(),
                };
                let bytes = |bytes: u64| {
                    if bytes == 0 {
                        "–".to_owned()
                    } else {
                        count(bytes)
                    }
                };
                vec![
                    format!("  {}", item.item.capability),
                    plain(&item.item.name, MESSAGE_WIDTH),
                    count(item.used.times),
                    bytes(item.used.bytes_out),
                    bytes(item.used.bytes_in),
                    last,
                    [remark, some(&item.names)].concat(),
                ]
            })
            .collect();
        say_lines(&lines(
            &[
                "  what",
                "granted",
                ">times",
                ">bytes out",
                ">bytes in",
                "last",
                "",
            ],
            &rows,
        ));
    }
}

fn some(names: &[String]) -> String {
    if names.is_empty() {
        return String::new();
    }
    let shown: Vec<String> = names
        .iter()
        .take(NAMES_MAX)
        .map(|name| plain(name, 40))
        .collect();
    match names.len().saturating_sub(NAMES_MAX) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// `sluice grant revoke`
pub fn revoked(grants: &[Filed], json: bool) {
    if json {
        return say_json(&grants);
    }
    for filed in grants {
        let about = &filed.grant.grant;
        say(&format!(
            "{}: {} {} may do nothing more in {}",
            filed.file, about.plugin, about.version, about.pipeline
        ));
    }
}

/// `sluice grant new --learn`
pub fn learnt(learnt: &[Learnt], json: bool) {
    if json {
        return say_json(&learnt);
    }
    for one in learnt {
        let state = match (one.same, one.written) {
            (true, _) => " is as tight as this run allows",
            (false, true) => " (written)",
            (false, false) => " (not written)",
        };
        say(&format!("# {}{state}", one.file));
        if !one.same {
            say(&one.text);
        }
        if let Some(manifest) = &one.manifest {
            say(&format!(
                "# what {} would have to ask for, for its vendor",
                one.grant.grant.plugin
            ));
            say(manifest);
        }
    }
    if learnt.iter().any(|one| !one.same && !one.written) {
        say(
            "`--replace` puts these grants in the place of those there are; what the run did not do will be refused",
        );
    }
}
