//! What comes back: a head whose framing is plain, and a body bounded in size and patience, in which no secret of
//! the request is handed back. Redirects are answers like any other. What is compressed stays so: no bomb goes off in
//! the host. Read to its end, an answer gives its connection back to the pool.

use crate::echo::{Echoed, Scan};
use crate::meter::Meter;
use crate::pool::{Connection, Key, Pool};
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use sluice_model::guards;
use sluice_model::ports::HttpError;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep};

/// Checks that the answer's end can be found in one way only, and takes out what concerns the connection alone.
pub(crate) fn check_head(status: StatusCode, headers: &mut HeaderMap) -> Result<(), &'static str> {
    if guards::Guard::AnswerSwitched.bars(status == StatusCode::SWITCHING_PROTOCOLS) {
        return Err("it switched protocols unasked");
    }
    if let Some(encoding) = headers.get(TRANSFER_ENCODING) {
        if guards::Guard::AnswerFraming.bars(headers.contains_key(CONTENT_LENGTH)) {
            return Err("its answer has both `content-length` and `transfer-encoding`");
        }
        let chunked = encoding.as_bytes().eq_ignore_ascii_case(b"chunked");
        let twice = headers.get_all(TRANSFER_ENCODING).iter().count() > 1;
        if guards::Guard::AnswerEncoding.bars(!chunked || twice) {
            return Err("its answer has a `transfer-encoding` other than `chunked`");
        }
    }
    if !guards::Guard::AnswerHops.stands() {
        return Ok(());
    }
    for name in [CONNECTION, TRANSFER_ENCODING, TRAILER, UPGRADE] {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    Ok(())
}

/// How long headers are, as HTTP/1.1 writes them.
pub(crate) fn head_bytes(headers: &HeaderMap) -> u64 {
    let lines = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    lines.sum::<usize>() as u64
}

/// What is told of a request when it is over. Never its query or its headers.
pub(crate) struct Record {
    pub(crate) method: http::Method,
    pub(crate) status: u16,
    pub(crate) started: Instant,
    pub(crate) meter: Arc<Meter>,
}

/// How long a body is waited for: each piece of it, and all of it. Time in which nobody asks for more does not count.
pub(crate) struct Patience {
    between_bytes: Duration,
    left: Duration,
    in_all: Duration,
    /// Since when the plugin waits, and until when it may.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Patience {
    pub(crate) fn new(between_bytes: Duration, in_all: Duration) -> Self {
        Self {
            between_bytes,
            left: in_all,
            in_all,
            waiting: None,
        }
    }

    /// Something came.
    fn rest(&mut self) {
        if let Some((since, _)) = self.waiting.take() {
            self.left = self.left.saturating_sub(since.elapsed());
        }
    }

    /// Ends, with how long was waited, where it is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Duration> {
        let most = self.between_bytes.min(self.left);
        let (_, until) = self
            .waiting
            .get_or_insert_with(|| (Instant::now(), Box::pin(sleep(most))));
        let (after, left) = (self.between_bytes, self.left);
        let in_all = self.in_all;
        until
            .as_mut()
            .poll(cx)
            .map(|()| if left < after { in_all } else { after })
    }
}

/// What an answer's body gives back when it ends.
pub(crate) struct Lease {
    pub(crate) connection: Connection,
    pub(crate) key: Key,
    pub(crate) pool: Arc<Pool>,
    pub(crate) slot: OwnedSemaphorePermit,
}

/// Keeps an attached secret out of the body.
pub(crate) struct Guard {
    pub(crate) scan: Scan,
    /// Tells whoever watches, and gives the error for the plugin.
    pub(crate) tell: Box<dyn Fn() -> HttpError + Send>,
}

/// An answer's body.
pub(crate) struct Answer {
    body: Incoming,
    record: Record,
    received_bytes: u64,
    bytes_max: u64,
    patience: Patience,
    /// Gone once the body has ended.
    lease: Option<Lease>,
    guard: Option<Guard>,
    /// Nothing follows: it was all handed on, or it failed.
    over: bool,
}

impl Answer {
    pub(crate) fn new(
        body: Incoming,
        record: Record,
        bytes_max: u64,
        patience: Patience,
        lease: Lease,
        guard: Option<Guard>,
    ) -> Result<Self, HttpError> {
        let mut answer = Self {
            body,
            record,
            received_bytes: 0,
            bytes_max: guards::Guard::ResponseBytes.limit(bytes_max),
            patience,
            lease: Some(lease),
            guard,
            over: false,
        };
        if answer.body.size_hint().lower() > answer.bytes_max {
            return Err(answer.too_large());
        }
        answer.finish_at_end();
        Ok(answer)
    }

    fn too_large(&self) -> HttpError {
        HttpError::TooLarge(format!(
            "the answer of `{}` is larger than {} bytes",
            self.record.meter.host(),
            self.bytes_max
        ))
    }

    /// Gives the connection back as soon as nothing more can come: not every reader asks once more.
    fn finish_at_end(&mut self) {
        if self.body.is_end_stream() {
            self.finish();
        }
    }

    fn finish(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.pool.put(lease.key, lease.connection);
            drop(lease.slot);
        }
    }

    /// Counts what came, and gives what can be handed on of it.
    fn accept(&mut self, data: Bytes) -> Result<Bytes, HttpError> {
        self.received_bytes += data.len() as u64;
        if self.received_bytes > self.bytes_max {
            return Err(self.too_large());
        }
        self.record.meter.came(data.len() as u64)?;
        self.finish_at_end();
        let last = self.body.is_end_stream();
        self.look(data, last)
    }

    fn look(&mut self, data: Bytes, last: bool) -> Result<Bytes, HttpError> {
        match &mut self.guard {
            Some(guard) if guards::Guard::EchoBody.stands() => {
                guard.scan.pass(data, last).map_err(|Echoed| (guard.tell)())
            }
            _ => Ok(data),
        }
    }

    /// What came next, or its end: the bytes that were held back until then.
    fn next(
        &mut self,
        frame: Option<Result<Frame<Bytes>, hyper::Error>>,
    ) -> Result<Bytes, HttpError> {
        self.patience.rest();
        match frame {
            None => {
                self.finish();
                self.over = true;
                self.look(Bytes::new(), true)
            }
            // Trailers are dropped.
            Some(Ok(frame)) => frame
                .into_data()
                .map_or(Ok(Bytes::new()), |data| self.accept(data)),
            Some(Err(error)) => Err(HttpError::Protocol {
                host: self.record.meter.host(),
                reason: error.to_string(),
            }),
        }
    }

    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<HttpError> {
        let meter = &self.record.meter;
        self.patience.poll(cx).map(|after| HttpError::Timeout {
            host: meter.host(),
            after,
        })
    }

    fn held(&self) -> u64 {
        self.guard
            .as_ref()
            .map_or(0, |guard| guard.scan.held() as u64)
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        while !self.over {
            let bytes = match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(frame) => self.next(frame),
                Poll::Pending => Err(ready!(self.wait(cx))),
            };
            match bytes {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Err(error) => {
                    self.over = true;
                    self.lease = None;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.over || (self.body.is_end_stream() && self.held() == 0)
    }

    fn size_hint(&self) -> SizeHint {
        let coming = self.body.size_hint();
        let mut hint = SizeHint::new();
        if let Some(upper) = coming.upper() {
            hint.set_upper(upper + self.held());
        }
        hint.set_lower(coming.lower() + self.held());
        hint
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let Record {
            method,
            status,
            started,
            meter,
        } = &self.record;
        let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::debug!(%method, host = %meter.host(), status, ms, bytes = meter.bytes_in(), "request");
    }
}
