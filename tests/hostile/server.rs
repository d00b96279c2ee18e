//! A server that means no good, on this machine's own address: it repeats what it was sent in every spelling, redirects
//! outward, and answers without an end or not at all. Shared by the engine's tests and the end-to-end tests, beside
//! the spellings that both look for.
#![allow(dead_code, reason = "each of those who share it uses a part of it")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Listens until the process ends. Remembers the head of each request.
pub struct Hostile {
    pub port: u16,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Hostile {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let kept = Arc::clone(&heads);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let heads = Arc::clone(&kept);
                std::thread::spawn(move || while one(&stream, &heads).is_some() {});
            }
        });
        Self { port, heads }
    }

    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().expect("no panic").clone()
    }
}

/// Answers one request. None where the connection is over.
fn one(mut stream: &TcpStream, heads: &Mutex<Vec<String>>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    heads.lock().expect("no panic").push(head.clone());
    if head.starts_with("POST ") {
        // Whatever it is, and however it is framed, it ends with the connection.
        let _ = std::io::copy(&mut reader.take(128 << 20), &mut std::io::sink());
        return None;
    }
    let path = head.split(' ').nth(1)?.to_owned();
    let authorization = head
        .split("\r\n")
        .find_map(|line| line.strip_prefix("authorization: Bearer "));
    let whole = |body: &[u8]| {
        let mut answer =
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
        answer.extend_from_slice(body);
        answer
    };
    match path.as_str() {
        "/v1/redirect" => stream.write_all(
            b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/latest\r\ncontent-length: 0\r\n\r\n",
        ),
        "/v1/never" => park(),
        "/v1/hang" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\na").ok()?;
            park()
        }
        "/v1/trickle" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 900000\r\n\r\n").ok()?;
            loop {
                std::thread::sleep(Duration::from_millis(20));
                stream.write_all(b"a").ok()?;
            }
        }
        "/v1/endless" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").ok()?;
            loop {
                stream.write_all(&[b'a'; 8 << 10]).ok()?;
            }
        }
        "/v1/headers" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n").ok()?;
            for number in 0..100_000 {
                stream.write_all(format!("x-{number}: 1\r\n").as_bytes()).ok()?;
            }
            stream.write_all(b"content-length: 0\r\n\r\n")
        }
        echo if echo.starts_with("/v1/echo/") => {
            let number: usize = echo.rsplit('/').next()?.parse().ok()?;
            match spellings(authorization.unwrap_or("no secret")).get(number) {
                Some((_, spelled)) => stream.write_all(&whole(spelled)),
                None => stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"),
            }
        }
        _ => stream.write_all(&whole(b"fine")),
    }
    .ok()
}

fn park() -> ! {
    loop {
        std::thread::park();
    }
}

/// A secret as software spells it that means no harm: what the host promises to find in an answer.
pub fn spellings(secret: &str) -> Vec<(&'static str, Vec<u8>)> {
    let base64 = |before: &str| base64(format!("{before}{secret}").as_bytes());
    let hex = |spell: fn(u8) -> String| secret.bytes().map(spell).collect::<String>();
    let mut json = String::new();
    for c in secret.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            c => json.push(c),
        }
    }
    let units = secret
        .encode_utf16()
        .map(|unit| format!("\\u{unit:04x}"))
        .collect::<Vec<_>>()
        .concat();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.~".contains(c);
    let form: String = secret
        .chars()
        .map(|c| {
            if plain(c) {
                c.to_string()
            } else {
                format!("%{:02X}", u32::from(c))
            }
        })
        .collect();
    let texts = [
        ("plain", secret.to_owned()),
        ("base64", base64("")),
        ("base64, one byte later", base64("u")),
        ("base64, two bytes later", base64("u:")),
        (
            "base64, as URLs have it",
            base64("").replace('+', "-").replace('/', "_"),
        ),
        ("hexadecimal", hex(|byte| format!("{byte:02x}"))),
        ("hexadecimal, capital", hex(|byte| format!("{byte:02X}"))),
        ("percent", form),
        ("percent, every byte", hex(|byte| format!("%{byte:02X}"))),
        ("a JSON string", json.clone()),
        (
            "a JSON string in a JSON string",
            json.replace('\\', "\\\\").replace('"', "\\\""),
        ),
        ("a JSON string, every unit", units),
    ];
    texts
        .into_iter()
        .map(|(name, text)| (name, text.into_bytes()))
        .collect()
}

/// Those, and the ones that hide it on purpose: nobody promises to find these in an answer, and yet they are to be in
/// no file.
pub fn hidings(secret: &str) -> Vec<(&'static str, Vec<u8>)> {
    let mut all = spellings(secret);
    // Where it begins within a group of three, and what comes after it, changes the letters at its ends.
    for (_, text) in all
        .iter_mut()
        .filter(|(name, _)| name.starts_with("base64"))
    {
        let end = text.len() - 4;
        *text = text[4..end].to_vec();
    }
    all.push((
        "reversed",
        secret.chars().rev().collect::<String>().into_bytes(),
    ));
    let units: Vec<u16> = secret.encode_utf16().collect();
    all.push((
        "UTF-16, low byte first",
        units.iter().flat_map(|unit| unit.to_le_bytes()).collect(),
    ));
    all.push((
        "UTF-16, high byte first",
        units.iter().flat_map(|unit| unit.to_be_bytes()).collect(),
    ));
    all
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let number = (0..3).fold(0, |number, at| {
            number << 8 | usize::from(group.get(at).copied().unwrap_or(0))
        });
        for at in 0..4 {
            text.push(if at <= group.len() {
                char::from(LETTERS[number >> (18 - 6 * at) & 63])
            } else {
                '='
            });
        }
    }
    text
}
