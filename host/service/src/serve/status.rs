//! How every pipeline is, as `sluice status` shows it: by the service's word, or from what runs have left.

use super::board::{Board, Phase};
use super::files::pipeline_files;
use super::seat::Seat;
use super::standing::State;
use crate::Error;
use crate::control;
use crate::deployment::{read, shown};
use crate::host::Host;
use crate::keeping::Keeping;
use serde::{Deserialize, Serialize};
use sluice_model::checkpoint::Totals;
use sluice_model::ids::{HOST_OWN, PipelineName};
use sluice_model::lag::Lag;
use sluice_model::pipeline::Pipeline;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

/// A deployment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StatusView {
    /// The service; none where none runs.
    pub service: Option<ServiceView>,
    /// Its pipelines.
    pub pipelines: Vec<PipelineView>,
}

/// A service at work.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServiceView {
    /// Its process.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// When it began, in milliseconds since 1970.
    pub since_ms: u64,
    /// Where machines ask how it is.
    pub listen: Option<SocketAddr>,
    /// Whether it is about to end.
    pub draining: bool,
    /// What the host itself last failed at.
    pub trouble: Option<String>,
}

/// A pipeline.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PipelineView {
    /// Its name; the file's, where that does not say one.
    pub pipeline: String,
    /// Its file.
    pub file: String,
    /// When it runs.
    pub schedule: String,
    /// What it does; none where no service runs.
    pub state: Option<State>,
    /// Why, in a word: `transient`, `misconfigured`, `told`.
    pub kind: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// What mends it.
    pub mend: Option<String>,
    /// Since when, in milliseconds since 1970.
    pub since_ms: Option<u64>,
    /// When its last run began; where no service runs, when it last got on.
    pub last_run_ms: Option<u64>,
    /// When a run last came to its source's end, since the service began.
    pub last_success_ms: Option<u64>,
    /// When it is next to run.
    pub next_run_ms: Option<u64>,
    /// Runs since the service began.
    pub runs: u64,
    /// Those that could not go on.
    pub failed_runs: u64,
    /// Records over all runs, those in flight among those read.
    #[serde(flatten)]
    pub totals: Totals,
    /// Records read and not settled yet.
    pub in_flight: u64,
    /// How far behind its source it is, as that last said since the service began.
    pub lag: Vec<Lag>,
}

/// How it all is. Blocking.
pub(crate) fn status(host: &Host, board: Option<&Arc<Board>>) -> Result<StatusView, Error> {
    let keeping = host.keeping()?;
    let service = board.map(|board| ServiceView {
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        since_ms: board.began_ms(),
        listen: board.listen(),
        draining: board.phase() == Phase::Draining,
        trouble: board.trouble(),
    });
    let pipelines: Result<_, Error> = if let Some(board) = board {
        let seats = board.seats();
        seats.iter().map(|seat| at_work(&keeping, seat)).collect()
    } else {
        let pauses = control::pauses(host.deployment())?;
        let folder = shown(&host.deployment().pipelines_dir());
        let (files, _) = pipeline_files(host.deployment())
            .map_err(|error| Error::Host(format!("`{folder}`: {error}")))?;
        files
            .iter()
            .map(|file| left(&keeping, &pauses, file))
            .collect()
    };
    let pipelines = pipelines?;
    Ok(StatusView { service, pipelines })
}

/// A pipeline of a service.
fn at_work(keeping: &Keeping, seat: &Seat) -> Result<PipelineView, Error> {
    let mut view = seat.view();
    if let Some(name) = &seat.name {
        let (totals, updated_ms) = kept(keeping, name)?;
        view.totals = totals;
        view.totals.read += view.in_flight;
        view.last_run_ms = view.last_run_ms.or(updated_ms);
    }
    Ok(view)
}

/// Records over all runs, and when it last got on.
fn kept(keeping: &Keeping, name: &PipelineName) -> Result<(Totals, Option<u64>), Error> {
    let checkpoints = keeping.checkpoints(name)?;
    // What is done again is counted where it is asked for, and not a second time here.
    let own = checkpoints
        .iter()
        .filter(|view| !view.split.as_str().starts_with(HOST_OWN));
    let totals = own.fold(Totals::default(), |sum, view| sum.plus(view.totals));
    Ok((totals, checkpoints.iter().map(|view| view.updated_ms).max()))
}

/// A pipeline that no service runs.
fn left(
    keeping: &Keeping,
    pauses: &std::collections::BTreeMap<PipelineName, control::Pause>,
    file: &Path,
) -> Result<PipelineView, Error> {
    let parsed = read(file).and_then(|text| Pipeline::parse(&shown(file), &text));
    let stem = file
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let name = parsed.as_ref().ok().map(|pipeline| &pipeline.pipeline.name);
    let (totals, last_run_ms) = match name {
        Some(name) => kept(keeping, name)?,
        None => (Totals::default(), None),
    };
    let pause = name.and_then(|name| pauses.get(name));
    let (kind, reason) = match (&parsed, pause) {
        (Err(problem), _) => (
            Some(super::standing::MISCONFIGURED),
            Some(problem.to_string()),
        ),
        (_, Some(pause)) => (Some(super::standing::TOLD), Some(pause.told())),
        _ => (None, None),
    };
    Ok(PipelineView {
        pipeline: name.map_or(stem, ToString::to_string),
        file: shown(file),
        schedule: parsed.as_ref().map_or_else(
            |_| "?".to_owned(),
            |pipeline| pipeline.pipeline.schedule.to_string(),
        ),
        state: pause.map(|_| State::Paused),
        kind: kind.map(ToOwned::to_owned),
        mend: pause.and(name).map(|name| format!("sluice resume {name}")),
        reason,
        since_ms: pause.map(|pause| pause.at_ms),
        last_run_ms,
        last_success_ms: None,
        next_run_ms: None,
        runs: 0,
        failed_runs: 0,
        totals,
        in_flight: 0,
        lag: Vec::new(),
    })
}
