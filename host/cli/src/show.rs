//! Every answer, as text for people or as one JSON document.

use crate::table::{count, lines, plain};
use serde::Serialize;
use serde_json::json;
use sluice_model::checkpoint::Totals;
use sluice_model::fault::Fault;
use sluice_model::ids::PipelineName;
use sluice_model::manifest::Manifest;
use sluice_model::rejection::Record;
use sluice_model::tomlfile::FileError;
use sluice_service::Error;
use sluice_service::check::{Checked, Known, StreamShape};
use sluice_service::grants::{Filed, Proposed};
use sluice_service::inspect::Page;
use sluice_service::inspect::{Import, ImportKind};
use sluice_service::keeping::{CheckpointView, Kept};
use sluice_service::plugins::Artifact;
use sluice_service::report::{Ending, RunReport};
use std::io::Write as _;

/// The widest a message from a plugin or a record is shown in a table.
const MESSAGE_WIDTH: usize = 80;

/// Writes to standard output. Nobody there to read it is not a failure of the command.
fn say(text: &str) {
    drop(writeln!(std::io::stdout().lock(), "{text}"));
}

fn say_json(value: &impl Serialize) {
    say(&serde_json::to_string_pretty(value).expect("reports are plain data, which JSON holds"));
}

fn say_lines(lines: &[String]) {
    for line in lines {
        say(line);
    }
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
        };
        drop(writeln!(out, "{document}"));
        return;
    }
    let text = match error {
        Error::Wrong(problems) => {
            let told = problems.iter().map(|problem| {
                let bare = FileError {
                    hint: None,
                    ..problem.clone()
                };
                hinted(&bare.to_string(), problem.hint.as_deref())
            });
            told.collect::<Vec<_>>().join("\n  ")
        }
        Error::Failed { stage, fault } => format!("{stage}: {}", told(fault)),
        Error::Host(message) => message.replace('\n', "\n  "),
    };
    drop(writeln!(out, "error: {}", text.trim_end()));
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

/// `sluice run`
pub fn report(report: &RunReport, json: bool) {
    if json {
        return say_json(report);
    }
    say(&format!(
        "{}: {}, {}",
        report.pipeline,
        ending(report.ending),
        report.guarantee
    ));
    for shape in report
        .streams
        .iter()
        .filter(|shape| shape.known == Known::Inferred)
    {
        say(&format!(
            "  schema of `{}`, inferred from a sample and fixed now: {}",
            shape.stream,
            fields(shape)
        ));
    }
    say("");
    let Totals {
        read,
        written,
        filtered,
        dead_lettered,
    } = report.totals;
    let cells = [read, written, filtered, dead_lettered, report.in_flight].map(count);
    let mut row = cells.to_vec();
    row.extend([format!("{:.2} s", report.seconds), count(report.rate())]);
    let headings = [
        ">read",
        ">written",
        ">filtered",
        ">dead-lettered",
        ">in flight",
        ">time",
        ">records/s",
    ];
    say_lines(&lines(&headings, &[row]));
    let equals = if report.balances() {
        "="
    } else {
        "≠ (a defect of sluice; please report it)"
    };
    say(&format!(
        "\n{read} read {equals} {written} written + {filtered} filtered + {dead_lettered} dead-lettered + {} in flight",
        report.in_flight
    ));
    if report.discarded_values > 0 {
        say(&format!(
            "{} values were left out or made null, as the contract says",
            count(report.discarded_values)
        ));
    }
    why(report);
}

fn why(report: &RunReport) {
    if !report.dead_letters.is_empty() {
        say("\ndead letters by code (`sluice dlq list` shows them):");
        let rows: Vec<Vec<String>> = report
            .dead_letters
            .iter()
            .map(|code| vec![count(code.records), code.code.clone()])
            .collect();
        say_lines(&lines(&[">records", "code"], &rows));
    }
    if !report.refused.is_empty() {
        say("\nrefused, for it is not granted:");
        for refused in &report.refused {
            let times = match refused.times {
                1 => String::new(),
                times => format!(", {} times", count(times)),
            };
            say(&format!("  {}{times}: {}", refused.stage, refused.refusal));
        }
    }
    for split in &report.splits {
        if let Some(fault) = &split.fault {
            say(&format!(
                "\nsplit `{}` stopped, and its place is held\n  {}",
                split.split,
                told(fault)
            ));
        }
    }
}

fn ending(ending: Ending) -> &'static str {
    match ending {
        Ending::Done => "done",
        Ending::Drained => "stopped as told, what was read is delivered",
        Ending::Stopped => "stopped",
    }
}

fn fields(shape: &StreamShape) -> String {
    let fields = shape
        .entering
        .fields()
        .iter()
        .map(|field| format!("{} {}", field.name, field.kind));
    fields.collect::<Vec<_>>().join(", ")
}

/// `sluice check`
pub fn checked(checked: &Checked, json: bool) {
    if json {
        return say_json(checked);
    }
    say(&format!(
        "{}: ready to run, {}",
        checked.pipeline, checked.guarantee
    ));
    say(&format!("  {}", checked.stages.join(" → ")));
    for stream in &checked.streams {
        let known = match stream.known {
            Known::Declared => "declared",
            Known::Source => "given by the source",
            Known::Fixed => "fixed by an earlier run",
            Known::Inferred => "inferred from a sample; the first run fixes it",
        };
        say(&format!("\nstream `{}`, schema {known}:", stream.stream));
        let rows: Vec<Vec<String>> = stream
            .leaving
            .fields()
            .iter()
            .map(|field| {
                let entering = stream
                    .entering
                    .field(&field.name)
                    .map_or_else(|| "–".to_owned(), |field| field.kind.to_string());
                let nullable = if field.nullable { "" } else { "always there" };
                vec![
                    format!("  {}", field.name),
                    entering,
                    field.kind.to_string(),
                    nullable.to_owned(),
                ]
            })
            .collect();
        say_lines(&lines(&["  field", "entering", "leaving", ""], &rows));
    }
    say(&format!(
        "\nread in {} {}",
        count(checked.splits as u64),
        if checked.splits == 1 {
            "split"
        } else {
            "splits"
        }
    ));
}

/// `sluice plugin pack` and `build`
pub fn packed(file: &str, artifact: &Artifact, json: bool) {
    let about = &artifact.manifest.plugin;
    if json {
        return say_json(&json!({
            "file": file, "name": about.name, "version": about.version,
            "digest": artifact.digest, "bytes": artifact.bytes.len(),
        }));
    }
    say(&format!(
        "{file}: {} {}, {} bytes, {}",
        about.name,
        about.version,
        count(artifact.bytes.len() as u64),
        artifact.digest
    ));
}

/// `sluice plugin inspect`
pub fn page(page: &Page, json: bool) {
    if json {
        return say_json(page);
    }
    let about = &page.manifest.plugin;
    let roles: Vec<String> = page.roles.iter().map(ToString::to_string).collect();
    say(&format!(
        "{} {} · {}",
        about.name,
        about.version,
        roles.join(" and ")
    ));
    say(&about.description);
    say(&format!(
        "{} · {} bytes · speaks {}",
        page.digest,
        count(page.bytes as u64),
        about.interface
    ));
    say("\nasks for");
    asks(&page.manifest);
    let limits = page.manifest.limits;
    let memory = limits
        .memory
        .map_or("64MiB (default)".to_owned(), |size| size.to_string());
    let time = limits
        .call_time
        .map_or("10s (default)".to_owned(), |span| span.to_string());
    say(&format!("  limits    {memory} of memory, {time} a call"));
    say("\nimports");
    imports(&page.imports);
    if !page.settings.is_empty() {
        say("\nsettings");
        let rows: Vec<Vec<String>> = page
            .settings
            .iter()
            .map(|setting| {
                let required = if setting.required { "required" } else { "" };
                vec![
                    format!("  {}", setting.name),
                    required.to_owned(),
                    plain(&setting.description, MESSAGE_WIDTH),
                ]
            })
            .collect();
        say_lines(&lines(&["  name", "", "what for"], &rows));
    }
}

fn asks(manifest: &Manifest) {
    let only = |role: &Option<sluice_model::ids::Role>| {
        role.map_or(String::new(), |role| format!(", as {role}"))
    };
    for http in &manifest.http {
        let scheme = http
            .scheme
            .map_or(String::new(), |scheme| format!("{scheme}://"));
        let port = http.port.map_or(String::new(), |port| format!(":{port}"));
        let auth = http
            .auth
            .as_ref()
            .map_or(String::new(), |auth| format!(", with secret `{auth}`"));
        say(&format!(
            "  http      {} {scheme}{}{port} {}{auth}{}",
            http.methods.join(","),
            http.host,
            http.paths.join(" "),
            only(&http.role)
        ));
        say(&format!("            {}", plain(&http.reason, 200)));
    }
    for dir in &manifest.dir {
        say(&format!(
            "  dir       {} {}{}",
            dir.mode,
            dir.path,
            only(&dir.role)
        ));
        say(&format!("            {}", plain(&dir.reason, 200)));
    }
    for secret in &manifest.secret {
        let optional = if secret.optional { ", optional" } else { "" };
        say(&format!(
            "  secret    {} as {}{optional}",
            secret.name, secret.place
        ));
        say(&format!("            {}", plain(&secret.reason, 200)));
    }
    let columns = |names: &[String]| match names {
        [] => "none".to_owned(),
        [all] if all == "*" => "EVERY COLUMN".to_owned(),
        names => names.join(", "),
    };
    say(&format!(
        "  columns   reads {}; writes {}",
        columns(&manifest.data.reads),
        columns(&manifest.data.writes)
    ));
}

fn imports(imports: &[Import]) {
    let rows: Vec<Vec<String>> = imports
        .iter()
        .map(|import| {
            let (linked, why) = match &import.kind {
                ImportKind::Granted { by } => ("granted", by.clone()),
                ImportKind::Empty => ("empty", String::new()),
                ImportKind::Refusing => ("refusing", String::new()),
                ImportKind::Unexplained { hint } => ("UNEXPLAINED", hint.clone()),
            };
            vec![
                format!("  {}", import.name),
                linked.to_owned(),
                plain(&why, MESSAGE_WIDTH),
            ]
        })
        .collect();
    say_lines(&lines(&["  import", "linked", "by"], &rows));
}

/// `sluice grant new`
pub fn proposed(proposed: &[Proposed], json: bool) {
    if json {
        return say_json(&proposed);
    }
    if proposed.is_empty() {
        return say("every plugin of this pipeline is granted");
    }
    for grant in proposed {
        say(&format!(
            "# {}{}",
            grant.file,
            if grant.written { "" } else { " (not written)" }
        ));
        say(&grant.text);
    }
    if proposed.iter().any(|grant| grant.written) {
        say("written; read them, and narrow what is wider than it need be");
    }
}

/// `sluice grant list`
pub fn grants(grants: &[Filed], json: bool) {
    if json {
        return say_json(&grants);
    }
    let rows: Vec<Vec<String>> = grants
        .iter()
        .map(|filed| {
            let about = &filed.grant.grant;
            let hosts: Vec<&str> = filed
                .grant
                .http
                .iter()
                .map(|http| http.host.as_str())
                .collect();
            let dirs: Vec<String> = filed
                .grant
                .dir
                .iter()
                .map(|dir| format!("{} {}", dir.mode, dir.path))
                .collect();
            let secrets: Vec<&str> = filed
                .grant
                .secret
                .iter()
                .map(|secret| secret.name.as_str())
                .collect();
            vec![
                about.pipeline.to_string(),
                format!("{} {}", about.plugin, about.version),
                about.digest.short(),
                or_dash(&hosts.join(", ")),
                or_dash(&dirs.join(", ")),
                or_dash(&secrets.join(", ")),
                filed.file.clone(),
            ]
        })
        .collect();
    say_lines(&lines(
        &[
            "pipeline",
            "plugin",
            "digest",
            "hosts",
            "directories",
            "secrets",
            "file",
        ],
        &rows,
    ));
}

fn or_dash(text: &str) -> String {
    if text.is_empty() {
        "–".to_owned()
    } else {
        text.to_owned()
    }
}

/// `sluice grant show`
pub fn grant_files(grants: &[Filed], json: bool) -> Result<(), Error> {
    if json {
        say_json(&grants);
        return Ok(());
    }
    for filed in grants {
        say(&format!("# {}", filed.file));
        say(&sluice_service::deployment::read(std::path::Path::new(
            &filed.file,
        ))?);
    }
    Ok(())
}

/// `sluice checkpoint list`
pub fn checkpoints(checkpoints: &[CheckpointView], json: bool) {
    if json {
        return say_json(&checkpoints);
    }
    let rows: Vec<Vec<String>> = checkpoints
        .iter()
        .map(|view| {
            let Totals {
                read,
                written,
                filtered,
                dead_lettered,
            } = view.totals;
            let mut row = vec![plain(view.split.as_str(), MESSAGE_WIDTH)];
            row.extend([read, written, filtered, dead_lettered, view.sequence].map(count));
            row.push(
                if view.ended {
                    "at its end"
                } else {
                    "under way"
                }
                .to_owned(),
            );
            row.push(time(view.updated_ms));
            row
        })
        .collect();
    let headings = [
        "split",
        ">read",
        ">written",
        ">filtered",
        ">dead-lettered",
        ">units",
        "state",
        "stored",
    ];
    say_lines(&lines(&headings, &rows));
}

/// `sluice checkpoint show`
pub fn checkpoint(view: &CheckpointView, json: bool) {
    if json {
        return say_json(view);
    }
    let Totals {
        read,
        written,
        filtered,
        dead_lettered,
    } = view.totals;
    say(&format!("split     {}", plain(view.split.as_str(), 512)));
    say(&format!(
        "place     {}",
        view.place
            .as_ref()
            .map_or("the beginning".to_owned(), |place| plain(
                &place.to_string(),
                512
            ))
    ));
    say(&format!(
        "document  {}",
        view.document
            .as_ref()
            .map_or("–".to_owned(), |document| plain(document, 512))
    ));
    say(&format!(
        "records   {read} read, {written} written, {filtered} filtered, {dead_lettered} dead-lettered"
    ));
    say(&format!(
        "units     {} over {} runs",
        view.sequence, view.epoch
    ));
    say(&format!(
        "state     {}",
        if view.ended {
            "at its end"
        } else {
            "under way"
        }
    ));
    if view.unsettled {
        say(
            "unsettled a unit was under way when the last run ended; the next run finds out whether it was delivered",
        );
    }
    say(&format!("stored    {}", time(view.updated_ms)));
}

/// `sluice checkpoint reset`
pub fn forgotten(name: &PipelineName, forgotten: usize, json: bool) {
    if json {
        return say_json(&json!({ "pipeline": name, "forgotten": forgotten }));
    }
    say(&format!(
        "{name}: {forgotten} checkpoints forgotten; the next run begins at the beginning, or where a transactional sink \
         says it is: that one keeps the place with its records"
    ));
}

/// `sluice dlq list`. One more letter than `limit` says that there are more.
pub fn letters(letters: &[Kept], limit: usize, json: bool) {
    let shown = &letters[..letters.len().min(limit)];
    if json {
        return say_json(&shown);
    }
    let rows: Vec<Vec<String>> = shown
        .iter()
        .map(|kept| {
            let (letter, rejection) = (&kept.letter, &kept.letter.rejection);
            vec![
                letter.number.to_string(),
                plain(&rejection.place.to_string(), MESSAGE_WIDTH),
                plain(&rejection.code, 40),
                letter.plugin.to_string(),
                plain(&rejection.message, MESSAGE_WIDTH),
            ]
        })
        .collect();
    say_lines(&lines(
        &[">number", "place", "code", "refused by", "why"],
        &rows,
    ));
    if letters.len() > shown.len()
        && let Some(last) = shown.last()
    {
        say(&format!(
            "there are more: `--after {}`, or `sluice dlq export`",
            last.letter.number
        ));
    }
}

/// `sluice dlq show`
pub fn letter(kept: &Kept, json: bool) {
    if json {
        return say_json(kept);
    }
    let (letter, rejection) = (&kept.letter, &kept.letter.rejection);
    say(&format!(
        "number    {}{}",
        letter.number,
        if kept.pending {
            " (its unit is not settled yet)"
        } else {
            ""
        }
    ));
    say(&format!(
        "place     {}",
        plain(&rejection.place.to_string(), 512)
    ));
    say(&format!("stream    {}", rejection.stream));
    say(&format!("code      {}", plain(&rejection.code, 80)));
    say(&format!("why       {}", plain(&rejection.message, 1_100)));
    say(&format!(
        "refused   by {} ({}), {}",
        letter.plugin,
        rejection.stage,
        time(letter.at_ms)
    ));
    say(&format!(
        "unit      {} of split {}, run {}",
        letter.mark,
        plain(letter.split.as_str(), 512),
        letter.run
    ));
    let (kind, text) = match &rejection.record {
        Record::Raw(bytes) => (
            "as the source sent it",
            String::from_utf8_lossy(bytes).into_owned(),
        ),
        Record::Json(text) => ("as it entered", text.clone()),
    };
    let cut = if rejection.truncated {
        ", cut to fit"
    } else {
        ""
    };
    say(&format!(
        "record    {kind}{cut}:\n{}",
        plain(&text, usize::MAX)
    ));
}

/// `sluice dlq export`
pub fn exported(file: &str, written: u64, json: bool) {
    if json {
        return say_json(&json!({ "file": file, "dead_letters": written }));
    }
    say(&format!("{file}: {} dead letters", count(written)));
}

fn time(ms: u64) -> String {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| "?".to_owned(), |at| format!("{at:.0}"))
}
