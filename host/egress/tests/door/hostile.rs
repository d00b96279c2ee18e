//! Servers and names that mean no good: what they answer, and where they lead.

use crate::ground::{Ground, Names, Vault, get};
use crate::server::{Reply, Server, ok};
use sluice_model::ports::HttpError;
use std::fmt::Write as _;

#[path = "../../../../tests/hostile/server.rs"]
mod spelled;

/// Made up. Every character is there that some spelling treats in its own way.
const SECRET: &str = "k/9+\"mAde-uP_s3cret~Zq7&vT=4hX'wN8rB";

#[tokio::test]
async fn a_secret_is_found_in_an_answer_however_it_is_spelled() {
    let spellings = spelled::spellings(SECRET);
    assert!(spellings.len() >= 10);
    for (name, form) in spellings {
        let text = String::from_utf8(form).expect("text");
        let (first, second) = text.split_at(text.len() / 2);
        let answers = [
            format!("HTTP/1.1 200 OK\r\nx-echo: {text}\r\ncontent-length: 0\r\n\r\n"),
            format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n<{text}>",
                text.len() + 2
            ),
            format!(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n",
                first.len(),
                second.len()
            ),
            format!(
                "HTTP/1.1 500 Oh\r\ncontent-length: {}\r\n\r\n{text}",
                text.len()
            ),
        ];
        for answer in answers {
            let server = Server::start(move |_| Reply::Keep(answer.clone().into_bytes())).await;
            let (door, watch) = Ground {
                auth: Some("bearer"),
                vault: Some(Vault::with(SECRET)),
                ..Ground::default()
            }
            .door(&server);
            let error = get(&door, &server, "/v2/a").await.expect_err(name);
            let HttpError::Denied(refusal) = error else {
                panic!("{name}: {error}")
            };
            assert_eq!(
                refusal.reason, "the answer repeats secret `token`",
                "{name}"
            );
            assert_eq!(watch.refusals(), vec![refusal]);
        }
    }
}

/// The promise ends here, and says so in `docs/security.md`: who is sent a secret can spell it as nobody else would.
#[tokio::test]
async fn a_server_that_hides_a_secret_on_purpose_hands_it_on() {
    let reversed: String = SECRET.chars().rev().collect();
    let server = Server::start(move |_| ok(&reversed)).await;
    let (door, _) = Ground {
        auth: Some("bearer"),
        vault: Some(Vault::with(SECRET)),
        ..Ground::default()
    }
    .door(&server);
    get(&door, &server, "/v2/a").await.expect("not looked for");
}

#[tokio::test]
async fn a_hundred_thousand_headers_are_not_read() {
    let mut head = "HTTP/1.1 200 OK\r\n".to_owned();
    for number in 0..100_000 {
        write!(head, "x-{number}: 1\r\n").expect("memory");
    }
    head.push_str("content-length: 0\r\n\r\n");
    let server = Server::start(move |_| Reply::Keep(head.clone().into_bytes())).await;
    let (door, _) = Ground::default().door(&server);
    let error = get(&door, &server, "/v2/a").await.expect_err("headers end");
    assert!(
        error.to_string().ends_with("message head is too large"),
        "{error}"
    );
}

#[tokio::test]
async fn what_is_compressed_is_handed_on_as_it_came() {
    // The host unpacks nothing, so nothing can burst in it: what says it is gzip and is none is handed on as well.
    for encoding in ["gzip", "deflate", "br", "zstd", "gzip, gzip, gzip"] {
        let server = Server::start(move |_| {
            Reply::Keep(
                format!("HTTP/1.1 200 OK\r\ncontent-encoding: {encoding}\r\ncontent-length: 4\r\n\r\nbomb")
                    .into_bytes(),
            )
        })
        .await;
        let (door, _) = Ground::default().door(&server);
        let answer = get(&door, &server, "/v2/a").await.expect("an answer");
        assert_eq!(answer.body(), "bomb");
        assert_eq!(answer.headers()["content-encoding"], encoding);
    }
}

#[tokio::test]
async fn names_that_lead_inside_are_not_dialled() {
    let server = Server::start(|_| ok("")).await;
    for address in [
        "127.0.0.1",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "100.100.100.200",
        "169.254.169.254",
        "168.63.129.16",
        "192.0.0.192",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a00:1",
        "2002:7f00:1::",
        "2001:0:7f00:1::",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "ff02::1",
    ] {
        for answer in [&[address][..], &["8.8.8.8", address], &[address, "8.8.8.8"]] {
            let (door, watch) = Ground {
                names: Names::new(&[answer]),
                networks: "",
                ..Ground::default()
            }
            .door(&server);
            let error = get(&door, &server, "/v2/a").await.expect_err(address);
            assert!(matches!(error, HttpError::Denied(_)), "{address}: {error}");
            assert_eq!(watch.refusals().len(), 1, "{address}");
        }
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn what_a_redirect_leads_to_is_decided_anew() {
    // The host follows none; a plugin that follows it by itself asks for what is not granted.
    let server = Server::start(|request| {
        let to = match request.split(' ').nth(1).unwrap_or_default() {
            "/v2/out" => "http://evil.test/",
            "/v2/in" => "http://169.254.169.254/latest/",
            _ => "/v1/not-granted",
        };
        Reply::Keep(
            format!("HTTP/1.1 307 Go\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n").into_bytes(),
        )
    })
    .await;
    let (door, watch) = Ground::default().door(&server);
    for (path, refused) in [("/v2/out", 1), ("/v2/in", 2), ("/v2/aside", 3)] {
        let answer = get(&door, &server, path).await.expect("an answer");
        let to = answer.headers()["location"]
            .to_str()
            .expect("text")
            .to_owned();
        let to = match to.strip_prefix('/') {
            Some(path) => format!("http://api.acme.example:{}/{path}", server.port()),
            None => to,
        };
        let next = crate::ground::request("GET", &to, &[], "");
        let error = crate::ground::send(&door, next).await.expect_err(&to);
        assert!(matches!(error, HttpError::Denied(_)), "{to}: {error}");
        assert_eq!(watch.refusals().len(), refused);
    }
    assert_eq!(server.requests().len(), 3);
}
