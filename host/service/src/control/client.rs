//! The other end of a service's socket: one request, one answer, in HTTP/1.1 with JSON.

use super::{Reply, Request};
use crate::Error;
use crate::deployment::Deployment;
use serde_json::Value;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// The socket's name in the state directory.
pub(crate) const SOCKET: &str = "control.sock";

/// How long an answer may take.
const ANSWER_TIME: Duration = Duration::from_mins(1);
/// The longest line of an answer's head, and the most lines.
const LINE_BYTES_MAX: u64 = 8 << 10;
const LINES_MAX: usize = 64;

/// Why a request has no answer.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// Nobody is there.
    Nobody(io::Error),
    /// Somebody is, and did not answer in time, or not in words that are known.
    NoAnswer(io::Error),
}

/// Sends a request to the service of this deployment.
pub(super) fn send(
    deployment: &Deployment,
    request: &Request,
) -> Result<Result<Value, Error>, Unanswered> {
    let stream = UnixStream::connect(deployment.state_dir().join(SOCKET));
    let stream = stream.map_err(Unanswered::Nobody)?;
    asked(stream, request).map_err(Unanswered::NoAnswer)
}

fn asked(mut stream: UnixStream, request: &Request) -> io::Result<Result<Value, Error>> {
    stream.set_read_timeout(Some(ANSWER_TIME))?;
    stream.set_write_timeout(Some(ANSWER_TIME))?;
    let body = serde_json::to_vec(request)?;
    write!(
        stream,
        "POST /v1/ask HTTP/1.1\r\nhost: sluice\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    )?;
    stream.write_all(&body)?;
    let (status, body) = read(BufReader::new(stream))?;
    if status != 200 {
        let said = String::from_utf8_lossy(&body).trim().to_owned();
        return Ok(Err(Error::Host(format!("the service refuses: {said}"))));
    }
    let reply: Reply = serde_json::from_slice(&body)?;
    Ok(reply.into())
}

/// The status and the body of an answer.
fn read(mut from: impl io::BufRead) -> io::Result<(u16, Vec<u8>)> {
    let wrong = || io::Error::new(io::ErrorKind::InvalidData, "not an answer of a service");
    let mut line = || -> io::Result<String> {
        let mut line = String::new();
        let read = (&mut from).take(LINE_BYTES_MAX).read_line(&mut line)?;
        if read == 0 || !line.ends_with('\n') {
            return Err(wrong());
        }
        Ok(line.trim_end().to_owned())
    };
    let status = line()?;
    let status = status.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(wrong)?;
    let mut length = None;
    for _ in 0..LINES_MAX {
        let header = line()?;
        if header.is_empty() {
            let mut body = Vec::new();
            match length {
                Some(length) => {
                    (&mut from).take(length).read_to_end(&mut body)?;
                    if body.len() as u64 != length {
                        return Err(wrong());
                    }
                }
                None => drop(from.read_to_end(&mut body)?),
            }
            return Ok((status, body));
        }
        let (name, value) = header.split_once(':').ok_or_else(wrong)?;
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.trim().parse().map_err(|_| wrong())?);
        }
    }
    Err(wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_whole_or_not_at_all() {
        let answer = |text: &str| read(BufReader::new(text.as_bytes())).ok();
        for (text, expected) in [
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
                Some((200, "{}")),
            ),
            ("HTTP/1.1 403 Forbidden\r\n\r\nno", Some((403, "no"))),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}", None),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2", None),
            ("HTTP/1.1\r\n\r\n", None),
            ("", None),
        ] {
            let expected = expected.map(|(code, body)| (code, body.as_bytes().to_vec()));
            assert_eq!(answer(text), expected, "{text}");
        }
    }
}
