//! `sluice audit`: asks the service, shows the answer.

use crate::arguments::{Audit, Select};
use crate::show;
use sluice_model::sizes::Span;
use sluice_model::tomlfile::FileError;
use sluice_service::Error;
use sluice_service::audit::{self, Entry, Filter, Outcome};
use sluice_service::deployment::{Deployment, shown};
use std::collections::VecDeque;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

/// `sluice audit`
pub fn audit(command: &Audit, json: bool) -> Result<ExitCode, Error> {
    match command {
        Audit::Log {
            select,
            limit,
            here,
        } => return log(&Deployment::find(&here.dir)?, select, *limit, json),
        Audit::Verify {
            checkpoints,
            key,
            here,
        } => {
            let verified = audit::verify(&Deployment::find(&here.dir)?, checkpoints, key.clone())?;
            show::verified(&verified, json);
            if matches!(verified.outcome, Outcome::Broken(_)) {
                return Ok(ExitCode::FAILURE);
            }
        }
        Audit::Export { select, out, here } => {
            let written = export(&Deployment::find(&here.dir)?, select, out.as_deref())?;
            if let Some(out) = out {
                show::answer(&format!("{}: {written} entries", shown(out)), json);
            }
        }
        Audit::Checkpoint { here } => {
            let note = audit::checkpoint(&Deployment::find(&here.dir)?)?;
            show::answer(note.trim_end(), json);
        }
        Audit::Key { rotate, here } => {
            show::answer(&audit::key(&Deployment::find(&here.dir)?, *rotate)?, json);
        }
        Audit::Restored { reason, here } => {
            let commit = audit::restored(&Deployment::find(&here.dir)?, reason)?;
            let said = format!("the state store is taken as it is, at commit {commit}");
            show::answer(&said, json);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The last of the entries that are wanted. What comes before one that does not hold is shown, and then the error.
fn log(
    deployment: &Deployment,
    select: &Select,
    limit: usize,
    json: bool,
) -> Result<ExitCode, Error> {
    let filter = filter(select)?;
    let mut last: VecDeque<Entry> = VecDeque::new();
    let mut more = false;
    let outcome = audit::each(deployment, &filter, |entry| {
        if limit > 0 && last.len() == limit {
            last.pop_front();
            more = true;
        }
        last.push_back(entry.clone());
        Ok(())
    });
    show::entries(last.make_contiguous(), more, json);
    outcome.map(|()| ExitCode::SUCCESS)
}

fn export(deployment: &Deployment, select: &Select, out: Option<&Path>) -> Result<u64, Error> {
    let told = |error: std::io::Error| {
        let file = out.map_or_else(|| "standard output".to_owned(), shown);
        Error::wrong(FileError::new(file, error.to_string()))
    };
    let filter = filter(select)?;
    let file: Box<dyn std::io::Write> = match out {
        Some(path) => Box::new(std::fs::File::create(path).map_err(told)?),
        None => Box::new(std::io::stdout().lock()),
    };
    let mut file = std::io::BufWriter::new(file);
    let mut written = 0;
    audit::each(deployment, &filter, |entry| {
        serde_json::to_writer(&mut file, entry).map_err(|error| told(error.into()))?;
        file.write_all(b"\n").map_err(told)?;
        written += 1;
        Ok(())
    })?;
    file.flush().map_err(told)?;
    Ok(written)
}

fn filter(select: &Select) -> Result<Filter, Error> {
    let since_ms = match &select.since {
        None => 0,
        Some(text) => since_ms(text)?,
    };
    Ok(Filter {
        since_ms,
        pipeline: select.pipeline.clone(),
        plugin: select.plugin.clone(),
        action: select.action.clone(),
        actor: select.actor.clone(),
        text: select.text.clone(),
    })
}

/// A moment as people type it, in milliseconds since 1970.
pub fn since_ms(text: &str) -> Result<u64, Error> {
    since(text, jiff::Timestamp::now()).ok_or_else(|| {
        let problem = FileError::new("arguments", format!("`{text}` is no time"));
        problem
            .hint("`2026-08-01`, `2026-08-01T06:00:00Z`, `7d`, `12h` or `30m`")
            .into()
    })
}

/// In milliseconds since 1970. A day without a time is in UTC, as the trail is shown.
fn since(text: &str, now: jiff::Timestamp) -> Option<u64> {
    let at = match text.parse::<jiff::Timestamp>() {
        Ok(at) => at,
        Err(_) => {
            if let Ok(day) = text.parse::<jiff::civil::Date>() {
                day.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp()
            } else {
                let ago = match text.strip_suffix('d') {
                    Some(days) => std::time::Duration::from_secs(
                        u64::from(days.parse::<u32>().ok()?) * 86_400,
                    ),
                    None => text.parse::<Span>().ok()?.0,
                };
                now.checked_sub(jiff::SignedDuration::try_from(ago).ok()?)
                    .ok()?
            }
        }
    };
    u64::try_from(at.as_millisecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        let now: jiff::Timestamp = "2026-08-08T12:00:00Z".parse().unwrap();
        let ms = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_millisecond();
        for (text, expected) in [
            ("2026-08-01", "2026-08-01T00:00:00Z"),
            ("2026-08-01T06:00:00Z", "2026-08-01T06:00:00Z"),
            ("2026-08-01T06:00:00+02:00", "2026-08-01T04:00:00Z"),
            ("7d", "2026-08-01T12:00:00Z"),
            ("12h", "2026-08-08T00:00:00Z"),
            ("30m", "2026-08-08T11:30:00Z"),
        ] {
            let found = since(text, now).map(|found| i64::try_from(found).unwrap());
            assert_eq!(found, Some(ms(expected)), "{text}");
        }
        for bad in ["", "d", "yesterday", "7", "-7d"] {
            assert_eq!(since(bad, now), None, "{bad}");
        }
    }
}
