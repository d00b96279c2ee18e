//! TLS: whom a door trusts, and for which name.

use crate::ground::{Ground, Names, request, send};
use crate::server::{Server, ok};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::RootCertStore;
use rustls::pki_types::PrivatePkcs8KeyDer;
use sluice_egress::DoorSettings;
use sluice_model::ports::{HttpError, HttpTimeouts};
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::TlsAcceptor;

/// A server with a certificate for this name, and those who trust it.
async fn server(name: &str) -> (Server, RootCertStore) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed([name.to_owned()]).expect("a certificate");
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).expect("a root");
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .expect("versions")
    .with_no_client_auth()
    .with_single_cert(vec![cert.der().clone()], key.into())
    .expect("a key that fits");
    (
        Server::start_tls(TlsAcceptor::from(Arc::new(config)), |_| ok("hello")).await,
        roots,
    )
}

async fn get(server: &Server, settings: DoorSettings) -> Result<String, HttpError> {
    let (door, _) = Ground {
        scheme: "https",
        settings,
        ..Ground::default()
    }
    .door(server);
    let uri = format!("https://api.acme.example:{}/v2/a", server.port());
    for _ in 0..2 {
        send(&door, request("GET", &uri, &[], "")).await?;
    }
    send(&door, request("GET", &uri, &[], ""))
        .await
        .map(http::Response::into_body)
}

fn trusting(roots: RootCertStore) -> DoorSettings {
    DoorSettings {
        roots: Arc::new(roots),
        ..DoorSettings::default()
    }
}

#[tokio::test]
async fn a_trusted_server_with_the_right_name_is_spoken_to() {
    let (server, roots) = server("api.acme.example").await;
    assert_eq!(
        get(&server, trusting(roots)).await.expect("an answer"),
        "hello"
    );
    assert_eq!((server.requests().len(), server.connections()), (3, 1));
    assert!(
        server.requests()[0].contains(&format!("host: api.acme.example:{}\r\n", server.port()))
    );
}

#[tokio::test]
async fn another_name_is_refused() {
    let (server, roots) = server("other.acme.example").await;
    let error = get(&server, trusting(roots))
        .await
        .expect_err("another name");
    assert!(matches!(&error, HttpError::Tls { .. }), "{error}");
    assert!(error.to_string().contains("not valid for name"), "{error}");
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_stranger_is_refused() {
    let (server, _) = server("api.acme.example").await;
    let error = get(&server, DoorSettings::default())
        .await
        .expect_err("nobody vouches for it");
    assert!(matches!(&error, HttpError::Tls { .. }), "{error}");
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_server_that_does_not_speak_tls_is_not_spoken_to_in_the_clear() {
    let server = Server::start(|_| ok("hello")).await;
    let timeouts_max = HttpTimeouts {
        connect: Duration::from_millis(50),
        ..DoorSettings::default().timeouts_max
    };
    let settings = DoorSettings {
        timeouts_max,
        ..DoorSettings::default()
    };
    let error = get(&server, settings).await.expect_err("no handshake");
    assert!(
        matches!(error, HttpError::Timeout { .. } | HttpError::Tls { .. }),
        "{error}"
    );
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn an_address_needs_a_certificate_for_it() {
    let (server, roots) = server("127.0.0.1").await;
    let ground = || Ground {
        scheme: "https",
        host: "127.0.0.1",
        names: Names::new(&[]),
        ..Ground::default()
    };
    let uri = format!("https://127.0.0.1:{}/v2/a", server.port());
    let (door, _) = Ground {
        settings: trusting(roots),
        ..ground()
    }
    .door(&server);
    send(&door, request("GET", &uri, &[], ""))
        .await
        .expect("an answer");
}
