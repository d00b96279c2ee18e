//! Messages of HTTP/1.1 on the wire: where one ends, so that it can be handed on whole, cut, or not at all.

use std::io;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::TcpStream;

/// A head or a body beyond this is not handed on. A plugin under test must not take the test machine's memory.
const BYTES_MAX: usize = 64 << 20;

/// One message, byte by byte as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) head: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// A JSON answer of our own.
    pub(crate) fn answer(status: u16, headers: &[(String, String)], body: &[u8]) -> Self {
        let lines: String = headers
            .iter()
            .flat_map(|(name, value)| [name, ": ", value, "\r\n"])
            .collect();
        let head = format!(
            "HTTP/1.1 {status} Scripted\r\ncontent-type: application/json\r\n{lines}content-length: {}\r\n\r\n",
            body.len()
        );
        Self {
            head: head.into_bytes(),
            body: body.to_vec(),
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        [self.head.as_slice(), &self.body].concat()
    }

    /// Of an answer.
    pub(crate) fn status(&self) -> Option<u16> {
        let line = self.head.split(|byte| *byte == b'\r').next()?;
        let mut words = std::str::from_utf8(line).ok()?.split(' ');
        words.nth(1)?.parse().ok()
    }

    fn header(&self, name: &str) -> Option<String> {
        let text = String::from_utf8_lossy(&self.head);
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        lines
            .find(|(own, _)| own.trim().eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim().to_owned())
    }
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// The next message; none where the other side closed before its first byte.
pub(crate) async fn read(stream: &mut BufReader<TcpStream>) -> io::Result<Option<Message>> {
    let mut head = Vec::new();
    loop {
        let line = line(stream, &mut head).await?;
        match line {
            0 if head.is_empty() => return Ok(None),
            0 => return Err(broken("the head is cut")),
            _ if head.ends_with(b"\r\n\r\n") => break,
            _ => {}
        }
    }
    let mut message = Message {
        head,
        body: Vec::new(),
    };
    let chunked = message
        .header("transfer-encoding")
        .is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"));
    if chunked {
        chunks(stream, &mut message.body).await?;
    } else if let Some(length) = message.header("content-length") {
        let length: usize = length.parse().map_err(|_| broken("no length"))?;
        exactly(stream, length, &mut message.body).await?;
    }
    Ok(Some(message))
}

/// Adds one line, its end too.
async fn line(stream: &mut BufReader<TcpStream>, into: &mut Vec<u8>) -> io::Result<usize> {
    let read = stream.read_until(b'\n', into).await?;
    if into.len() > BYTES_MAX {
        return Err(broken("too large"));
    }
    Ok(read)
}

async fn exactly(
    stream: &mut BufReader<TcpStream>,
    length: usize,
    into: &mut Vec<u8>,
) -> io::Result<()> {
    let start = into.len();
    if length > BYTES_MAX - start.min(BYTES_MAX) {
        return Err(broken("too large"));
    }
    into.resize(start + length, 0);
    stream.read_exact(&mut into[start..]).await.map(drop)
}

/// Chunks as they are, the last and empty one too.
async fn chunks(stream: &mut BufReader<TcpStream>, into: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let mut size = Vec::new();
        line(stream, &mut size).await?;
        let text = String::from_utf8_lossy(&size);
        let digits = text.trim_end().split(';').next().unwrap_or_default();
        let length = usize::from_str_radix(digits, 16).map_err(|_| broken("no chunk"))?;
        into.extend_from_slice(&size);
        if length == 0 {
            // Trailers, and the empty line behind them.
            loop {
                let start = into.len();
                line(stream, into).await?;
                if into.len() - start <= 2 {
                    return Ok(());
                }
            }
        }
        exactly(stream, length.saturating_add(2), into).await?;
    }
}
