//! What each command does: asks the service, shows the answer.

mod plugin;
mod sealed;

pub use plugin::plugin;
pub use sealed::{key, secret, state};

use crate::arguments::{Checkpoint, Dlq, Filter, Grant};
use crate::progress::Progress;
use crate::show;
use sluice_model::ids::{NameError, PipelineName};
use sluice_model::pipeline::Pipeline;
use sluice_model::tomlfile::FileError;
use sluice_service::audit::{Action, Audit};
use sluice_service::deployment::{Deployment, read, shown};
use sluice_service::keeping::{Keeping, LetterFilter};
use sluice_service::report::Ending;
use sluice_service::watch::Watch;
use sluice_service::{Error, access, grants, plan, trial, usage};
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::watch;

/// Worker threads: what waits for a disk holds one, so there are more than cores.
const WORKERS: usize = 4;
/// Dead letters read at a time for an export.
const EXPORT_PAGE: usize = 512;

fn wait<T>(work: impl Future<Output = T>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| Error::Host(format!("no threads: {error}")))?;
    Ok(runtime.block_on(work))
}

/// `sluice run`, in a process that began then.
pub fn run(
    pipeline: &Path,
    record: Option<&Path>,
    json: bool,
    began: Instant,
) -> Result<ExitCode, Error> {
    let plan = plan::make_to_run(pipeline)?;
    let report = wait(async {
        let watch = Arc::new(Watch::since(began));
        let (drain, drained) = watch::channel(false);
        tokio::spawn(async move {
            if asked_to_stop().await {
                tracing::warn!(
                    "stopping: what is read is delivered first; once more stops at once"
                );
                let _ = drain.send(true); // Where nobody listens, the run is over already.
                asked_to_stop().await;
                std::process::exit(1);
            }
        });
        let _progress = (!json).then(|| Progress::of(Arc::clone(&watch)));
        sluice_service::run::run(plan, watch, drained, record).await
    })??;
    show::report(&report, json);
    Ok(ExitCode::from(u8::from(report.ending == Ending::Stopped)))
}

/// Waits for SIGINT or SIGTERM.
async fn asked_to_stop() -> bool {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return false;
    };
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.is_ok(),
        terminated = terminate.recv() => terminated.is_some(),
    }
}

/// `sluice check`
pub fn check(pipeline: &Path, json: bool) -> Result<ExitCode, Error> {
    let plan = plan::make(pipeline).map_err(Error::Wrong)?;
    let checked = wait(sluice_service::run::check(plan))??;
    show::checked(&checked, json);
    Ok(ExitCode::SUCCESS)
}

/// `sluice grant`
pub fn grant(command: &Grant, json: bool) -> Result<ExitCode, Error> {
    match command {
        Grant::New {
            pipeline,
            networks,
            widen,
            dry_run,
            learn: None,
            replace: _,
        } => {
            let how = grants::How {
                networks,
                widen: *widen,
                write: !dry_run,
            };
            let proposed = grants::propose(pipeline, how)?;
            show::proposed(&proposed, pipeline, json);
            let held_back = proposed.iter().any(grants::Proposed::is_held_back);
            return Ok(ExitCode::from(u8::from(held_back && !dry_run)));
        }
        Grant::New {
            pipeline,
            learn: Some(record),
            replace,
            ..
        } => show::learnt(&trial::learn(pipeline, record, *replace)?, json),
        Grant::Usage { plugin, here } => {
            let deployment = Deployment::find(&here.dir)?;
            let found = match plugin {
                Some(plugin) => grants::matching(&deployment, plugin)?,
                None => grants::all(&deployment)?,
            };
            show::usage(&usage::of(&deployment, &found)?, json);
        }
        Grant::Revoke {
            which,
            reason,
            all,
            here,
        } => {
            let deployment = Deployment::find(&here.dir)?;
            let found = grants::matching(&deployment, which)?;
            if found.len() > 1 && !all {
                let files: Vec<&str> = found.iter().map(|filed| filed.file.as_str()).collect();
                let message = format!(
                    "`{which}` names {} grants: {}",
                    found.len(),
                    files.join(", ")
                );
                return Err(FileError::new("arguments", message)
                    .hint("name one file, or `--all`")
                    .into());
            }
            grants::revoke(&deployment, &found, reason.as_deref())?;
            show::revoked(&found, json);
        }
        Grant::List { reach, here } => {
            let deployment = Deployment::find(&here.dir)?;
            match reach {
                Some(reach) => {
                    let sought = access::sought(reach)?;
                    show::reaching(&access::reaching(&deployment, &sought)?, reach, json);
                }
                None => show::grants(&grants::all(&deployment)?, json),
            }
        }
        Grant::Show {
            plugin,
            effective,
            here,
        } => {
            let deployment = Deployment::find(&here.dir)?;
            if *effective {
                show::accesses(&access::of_plugin(&deployment, plugin)?, json);
            } else {
                show::grant_files(&grants::matching(&deployment, plugin)?, json)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The deployment and the name of a pipeline: its plugins need not be there to look at what it left.
fn named(pipeline: &Path) -> Result<(Deployment, PipelineName), Error> {
    let deployment = Deployment::find(pipeline.parent().unwrap_or(Path::new(".")))?;
    let file = shown(pipeline);
    let pipeline = Pipeline::parse(&file, &read(pipeline)?)?;
    Ok((deployment, pipeline.pipeline.name))
}

fn wrong_name(error: &NameError) -> Error {
    Error::wrong(FileError::new("arguments", error.to_string()))
}

/// `sluice checkpoint`
pub fn checkpoint(command: &Checkpoint, json: bool) -> Result<ExitCode, Error> {
    match command {
        Checkpoint::List { pipeline } => {
            let (deployment, name) = named(pipeline)?;
            show::checkpoints(
                &Keeping::open_existing(&deployment)?.checkpoints(&name)?,
                json,
            );
        }
        Checkpoint::Show { pipeline, split } => {
            let (deployment, name) = named(pipeline)?;
            let all = Keeping::open_existing(&deployment)?.checkpoints(&name)?;
            let found = all.into_iter().find(|view| view.split.as_str() == split);
            let found = found.ok_or_else(|| {
                FileError::new(
                    "arguments",
                    format!("`{name}` has no checkpoint of split `{split}`"),
                )
                .hint("`sluice checkpoint list` shows its splits")
            })?;
            show::checkpoint(&found, json);
        }
        Checkpoint::Reset {
            pipeline,
            split,
            schemas,
            yes,
        } => {
            let (deployment, name) = named(pipeline)?;
            let split = split
                .as_deref()
                .map(str::parse)
                .transpose()
                .map_err(|error| wrong_name(&error))?;
            let question =
                format!("forget where `{name}` is? the next run delivers everything again");
            if !yes && !confirmed(&question, name.as_str())? {
                return Err(
                    FileError::new("arguments", "not confirmed; nothing is forgotten")
                        .hint("`--yes`")
                        .into(),
                );
            }
            let keeping = Keeping::open_existing(&deployment)?;
            let audit = Audit::open(&deployment)?;
            let forgotten = keeping.reset(&audit, &name, split.as_ref(), *schemas)?;
            show::forgotten(&name, forgotten, json);
        }
    }
    Ok(ExitCode::SUCCESS)
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
            limit,
            after,
        } => {
            let (deployment, name) = named(pipeline)?;
            let keeping = Keeping::open_existing(&deployment)?;
            let letters =
                keeping.dead_letters(&name, &filtered(filter)?, *after, limit.saturating_add(1))?;
            show::letters(&letters, *limit, json);
        }
        Dlq::Show { pipeline, number } => {
            let (deployment, name) = named(pipeline)?;
            let letter = Keeping::open_existing(&deployment)?.dead_letter(&name, *number)?;
            let letter = letter.ok_or_else(|| {
                FileError::new("arguments", format!("`{name}` has no dead letter {number}"))
                    .hint("`sluice dlq list` shows their numbers")
            })?;
            show::letter(&letter, json);
        }
        Dlq::Export {
            pipeline,
            filter,
            out,
        } => {
            let (deployment, name) = named(pipeline)?;
            let keeping = Keeping::open_existing(&deployment)?;
            let filter = filtered(filter)?;
            if let Some(out) = out
                && out.exists()
            {
                return Err(is_there(out));
            }
            let act = Action::DlqExported
                .with("pipeline", &name)
                .with("to", out.as_deref().map_or_else(|| "-".to_owned(), shown));
            Audit::open(&deployment)?.act(act.at(keeping.last_commit()))?;
            let written = export(&keeping, &name, &filter, out.as_deref())?;
            if let Some(out) = out {
                show::exported(&shown(out), written, json);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn filtered(filter: &Filter) -> Result<LetterFilter, Error> {
    Ok(LetterFilter {
        split: filter
            .split
            .as_deref()
            .map(str::parse)
            .transpose()
            .map_err(|error| wrong_name(&error))?,
        stream: filter
            .stream
            .as_deref()
            .map(str::parse)
            .transpose()
            .map_err(|error| wrong_name(&error))?,
        code: filter.code.clone(),
    })
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

fn export(
    keeping: &Keeping,
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
    let (mut after, mut written) = (0, 0);
    loop {
        let letters = keeping.dead_letters(name, filter, after, EXPORT_PAGE)?;
        let Some(last) = letters.last() else { break };
        after = last.letter.number;
        for letter in &letters {
            serde_json::to_writer(&mut file, letter).map_err(|error| told(error.into()))?;
            file.write_all(b"\n").map_err(told)?;
            written += 1;
        }
    }
    file.flush().map_err(told)?;
    Ok(written)
}
