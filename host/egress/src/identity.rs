//! How a connection proves who is at either end: whom the door trusts, and what certificate it shows. One rustls
//! configuration for each, with sessions of its own, so that no session that was begun as one is resumed as another.

use crate::keyring::mark;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use sluice_model::guards::Guard;
use sluice_model::secret::Secret;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio_rustls::TlsConnector;

/// A file of certificates. Stops a wrong path (a disk image, a log) from being read as one.
const AUTHORITY_BYTES_MAX: u64 = 1 << 20;

/// Configurations of one door. A certificate that rotates brings a new one each time; of more than this the old ones
/// are forgotten.
const IDENTITIES_MAX: usize = 64;

/// What tells one TLS identity from another: a hash over whom it trusts and what it shows. Connections of different
/// identities are never mixed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Identity([u8; 32]);

/// An identity, and how to speak TLS with it.
#[derive(Clone)]
pub(crate) struct Speaker {
    pub(crate) identity: Identity,
    pub(crate) tls: TlsConnector,
}

/// Why an identity cannot be had. Never says what a file or a secret holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unspeakable {
    #[error("{0}")]
    Authority(String),
    #[error("its value is not a certificate and its key, both as PEM, the certificate first")]
    Certificate,
}

/// The identities of one door.
pub(crate) struct Identities {
    public: Arc<RootCertStore>,
    authorities: Mutex<HashMap<PathBuf, Arc<RootCertStore>>>,
    speakers: Mutex<HashMap<Identity, Speaker>>,
}

impl Identities {
    /// `public`: whom a destination is trusted by that names no authority of its own.
    pub(crate) fn new(public: Arc<RootCertStore>) -> Self {
        Self {
            public,
            authorities: Mutex::default(),
            speakers: Mutex::default(),
        }
    }

    /// Trusting this authority in place of the public ones, showing this certificate.
    pub(crate) async fn speaker(
        &self,
        authority: Option<&Arc<Path>>,
        certificate: Option<&Secret>,
    ) -> Result<Speaker, Unspeakable> {
        let path = authority.map_or(&b""[..], |path| path.as_os_str().as_encoded_bytes());
        let shown = certificate.map_or(&b""[..], Secret::expose);
        let identity = Identity(mark(&[path, shown]));
        if let Some(known) = lock(&self.speakers).get(&identity) {
            return Ok(known.clone());
        }
        let roots = match authority {
            Some(path) if Guard::AuthorityPinned.stands() => self.authority(path).await?,
            _ => Arc::clone(&self.public),
        };
        let speaker = Speaker {
            identity,
            tls: TlsConnector::from(Arc::new(config(roots, certificate)?)),
        };
        let mut speakers = lock(&self.speakers);
        if speakers.len() >= IDENTITIES_MAX {
            speakers.clear();
        }
        speakers.insert(identity, speaker.clone());
        Ok(speaker)
    }

    /// Read once by a door: what a run began with holds to its end.
    async fn authority(&self, path: &Arc<Path>) -> Result<Arc<RootCertStore>, Unspeakable> {
        if let Some(known) = lock(&self.authorities).get(&**path) {
            return Ok(Arc::clone(known));
        }
        let file = Arc::clone(path);
        let read = tokio::task::spawn_blocking(move || read_authority(&file)).await;
        let roots = match read {
            Ok(read) => Arc::new(read.map_err(Unspeakable::Authority)?),
            Err(_) => return Err(Unspeakable::Authority("reading it broke down".to_owned())),
        };
        lock(&self.authorities).insert(path.to_path_buf(), Arc::clone(&roots));
        Ok(roots)
    }
}

/// A panic elsewhere leaves the maps whole: each change is one call.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads a file of certificates, PEM, one or more: those who vouch for a server. Blocking.
pub fn read_authority(file: &Path) -> Result<RootCertStore, String> {
    let told = |reason: &dyn std::fmt::Display| format!("`ca` file `{}`: {reason}", file.display());
    let metadata = std::fs::metadata(file).map_err(|error| told(&error))?;
    if !metadata.is_file() || metadata.len() > Guard::AuthorityBytes.limit(AUTHORITY_BYTES_MAX) {
        return Err(told(&format!(
            "not a file of at most {AUTHORITY_BYTES_MAX} bytes"
        )));
    }
    let text = std::fs::read(file).map_err(|error| told(&error))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|_| told(&"not PEM"))?;
        roots.add(certificate).map_err(|error| told(&error))?;
    }
    if roots.is_empty() {
        return Err(told(&"no certificate in it"));
    }
    Ok(roots)
}

/// TLS as every door speaks it: 1.2 or later, by ring alone, whatever the process has set up elsewhere.
fn config(
    roots: Arc<RootCertStore>,
    certificate: Option<&Secret>,
) -> Result<ClientConfig, Unspeakable> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .expect("ring has cipher suites for both versions")
        .with_root_certificates(roots);
    let mut config = match certificate {
        None => builder.with_no_client_auth(),
        Some(secret) => {
            let chain: Result<Vec<_>, _> =
                CertificateDer::pem_slice_iter(secret.expose()).collect();
            let chain = chain.map_err(|_| Unspeakable::Certificate)?;
            let key = PrivateKeyDer::from_pem_slice(secret.expose())
                .map_err(|_| Unspeakable::Certificate)?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|_| Unspeakable::Certificate)?
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certified() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["api.acme.example".to_owned()])
            .expect("a certificate");
        let pem = |what: &str, der: &[u8]| {
            use base64::Engine as _;
            let text = base64::engine::general_purpose::STANDARD.encode(der);
            format!("-----BEGIN {what}-----\n{text}\n-----END {what}-----\n")
        };
        (
            pem("CERTIFICATE", made.cert.der()),
            pem("PRIVATE KEY", &made.signing_key.serialize_der()),
        )
    }

    #[tokio::test]
    async fn each_identity_has_its_own_sessions() {
        let identities = Identities::new(Arc::new(RootCertStore::empty()));
        let folder = tempfile::tempdir().expect("a folder");
        let file: Arc<Path> = folder.path().join("ca.pem").into();
        let (certificate, key) = certified();
        std::fs::write(&file, &certificate).expect("a file");
        let secret = Secret::new(format!("{certificate}{key}").into_bytes());
        let of = async |ca, shown| {
            identities
                .speaker(ca, shown)
                .await
                .map(|speaker| speaker.identity)
        };
        let plain = of(None, None).await.expect("public");
        let pinned = of(Some(&file), None).await.expect("a file");
        let shown = of(None, Some(&secret)).await.expect("a certificate");
        let both = of(Some(&file), Some(&secret)).await.expect("both");
        assert!(plain != pinned && pinned != shown && shown != both && both != plain);
        assert_eq!(of(Some(&file), Some(&secret)).await, Ok(both));
        assert_eq!(lock(&identities.speakers).len(), 4);
    }

    #[test]
    fn what_is_no_identity_is_told_without_a_byte_of_it() {
        let (certificate, key) = certified();
        for text in [
            "hunter2",
            &certificate,
            &key,
            &format!("{certificate}-----BEGIN PRIVATE KEY-----\nhunter2"),
        ] {
            let secret = Secret::new(text.as_bytes().to_vec());
            let error =
                config(Arc::new(RootCertStore::empty()), Some(&secret)).expect_err("no identity");
            assert_eq!(error, Unspeakable::Certificate);
        }
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("ca.pem");
        assert!(read_authority(&file).is_err_and(|error| error.contains("ca.pem")));
        for text in [
            "hunter2",
            &key,
            "-----BEGIN CERTIFICATE-----\naHVudGVyMg==\n-----END CERTIFICATE-----\n",
        ] {
            std::fs::write(&file, text).expect("a file");
            let error = read_authority(&file).expect_err("no authority");
            assert!(
                error.contains("ca.pem") && !error.contains("hunter2"),
                "{error}"
            );
        }
    }
}
