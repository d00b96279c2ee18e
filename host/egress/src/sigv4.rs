//! AWS Signature Version 4: the request is signed, and the key stays here.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use crate::document::AwsKeys;
use crate::hex;
use crate::outgoing::Head;
use chrono::{DateTime, Utc};
use http::HeaderMap;
use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, HeaderName, HeaderValue, USER_AGENT,
};
use ring::digest::{SHA256, digest};
use ring::hmac;
use sluice_policy::headers::{AMZ_CONTENT_SHA256, AMZ_DATE, AMZ_SECURITY_TOKEN};
use std::fmt::Write as _;

/// What a body is called that is sent as it comes: S3 alone takes it, over TLS.
pub(crate) const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Which service, where, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) service: &'a str,
    pub(crate) region: &'a str,
    pub(crate) now: DateTime<Utc>,
}

impl Scope<'_> {
    fn date(&self) -> String {
        self.now.format("%Y%m%d").to_string()
    }

    fn time(&self) -> String {
        self.now.format("%Y%m%dT%H%M%SZ").to_string()
    }

    fn text(&self) -> String {
        format!(
            "{}/{}/{}/aws4_request",
            self.date(),
            self.region,
            self.service
        )
    }

    /// S3 encodes a path once, and wants the body's hash in a header; every other service encodes it twice.
    fn is_s3(&self) -> bool {
        self.service.starts_with("s3")
    }
}

/// A value that cannot stand in a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unusable;

/// Signs a head. `body`: the hash of the body in hexadecimal digits, or [`UNSIGNED`].
pub(crate) fn sign(
    head: &mut Head,
    body: &str,
    keys: &AwsKeys,
    scope: Scope<'_>,
) -> Result<(), Unusable> {
    let mut set = |name: HeaderName, value: &str, is_secret: bool| {
        let mut value = HeaderValue::try_from(value).map_err(|_| Unusable)?;
        value.set_sensitive(is_secret);
        head.headers.insert(name, value);
        Ok(())
    };
    set(AMZ_DATE, &scope.time(), false)?;
    if scope.is_s3() {
        set(AMZ_CONTENT_SHA256, body, false)?;
    }
    if let Some(token) = &keys.session_token {
        set(AMZ_SECURITY_TOKEN, token, true)?;
    }
    // Sent as it is signed, so that nobody can read it in two ways.
    head.query = canonical_query(&head.query);
    let (canonical, signed) = canonical_request(head, body, scope)?;
    let to_sign = string_to_sign(&canonical, scope);
    let signature = hex::lower(hmac::sign(&key(&keys.secret, scope), to_sign.as_bytes()).as_ref());
    let value = format!(
        "{ALGORITHM} Credential={}/{}, SignedHeaders={signed}, Signature={signature}",
        keys.id,
        scope.text()
    );
    let mut value = HeaderValue::try_from(value).map_err(|_| Unusable)?;
    value.set_sensitive(true);
    head.headers.insert(AUTHORIZATION, value);
    Ok(())
}

/// The request as both sides write it, and the names of the headers that are in it.
fn canonical_request(
    head: &Head,
    body: &str,
    scope: Scope<'_>,
) -> Result<(String, String), Unusable> {
    let (lines, signed) = canonical_headers(&head.headers)?;
    let path = if scope.is_s3() {
        encode(&decode(&head.path), true)
    } else {
        encode(head.path.as_bytes(), true)
    };
    let Head { method, query, .. } = head;
    let canonical = format!("{method}\n{path}\n{query}\n{lines}\n{signed}\n{body}");
    Ok((canonical, signed))
}

fn canonical_headers(headers: &HeaderMap) -> Result<(String, String), Unusable> {
    // What stands between may change these, and the body's framing is not known yet.
    const UNSIGNED_HEADERS: [HeaderName; 4] =
        [AUTHORIZATION, USER_AGENT, ACCEPT_ENCODING, CONTENT_LENGTH];
    let mut names: Vec<&str> = headers
        .keys()
        .filter(|name| !UNSIGNED_HEADERS.contains(name))
        .map(HeaderName::as_str)
        .collect();
    names.sort_unstable();
    let mut lines = String::new();
    for name in &names {
        let values: Result<Vec<String>, Unusable> = headers
            .get_all(*name)
            .iter()
            .map(|value| match value.to_str() {
                Ok(text) => Ok(text
                    .split(' ')
                    .filter(|word| !word.is_empty())
                    .collect::<Vec<_>>()
                    .join(" ")),
                Err(_) => Err(Unusable),
            })
            .collect();
        let _ = writeln!(lines, "{name}:{}", values?.join(","));
    }
    Ok((lines, names.join(";")))
}

/// The parameters, each encoded anew, in the order of their bytes.
fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            // As forms are written: a `+` is a space.
            let plain = |text: &str| encode(&decode(&text.replace('+', " ")), false);
            (plain(name), plain(value))
        })
        .collect();
    pairs.sort_unstable();
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("&")
}

fn string_to_sign(canonical: &str, scope: Scope<'_>) -> String {
    let hash = hex::lower(digest(&SHA256, canonical.as_bytes()).as_ref());
    format!("{ALGORITHM}\n{}\n{}\n{hash}", scope.time(), scope.text())
}

fn key(secret: &str, scope: Scope<'_>) -> hmac::Key {
    let mut key = hmac::Key::new(hmac::HMAC_SHA256, format!("AWS4{secret}").as_bytes());
    for part in [
        scope.date().as_str(),
        scope.region,
        scope.service,
        "aws4_request",
    ] {
        key = hmac::Key::new(
            hmac::HMAC_SHA256,
            hmac::sign(&key, part.as_bytes()).as_ref(),
        );
    }
    key
}

/// What `%XX` stands for.
fn decode(text: &str) -> Vec<u8> {
    let (bytes, mut decoded, mut at) = (text.as_bytes(), Vec::with_capacity(text.len()), 0);
    while at < bytes.len() {
        let digits = bytes
            .get(at + 1..at + 3)
            .filter(|digits| bytes[at] == b'%' && digits.iter().all(u8::is_ascii_hexdigit));
        let byte = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    decoded
}

/// `UriEncode`: all but RFC 3986's unreserved characters, and in a path its slashes.
fn encode(bytes: &[u8], is_path: bool) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(*byte));
            }
            b'/' if is_path => text.push('/'),
            _ => {
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
    text
}

#[cfg(test)]
#[path = "sigv4/vectors.rs"]
mod vectors;
