//! `hmac-sha256:NAME`: what is sent is signed, and a server that repeats the request reveals a signature, not the key.
//!
//! The string that is signed is these lines, joined by a line feed, without one at the end:
//!
//! ```text
//! METHOD
//! HOST            as in the `host` header, with the port where that has it
//! PATH            as it is sent, encoded as it is
//! QUERY           as it is sent, without the `?`; empty where there is none
//! TIME            seconds since 1970, in decimal digits
//! SHA256(BODY)    in small hexadecimal digits
//! ```
//!
//! The header's value is `t=TIME,v1=SIGNATURE`: HMAC-SHA-256 (RFC 2104) of that string in small hexadecimal digits.
//! `docs/manifest.md` says the same.

use crate::hex;
use crate::outgoing::Head;
use http::header::HeaderValue;
use http::{HeaderName, Method};
use ring::hmac;
use sluice_model::secret::Secret;

/// Signs a head. `body`: the hash of the body in hexadecimal digits; `time`: seconds since 1970.
pub(crate) fn sign(
    head: &mut Head,
    header: HeaderName,
    host: &str,
    body: &str,
    secret: &Secret,
    time: i64,
) {
    let signed = signature(
        &head.method,
        host,
        &head.path,
        &head.query,
        body,
        secret,
        time,
    );
    let value = HeaderValue::try_from(format!("t={time},v1={signed}"));
    head.headers
        .insert(header, value.expect("digits and letters"));
}

fn signature(
    method: &Method,
    host: &str,
    path: &str,
    query: &str,
    body: &str,
    secret: &Secret,
    time: i64,
) -> String {
    let text = format!("{method}\n{host}\n{path}\n{query}\n{time}\n{body}");
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose());
    hex::lower(hmac::sign(&key, text.as_bytes()).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected value is openssl's: `printf 'POST\napi.acme.example\n/v2/a%20b\npage=2\n1700000000\nSHA' |
    /// openssl dgst -sha256 -hmac made-up-signing-key`, SHA being `printf hello | sha256sum`.
    #[test]
    fn a_signature_is_what_openssl_makes_of_the_same_string() {
        let body = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        let secret = Secret::new(b"made-up-signing-key".to_vec());
        let sign = |method, host, path, query, body, time| {
            signature(&method, host, path, query, body, &secret, time)
        };
        let base = sign(
            Method::POST,
            "api.acme.example",
            "/v2/a%20b",
            "page=2",
            body,
            1_700_000_000,
        );
        assert_eq!(
            base,
            "2b585c0997b9f50b33ba07af5afd417675611ef1396e3245460a768aba71b7a4"
        );
        // Each part counts.
        for other in [
            sign(
                Method::PUT,
                "api.acme.example",
                "/v2/a%20b",
                "page=2",
                body,
                1_700_000_000,
            ),
            sign(
                Method::POST,
                "evil.test",
                "/v2/a%20b",
                "page=2",
                body,
                1_700_000_000,
            ),
            sign(
                Method::POST,
                "api.acme.example",
                "/v2/a",
                "page=2",
                body,
                1_700_000_000,
            ),
            sign(
                Method::POST,
                "api.acme.example",
                "/v2/a%20b",
                "page=3",
                body,
                1_700_000_000,
            ),
            sign(
                Method::POST,
                "api.acme.example",
                "/v2/a%20b",
                "page=2",
                "",
                1_700_000_000,
            ),
            sign(
                Method::POST,
                "api.acme.example",
                "/v2/a%20b",
                "page=2",
                body,
                1_700_000_001,
            ),
        ] {
            assert_ne!(base, other);
        }
    }
}
