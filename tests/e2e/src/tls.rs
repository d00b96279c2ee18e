//! What a server of the tests' own speaks TLS with: a made-up authority, and a certificate of it.

use rcgen::{CertificateParams, DistinguishedName, Issuer, KeyPair};

/// All of it as PEM.
pub struct Tls {
    /// Whom to trust.
    pub authority: String,
    /// For `localhost`.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl Default for Tls {
    fn default() -> Self {
        Self::new()
    }
}

impl Tls {
    /// Another authority each time.
    pub fn new() -> Self {
        let authority_key = KeyPair::generate().expect("a key");
        let mut authority = CertificateParams::new(Vec::new()).expect("no names");
        authority.distinguished_name = DistinguishedName::new();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let pem = authority
            .self_signed(&authority_key)
            .expect("a certificate")
            .pem();
        let issuer = Issuer::new(authority, authority_key);
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &issuer).expect("a certificate");
        Self {
            authority: pem,
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}
