//! What comes back: a head whose framing is plain, and a body bounded in size and patience. Redirects are answers
//! like any other. Read to its end, an answer gives its connection back to the pool.

use crate::pool::{Connection, Key, Pool};
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, StatusCode};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use sluice_model::ports::HttpError;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep};

/// Checks that the answer's end can be found in one way only, and takes out what concerns the connection alone.
pub(crate) fn check_head(status: StatusCode, headers: &mut HeaderMap) -> Result<(), &'static str> {
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err("it switched protocols unasked");
    }
    if let Some(encoding) = headers.get(TRANSFER_ENCODING) {
        if headers.contains_key(CONTENT_LENGTH) {
            return Err("its answer has both `content-length` and `transfer-encoding`");
        }
        let chunked = encoding.as_bytes().eq_ignore_ascii_case(b"chunked");
        if !chunked || headers.get_all(TRANSFER_ENCODING).iter().count() > 1 {
            return Err("its answer has a `transfer-encoding` other than `chunked`");
        }
    }
    for name in [CONNECTION, TRANSFER_ENCODING, TRAILER, UPGRADE] {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    Ok(())
}

/// What is told of a request when it is over. Never its query or its headers.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) method: http::Method,
    pub(crate) host: String,
    pub(crate) status: u16,
    pub(crate) started: Instant,
}

/// What an answer's body gives back when it ends.
pub(crate) struct Lease {
    pub(crate) connection: Connection,
    pub(crate) key: Key,
    pub(crate) pool: Arc<Pool>,
    pub(crate) slot: OwnedSemaphorePermit,
}

/// An answer's body.
pub(crate) struct Answer {
    body: Incoming,
    record: Record,
    received_bytes: u64,
    bytes_max: u64,
    between_bytes: Duration,
    /// Runs only while the plugin waits.
    patience: Option<Pin<Box<Sleep>>>,
    lease: Option<Lease>,
}

impl Answer {
    pub(crate) fn new(
        body: Incoming,
        record: Record,
        bytes_max: u64,
        between_bytes: Duration,
        lease: Lease,
    ) -> Result<Self, HttpError> {
        let mut answer = Self {
            body,
            record,
            received_bytes: 0,
            bytes_max,
            between_bytes,
            patience: None,
            lease: Some(lease),
        };
        if http_body::Body::size_hint(&answer.body).lower() > bytes_max {
            return Err(answer.too_large());
        }
        answer.finish_at_end();
        Ok(answer)
    }

    fn too_large(&self) -> HttpError {
        HttpError::TooLarge(format!(
            "the answer of `{}` is larger than {} bytes",
            self.record.host, self.bytes_max
        ))
    }

    /// Gives the connection back as soon as nothing more can come: not every reader asks once more.
    fn finish_at_end(&mut self) {
        if http_body::Body::is_end_stream(&self.body)
            && let Some(lease) = self.lease.take()
        {
            lease.pool.put(lease.key, lease.connection);
            drop(lease.slot);
        }
    }

    fn accept(&mut self, data: Bytes) -> Result<Frame<Bytes>, HttpError> {
        self.received_bytes += data.len() as u64;
        if self.received_bytes > self.bytes_max {
            return Err(self.too_large());
        }
        self.finish_at_end();
        Ok(Frame::data(data))
    }

    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<HttpError> {
        let between_bytes = self.between_bytes;
        let patience = self
            .patience
            .get_or_insert_with(|| Box::pin(sleep(between_bytes)));
        let host = &self.record.host;
        patience.as_mut().poll(cx).map(|()| HttpError::Timeout {
            host: host.clone(),
            after: between_bytes,
        })
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        loop {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending => {
                    return self.wait(cx).map(|error| {
                        self.lease = None;
                        Some(Err(error))
                    });
                }
                Poll::Ready(None) => {
                    self.finish_at_end();
                    return Poll::Ready(None);
                }
                Poll::Ready(Some(Err(error))) => {
                    self.lease = None;
                    let host = self.record.host.clone();
                    return Poll::Ready(Some(Err(HttpError::Protocol {
                        host,
                        reason: error.to_string(),
                    })));
                }
                Poll::Ready(Some(Ok(frame))) => {
                    self.patience = None;
                    // Trailers are dropped.
                    if let Ok(data) = frame.into_data() {
                        let accepted = self.accept(data);
                        if accepted.is_err() {
                            self.lease = None;
                        }
                        return Poll::Ready(Some(accepted));
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        http_body::Body::is_end_stream(&self.body)
    }

    fn size_hint(&self) -> SizeHint {
        http_body::Body::size_hint(&self.body)
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let Record {
            method,
            host,
            status,
            started,
        } = &self.record;
        let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::debug!(%method, %host, status, ms, bytes = self.received_bytes, "request");
    }
}
