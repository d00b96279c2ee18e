//! What a grant lets a stage spend: each bound bites, and says which line would move it.

use crate::ground::{Ground, get, request, send};
use crate::server::{Reply, Server, ok};
use bytes::Bytes;
use http_body_util::{BodyExt as _, StreamBody};
use sluice_egress::Door;
use sluice_model::ports::{HttpError, Refusal};
use std::time::Duration;
use tokio::time::Instant;

fn granted(server: &Server, lines: &str) -> Door {
    let ground = Ground {
        first: lines.to_owned(),
        ..Ground::default()
    };
    ground.door(server).0
}

fn refusal(error: HttpError) -> Refusal {
    match error {
        HttpError::Denied(refusal) => refusal,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn requests_are_counted() {
    let server = Server::start(|_| ok("")).await;
    let door = granted(&server, "requests_max = 2\n");
    get(&door, &server, "/v2/a").await.expect("one");
    get(&door, &server, "/v2/b").await.expect("two");
    let refusal = refusal(get(&door, &server, "/v2/a").await.expect_err("three"));
    assert_eq!(
        refusal.reason,
        "the grant allows no more of it in one run: `requests_max = 2`"
    );
    let hint = refusal.hint.expect("a hint");
    assert!(
        hint.starts_with("add to the grant of `acme/crm` for pipeline `crm`, in its `[[http]]`"),
        "{hint}"
    );
    assert!(hint.ends_with("\nrequests_max = 4"), "{hint}");
    assert_eq!(server.requests().len(), 2);
    // Another run begins anew.
    let door = granted(&server, "requests_max = 2\n");
    get(&door, &server, "/v2/a").await.expect("one");
}

#[tokio::test]
async fn an_entry_that_does_not_fit_is_not_charged() {
    let server = Server::start(|_| ok("")).await;
    let door = granted(&server, "requests_max = 2\n");
    get(&door, &server, "/v2/a").await.expect("one");
    get(&door, &server, "/open")
        .await
        .expect_err("its entry grants no network");
    get(&door, &server, "/v2/a").await.expect("two");
    get(&door, &server, "/v2/a").await.expect_err("three");
}

#[tokio::test]
async fn bytes_out_are_counted_however_they_are_sent() {
    let server = Server::start(|_| ok("")).await;
    let uri = format!("http://api.acme.example:{}/v2/a", server.port());
    let door = granted(&server, "bytes_out_max = \"2KiB\"\n");
    send(&door, request("POST", &uri, &[], &"a".repeat(1500)))
        .await
        .expect("it fits");
    let error = send(&door, request("POST", &uri, &[], &"a".repeat(1500))).await;
    let refused = refusal(error.expect_err("too much"));
    assert!(
        refused
            .hint
            .is_some_and(|hint| hint.ends_with("bytes_out_max = \"4KiB\""))
    );
    // What does not fit is not counted: a smaller one still does.
    get(&door, &server, "/v2/a").await.expect("it fits");
    // What would be carried out in a query or a header counts as well.
    let door = granted(&server, "bytes_out_max = \"2KiB\"\n");
    let query = format!("{uri}?{}", "a".repeat(2000));
    refusal(
        send(&door, request("GET", &query, &[], ""))
            .await
            .expect_err("a long query"),
    );
    let long = "a".repeat(2000);
    refusal(
        send(&door, request("GET", &uri, &[("x-note", &long)], ""))
            .await
            .expect_err("a long header"),
    );
    assert_eq!(server.requests().len(), 2);
    // A body that is sent as it comes is stopped on its way.
    let door = granted(&server, "bytes_out_max = \"10MiB\"\n");
    let pieces = (0..12).map(|_| Ok(http_body::Frame::data(Bytes::from(vec![b'a'; 1 << 20]))));
    let mut endless = request("POST", &uri, &[], "");
    *endless.body_mut() = StreamBody::new(futures::stream::iter(pieces)).boxed_unsync();
    refusal(send(&door, endless).await.expect_err("too much"));
}

#[tokio::test]
async fn bytes_in_are_counted_before_they_are_handed_on() {
    let server = Server::start(|_| ok(&"a".repeat(1500))).await;
    let door = granted(&server, "bytes_in_max = \"2KiB\"\n");
    get(&door, &server, "/v2/a").await.expect("it fits");
    let refused = refusal(get(&door, &server, "/v2/a").await.expect_err("too much"));
    assert!(
        refused
            .hint
            .is_some_and(|hint| hint.ends_with("bytes_in_max = \"4KiB\""))
    );
    // Spent is spent.
    refusal(get(&door, &server, "/v2/a").await.expect_err("too much"));
    let head = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    let server = Server::start(move |_| Reply::Endless(head.clone(), vec![b'a'; 1 << 10])).await;
    let door = granted(&server, "bytes_in_max = \"100KiB\"\n");
    refusal(get(&door, &server, "/v2/a").await.expect_err("without end"));
}

#[tokio::test]
async fn requests_wait_for_their_turn() {
    let server = Server::start(|_| ok("")).await;
    let door = granted(&server, "rate = { requests = 2, per = \"200ms\" }\n");
    let began = Instant::now();
    for _ in 0..5 {
        get(&door, &server, "/v2/a").await.expect("its turn comes");
    }
    assert!(
        began.elapsed() >= Duration::from_millis(400),
        "{:?}",
        began.elapsed()
    );
    let door = granted(&server, "rate = { requests = 1, per = \"1h\" }\n");
    get(&door, &server, "/v2/a").await.expect("the first");
    let refused = refusal(
        get(&door, &server, "/v2/a")
            .await
            .expect_err("an hour is too long"),
    );
    assert!(
        refused.reason.starts_with(
            "the grant allows it no faster than `rate = { requests = 1, per = \"1h\" }`"
        ),
        "{refused}"
    );
    assert!(
        refused
            .hint
            .is_some_and(|hint| hint.ends_with("rate = { requests = 2, per = \"1h\" }"))
    );
}
