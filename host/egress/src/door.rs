//! The way of one request: decide, check, resolve, check again, dial, attach the secret, send, bound what comes
//! back. Every step is in [`Door::send`], in this order; none can be left out from outside.

use crate::answer::{self, Answer, Guard, Lease, Record};
use crate::echo::{Echoed, Forms, Scan};
use crate::outgoing::{Head, Outgoing};
use crate::pool::{Connection, Key, Pool};
use crate::resolve::{self, Resolver};
use crate::settings::DoorSettings;
use crate::{connect, credential};
use async_trait::async_trait;
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, Request, Response, request};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use sluice_model::limits::{HTTP_HEADER_BYTES_MAX, HTTP_HEADERS_MAX};
use sluice_model::ports::{Body, HttpDoor, HttpError, HttpTimeouts, Observer, Refusal, Secrets};
use sluice_model::secret::Secret;
use sluice_policy::{Credential, Effective, Sending, Target, missing_secret};
use std::fmt;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

/// The way to the network of one stage of one run.
pub struct Door {
    effective: Arc<Effective>,
    secrets: Arc<dyn Secrets>,
    resolver: Arc<dyn Resolver>,
    observer: Arc<dyn Observer>,
    settings: DoorSettings,
    tls: TlsConnector,
    pool: Arc<Pool>,
    in_flight: Arc<Semaphore>,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door")
            .field("plugin", &self.effective.plugin)
            .finish_non_exhaustive()
    }
}

impl Door {
    /// A door for whoever has this effective grant. `secrets` are by the plugin's own words for them, and asked for with
    /// each request.
    pub fn new(
        effective: Arc<Effective>,
        secrets: Arc<dyn Secrets>,
        resolver: Arc<dyn Resolver>,
        observer: Arc<dyn Observer>,
        settings: DoorSettings,
    ) -> Self {
        Self {
            tls: connect::tls(Arc::clone(&settings.roots)),
            pool: Arc::new(Pool::new(settings.idle_time_max)),
            in_flight: Arc::new(Semaphore::new(settings.in_flight_max)),
            effective,
            secrets,
            resolver,
            observer,
            settings,
        }
    }

    /// Is this request permitted, with all that it carries but its body?
    fn decide(&self, request: &request::Parts) -> Result<Sending, Refusal> {
        let sending = self.effective.may_send(&request.method, &request.uri)?;
        request
            .headers
            .keys()
            .try_for_each(|name| self.effective.may_set_header(&sending, name))?;
        self.effective
            .may_set_query(&sending, request.uri.query().unwrap_or_default())?;
        Ok(sending)
    }

    /// The secret that goes with this request, as it is now.
    fn secret(&self, sending: &Sending) -> Result<Option<Secret>, Refusal> {
        let Some(Credential { name, .. }) = &sending.auth else {
            return Ok(None);
        };
        let Effective {
            plugin, pipeline, ..
        } = &*self.effective;
        let secret = self.secrets.get(name).map_err(|error| Refusal {
            capability: "secret",
            asked: name.to_string(),
            reason: error.reason,
            hint: None,
        })?;
        secret
            .map(Some)
            .ok_or_else(|| missing_secret(plugin, pipeline, name))
    }

    /// The head as it is sent, with the secret in its place.
    fn head(
        request: request::Parts,
        sending: &Sending,
        secret: Option<&Secret>,
    ) -> Result<Head, Refusal> {
        let query = request.uri.query().unwrap_or_default();
        let mut head = Head::new(request.method, sending, query, request.headers);
        if let Some((Credential { name, place }, secret)) = sending.auth.as_ref().zip(secret) {
            let attached = credential::attach(secret, place, &mut head.headers, &mut head.query);
            attached.map_err(|error| Refusal {
                capability: "secret",
                asked: name.to_string(),
                reason: error.to_string(),
                hint: Some("set the secret's value anew, without line ends".to_owned()),
            })?;
        }
        Ok(head)
    }

    /// Looks whether an answer's head repeats the secret that went with the request, and gives what looks through
    /// its body.
    fn guard(
        &self,
        sending: &Sending,
        secret: Option<&Secret>,
        headers: &HeaderMap,
    ) -> Result<Option<Guard>, HttpError> {
        let Some(Credential { name, .. }) = &sending.auth else {
            return Ok(None);
        };
        let Some(forms) = secret.and_then(Forms::of).map(Arc::new) else {
            return Ok(None);
        };
        let refusal = Refusal {
            capability: "secret",
            asked: sending.asked.clone(),
            reason: format!("the answer repeats secret `{name}`"),
            hint: Some("narrow `paths` in the grant to those whose answers do not".to_owned()),
        };
        let (observer, stage) = (Arc::clone(&self.observer), self.effective.stage);
        let tell = move || {
            observer.refused(stage, &refusal);
            HttpError::Denied(refusal.clone())
        };
        forms.check_headers(headers).map_err(|Echoed| tell())?;
        if headers
            .get(CONTENT_ENCODING)
            .is_some_and(|encoding| encoding != "identity")
        {
            let reason =
                "its answer is compressed unasked, so that a secret in it could not be seen"
                    .to_owned();
            return Err(HttpError::Protocol {
                host: sending.target.authority(),
                reason,
            });
        }
        Ok(Some(Guard {
            scan: Scan::new(forms),
            tell: Box::new(tell),
        }))
    }

    fn denied(&self, refusal: Refusal) -> HttpError {
        self.observer.refused(self.effective.stage, &refusal);
        HttpError::Denied(refusal)
    }

    /// A new connection: resolves once, checks every address, dials what was checked.
    async fn dial(
        &self,
        sending: &Sending,
        timeouts: HttpTimeouts,
    ) -> Result<Connection, HttpError> {
        let host = &sending.target.host;
        let within = self.settings.dns_time_max.min(timeouts.connect);
        let addresses = resolve::addresses(&*self.resolver, host, within).await?;
        self.effective
            .may_dial(sending, &addresses)
            .map_err(|refusal| self.denied(refusal))?;
        connect::open(&self.tls, &sending.target, &addresses, timeouts.connect).await
    }

    /// Sends on a kept connection where there is one. Where that one turns out to be closed, and the request was not
    /// sent or may be sent twice, once more on a new one.
    async fn exchange(
        &self,
        sending: &Sending,
        head: Head,
        body: Outgoing,
        timeouts: HttpTimeouts,
    ) -> Result<(Response<Incoming>, Connection), HttpError> {
        let target = &sending.target;
        let again = if head.is_idempotent() {
            body.again().map(|body| (head.clone(), body))
        } else {
            None
        };
        let mut request = assemble(target, head, body)?;
        let permitted = |address| self.effective.may_dial(sending, &[address]).is_ok();
        if let Some(mut connection) = self.pool.take(&Key::of(target), permitted).await {
            let sent = timeout(
                timeouts.first_byte,
                connection.sender.try_send_request(request),
            )
            .await;
            let mut failed = match sent.map_err(|_| slow(target, timeouts))? {
                Ok(response) => return Ok((response, connection)),
                Err(failed) => failed,
            };
            request = match (failed.take_message(), again) {
                (Some(unsent), _) => unsent,
                (None, Some((head, body))) if is_closed(failed.error()) => {
                    assemble(target, head, body)?
                }
                _ => return Err(told(target, failed.error())),
            };
        }
        let mut connection = self.dial(sending, timeouts).await?;
        let sent = timeout(timeouts.first_byte, connection.sender.send_request(request)).await;
        let response = sent
            .map_err(|_| slow(target, timeouts))?
            .map_err(|error| told(target, &error))?;
        Ok((response, connection))
    }
}

#[async_trait]
impl HttpDoor for Door {
    async fn send(
        &self,
        request: Request<Body>,
        timeouts: HttpTimeouts,
    ) -> Result<Response<Body>, HttpError> {
        let started = Instant::now();
        let timeouts = self.settings.capped(timeouts);
        let (request, body) = request.into_parts();
        check_size(&request)?;
        let sending = self
            .decide(&request)
            .map_err(|refusal| self.denied(refusal))?;
        let method = request.method.clone();
        let secret = self
            .secret(&sending)
            .map_err(|refusal| self.denied(refusal))?;
        let head = Self::head(request, &sending, secret.as_ref())
            .map_err(|refusal| self.denied(refusal))?;
        let slot = Arc::clone(&self.in_flight)
            .try_acquire_owned()
            .map_err(|_| {
                let most = self.settings.in_flight_max;
                HttpError::TooLarge(format!(
                    "{most} requests are open: read one's answer to its end, or drop it"
                ))
            })?;
        let target = &sending.target;
        let gathered = Outgoing::gather(body, target.authority(), self.settings.request_bytes_max);
        let body = timeout(timeouts.first_byte, gathered)
            .await
            .map_err(|_| slow(target, timeouts))??;
        let (response, connection) = self.exchange(&sending, head, body, timeouts).await?;
        let (mut response, body) = response.into_parts();
        answer::check_head(response.status, &mut response.headers).map_err(|reason| {
            HttpError::Protocol {
                host: target.authority(),
                reason: reason.to_owned(),
            }
        })?;
        let guard = self.guard(&sending, secret.as_ref(), &response.headers)?;
        let record = Record {
            method,
            host: target.authority(),
            status: response.status.as_u16(),
            started,
        };
        let lease = Lease {
            connection,
            key: Key::of(target),
            pool: Arc::clone(&self.pool),
            slot,
        };
        let bytes_max = self.settings.response_bytes_max;
        let body = Answer::new(
            body,
            record,
            bytes_max,
            timeouts.between_bytes,
            lease,
            guard,
        )?;
        response.extensions.clear();
        Ok(Response::from_parts(
            response,
            body.map_err(Into::into).boxed_unsync(),
        ))
    }
}

/// The plugin's part of the head, before any of it is looked at.
fn check_size(request: &request::Parts) -> Result<(), HttpError> {
    let uri = request
        .uri
        .path_and_query()
        .map_or(0, |path| path.as_str().len());
    let bytes = header_bytes(&request.headers) + uri;
    if request.headers.len() > HTTP_HEADERS_MAX {
        return Err(HttpError::TooLarge(format!(
            "a request has {HTTP_HEADERS_MAX} headers at most"
        )));
    }
    if bytes > HTTP_HEADER_BYTES_MAX {
        return Err(HttpError::TooLarge(format!(
            "a request's head has {HTTP_HEADER_BYTES_MAX} bytes at most"
        )));
    }
    Ok(())
}

fn header_bytes(headers: &HeaderMap) -> usize {
    headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len())
        .sum()
}

fn assemble(target: &Target, head: Head, body: Outgoing) -> Result<Request<Outgoing>, HttpError> {
    // The error is not told: it could quote the query.
    let failed = |_| HttpError::Protocol {
        host: target.authority(),
        reason: "the url cannot be sent".to_owned(),
    };
    head.with(body).map_err(failed)
}

fn slow(target: &Target, timeouts: HttpTimeouts) -> HttpError {
    HttpError::Timeout {
        host: target.authority(),
        after: timeouts.first_byte,
    }
}

/// Whether the connection ended before an answer began.
fn is_closed(error: &hyper::Error) -> bool {
    error.is_incomplete_message()
        || error.is_canceled()
        || error.is_closed()
        || io_kind(error).is_some()
}

fn io_kind(error: &hyper::Error) -> Option<std::io::ErrorKind> {
    let source = std::error::Error::source(error)?;
    source
        .downcast_ref::<std::io::Error>()
        .map(std::io::Error::kind)
}

fn told(target: &Target, error: &hyper::Error) -> HttpError {
    let source = std::error::Error::source(error);
    // Our own body says itself why it stopped.
    if let Some(ours) = source.and_then(|source| source.downcast_ref::<HttpError>()) {
        return ours.clone();
    }
    let reason = match source {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    HttpError::Protocol {
        host: target.authority(),
        reason,
    }
}
