//! Who is at either end of a connection: an authority of the grant's own, and a certificate of the host's.

use crate::ground::{Ground, Vault, request, send};
use crate::server::{Server, ok};
use base64::Engine as _;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::WebPkiClientVerifier;
use sluice_model::ports::HttpError;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

fn pem(what: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN {what}-----\n{text}\n-----END {what}-----\n")
}

/// An authority of one's own.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        Self {
            issuer: Issuer::new(params, key),
            certificate,
        }
    }

    pub fn pem(&self) -> String {
        pem("CERTIFICATE", self.certificate.der())
    }

    /// A certificate for this name, and its key.
    fn issue(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        (
            params.signed_by(&key, &self.issuer).expect("a certificate"),
            key,
        )
    }

    /// A certificate for this name and its key, as PEM: the value of an `mtls` secret.
    pub fn pair(&self, name: &str) -> String {
        let (certificate, key) = self.issue(name);
        pem("CERTIFICATE", certificate.der()) + &pem("PRIVATE KEY", &key.serialize_der())
    }

    /// A server of this authority, which lets in whom `clients` vouches for.
    async fn server(&self, clients: Option<&Authority>) -> Server {
        let (certificate, key) = self.issue("api.acme.example");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("versions");
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                roots
                    .add(clients.certificate.der().clone())
                    .expect("a root");
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
            }
        };
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let config = builder
            .with_single_cert(vec![certificate.der().clone()], key.into())
            .expect("a key that fits");
        Server::start_tls(TlsAcceptor::from(Arc::new(config)), |_| ok("hello")).await
    }
}

async fn get(ground: Ground, server: &Server) -> Result<String, HttpError> {
    let (door, _) = Ground {
        scheme: "https",
        ..ground
    }
    .door(server);
    let uri = format!("https://api.acme.example:{}/v2/a", server.port());
    send(&door, request("GET", &uri, &[], "")).await?;
    send(&door, request("GET", &uri, &[], ""))
        .await
        .map(http::Response::into_body)
}

/// A file that holds this, gone with what is returned.
pub fn file(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, text).expect("a file");
    let line = format!("ca = \"{}\"\n", path.display());
    (folder, line)
}

#[tokio::test]
async fn an_authority_of_the_grant_replaces_the_public_ones() {
    let (ours, other) = (Authority::new("servers"), Authority::new("others"));
    let server = ours.server(None).await;
    let (_folder, both) = file(&format!("{}{}", other.pem(), ours.pem()));
    let answer = get(
        Ground {
            both,
            ..Ground::default()
        },
        &server,
    )
    .await;
    assert_eq!(answer.expect("an answer"), "hello");
    assert_eq!(server.connections(), 1);

    // Whoever the door trusts else is not asked: a certificate that they vouch for is a stranger's here.
    let mut roots = RootCertStore::empty();
    roots.add(ours.certificate.der().clone()).expect("a root");
    let settings = sluice_egress::DoorSettings {
        roots: Arc::new(roots),
        ..sluice_egress::DoorSettings::default()
    };
    let (_folder, both) = file(&other.pem());
    let ground = Ground {
        both,
        settings: settings.clone(),
        ..Ground::default()
    };
    let error = get(ground, &server).await.expect_err("pinned to another");
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
    let ground = Ground {
        settings,
        ..Ground::default()
    };
    get(ground, &server)
        .await
        .expect("trusted where nothing is pinned");
}

#[tokio::test]
async fn an_authority_that_cannot_be_read_is_told_and_nothing_is_dialled() {
    let server = Authority::new("servers").server(None).await;
    for both in ["ca = \"/no/such/file.pem\"\n".to_owned(), file("hunter2").1] {
        let error = get(
            Ground {
                both,
                ..Ground::default()
            },
            &server,
        )
        .await
        .expect_err("no authority");
        assert!(
            matches!(&error, HttpError::Denied(refusal) if refusal.reason.starts_with("`ca` file")),
            "{error}"
        );
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_certificate_of_the_hosts_opens_the_door_that_asks_for_it() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("others"));
    let server = servers.server(Some(&clients)).await;
    let ground = |vault: Option<Arc<Vault>>| {
        let (folder, both) = file(&servers.pem());
        let ground = Ground {
            both,
            auth: vault.as_ref().map(|_| "mtls"),
            vault,
            ..Ground::default()
        };
        (folder, ground)
    };
    let vault = Vault::with(&clients.pair("sluice"));
    let (_folder, known) = ground(Some(Arc::clone(&vault)));
    assert_eq!(get(known, &server).await.expect("an answer"), "hello");
    assert!(!server.requests()[0].contains("authorization"));
    // Without one, and with a stranger's, it stays shut.
    let (_folder, bare) = ground(None);
    get(bare, &server).await.expect_err("no certificate");
    let (_folder, stranger) = ground(Some(Vault::with(&servers.pair("sluice"))));
    get(stranger, &server)
        .await
        .expect_err("a stranger's certificate");
    // What is no certificate is told without a byte of it, and nothing is dialled.
    let connections = server.connections();
    let (_folder, broken) = ground(Some(Vault::with("hunter2")));
    let error = get(broken, &server)
        .await
        .expect_err("no certificate")
        .to_string();
    assert!(
        error.contains("is not a certificate and its key") && !error.contains("hunter2"),
        "{error}"
    );
    assert_eq!(
        (server.requests().len(), server.connections()),
        (2, connections)
    );
}

#[tokio::test]
async fn a_certificate_that_rotates_brings_a_connection_of_its_own() {
    let authority = Authority::new("servers");
    let server = authority.server(Some(&authority)).await;
    let (_folder, both) = file(&authority.pem());
    let vault = Vault::with(&authority.pair("first"));
    let (door, _) = Ground {
        scheme: "https",
        both,
        auth: Some("mtls"),
        vault: Some(Arc::clone(&vault)),
        ..Ground::default()
    }
    .door(&server);
    let uri = format!("https://api.acme.example:{}/v2/a", server.port());
    let one = || send(&door, request("GET", &uri, &[], ""));
    one().await.expect("an answer");
    one().await.expect("an answer");
    assert_eq!(server.connections(), 1);
    vault.set(&authority.pair("second"));
    one().await.expect("an answer");
    assert_eq!(server.connections(), 2);
    // What stands in the vault no more is shown no more.
    vault.set("revoked");
    one().await.expect_err("no certificate");
    assert_eq!(server.connections(), 2);
}
