//! Answers that do not end, do not come, or could be read in two ways.

use crate::ground::{Ground, PATIENT, get, request, send, whole};
use crate::server::{Reply, Server, ok};
use bytes::Bytes;
use http_body_util::{BodyExt as _, StreamBody};
use sluice_egress::DoorSettings;
use sluice_model::ports::{HttpDoor as _, HttpError, HttpTimeouts};
use std::time::Duration;

const QUICK: Duration = Duration::from_millis(30);

fn head(rest: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\n{rest}").into_bytes()
}

async fn fails(
    reply: impl Fn() -> Reply + Send + Sync + 'static,
    settings: DoorSettings,
) -> HttpError {
    let server = Server::start(move |_| reply()).await;
    let (door, _) = Ground {
        settings,
        ..Ground::default()
    }
    .door(&server);
    get(&door, &server, "/v2/a")
        .await
        .expect_err("a bad answer")
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let server = Server::start(|_| {
        Reply::Keep(
            b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n"
                .to_vec(),
        )
    })
    .await;
    let (door, _) = Ground::default().door(&server);
    let answer = get(&door, &server, "/v2/a").await.expect("an answer");
    assert_eq!(answer.status().as_u16(), 302);
    assert_eq!(answer.headers()["location"], "http://169.254.169.254/");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn headers_end() {
    let settings = DoorSettings::default;
    let error = fails(
        || Reply::Endless(head(""), b"x-more: and more\r\n".to_vec()),
        settings(),
    )
    .await;
    assert!(
        error.to_string().ends_with("message head is too large"),
        "{error}"
    );
    let error = fails(
        || Reply::Endless(head("x-long: "), vec![b'a'; 1 << 10]),
        settings(),
    )
    .await;
    assert!(
        error.to_string().ends_with("message head is too large"),
        "{error}"
    );
    // Below what hyper would buffer, above what we let it.
    let long = || {
        head(&format!(
            "x-long: {}\r\ncontent-length: 0\r\n\r\n",
            "a".repeat(100_000)
        ))
    };
    let error = fails(move || Reply::Keep(long()), settings()).await;
    assert!(
        error.to_string().ends_with("message head is too large"),
        "{error}"
    );
    let many: Vec<String> = (0..=100).map(|at| format!("x-{at}: 1\r\n")).collect();
    let many = many.concat();
    let error = fails(
        move || Reply::Keep(head(&format!("{many}content-length: 0\r\n\r\n"))),
        settings(),
    )
    .await;
    assert!(
        error.to_string().ends_with("message head is too large"),
        "{error}"
    );
}

#[tokio::test]
async fn bodies_end() {
    let settings = || DoorSettings {
        response_bytes_max: 100_000,
        ..DoorSettings::default()
    };
    for begins in ["\r\n", "transfer-encoding: chunked\r\n\r\n"] {
        let more = b"400\r\n"
            .iter()
            .chain(&[b'a'; 0x400])
            .chain(b"\r\n")
            .copied()
            .collect::<Vec<u8>>();
        let error = fails(
            move || Reply::Endless(head(begins), more.clone()),
            settings(),
        )
        .await;
        assert!(matches!(error, HttpError::TooLarge(_)), "{error}");
    }
    // Refused by what it says of itself, before a byte of it is read.
    let error = fails(
        || Reply::Hang(head("content-length: 100001\r\n\r\n")),
        settings(),
    )
    .await;
    assert!(matches!(error, HttpError::TooLarge(_)), "{error}");
    let exact =
        || Reply::Keep([head("content-length: 100000\r\n\r\n"), vec![b'a'; 100_000]].concat());
    let server = Server::start(move |_| exact()).await;
    let (door, _) = Ground {
        settings: settings(),
        ..Ground::default()
    }
    .door(&server);
    assert_eq!(
        get(&door, &server, "/v2/a")
            .await
            .expect("it fits")
            .body()
            .len(),
        100_000
    );
}

#[tokio::test]
async fn silence_ends() {
    let timeouts = |first_byte, between_bytes| DoorSettings {
        timeouts_max: HttpTimeouts {
            first_byte,
            between_bytes,
            ..PATIENT
        },
        ..DoorSettings::default()
    };
    let long = PATIENT.first_byte;
    let error = fails(|| Reply::Hang(Vec::new()), timeouts(QUICK, long)).await;
    assert!(
        matches!(error, HttpError::Timeout { after: QUICK, .. }),
        "{error}"
    );
    let error = fails(
        || Reply::Hang(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()),
        timeouts(QUICK, long),
    )
    .await;
    assert!(
        matches!(error, HttpError::Timeout { after: QUICK, .. }),
        "{error}"
    );
    let error = fails(
        || Reply::Hang(head("content-length: 9\r\n\r\na")),
        timeouts(long, QUICK),
    )
    .await;
    assert!(
        matches!(error, HttpError::Timeout { after: QUICK, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_trickle_ends() {
    // Each byte comes in time, and the whole never.
    let server =
        Server::start(|_| Reply::Trickle(head("content-length: 900000\r\n\r\n"), b"a".to_vec()))
            .await;
    let settings = DoorSettings {
        answer_time_max: 5 * QUICK,
        ..DoorSettings::default()
    };
    let (door, _) = Ground {
        settings,
        ..Ground::default()
    }
    .door(&server);
    let error = get(&door, &server, "/v2/a").await.expect_err("a trickle");
    let all = 5 * QUICK;
    assert!(
        matches!(error, HttpError::Timeout { after, .. } if after == all),
        "{error}"
    );
}

#[tokio::test]
async fn a_request_that_is_given_up_is_closed() {
    // The answer comes at once, and the server never reads the body: what is left of the request must not stay behind.
    let server = Server::start(|_| ok("hello")).await;
    let (door, watch) = Ground::default().door(&server);
    let uri = format!("http://api.acme.example:{}/v2/a", server.port());
    let answer = door
        .send(request("GET", &uri, &[], ""), PATIENT)
        .await
        .expect("an answer");
    drop(answer);
    server.closed(1).await;
    assert_eq!(watch.uses().len(), 1);
}

#[tokio::test]
async fn a_plugin_may_ask_for_less_patience() {
    let server = Server::start(|_| Reply::Hang(Vec::new())).await;
    let (door, _) = Ground::default().door(&server);
    let uri = format!("http://api.acme.example:{}/v2/a", server.port());
    let sent = door.send(
        request("GET", &uri, &[], ""),
        HttpTimeouts {
            first_byte: QUICK,
            ..PATIENT
        },
    );
    let error = sent.await.expect_err("silence");
    assert!(
        matches!(error, HttpError::Timeout { after: QUICK, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn framing_that_two_readers_could_read_differently_is_refused() {
    for framing in [
        "content-length: 5\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 5\r\n",
        "transfer-encoding: gzip, chunked\r\n",
        "transfer-encoding: gzip\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        "content-length: 5\r\ncontent-length: 6\r\n",
        "content-length: 5, 6\r\n",
        "content-length: +5\r\n",
        "content-length : 5\r\n",
    ] {
        let error = fails(
            move || Reply::Keep(head(&format!("{framing}\r\n5\r\nhello\r\n0\r\n\r\n"))),
            DoorSettings::default(),
        )
        .await;
        assert!(
            matches!(error, HttpError::Protocol { .. }),
            "{framing}: {error}"
        );
    }
    let switched = || {
        Reply::Keep(
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"
                .to_vec(),
        )
    };
    let error = fails(switched, DoorSettings::default()).await;
    assert!(matches!(error, HttpError::Protocol { .. }), "{error}");
}

#[tokio::test]
async fn what_concerns_the_connection_alone_is_kept_back() {
    let server = Server::start(|_| {
        Reply::Close(head("connection: close\r\nkeep-alive: x\r\ntransfer-encoding: chunked\r\netag: \"1\"\r\n\r\n5\r\nhello\r\n0\r\nx-trailer: 1\r\n\r\n"))
    })
    .await;
    let (door, _) = Ground::default().door(&server);
    let answer = get(&door, &server, "/v2/a").await.expect("an answer");
    let names: Vec<&str> = answer
        .headers()
        .keys()
        .map(http::HeaderName::as_str)
        .collect();
    assert_eq!((names, answer.body().as_str()), (vec!["etag"], "hello"));
}

#[tokio::test]
async fn requests_are_bounded() {
    let server = Server::start(|_| ok("")).await;
    let settings = DoorSettings {
        request_bytes_max: 100_000,
        ..DoorSettings::default()
    };
    let (door, _) = Ground {
        settings,
        ..Ground::default()
    }
    .door(&server);
    let uri = format!("http://api.acme.example:{}/v2/a", server.port());
    let post = |bytes: usize| {
        let mut request = request("POST", &uri, &[], "");
        *request.body_mut() = whole(Bytes::from(vec![b'a'; bytes]));
        send(&door, request)
    };
    post(100_000).await.expect("it fits");
    let error = post(100_001).await.expect_err("too large");
    assert!(matches!(error, HttpError::TooLarge(_)), "{error}");
    let names: Vec<String> = (0..=100).map(|at| format!("x-{at}")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "1")).collect();
    let error = send(&door, request("GET", &uri, &many, ""))
        .await
        .expect_err("too many headers");
    assert!(matches!(error, HttpError::TooLarge(_)), "{error}");
    let long = "a".repeat(64 << 10);
    let error = send(&door, request("GET", &uri, &[("x-long", &long)], ""))
        .await
        .expect_err("headers too long");
    assert!(matches!(error, HttpError::TooLarge(_)), "{error}");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_body_too_large_to_gather_is_sent_as_it_comes() {
    let server = Server::start(|_| ok("")).await;
    let uri = format!("http://api.acme.example:{}/v2/a", server.port());
    let post = |pieces: usize| {
        let piece = || Ok(http_body::Frame::data(Bytes::from(vec![b'a'; 1 << 20])));
        let pieces = futures::stream::iter((0..pieces).map(move |_| piece()));
        let mut request = request("POST", &uri, &[], "");
        *request.body_mut() = StreamBody::new(pieces).boxed_unsync();
        request
    };
    let settings = DoorSettings {
        request_bytes_max: 10 << 20,
        ..DoorSettings::default()
    };
    let (door, _) = Ground {
        settings,
        ..Ground::default()
    }
    .door(&server);
    send(&door, post(3)).await.expect("an answer");
    send(&door, post(10)).await.expect("an answer");
    let error = send(&door, post(11)).await.expect_err("too large");
    assert!(matches!(error, HttpError::TooLarge(_)), "{error}");
    let requests = server.requests();
    assert!(requests[0].contains("content-length: 3145728\r\n"));
    assert!(requests[1].contains("transfer-encoding: chunked\r\n"));
    assert_eq!(
        requests[1].matches('a').count()
            - requests[1]
                .split("\r\n\r\n")
                .next()
                .map_or(0, |head| head.matches('a').count()),
        10 << 20
    );
}

#[tokio::test]
async fn one_request_more_than_may_be_open_is_refused() {
    let server = Server::start(|_| Reply::Hang(head("content-length: 9\r\n\r\na"))).await;
    let settings = DoorSettings {
        in_flight_max: 2,
        ..DoorSettings::default()
    };
    let (door, _) = Ground {
        settings,
        ..Ground::default()
    }
    .door(&server);
    let uri = format!("http://api.acme.example:{}/v2/a", server.port());
    let open = || door.send(request("GET", &uri, &[], ""), PATIENT);
    let (first, _second) = (
        open().await.expect("an answer"),
        open().await.expect("an answer"),
    );
    let error = open().await.expect_err("a third");
    assert!(matches!(error, HttpError::TooLarge(_)), "{error}");
    drop(first);
    open().await.expect("there is room again");
}

#[tokio::test]
async fn a_body_that_breaks_off_ends_its_request() {
    let server = Server::start(|_| ok("")).await;
    let (door, _) = Ground::default().door(&server);
    let uri = format!("http://api.acme.example:{}/v2/a", server.port());
    for whole_pieces in [0, 9] {
        let piece = Bytes::from(vec![b'a'; 1 << 20]);
        let pieces = (0..whole_pieces).map(move |_| Ok(http_body::Frame::data(piece.clone())));
        let broken = std::iter::once_with(|| Err("trapped".into()));
        let mut request = request("POST", &uri, &[], "");
        *request.body_mut() =
            StreamBody::new(futures::stream::iter(pieces.chain(broken))).boxed_unsync();
        let error = send(&door, request)
            .await
            .expect_err("a broken body")
            .to_string();
        assert!(
            error.ends_with("the request's body broke off: trapped"),
            "{error}"
        );
    }
    assert!(server.requests().is_empty());
}
