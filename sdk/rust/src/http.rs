//! A small blocking HTTP client over `wasi:http/outgoing-handler`, for plugins whose manifest declares `[[http]]`.
//! Deliberately no retries, no redirects, no credentials: the host does the first and last, and nobody the second.

mod status;
#[cfg(target_family = "wasm")]
mod wasi;

use crate::Fault;

/// A request to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `POST`, …
    pub method: String,
    /// Absolute: `https://api.acme.example/v2/contacts?page=2`.
    pub url: String,
    /// In the order they are sent; names in lower case.
    pub headers: Vec<(String, String)>,
    /// Empty for none.
    pub body: Vec<u8>,
}

impl Request {
    /// A request with this method.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            url: url.into(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// Reads.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    /// Sends a body.
    pub fn post(url: impl Into<String>) -> Self {
        Self::new("POST", url)
    }

    /// Puts a body in place.
    pub fn put(url: impl Into<String>) -> Self {
        Self::new("PUT", url)
    }

    /// Adds a header. Credentials are attached by the host, never here.
    #[must_use]
    pub fn header(mut self, name: impl AsRef<str>, value: impl Into<String>) -> Self {
        self.headers
            .push((name.as_ref().to_ascii_lowercase(), value.into()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends it and reads the whole answer; the host bounds its size and how long it takes. Any status is an answer:
    /// [`Response::success`] makes faults of those that are not 2xx.
    ///
    /// A refusal of the host is [`Fault::Denied`] with its words; a name that does not resolve, a connection that
    /// fails and a timeout are [`Fault::Transient`]; a URL that cannot be one is [`Fault::Misconfigured`].
    pub fn send(self) -> Result<Response, Fault> {
        #[cfg(target_family = "wasm")]
        return wasi::send(&self);
        #[cfg(not(target_family = "wasm"))]
        crate::testing::respond(&self)
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// `200`, …
    pub status: u16,
    /// In the order they came; names in lower case.
    pub headers: Vec<(String, String)>,
    /// All of it.
    pub body: Vec<u8>,
}

impl Response {
    /// An answer, for a test's responder.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    /// With one more header.
    #[must_use]
    pub fn with_header(mut self, name: impl AsRef<str>, value: impl Into<String>) -> Self {
        self.headers
            .push((name.as_ref().to_ascii_lowercase(), value.into()));
        self
    }

    /// The first header of this name, in whatever case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The answer itself where its status is 2xx, else the fault that [`Response::fault`] makes of it.
    pub fn success(self) -> Result<Self, Fault> {
        if (200..300).contains(&self.status) {
            Ok(self)
        } else {
            Err(self.fault())
        }
    }

    /// What this status means for a plugin that did not expect it: 401, 403 and 407 are [`Fault::Unauthorized`]; 408,
    /// 425, 429 and 5xx are [`Fault::Transient`] with the answer's `Retry-After`, or with its `X-RateLimit-Reset` where
    /// `X-RateLimit-Remaining` is 0, and so is a 403 with either; 3xx, 404, 405 and 410 are [`Fault::Misconfigured`];
    /// anything else is [`Fault::Broken`].
    pub fn fault(&self) -> Fault {
        status::fault(self)
    }

    /// The body as JSON; what does not fit is [`Fault::Broken`].
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, Fault> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Fault::broken(format!("the answer is not as expected: {error}")))
    }
}
