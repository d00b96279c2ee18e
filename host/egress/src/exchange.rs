//! From a head and a body to an answer's head: over a kept connection or a new one. A new one is resolved, checked
//! and dialled here, whoever asks: plugins' requests and the host's own for tokens take the same way.

use crate::connect;
use crate::identity::{Identities, Speaker, Unspeakable};
use crate::meter::Meter;
use crate::outgoing::{Head, Outgoing};
use crate::pool::{Connection, Key, Pool};
use crate::resolve::{self, Resolver};
use crate::settings::DoorSettings;
use http::{Request, Response};
use hyper::body::Incoming;
use sluice_model::guards::Guard;
use sluice_model::ports::{HttpError, HttpTimeouts, Observer, Refusal};
use sluice_model::secret::Secret;
use sluice_policy::{Effective, Sending, Target};
use std::sync::Arc;
use tokio::time::timeout;

/// The wire side of one door.
pub(crate) struct Line {
    pub(crate) effective: Arc<Effective>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) settings: DoorSettings,
    pub(crate) pool: Arc<Pool>,
    resolver: Arc<dyn Resolver>,
    identities: Identities,
}

impl Line {
    pub(crate) fn new(
        effective: Arc<Effective>,
        observer: Arc<dyn Observer>,
        resolver: Arc<dyn Resolver>,
        settings: DoorSettings,
    ) -> Self {
        Self {
            pool: Arc::new(Pool::new(settings.idle_time_max)),
            identities: Identities::new(Arc::clone(&settings.roots)),
            effective,
            observer,
            resolver,
            settings,
        }
    }

    /// A refusal, told to whoever watches.
    pub(crate) fn denied(&self, refusal: Refusal) -> HttpError {
        self.observer.refused(self.effective.stage, &refusal);
        HttpError::Denied(refusal)
    }

    /// Who is at either end of a connection for this request.
    pub(crate) async fn speaker(
        &self,
        sending: &Sending,
        certificate: Option<&Secret>,
    ) -> Result<Speaker, HttpError> {
        let found = self
            .identities
            .speaker(sending.ca.as_ref(), certificate)
            .await;
        found.map_err(|error| {
            let hint = match error {
                Unspeakable::Authority(_) => {
                    "`ca` in the grant names a file of certificates, as PEM"
                }
                Unspeakable::Certificate => "set the secret's value anew",
            };
            self.denied(Refusal {
                capability: "http",
                asked: sending.asked(),
                reason: error.to_string(),
                hint: Some(hint.to_owned()),
            })
        })
    }

    /// Sends on a kept connection where there is one. Where that one turns out to be closed, and the request was not
    /// sent or may be sent twice, once more on a new one.
    pub(crate) async fn exchange(
        &self,
        sending: &Sending,
        speaker: &Speaker,
        head: Head,
        body: Outgoing,
        timeouts: HttpTimeouts,
        meter: &Meter,
    ) -> Result<(Response<Incoming>, Connection), HttpError> {
        let target = &sending.target;
        let again = if head.is_idempotent() {
            body.again().map(|body| (head.clone(), body))
        } else {
            None
        };
        meter.out(head.bytes() + body.whole_bytes())?;
        let mut request = assemble(target, head, body)?;
        let permitted = |address| {
            Guard::KeptAddress.holds(self.effective.may_dial(sending, &[address]).is_ok())
        };
        let key = Key::of(target, speaker.identity);
        if let Some(mut connection) = self.pool.take(&key, permitted).await {
            meter.reached();
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
                    meter.out(head.bytes() + body.whole_bytes())?;
                    assemble(target, head, body)?
                }
                _ => return Err(told(target, failed.error())),
            };
        }
        let mut connection = self.dial(sending, speaker, timeouts).await?;
        meter.reached();
        let sent = timeout(timeouts.first_byte, connection.sender.send_request(request)).await;
        let response = sent
            .map_err(|_| slow(target, timeouts))?
            .map_err(|error| told(target, &error))?;
        Ok((response, connection))
    }

    /// A new connection: resolves once, checks every address, dials what was checked.
    async fn dial(
        &self,
        sending: &Sending,
        speaker: &Speaker,
        timeouts: HttpTimeouts,
    ) -> Result<Connection, HttpError> {
        let host = &sending.target.host;
        let within = Guard::DnsTime.limit(self.settings.dns_time_max.min(timeouts.connect));
        let addresses = resolve::addresses(&*self.resolver, host, within).await?;
        if Guard::AddressChecked.stands() {
            self.effective
                .may_dial(sending, &addresses)
                .map_err(|refusal| self.denied(refusal))?;
        }
        connect::open(&speaker.tls, &sending.target, &addresses, timeouts.connect).await
    }
}

fn assemble(target: &Target, head: Head, body: Outgoing) -> Result<Request<Outgoing>, HttpError> {
    // The error is not told: it could quote the query.
    let failed = |_| HttpError::Protocol {
        host: target.authority(),
        reason: "the url cannot be sent".to_owned(),
    };
    head.with(body).map_err(failed)
}

pub(crate) fn slow(target: &Target, timeouts: HttpTimeouts) -> HttpError {
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
