//! Where connections may lead: by what they say, and by what the name leads to.

use crate::ground::{Ground, plain, read, told};
use crate::server::{Server, echo};
use sluice_egress::TcpSettings;
use std::time::Duration;

#[tokio::test]
async fn a_permitted_connection_carries_bytes_both_ways_and_is_told() {
    let server = Server::start(echo).await;
    let (door, watch) = Ground::default().door(server.port);
    let mut connection = plain(&door, "DB.acme.example.", server.port)
        .await
        .expect("a connection");
    connection.write(b"hello").await.expect("written");
    assert_eq!(read(&mut *connection, 5).await, b"hello");
    assert_eq!(connection.server_end_point(), None);
    drop(connection);
    let name = format!("db.acme.example:{}", server.port);
    assert_eq!(watch.used(&name), (1, 5, 5));
    assert!(watch.refusals().is_empty());
}

#[tokio::test]
async fn nothing_is_dialled_for_what_is_not_granted() {
    let server = Server::start(echo).await;
    let port = server.port;
    let (door, watch) = Ground {
        asks: vec!["*.acme.example", "asked.other.example"],
        allows: vec!["db.acme.example", "*.other.example"],
        ..Ground::default()
    }
    .door(port);
    let refused = [
        ("evil.test", port),
        ("db.acme.example", 22),
        ("asked.acme.example", port),
        ("granted.other.example", port),
        ("127.0.0.1", port),
        ("::ffff:127.0.0.1", port),
        ("localhost", port),
        ("127.1", port),
        ("2130706433", port),
        ("db.acme.example.evil.test", port),
        ("db.acme.example:1", port),
        ("u@db.acme.example", port),
        ("", port),
    ];
    for (at, (host, port)) in refused.iter().enumerate() {
        let (kind, text) = told(plain(&door, host, *port).await);
        assert_eq!(kind, "denied", "{host}:{port}: {text}");
        assert_eq!(watch.refusals().len(), at + 1, "{host}");
        assert_eq!(watch.refusals()[at].capability, "tcp");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn nothing_is_dialled_that_the_policy_does_not_leave() {
    let server = Server::start(echo).await;
    let port = server.port;
    for (policy, host, text) in [
        (
            "[http]\ndeny = [\"db.acme.example\"]",
            "db.acme.example",
            "policy.toml:2",
        ),
        (
            "[http]\nplain = false",
            "db.acme.example",
            "begins in the clear",
        ),
        // The grant opens that address and the policy opens another one of its network.
        (
            "[http]\nnetworks = [\"127.0.0.8/29\"]",
            "db.acme.example",
            "which is loopback",
        ),
    ] {
        let (door, watch) = Ground {
            networks: "\"127.0.0.0/28\"",
            policy,
            ..Ground::default()
        }
        .door(port);
        let (kind, told) = told(plain(&door, host, port).await);
        assert_eq!(kind, "denied", "{policy}: {told}");
        assert!(told.contains(text), "{policy}: {told}");
        assert_eq!(watch.refusals().len(), 1, "{policy}");
    }
    assert_eq!(server.connections(), 0);
    let (door, _) = Ground {
        policy: "[http]\ndeny = [\"db.acme.example\"]\nnetworks = [\"127.0.0.1/32\"]",
        ..Ground::default()
    }
    .door(port);
    assert!(plain(&door, "other.acme.example", port).await.is_ok());
}

const LOCAL: &str = "\"127.0.0.1/32\"";

#[tokio::test]
async fn every_address_of_a_name_is_checked() {
    let server = Server::start(echo).await;
    let check = async |host: &str, networks: &'static str, expected: Result<(), (&str, &str)>| {
        let before = server.connections();
        let (door, watch) = Ground {
            networks,
            ..Ground::default()
        }
        .door(server.port);
        match (plain(&door, host, server.port).await, expected) {
            (Ok(_), Ok(())) => {}
            (outcome, Err((kind, text))) => {
                let (told_kind, told_text) = told(outcome);
                assert_eq!(told_kind, kind, "{host}: {told_text}");
                assert!(told_text.contains(text), "{host}: {told_text}");
                assert_eq!(
                    watch.refusals().len(),
                    usize::from(kind == "denied"),
                    "{host}"
                );
                assert_eq!(server.connections(), before, "{host} was not dialled");
            }
            (Err(error), Ok(())) => panic!("{host}: {error}"),
        }
    };
    check("db.acme.example", LOCAL, Ok(())).await;
    check("127.0.0.1", LOCAL, Ok(())).await;
    let loopback = "its host leads to `127.0.0.1`, which is loopback; hint: add to the grant of `acme/db` for pipeline \
        `crm`, in its `[[tcp]]` for `db.acme.example`, where that network is meant: networks = [\"127.0.0.1/32\"]";
    check("db.acme.example", "", Err(("denied", loopback))).await;
    check("127.0.0.1", "", Err(("denied", "which is loopback"))).await;
    check(
        "db.acme.example",
        "\"127.0.0.2/32\"",
        Err(("denied", "loopback")),
    )
    .await;
    check(
        "private.acme.example",
        LOCAL,
        Err(("denied", "`10.0.0.7`, which is private")),
    )
    .await;
    check(
        "metadata.acme.example",
        LOCAL,
        Err(("denied", "link-local")),
    )
    .await;
    check(
        "mapped.acme.example",
        LOCAL,
        Err(("denied", "`127.0.0.2`, which is loopback")),
    )
    .await;
    check("mixed.acme.example", LOCAL, Err(("denied", "private"))).await;
    check(
        "many.acme.example",
        LOCAL,
        Err(("unreachable", "more than 32 addresses")),
    )
    .await;
    check(
        "none.acme.example",
        LOCAL,
        Err(("unreachable", "no address")),
    )
    .await;
    check(
        "nowhere.acme.example",
        LOCAL,
        Err(("unreachable", "no such name")),
    )
    .await;
}

#[tokio::test]
async fn the_next_address_is_tried_where_nobody_listens() {
    let server = Server::start(echo).await;
    let (door, _) = Ground {
        networks: "\"127.0.0.0/8\"",
        ..Ground::default()
    }
    .door(server.port);
    let mut connection = plain(&door, "second.acme.example", server.port)
        .await
        .expect("the second address");
    connection.write(b"x").await.expect("written");
    assert_eq!(read(&mut *connection, 1).await, b"x");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_resolver_that_is_silent_and_a_port_without_a_server_are_told() {
    let settings = TcpSettings {
        dns_time_max: Duration::from_millis(10),
        ..TcpSettings::default()
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    let (door, _) = Ground {
        settings,
        ..Ground::default()
    }
    .door(port);
    let (kind, text) = told(plain(&door, "silent.acme.example", port).await);
    assert_eq!(kind, "unreachable");
    assert!(text.contains("no answer within 10ms"), "{text}");
    let (kind, text) = told(plain(&door, "db.acme.example", port).await);
    assert_eq!(kind, "unreachable");
    assert!(
        text.starts_with(&format!("cannot reach `db.acme.example:{port}`: ")),
        "{text}"
    );
}
