//! What is written to the server: a head made anew from what policy decided on, and a bounded body.

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT_ENCODING, HOST, HeaderMap, HeaderValue, USER_AGENT};
use http::{Method, Request};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use sluice_model::ports::{Body, HttpError};
use sluice_policy::Sending;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// A body up to this size is gathered before it is sent: it then has a length, which many servers insist on, and it
/// can be sent again where a kept connection turns out to be closed. A larger one is sent in chunks as it comes.
const GATHERED_BYTES_MAX: usize = 8 << 20;

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
        if sending.auth.is_some() || !headers.contains_key(ACCEPT_ENCODING) {
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

/// A bounded body. Trailers are not sent.
pub(crate) enum Outgoing {
    /// All of it.
    Whole(Bytes),
    /// Its beginning, and the rest as it comes.
    Streamed { first: Bytes, rest: Body, left: u64 },
}

impl Outgoing {
    /// Gathers a plugin's body, as far as it is gathered.
    pub(crate) async fn gather(mut body: Body, bytes_max: u64) -> Result<Self, HttpError> {
        let mut first = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|error| broken(&*error))?.into_data() else {
                continue;
            };
            first.extend_from_slice(&data);
            let left = bytes_max
                .checked_sub(first.len() as u64)
                .ok_or_else(|| too_large(bytes_max))?;
            if first.len() > GATHERED_BYTES_MAX {
                return Ok(Self::Streamed {
                    first: first.freeze(),
                    rest: body,
                    left,
                });
            }
        }
        Ok(Self::Whole(first.freeze()))
    }

    /// The same again, where all of it is known.
    pub(crate) fn again(&self) -> Option<Self> {
        match self {
            Self::Whole(bytes) => Some(Self::Whole(bytes.clone())),
            Self::Streamed { .. } => None,
        }
    }
}

fn too_large(bytes_max: u64) -> HttpError {
    HttpError::TooLarge(format!(
        "the request's body is larger than {bytes_max} bytes"
    ))
}

fn broken(error: &dyn std::error::Error) -> HttpError {
    HttpError::TooLarge(format!("the request's body broke off: {error}"))
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        loop {
            let (rest, left) = match &mut *self {
                Self::Whole(first) | Self::Streamed { first, .. } if !first.is_empty() => {
                    return Poll::Ready(Some(Ok(Frame::data(std::mem::take(first)))));
                }
                Self::Whole(_) => return Poll::Ready(None),
                Self::Streamed { rest, left, .. } => (rest, left),
            };
            let frame = match ready!(Pin::new(rest).poll_frame(cx)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(broken(&*error)))),
                Some(Ok(frame)) => frame,
            };
            let Ok(data) = frame.into_data() else {
                continue;
            };
            return Poll::Ready(Some(match left.checked_sub(data.len() as u64) {
                Some(rest) => {
                    *left = rest;
                    Ok(Frame::data(data))
                }
                None => Err(HttpError::TooLarge(
                    "the request's body is larger than its limit".to_owned(),
                )),
            }));
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
