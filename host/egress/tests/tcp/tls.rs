//! TLS by the host: from the first byte and from an upgrade on; whom it trusts, and for which name.

use crate::ground::{Ground, PATIENT, file, plain, read, tls, told};
use crate::server::{Authority, Server};
use ring::digest::{SHA256, digest};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use sluice_egress::{NetDoor, TcpSettings};
use sluice_model::ports::TcpConnection;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

/// Speaks TLS at once, and sends back what it is sent.
async fn secure(acceptor: TlsAcceptor) -> Server {
    Server::start(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                let (mut from, mut to) = tokio::io::split(stream);
                let _ = tokio::io::copy(&mut from, &mut to).await;
                let _ = to.shutdown().await;
            }
        }
    })
    .await
}

/// Answers `S` to one byte in the clear and then speaks TLS, as PostgreSQL does.
async fn upgrading(acceptor: TlsAcceptor) -> Server {
    Server::start(move |mut stream: TcpStream| {
        let acceptor = acceptor.clone();
        async move {
            let mut asked = [0; 1];
            if stream.read_exact(&mut asked).await.is_err() || stream.write_all(b"S").await.is_err()
            {
                return;
            }
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let _ = stream.write_all(b"secret").await;
                let _ = stream.read_exact(&mut asked).await;
            }
        }
    })
    .await
}

/// A door whose grant names this authority.
fn trusting(authority: &Authority, port: u16) -> (NetDoor, tempfile::TempDir) {
    let (folder, path) = file("ca.pem", &authority.pem);
    let terms = format!("ca = \"{}\"\n", path.display());
    (
        Ground {
            terms,
            ..Ground::default()
        }
        .door(port)
        .0,
        folder,
    )
}

async fn answers(connection: &mut dyn TcpConnection) {
    connection.write(b"hello").await.expect("written");
    assert_eq!(read(connection, 5).await, b"hello");
}

#[tokio::test]
async fn a_server_is_trusted_by_the_grants_authority_and_bound_by_its_certificate() {
    let authority = Authority::new();
    let (acceptor, certificate) = authority.acceptor("db.acme.example");
    let server = secure(acceptor).await;
    let (door, _folder) = trusting(&authority, server.port);
    let mut connection = tls(&door, "db.acme.example", server.port)
        .await
        .expect("tls");
    answers(&mut *connection).await;
    let expected = digest(&SHA256, &certificate).as_ref().to_vec();
    assert_eq!(connection.server_end_point(), Some(expected));
    let mut second = tls(&door, "db.acme.example", server.port)
        .await
        .expect("tls again");
    answers(&mut *second).await;
}

#[tokio::test]
async fn a_stranger_and_another_name_are_refused() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    for (signed_by, name, expected) in [
        (&stranger, "db.acme.example", "UnknownIssuer"),
        (&authority, "other.acme.example", "not valid for name"),
    ] {
        let server = secure(signed_by.acceptor(name).0).await;
        let (door, _folder) = trusting(&authority, server.port);
        let (kind, text) = told(tls(&door, "db.acme.example", server.port).await);
        assert_eq!(kind, "tls", "{text}");
        assert!(text.contains(expected), "{text}");
    }
}

#[tokio::test]
async fn the_grants_authority_replaces_the_others() {
    let (public, private) = (Authority::new(), Authority::new());
    let mut roots = RootCertStore::empty();
    let der = CertificateDer::from_pem_slice(public.pem.as_bytes()).expect("a certificate");
    roots.add(der).expect("a root");
    let settings = TcpSettings {
        roots: Arc::new(roots),
        ..TcpSettings::default()
    };
    let server = secure(public.acceptor("db.acme.example").0).await;
    let (door, _) = Ground {
        settings: settings.clone(),
        ..Ground::default()
    }
    .door(server.port);
    let mut connection = tls(&door, "db.acme.example", server.port)
        .await
        .expect("a public one");
    answers(&mut *connection).await;
    let (_folder, path) = file("ca.pem", &private.pem);
    let terms = format!("ca = \"{}\"\n", path.display());
    let (door, _) = Ground {
        terms,
        settings,
        ..Ground::default()
    }
    .door(server.port);
    let (kind, text) = told(tls(&door, "db.acme.example", server.port).await);
    assert_eq!(kind, "tls", "{text}");
    assert!(text.contains("UnknownIssuer"), "{text}");
}

#[tokio::test]
async fn an_authority_that_cannot_be_read_is_told_and_nothing_is_spoken() {
    let server = secure(Authority::new().acceptor("db.acme.example").0).await;
    for (content, expected) in [
        ("hunter2", "no certificate in it"),
        ("-----BEGIN CERTIFICATE-----\n!\n", "ca.pem"),
    ] {
        let (_folder, path) = file("ca.pem", content);
        let terms = format!("ca = \"{}\"\n", path.display());
        let (door, _) = Ground {
            terms,
            ..Ground::default()
        }
        .door(server.port);
        let (kind, text) = told(tls(&door, "db.acme.example", server.port).await);
        assert_eq!(kind, "tls", "{text}");
        assert!(
            text.contains(expected) && !text.contains("hunter2"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn an_open_connection_is_upgraded_once() {
    let authority = Authority::new();
    let (acceptor, certificate) = authority.acceptor("db.acme.example");
    let server = upgrading(acceptor).await;
    let (door, _folder) = trusting(&authority, server.port);
    let mut connection = plain(&door, "db.acme.example", server.port)
        .await
        .expect("a connection");
    connection.write(b"?").await.expect("written");
    assert_eq!(read(&mut *connection, 1).await, b"S");
    connection.upgrade("db.acme.example").await.expect("tls");
    let expected = digest(&SHA256, &certificate).as_ref().to_vec();
    assert_eq!(connection.server_end_point(), Some(expected));
    let (kind, text) = told(connection.upgrade("db.acme.example").await);
    assert_eq!(
        (kind, text.as_str()),
        ("invalid", "the connection has tls already")
    );
    assert_eq!(read(&mut *connection, 6).await, b"secret", "it goes on");
    connection.write(b".").await.expect("written");
}

#[tokio::test]
async fn an_upgrade_asks_for_a_granted_name_only() {
    let authority = Authority::new();
    let server = upgrading(authority.acceptor("other.acme.example").0).await;
    let (folder, path) = file("ca.pem", &authority.pem);
    let terms = format!("ca = \"{}\"\n", path.display());
    let (door, watch) = Ground {
        terms,
        ..Ground::default()
    }
    .door(server.port);
    let mut connection = plain(&door, "127.0.0.1", server.port)
        .await
        .expect("a connection");
    connection.write(b"?").await.expect("written");
    assert_eq!(read(&mut *connection, 1).await, b"S");
    for name in ["evil.test", "", "other.acme.example:1"] {
        let (kind, text) = told(connection.upgrade(name).await);
        assert_eq!(kind, "denied", "{text}");
    }
    assert_eq!(watch.refusals().len(), 3);
    connection
        .upgrade("other.acme.example")
        .await
        .expect("a refusal leaves it as it was");
    assert_eq!(read(&mut *connection, 6).await, b"secret");
    drop(folder);
}

#[tokio::test]
async fn a_failed_upgrade_closes_the_connection() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let server = upgrading(stranger.acceptor("db.acme.example").0).await;
    let (door, _folder) = trusting(&authority, server.port);
    let mut connection = plain(&door, "db.acme.example", server.port)
        .await
        .expect("a connection");
    connection.write(b"?").await.expect("written");
    assert_eq!(read(&mut *connection, 1).await, b"S");
    let (kind, text) = told(connection.upgrade("db.acme.example").await);
    assert_eq!(kind, "tls", "{text}");
    // Never again in the clear.
    let closed = (
        "closed",
        format!(
            "the connection to `db.acme.example:{}` is closed: its upgrade to tls failed",
            server.port
        ),
    );
    assert_eq!(told(connection.write(b"password").await), closed);
    assert_eq!(told(connection.read(1, PATIENT).await), closed);
    assert_eq!(told(connection.upgrade("db.acme.example").await), closed);
    assert_eq!(told(connection.shutdown().await), closed);
}

#[tokio::test]
async fn bytes_smuggled_in_before_the_handshake_break_it() {
    let authority = Authority::new();
    let server = Server::start(|mut stream: TcpStream| async move {
        let mut asked = [0; 1];
        let _ = stream.read_exact(&mut asked).await;
        let _ = stream.write_all(b"Sinjected in the clear").await;
        let _ = stream.read(&mut asked).await;
    })
    .await;
    let (door, _folder) = trusting(&authority, server.port);
    let mut connection = plain(&door, "db.acme.example", server.port)
        .await
        .expect("a connection");
    connection.write(b"?").await.expect("written");
    assert_eq!(read(&mut *connection, 1).await, b"S");
    let (kind, text) = told(connection.upgrade("db.acme.example").await);
    assert_eq!(kind, "tls", "{text}");
}

#[tokio::test]
async fn a_silent_handshake_is_given_up() {
    let server = Server::start(|stream| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let settings = TcpSettings {
        connect_time_max: Duration::from_millis(50),
        ..TcpSettings::default()
    };
    let (door, _) = Ground {
        settings,
        ..Ground::default()
    }
    .door(server.port);
    let (kind, text) = told(tls(&door, "db.acme.example", server.port).await);
    assert_eq!(kind, "timeout", "{text}");
    assert!(text.contains("did not finish its tls handshake"), "{text}");
    let mut connection = plain(&door, "db.acme.example", server.port)
        .await
        .expect("a connection");
    assert_eq!(
        told(connection.upgrade("db.acme.example").await).0,
        "timeout"
    );
    assert_eq!(told(connection.write(b"x").await).0, "closed");
}

#[tokio::test]
async fn an_end_without_tls_saying_so_is_no_end() {
    let authority = Authority::new();
    let (acceptor, _) = authority.acceptor("db.acme.example");
    let server = Server::start(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let mut stream = acceptor.accept(stream).await.expect("tls");
            stream.write_all(b"half a").await.expect("written");
            stream.flush().await.expect("written");
            // The TCP connection ends below TLS, as an attacker on the way would end it.
            let (mut tcp, _) = stream.into_inner();
            let _ = tcp.shutdown().await;
        }
    })
    .await;
    let (door, _folder) = trusting(&authority, server.port);
    let mut connection = tls(&door, "db.acme.example", server.port)
        .await
        .expect("tls");
    assert_eq!(read(&mut *connection, 6).await, b"half a");
    let (kind, text) = told(connection.read(1, PATIENT).await);
    assert_eq!(kind, "closed", "{text}");
}
