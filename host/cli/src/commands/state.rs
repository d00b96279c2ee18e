//! `sluice checkpoint` and `sluice dlq`.

use super::{named, stopping, wait};
use crate::arguments::{Again, Checkpoint, Dlq, Enter, Filter};
use crate::audit::since_ms;
use crate::progress::Progress;
use crate::show;
use sluice_model::checkpoint::Numbers;
use sluice_model::ids::{NameError, PipelineName, SplitId};
use sluice_model::tomlfile::FileError;
use sluice_service::control::{self, Asking, LETTERS_AT_ONCE, Request};
use sluice_service::deployment::{read, shown};
use sluice_service::dlq::{Account, Touched};
use sluice_service::keeping::{CheckpointView, Kept, LetterFilter};
use sluice_service::run::{Begin, Entry, How, Task};
use sluice_service::serve::JobView;
use sluice_service::watch::Watch;
use sluice_service::{Error, plan};
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often a service is asked how a redrive or backfill is.
const ASK_EVERY: Duration = Duration::from_millis(300);

fn wrong(message: impl Into<String>) -> FileError {
    FileError::new("arguments", message.into())
}

pub(super) fn wrong_name(error: &NameError) -> Error {
    Error::wrong(wrong(error.to_string()))
}

fn name<T: FromStr<Err = NameError>>(text: &str) -> Result<T, Error> {
    text.parse().map_err(|error| wrong_name(&error))
}

fn some_name<T: FromStr<Err = NameError>>(text: Option<&str>) -> Result<Option<T>, Error> {
    text.map(name).transpose()
}

/// `sluice checkpoint`
pub fn checkpoint(command: &Checkpoint, json: bool) -> Result<ExitCode, Error> {
    match command {
        Checkpoint::List { pipeline } => {
            let (deployment, pipeline) = named(pipeline)?;
            let all: Vec<CheckpointView> =
                control::ask(&deployment, Request::Checkpoints { pipeline })?;
            show::checkpoints(&all, json);
        }
        Checkpoint::Show { pipeline, split } => {
            let (deployment, name) = named(pipeline)?;
            let asked = Request::Checkpoints {
                pipeline: name.clone(),
            };
            let all: Vec<CheckpointView> = control::ask(&deployment, asked)?;
            let found = all.into_iter().find(|view| view.split.as_str() == split);
            let found = found.ok_or_else(|| {
                wrong(format!("`{name}` has no checkpoint of split `{split}`"))
                    .hint("`sluice checkpoint list` shows its splits")
            })?;
            show::checkpoint(&found, json);
        }
        Checkpoint::Set {
            pipeline,
            split,
            place,
            new,
            yes,
        } => return set(pipeline, split, place, (*new, *yes), json),
        Checkpoint::Reset {
            pipeline,
            split,
            schemas,
            yes,
        } => {
            let (deployment, name) = named(pipeline)?;
            let split = some_name(split.as_deref())?;
            let question =
                format!("have `{name}` begin again? the next run delivers everything once more");
            must_be_confirmed(*yes, &question, name.as_str())?;
            let asked = Request::ResetCheckpoints {
                pipeline: name.clone(),
                split,
                schemas: *schemas,
            };
            let moved = control::ask(&deployment, asked)?;
            show::moved(&name, moved, json);
        }
        Checkpoint::Backfill {
            pipeline,
            split,
            from,
        } => {
            let Again { from_start, place } = from;
            let from = match place {
                Some(place) => Begin::Place(source_place(place)?),
                None if *from_start => Begin::Start,
                None => Begin::Resume,
            };
            let split = name(split)?;
            return again(pipeline, Task::Backfill { split, from }, json);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn set(
    pipeline: &Path,
    split: &str,
    place: &str,
    (new, yes): (bool, bool),
    json: bool,
) -> Result<ExitCode, Error> {
    let (deployment, pipeline_name) = named(pipeline)?;
    let split: SplitId = name(split)?;
    let place = source_place(place)?;
    // Which version of its places it is, the plugin says.
    let plan = plan::make(pipeline).map_err(Error::Wrong)?;
    let version = plan.source.artifact.manifest.source.cursor;
    let question = format!(
        "set split `{split}` of `{pipeline_name}` to another place? what lies between is read again, or never"
    );
    must_be_confirmed(yes, &question, pipeline_name.as_str())?;
    let asked = Request::SetCheckpoint {
        pipeline: pipeline_name.clone(),
        split,
        place: Some(place),
        version,
        new,
    };
    let moved = control::ask(&deployment, asked)?;
    show::moved(&pipeline_name, moved, json);
    Ok(ExitCode::SUCCESS)
}

/// A source's place, as the SDK keeps it: JSON, as short as it is written.
fn source_place(text: &str) -> Result<String, Error> {
    let value: serde_json::Value = serde_json::from_str(text)
        .map_err(|error| wrong(format!("the place is not JSON: {error}")))?;
    Ok(value.to_string())
}

pub(super) fn must_be_confirmed(yes: bool, question: &str, name: &str) -> Result<(), Error> {
    if yes || confirmed(question, name)? {
        return Ok(());
    }
    Err(wrong("not confirmed; nothing is changed")
        .hint("`--yes`")
        .into())
}

/// Whether somebody at a terminal types the name.
fn confirmed(question: &str, name: &str) -> Result<bool, Error> {
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    let told = |error: std::io::Error| Error::Host(error.to_string());
    let mut out = std::io::stderr();
    write!(out, "{question}\ntype its name: ").map_err(told)?;
    out.flush().map_err(told)?;
    let mut typed = String::new();
    std::io::stdin().read_line(&mut typed).map_err(told)?;
    Ok(typed.trim() == name)
}

/// `sluice dlq`
pub fn dlq(command: &Dlq, json: bool) -> Result<ExitCode, Error> {
    match command {
        Dlq::List {
            pipeline,
            filter,
            standing,
            limit,
            after,
        } => list(pipeline, filter, standing.as_deref(), *limit, *after, json)?,
        Dlq::Show {
            pipeline,
            number,
            reveal,
        } => {
            let (deployment, name) = named(pipeline)?;
            let (pipeline, number) = (name.clone(), *number);
            let asked = if *reveal {
                Request::RevealLetter { pipeline, number }
            } else {
                Request::Letter { pipeline, number }
            };
            let letter: Option<Kept> = control::ask(&deployment, asked)?;
            show::letter(&letter.ok_or_else(|| no_letter(&name, number))?, json);
        }
        Dlq::Edit {
            pipeline,
            number,
            record,
            file,
        } => {
            let (deployment, name) = named(pipeline)?;
            let record = match (record, file) {
                (Some(record), _) => record.clone(),
                (None, Some(file)) => read(file)?,
                (None, None) => return Err(wrong("no record").hint("--record JSON").into()),
            };
            let asked = Request::Edit {
                pipeline: name.clone(),
                number: *number,
                record,
            };
            let edited: Option<u64> = control::ask(&deployment, asked)?;
            edited.ok_or_else(|| no_letter(&name, *number))?;
            show::edited(&name, *number, json);
        }
        Dlq::Redrive {
            pipeline,
            filter,
            enter,
        } => {
            let filter = filtered(filter)?;
            let entry = match enter {
                Enter::Start => Entry::Start,
                Enter::Stage => Entry::Stage,
            };
            return again(pipeline, Task::Redrive { filter, entry }, json);
        }
        Dlq::Discard {
            pipeline,
            filter,
            reason,
            yes,
        } => {
            let (deployment, name) = named(pipeline)?;
            let filter = filtered(filter)?;
            let question = format!("give up dead letters of `{name}`? their records are gone then");
            must_be_confirmed(*yes, &question, name.as_str())?;
            let asked = Request::Discard {
                pipeline: name.clone(),
                filter,
                reason: reason.clone(),
            };
            let touched: Touched = control::ask(&deployment, asked)?;
            show::discarded(&name, touched.letters, json);
        }
        Dlq::Export {
            pipeline,
            filter,
            out,
        } => {
            let (deployment, name) = named(pipeline)?;
            let filter = filtered(filter)?;
            if let Some(out) = out
                && out.exists()
            {
                return Err(is_there(out));
            }
            let told = Request::LettersExported {
                pipeline: name.clone(),
                to: out.as_deref().map_or_else(|| "-".to_owned(), shown),
            };
            let asking = Asking::of(&deployment)?;
            let () = asking.ask(told)?;
            let written = export(&asking, &name, &filter, out.as_deref())?;
            if let Some(out) = out {
                show::exported(&shown(out), written, json);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn no_letter(name: &PipelineName, number: u64) -> FileError {
    wrong(format!("`{name}` has no dead letter {number}"))
        .hint("`sluice dlq list` shows their numbers")
}

fn list(
    pipeline: &Path,
    filter: &Filter,
    standing: Option<&str>,
    limit: usize,
    after: u64,
    json: bool,
) -> Result<(), Error> {
    let (deployment, name) = named(pipeline)?;
    let mut filter = filtered(filter)?;
    filter.standing = standing
        .map(|word| {
            let word = serde_json::Value::from(word);
            serde_json::from_value(word.clone()).map_err(|_| {
                wrong(format!("{word} is no standing"))
                    .hint("waiting, delivered, filtered or discarded")
            })
        })
        .transpose()?;
    let asking = Asking::of(&deployment)?;
    let mut letters = Vec::new();
    let each = |letter| {
        letters.push(letter);
        Ok(())
    };
    // One more says that there are more.
    let most = limit.saturating_add(1);
    each_letter(&asking, (&name, &filter, false), after, most, each)?;
    let account: Account = asking.ask(Request::Account {
        pipeline: name.clone(),
    })?;
    show::letters(&letters, limit, &account, json);
    Ok(())
}

/// Does something again: by itself, or by the service that has the state.
fn again(pipeline: &Path, task: Task, json: bool) -> Result<ExitCode, Error> {
    let (deployment, name) = named(pipeline)?;
    let asking = Asking::of(&deployment)?;
    let view = match asking.again(&name, &task)? {
        Some(host) => {
            let plan = plan::make_to_run(pipeline)?;
            let report = wait(async {
                let watch = Arc::new(Watch::since(Instant::now()));
                let how = How {
                    task,
                    ..How::alone(Arc::clone(&watch), stopping())
                };
                let _progress = (!json).then(|| Progress::of(watch));
                sluice_service::run::run(&host, plan, how, None).await
            })??;
            JobView::of(&report)
        }
        None => followed(&asking, &name)?,
    };
    show::again(&name, &view, json);
    Ok(ExitCode::from(view.code))
}

/// Waits until the service is done with it.
fn followed(asking: &Asking, pipeline: &PipelineName) -> Result<JobView, Error> {
    loop {
        std::thread::sleep(ASK_EVERY);
        let asked = Request::Job {
            pipeline: pipeline.clone(),
        };
        let view: Option<JobView> = asking.ask(asked)?;
        match view {
            Some(view) if view.over => return Ok(view),
            Some(_) => {}
            None => return Err(Error::Host("the service knows nothing of it any more: it began anew\n  hint: run the command again; what is delivered stays delivered".to_owned())),
        }
    }
}

fn filtered(filter: &Filter) -> Result<LetterFilter, Error> {
    let moment = |text: &Option<String>| text.as_deref().map(since_ms).transpose();
    Ok(LetterFilter {
        numbers: filter.number.as_deref().map(numbers).transpose()?,
        split: some_name(filter.split.as_deref())?,
        stream: some_name(filter.stream.as_deref())?,
        plugin: some_name(filter.plugin.as_deref())?,
        code: filter.code.clone(),
        since_ms: moment(&filter.since)?,
        until_ms: moment(&filter.until)?,
        text: filter.text.clone(),
        standing: None,
    })
}

/// `17`, or `17-90`.
fn numbers(text: &str) -> Result<Numbers, Error> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    if let (Ok(first), Ok(last)) = (first.parse(), last.parse()) {
        return Ok(Numbers { first, last });
    }
    let problem = wrong(format!("`{text}` is not a number of a dead letter"));
    Err(problem
        .hint("`--number 17`, or from one to another: `--number 17-90`")
        .into())
}

/// Records stand in it as they entered: it is its owner's alone, and takes no other file's place.
fn private_file(path: &Path) -> std::io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(path)
}

fn is_there(path: &Path) -> Error {
    FileError::new(shown(path), "it is there already, and is not overwritten")
        .hint("name another file, or move this one away")
        .into()
}

/// Has each dead letter after this number looked at, in order, at most so many.
fn each_letter(
    asking: &Asking,
    (pipeline, filter, reveal): (&PipelineName, &LetterFilter, bool),
    mut after: u64,
    most: usize,
    mut each: impl FnMut(Kept) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut left = most;
    while left > 0 {
        let limit = left.min(LETTERS_AT_ONCE);
        let asked = Request::Letters {
            pipeline: pipeline.clone(),
            filter: filter.clone(),
            after,
            limit,
            reveal,
        };
        let letters: Vec<Kept> = asking.ask(asked)?;
        let Some(last) = letters.last() else { break };
        after = last.letter.number;
        left -= letters.len().min(left);
        letters.into_iter().try_for_each(&mut each)?;
    }
    Ok(())
}

fn export(
    asking: &Asking,
    name: &PipelineName,
    filter: &LetterFilter,
    out: Option<&Path>,
) -> Result<u64, Error> {
    let told = |error: std::io::Error| {
        let file = out.map_or_else(|| "standard output".to_owned(), shown);
        Error::wrong(FileError::new(file, error.to_string()))
    };
    let file: Box<dyn std::io::Write> = match out {
        Some(path) => Box::new(private_file(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => is_there(path),
            _ => told(error),
        })?),
        None => Box::new(std::io::stdout().lock()),
    };
    let mut file = std::io::BufWriter::new(file);
    let mut written = 0;
    each_letter(asking, (name, filter, true), 0, usize::MAX, |letter| {
        serde_json::to_writer(&mut file, &letter).map_err(|error| told(error.into()))?;
        file.write_all(b"\n").map_err(told)?;
        written += 1;
        Ok(())
    })?;
    file.flush().map_err(told)?;
    Ok(written)
}
