//! Connections that are kept for the next request, and those that are not.

use crate::ground::{Ground, PATIENT, get, request, send};
use crate::server::{Reply, Server, ok};
use http_body_util::BodyExt as _;
use sluice_egress::DoorSettings;
use sluice_model::ports::{HttpDoor as _, HttpError};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

#[tokio::test]
async fn an_answer_read_to_its_end_leaves_its_connection() {
    let server = Server::start(|_| ok("hello")).await;
    let (door, _) = Ground::default().door(&server);
    for _ in 0..5 {
        get(&door, &server, "/v2/a").await.expect("an answer");
    }
    assert_eq!((server.requests().len(), server.connections()), (5, 1));
    // Two at once need two.
    let uri = format!("http://api.acme.example:{}/v2/a", server.port());
    let open = || door.send(request("GET", &uri, &[], ""), PATIENT);
    let (first, second) = (
        open().await.expect("an answer"),
        open().await.expect("an answer"),
    );
    assert_eq!(server.connections(), 2);
    drop(first);
    second.into_body().collect().await.expect("a body");
    // One was dropped unread, the other is used again.
    get(&door, &server, "/v2/a").await.expect("an answer");
    get(&door, &server, "/v2/a").await.expect("an answer");
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn doors_share_no_connection() {
    let server = Server::start(|_| ok("hello")).await;
    let (first, _) = Ground::default().door(&server);
    let (second, _) = Ground::default().door(&server);
    for _ in 0..3 {
        get(&first, &server, "/v2/a").await.expect("an answer");
        get(&second, &server, "/v2/a").await.expect("an answer");
    }
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_connection_kept_too_long_is_closed() {
    let server = Server::start(|_| ok("hello")).await;
    let settings = DoorSettings {
        idle_time_max: Duration::ZERO,
        ..DoorSettings::default()
    };
    let (door, _) = Ground {
        settings,
        ..Ground::default()
    }
    .door(&server);
    for _ in 0..3 {
        get(&door, &server, "/v2/a").await.expect("an answer");
    }
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_costs_no_failure() {
    // Answers once on each connection and closes it on the next request, unanswered.
    let turn = AtomicUsize::new(0);
    let server = Server::start(move |_| match turn.fetch_add(1, Ordering::SeqCst) % 2 {
        0 => ok("hello"),
        _ => Reply::Close(Vec::new()),
    })
    .await;
    let (door, _) = Ground::default().door(&server);
    get(&door, &server, "/v2/a").await.expect("an answer");
    get(&door, &server, "/v2/a")
        .await
        .expect("an answer on a new connection");
    assert_eq!((server.requests().len(), server.connections()), (3, 2));
    // What may not be sent twice is not: the plugin is told.
    let uri = format!("http://api.acme.example:{}/v2/a", server.port());
    let error = send(&door, request("POST", &uri, &[], "once"))
        .await
        .expect_err("closed unanswered");
    assert!(matches!(error, HttpError::Protocol { .. }), "{error}");
    assert_eq!((server.requests().len(), server.connections()), (4, 2));
}
