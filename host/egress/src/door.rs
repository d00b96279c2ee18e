//! The way of one request: decide, take its turn, attach the secret, resolve, check, dial, send, bound what comes back.
//! Every step is in [`Door::send`], in this order; none can be left out from outside.

use crate::answer::{self, Answer, Guard, Lease, Patience, Record};
use crate::attach::{Attached, Attacher};
use crate::budgets::Budgets;
use crate::echo::{Echoed, Forms, Scan};
use crate::exchange::{Line, slow};
use crate::keyring::Keyring;
use crate::meter::Meter;
use crate::outgoing::{Head, Outgoing};
use crate::pool::{Connection, Key};
use crate::resolve::Resolver;
use crate::settings::DoorSettings;
use crate::tokens::Tokens;
use async_trait::async_trait;
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, request};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use sluice_model::guards;
use sluice_model::limits::{HTTP_HEADER_BYTES_MAX, HTTP_HEADERS_MAX};
use sluice_model::ports::{Body, HttpDoor, HttpError, HttpTimeouts, Observer, Refusal, Secrets};
use sluice_policy::{Credential, Effective, Sending};
use std::fmt;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

/// The way to the network of one stage of one run.
pub struct Door {
    line: Arc<Line>,
    attacher: Attacher,
    budgets: Arc<Budgets>,
    in_flight: Arc<Semaphore>,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door")
            .field("plugin", &self.line.effective.plugin)
            .finish_non_exhaustive()
    }
}

/// An answer's head, on what it came, and what its body is searched for.
struct Answered {
    response: Response<Incoming>,
    connection: Connection,
    key: Key,
    forms: Option<Arc<Forms>>,
}

impl Door {
    /// A door for whoever has this effective grant. `secrets` are by the plugin's own words for them, and are asked for
    /// at each use.
    pub fn new(
        effective: Arc<Effective>,
        secrets: Arc<dyn Secrets>,
        resolver: Arc<dyn Resolver>,
        observer: Arc<dyn Observer>,
        settings: DoorSettings,
    ) -> Self {
        let budgets = Arc::new(Budgets::new(Arc::clone(&effective)));
        let keyring = Arc::new(Keyring::new(
            secrets,
            Arc::clone(&observer),
            effective.stage,
        ));
        let in_flight = Arc::new(Semaphore::new(
            guards::Guard::RequestsOpen
                .limit(settings.in_flight_max)
                .min(Semaphore::MAX_PERMITS),
        ));
        let line = Arc::new(Line::new(effective, observer, resolver, settings));
        let tokens = Tokens::new(
            Arc::clone(&line),
            Arc::clone(&keyring),
            Arc::clone(&budgets),
        );
        Self {
            attacher: Attacher {
                line: Arc::clone(&line),
                keyring,
                tokens: Arc::new(tokens),
            },
            line,
            budgets,
            in_flight,
        }
    }

    /// Is this request permitted, with all that it carries but its body?
    fn decide(&self, request: &request::Parts) -> Result<Sending, Refusal> {
        let effective = &self.line.effective;
        let sending = effective.may_send(&request.method, &request.uri)?;
        request
            .headers
            .keys()
            .try_for_each(|name| effective.may_set_header(&sending, name))?;
        effective.may_set_query(&sending, request.uri.query().unwrap_or_default())?;
        Ok(sending)
    }

    /// Counts a request against its budgets, and waits until it is its turn.
    async fn take_turn(&self, sending: &Sending, timeouts: HttpTimeouts) -> Result<(), HttpError> {
        let turn = self.budgets.request(sending, timeouts.first_byte);
        let wait = turn.map_err(|refusal| self.line.denied(refusal))?;
        if !wait.is_zero() {
            sleep(wait).await;
        }
        Ok(())
    }

    /// Attaches, sends, and does so once more with a new token where the server does not take the one it was shown.
    async fn answered(
        &self,
        sending: &Sending,
        head: Head,
        body: Outgoing,
        timeouts: HttpTimeouts,
        meter: &Meter,
    ) -> Result<Answered, HttpError> {
        let whole = body.whole();
        let attached = self.attacher.attach(sending, head.clone(), whole).await?;
        let token = attached.token.clone();
        let again = token.as_ref().and_then(|_| body.again());
        let answered = self
            .exchange(sending, attached, body, timeouts, meter)
            .await?;
        let (Some(token), Some(Credential { name, .. })) = (token, &sending.auth) else {
            return Ok(answered);
        };
        if answered.response.status() != StatusCode::UNAUTHORIZED {
            return Ok(answered);
        }
        self.attacher.tokens.forget(name, &token).await;
        // A body that is gone cannot be sent again; the plugin may.
        let Some(body) = again else {
            return Ok(answered);
        };
        drop(answered);
        // It is one request more to the server, whatever it was to the plugin.
        self.take_turn(sending, timeouts).await?;
        let whole = body.whole();
        let attached = self.attacher.attach(sending, head, whole).await?;
        self.exchange(sending, attached, body, timeouts, meter)
            .await
    }

    async fn exchange(
        &self,
        sending: &Sending,
        attached: Attached,
        body: Outgoing,
        timeouts: HttpTimeouts,
        meter: &Meter,
    ) -> Result<Answered, HttpError> {
        let Attached {
            head,
            speaker,
            forms,
            token: _,
        } = attached;
        let exchanged = self
            .line
            .exchange(sending, &speaker, head, body, timeouts, meter);
        let (response, connection) = exchanged.await?;
        Ok(Answered {
            response,
            connection,
            key: Key::of(&sending.target, speaker.identity),
            forms,
        })
    }

    /// Looks whether an answer's head repeats the secret that went with the request, and gives what looks through
    /// its body.
    fn guard(
        &self,
        sending: &Sending,
        forms: Option<Arc<Forms>>,
        headers: &HeaderMap,
    ) -> Result<Option<Guard>, HttpError> {
        let (Some(forms), Some(Credential { name, .. })) = (forms, &sending.auth) else {
            return Ok(None);
        };
        let refusal = Refusal {
            capability: "secret",
            asked: sending.asked(),
            reason: format!("the answer repeats secret `{name}`"),
            hint: Some("narrow `paths` in the grant to those whose answers do not".to_owned()),
        };
        let line = Arc::clone(&self.line);
        let tell = move || line.denied(refusal.clone());
        if guards::Guard::EchoHeaders.stands() {
            forms.check_headers(headers).map_err(|Echoed| tell())?;
        }
        let plain = |encoding: &HeaderValue| encoding.as_bytes().eq_ignore_ascii_case(b"identity");
        let is_compressed = !headers.get_all(CONTENT_ENCODING).iter().all(plain);
        if guards::Guard::EchoCompressed.bars(is_compressed) {
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
}

#[async_trait]
impl HttpDoor for Door {
    async fn send(
        &self,
        request: Request<Body>,
        timeouts: HttpTimeouts,
    ) -> Result<Response<Body>, HttpError> {
        let started = Instant::now();
        let settings = &self.line.settings;
        let timeouts = settings.capped(timeouts);
        let (request, body) = request.into_parts();
        check_size(&request)?;
        let sending = self
            .decide(&request)
            .map_err(|refusal| self.line.denied(refusal))?;
        let slot = Arc::clone(&self.in_flight)
            .try_acquire_owned()
            .map_err(|_| {
                let most = settings.in_flight_max;
                HttpError::TooLarge(format!(
                    "{most} requests are open: read one's answer to its end, or drop it"
                ))
            })?;
        self.take_turn(&sending, timeouts).await?;
        let sending = Arc::new(sending);
        let meter = Arc::new(Meter::new(
            Arc::clone(&self.budgets),
            Arc::clone(&sending),
            Arc::clone(&self.line.observer),
            self.line.effective.stage,
        ));
        let target = &sending.target;
        let gathered = Outgoing::gather(body, Arc::clone(&meter), settings.request_bytes_max);
        let body = timeout(timeouts.first_byte, gathered)
            .await
            .map_err(|_| slow(target, timeouts))??;
        let method = request.method.clone();
        let query = request.uri.query().unwrap_or_default();
        let head = Head::new(request.method, &sending, query, request.headers);
        let answered = self
            .answered(&sending, head, body, timeouts, &meter)
            .await?;
        let (mut response, body) = answered.response.into_parts();
        answer::check_head(response.status, &mut response.headers).map_err(|reason| {
            HttpError::Protocol {
                host: target.authority(),
                reason: reason.to_owned(),
            }
        })?;
        meter.came(answer::head_bytes(&response.headers))?;
        let guard = self.guard(&sending, answered.forms, &response.headers)?;
        let record = Record {
            method,
            status: response.status.as_u16(),
            started,
            meter,
        };
        let lease = Lease {
            connection: answered.connection,
            key: answered.key,
            pool: Arc::clone(&self.line.pool),
            slot,
        };
        let patience = Patience::new(
            timeouts.between_bytes,
            guards::Guard::AnswerTime.limit(settings.answer_time_max),
        );
        let bytes_max = settings.response_bytes_max;
        let body = Answer::new(body, record, bytes_max, patience, lease, guard)?;
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
    let bytes = answer::head_bytes(&request.headers) + uri as u64;
    if request.headers.len() > guards::Guard::RequestHeaders.limit(HTTP_HEADERS_MAX) {
        return Err(HttpError::TooLarge(format!(
            "a request has {HTTP_HEADERS_MAX} headers at most"
        )));
    }
    if bytes > guards::Guard::RequestHeaderBytes.limit(HTTP_HEADER_BYTES_MAX as u64) {
        return Err(HttpError::TooLarge(format!(
            "a request's head has {HTTP_HEADER_BYTES_MAX} bytes at most"
        )));
    }
    Ok(())
}
