//! What JetStream is asked, and what it answers: requests to `$JS.API`, in JSON. Deliberately no more of it than is used.

use crate::session::{Session, is_nobody, malformed};
use crate::wire::{Head, Message, text};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sluice_sdk::Fault;

/// `err_code` of what is not there.
const CONSUMER_NOT_FOUND: u32 = 10_014;
const MESSAGE_NOT_FOUND: u32 = 10_037;
const STREAM_NOT_FOUND: u32 = 10_059;
/// JetStream is off, for the server or for the account.
const NOT_ENABLED: [u32; 2] = [10_076, 10_039];

/// Why something was not done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Refusal {
    code: u16,
    err_code: u32,
    description: String,
}

impl Refusal {
    /// What it means where no record is to blame.
    pub(crate) fn fault(&self) -> Fault {
        let description = text(self.description.as_bytes(), 200);
        let told = format!("JetStream: {description} (error {})", self.err_code);
        match (self.code, self.err_code) {
            (_, code) if NOT_ENABLED.contains(&code) => Fault::misconfigured(told),
            // No leader yet, storage that is full, a limit of the account.
            (408 | 429 | 500..=599, _) => Fault::transient(told),
            _ => Fault::misconfigured(told),
        }
    }

    /// A record is to blame: it is larger than its stream takes.
    pub(crate) fn is_too_large(&self) -> bool {
        self.err_code == 10_054
    }

    /// A record is to blame: its subject has as many messages as its stream takes of one.
    pub(crate) fn is_subject_full(&self) -> bool {
        self.err_code == 10_077 && self.description.contains("per subject")
    }
}

/// A stream, as far as it matters here.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct StreamInfo {
    /// When it was made: another of the same name is another stream.
    pub(crate) created: String,
    pub(crate) config: StreamConfig,
    pub(crate) state: StreamState,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct StreamConfig {
    pub(crate) retention: String,
    pub(crate) max_msgs_per_subject: i64,
    /// Nanoseconds in which a message with an id that came before is dropped.
    pub(crate) duplicate_window: u64,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct StreamState {
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
}

/// A consumer.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ConsumerInfo {
    pub(crate) config: ConsumerConfig,
    pub(crate) delivered: Delivered,
    #[serde(default)]
    pub(crate) num_ack_pending: u64,
    #[serde(default)]
    pub(crate) num_pending: u64,
}

/// How far it is.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Delivered {
    /// Messages that were sent, again and again included.
    pub(crate) consumer_seq: u64,
    /// The last of the stream that was.
    pub(crate) stream_seq: u64,
}

/// A consumer's settings. What is not said to the server is what it takes by itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ConsumerConfig {
    pub(crate) durable_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) description: String,
    pub(crate) deliver_policy: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) opt_start_seq: Option<u64>,
    pub(crate) ack_policy: String,
    /// Nanoseconds.
    pub(crate) ack_wait: u64,
    pub(crate) max_deliver: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) filter_subject: String,
    pub(crate) replay_policy: String,
    pub(crate) max_ack_pending: i64,
    /// What only some other kind of reader wants.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) deliver_subject: String,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) headers_only: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) max_batch: i64,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) max_expires: i64,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) max_bytes: i64,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) inactive_threshold: i64,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A message that is read by its number.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Stored {
    pub(crate) subject: String,
    pub(crate) seq: u64,
    /// Base64.
    #[serde(default)]
    pub(crate) hdrs: Option<String>,
    /// Base64.
    #[serde(default)]
    pub(crate) data: Option<String>,
    /// RFC 3339.
    pub(crate) time: String,
}

/// Where a message was stored, or that it was before.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Published {
    stream: String,
    pub(crate) duplicate: bool,
}

#[derive(Deserialize)]
struct Refused {
    error: Refusal,
}

/// What an answer says: what was asked for, or why it was not done.
fn answer<T: DeserializeOwned>(message: &Message) -> Result<Result<T, Refusal>, Fault> {
    let head = Head::read(&message.head).map_err(malformed)?;
    if is_nobody(&head) {
        return Err(Fault::transient(
            "JetStream does not answer: it is off for this user's account, or not ready",
        ));
    }
    if let Ok(Refused { error }) = serde_json::from_slice(&message.body) {
        return Ok(Err(error));
    }
    let told = serde_json::from_slice(&message.body);
    told.map(Ok)
        .map_err(|_| Fault::broken("the server's answer is not what JetStream says"))
}

fn ask<T: DeserializeOwned>(
    session: &mut Session,
    subject: &str,
    body: &impl Serialize,
) -> Result<Result<T, Refusal>, Fault> {
    let body = serde_json::to_vec(body).map_err(|_| Fault::broken("a question that is no JSON"))?;
    answer(&session.ask(&format!("$JS.API.{subject}"), &body)?)
}

/// A stream, which must be there.
pub(crate) fn stream(session: &mut Session, stream: &str) -> Result<StreamInfo, Fault> {
    ask(
        session,
        &format!("STREAM.INFO.{stream}"),
        &serde_json::json!({}),
    )?
    .map_err(|refusal: Refusal| match refusal.err_code {
        STREAM_NOT_FOUND => Fault::misconfigured(format!(
            "there is no stream `{stream}`; hint: make it at the server, or mend `stream`"
        )),
        _ => refusal.fault(),
    })
}

/// The streams that take what is published to a subject, which may have wildcards.
pub(crate) fn streams_of(session: &mut Session, subject: &str) -> Result<Vec<String>, Fault> {
    #[derive(Deserialize)]
    struct Names {
        streams: Option<Vec<String>>,
    }
    let names: Result<Names, Refusal> = ask(
        session,
        "STREAM.NAMES",
        &serde_json::json!({ "subject": subject }),
    )?;
    Ok(names
        .map_err(|refusal| refusal.fault())?
        .streams
        .unwrap_or_default())
}

/// A consumer; none where there is none.
pub(crate) fn consumer(
    session: &mut Session,
    stream: &str,
    name: &str,
) -> Result<Option<ConsumerInfo>, Fault> {
    let found: Result<ConsumerInfo, Refusal> = ask(
        session,
        &format!("CONSUMER.INFO.{stream}.{name}"),
        &serde_json::json!({}),
    )?;
    match found {
        Ok(info) => Ok(Some(info)),
        Err(refusal) if refusal.err_code == CONSUMER_NOT_FOUND => Ok(None),
        Err(refusal) => Err(refusal.fault()),
    }
}

/// Makes one.
pub(crate) fn make_consumer(
    session: &mut Session,
    stream: &str,
    config: &ConsumerConfig,
) -> Result<(), Fault> {
    let subject = format!("CONSUMER.DURABLE.CREATE.{stream}.{}", config.durable_name);
    let made: Result<ConsumerInfo, Refusal> = ask(
        session,
        &subject,
        &serde_json::json!({ "stream_name": stream, "config": config }),
    )?;
    made.map(drop).map_err(|refusal| {
        refusal
            .fault()
            .context(format!("the consumer `{}`", config.durable_name))
    })
}

/// What asks for the first message from this number on that was published to a subject; all subjects where that is empty.
pub(crate) fn from_number(sequence: u64, subject: &str) -> Vec<u8> {
    serde_json::json!({ "seq": sequence, "next_by_subj": subject })
        .to_string()
        .into_bytes()
}

/// The answer: none where there is none.
pub(crate) fn stored(message: &Message) -> Result<Option<Stored>, Fault> {
    #[derive(Deserialize)]
    struct Found {
        message: Stored,
    }
    match answer::<Found>(message)? {
        Ok(found) => Ok(Some(found.message)),
        Err(refusal) if refusal.err_code == MESSAGE_NOT_FOUND => Ok(None),
        Err(refusal) => Err(refusal.fault()),
    }
}

/// What becomes of a message that was published.
pub(crate) enum Outcome {
    Stored(Published),
    Refused(Refusal),
    /// No stream takes its subject, or none does now.
    Nobody,
}

/// What an answer to a message says.
pub(crate) fn outcome(message: &Message) -> Result<Outcome, Fault> {
    let head = Head::read(&message.head).map_err(malformed)?;
    if is_nobody(&head) {
        return Ok(Outcome::Nobody);
    }
    match answer::<Published>(message)? {
        Ok(published) if published.stream.is_empty() => Err(Fault::misconfigured(
            "somebody else than JetStream answers to what is published; hint: `subject` is to be a stream's alone",
        )),
        Ok(published) => Ok(Outcome::Stored(published)),
        Err(refusal) => Ok(Outcome::Refused(refusal)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(head: &str, body: &str) -> Message {
        Message {
            subject: "s".to_owned(),
            sid: 1,
            reply: None,
            head: head.into(),
            body: body.into(),
        }
    }

    #[test]
    fn an_answer_is_what_was_asked_for_or_a_refusal() {
        let found = stored(&message(
            "",
            r#"{"message":{"subject":"o.a","seq":6,"data":"e30=","time":"2026-11-27T11:50:20.95Z"}}"#,
        ));
        assert_eq!(found.expect("an answer").expect("a message").seq, 6);
        let nothing = stored(&message(
            "",
            r#"{"error":{"code":404,"err_code":10037,"description":"no message found"}}"#,
        ));
        assert!(nothing.expect("an answer").is_none());
        for (body, kind) in [
            ("", "broken"),
            ("[]", "broken"),
            (r#"{"message":{"seq":"six"}}"#, "broken"),
            (
                r#"{"message":{"subject":"s","seq":-1,"time":""}}"#,
                "broken",
            ),
            (
                r#"{"error":{"code":503,"err_code":10008,"description":"JetStream system temporarily unavailable"}}"#,
                "transient",
            ),
            (
                r#"{"error":{"code":503,"err_code":10039,"description":"JetStream not enabled for account"}}"#,
                "misconfigured",
            ),
            (
                r#"{"error":{"code":404,"err_code":10059,"description":"stream not found"}}"#,
                "misconfigured",
            ),
            (
                r#"{"error":{"code":400,"err_code":10003,"description":"bad request"}}"#,
                "misconfigured",
            ),
            (r#"{"error":{}}"#, "misconfigured"),
        ] {
            let fault = stored(&message("", body)).expect_err(body).to_string();
            assert!(fault.starts_with(kind), "{body}: {fault}");
        }
        let nobody = stored(&message("NATS/1.0 503\r\n\r\n", "")).expect_err("nobody");
        assert!(matches!(nobody, Fault::Transient { .. }), "{nobody}");
    }

    #[test]
    fn what_was_published_is_stored_refused_or_nobodys() {
        let told = |head: &str, body: &str| match outcome(&message(head, body)) {
            Ok(Outcome::Stored(published)) => format!("stored {}", published.duplicate),
            Ok(Outcome::Refused(refusal)) if refusal.is_too_large() => "too large".to_owned(),
            Ok(Outcome::Refused(refusal)) if refusal.is_subject_full() => "subject full".to_owned(),
            Ok(Outcome::Refused(refusal)) => refusal.fault().to_string(),
            Ok(Outcome::Nobody) => "nobody".to_owned(),
            Err(fault) => fault.to_string(),
        };
        assert_eq!(told("", r#"{"stream":"S","seq":7}"#), "stored false");
        assert_eq!(
            told("", r#"{"stream":"S","seq":7,"duplicate":true}"#),
            "stored true"
        );
        assert_eq!(
            told(
                "",
                r#"{"error":{"code":400,"err_code":10054,"description":"message size exceeds maximum allowed"},"stream":"S","seq":0}"#
            ),
            "too large"
        );
        assert_eq!(
            told(
                "",
                r#"{"error":{"code":503,"err_code":10077,"description":"maximum messages per subject exceeded"}}"#
            ),
            "subject full"
        );
        assert_eq!(
            told(
                "",
                r#"{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"}}"#
            ),
            "transient: JetStream: maximum messages exceeded (error 10077)"
        );
        assert_eq!(told("NATS/1.0 503\r\n\r\n", ""), "nobody");
        for body in ["", "hello", "{}", "7"] {
            let told = told("", body);
            assert!(
                told.starts_with("misconfigured") || told.starts_with("broken"),
                "{body}: {told}"
            );
        }
    }
}
