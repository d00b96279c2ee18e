//! What the host owns in a request, so that a plugin may not set it. Names only; values are `egress`'s.

use http::HeaderName;
use http::header;
use sluice_model::guards::Guard;
use sluice_model::manifest::SecretPlace;
use std::borrow::Cow;

/// Headers that say how a request is framed, where it goes, through whom, and which method or path the server is to
/// take for its own. A plugin that could set them could smuggle a second request, or reach a second host or another
/// path behind the one that is granted.
pub fn forbidden(name: &HeaderName) -> bool {
    const OWNED: [&str; 18] = [
        "connection",
        "content-length",
        "expect",
        "forwarded",
        "host",
        "http2-settings",
        "keep-alive",
        "max-forwards",
        "te",
        "trailer",
        "trailers",
        "transfer-encoding",
        "upgrade",
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "x-original-url",
        "x-rewrite-url",
    ];
    let name = name.as_str();
    let begins = |start| name.starts_with(start);
    Guard::FramingHeaders.bars(OWNED.contains(&name) || begins("proxy-") || begins("x-forwarded-"))
}

/// Headers that have a server act, with the secret of this request, on something that its method and path do not name:
/// copy another object here, give others rights to this one.
pub fn acts_beyond(place: &SecretPlace, name: &HeaderName) -> bool {
    /// Of AWS's own, those that say something of the object that the path names.
    const OF_THE_OBJECT: [&str; 5] = [
        "x-amz-checksum-",
        "x-amz-meta-",
        "x-amz-sdk-checksum-algorithm",
        "x-amz-target",
        "x-amz-trailer",
    ];
    let name = name.as_str();
    let aws = *place == SecretPlace::AwsSigV4 && name.starts_with("x-amz-");
    let beyond = name.contains("copy-source")
        || aws && !OF_THE_OBJECT.iter().any(|start| name.starts_with(start));
    Guard::ActingHeaders.bars(beyond)
}

/// What AWS Signature Version 4 adds to a request besides `authorization`.
pub const AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");
/// See [`AMZ_DATE`].
pub const AMZ_CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");
/// See [`AMZ_DATE`].
pub const AMZ_SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// The headers that the host sets for a secret; none where it goes elsewhere.
pub fn injected(place: &SecretPlace) -> Vec<HeaderName> {
    match place {
        SecretPlace::Bearer | SecretPlace::Basic | SecretPlace::OAuth2 => {
            vec![header::AUTHORIZATION]
        }
        SecretPlace::Header(name) | SecretPlace::HmacSha256(name) => {
            HeaderName::from_bytes(name.as_bytes())
                .into_iter()
                .collect()
        }
        SecretPlace::AwsSigV4 => vec![
            header::AUTHORIZATION,
            AMZ_DATE,
            AMZ_CONTENT_SHA256,
            AMZ_SECURITY_TOKEN,
        ],
        SecretPlace::Query(_) | SecretPlace::Mtls | SecretPlace::Reveal => Vec::new(),
    }
}

/// Whether the secret itself, or a token it was traded for, goes with the request, so that the answer could repeat it.
/// A signature is worth nothing to whoever reads it, a client's key never leaves the host, and what is revealed goes with
/// no request at all.
pub fn is_sent(place: &SecretPlace) -> bool {
    !matches!(
        place,
        SecretPlace::HmacSha256(_) | SecretPlace::Mtls | SecretPlace::Reveal
    )
}

/// A parameter of this query that is the host's: the one it puts the secret in, or one that would be read as a
/// signature beside the host's own.
pub fn owned_parameter(place: &SecretPlace, query: &str) -> Option<String> {
    match place {
        SecretPlace::Query(name) => query_has(query, name).then(|| name.clone()),
        SecretPlace::AwsSigV4 => parameters(query)
            .map(|(name, _)| name.into_owned())
            .find(|name| name.to_ascii_lowercase().starts_with("x-amz-")),
        _ => None,
    }
}

/// Whether a query, encoded as in a URL, has a parameter of this name.
fn query_has(query: &str, name: &str) -> bool {
    parameters(query).any(|(found, _)| found == name)
}

fn parameters(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    // Some servers take `;` for `&`.
    query
        .split(['&', ';'])
        .flat_map(|pair| url::form_urlencoded::parse(pair.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_owns_what_frames_a_request() {
        for name in [
            "Host",
            "content-length",
            "Transfer-Encoding",
            "connection",
            "TE",
            "trailer",
            "upgrade",
            "expect",
            "forwarded",
            "keep-alive",
            "proxy-authorization",
            "proxy-connection",
            "Proxy-Anything",
            "http2-settings",
        ] {
            assert!(forbidden(&name.parse().expect(name)), "{name}");
        }
        for name in [
            "authorization",
            "accept",
            "content-type",
            "x-host",
            "proxied",
            "idempotency-key",
        ] {
            assert!(!forbidden(&name.parse().expect(name)), "{name}");
        }
    }

    #[test]
    fn a_place_has_its_headers() {
        let check = |place: &str, expected: &[&str]| {
            let headers = injected(&place.parse().expect(place));
            let names: Vec<&str> = headers.iter().map(HeaderName::as_str).collect();
            assert_eq!(names, expected, "{place}");
        };
        check("bearer", &["authorization"]);
        check("basic", &["authorization"]);
        check("oauth2", &["authorization"]);
        check("header:X-Api-Key", &["x-api-key"]);
        check("hmac-sha256:X-Signature", &["x-signature"]);
        check("query:key", &[]);
        check("mtls", &[]);
        let aws = [
            "authorization",
            "x-amz-date",
            "x-amz-content-sha256",
            "x-amz-security-token",
        ];
        check("aws-sigv4", &aws);
    }

    #[test]
    fn a_signature_stands_alone() {
        for query in [
            "X-Amz-Signature=1",
            "a=b&x-amz-credential=1",
            "a=b;X%2DAmz-Date",
        ] {
            assert!(
                owned_parameter(&SecretPlace::AwsSigV4, query).is_some(),
                "{query}"
            );
            assert!(
                owned_parameter(&SecretPlace::Bearer, query).is_none(),
                "{query}"
            );
        }
        assert!(owned_parameter(&SecretPlace::AwsSigV4, "amz=1&list-type=2").is_none());
    }

    #[test]
    fn a_parameter_is_found_however_it_is_spelled() {
        for query in [
            "key=1",
            "a=b&key=1",
            "key",
            "a&key",
            "k%65y=1",
            "%6bey",
            "a=b;key=1",
        ] {
            assert!(query_has(query, "key"), "{query}");
        }
        for query in ["", "keys=1", "a=key", "Key=1", "akey=1", "a=%26key=1"] {
            assert!(!query_has(query, "key"), "{query}");
        }
        assert!(query_has("api+key=1", "api key"));
    }
}
