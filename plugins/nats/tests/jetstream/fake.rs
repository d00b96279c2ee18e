//! As much of a server as the plugin speaks to, in a test's own memory: one stream with one consumer, and what was
//! published. What it does of itself is what a test tells it to.

use serde_json::{Value, json};
use sluice_sdk::net::NetError;
use sluice_sdk::testing::{self, Event, Turn};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::rc::Rc;

/// What a server is.
#[derive(Default)]
pub struct Fake {
    /// What the stream holds, by number.
    pub stored: BTreeMap<u64, Vec<u8>>,
    pub last: u64,
    pub consumer: Option<Value>,
    /// Sent by the consumer, again and again included.
    pub sent: u64,
    /// The last message it has sent.
    pub sent_up_to: u64,
    /// Sent and not acknowledged, and how often.
    pub pending: BTreeMap<u64, u64>,
    /// Of these, to be sent again.
    pub again: BTreeSet<u64>,
    /// Acknowledged.
    pub acknowledged: BTreeSet<u64>,
    /// What no acknowledgement may go beyond.
    pub durable: u64,
    /// What was published, without repetitions.
    pub published: Vec<(String, Vec<u8>)>,
    pub duplicates: u64,
    ids: HashSet<String>,
    /// The next so many answers break the connection off instead.
    pub broken: u64,
    /// What is answered to every message that is published, in place of what is right.
    pub refuses: Option<Value>,
    /// It says `PING`, and never stops.
    pub floods: bool,
    /// What it says first.
    pub info: String,
}

pub type Shared = Rc<RefCell<Fake>>;

pub const SETTINGS: &str = r#"{"host": "nats.example", "user": "u", "subject": "there.{@stream}",
    "streams": {"things": {"stream": "HERE", "consumer": "c"}}}"#;

/// A server that this thread's plugins reach.
pub fn start() -> Shared {
    let info = r#"INFO {"headers":true,"jetstream":true,"tls_required":true,"max_payload":1000}"#;
    let fake = Fake {
        info: format!("{info}\r\n"),
        ..Fake::default()
    };
    let shared = Rc::new(RefCell::new(fake));
    testing::secrets(&[("password", Some("made up"))]);
    let server = Rc::clone(&shared);
    testing::net(move |_, _, _| {
        let server = Rc::clone(&server);
        let mut greeted = false;
        Ok(Box::new(move |event| match event {
            Event::Upgrade(_) => Turn::Wait,
            Event::Read(_) if !greeted => {
                greeted = true;
                Turn::Send(server.borrow().info.clone().into_bytes())
            }
            Event::Read(said) => server.borrow_mut().heard(said),
        }))
    });
    shared
}

impl Fake {
    /// Stores a message.
    pub fn store(&mut self, body: impl Into<Vec<u8>>) {
        self.last += 1;
        self.stored.insert(self.last, body.into());
    }

    /// Somebody else is sent so many messages.
    pub fn steal(&mut self, count: u64) {
        for _ in 0..count {
            let Some((sequence, _)) = self.stored.range(self.sent_up_to + 1..).next() else {
                return;
            };
            self.sent_up_to = *sequence;
            self.sent += 1;
            self.pending.insert(*sequence, 1);
        }
    }

    /// The time for acknowledgements is over.
    pub fn expire(&mut self) {
        self.again = self.pending.keys().copied().collect();
    }

    fn heard(&mut self, said: &[u8]) -> Turn {
        if self.floods {
            return Turn::Send(b"PING\r\n".repeat(1_000));
        }
        if self.broken > 0 && !said.is_empty() {
            self.broken -= 1;
            return Turn::Fail(NetError::Closed("broken off".to_owned()));
        }
        let mut answer = Vec::new();
        let mut rest = said;
        while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
            let line = String::from_utf8_lossy(&rest[..end]).into_owned();
            rest = &rest[end + 2..];
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                ["PING"] => answer.extend_from_slice(b"PONG\r\n"),
                ["PUB" | "HPUB", subject, ..] => {
                    let length: usize = words[words.len() - 1].parse().expect("a number");
                    let head: usize = if words[0] == "HPUB" {
                        words[words.len() - 2].parse().expect("a number")
                    } else {
                        0
                    };
                    let reply = if words.len() > 3 { words[2] } else { "" };
                    let (head, body) = rest[..length].split_at(head);
                    answer.extend(self.published(subject, reply, head, body));
                    rest = &rest[length + 2..];
                }
                _ => {}
            }
        }
        if answer.is_empty() {
            Turn::Wait
        } else {
            Turn::Send(answer)
        }
    }

    fn published(&mut self, subject: &str, reply: &str, head: &[u8], body: &[u8]) -> Vec<u8> {
        let json: Value = serde_json::from_slice(body).unwrap_or_default();
        let words: Vec<&str> = subject.split('.').collect();
        let answer = match words[..] {
            ["$JS", "API", "STREAM", "INFO", _] => json!({
                "created": "then", "config": { "retention": "limits", "duplicate_window": 120_000_000_000_u64 },
                "state": { "first_seq": self.stored.keys().next().copied().unwrap_or(self.last + 1), "last_seq": self.last }
            }),
            ["$JS", "API", "STREAM", "NAMES"] => json!({ "streams": ["THERE"] }),
            ["$JS", "API", "CONSUMER", "INFO", ..] => self.consumer(),
            ["$JS", "API", "CONSUMER", "DURABLE", "CREATE", ..] => {
                self.consumer = Some(json["config"].clone());
                self.consumer()
            }
            ["$JS", "API", "STREAM", "MSG", "GET", _] => {
                self.stored_from(json["seq"].as_u64().expect("a number"))
            }
            ["$JS", "API", "CONSUMER", "MSG", "NEXT", ..] => {
                return self.pulled(reply, json["batch"].as_u64().expect("a number"));
            }
            ["$JS", "ACK", .., sequence, _, _, _] => {
                let sequence: u64 = sequence.parse().expect("a number");
                assert!(
                    sequence <= self.durable,
                    "{sequence} is acknowledged, and only {} are durable",
                    self.durable
                );
                self.pending.remove(&sequence);
                self.again.remove(&sequence);
                self.acknowledged.insert(sequence);
                return Vec::new();
            }
            _ => self.taken(subject, head, body),
        };
        framed(reply, &answer.to_string())
    }

    fn consumer(&self) -> Value {
        let Some(config) = &self.consumer else {
            return json!({ "error": { "code": 404, "err_code": 10_014, "description": "consumer not found" } });
        };
        json!({
            "config": config, "delivered": { "consumer_seq": self.sent, "stream_seq": self.sent_up_to },
            "num_ack_pending": self.pending.len(), "num_pending": self.stored.range(self.sent_up_to + 1..).count()
        })
    }

    fn stored_from(&self, sequence: u64) -> Value {
        use base64::Engine as _;
        match self.stored.range(sequence..).next() {
            None => {
                json!({ "error": { "code": 404, "err_code": 10_037, "description": "no message found" } })
            }
            Some((sequence, body)) => json!({ "message": {
                "subject": "here.x", "seq": sequence, "time": "2026-11-27T08:00:00.5Z",
                "data": base64::prelude::BASE64_STANDARD.encode(body)
            } }),
        }
    }

    /// What is to be sent again comes first, as the server does it.
    fn pulled(&mut self, inbox: &str, batch: u64) -> Vec<u8> {
        let mut answer = Vec::new();
        for _ in 0..batch {
            let again = self.again.pop_first();
            let Some(sequence) = again.or_else(|| {
                self.stored
                    .range(self.sent_up_to + 1..)
                    .next()
                    .map(|(sequence, _)| *sequence)
            }) else {
                let status = "NATS/1.0 408 Request Timeout\r\n\r\n";
                answer.extend(
                    format!("HMSG {inbox} 2 {0} {0}\r\n{status}\r\n", status.len()).into_bytes(),
                );
                break;
            };
            self.sent_up_to = self.sent_up_to.max(sequence);
            self.sent += 1;
            let deliveries = self.pending.entry(sequence).or_default();
            *deliveries += 1;
            let (deliveries, sent) = (*deliveries, self.sent);
            let left = self.stored.range(self.sent_up_to + 1..).count();
            let body = &self.stored[&sequence];
            let reply =
                format!("$JS.ACK.HERE.c.{deliveries}.{sequence}.{sent}.1795780220955679848.{left}");
            answer.extend(format!("MSG here.x 2 {reply} {}\r\n", body.len()).into_bytes());
            answer.extend_from_slice(body);
            answer.extend_from_slice(b"\r\n");
        }
        answer
    }

    fn taken(&mut self, subject: &str, head: &[u8], body: &[u8]) -> Value {
        if let Some(refusal) = &self.refuses {
            return refusal.clone();
        }
        let head = String::from_utf8_lossy(head).into_owned();
        let id = head
            .split("Nats-Msg-Id: ")
            .nth(1)
            .and_then(|rest| rest.split("\r\n").next())
            .expect("an id");
        let is_new = self.ids.insert(id.to_owned());
        if is_new {
            self.published
                .push((format!("{subject} {head}"), body.to_vec()));
        } else {
            self.duplicates += 1;
        }
        json!({ "stream": "THERE", "seq": self.published.len(), "duplicate": !is_new })
    }
}

fn framed(reply: &str, body: &str) -> Vec<u8> {
    format!("MSG {reply} 1 {}\r\n{body}\r\n", body.len()).into_bytes()
}
