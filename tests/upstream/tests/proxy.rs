//! The proxy over a real socket: each trouble as a client meets it, and what became of the request behind it.

use serde_json::{Value, json};
use sluice_upstream::{FaultProxy, Options, Script, Trouble, Upstream};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(60);

fn start() -> Upstream {
    Upstream::start(Options {
        journal: true,
        ..Options::default()
    })
    .expect("started")
}

fn proxy(upstream: &Upstream, script: Script) -> FaultProxy {
    FaultProxy::start(upstream.port(), script).expect("started")
}

/// What one request over a connection of its own gave: the bytes until it was closed, or how it broke, and the bytes
/// until then.
fn ask(port: u16, body: &str) -> (String, io::Result<()>) {
    let mut text = Vec::new();
    let ended = TcpStream::connect(("127.0.0.1", port)).and_then(|mut stream| {
        let length = body.len();
        write!(
            stream,
            "POST /v1/deals HTTP/1.1\r\nhost: here\r\nconnection: close\r\nidempotency-key: k\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        )?;
        // The proxy keeps a connection open that the server would close: what an answer is, its length says.
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut byte = [0];
        while !is_whole(&text) {
            match stream.read(&mut byte)? {
                0 => break,
                _ => text.push(byte[0]),
            }
        }
        Ok(())
    });
    (String::from_utf8_lossy(&text).into_owned(), ended)
}

fn is_whole(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    length.is_some_and(|length| length.parse() == Ok(body.len()))
}

fn is_reset(ended: &io::Result<()>) -> bool {
    matches!(ended, Err(error) if error.kind() == ErrorKind::ConnectionReset)
}

#[test]
fn each_trouble_is_what_its_name_says() {
    // The words of an answer that must be there; whether the end is a reset; whether the record is kept.
    let reset = |trouble, kept| (trouble, "", true, kept);
    let troubles = [
        (Trouble::Latency(SHORT), "201", false, true),
        (
            Trouble::Drip(40, Duration::from_millis(1)),
            "{\"id\":\"1\"}",
            false,
            true,
        ),
        reset(Trouble::Hang(SHORT), false),
        reset(Trouble::HangDone(SHORT), true),
        reset(Trouble::ResetBefore, false),
        reset(Trouble::ResetMidRequest, false),
        reset(Trouble::ResetAfter, true),
        (Trouble::ResetMidBody, "201", true, true),
        (Trouble::Lost, "", false, true),
        (Trouble::Cut, "{\"id\"", false, true),
        (
            Trouble::Torn,
            "content-length: 5\r\n\r\n{\"id\"",
            false,
            true,
        ),
        (Trouble::Garbage, "this is none", false, true),
        (Trouble::status(503), "503", false, false),
        (Trouble::retry_after(429, 7), "retry-after: 7", false, false),
        (Trouble::AnswerDone(502), "502", false, true),
        (Trouble::CloseAfter, "201", false, true),
        reset(Trouble::Refuse(SHORT), false),
    ];
    for (trouble, words, resets, kept) in troubles {
        let upstream = start();
        let proxy = proxy(&upstream, Script::seeded(1).at(1, trouble.clone()));
        let (first, _) = ask(proxy.port(), r#"{"n":1}"#);
        assert!(first.contains("201"), "{trouble:?}: {first}");
        let before = upstream.journal().len();
        let (said, ended) = ask(proxy.port(), r#"{"n":1}"#);
        let (words, said) = if words == "201" {
            ("200", said) // Its key was seen before.
        } else {
            (words, said)
        };
        assert!(said.contains(words), "{trouble:?}: {said}");
        assert!(words.is_empty() || !said.is_empty());
        assert_eq!(is_reset(&ended), resets, "{trouble:?}: {ended:?} {said}");
        std::thread::sleep(Duration::from_millis(if kept { 0 } else { 20 }));
        assert_eq!(upstream.journal().len() > before, kept, "{trouble:?}");
        assert_eq!(
            proxy.fired(),
            BTreeMap::from([(trouble.word(), 1)]),
            "{trouble:?}"
        );
        assert_eq!(proxy.arrived()[1].met, Some(trouble.word()));
    }
}

#[test]
fn a_refused_client_is_refused_and_later_is_not() {
    let upstream = start();
    let proxy = proxy(&upstream, Script::default());
    proxy.impose(Trouble::Refuse(Duration::ZERO));
    let began = Instant::now();
    loop {
        let (_, ended) = ask(proxy.port(), "{}");
        match ended {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => break,
            _ => assert!(began.elapsed() < Duration::from_secs(5), "never refused"),
        }
    }
    proxy.relent();
    while ask(proxy.port(), "{}").1.is_err() {
        assert!(began.elapsed() < Duration::from_secs(9), "never accepted");
    }
    assert_eq!(upstream.collection("deals"), [json!({})]);
}

#[test]
fn what_is_imposed_goes_before_the_script_and_ends_at_once() {
    let upstream = start();
    let script = Script::seeded(1).at(0, Trouble::Garbage);
    let proxy = Arc::new(proxy(&upstream, script));
    proxy.impose(Trouble::Hang(Duration::from_mins(1)));
    let began = Instant::now();
    let (port, other) = (proxy.port(), Arc::clone(&proxy));
    let asking = std::thread::spawn(move || ask(port, "{}").1);
    while proxy.requests() == 0 {
        std::thread::yield_now();
    }
    other.relent();
    assert!(is_reset(&asking.join().expect("joined")));
    assert!(began.elapsed() < Duration::from_secs(30));
    assert!(ask(proxy.port(), "{}").0.contains("201"));
    assert_eq!(proxy.fired(), BTreeMap::from([("hang", 1)]));
}

#[test]
fn a_later_answer_overtakes_an_earlier_one() {
    let upstream = start();
    let wait = Duration::from_secs(20);
    let script = Script::seeded(1).at(0, Trouble::Overtaken(wait));
    let proxy = Arc::new(proxy(&upstream, script));
    let port = proxy.port();
    let first = std::thread::spawn(move || {
        let answer = ask(port, "{}").0;
        (answer, Instant::now())
    });
    while proxy.requests() == 0 {
        std::thread::yield_now();
    }
    let second = Instant::now();
    assert!(ask(port, "{}").0.contains("id"));
    let (answer, at) = first.join().expect("joined");
    assert!(answer.contains("201") && at > second);
    assert_eq!(proxy.fired(), BTreeMap::from([("overtaken", 1)]));
}

#[test]
fn a_connection_is_kept_and_chunks_pass() {
    let upstream = start();
    let proxy = proxy(&upstream, Script::default());
    let mut stream = TcpStream::connect(("127.0.0.1", proxy.port())).expect("a connection");
    for n in 0..3 {
        let half = format!("{{\"n\":{n}");
        write!(
            stream,
            "POST /v1/deals HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{half}\r\n1\r\n}}\r\n0\r\n\r\n",
            half.len()
        )
        .expect("sent");
        let (mut text, mut byte) = (Vec::new(), [0]);
        while !is_whole(&text) {
            stream.read_exact(&mut byte).expect("an answer");
            text.push(byte[0]);
        }
    }
    let expected: Vec<Value> = (0..3).map(|n| json!({ "n": n })).collect();
    assert_eq!(upstream.collection("deals"), expected);
    assert_eq!((proxy.requests(), proxy.fired().len()), (3, 0));
}

#[test]
fn a_server_falters_by_record_and_lies_in_pages() {
    let asked = Arc::new(AtomicU64::new(0));
    let falter = move |record: &Value| {
        let first = record["n"] == 2 && asked.fetch_add(1, Ordering::SeqCst) == 0;
        first.then_some(503)
    };
    let rewrite = |number, _: &[(String, String)], mut body: Value| {
        body["number"] = json!(number);
        body
    };
    let upstream = Upstream::start(Options {
        falter: Some(Arc::new(falter)),
        rewrite: Some(Arc::new(rewrite)),
        journal: true,
        ..Options::default()
    })
    .expect("started");
    let both = r#"[{"n":1},{"n":2}]"#;
    let body = |text: &str| -> Value {
        let (_, body) = text.split_once("\r\n\r\n").expect("a head");
        serde_json::from_str(body).expect("json")
    };
    let post = || {
        let length = both.len();
        let request = format!(
            "POST /v1/deals HTTP/1.1\r\nhost: here\r\nconnection: close\r\nidempotency-key: a,b\r\ncontent-length: {length}\r\n\r\n{both}"
        );
        body(&say(&upstream, &request))
    };
    assert_eq!(post()[1], json!({"status": 503, "error": "not now"}));
    assert_eq!(post()[1]["status"], 201);
    let sent: Vec<_> = upstream
        .journal()
        .into_iter()
        .map(|sent| (sent.key.unwrap_or_default(), sent.status))
        .collect();
    let expected = [("a", 201), ("b", 503), ("a", 200), ("b", 201)];
    assert_eq!(sent, expected.map(|(key, status)| (key.to_owned(), status)));
    for number in 0..2 {
        let request = "GET /v1/deals HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n";
        assert_eq!(body(&say(&upstream, request))["number"], number);
    }
}

fn say(upstream: &Upstream, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", upstream.port())).expect("a connection");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    text
}
