//! What is written to the server: a head made anew from what policy decided on, and a bounded body.

use crate::answer::head_bytes;
use crate::meter::Meter;
use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT_ENCODING, HOST, HeaderMap, HeaderValue, USER_AGENT};
use http::{Method, Request};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use sluice_model::guards::Guard;
use sluice_model::ports::{Body, HttpError};
use sluice_policy::{Sending, headers};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// A body up to this size is gathered before it is sent: it then has a length, which many servers insist on, and it
/// can be sent again where a kept connection turns out to be closed. A larger one is sent in chunks as it comes.
pub(crate) const GATHERED_BYTES_MAX: usize = 8 << 20;

/// The head of a request, complete but for its body. Its headers and query may carry a secret, so it has no `Debug`.
#[derive(Clone)]
pub(crate) struct Head {
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    pub(crate) path: String,
    pub(crate) query: String,
}

impl Head {
    /// With the plugin's headers and query, and what goes without saying.
    pub(crate) fn new(
        method: Method,
        sending: &Sending,
        query: &str,
        mut headers: HeaderMap,
    ) -> Self {
        let target = &sending.target;
        let host = HeaderValue::try_from(target.authority())
            .expect("a checked host and port are plain ascii");
        headers.insert(HOST, host);
        // Bodies are handed on as they come; whoever asks for an encoding decodes it. Where a secret is attached the
        // host must be able to see whether the answer repeats it.
        let plain = HeaderValue::from_static("identity");
        let is_searched = sending
            .auth
            .as_ref()
            .is_some_and(|auth| headers::is_sent(&auth.place));
        if Guard::EncodingAsked.bars(is_searched) || !headers.contains_key(ACCEPT_ENCODING) {
            headers.insert(ACCEPT_ENCODING, plain);
        }
        headers
            .entry(USER_AGENT)
            .or_insert(HeaderValue::from_static(concat!(
                "sluice/",
                env!("CARGO_PKG_VERSION")
            )));
        Self {
            method,
            headers,
            path: target.path.clone(),
            query: query.to_owned(),
        }
    }

    /// How long it is, as HTTP/1.1 writes it.
    pub(crate) fn bytes(&self) -> u64 {
        let line = self.method.as_str().len() + self.path.len() + self.query.len();
        head_bytes(&self.headers) + (line + "  HTTP/1.1\r\n\r\n".len()) as u64
    }

    /// Whether sending it twice does what sending it once does (RFC 9110, section 9.2.2).
    pub(crate) fn is_idempotent(&self) -> bool {
        self.method.is_idempotent()
    }

    /// As it is sent, in origin form.
    pub(crate) fn with(self, body: Outgoing) -> Result<Request<Outgoing>, http::Error> {
        let uri = if self.query.is_empty() {
            self.path
        } else {
            format!("{}?{}", self.path, self.query)
        };
        let mut request = Request::builder().method(self.method).uri(uri).body(body)?;
        *request.headers_mut() = self.headers;
        Ok(request)
    }
}

/// How much a body may still have, and who counts what of it is sent as it comes.
pub(crate) struct Bound {
    meter: Arc<Meter>,
    bytes_max: u64,
    bytes: u64,
}

impl Bound {
    /// Takes one piece's data; none from trailers.
    fn take(
        &mut self,
        frame: Result<Frame<Bytes>, Box<dyn std::error::Error + Send + Sync>>,
    ) -> Result<Option<Bytes>, HttpError> {
        let frame = frame.map_err(|error| HttpError::Protocol {
            host: self.meter.host(),
            reason: format!("the request's body broke off: {error}"),
        })?;
        let Ok(data) = frame.into_data() else {
            return Ok(None);
        };
        self.bytes += data.len() as u64;
        if self.bytes > Guard::RequestBytes.limit(self.bytes_max) {
            let most = self.bytes_max;
            return Err(HttpError::TooLarge(format!(
                "the request's body is larger than {most} bytes"
            )));
        }
        Ok(Some(data))
    }
}

/// A bounded body. Trailers are not sent.
pub(crate) enum Outgoing {
    /// All of it.
    Whole(Bytes),
    /// Its beginning, and the rest as it comes.
    Streamed {
        first: Bytes,
        rest: Body,
        bound: Bound,
    },
}

impl Outgoing {
    /// Gathers a plugin's body, as far as it is gathered.
    pub(crate) async fn gather(
        mut body: Body,
        meter: Arc<Meter>,
        bytes_max: u64,
    ) -> Result<Self, HttpError> {
        let mut bound = Bound {
            meter,
            bytes_max,
            bytes: 0,
        };
        let mut first = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Some(data) = bound.take(frame)? else {
                continue;
            };
            first.extend_from_slice(&data);
            if first.len() > GATHERED_BYTES_MAX {
                return Ok(Self::Streamed {
                    first: first.freeze(),
                    rest: body,
                    bound,
                });
            }
        }
        Ok(Self::Whole(first.freeze()))
    }

    /// How long it is as far as it is known.
    pub(crate) fn whole_bytes(&self) -> u64 {
        match self {
            Self::Whole(bytes) | Self::Streamed { first: bytes, .. } => bytes.len() as u64,
        }
    }

    /// All of it, where that is known.
    pub(crate) fn whole(&self) -> Option<Bytes> {
        match self {
            Self::Whole(bytes) => Some(bytes.clone()),
            Self::Streamed { .. } => None,
        }
    }

    /// The same again, where all of it is known.
    pub(crate) fn again(&self) -> Option<Self> {
        self.whole().map(Self::Whole)
    }
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        loop {
            let (rest, bound) = match &mut *self {
                Self::Whole(first) | Self::Streamed { first, .. } if !first.is_empty() => {
                    return Poll::Ready(Some(Ok(Frame::data(std::mem::take(first)))));
                }
                Self::Whole(_) => return Poll::Ready(None),
                Self::Streamed { rest, bound, .. } => (rest, bound),
            };
            let Some(frame) = ready!(Pin::new(rest).poll_frame(cx)) else {
                return Poll::Ready(None);
            };
            let data = match bound.take(frame) {
                Ok(None) => continue,
                Ok(Some(data)) => bound.meter.out(data.len() as u64).map(|()| data),
                Err(error) => Err(error),
            };
            return Poll::Ready(Some(data.map(Frame::data)));
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Streamed { .. } => SizeHint::default(),
        }
    }
}
