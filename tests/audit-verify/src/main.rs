//! `sluice-audit-verify FOLDER [--key KEY] [--checkpoint FILE] [--copy FOLDER] [--store-commit NUMBER]`: says whether
//! an audit trail holds, and exits with 1 where it does not.

use sluice_audit_verify::{Against, check};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "sluice-audit-verify FOLDER [--key KEY] [--checkpoint FILE] [--copy FOLDER] [--store-commit NUMBER]";

fn main() -> ExitCode {
    let (said, code) = match arguments().map(|(folder, against)| check(&folder, &against)) {
        Some(Ok(holds)) => {
            let torn = if holds.torn {
                "; half a line stands at its end, as a crash leaves it"
            } else {
                ""
            };
            let said = format!(
                "holds: {} entries, {} of them signed{torn}",
                holds.entries, holds.signed
            );
            (said, ExitCode::SUCCESS)
        }
        Some(Err(why)) => (format!("does not hold: {why}"), ExitCode::from(1)),
        None => (format!("usage: {USAGE}"), ExitCode::from(2)),
    };
    let _ = writeln!(std::io::stdout(), "{said}"); // Nobody reads it: the exit code stays.
    code
}

fn arguments() -> Option<(PathBuf, Against)> {
    let mut words = std::env::args().skip(1);
    let folder = words.next().filter(|word| !word.starts_with('-'))?;
    let mut against = Against::default();
    while let Some(word) = words.next() {
        let value = words.next()?;
        match word.as_str() {
            "--key" => against.key = Some(value),
            "--checkpoint" => against.checkpoints.push(value.into()),
            "--copy" => against.copy = Some(value.into()),
            "--store-commit" => against.store_commit = Some(value.parse().ok()?),
            _ => return None,
        }
    }
    Some((folder.into(), against))
}
