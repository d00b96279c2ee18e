//! One connection to a server: its greeting, TLS by the host, a login, and then messages both ways. Deliberately no
//! reconnecting: what breaks is told, and the host opens another. Every wait has an end.

use crate::config::Config;
use crate::wire::{Arrived, Head, Malformed, Message, Operation};
use serde::{Deserialize, Serialize};
use sluice_sdk::net::{Connection, NetError, READ_BYTES_MAX, Security};
use sluice_sdk::{Fault, secret};
use std::collections::VecDeque;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::{Duration, Instant};

/// How long an answer is waited for.
pub(crate) const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// The subscription that answers come to.
const ANSWERS: u64 = 1;
/// The subscription that a consumer's messages come to.
const DELIVERIES: u64 = 2;

/// Messages that came while something else was waited for. Stops a server that sends what nobody asked for.
const ASIDE_MAX: usize = 10_000;
/// Their bytes.
const ASIDE_BYTES_MAX: usize = 32 << 20;

/// The most that is believed of what a server says it takes: as much as it may be told to take.
const PAYLOAD_BYTES_MAX: usize = 64 << 20;

/// What a server says of itself.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "as the protocol has them")]
struct Info {
    headers: bool,
    jetstream: bool,
    max_payload: usize,
    tls_required: bool,
    tls_available: bool,
}

/// What is said to it.
#[derive(Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "as the protocol has them")]
struct Connect<'a> {
    verbose: bool,
    pedantic: bool,
    tls_required: bool,
    name: &'a str,
    lang: &'a str,
    version: &'a str,
    protocol: u8,
    echo: bool,
    headers: bool,
    no_responders: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pass: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_token: Option<&'a str>,
}

/// A session that is logged in.
pub(crate) struct Session {
    connection: Connection,
    arrived: Arrived,
    info: Info,
    /// A prefix that nobody else is likely to listen to.
    inbox: String,
    asked: u64,
    aside: VecDeque<Message>,
    aside_bytes: usize,
    out: Vec<u8>,
}

impl Session {
    /// Connects, makes TLS of it, and logs in.
    pub(crate) fn open(config: &Config) -> Result<Self, Fault> {
        let security = if config.tls_first {
            Security::Tls
        } else {
            Security::Plain
        };
        let mut session = Self {
            connection: Connection::open(&config.host, config.port, security)?,
            arrived: Arrived::default(),
            info: Info::default(),
            inbox: inbox(),
            asked: 0,
            aside: VecDeque::new(),
            aside_bytes: 0,
            out: Vec::new(),
        };
        session.greeted()?;
        if !config.tls_first {
            session.secured(&config.host)?;
        }
        session.login(config)?;
        Ok(session)
    }

    /// The greeting, which comes in the clear: what it says is not secret, and no more than that is believed.
    fn greeted(&mut self) -> Result<(), Fault> {
        match self.next(Instant::now() + ANSWER_WAIT)? {
            Some(Operation::Info(_)) => Ok(()),
            Some(_) => Err(Fault::broken(
                "the server does not begin with INFO: it is none of NATS",
            )),
            None => Err(Fault::transient("the server is silent")),
        }
    }

    fn secured(&mut self, host: &str) -> Result<(), Fault> {
        if !self.info.tls_required && !self.info.tls_available {
            return Err(Fault::misconfigured(
                "the server does not speak TLS, and nothing is sent without; hint: a `tls` block in its configuration",
            ));
        }
        // Whoever stands between could put words there that count as the server's once there is TLS.
        if !self.arrived.is_empty() {
            return Err(Fault::broken(
                "the server says more before TLS than its greeting",
            ));
        }
        Ok(self.connection.upgrade(host)?)
    }

    fn login(&mut self, config: &Config) -> Result<(), Fault> {
        let user = config.user.as_deref();
        let password = user.map(|_| secret::reveal("password")).transpose()?;
        let token = match user {
            Some(_) => None,
            None => secret::reveal_optional("token")?,
        };
        let connect = Connect {
            verbose: false,
            pedantic: false,
            tls_required: true,
            name: "sluice",
            lang: "rust",
            version: env!("CARGO_PKG_VERSION"),
            protocol: 1,
            echo: false,
            headers: true,
            no_responders: true,
            user,
            pass: password.as_ref().map(|value| value.text()).transpose()?,
            auth_token: token.as_ref().map(|value| value.text()).transpose()?,
        };
        let connect = serde_json::to_string(&connect)
            .map_err(|_| Fault::broken("settings that are no JSON"))?;
        let inbox = &self.inbox;
        let said = format!(
            "CONNECT {connect}\r\nSUB {inbox}.a.* {ANSWERS}\r\nSUB {inbox}.d.* {DELIVERIES}\r\n"
        );
        self.out.extend_from_slice(said.as_bytes());
        self.flush()?;
        if !self.info.headers || !self.info.jetstream {
            return Err(Fault::misconfigured(
                "the server has no JetStream; hint: a `jetstream` block in its configuration",
            ));
        }
        Ok(())
    }

    /// The most that one message to it may have, headers included.
    pub(crate) fn payload_bytes_max(&self) -> usize {
        self.info.max_payload.min(PAYLOAD_BYTES_MAX)
    }

    /// Says it, and waits until the server has heard it, with all that was said before: what it refused of that is told.
    pub(crate) fn flush(&mut self) -> Result<(), Fault> {
        self.out.extend_from_slice(b"PING\r\n");
        self.send()?;
        let until = Instant::now() + ANSWER_WAIT;
        loop {
            match self.next(until)? {
                Some(Operation::Pong) => return Ok(()),
                Some(Operation::Message(message)) => self.put_aside(message)?,
                Some(_) => {}
                None => return Err(Fault::transient("the server is silent")),
            }
        }
    }

    /// Puts a message among what is said next. `subject` and `reply` are names that were checked.
    pub(crate) fn publish(&mut self, subject: &str, reply: &str, head: &[u8], body: &[u8]) {
        let verb = if head.is_empty() { "PUB" } else { "HPUB" };
        self.out
            .extend_from_slice(format!("{verb} {subject} {reply} ").as_bytes());
        if !head.is_empty() {
            self.out
                .extend_from_slice(format!("{} ", head.len()).as_bytes());
        }
        self.out
            .extend_from_slice(format!("{}\r\n", head.len() + body.len()).as_bytes());
        self.out.extend_from_slice(head);
        self.out.extend_from_slice(body);
        self.out.extend_from_slice(b"\r\n");
    }

    /// Says what was put there.
    pub(crate) fn send(&mut self) -> Result<(), Fault> {
        let out = std::mem::take(&mut self.out);
        Ok(self.connection.send(&out)?)
    }

    /// A subject that answers come to, and its number.
    pub(crate) fn answers_to(&mut self) -> (String, u64) {
        self.asked += 1;
        (format!("{}.a.{}", self.inbox, self.asked), self.asked)
    }

    /// A subject that a consumer's messages come to.
    pub(crate) fn deliveries_to(&mut self) -> String {
        self.asked += 1;
        format!("{}.d.{}", self.inbox, self.asked)
    }

    /// The next answer, with the number of what was asked; none where there is none in time.
    pub(crate) fn answer(&mut self, until: Instant) -> Result<Option<(u64, Message)>, Fault> {
        loop {
            match self.next(until)? {
                Some(Operation::Message(message)) => {
                    let number = message
                        .subject
                        .strip_prefix(&self.inbox)
                        .and_then(|rest| rest.strip_prefix(".a."));
                    match number.and_then(crate::wire::number) {
                        Some(number) if message.sid == ANSWERS => {
                            return Ok(Some((number, message)));
                        }
                        _ => self.put_aside(message)?,
                    }
                }
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }

    /// Asks, and waits for the answer.
    pub(crate) fn ask(&mut self, subject: &str, body: &[u8]) -> Result<Message, Fault> {
        let (reply, asked) = self.answers_to();
        self.publish(subject, &reply, &[], body);
        self.send()?;
        let until = Instant::now() + ANSWER_WAIT;
        loop {
            match self.answer(until)? {
                Some((number, message)) if number == asked => return Ok(message),
                // To what was given up.
                Some(_) => {}
                None => {
                    return Err(Fault::transient(format!(
                        "the server does not answer to `{subject}`"
                    )));
                }
            }
        }
    }

    /// A consumer's next message, or what the server says in its place; none where there is none in time.
    pub(crate) fn delivery(&mut self, until: Instant) -> Result<Option<Message>, Fault> {
        if let Some(message) = self.aside.pop_front() {
            self.aside_bytes -= message.head.len() + message.body.len();
            return Ok(Some(message));
        }
        loop {
            match self.next(until)? {
                Some(Operation::Message(message)) if message.sid == DELIVERIES => {
                    return Ok(Some(message));
                }
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }

    fn put_aside(&mut self, message: Message) -> Result<(), Fault> {
        if message.sid != DELIVERIES {
            return Ok(());
        }
        self.aside_bytes += message.head.len() + message.body.len();
        self.aside.push_back(message);
        if self.aside.len() > ASIDE_MAX || self.aside_bytes > ASIDE_BYTES_MAX {
            return Err(Fault::broken("the server sends more than was asked for"));
        }
        Ok(())
    }

    /// What it says next but for what is between the two sides; none where that does not come in time. Ends in time also
    /// where the server never stops to say something.
    fn next(&mut self, until: Instant) -> Result<Option<Operation>, Fault> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            match self.arrived.next().map_err(malformed)? {
                Some(Operation::Ping) => self.connection.send(b"PONG\r\n")?,
                Some(Operation::Info(json)) => {
                    self.info = serde_json::from_slice(&json)
                        .map_err(|_| Fault::broken("the server's INFO is not what NATS says"))?;
                    return Ok(Some(Operation::Info(json)));
                }
                Some(Operation::Error(told)) => return Err(refused(&told)),
                Some(operation) => return Ok(Some(operation)),
                None => match self.connection.receive(READ_BYTES_MAX, Some(left)) {
                    Ok(bytes) if bytes.is_empty() => {
                        return Err(Fault::transient("the server ended the connection"));
                    }
                    Ok(bytes) => self.arrived.push(&bytes),
                    Err(NetError::Timeout(_)) => return Ok(None),
                    Err(error) => return Err(error.into()),
                },
            }
        }
    }
}

/// Two numbers that differ with each session: answers to one are not taken for another's.
fn inbox() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("_INBOX.{:016x}{:016x}", random(), random())
}

pub(crate) fn malformed(Malformed(what): Malformed) -> Fault {
    Fault::broken(format!("the server does not speak as NATS does: {what}"))
}

/// What an error that comes without being asked for means. The words may name a subject, in which a record's values may
/// stand: they are told only of the subjects of the server's own.
fn refused(told: &str) -> Fault {
    let lower = told.to_lowercase();
    let has = |words: &str| lower.contains(words);
    if has("permissions violation") {
        let subject = told
            .split('"')
            .nth(1)
            .filter(|subject| subject.starts_with('$') || subject.starts_with("_INBOX."));
        let what = subject.map_or_else(
            || "one of the subjects it is set for".to_owned(),
            |subject| format!("`{subject}`"),
        );
        let how = if has("subscription") {
            "subscribe to"
        } else {
            "publish to"
        };
        return Fault::misconfigured(format!(
            "the user may not {how} {what}; hint: permit it at the server, as the plugin's README lists"
        ));
    }
    // Of a server with too much to do, and of a login whose time is over: another may hold, and is refused where it may not.
    if has("authentication timeout") || has("authentication expired") {
        return Fault::transient(
            "the server ended the session: the login took too long, or holds no longer",
        );
    }
    if has("authorization violation") || has("authentication") {
        return Fault::unauthorized("the server refused the login");
    }
    if has("maximum payload") || has("protocol") || has("parser") || has("invalid") {
        return Fault::broken("the server does not take what was said to it");
    }
    if has("secure connection") || has("tls") {
        return Fault::misconfigured(
            "the server wants a TLS that is not this one: it asks for a certificate, perhaps",
        );
    }
    Fault::transient("the server ended the session")
}

/// What the server says in place of an answer: that nobody takes what was asked.
pub(crate) fn is_nobody(head: &Head) -> bool {
    head.status == Some(503)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_has_its_owner_and_quotes_no_record() {
        for (told, kind) in [
            ("Authorization Violation", "unauthorized"),
            ("User Authentication Revoked", "unauthorized"),
            ("Authentication Timeout", "transient"),
            ("User Authentication Expired", "transient"),
            ("Account Authentication Expired", "transient"),
            (
                "Permissions Violation for Publish to \"orders.secret\"",
                "misconfigured",
            ),
            (
                "Permissions Violation for Subscription to \"_INBOX.x.a.*\"",
                "misconfigured",
            ),
            ("Secure Connection - TLS Required", "misconfigured"),
            ("Maximum Payload Violation", "broken"),
            ("Unknown Protocol Operation", "broken"),
            ("Stale Connection", "transient"),
            ("Slow Consumer", "transient"),
            ("maximum connections exceeded", "transient"),
            ("secret", "transient"),
        ] {
            let fault = refused(told).to_string();
            assert!(fault.starts_with(kind), "{told}: {fault}");
            assert!(!fault.contains("secret"), "{fault}");
        }
        let fault =
            refused("Permissions Violation for Publish to \"$JS.ACK.S.c.1.2.3.4.5\"").to_string();
        assert!(
            fault.contains("publish to `$JS.ACK.S.c.1.2.3.4.5`"),
            "{fault}"
        );
    }
}
