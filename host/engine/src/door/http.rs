//! Requests: every one goes to the stage's door, which decides, dials and sends. No other sender is compiled in.

use crate::answer;
use crate::plugin::Context;
use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use sluice_model::guards::Guard;
use sluice_model::limits;
use sluice_model::ports::{Body, HttpDoor, HttpError, HttpTimeouts, Observer, Refusal};
use sluice_policy::Effective;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, ready};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime_wasi_http::{Error, RequestOptions, WasiHttpHooks};

/// How a guest tells a refusal from a failure: the text of the error begins so. The SDK knows it.
const DENIED: &str = "denied: ";

/// `wasmtime_wasi_http`'s body.
type GuestBody = UnsyncBoxBody<Bytes, Error>;
type Finished = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Answer = Result<(http::Response<GuestBody>, Finished), Error>;

/// The sending side of one instance.
pub(crate) struct Sender {
    door: Option<Arc<dyn HttpDoor>>,
    effective: Arc<Effective>,
    observer: Arc<dyn Observer>,
    open: Arc<Semaphore>,
    /// Requests that change something at the other end, answered with success.
    taken: Arc<AtomicU64>,
}

impl Sender {
    pub(crate) fn new(context: &Context) -> Self {
        Self {
            door: context.http.clone(),
            effective: Arc::clone(&context.effective),
            observer: Arc::clone(&context.observer),
            open: Arc::new(Semaphore::new(
                Guard::InstanceRequests
                    .limit(limits::HTTP_REQUESTS_IN_FLIGHT_MAX)
                    .min(Semaphore::MAX_PERMITS),
            )),
            taken: Arc::default(),
        }
    }

    /// Requests that change something at the other end and were answered with success.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    fn no_door(&self, request: &http::Request<GuestBody>) -> Error {
        let uri = request.uri();
        let refusal = Refusal {
            capability: "http",
            asked: answer::quoted(&format!(
                "{} {}{}",
                request.method(),
                uri.authority().map_or("", |a| a.as_str()),
                uri.path()
            )),
            reason: format!(
                "`{}` has no network as a {}",
                self.effective.plugin, self.effective.stage.role
            ),
            hint: Some("add an [[http]] to the manifest and the grant".to_owned()),
        };
        self.observer.refused(self.effective.stage, &refusal);
        denied(&refusal)
    }
}

impl WasiHttpHooks for Sender {
    /// Requests that are never sent hold two pieces each, beside the instance's memory.
    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        Guard::BodyChunk
            .limit(limits::HTTP_BODY_CHUNK_BYTES)
            .min(wasmtime_wasi_http::p2::DEFAULT_OUTGOING_BODY_CHUNK_SIZE)
    }

    /// The door owns that header, and refuses one that is there already.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn send_request(
        &mut self,
        request: http::Request<GuestBody>,
        options: Option<RequestOptions>,
        _: Finished,
    ) -> Box<dyn Future<Output = Answer> + Send> {
        let Some(door) = self.door.clone() else {
            let refusal = self.no_door(&request);
            drain(request.into_body());
            return Box::new(async move { Err(refusal) });
        };
        let permit = Arc::clone(&self.open).try_acquire_owned();
        let (taken, changes) = (Arc::clone(&self.taken), !request.method().is_safe());
        Box::new(async move {
            let permit = permit.map_err(|_| Error::ConnectionLimitReached)?;
            let answer = send(&*door, request, timeouts(options), permit).await?;
            if changes && answer.0.status().is_success() {
                taken.fetch_add(1, Ordering::Relaxed);
            }
            Ok(answer)
        })
    }
}

async fn send(
    door: &dyn HttpDoor,
    request: http::Request<GuestBody>,
    timeouts: HttpTimeouts,
    permit: OwnedSemaphorePermit,
) -> Answer {
    let (mut parts, body) = request.into_parts();
    // Guests' libraries state it, and wasmtime holds the body to it; the door frames the request itself.
    parts.headers.remove(http::header::CONTENT_LENGTH);
    let kept = Kept(Arc::new(Mutex::new(body)));
    let sent = kept
        .clone()
        .map_err(|error| Box::new(error) as Box<_>)
        .boxed_unsync();
    match door
        .send(http::Request::from_parts(parts, sent), timeouts)
        .await
    {
        Ok(answer) => {
            let answer = answer.map(|body| {
                Open {
                    body,
                    _permit: permit,
                }
                .boxed_unsync()
            });
            Ok((answer, Box::new(async { Ok(()) })))
        }
        Err(error) => {
            drain(kept);
            Err(told(error))
        }
    }
}

/// What the guest asked for, up to the limits.
fn timeouts(options: Option<RequestOptions>) -> HttpTimeouts {
    let options = options.unwrap_or_default();
    let capped = |asked: Option<Duration>, max: Duration| asked.map_or(max, |asked| asked.min(max));
    HttpTimeouts {
        connect: capped(options.connect_timeout, limits::HTTP_CONNECT_TIME_MAX),
        first_byte: capped(options.first_byte_timeout, limits::HTTP_FIRST_BYTE_TIME_MAX),
        between_bytes: capped(
            options.between_bytes_timeout,
            limits::HTTP_BETWEEN_BYTES_TIME_MAX,
        ),
    }
}

fn denied(refusal: &Refusal) -> Error {
    Error::InternalError(Some(format!("{DENIED}{refusal}")))
}

/// The door's errors, in `wasi:http`'s words where it has them, with the reason where it has room.
fn told(error: HttpError) -> Error {
    match error {
        HttpError::Denied(refusal) => denied(&refusal),
        HttpError::Dns { reason, .. } => Error::DnsError {
            rcode: Some(reason),
            info_code: None,
        },
        HttpError::Connect { .. } => Error::ConnectionRefused,
        HttpError::Tls { .. } => Error::TlsProtocolError,
        HttpError::Timeout { .. } => Error::ConnectionTimeout,
        error @ (HttpError::TooLarge(_) | HttpError::Protocol { .. }) => {
            Error::InternalError(Some(error.to_string()))
        }
    }
}

/// Reads a body to its end, or to the limit, and forgets it: a guest that is still writing would see a closed pipe
/// instead of the reason. Beside the answer, which does not wait for it; ends with the instance at the latest.
fn drain(body: impl http_body::Body<Data = Bytes> + Send + 'static) {
    tokio::spawn(async move {
        let mut body = std::pin::pin!(body);
        let mut bytes = 0;
        while let Some(Ok(frame)) =
            std::future::poll_fn(|context| body.as_mut().poll_frame(context)).await
        {
            bytes += frame.data_ref().map_or(0, Bytes::len) as u64;
            if bytes > limits::HTTP_REQUEST_BYTES_MAX {
                return;
            }
        }
    });
}

/// A request's body that can be drained after the door has let go of it.
#[derive(Clone)]
struct Kept(Arc<Mutex<GuestBody>>);

impl http_body::Body for Kept {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Error>>> {
        let mut body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Pin::new(&mut *body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .size_hint()
    }
}

/// An answer's body; the request counts as open until it is dropped.
struct Open {
    body: Body,
    _permit: OwnedSemaphorePermit,
}

impl http_body::Body for Open {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        Poll::Ready(
            frame.map(|frame| frame.map_err(|error| Error::InternalError(Some(error.to_string())))),
        )
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}
