//! Every answer, as text for people or as one JSON document.

mod access;
mod audit;
mod inspect;
mod plugins;
mod run;
mod sealed;
mod serve;
mod state;

pub use access::{accesses, reaching};
pub use audit::{answer, entries, learnt, revoked, usage, verified};
pub use inspect::{diff, new_key, page, sarif, standing, vouched};
pub use plugins::{grant_files, grants, packed, proposed};
pub use run::{checked, report};
pub use sealed::{key_made, key_rotated, secret_removed, secret_stored, secrets, shredded, state};
pub use serve::{status, told_to};
pub use state::{
    again, checkpoint, checkpoints, discarded, edited, exported, letter, letters, moved,
};

use serde::Serialize;
use serde_json::json;
use sluice_model::fault::Fault;
use sluice_model::tomlfile::FileError;
use sluice_model::visible::visible_lines;
use sluice_service::Error;
use std::io::Write as _;

/// The widest a message from a plugin or a record is shown in a table.
const MESSAGE_WIDTH: usize = 80;

/// Writes lines to standard output. A name in them may be a plugin's: what would steer a terminal is shown, not obeyed.
fn say(text: &str) {
    say_raw(&visible_lines(text));
}

/// The same, for formats that have an escaping of their own. Nobody there to read it is not a failure of the command.
fn say_raw(text: &str) {
    drop(writeln!(std::io::stdout().lock(), "{text}"));
}

fn say_json(value: &impl Serialize) {
    say_raw(
        &serde_json::to_string_pretty(value).expect("reports are plain data, which JSON holds"),
    );
}

fn say_lines(lines: &[String]) {
    for line in lines {
        say(line);
    }
}

/// A time as people read it.
fn time(ms: u64) -> String {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| "?".to_owned(), |at| format!("{at:.0}"))
}

/// A command's failure, on standard error.
pub fn error(error: &Error, json: bool) {
    let mut out = std::io::stderr().lock();
    if json {
        let document = match error {
            Error::Wrong(problems) => json!({ "error": "wrong", "problems": problems }),
            Error::Failed { stage, fault } => {
                json!({ "error": "failed", "stage": stage, "fault": fault })
            }
            Error::Host(message) => json!({ "error": "host", "message": message }),
            Error::InUse(in_use) => {
                json!({ "error": "host", "message": in_use.to_string(), "holder": in_use.holder })
            }
        };
        drop(writeln!(out, "{document}"));
        return;
    }
    let text = match error {
        Error::Wrong(problems) => {
            let told = problems.iter().map(problem_lines);
            told.collect::<Vec<_>>().join("\n  ")
        }
        Error::Failed { stage, fault } => format!("{stage}: {}", told(fault)),
        Error::Host(message) => message.replace('\n', "\n  "),
        Error::InUse(in_use) => in_use.to_string(),
    };
    drop(writeln!(out, "error: {}", visible_lines(text.trim_end())));
}

/// A mistake in a file in lines, its hint further in.
fn problem_lines(problem: &FileError) -> String {
    let bare = FileError {
        hint: None,
        ..problem.clone()
    };
    hinted(&bare.to_string(), problem.hint.as_deref())
}

/// A fault in lines, each further in than what it stands under.
fn told(fault: &Fault) -> String {
    hinted(
        &format!("{}: {}", fault.word(), fault.message),
        fault.hint.as_deref(),
    )
}

fn hinted(message: &str, hint: Option<&str>) -> String {
    let message = message.replace('\n', "\n  ");
    match hint {
        Some(hint) => format!("{message}\n    hint: {}", hint.replace('\n', "\n      ")),
        None => message,
    }
}
