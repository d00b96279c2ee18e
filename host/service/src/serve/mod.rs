//! A service: every pipeline of a folder, side by side in one process, each by its own schedule. One that fails harms
//! no other. [`standing`] decides what becomes of each, `tending` does it, [`Board`] is what everybody looks at;
//! `front` answers machines and people, on a thread of its own, so that a busy host still says how it is.

mod board;
mod bounded;
mod files;
mod front;
mod jobs;
mod metrics;
mod seat;
pub mod standing;
mod status;
mod tending;
pub mod timetable;

pub use board::Board;
pub(crate) use files::pipelines_of;
pub use jobs::{JobView, Jobs};
pub(crate) use status::status;
pub use status::{PipelineView, ServiceView, StatusView};

use crate::Error;
use crate::control;
use crate::deployment::{Deployment, shown};
use crate::host::Host;
use crate::keeping::now_ms;
use board::Phase;
use files::Files;
use sd_notify::NotifyState;
use sluice_model::deployment::FILE;
use sluice_model::guards::Guard;
use sluice_model::tomlfile::FileError;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How often the service shows that it is alive.
const BEAT_EVERY: Duration = Duration::from_secs(1);
/// What a run that was cut off has to let go of what it held.
const CUT_TIME: Duration = Duration::from_secs(10);

/// How a service ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All that was read is delivered.
    Drained,
    /// Runs were cut off when the time to drain was over. Their places are held.
    CutOff,
}

/// Serves a deployment until `stop` turns true, and drains. An error ends it: then every place is held.
pub async fn serve(deployment: Deployment, stop: watch::Receiver<bool>) -> Result<Ended, Error> {
    let listen = deployment.settings.service.listen;
    listen
        .map(|address| must_be_loopback(&deployment, address))
        .transpose()?;
    let pipelines = deployment.pipelines_dir();
    if !pipelines.is_dir() {
        return Err(FileError::new(shown(&pipelines), "no such folder")
            .hint(
                "`sluice serve` runs the pipeline files in it; `[service] pipelines` names another",
            )
            .into());
    }
    let host = Arc::new(Host::new(deployment, "serve"));
    let pauses = {
        let host = Arc::clone(&host);
        off_the_workers(move || {
            host.begin()?;
            control::pauses(host.deployment())
        })
        .await?
    };
    let board = Arc::new(Board::new(pauses, Handle::current()));
    let front = match front::open(&host, &board, listen) {
        Ok(front) => front,
        Err(error) => {
            // It began, and ends: the next need not wonder.
            let ended = off_the_workers(move || host.end()).await;
            return Err(ended.err().unwrap_or(error));
        }
    };
    tracing::info!(
        pipelines = %shown(&pipelines),
        listen = board.listen().map(|address| address.to_string()),
        "serving"
    );
    let outcome = Service {
        host: Arc::clone(&host),
        board: Arc::clone(&board),
        tended: JoinSet::new(),
    }
    .go(stop)
    .await;
    drop(front);
    // What failed first is told first.
    let ended = off_the_workers(move || host.end()).await;
    outcome.and_then(|outcome| ended.map(|()| outcome))
}

/// What machines ask is answered to this machine alone: there is no other guard before it.
fn must_be_loopback(deployment: &Deployment, address: SocketAddr) -> Result<(), Error> {
    if Guard::ListenLoopback.bars(!address.ip().is_loopback()) {
        let message = format!("`{address}` is not an address of this machine alone");
        return Err(FileError::new(shown(&deployment.base.join(FILE)), message)
            .hint("[service]\nlisten = \"127.0.0.1:9464\"\nand a proxy before it, where others are to ask")
            .into());
    }
    Ok(())
}

/// Tells systemd, where that started the service and asked to be told.
fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "systemd cannot be told");
    }
}

/// Blocking work, off the async threads.
async fn off_the_workers<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|_| Err(Error::Host("a task of the host panicked".to_owned())))
}

struct Service {
    host: Arc<Host>,
    board: Arc<Board>,
    tended: JoinSet<()>,
}

impl Service {
    async fn go(mut self, mut stop: watch::Receiver<bool>) -> Result<Ended, Error> {
        let _beating = Beating::of(&self.board);
        let mut files = Files::default();
        loop {
            files = tokio::select! {
                files = self.look(files) => files?,
                // A folder on a mount that hangs holds up no stop.
                _ = stop.wait_for(|stop| *stop) => break,
            };
            if self.board.phase() == Phase::Opening {
                self.board.enter(Phase::Serving);
                notify(NotifyState::Ready);
            }
            let reload = self.board.reloads();
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = reload => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
            if self.host.keeping()?.stats().poisoned {
                self.drain().await;
                return Err(Error::Host(
                    "the state store failed; every place is held, and it is opened anew with the next start".to_owned(),
                ));
            }
        }
        Ok(self.drain().await)
    }

    /// Looks at the files, and has each pipeline hear what concerns it.
    async fn look(&mut self, files: Files) -> Result<Files, Error> {
        let (host, board) = (Arc::clone(&self.host), Arc::clone(&self.board));
        let (files, new) = off_the_workers(move || {
            let mut files = files;
            let new = files.look(host.deployment(), &board);
            Ok((files, new))
        })
        .await?;
        for seat in new {
            let (host, board) = (Arc::clone(&self.host), Arc::clone(&self.board));
            self.tended.spawn(tending::tend(host, board, seat));
        }
        while self.tended.try_join_next().is_some() {}
        Ok(files)
    }

    /// Has every run end: gracefully in the time there is, at once after that.
    async fn drain(&mut self) -> Ended {
        let time = self.host.deployment().settings.service.drain.0;
        tracing::info!(
            drain_ms = time.as_millis() as u64,
            "stopping: what is read is delivered first"
        );
        self.board.enter(Phase::Draining);
        notify(NotifyState::Stopping);
        let board = Arc::clone(&self.board);
        let all = async {
            while self.tended.join_next().await.is_some() {}
            board.jobs().over().await;
        };
        if tokio::time::timeout(time + CUT_TIME, all).await.is_err() {
            self.board.cut_off();
            self.tended.shutdown().await;
        }
        if self.board.was_cut_off() {
            Ended::CutOff
        } else {
            Ended::Drained
        }
    }
}

/// Shows that the service's threads still take turns, until it is dropped.
struct Beating(tokio::task::JoinHandle<()>);

impl Beating {
    fn of(board: &Arc<Board>) -> Self {
        let board = Arc::clone(board);
        Self(tokio::spawn(async move {
            loop {
                board.beat();
                tokio::time::sleep(BEAT_EVERY).await;
            }
        }))
    }
}

impl Drop for Beating {
    fn drop(&mut self) {
        self.0.abort();
    }
}
