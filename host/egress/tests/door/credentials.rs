//! Secrets reach the server, and nobody else.

use crate::ground::{Ground, SECRET, get, request, send};
use crate::server::{Reply, Server, ok};
use sluice_model::ports::HttpError;

#[tokio::test]
async fn each_use_of_a_secret_arrives() {
    for (place, expected) in [
        (
            "bearer",
            "\r\nauthorization: Bearer user:s3cret-value-0123456789\r\n",
        ),
        (
            "basic",
            "\r\nauthorization: Basic dXNlcjpzM2NyZXQtdmFsdWUtMDEyMzQ1Njc4OQ==\r\n",
        ),
        (
            "header:X-Api-Key",
            "\r\nx-api-key: user:s3cret-value-0123456789\r\n",
        ),
        (
            "query:key",
            "GET /v2/a?page=2&key=user%3As3cret-value-0123456789 HTTP/1.1\r\n",
        ),
    ] {
        let server = Server::start(|_| ok("")).await;
        let (door, _) = Ground {
            auth: Some(place),
            ..Ground::default()
        }
        .door(&server);
        get(&door, &server, "/v2/a?page=2")
            .await
            .expect("an answer");
        let request = &server.requests()[0];
        assert!(request.contains(expected), "{place}: {request}");
        assert!(!format!("{door:?} {door:#?}").contains("s3cret"));
    }
}

#[tokio::test]
async fn the_place_of_a_secret_is_the_hosts() {
    for (place, path, header) in [
        ("bearer", "/v2/a", Some("authorization")),
        ("basic", "/v2/a", Some("Authorization")),
        ("header:X-Api-Key", "/v2/a", Some("x-api-key")),
        ("query:key", "/v2/a?key=mine", None),
        ("query:key", "/v2/a?a=b&k%65y=mine", None),
    ] {
        let server = Server::start(|_| ok("")).await;
        let (door, watch) = Ground {
            auth: Some(place),
            ..Ground::default()
        }
        .door(&server);
        let uri = format!("http://api.acme.example:{}{path}", server.port());
        let headers: Vec<_> = header.map(|name| (name, "mine")).into_iter().collect();
        let error = send(&door, request("GET", &uri, &headers, ""))
            .await
            .expect_err(place);
        let HttpError::Denied(refusal) = error else {
            panic!("{place}: {error}")
        };
        assert!(
            refusal
                .reason
                .ends_with("is where the host puts secret `token`"),
            "{refusal}"
        );
        assert!(!refusal.to_string().contains("mine"), "{refusal}");
        assert_eq!((server.connections(), watch.refusals()), (0, vec![refusal]));
    }
}

#[tokio::test]
async fn a_secret_goes_only_where_its_rule_leads() {
    let server = Server::start(|_| ok("")).await;
    // The entry for `/open` names no secret, and its grant no network: the connection kept for `/v2` is not its.
    let (door, _) = Ground {
        auth: Some("bearer"),
        ..Ground::default()
    }
    .door(&server);
    get(&door, &server, "/v2/a").await.expect("an answer");
    let error = get(&door, &server, "/open")
        .await
        .expect_err("its network is not granted");
    assert!(matches!(error, HttpError::Denied(_)), "{error}");
    assert_eq!(server.requests().len(), 1);
    // A plugin's own header goes where no secret does.
    let (door, _) = Ground::default().door(&server);
    let uri = format!("http://api.acme.example:{}/v2/a", server.port());
    send(&door, request("GET", &uri, &[("authorization", "own")], ""))
        .await
        .expect("an answer");
    assert!(server.requests()[1].contains("authorization: own"));
    assert!(!server.requests()[1].contains(SECRET));
}

#[tokio::test]
async fn a_secret_without_a_value_says_where_to_name_it() {
    let server = Server::start(|_| ok("")).await;
    let (door, watch) = Ground {
        auth: Some("bearer"),
        secrets: false,
        ..Ground::default()
    }
    .door(&server);
    let error = get(&door, &server, "/v2/a").await.expect_err("no value");
    let HttpError::Denied(refusal) = error else {
        panic!("{error}")
    };
    assert_eq!(
        refusal.reason,
        "pipeline `crm` names no secret of the deployment for it"
    );
    let line = "\nsecrets = { token = \"NAME-IN-THE-DEPLOYMENT\" }";
    assert!(refusal.hint.is_some_and(|hint| hint.ends_with(line)));
    assert_eq!((server.connections(), watch.refusals().len()), (0, 1));
}

#[tokio::test]
async fn an_answer_that_repeats_the_secret_is_not_handed_on() {
    let in_header =
        |value: &str| format!("HTTP/1.1 200 OK\r\nx-echo: {value}\r\ncontent-length: 0\r\n\r\n");
    let in_body = |value: &str| {
        format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\nyou: {value}",
            value.len() + 5
        )
    };
    let chunked = |value: &str| {
        let (first, second) = value.split_at(9);
        format!(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n",
            second.len()
        )
    };
    for answer in [
        in_header(SECRET),
        in_header("Basic dXNlcjpzM2NyZXQtdmFsdWUtMDEyMzQ1Njc4OQ=="),
        in_body(SECRET),
        in_body("user%3As3cret-value-0123456789"),
        chunked(SECRET),
    ] {
        let server = Server::start(move |_| Reply::Keep(answer.clone().into_bytes())).await;
        let (door, watch) = Ground {
            auth: Some("basic"),
            ..Ground::default()
        }
        .door(&server);
        let error = get(&door, &server, "/v2/a").await.expect_err("an echo");
        let HttpError::Denied(refusal) = error else {
            panic!("{error}")
        };
        assert_eq!(refusal.reason, "the answer repeats secret `token`");
        assert!(!refusal.to_string().contains("s3cret"), "{refusal}");
        assert_eq!(watch.refusals(), vec![refusal]);
    }
}

#[tokio::test]
async fn an_answer_to_a_secret_is_plain_and_whole() {
    let chunked =
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nuser:s3cr\r\n0\r\n\r\n";
    let server = Server::start(move |_| Reply::Keep(chunked.into())).await;
    let (door, _) = Ground {
        auth: Some("bearer"),
        ..Ground::default()
    }
    .door(&server);
    let uri = format!("http://api.acme.example:{}/v2/a", server.port());
    for _ in 0..2 {
        let answer = send(&door, request("GET", &uri, &[], "")).await;
        assert_eq!(answer.expect("no secret").body(), "user:s3cr");
    }
    assert!(server.requests()[0].contains("accept-encoding: identity\r\n"));
    let zipped = request("GET", &uri, &[("accept-encoding", "gzip")], "");
    let error = send(&door, zipped)
        .await
        .expect_err("the host looks through the answer");
    assert!(matches!(error, HttpError::Denied(_)), "{error}");
    assert_eq!(server.connections(), 1);

    let zipped = "HTTP/1.1 200 OK\r\ncontent-encoding: identity\r\ncontent-encoding: gzip\r\ncontent-length: 1\r\n\r\nx";
    let server = Server::start(move |_| Reply::Keep(zipped.into())).await;
    let (door, _) = Ground {
        auth: Some("bearer"),
        ..Ground::default()
    }
    .door(&server);
    let error = get(&door, &server, "/v2/a")
        .await
        .expect_err("compressed unasked");
    assert!(matches!(error, HttpError::Protocol { .. }), "{error}");
    // Without a secret it is the plugin's to decode.
    let (door, _) = Ground::default().door(&server);
    get(&door, &server, "/v2/a").await.expect("an answer");
}
