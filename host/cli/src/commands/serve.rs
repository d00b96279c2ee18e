//! `sluice serve`, `status`, `pause`, `resume`.

use super::state::wrong_name;
use super::{stopping, wait_with};
use crate::show;
use sluice_model::ids::PipelineName;
use sluice_service::Error;
use sluice_service::control::{Request, ask};
use sluice_service::deployment::Deployment;
use sluice_service::serve::{Ended, StatusView};
use std::path::Path;
use std::process::ExitCode;

/// Worker threads of a service, for each core: what waits for a disk holds one, and there are many pipelines.
const WORKERS_EACH_CORE: usize = 2;
const WORKERS_MIN: usize = 8;

/// `sluice serve`
pub fn serve(dir: &Path) -> Result<ExitCode, Error> {
    let deployment = Deployment::find(dir)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = (cores * WORKERS_EACH_CORE).max(WORKERS_MIN);
    let ended = wait_with(workers, async {
        let stop = stopping();
        sluice_service::serve::serve(deployment, stop).await
    })??;
    Ok(ExitCode::from(u8::from(ended == Ended::CutOff)))
}

/// `sluice status`
pub fn status(dir: &Path, json: bool) -> Result<ExitCode, Error> {
    let status: StatusView = ask(&Deployment::find(dir)?, Request::Status)?;
    show::status(&status, json);
    Ok(ExitCode::SUCCESS)
}

fn named(pipeline: &str) -> Result<PipelineName, Error> {
    pipeline.parse().map_err(|error| wrong_name(&error))
}

/// `sluice pause`
pub fn pause(
    pipeline: &str,
    reason: Option<&str>,
    dir: &Path,
    json: bool,
) -> Result<ExitCode, Error> {
    let pipeline = named(pipeline)?;
    let asked = Request::Pause {
        pipeline: pipeline.clone(),
        reason: reason.map(ToOwned::to_owned),
    };
    let () = ask(&Deployment::find(dir)?, asked)?;
    show::told_to(&pipeline, "paused", json);
    Ok(ExitCode::SUCCESS)
}

/// `sluice resume`
pub fn resume(pipeline: &str, dir: &Path, json: bool) -> Result<ExitCode, Error> {
    let pipeline = named(pipeline)?;
    let asked = Request::Resume {
        pipeline: pipeline.clone(),
    };
    let () = ask(&Deployment::find(dir)?, asked)?;
    show::told_to(&pipeline, "resumed", json);
    Ok(ExitCode::SUCCESS)
}
