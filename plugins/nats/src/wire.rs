//! What a server says, cut out of bytes that arrive in pieces: NATS' text protocol, the half of a client that reads.
//! Pure, and bounded: nothing a server says is believed before it is measured.

use std::borrow::Cow;

/// Bytes of a line. Stops a server that never ends one; `INFO` of a large cluster names every server in one.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Bytes of a message, headers included. Stops a server that announces more than the plugin may hold. A stored message
/// comes in base64 where it is read by its number: of 8 MiB, that is less.
const MESSAGE_BYTES_MAX: usize = 12 << 20;

/// Headers of a message. Stops a message that is nothing but headers from becoming a map of a million texts.
const HEADERS_MAX: usize = 1_000;

/// What a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Who it is, as JSON.
    Info(Vec<u8>),
    Message(Message),
    Ping,
    Pong,
    /// It took what was said; only where a client asks to be told.
    Ok,
    /// It did not.
    Error(String),
}

/// A message to one of our subscriptions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) subject: String,
    /// Which subscription.
    pub(crate) sid: u64,
    pub(crate) reply: Option<String>,
    /// Status and headers as they came; empty where there are none.
    pub(crate) head: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

/// What is no operation of NATS, or one that is too large.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) String);

/// Bytes that have arrived.
#[derive(Debug, Default)]
pub(crate) struct Arrived {
    bytes: Vec<u8>,
    /// Of these, taken.
    from: usize,
}

impl Arrived {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.from > 0 {
            self.bytes.drain(..self.from);
            self.from = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Nothing has arrived that was not taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.from == self.bytes.len()
    }

    /// The next operation; none before it has arrived whole.
    pub(crate) fn next(&mut self) -> Result<Option<Operation>, Malformed> {
        let rest = &self.bytes[self.from..];
        let Some(end) = line_end(rest)? else {
            return Ok(None);
        };
        let line = &rest[..end];
        let behind = end + 2;
        let (verb, arguments) = words(line)?;
        let (operation, length) = match verb.to_ascii_uppercase().as_slice() {
            b"MSG" | b"HMSG" => {
                let head = Announced::read(arguments, verb.len() == 4)?;
                match message(head, &rest[behind..])? {
                    Some((message, length)) => (Operation::Message(message), length),
                    None => return Ok(None),
                }
            }
            b"INFO" => (Operation::Info(arguments.to_vec()), 0),
            b"PING" => (Operation::Ping, 0),
            b"PONG" => (Operation::Pong, 0),
            b"+OK" => (Operation::Ok, 0),
            b"-ERR" => (Operation::Error(text(arguments, 200)), 0),
            other => return Err(Malformed(format!("it says `{}`", text(other, 20)))),
        };
        self.from += behind + length;
        Ok(Some(operation))
    }
}

/// Where the first line ends.
fn line_end(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    let seen = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    match memchr::memchr(b'\n', seen) {
        Some(end) if end > 0 && seen[end - 1] == b'\r' => Ok(Some(end - 1)),
        Some(_) => Err(Malformed("a line does not end in CR LF".to_owned())),
        None if seen.len() == LINE_BYTES_MAX => Err(Malformed(format!(
            "a line is longer than {LINE_BYTES_MAX} bytes"
        ))),
        None => Ok(None),
    }
}

/// The first word, and what is behind it.
fn words(line: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let end = line.iter().position(|byte| is_blank(*byte));
    let (verb, rest) = line.split_at(end.unwrap_or(line.len()));
    if verb.is_empty() {
        return Err(Malformed("a line says nothing".to_owned()));
    }
    Ok((verb, rest.trim_ascii()))
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// The first line of a message.
struct Announced {
    subject: String,
    sid: u64,
    reply: Option<String>,
    head_bytes: usize,
    /// With the head.
    bytes: usize,
}

impl Announced {
    /// `subject sid [reply] [head bytes] bytes`.
    fn read(arguments: &[u8], has_head: bool) -> Result<Self, Malformed> {
        let wrong = || Malformed("the first line of a message is none".to_owned());
        let arguments = std::str::from_utf8(arguments).map_err(|_| wrong())?;
        let words: Vec<&str> = arguments
            .split([' ', '\t'])
            .filter(|word| !word.is_empty())
            .collect();
        let (subject, sid, reply, lengths) = match (&words[..], has_head) {
            ([subject, sid, lengths @ ..], true) if lengths.len() == 2 => {
                (subject, sid, None, lengths)
            }
            ([subject, sid, reply, lengths @ ..], true) if lengths.len() == 2 => {
                (subject, sid, Some(reply), lengths)
            }
            ([subject, sid, lengths @ ..], false) if lengths.len() == 1 => {
                (subject, sid, None, lengths)
            }
            ([subject, sid, reply, lengths @ ..], false) if lengths.len() == 1 => {
                (subject, sid, Some(reply), lengths)
            }
            _ => return Err(wrong()),
        };
        let length = |word: &str| {
            number(word)
                .and_then(|length| usize::try_from(length).ok())
                .ok_or_else(wrong)
        };
        let bytes = length(lengths[lengths.len() - 1])?;
        let head_bytes = if has_head { length(lengths[0])? } else { 0 };
        if bytes > MESSAGE_BYTES_MAX {
            return Err(Malformed(format!(
                "it announces a message of {bytes} bytes, and no more than {MESSAGE_BYTES_MAX} are taken"
            )));
        }
        if head_bytes > bytes {
            return Err(wrong());
        }
        Ok(Self {
            subject: (*subject).to_owned(),
            sid: number(sid).ok_or_else(wrong)?,
            reply: reply.map(|reply| (*reply).to_owned()),
            head_bytes,
            bytes,
        })
    }
}

/// The message of this announcement, and its bytes; none before it has arrived whole.
fn message(announced: Announced, rest: &[u8]) -> Result<Option<(Message, usize)>, Malformed> {
    let length = announced.bytes + 2;
    let Some(whole) = rest.get(..length) else {
        return Ok(None);
    };
    let Some(content) = whole.strip_suffix(b"\r\n") else {
        return Err(Malformed(
            "a message is not as long as it was announced".to_owned(),
        ));
    };
    let (head, body) = content.split_at(announced.head_bytes);
    let message = Message {
        subject: announced.subject,
        sid: announced.sid,
        reply: announced.reply,
        head: head.to_vec(),
        body: body.to_vec(),
    };
    Ok(Some((message, length)))
}

/// Decimal digits, and nothing else: no sign, no blank.
pub(crate) fn number(word: &str) -> Option<u64> {
    let is_number = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| word.parse().ok()).flatten()
}

/// What a server says, for people: short, on one line, without what a terminal would act on.
pub(crate) fn text(bytes: &[u8], characters_max: usize) -> String {
    let plain = |letter: char| if letter.is_control() { ' ' } else { letter };
    let text: Cow<'_, str> = String::from_utf8_lossy(bytes);
    text.trim()
        .trim_matches('\'')
        .chars()
        .take(characters_max)
        .map(plain)
        .collect()
}

/// What stands before a message's body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// Three digits that the server says in place of a message.
    pub(crate) status: Option<u16>,
    /// Its words for it.
    pub(crate) description: String,
    /// In their order; a name may stand more than once.
    pub(crate) headers: Vec<(String, String)>,
}

impl Head {
    pub(crate) fn read(head: &[u8]) -> Result<Self, Malformed> {
        let wrong = || Malformed("the headers of a message are none".to_owned());
        if head.is_empty() {
            return Ok(Self::default());
        }
        // What is not UTF-8 was put there by whoever published it, and is no reason to stop.
        let head = String::from_utf8_lossy(head);
        let mut lines = head.split("\r\n");
        let first = lines
            .next()
            .and_then(|line| line.strip_prefix("NATS/1.0"))
            .ok_or_else(wrong)?;
        let (status, description) = match first.trim() {
            "" => (None, ""),
            first => {
                let (status, description) = first.split_once(' ').unwrap_or((first, ""));
                let status = number(status).and_then(|status| u16::try_from(status).ok());
                (Some(status.ok_or_else(wrong)?), description)
            }
        };
        let mut headers = Vec::new();
        for line in lines.filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').ok_or_else(wrong)?;
            headers.push((name.to_owned(), value.trim().to_owned()));
            if headers.len() > HEADERS_MAX {
                return Err(Malformed(format!(
                    "a message has more than {HEADERS_MAX} headers"
                )));
            }
        }
        Ok(Self {
            status,
            description: text(description.as_bytes(), 100),
            headers,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(arrived: &mut Arrived) -> Result<Vec<Operation>, Malformed> {
        std::iter::from_fn(|| arrived.next().transpose()).collect()
    }

    fn read(bytes: &[u8]) -> Result<Vec<Operation>, Malformed> {
        let mut arrived = Arrived::default();
        arrived.push(bytes);
        all(&mut arrived)
    }

    fn of(subject: &str, reply: Option<&str>, head: &str, body: &str) -> Operation {
        Operation::Message(Message {
            subject: subject.to_owned(),
            sid: 7,
            reply: reply.map(ToOwned::to_owned),
            head: head.into(),
            body: body.into(),
        })
    }

    const SAID: &str = "INFO {\"a\": 1}\r\nPING\r\nmsg a.b 7 5\r\nhe\r\no\r\nMSG a 7 re.ply 0\r\n\r\nPONG\r\n\
        HMSG a\t7  r 12 14\r\nNATS/1.0\r\n\r\nhi\r\nHMSG a 7 16 16\r\nNATS/1.0 503\r\n\r\n\r\n+OK\r\n-ERR 'Stale Connection'\r\n";

    fn said() -> Vec<Operation> {
        vec![
            Operation::Info(b"{\"a\": 1}".to_vec()),
            Operation::Ping,
            of("a.b", None, "", "he\r\no"),
            of("a", Some("re.ply"), "", ""),
            Operation::Pong,
            of("a", Some("r"), "NATS/1.0\r\n\r\n", "hi"),
            of("a", None, "NATS/1.0 503\r\n\r\n", ""),
            Operation::Ok,
            Operation::Error("Stale Connection".to_owned()),
        ]
    }

    #[test]
    fn each_operation_is_read() {
        assert_eq!(read(SAID.as_bytes()), Ok(said()));
    }

    #[test]
    fn bytes_may_be_torn_anywhere() {
        let bytes = SAID.as_bytes();
        for cut in 0..=bytes.len() {
            let mut arrived = Arrived::default();
            arrived.push(&bytes[..cut]);
            let mut found = all(&mut arrived).expect("a part");
            arrived.push(&bytes[cut..]);
            found.extend(all(&mut arrived).expect("the rest"));
            assert_eq!(found, said(), "cut at {cut}");
            assert!(arrived.is_empty());
        }
        let mut arrived = Arrived::default();
        let mut found = Vec::new();
        for byte in bytes {
            arrived.push(&[*byte]);
            found.extend(all(&mut arrived).expect("a byte"));
        }
        assert_eq!(found, said(), "byte by byte");
    }

    #[test]
    fn what_is_no_operation_is_told() {
        let long = format!("INFO {}", "x".repeat(LINE_BYTES_MAX));
        for said in [
            "\r\n",
            " PING\r\n",
            "PING\n",
            "HELLO there\r\n",
            "MSG a 7\r\n",
            "MSG a 7 x\r\n",
            "MSG a 7 -1\r\n",
            "MSG a 7 +1\r\nx\r\n",
            "MSG a b 1\r\nx\r\n",
            "MSG a 7 r r 1\r\nx\r\n",
            "MSG a 7 1\r\nxyz\r\n",
            "MSG a 7 99999999999999999999999\r\n",
            "MSG a 7 12582913\r\n",
            "HMSG a 7 5 4\r\nNATS\r\n",
            "HMSG a 7 4\r\nNATS\r\n",
            "HMSG a 7 18446744073709551615 4\r\nNATS\r\n",
            "MSG \u{7f}\u{0} 7 1 1 1\r\nx\r\n",
            &long,
        ] {
            assert!(
                read(said.as_bytes()).is_err(),
                "{}",
                text(said.as_bytes(), 60)
            );
        }
        assert!(read(b"MSG \xff 7 1\r\nx\r\n").is_err(), "a subject is text");
        // Not told before it is sure.
        assert_eq!(read(b"MSG a 7 12582912\r\n"), Ok(vec![]));
        assert_eq!(read("x".repeat(LINE_BYTES_MAX - 1).as_bytes()), Ok(vec![]));
    }

    #[test]
    fn heads_are_read() {
        let check =
            |head: &str, status: Option<u16>, description: &str, headers: &[(&str, &str)]| {
                let found = Head::read(head.as_bytes()).expect(head);
                let headers = headers
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
                let expected = Head {
                    status,
                    description: description.to_owned(),
                    headers: headers.collect(),
                };
                assert_eq!(found, expected, "{head}");
            };
        check("", None, "", &[]);
        check("NATS/1.0\r\n\r\n", None, "", &[]);
        check("NATS/1.0 503\r\n\r\n", Some(503), "", &[]);
        check(
            "NATS/1.0 408 Request Timeout\r\nA: b:c\r\nA:d\r\n\r\n",
            Some(408),
            "Request Timeout",
            &[("A", "b:c"), ("A", "d")],
        );
        for head in [
            "x",
            "NATS/1.0 abc\r\n\r\n",
            "NATS/1.0 99999\r\n\r\n",
            "NATS/1.0\r\nno colon\r\n\r\n",
        ] {
            assert!(Head::read(head.as_bytes()).is_err(), "{head}");
        }
        let many = format!("NATS/1.0\r\n{}", "a: b\r\n".repeat(HEADERS_MAX + 1));
        assert!(Head::read(many.as_bytes()).is_err());
    }

    #[test]
    fn what_a_server_says_is_made_harmless() {
        assert_eq!(text(b"'a\x1b[31m\nb'", 200), "a [31m b");
        assert_eq!(text(&[b'x'; 500], 200).len(), 200);
    }

    proptest! {
        /// No bytes of a server's panic, and none are taken twice.
        #[test]
        fn any_bytes_are_read_or_refused(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..12)) {
            let mut arrived = Arrived::default();
            for piece in pieces {
                arrived.push(&piece);
                if all(&mut arrived).is_err() {
                    break;
                }
            }
        }

        /// The same of what looks like operations.
        #[test]
        fn words_of_the_protocol_are_read_or_refused(text in "(MSG|HMSG|INFO|PING|-ERR|NATS/1.0|[0-9a\\. ]{0,8}|\r\n){0,12}") {
            let _ = read(text.as_bytes());
            let _ = Head::read(text.as_bytes());
        }

        /// What was announced is what comes, however it is torn.
        #[test]
        fn a_message_is_whole(head in "[a-z]{0,20}", body in proptest::collection::vec(any::<u8>(), 0..200), cut in 0_usize..300) {
            let head = format!("NATS/1.0\r\nA: {head}\r\n\r\n");
            let mut bytes = format!("HMSG a.b 7 r {} {}\r\n{head}", head.len(), head.len() + body.len()).into_bytes();
            bytes.extend_from_slice(&body);
            bytes.extend_from_slice(b"\r\nPING\r\n");
            let mut arrived = Arrived::default();
            let cut = cut.min(bytes.len());
            arrived.push(&bytes[..cut]);
            let mut found = all(&mut arrived).expect("a part");
            arrived.push(&bytes[cut..]);
            found.extend(all(&mut arrived).expect("the rest"));
            let message = Message { subject: "a.b".to_owned(), sid: 7, reply: Some("r".to_owned()), head: head.into_bytes(), body };
            prop_assert_eq!(found, vec![Operation::Message(message), Operation::Ping]);
        }
    }
}
