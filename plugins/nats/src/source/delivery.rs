//! What a consumer sends: a message with its numbers, or a word in place of one.

use crate::session::malformed;
use crate::wire::{Head, Message, number};
use sluice_sdk::Fault;

/// Where a message is acknowledged. Stops a server from filling the plugin with what is kept until then.
const REPLY_BYTES_MAX: usize = 1_000;

/// A message as a consumer sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Delivery {
    pub(super) subject: String,
    pub(super) head: Head,
    pub(super) body: Vec<u8>,
    pub(super) numbers: Numbers,
    /// Where it is acknowledged.
    pub(super) reply: String,
}

/// The numbers in the subject to which it is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Numbers {
    /// How often it was sent, this time included.
    pub(super) deliveries: u64,
    /// Of the message in its stream.
    pub(super) stream_seq: u64,
    /// Of what the consumer has sent.
    pub(super) consumer_seq: u64,
    /// When it was stored: nanoseconds since 1970.
    pub(super) stored_nanos: u64,
    /// How many are behind it that were not sent yet.
    pub(super) pending: u64,
}

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Came {
    Message(Box<Delivery>),
    /// A pull is over, or its server says something of it.
    Status {
        pull: String,
        status: u16,
        description: String,
    },
}

impl Came {
    pub(super) fn read(message: Message) -> Result<Self, Fault> {
        let head = Head::read(&message.head).map_err(malformed)?;
        let Some(reply) = message.reply else {
            let none = || Fault::broken("the server sends a message that nobody could acknowledge");
            let status = head.status.ok_or_else(none)?;
            return Ok(Self::Status {
                pull: message.subject,
                status,
                description: head.description,
            });
        };
        let numbers = Numbers::read(&reply).ok_or_else(|| {
            Fault::broken("the server sends a message without its numbers: it is not a consumer's")
        })?;
        Ok(Self::Message(Box::new(Delivery {
            subject: message.subject,
            head,
            body: message.body,
            numbers,
            reply,
        })))
    }
}

impl Numbers {
    /// `$JS.ACK.STREAM.CONSUMER.…` with five numbers; newer servers put a domain and an account before, and more behind.
    fn read(reply: &str) -> Option<Self> {
        if reply.len() > REPLY_BYTES_MAX {
            return None;
        }
        let words: Vec<&str> = reply.strip_prefix("$JS.ACK.")?.split('.').collect();
        let from = match words.len() {
            7 => 2,
            9.. => 4,
            _ => return None,
        };
        let numbers: Option<Vec<u64>> = words[from..from + 5]
            .iter()
            .map(|word| number(word))
            .collect();
        let [deliveries, stream_seq, consumer_seq, stored_nanos, pending] = numbers?[..] else {
            return None;
        };
        Some(Self {
            deliveries,
            stream_seq,
            consumer_seq,
            stored_nanos,
            pending,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_the_subject() {
        let numbers = Some(Numbers {
            deliveries: 1,
            stream_seq: 22,
            consumer_seq: 33,
            stored_nanos: 44,
            pending: 5,
        });
        assert_eq!(Numbers::read("$JS.ACK.S.c.1.22.33.44.5"), numbers);
        assert_eq!(Numbers::read("$JS.ACK.hub.hash.S.c.1.22.33.44.5"), numbers);
        assert_eq!(
            Numbers::read("$JS.ACK.hub.hash.S.c.1.22.33.44.5.token"),
            numbers
        );
        for reply in [
            "",
            "reply",
            "$JS.ACK.S.c.1.2.3.4",
            "$JS.ACK.S.c.1.2.x.4.5",
            "$JS.ACK.S.c.1.2.3.4.5.6",
            "$JS.ACK.S.c.1.2.-3.4.5",
        ] {
            assert_eq!(Numbers::read(reply), None, "{reply}");
        }
    }

    #[test]
    fn what_is_no_message_is_a_word_of_the_servers() {
        let message = |reply: Option<&str>, head: &str| Message {
            subject: "pull".to_owned(),
            sid: 2,
            reply: reply.map(ToOwned::to_owned),
            head: head.into(),
            body: Vec::new(),
        };
        let status = Came::Status {
            pull: "pull".to_owned(),
            status: 409,
            description: "Consumer Deleted".to_owned(),
        };
        assert_eq!(
            Came::read(message(None, "NATS/1.0 409 Consumer Deleted\r\n\r\n")),
            Ok(status)
        );
        for (reply, head) in [
            (None, ""),
            (None, "NATS/1.0\r\n\r\n"),
            (Some("else"), ""),
            (None, "HTTP/1.1 200\r\n\r\n"),
        ] {
            let fault = Came::read(message(reply, head)).expect_err("no message");
            assert!(matches!(fault, Fault::Broken(_)), "{fault}");
        }
    }
}
