//! What each command does: asks the service, shows the answer.

mod plugin;
mod sealed;
mod serve;
mod state;

pub use plugin::plugin;
pub use sealed::{key, secret, state};
pub use serve::{pause, resume, serve, status};
pub use state::{checkpoint, dlq};

use crate::arguments::Grant;
use crate::progress::Progress;
use crate::show;
use sluice_model::ids::PipelineName;
use sluice_model::pipeline::Pipeline;
use sluice_model::tomlfile::FileError;
use sluice_service::control;
use sluice_service::deployment::{Deployment, read, shown};
use sluice_service::host::Host;
use sluice_service::run::How;
use sluice_service::watch::Watch;
use sluice_service::{Error, access, grants, plan, trial, usage};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Worker threads: what waits for a disk holds one, so there are more than cores.
const WORKERS: usize = 4;
/// How long what still blocks when all is done may take to let go.
const LET_GO: Duration = Duration::from_secs(5);

fn wait<T>(work: impl Future<Output = T>) -> Result<T, Error> {
    wait_with(WORKERS, work)
}

/// The same, with so many worker threads.
fn wait_with<T>(workers: usize, work: impl Future<Output = T>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| Error::Host(format!("no threads: {error}")))?;
    let done = runtime.block_on(work);
    // Work that hangs, in a file on a mount that went away, would hold the process for ever.
    runtime.shutdown_timeout(LET_GO);
    Ok(done)
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
        let host = Arc::new(Host::new(plan.deployment.clone(), "run"));
        let drained = stopping();
        let _progress = (!json).then(|| Progress::of(Arc::clone(&watch)));
        sluice_service::run::run(&host, plan, How::alone(watch, drained), record).await
    })??;
    show::report(&report, json);
    Ok(ExitCode::from(report.exit_code()))
}

/// Turns true with the first SIGINT or SIGTERM. The second ends the process at once.
fn stopping() -> watch::Receiver<bool> {
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        if asked_to_stop().await {
            tracing::warn!("stopping: what is read is delivered first; once more stops at once");
            let _ = stop.send(true); // Where nobody listens, it is over already.
            asked_to_stop().await;
            std::process::exit(1);
        }
    });
    stopped
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
    let host = Host::new(plan.deployment.clone(), "check");
    let checked = wait(sluice_service::run::check(&host, plan))??;
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
            if !dry_run {
                control::reload(&Deployment::find(folder_of(pipeline))?);
            }
            show::proposed(&proposed, pipeline, json);
            let held_back = proposed.iter().any(grants::Proposed::is_held_back);
            return Ok(ExitCode::from(u8::from(held_back && !dry_run)));
        }
        Grant::New {
            pipeline,
            learn: Some(record),
            replace,
            ..
        } => {
            let learnt = trial::learn(pipeline, record, *replace)?;
            if *replace {
                control::reload(&Deployment::find(folder_of(pipeline))?);
            }
            show::learnt(&learnt, json);
        }
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
            control::reload(&deployment);
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
    let deployment = Deployment::find(folder_of(pipeline))?;
    let file = shown(pipeline);
    let pipeline = Pipeline::parse(&file, &read(pipeline)?)?;
    Ok((deployment, pipeline.pipeline.name))
}

fn folder_of(pipeline: &Path) -> &Path {
    pipeline.parent().unwrap_or(Path::new("."))
}
