//! The bounds of a door, by default those of `limits`. None of them can be reached from a plugin's settings.

use rustls::RootCertStore;
use sluice_model::guards::Guard;
use sluice_model::limits;
use sluice_model::ports::HttpTimeouts;
use std::sync::Arc;
use std::time::Duration;

/// Requests of one stage that are open at once. Each of its instances is held to
/// [`limits::HTTP_REQUESTS_IN_FLIGHT_MAX`] by the engine; this stops many instances from taking every socket.
const IN_FLIGHT_MAX: usize = 16 * limits::HTTP_REQUESTS_IN_FLIGHT_MAX;

/// Below what servers commonly keep a connection open, so that a request seldom meets a closing one.
const IDLE_TIME_MAX: Duration = Duration::from_secs(20);

/// How a door connects, and what it stops at.
#[derive(Debug, Clone)]
pub struct DoorSettings {
    /// Whom it trusts where the grant names no `ca`.
    pub roots: Arc<RootCertStore>,
    /// Looking a name up.
    pub dns_time_max: Duration,
    /// Ceilings of what a plugin may ask for.
    pub timeouts_max: HttpTimeouts,
    /// One request's body.
    pub request_bytes_max: u64,
    /// One answer's body.
    pub response_bytes_max: u64,
    /// Requests open at once, over all instances of the stage; one more is refused, for waiting while holding others
    /// could wait for ever.
    pub in_flight_max: usize,
    /// Waiting for one answer's body in all.
    pub answer_time_max: Duration,
    /// Trading a secret for a token.
    pub token_time_max: Duration,
    /// From one trade of a secret to its next.
    pub token_interval_min: Duration,
    /// How long a token endpoint's refusal holds for the same value.
    pub token_refusal_time: Duration,
    /// How long an open connection waits for its next request.
    pub idle_time_max: Duration,
}

impl Default for DoorSettings {
    fn default() -> Self {
        Self {
            roots: Arc::new(public_roots()),
            dns_time_max: limits::DNS_TIME_MAX,
            timeouts_max: HttpTimeouts {
                connect: limits::HTTP_CONNECT_TIME_MAX,
                first_byte: limits::HTTP_FIRST_BYTE_TIME_MAX,
                between_bytes: limits::HTTP_BETWEEN_BYTES_TIME_MAX,
            },
            request_bytes_max: limits::HTTP_REQUEST_BYTES_MAX,
            response_bytes_max: limits::HTTP_RESPONSE_BYTES_MAX,
            in_flight_max: IN_FLIGHT_MAX,
            answer_time_max: limits::HTTP_ANSWER_TIME_MAX,
            token_time_max: limits::OAUTH2_TIME_MAX,
            token_interval_min: limits::OAUTH2_INTERVAL_MIN,
            token_refusal_time: limits::OAUTH2_REFUSAL_TIME,
            idle_time_max: IDLE_TIME_MAX,
        }
    }
}

impl DoorSettings {
    /// What the plugin asked for, under the ceilings.
    pub(crate) fn capped(&self, asked: HttpTimeouts) -> HttpTimeouts {
        HttpTimeouts {
            connect: asked
                .connect
                .min(Guard::ConnectTime.limit(self.timeouts_max.connect)),
            first_byte: asked
                .first_byte
                .min(Guard::FirstByteTime.limit(self.timeouts_max.first_byte)),
            between_bytes: asked
                .between_bytes
                .min(Guard::BetweenBytesTime.limit(self.timeouts_max.between_bytes)),
        }
    }
}

/// The authorities that browsers trust.
pub fn public_roots() -> RootCertStore {
    RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    }
}
