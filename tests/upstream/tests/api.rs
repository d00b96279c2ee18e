//! The server over a real socket, as a connector meets it. What one module decides alone is tested beside it.

use serde_json::{Value, json};
use sluice_upstream::{Auth, Options, Upstream};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("json")
    }
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}

fn send(upstream: &Upstream, request: &str, headers: &[&str], body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", upstream.port())).expect("a connection");
    let headers: String = headers.iter().flat_map(|line| [line, "\r\n"]).collect();
    let length = body.len();
    write!(
        stream,
        "{request} HTTP/1.1\r\nhost: here\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n{headers}\r\n{body}"
    )
    .expect("sent");
    stream
}

fn receive(mut stream: TcpStream) -> Answer {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|word| word.parse().ok())
        .expect("a status");
    Answer {
        status,
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

fn ask(upstream: &Upstream, request: &str, headers: &[&str], body: &str) -> Answer {
    receive(send(upstream, request, headers, body))
}

fn start(options: Options) -> Upstream {
    Upstream::start(options).expect("started")
}

#[test]
fn a_repeated_key_changes_nothing() {
    let upstream = start(Options::default());
    let post = |key: &str, body: &str| ask(&upstream, "POST /v1/deals", &[key], body).status;
    assert_eq!(post("idempotency-key: a", r#"{"n":1}"#), 201);
    assert_eq!(post("idempotency-key: a", r#"{"n":2}"#), 200);
    assert_eq!(post("idempotency-key: b", r#"{"n":3}"#), 201);
    assert_eq!(post("idempotency-key: c", "{"), 400);
    assert_eq!(
        upstream.collection("deals"),
        [json!({"n":1}), json!({"n":3})]
    );
    assert_eq!((upstream.requests(), upstream.counts().repeated), (4, 1));
}

#[test]
fn a_batch_is_answered_item_by_item() {
    let refuse = |record: &Value| record["n"].is_null().then(|| "n is missing".to_owned());
    let upstream = start(Options {
        refuse: Some(Arc::new(refuse)),
        ..Options::default()
    });
    let body = r#"[{"n":1},{"n":1},{},7]"#;
    let answer = ask(
        &upstream,
        "POST /v1/deals",
        &["idempotency-key: a, a", "idempotency-key: b, c"],
        body,
    );
    assert_eq!(answer.status, 200);
    let expected = json!([
        {"status": 201, "id": "1"},
        {"status": 200, "id": "1"},
        {"status": 422, "error": "n is missing"},
        {"status": 422, "error": "not an object"},
    ]);
    assert_eq!(answer.json(), expected);
    assert_eq!(
        ask(&upstream, "POST /v1/deals", &["idempotency-key: a"], body).status,
        400
    );
    assert_eq!(
        ask(&upstream, "POST /v1/deals", &[], "{}").json(),
        json!({"error": "n is missing"})
    );
    assert_eq!(upstream.counts().refused, 3);
}

#[test]
fn a_key_may_stand_in_the_record() {
    let upstream = start(Options {
        key_field: Some("_key".into()),
        ..Options::default()
    });
    let answer = ask(
        &upstream,
        "POST /v1/deals",
        &[],
        r#"[{"_key":"a"},{"_key":"a"}]"#,
    );
    assert_eq!(answer.json()[1]["status"], 200);
    assert_eq!(upstream.collection("deals").len(), 1);
}

#[test]
fn an_id_is_put_and_deleted() {
    let upstream = start(Options::default());
    assert_eq!(
        ask(&upstream, "PUT /v1/deals/d1", &[], r#"{"n":1}"#).status,
        201
    );
    assert_eq!(
        ask(&upstream, "PUT /v1/deals/d1", &[], r#"{"n":2}"#).status,
        200
    );
    assert_eq!(upstream.collection("deals"), [json!({"n":2})]);
    assert_eq!(ask(&upstream, "DELETE /v1/deals/d1", &[], "").status, 204);
    assert_eq!(ask(&upstream, "DELETE /v1/deals/d1", &[], "").status, 404);
}

#[test]
fn pages_are_read_by_link_and_by_cursor() {
    let records: Vec<Value> = (0..5).map(|n| json!({ "n": n })).collect();
    let upstream = start(Options {
        seed: vec![("deals".into(), records.clone())],
        ..Options::default()
    });
    let mut target = "/v1/deals?style=link&per_page=2".to_owned();
    let mut all = Vec::new();
    loop {
        let answer = ask(&upstream, &format!("GET {target}"), &[], "");
        all.extend(answer.json().as_array().expect("an array").clone());
        let Some(link) = answer.header("link") else {
            break;
        };
        let url = link
            .strip_prefix('<')
            .and_then(|link| link.split_once(">; rel=\"next\""))
            .expect("a link")
            .0;
        target = url
            .strip_prefix(&upstream.address())
            .expect("its own address")
            .to_owned();
    }
    assert_eq!(all, records);
    let first = ask(&upstream, "GET /v1/deals?limit=4", &[], "").json();
    let cursor = first["next_cursor"].as_str().expect("more");
    let last = ask(
        &upstream,
        &format!("GET /v1/deals?limit=4&cursor={cursor}"),
        &[],
        "",
    )
    .json();
    assert_eq!(last, json!({ "data": [{ "n": 4 }], "next_cursor": null }));
    assert_eq!(ask(&upstream, "GET /v1/none", &[], "").status, 404);
}

#[test]
fn credentials_are_asked_for_and_shown_by_echo() {
    let upstream = start(Options {
        auth: Auth::Bearer("t0ken".into()),
        ..Options::default()
    });
    let refused = ask(&upstream, "POST /v1/deals", &[], "{}");
    assert_eq!(
        (refused.status, refused.header("www-authenticate")),
        (401, Some("Bearer realm=\"upstream\""))
    );
    assert_eq!(
        ask(
            &upstream,
            "POST /v1/deals",
            &["authorization: Bearer t0ken"],
            "{}"
        )
        .status,
        201
    );
    let echo = ask(
        &upstream,
        "POST /echo/a?b=c%20d",
        &["authorization: Bearer other"],
        "text",
    )
    .json();
    assert_eq!(
        (&echo["path"], &echo["query"], &echo["body"]),
        (&json!("/echo/a"), &json!("b=c%20d"), &json!("text"))
    );
    assert!(
        echo["headers"]
            .as_array()
            .expect("headers")
            .contains(&json!(["authorization", "Bearer other"]))
    );
    assert_eq!(
        upstream.seen()[1].header("authorization"),
        Some("Bearer t0ken")
    );
    let keyed = start(Options {
        auth: Auth::Query {
            name: "key".into(),
            value: "k v".into(),
        },
        seed: vec![("deals".into(), vec![])],
        ..Options::default()
    });
    assert_eq!(ask(&keyed, "GET /v1/deals", &[], "").status, 401);
    assert_eq!(ask(&keyed, "GET /v1/deals?key=k%20v", &[], "").status, 200);
}

#[test]
fn failures_come_in_the_order_of_the_script() {
    let upstream = start(Options::default());
    upstream.fail_next(2, 429, &[("retry-after", "7")]);
    upstream.fail_next(1, 302, &[("location", "http://elsewhere.example/")]);
    upstream.lose_next(1, 500);
    let post = || {
        ask(
            &upstream,
            "POST /v1/deals",
            &["idempotency-key: a"],
            r#"{"n":1}"#,
        )
    };
    for _ in 0..2 {
        let busy = post();
        assert_eq!((busy.status, busy.header("retry-after")), (429, Some("7")));
    }
    assert_eq!(post().header("location"), Some("http://elsewhere.example/"));
    assert!(upstream.collection("deals").is_empty());
    assert_eq!(post().status, 500);
    assert_eq!(
        upstream.collection("deals").len(),
        1,
        "done, though the answer was lost"
    );
    assert_eq!(post().status, 200);
    assert_eq!(upstream.requests(), 5);
}

#[test]
fn a_held_request_waits_for_its_release() {
    let upstream = start(Options::default());
    upstream.hold_next(1);
    let held = send(&upstream, "POST /v1/deals", &[], "{}");
    while upstream.requests() == 0 {
        std::thread::yield_now();
    }
    assert_eq!(
        ask(&upstream, "POST /v1/deals", &[], "{}").status,
        201,
        "others go on"
    );
    assert_eq!(upstream.collection("deals").len(), 1);
    upstream.release();
    assert_eq!(receive(held).status, 201);
}

#[test]
fn it_is_gone_when_dropped() {
    let upstream = start(Options::default());
    let port = upstream.port();
    upstream.hold_next(1);
    let held = send(&upstream, "GET /v1/deals", &[], "");
    while upstream.requests() == 0 {
        std::thread::yield_now();
    }
    drop(upstream);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    let mut rest = Vec::new();
    let closed = { held }.read_to_end(&mut rest);
    assert!(
        closed.is_err() || rest.is_empty(),
        "no answer comes any more"
    );
}

#[tokio::test]
async fn it_starts_inside_a_runtime_too() {
    let upstream = start(Options::default());
    let answer =
        tokio::task::spawn_blocking(move || ask(&upstream, "GET /counts", &[], "").json()).await;
    assert_eq!(answer.expect("joined")["requests"], 1);
}
