//! Where requests may go: by what they say, and by what the name leads to.

use crate::ground::{Ground, Names, get, request, send};
use crate::server::{Reply, Server, ok};
use sluice_egress::DoorSettings;
use sluice_model::limits::DNS_ADDRESSES_MAX;
use sluice_model::ports::HttpError;
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn a_permitted_request_arrives_as_it_was_decided() {
    let server = Server::start(|_| ok("hello")).await;
    let (door, watch) = Ground::default().door(&server);
    let port = server.port();
    let uri = format!("http://API.acme.example.:{port}/v2/contacts?page=2");
    let answer = send(
        &door,
        request("POST", &uri, &[("accept", "text/plain")], "a body"),
    )
    .await
    .expect("an answer");
    assert_eq!(
        (answer.status().as_u16(), answer.body().as_str()),
        (200, "hello")
    );
    let requests = server.requests();
    let (head, body) = requests[0].split_once("\r\n\r\n").expect("a head");
    let mut lines: Vec<&str> = head.lines().collect();
    lines[1..].sort_unstable();
    let host = format!("host: api.acme.example:{port}");
    let expected = [
        "POST /v2/contacts?page=2 HTTP/1.1",
        "accept-encoding: identity",
        "accept: text/plain",
        "content-length: 6",
        &host,
        "user-agent: sluice/0.1.0",
    ];
    assert_eq!((lines.as_slice(), body), (expected.as_slice(), "a body"));
    assert!(watch.refusals().is_empty());
}

#[tokio::test]
async fn nothing_is_dialled_for_what_is_not_granted() {
    let server = Server::start(|_| ok("")).await;
    let (door, watch) = Ground::default().door(&server);
    let port = server.port();
    let refused = [
        ("GET", format!("http://evil.test:{port}/v2/a")),
        ("GET", format!("http://127.0.0.1:{port}/v2/a")),
        ("GET", format!("http://[::ffff:127.0.0.1]:{port}/v2/a")),
        ("GET", "http://api.acme.example/v2/a".to_owned()),
        ("GET", format!("https://api.acme.example:{port}/v2/a")),
        ("DELETE", format!("http://api.acme.example:{port}/v2/a")),
        ("get", format!("http://api.acme.example:{port}/v2/a")),
        ("GET", format!("http://api.acme.example:{port}/v1/a")),
        ("GET", format!("http://api.acme.example:{port}/v2/../v1/a")),
        (
            "GET",
            format!("http://api.acme.example:{port}/v2/%2e%2e/v1/a"),
        ),
        ("GET", format!("http://user@api.acme.example:{port}/v2/a")),
        (
            "GET",
            format!("http://api.acme.example@127.0.0.1:{port}/v2/a"),
        ),
        ("GET", format!("http://127.1:{port}/v2/a")),
    ];
    for (at, (method, uri)) in refused.iter().enumerate() {
        let error = send(&door, request(method, uri, &[], ""))
            .await
            .expect_err(uri);
        assert!(matches!(error, HttpError::Denied(_)), "{uri}: {error}");
        assert_eq!(watch.refusals().len(), at + 1, "{uri}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn headers_that_frame_a_request_are_refused() {
    let server = Server::start(|_| ok("")).await;
    let (door, watch) = Ground::default().door(&server);
    let uri = format!("http://api.acme.example:{}/v2/a", server.port());
    let owned = [
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
        "proxy-authenticate",
        "proxy-whatever-comes",
    ];
    for name in owned {
        let error = send(&door, request("GET", &uri, &[(name, "1")], ""))
            .await
            .expect_err(name);
        assert!(matches!(error, HttpError::Denied(_)), "{name}: {error}");
    }
    assert_eq!(
        (server.connections(), watch.refusals().len()),
        (0, owned.len())
    );
}

#[tokio::test]
async fn every_address_of_a_name_is_checked() {
    for (addresses, networks, reached) in [
        (&["127.0.0.1"][..], "\"127.0.0.1/32\"", true),
        (&["127.0.0.1"], "", false),
        (&["127.0.0.1"], "\"127.0.0.2/32\"", false),
        (&["127.0.0.1", "10.0.0.1"], "\"127.0.0.1/32\"", false),
        (&["10.0.0.1", "127.0.0.1"], "\"127.0.0.1/32\"", false),
        (&["::ffff:127.0.0.1"], "", false),
        (&["::ffff:127.0.0.1"], "\"127.0.0.1/32\"", true),
        (&["127.0.0.1", "::1"], "\"127.0.0.1/32\"", false),
        (
            &["127.0.0.1", "64:ff9b::a9fe:a9fe"],
            "\"127.0.0.1/32\"",
            false,
        ),
    ] {
        let server = Server::start(|_| ok("")).await;
        let ground = Ground {
            names: Names::new(&[addresses]),
            networks,
            ..Ground::default()
        };
        let (door, watch) = ground.door(&server);
        let answer = get(&door, &server, "/v2/a").await;
        assert_eq!(
            answer.is_ok(),
            reached,
            "{addresses:?} {networks}: {answer:?}"
        );
        assert_eq!(
            (server.connections(), watch.refusals().len()),
            (usize::from(reached), usize::from(!reached))
        );
    }
}

#[tokio::test]
async fn an_address_is_dialled_only_where_both_files_name_it() {
    let server = Server::start(|_| ok("")).await;
    let ground = || Ground {
        host: "127.0.0.1",
        names: Names::new(&[]),
        ..Ground::default()
    };
    let uri = format!("http://127.0.0.1:{}/v2/a", server.port());
    let (door, _) = ground().door(&server);
    send(&door, request("GET", &uri, &[], ""))
        .await
        .expect("granted by address and network");
    let (door, _) = Ground {
        networks: "",
        ..ground()
    }
    .door(&server);
    let error = send(&door, request("GET", &uri, &[], ""))
        .await
        .expect_err("its network is not granted");
    assert!(matches!(error, HttpError::Denied(_)), "{error}");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_name_that_changes_is_looked_up_once_a_connection() {
    let server =
        Server::start(|_| Reply::Close(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec()))
            .await;
    // Were a second look-up dialled, nobody would listen there.
    let names = Names::new(&[&["127.0.0.1"], &["127.0.0.9"], &["169.254.169.254"]]);
    let networks = "\"127.0.0.0/8\"";
    let (door, watch) = Ground {
        names: Arc::clone(&names),
        networks,
        ..Ground::default()
    }
    .door(&server);
    get(&door, &server, "/v2/a")
        .await
        .expect("the first answer is the one dialled");
    assert_eq!(names.asked(), 1);
    let error = get(&door, &server, "/v2/a")
        .await
        .expect_err("nobody listens there");
    assert!(matches!(error, HttpError::Connect { .. }), "{error}");
    let error = get(&door, &server, "/v2/a")
        .await
        .expect_err("rebound to a metadata service");
    assert!(matches!(error, HttpError::Denied(_)), "{error}");
    assert_eq!((server.connections(), watch.refusals().len()), (1, 1));
}

#[tokio::test]
async fn the_next_address_is_tried_where_one_is_silent() {
    let server = Server::start(|_| ok("")).await;
    let ground = Ground {
        names: Names::new(&[&["127.0.0.9", "127.0.0.1"]]),
        networks: "\"127.0.0.0/8\"",
        ..Ground::default()
    };
    let (door, _) = ground.door(&server);
    get(&door, &server, "/v2/a")
        .await
        .expect("the second address listens");
}

#[tokio::test]
async fn names_are_bounded_in_time_and_number() {
    struct Silent;
    #[async_trait::async_trait]
    impl sluice_egress::Resolver for Silent {
        async fn resolve(&self, _: &str) -> Result<Vec<std::net::IpAddr>, String> {
            std::future::pending().await
        }
    }
    let server = Server::start(|_| ok("")).await;
    let many: Vec<String> = (0..=DNS_ADDRESSES_MAX)
        .map(|last| format!("127.0.0.{last}"))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (names, expected) in [
        (Names::new(&[]), "no such name"),
        (Names::new(&[&[]]), "it has no address"),
        (Names::new(&[&many]), "it has more than 32 addresses"),
    ] {
        let (door, _) = Ground {
            names,
            networks: "\"127.0.0.0/8\"",
            ..Ground::default()
        }
        .door(&server);
        let error = get(&door, &server, "/v2/a")
            .await
            .expect_err("no addresses")
            .to_string();
        assert_eq!(
            error,
            format!("cannot resolve `api.acme.example`: {expected}")
        );
    }
    let settings = DoorSettings {
        dns_time_max: Duration::from_millis(10),
        ..DoorSettings::default()
    };
    let (door, _) = Ground {
        settings,
        ..Ground::default()
    }
    .door_with(&server, Arc::new(Silent));
    let error = get(&door, &server, "/v2/a")
        .await
        .expect_err("a silent resolver")
        .to_string();
    assert_eq!(
        error,
        "cannot resolve `api.acme.example`: no answer within 10ms"
    );
    assert_eq!(server.connections(), 0);
}
