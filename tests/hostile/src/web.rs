//! What it tries through `wasi:http`, with a door that lets it speak to one host, and a server there that means no good.
//! What came of each try is told in a word, in the order of the tries.

use crate::behaviour::Behaviour;
use crate::bindings::sluice::plugin::types::Fault;
use crate::setting;
use std::cell::RefCell;
use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingResponse, Method, OutgoingBody, OutgoingRequest, Scheme,
};

thread_local! {
    /// All that was heard of the secret.
    static HEARD: RefCell<String> = const { RefCell::new(String::new()) };
}

/// What `echo-kept` has heard, to be put wherever it can be put.
pub fn heard() -> String {
    HEARD.with_borrow(Clone::clone)
}

pub fn check(behaviour: Behaviour, config: &str) -> Result<(), Fault> {
    let authority = setting(config, "api");
    let outcome = match behaviour {
        Behaviour::UrlTricks => url_tricks(&authority),
        Behaviour::PathTricks => path_tricks(&authority),
        Behaviour::MethodTricks => method_tricks(&authority),
        Behaviour::SchemeTricks => scheme_tricks(&authority),
        Behaviour::HeaderSmuggle => header_smuggle(&authority),
        Behaviour::HeaderOwned => header_owned(&authority),
        Behaviour::HeaderSecret => {
            let headers = Fields::new();
            let _ = headers.append("authorization", b"Bearer mine");
            word(Try::to(&authority, "/v1/ok").headers(headers).send())
        }
        Behaviour::Redirect => redirect(&authority),
        Behaviour::Echo | Behaviour::EchoKept => {
            let heard = echo(&authority);
            HEARD.set(heard.clone());
            if behaviour == Behaviour::EchoKept {
                return Ok(());
            }
            eprintln!("{heard}");
            crate::bindings::sluice::plugin::log::write(
                crate::bindings::sluice::plugin::log::Level::Error,
                &heard,
                &[("heard".to_owned(), heard.clone())],
            );
            heard
        }
        Behaviour::RequestsOpen => requests_open(&authority),
        Behaviour::AnswerNever => word(Try::to(&authority, "/v1/never").send()),
        Behaviour::AnswerTrickle => word(Try::to(&authority, "/v1/trickle").send()),
        Behaviour::AnswerEndless => word(Try::to(&authority, "/v1/endless").send()),
        Behaviour::AnswerHeaders => word(Try::to(&authority, "/v1/headers").send()),
        Behaviour::BodyEndless => {
            let mut endless = Try::to(&authority, "/v1/ok");
            endless.method = Method::Post;
            endless.body = u64::MAX;
            word(endless.send())
        }
        _ => return Ok(()),
    };
    Err(Fault::Broken(outcome))
}

/// One try.
struct Try {
    method: Method,
    scheme: Scheme,
    authority: String,
    path: String,
    headers: Option<Fields>,
    /// Bytes of body, in pieces.
    body: u64,
}

/// What came of it.
enum Outcome {
    /// `wasi:http` does not take it.
    Untaken,
    /// The host refused it, in these words.
    Denied(String),
    /// It failed, in these words.
    Failed(String),
    /// It was answered.
    Answered(u16, Vec<u8>),
}

fn word(outcome: Outcome) -> String {
    match outcome {
        Outcome::Untaken => "untaken".to_owned(),
        Outcome::Denied(_) => "denied".to_owned(),
        Outcome::Failed(text) => format!("failed({text})"),
        Outcome::Answered(status, _) => status.to_string(),
    }
}

impl Try {
    fn to(authority: &str, path: &str) -> Self {
        Self {
            method: Method::Get,
            scheme: Scheme::Http,
            authority: authority.to_owned(),
            path: path.to_owned(),
            headers: None,
            body: 0,
        }
    }

    fn headers(mut self, headers: Fields) -> Self {
        self.headers = Some(headers);
        self
    }

    fn send(self) -> Outcome {
        let request = OutgoingRequest::new(self.headers.unwrap_or_else(Fields::new));
        let taken = request
            .set_method(&self.method)
            .and_then(|()| request.set_scheme(Some(&self.scheme)))
            .and_then(|()| request.set_authority(Some(&self.authority)))
            .and_then(|()| request.set_path_with_query(Some(&self.path)));
        let Ok(body) = taken.and_then(|()| request.body()) else {
            return Outcome::Untaken;
        };
        let answer = match handle(request, None) {
            Ok(answer) => answer,
            Err(error) => return told(error),
        };
        if self.body > 0 {
            let Ok(stream) = body.write() else {
                return Outcome::Failed("no stream".to_owned());
            };
            for _ in 0..self.body {
                if stream.blocking_write_and_flush(&[b'a'; 4096]).is_err() {
                    break;
                }
            }
        }
        let _ = OutgoingBody::finish(body, None);
        answer.subscribe().block();
        match answer.get() {
            Some(Ok(Ok(answer))) => read(&answer),
            Some(Ok(Err(error))) => told(error),
            _ => Outcome::Failed("no answer".to_owned()),
        }
    }
}

fn told(error: ErrorCode) -> Outcome {
    match error {
        ErrorCode::InternalError(Some(text)) => match text.strip_prefix("denied: ") {
            Some(text) => Outcome::Denied(text.to_owned()),
            None => Outcome::Failed(text),
        },
        other => Outcome::Failed(format!("{other:?}")),
    }
}

/// All of an answer's body; a stream that breaks off says why.
fn read(answer: &IncomingResponse) -> Outcome {
    let status = answer.status();
    let mut bytes = Vec::new();
    for (name, value) in answer.headers().entries() {
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(&value);
    }
    let Ok(body) = answer.consume() else {
        return Outcome::Failed("no body".to_owned());
    };
    let Ok(stream) = body.stream() else {
        return Outcome::Failed("no stream".to_owned());
    };
    loop {
        match stream.blocking_read(64 << 10) {
            // What it has seen is enough.
            Ok(piece) if bytes.len() < 1 << 20 => bytes.extend_from_slice(&piece),
            Ok(_) => {}
            Err(wasip2::io::streams::StreamError::Closed) => {
                return Outcome::Answered(status, bytes);
            }
            Err(wasip2::io::streams::StreamError::LastOperationFailed(error)) => {
                return Outcome::Failed(error.to_debug_string());
            }
        }
    }
}

fn each(tries: impl IntoIterator<Item = Try>) -> String {
    let words: Vec<String> = tries.into_iter().map(|one| word(one.send())).collect();
    words.join(" ")
}

/// The first two are the granted host, in other letters, and so is the one whose port begins with a zero. All others
/// are another host, or none.
fn url_tricks(granted: &str) -> String {
    let (host, port) = granted.split_once(':').unwrap_or((granted, "80"));
    let upper = host.to_uppercase();
    let authorities = [
        format!("{upper}:{port}"),
        format!("{host}.:{port}"),
        host.to_owned(),
        format!("{host}:1"),
        format!("user@{granted}"),
        format!("user:password@{granted}"),
        format!("{granted}@127.0.0.1:{port}"),
        format!("127.0.0.1:{port}"),
        format!("127.1:{port}"),
        format!("2130706433:{port}"),
        format!("0x7f.0.0.1:{port}"),
        format!("0177.0.0.1:{port}"),
        format!("[::1]:{port}"),
        format!("[::ffff:127.0.0.1]:{port}"),
        format!("[::ffff:7f00:1]:{port}"),
        format!("[64:ff9b::7f00:1]:{port}"),
        format!("localhost:{port}"),
        "169.254.169.254".to_owned(),
        "[fd00:ec2::254]".to_owned(),
        "100.100.100.200".to_owned(),
        "metadata.google.internal".to_owned(),
        format!("{host}.evil.example:{port}"),
        format!("evil.{host}:{port}"),
        format!("{host}..:{port}"),
        format!("{host}%2eevil.example:{port}"),
        format!("{host}%00.evil.example:{port}"),
        format!("{host}\t.evil.example:{port}"),
        format!("{host}\\@evil.example:{port}"),
        format!("{host}:{port}#@evil.example"),
        format!("{host}:{port}/v1@evil.example"),
        format!("{host}:0{port}"),
        format!("{host}:{port}:80"),
        format!("{host}:-1"),
        format!("{host}:65616"),
        String::new(),
    ];
    each(
        authorities
            .iter()
            .map(|authority| Try::to(authority, "/v1/ok")),
    )
}

/// The first two are granted.
fn path_tricks(granted: &str) -> String {
    let paths = [
        "/v1/ok",
        "/v1/ok?next=http://evil.example/",
        "/",
        "/v2/ok",
        "/v1/../v2/ok",
        "/v1/%2e%2e/v2/ok",
        "/v1/..%2fv2/ok",
        "/v1\\..\\v2/ok",
        "/v1/./ok",
        "//v2/ok",
        "/v1/ok#/../v2",
        "http://evil.example/v1/ok",
        "@evil.example/v1/ok",
        ".evil.example/v1/ok",
        "/v1/ok HTTP/1.1\r\nx-smuggled: 1\r\n\r\nGET /v2/ok",
        "/v1/ok\0",
        "*",
        "",
    ];
    each(paths.iter().map(|path| Try::to(granted, path)))
}

/// The first is granted.
fn method_tricks(granted: &str) -> String {
    let methods = [
        Method::Get,
        Method::Delete,
        Method::Put,
        Method::Connect,
        Method::Trace,
        Method::Options,
        Method::Other("get".to_owned()),
        Method::Other("GET ".to_owned()),
        Method::Other("GET /v2/ok HTTP/1.1\r\nx-smuggled: 1\r\n\r\nGET".to_owned()),
        Method::Other("PROPFIND".to_owned()),
        Method::Other(String::new()),
    ];
    each(methods.into_iter().map(|method| Try {
        method,
        ..Try::to(granted, "/v1/ok")
    }))
}

fn scheme_tricks(granted: &str) -> String {
    let other = |scheme: &str| Scheme::Other(scheme.to_owned());
    let schemes = [
        Scheme::Https,
        other("file"),
        other("ftp"),
        other("gopher"),
        other("ws"),
        other("http "),
        other("http://evil.example/?"),
        other(""),
    ];
    each(schemes.into_iter().map(|scheme| Try {
        scheme,
        ..Try::to(granted, "/v1/ok")
    }))
}

/// Header by header: whether it can be set, and where it can, what came of the request.
fn with_headers(granted: &str, headers: &[(&str, &[u8])]) -> String {
    let one = |(name, value): &(&str, &[u8])| {
        let headers = Fields::new();
        match headers.append(name, value) {
            Ok(()) => word(Try::to(granted, "/v1/ok").headers(headers).send()),
            Err(_) => "untaken".to_owned(),
        }
    };
    headers.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn header_smuggle(granted: &str) -> String {
    with_headers(
        granted,
        &[
            ("x-fine", b"1"),
            ("x-a", b"1\r\nhost: evil.example"),
            ("x-a", b"1\nx-smuggled: 1"),
            ("x-a", b"1\rx-smuggled: 1"),
            ("x-a", b"1\0"),
            (
                "x-a",
                b"1\r\n\r\nGET /v2/ok HTTP/1.1\r\nhost: evil.example\r\n\r\n",
            ),
            ("x-a: 1\r\nx-smuggled", b"1"),
            ("x-a ", b"1"),
            ("x:a", b"1"),
            ("", b"1"),
        ],
    )
}

fn header_owned(granted: &str) -> String {
    let names = [
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "upgrade",
        "http2-settings",
        "expect",
        "max-forwards",
        "proxy-authorization",
        "proxy-connection",
        "Transfer-Encoding",
    ];
    with_headers(granted, &names.map(|name| (name, b"1".as_slice())))
}

/// The redirect is an answer as any other; the plugin goes where it leads by itself.
fn redirect(granted: &str) -> String {
    let (status, location) = match Try::to(granted, "/v1/redirect").send() {
        Outcome::Answered(status, seen) => (status, String::from_utf8_lossy(&seen).into_owned()),
        other => return word(other),
    };
    let target = location
        .split_once("http://")
        .and_then(|(_, rest)| rest.split_once('/'))
        .map(|(authority, _)| authority.to_owned())
        .unwrap_or_default();
    let followed = Try::to(&target, "/latest/meta-data").send();
    format!("{status} {target} {}", word(followed))
}

/// All that the answers say.
fn echo(granted: &str) -> String {
    let mut heard = String::new();
    for spelling in 0..32 {
        match Try::to(granted, &format!("/v1/echo/{spelling}")).send() {
            Outcome::Answered(404, _) => break,
            Outcome::Answered(status, bytes) => {
                heard.push_str(&status.to_string());
                heard.push(':');
                heard.push_str(&String::from_utf8_lossy(&bytes));
                heard.push(' ');
            }
            Outcome::Denied(text) if text.contains("the answer repeats secret") => {
                heard.push_str("scrubbed ");
            }
            Outcome::Failed(text) if text.contains("the answer repeats secret") => {
                heard.push_str("scrubbed ");
            }
            other => {
                heard.push_str(&word(other));
                heard.push(' ');
            }
        }
    }
    heard.trim_end().to_owned()
}

/// Answers that are not read stay open.
fn requests_open(granted: &str) -> String {
    let mut open = Vec::new();
    for count in 0..64 {
        let request = OutgoingRequest::new(Fields::new());
        let _ = request.set_scheme(Some(&Scheme::Http));
        let _ = request.set_authority(Some(granted));
        let _ = request.set_path_with_query(Some("/v1/hang"));
        match handle(request, None) {
            Ok(answer) => {
                answer.subscribe().block();
                match answer.get() {
                    Some(Ok(Ok(response))) => open.push((answer, response)),
                    Some(Ok(Err(error))) => return format!("{count} {}", word(told(error))),
                    _ => return "no answer".to_owned(),
                }
            }
            Err(error) => return format!("{count} {}", word(told(error))),
        }
    }
    "all of them".to_owned()
}
