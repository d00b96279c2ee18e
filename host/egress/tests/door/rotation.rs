//! Secrets are asked for at each use, and each use is told.

use crate::ground::{Ground, Vault, get, request, send};
use crate::server::{Reply, Server, ok};
use sluice_model::ports::HttpError;
use std::sync::Arc;

#[tokio::test]
async fn a_rotated_secret_is_used_by_the_next_request() {
    let server = Server::start(|_| ok("")).await;
    let vault = Vault::with("the-first-value-0123");
    let (door, _) = Ground {
        auth: Some("bearer"),
        vault: Some(Arc::clone(&vault)),
        ..Ground::default()
    }
    .door(&server);
    get(&door, &server, "/v2/a").await.expect("an answer");
    vault.set("the-second-value-0123");
    get(&door, &server, "/v2/a").await.expect("an answer");
    let requests = server.requests();
    assert!(requests[0].contains("Bearer the-first-value-0123\r\n"));
    assert!(requests[1].contains("Bearer the-second-value-0123\r\n"));
}

#[tokio::test]
async fn what_is_looked_for_in_answers_rotates_with_it() {
    let echo = |request: &str| ok(request.split("Bearer ").nth(1).unwrap_or_default());
    let server = Server::start(echo).await;
    let vault = Vault::with("the-first-value-0123");
    let (door, watch) = Ground {
        auth: Some("bearer"),
        vault: Some(Arc::clone(&vault)),
        ..Ground::default()
    }
    .door(&server);
    for value in ["the-first-value-0123", "the-second-value-0123"] {
        vault.set(value);
        let error = get(&door, &server, "/v2/a").await.expect_err("an echo");
        assert!(matches!(error, HttpError::Denied(_)), "{error}");
    }
    assert_eq!(watch.refusals().len(), 2);
    // The old one is a secret of nobody now.
    let server = Server::start(|_| ok("the-first-value-0123")).await;
    let (door, _) = Ground {
        auth: Some("bearer"),
        vault: Some(vault),
        ..Ground::default()
    }
    .door(&server);
    get(&door, &server, "/v2/a").await.expect("an answer");
}

#[tokio::test]
async fn each_use_is_told_with_its_bytes() {
    let body = "0123456789";
    let server = Server::start(move |_| ok(body)).await;
    let (door, watch) = Ground {
        auth: Some("bearer"),
        ..Ground::default()
    }
    .door(&server);
    let uri = format!("http://api.acme.example:{}/v2/a?page=2", server.port());
    let long = "x".repeat(10_000);
    send(&door, request("POST", &uri, &[], &long))
        .await
        .expect("an answer");
    let sent = server.requests()[0].len() as u64;
    let uses = watch.uses();
    assert_eq!(uses[0], ("secret token".to_owned(), 1, 0, 0));
    let (what, times, bytes_out, bytes_in) = &uses[1];
    assert_eq!(
        (what.as_str(), *times),
        (
            format!("http http://api.acme.example:{}", server.port()).as_str(),
            1
        )
    );
    // All that went over the wire, but for `content-length`, which is written last.
    assert!(
        sent - bytes_out < 40 && *bytes_out > 10_000,
        "{sent} {bytes_out}"
    );
    assert_eq!(*bytes_in, "content-length: 10\r\n".len() as u64 + 10);
    assert_eq!(uses.len(), 2);
}

#[tokio::test]
async fn what_was_never_sent_is_no_use() {
    let server = Server::start(|_| Reply::Close(Vec::new())).await;
    let (door, watch) = Ground {
        networks: "",
        ..Ground::default()
    }
    .door(&server);
    get(&door, &server, "/v2/a")
        .await
        .expect_err("no network is granted");
    get(&door, &server, "/v9").await.expect_err("not granted");
    assert!(watch.uses().is_empty());
    let (door, watch) = Ground::default().door(&server);
    get(&door, &server, "/v2/a")
        .await
        .expect_err("closed unanswered");
    assert_eq!(watch.uses().len(), 1);
}
