//! `tls-server-end-point` of RFC 5929: the digest of a server's certificate, by the algorithm that its own signature
//! names. Reads as much of X.509 as that takes, of a certificate that rustls has already verified.

use ring::digest::{self, Algorithm, SHA256, SHA384, SHA512};

const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;

/// Signature algorithms (RFC 8017, RFC 5758) and the digest of each. MD5 and SHA-1 would mean SHA-256 too, but no
/// certificate signed so is accepted. RSASSA-PSS hides its digest in parameters, Ed25519 has none: for those there is
/// no channel binding.
const SIGNATURES: [(&[u8], &Algorithm); 6] = [
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b", &SHA256), // sha256WithRSAEncryption
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c", &SHA384),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d", &SHA512),
    (b"\x2a\x86\x48\xce\x3d\x04\x03\x02", &SHA256), // ecdsa-with-SHA256
    (b"\x2a\x86\x48\xce\x3d\x04\x03\x03", &SHA384),
    (b"\x2a\x86\x48\xce\x3d\x04\x03\x04", &SHA512),
];

/// Of a DER certificate; none where its signature names no digest.
pub(crate) fn of(certificate: &[u8]) -> Option<Vec<u8>> {
    let oid = signature(certificate)?;
    let (_, algorithm) = SIGNATURES.iter().find(|(known, _)| *known == oid)?;
    Some(digest::digest(algorithm, certificate).as_ref().to_vec())
}

/// `Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm SEQUENCE { algorithm OID, … }, … }`
fn signature(certificate: &[u8]) -> Option<&[u8]> {
    let (certificate, _) = element(SEQUENCE, certificate)?;
    let (_, after_tbs) = element(SEQUENCE, certificate)?;
    let (algorithm, _) = element(SEQUENCE, after_tbs)?;
    element(OBJECT_IDENTIFIER, algorithm).map(|(oid, _)| oid)
}

/// What is in the first element, which must have this tag, and what is behind it.
fn element(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    if *found != tag {
        return None;
    }
    if *first < 0x80 {
        return rest.split_at_checked(usize::from(*first));
    }
    let (length, rest) = rest.split_at_checked(usize::from(*first & 0x7f))?;
    if length.is_empty() || length.len() > 4 {
        return None;
    }
    let length = length
        .iter()
        .fold(0, |length, byte| length << 8 | usize::from(*byte));
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, SignatureAlgorithm};

    fn certificate(algorithm: &'static SignatureAlgorithm) -> Vec<u8> {
        let key = KeyPair::generate_for(algorithm).expect("a key");
        let params = CertificateParams::new(["db.acme.example".to_owned()]).expect("names");
        params
            .self_signed(&key)
            .expect("a certificate")
            .der()
            .to_vec()
    }

    #[test]
    fn the_digest_is_the_one_the_signature_names() {
        for (signed, expected) in [
            (&rcgen::PKCS_ECDSA_P256_SHA256, Some(&SHA256)),
            (&rcgen::PKCS_ECDSA_P384_SHA384, Some(&SHA384)),
            (&rcgen::PKCS_ED25519, None),
        ] {
            let der = certificate(signed);
            let expected =
                expected.map(|algorithm| digest::digest(algorithm, &der).as_ref().to_vec());
            assert_eq!(of(&der), expected, "{signed:?}");
        }
    }

    #[test]
    fn what_is_cut_or_changed_is_none_or_another_and_never_a_panic() {
        let der = certificate(&rcgen::PKCS_ECDSA_P256_SHA256);
        for end in 0..der.len() {
            assert_eq!(of(&der[..end]), None, "cut at {end}");
        }
        for at in 0..der.len().min(64) {
            for byte in 0..=255 {
                let mut changed = der.clone();
                changed[at] = byte;
                let _ = of(&changed);
            }
        }
        assert_eq!(of(&[SEQUENCE, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(of(&[SEQUENCE, 0x80]), None);
    }
}
