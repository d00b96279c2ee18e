//! Access tokens: traded for, kept, renewed, and never before a rotated refresh token is stored. The authorization
//! server here is scripted, so that it can misbehave; `tests/servers` has a real one.

use crate::ground::{Ground, Vault, get, request, send};
use crate::server::{Reply, Server, ok};
use sluice_egress::{Door, DoorSettings};
use sluice_model::ports::HttpError;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const CLIENT: &str = "client_id = \"sluice\"\nclient_secret = \"made-up-client-secret-0123\"\n";
const REFRESHING: &str = "client_id = \"sluice\"\nclient_secret = \"made-up-client-secret-0123\"\nrefresh_token = \"made-up-refresh-token-0\"\n";

fn json(status: &str, body: &str) -> Reply {
    let length = body.len();
    Reply::Keep(format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes())
}

fn token(number: usize, rest: &str) -> Reply {
    json(
        "200 OK",
        &format!(
            "{{\"access_token\": \"made-up-access-token-{number}\", \"token_type\": \"Bearer\"{rest}}}"
        ),
    )
}

fn is_trade(request: &str) -> bool {
    request.starts_with("POST /token")
}

fn door(server: &Server, vault: &Arc<Vault>) -> (Door, Arc<crate::ground::Watch>) {
    ground(server, vault).door(server)
}

/// Its trades are not held up.
fn ground(server: &Server, vault: &Arc<Vault>) -> Ground {
    let port = server.port();
    Ground {
        auth: Some("oauth2"),
        vault: Some(Arc::clone(vault)),
        terms: format!(
            "token_url = \"http://login.acme.example:{port}/token?tenant=1\"\nscopes = [\"read\", \"write\"]\nnetworks = [\"127.0.0.1/32\"]\n"
        ),
        settings: DoorSettings {
            token_time_max: Duration::from_millis(500),
            token_interval_min: Duration::ZERO,
            ..DoorSettings::default()
        },
        ..Ground::default()
    }
}

/// A server that gives tokens 1, 2, 3 …, each with these words more, and answers everything else with `then`.
async fn server(
    rest: &'static str,
    then: impl Fn(&str) -> Reply + Send + Sync + 'static,
) -> Server {
    let given = AtomicUsize::new(0);
    Server::start(move |request| {
        if is_trade(request) {
            token(given.fetch_add(1, Ordering::SeqCst) + 1, rest)
        } else {
            then(request)
        }
    })
    .await
}

fn trades(server: &Server) -> usize {
    server
        .requests()
        .iter()
        .filter(|request| is_trade(request))
        .count()
}

#[tokio::test]
async fn a_token_is_fetched_once_and_kept() {
    let server = server(", \"expires_in\": 3600", |_| ok("hello")).await;
    let (door, watch) = door(&server, &Vault::with(CLIENT));
    for _ in 0..3 {
        get(&door, &server, "/v2/a").await.expect("an answer");
    }
    let requests = server.requests();
    assert!(
        requests[0].starts_with("POST /token?tenant=1 HTTP/1.1\r\n"),
        "{}",
        requests[0]
    );
    assert!(
        requests[0]
            .contains("\r\nauthorization: Basic c2x1aWNlOm1hZGUtdXAtY2xpZW50LXNlY3JldC0wMTIz\r\n")
    );
    assert!(requests[0].contains(&format!(
        "\r\nhost: login.acme.example:{}\r\n",
        server.port()
    )));
    assert!(requests[0].ends_with("grant_type=client_credentials&scope=read+write"));
    for request in &requests[1..] {
        assert!(
            request.contains("authorization: Bearer made-up-access-token-1\r\n"),
            "{request}"
        );
        assert!(!request.contains("client-secret"));
    }
    assert_eq!((trades(&server), requests.len()), (1, 4));
    let uses: Vec<String> = watch.uses().into_iter().map(|(what, ..)| what).collect();
    let trade = format!("http http://login.acme.example:{}", server.port());
    assert_eq!(uses.iter().filter(|what| **what == trade).count(), 1);
    assert_eq!(
        uses.iter().filter(|what| *what == "secret token").count(),
        3
    );
}

#[tokio::test]
async fn many_at_once_fetch_one() {
    let server = server("", |_| ok("hello")).await;
    let (door, _) = door(&server, &Vault::with(CLIENT));
    let all = (0..20).map(|_| get(&door, &server, "/v2/a"));
    for answer in futures::future::join_all(all).await {
        answer.expect("an answer");
    }
    assert_eq!(trades(&server), 1);
}

#[tokio::test]
async fn a_token_that_expires_is_renewed_before() {
    let server = server(", \"expires_in\": 0", |_| ok("hello")).await;
    let (door, _) = door(&server, &Vault::with(CLIENT));
    for _ in 0..3 {
        get(&door, &server, "/v2/a").await.expect("an answer");
    }
    assert_eq!(trades(&server), 3);
    assert!(server.requests()[5].contains("made-up-access-token-3"));
}

#[tokio::test]
async fn tokens_are_asked_for_at_a_measured_pace() {
    let server = server(", \"expires_in\": 0", |_| ok("hello")).await;
    let mut paced = ground(&server, &Vault::with(CLIENT));
    paced.settings.token_interval_min = Duration::from_millis(200);
    let (door, _) = paced.door(&server);
    let began = Instant::now();
    for _ in 0..3 {
        get(&door, &server, "/v2/a").await.expect("an answer");
    }
    assert_eq!(trades(&server), 3);
    assert!(
        began.elapsed() >= Duration::from_millis(400),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_refusal_holds_for_a_while_and_for_one_value() {
    let refuses = Arc::new(AtomicBool::new(true));
    let refusing = Arc::clone(&refuses);
    let server = Server::start(move |request| {
        if !is_trade(request) {
            ok("hello")
        } else if refusing.load(Ordering::SeqCst) {
            json("401 Unauthorized", "{\"error\": \"invalid_client\"}")
        } else {
            token(1, "")
        }
    })
    .await;
    let vault = Vault::with(CLIENT);
    let mut holding = ground(&server, &vault);
    holding.settings.token_refusal_time = Duration::from_hours(1);
    let (door, watch) = holding.door(&server);
    let mut told = Vec::new();
    for _ in 0..3 {
        let error = get(&door, &server, "/v2/a").await.expect_err("refused");
        told.push(error.to_string());
    }
    assert!(told[0].contains("`invalid_client`"), "{}", told[0]);
    assert!(told.iter().all(|one| *one == told[0]), "{told:?}");
    assert_eq!((trades(&server), watch.refusals().len()), (1, 3));
    // Set anew it is another client, of whom nothing is known.
    refuses.store(false, Ordering::SeqCst);
    vault.set(&CLIENT.replace("0123", "4567"));
    get(&door, &server, "/v2/a").await.expect("an answer");
    assert_eq!(trades(&server), 2);

    // And time heals it.
    refuses.store(true, Ordering::SeqCst);
    let mut forgetting = ground(&server, &vault);
    forgetting.settings.token_refusal_time = Duration::from_millis(1);
    let (door, _) = forgetting.door(&server);
    get(&door, &server, "/v2/a").await.expect_err("refused");
    refuses.store(false, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(5)).await;
    get(&door, &server, "/v2/a").await.expect("an answer");
}

#[tokio::test]
async fn another_value_is_another_client() {
    let server = server("", |_| ok("hello")).await;
    let vault = Vault::with(CLIENT);
    let (door, _) = door(&server, &vault);
    get(&door, &server, "/v2/a").await.expect("an answer");
    vault.set(&CLIENT.replace("0123", "4567"));
    get(&door, &server, "/v2/a").await.expect("an answer");
    assert_eq!(trades(&server), 2);
}

#[tokio::test]
async fn a_token_that_is_not_taken_is_renewed_once() {
    let server = server("", |request| {
        let is_new = request.contains("made-up-access-token-2");
        if is_new {
            ok("hello")
        } else {
            json("401 Unauthorized", "who?")
        }
    })
    .await;
    let (door, _) = door(&server, &Vault::with(CLIENT));
    let uri = format!("http://api.acme.example:{}/v2/a", server.port());
    let answer = send(&door, request("POST", &uri, &[], "once"))
        .await
        .expect("an answer");
    assert_eq!(
        (answer.status().as_u16(), answer.body().as_str()),
        (200, "hello")
    );
    assert_eq!((trades(&server), server.requests().len()), (2, 4));
    assert!(server.requests()[3].ends_with("once"));

    // Where the new one is not taken either, the plugin is told what the server says.
    let server = self::server("", |_| json("401 Unauthorized", "who?")).await;
    let (door, _) = self::door(&server, &Vault::with(CLIENT));
    let answer = get(&door, &server, "/v2/a").await.expect("an answer");
    assert_eq!((answer.status().as_u16(), trades(&server)), (401, 2));

    // It is a request more, and counted as one.
    let mut bounded = ground(&server, &Vault::with(CLIENT));
    "requests_max = 1\n".clone_into(&mut bounded.first);
    let (door, _) = bounded.door(&server);
    let error = get(&door, &server, "/v2/a").await.expect_err("a second");
    assert!(error.to_string().contains("requests_max"), "{error}");
}

#[tokio::test]
async fn a_rotated_refresh_token_is_stored_before_it_counts() {
    let number = AtomicUsize::new(0);
    let vault = Vault::with(REFRESHING);
    let (vault_then, seen) = (Arc::clone(&vault), Arc::new(Mutex::new(Vec::new())));
    let stored = Arc::clone(&seen);
    let server = Server::start(move |request| {
        if is_trade(request) {
            let next = number.fetch_add(1, Ordering::SeqCst) + 1;
            let rest =
                format!(", \"expires_in\": 0, \"refresh_token\": \"made-up-refresh-token-{next}\"");
            token(next, &rest)
        } else {
            // What the vault holds when the access token is used.
            stored.lock().expect("no panic").push(vault_then.value());
            ok("hello")
        }
    })
    .await;
    let (door, _) = door(&server, &vault);
    for turn in 1..4 {
        get(&door, &server, "/v2/a").await.expect("an answer");
        let stored = seen.lock().expect("no panic").pop().expect("a request");
        let line = format!("refresh_token = \"made-up-refresh-token-{turn}\"");
        assert!(stored.contains(&line), "{stored}");
    }
    let requests = server.requests();
    for (turn, trade) in requests
        .iter()
        .filter(|request| is_trade(request))
        .enumerate()
    {
        let body = format!(
            "grant_type=refresh_token&refresh_token=made-up-refresh-token-{turn}&scope=read+write"
        );
        assert!(trade.ends_with(&body), "{trade}");
    }
    assert!(
        vault
            .value()
            .contains("client_secret = \"made-up-client-secret-0123\"")
    );
}

#[tokio::test]
async fn a_rotated_refresh_token_that_cannot_be_stored_is_held_and_nothing_is_sent() {
    let server = server(", \"refresh_token\": \"made-up-refresh-token-1\"", |_| {
        ok("hello")
    })
    .await;
    let vault = Vault::with(REFRESHING);
    vault.is_full.store(true, Ordering::SeqCst);
    let (door, _) = door(&server, &vault);
    for _ in 0..2 {
        let error = get(&door, &server, "/v2/a")
            .await
            .expect_err("nowhere to store it")
            .to_string();
        assert!(
            error.contains("its refresh token was rotated and cannot be stored: no space left"),
            "{error}"
        );
        assert!(!error.contains("made-up"), "{error}");
    }
    // It was traded once: the old one is spent, and the new one is not forgotten.
    assert_eq!((trades(&server), server.requests().len()), (1, 1));
    vault.is_full.store(false, Ordering::SeqCst);
    get(&door, &server, "/v2/a")
        .await
        .expect("there is room again");
    assert!(server.requests()[1].contains("refresh_token=made-up-refresh-token-1&"));
}

#[tokio::test]
async fn doors_take_turns_with_one_refresh_token() {
    // As authorization servers do: each refresh token is good for one trade, and a second use is a theft.
    let (number, is_theft) = (AtomicUsize::new(0), Arc::new(AtomicBool::new(false)));
    let theft = Arc::clone(&is_theft);
    let server = Server::start(move |request| {
        if !is_trade(request) {
            return ok("hello");
        }
        let next = number.fetch_add(1, Ordering::SeqCst);
        if !request.contains(&format!("refresh_token=made-up-refresh-token-{next}&")) {
            theft.store(true, Ordering::SeqCst);
        }
        token(
            next,
            &format!(
                ", \"refresh_token\": \"made-up-refresh-token-{}\"",
                next + 1
            ),
        )
    })
    .await;
    let vault = Vault::with(REFRESHING);
    let doors: Vec<Door> = (0..5).map(|_| door(&server, &vault).0).collect();
    let all = doors.iter().map(|door| get(door, &server, "/v2/a"));
    for answer in futures::future::join_all(all).await {
        answer.expect("an answer");
    }
    assert!(!is_theft.load(Ordering::SeqCst));
    assert_eq!(trades(&server), 5);
}

#[tokio::test]
async fn a_request_that_is_given_up_leaves_the_trade_to_end() {
    let server = Server::start(|request| {
        if is_trade(request) {
            token(1, ", \"refresh_token\": \"made-up-refresh-token-1\"")
        } else {
            ok("hello")
        }
    })
    .await;
    let vault = Vault::with(REFRESHING);
    let (door, _) = door(&server, &vault);
    // Given up as soon as the token was asked for.
    let mut asked = Box::pin(get(&door, &server, "/v2/a"));
    while server.requests().is_empty() {
        let _ = futures::poll!(&mut asked);
        tokio::task::yield_now().await;
    }
    drop(asked);
    while !vault.value().contains("made-up-refresh-token-1") {
        tokio::task::yield_now().await;
    }
    get(&door, &server, "/v2/a").await.expect("an answer");
    assert_eq!(trades(&server), 1);
}

#[tokio::test]
async fn a_token_is_scrubbed_like_a_secret() {
    let server = server("", |request| {
        let what = request
            .split("/v2/")
            .nth(1)
            .and_then(|rest| rest.split(' ').next());
        ok(match what {
            Some("access") => "you sent made-up-access-token-1, did you not",
            Some("base64") => "bWFkZS11cC1hY2Nlc3MtdG9rZW4tMQ",
            Some("client") => "made-up-client-secret-0123",
            _ => "hello",
        })
    })
    .await;
    let (door, watch) = door(&server, &Vault::with(CLIENT));
    for path in ["/v2/access", "/v2/base64", "/v2/client"] {
        let error = get(&door, &server, path).await.expect_err(path);
        assert!(matches!(error, HttpError::Denied(_)), "{path}: {error}");
    }
    get(&door, &server, "/v2/none").await.expect("an answer");
    assert_eq!(watch.refusals().len(), 3);
}

#[tokio::test]
async fn what_the_authorization_server_says_is_told() {
    for (reply, expected) in [
        (
            json("400 Bad Request", "{\"error\": \"invalid_grant\"}") as Reply,
            "gives no token for it: `invalid_grant`",
        ),
        (
            json("401 Unauthorized", "{\"error\": \"invalid_client\"}"),
            "set the secret anew: its client id",
        ),
        (
            json("503 Service Unavailable", "hunter2"),
            "it gives no token, but status 503",
        ),
        (
            json("302 Found", "hunter2"),
            "it gives no token, but status 302",
        ),
        (json("200 OK", "hunter2"), "its answer is not a JSON object"),
        (Reply::Hang(Vec::new()), "did not answer within 500ms"),
        (
            Reply::Endless(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'a'; 1 << 12]),
            "is larger than 65536 bytes",
        ),
    ] {
        let reply = Mutex::new(Some(reply));
        let server =
            Server::start(move |_| reply.lock().expect("no panic").take().unwrap_or(ok(""))).await;
        let (door, _) = door(&server, &Vault::with(CLIENT));
        let error = get(&door, &server, "/v2/a")
            .await
            .expect_err(expected)
            .to_string();
        assert!(
            error.contains(expected) && !error.contains("hunter2"),
            "{error}"
        );
        assert_eq!(
            server.requests().len(),
            1,
            "nothing goes to the API without a token"
        );
    }
}

#[tokio::test]
async fn the_token_endpoint_is_dialled_by_the_same_rules() {
    let server = server("", |_| ok("hello")).await;
    let port = server.port();
    let (door, _) = Ground {
        auth: Some("oauth2"),
        vault: Some(Vault::with(CLIENT)),
        terms: format!("token_url = \"http://login.acme.example:{port}/token\"\n"),
        ..Ground::default()
    }
    .door(&server);
    let error = get(&door, &server, "/v2/a")
        .await
        .expect_err("its network is not granted")
        .to_string();
    assert!(error.contains("its host leads to `127.0.0.1`"), "{error}");
    assert!(
        error.contains("in its `[[secret]]` for `login.acme.example`"),
        "{error}"
    );
    // And the plugin cannot reach it at all.
    let uri = format!("http://login.acme.example:{port}/token");
    let error = send(&door, request("POST", &uri, &[], ""))
        .await
        .expect_err("not granted");
    assert!(matches!(error, HttpError::Denied(_)), "{error}");
    assert_eq!(server.connections(), 0);
}
