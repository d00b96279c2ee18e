//! What answers: `/healthz`, `/readyz` and `/metrics` to machines, on loopback, and a socket in the state directory to
//! people's commands. On a thread of its own: a host whose threads all wait for a disk still says so.

use super::board::{Board, Phase};
use super::bounded::Bounded;
use super::metrics;
use super::standing::State as Standing;
use crate::Error;
use crate::control::{Reply, Request, SOCKET, answer};
use crate::deployment::shown;
use crate::host::Host;
use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::IncomingStream;
use axum::{Json, Router};
use serde_json::json;
use sluice_model::guards::Guard;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// A machine's whole visit.
const VISIT_TIME: Duration = Duration::from_secs(10);
/// A command's.
const COMMAND_TIME: Duration = Duration::from_mins(2);
/// The largest request: an edited dead letter, each byte of which may be two in JSON. Stops a client from filling memory
/// with one.
const REQUEST_BYTES_MAX: usize = 1 << 20;

/// What answers, until it is dropped.
pub struct Front {
    socket: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone)]
struct Shared {
    host: Arc<Host>,
    board: Arc<Board>,
}

/// Opens both, and answers from here on. The state directory is this process's by now.
pub fn open(
    host: &Arc<Host>,
    board: &Arc<Board>,
    listen: Option<SocketAddr>,
) -> Result<Front, Error> {
    let socket = host.deployment().state_dir().join(SOCKET);
    let failed = |what: &str, error: &std::io::Error| Error::Host(format!("`{what}`: {error}"));
    let control = bind_socket(&socket).map_err(|error| failed(&shown(&socket), &error))?;
    let http = listen
        .map(|address| {
            let bound = std::net::TcpListener::bind(address);
            let bound = bound.map_err(|error| failed(&address.to_string(), &error))?;
            let named = bound.local_addr().and_then(|address| {
                bound.set_nonblocking(true)?;
                Ok(address)
            });
            board.listens(named.map_err(|error| failed(&address.to_string(), &error))?);
            Ok::<_, Error>(bound)
        })
        .transpose()?;
    let shared = Shared {
        host: Arc::clone(host),
        board: Arc::clone(board),
    };
    let (stop, stopped) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed("control", &error))?;
    let thread = std::thread::Builder::new()
        .name("sluice-front".to_owned())
        .spawn(move || runtime.block_on(serve(shared, control, http, stopped)))
        .map_err(|error| failed("control", &error))?;
    Ok(Front {
        socket,
        stop: Some(stop),
        thread: Some(thread),
    })
}

impl Drop for Front {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join()); // A panic there was told when it happened.
        }
        drop(std::fs::remove_file(&self.socket)); // What is left is replaced by the next.
    }
}

/// A socket that is its owner's alone, in a folder that is. What a killed service left is replaced.
fn bind_socket(path: &Path) -> std::io::Result<std::os::unix::net::UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = std::os::unix::net::UnixListener::bind(path)?;
    if Guard::ControlMode.stands() {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    }
    listener.set_nonblocking(true)?;
    Ok(listener)
}

async fn serve(
    shared: Shared,
    control: std::os::unix::net::UnixListener,
    http: Option<std::net::TcpListener>,
    stopped: oneshot::Receiver<()>,
) {
    let control = async {
        let listener = tokio::net::UnixListener::from_std(control)?;
        let router = Router::new()
            .route("/v1/ask", post(ask))
            .layer(DefaultBodyLimit::max(
                Guard::ControlBytes.limit(REQUEST_BYTES_MAX),
            ))
            .with_state(shared.clone())
            .into_make_service_with_connect_info::<Peer>();
        axum::serve(Bounded::new(listener, COMMAND_TIME), router).await
    };
    let http = async {
        let Some(http) = http else {
            return std::future::pending().await;
        };
        let listener = tokio::net::TcpListener::from_std(http)?;
        let router = Router::new()
            .route("/healthz", get(healthz))
            .route("/readyz", get(readyz))
            .route("/metrics", get(scraped))
            .with_state(shared.clone());
        axum::serve(Bounded::new(listener, VISIT_TIME), router).await
    };
    let outcome: std::io::Result<()> = tokio::select! {
        outcome = control => outcome,
        outcome = http => outcome,
        _ = stopped => Ok(()),
    };
    if let Err(error) = outcome {
        tracing::error!(%error, "the service answers nobody any more");
    }
}

/// Who is at the other end of the socket, by the kernel's word.
#[derive(Debug, Clone, Copy)]
struct Peer(Option<u32>);

impl axum::extract::connect_info::Connected<IncomingStream<'_, Bounded<tokio::net::UnixListener>>>
    for Peer
{
    fn connect_info(stream: IncomingStream<'_, Bounded<tokio::net::UnixListener>>) -> Self {
        let peer = stream.io().stream.peer_cred();
        Self(peer.ok().map(|peer| peer.uid()))
    }
}

impl Peer {
    /// Whoever may open the files of this user anyway.
    fn may_ask(self, owner: u32) -> Option<u32> {
        let may = |uid: &u32| Guard::ControlPeer.holds(*uid == 0 || *uid == owner);
        self.0.filter(may)
    }
}

async fn ask(
    State(Shared { host, board }): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(request): Json<Request>,
) -> Response {
    let Some(uid) = peer.may_ask(rustix::process::geteuid().as_raw()) else {
        return (StatusCode::FORBIDDEN, "you are not whose service this is").into_response();
    };
    let answered = tokio::task::spawn_blocking(move || {
        let who = crate::audit::Actor::of_user(uid);
        answer(&host, Some(&board), &who, request)
    });
    let answered = answered
        .await
        .unwrap_or_else(|_| Err(Error::Host("a task of the service panicked".to_owned())));
    Json(Reply::from(answered)).into_response()
}

async fn healthz(State(Shared { board, .. }): State<Shared>) -> Response {
    if board.is_alive() {
        (StatusCode::OK, "ok\n").into_response()
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "its threads do not take turns\n",
        )
            .into_response()
    }
}

/// Whether the host works. A pipeline that does not is told, and takes nothing from the others: it makes no host unready.
async fn readyz(State(Shared { host, board }): State<Shared>) -> Response {
    let answered = tokio::task::spawn_blocking(move || checks(&host, &board)).await;
    let checks = answered.unwrap_or_default();
    let is_ready = !checks.is_empty()
        && checks
            .iter()
            .all(|check| check.ok || check.pipeline.is_some());
    let status = if is_ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(json!({ "ready": is_ready, "checks": checks }))).into_response()
}

/// One thing that is looked at. Every user of the machine can read it: no word of a plugin is in it.
#[derive(Debug, serde::Serialize)]
struct Check {
    #[serde(rename = "check")]
    what: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pipeline: Option<String>,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<Standing>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Check {
    fn of(what: &'static str, wrong: Option<String>) -> Self {
        Self {
            what,
            pipeline: None,
            ok: wrong.is_none(),
            state: None,
            reason: wrong,
        }
    }
}

fn checks(host: &Host, board: &Board) -> Vec<Check> {
    let phase = match board.phase() {
        Phase::Opening => Some("opening"),
        Phase::Serving => None,
        Phase::Draining => Some("draining"),
    };
    let store = match host.keeping() {
        Ok(keeping) if keeping.stats().poisoned => Some("the store failed".to_owned()),
        Ok(_) => None,
        Err(error) => Some(error.to_string()),
    };
    let audit = host.audit().err().map(|error| error.to_string());
    let mut checks = vec![
        Check::of("service", phase.map(ToOwned::to_owned)),
        Check::of("state store", store),
        Check::of("audit trail", audit),
        Check::of("host", board.trouble()),
    ];
    checks.extend(board.seats().iter().map(|seat| {
        let (state, reason) = seat.stands();
        Check {
            what: "pipeline",
            pipeline: Some(seat.label.clone()),
            ok: !state.is_bad(),
            state: Some(state),
            reason: reason.map(|reason| reason.kind),
        }
    }));
    checks
}

async fn scraped(State(Shared { host, board }): State<Shared>) -> Response {
    let text = tokio::task::spawn_blocking(move || {
        let keeping = host.keeping().ok();
        // One pipeline, one set of figures: a second file of its name is told in the status and the log.
        let seats = board.seats();
        let seats = seats.iter().filter(|seat| board.elder_of(seat).is_none());
        let figures = seats.map(|seat| {
            let mut figures = seat.figures();
            if let Some(name) = &seat.name {
                figures.jobs = board.jobs().figures(name);
                figures.letters = keeping
                    .as_ref()
                    .and_then(|keeping| keeping.account(name).ok());
            }
            figures
        });
        let figures: Vec<_> = figures.collect();
        let stats = keeping.map(|keeping| keeping.stats());
        metrics::text(&figures, stats.as_ref(), board.began_ms())
    });
    match text.await {
        Ok(Ok(text)) => {
            let kind = [(
                header::CONTENT_TYPE,
                "text/plain; version=0.0.4; charset=utf-8",
            )];
            (kind, text).into_response()
        }
        _ => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_and_root_may_ask_and_nobody_else() {
        for (peer, may) in [
            (Some(1_000), true),
            (Some(0), true),
            (Some(1_001), false),
            (None, false),
        ] {
            assert_eq!(Peer(peer).may_ask(1_000).is_some(), may, "{peer:?}");
        }
    }
}
