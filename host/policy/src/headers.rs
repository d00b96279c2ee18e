//! What the host owns in a request, so that a plugin may not set it. Names only; values are `egress`'s.

use http::HeaderName;
use http::header;
use sluice_model::manifest::SecretPlace;

/// Headers that say how a request is framed, where it goes and through whom. A plugin that could set them could
/// smuggle a second request or reach a second host behind one that is granted.
pub fn forbidden(name: &HeaderName) -> bool {
    const OWNED: [&str; 12] = [
        "connection",
        "content-length",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "max-forwards",
        "te",
        "trailer",
        "trailers",
        "transfer-encoding",
        "upgrade",
    ];
    let name = name.as_str();
    OWNED.contains(&name) || name.starts_with("proxy-")
}

/// The header that a secret is put in; none for a query parameter, and for what is put nowhere.
pub fn injected(place: &SecretPlace) -> Option<HeaderName> {
    match place {
        SecretPlace::Bearer | SecretPlace::Basic => Some(header::AUTHORIZATION),
        SecretPlace::Header(name) => HeaderName::from_bytes(name.as_bytes()).ok(),
        SecretPlace::Query(_) | SecretPlace::Reveal => None,
    }
}

/// Whether a query, encoded as in a URL, has a parameter of this name.
pub fn query_has(query: &str, name: &str) -> bool {
    // Some servers take `;` for `&`.
    query
        .split(['&', ';'])
        .any(|pair| url::form_urlencoded::parse(pair.as_bytes()).any(|(found, _)| found == name))
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
    fn a_place_has_one_header() {
        let check = |place: &str, expected: Option<&str>| {
            let header = injected(&place.parse().expect(place));
            assert_eq!(header.as_ref().map(HeaderName::as_str), expected, "{place}");
        };
        check("bearer", Some("authorization"));
        check("basic", Some("authorization"));
        check("header:X-Api-Key", Some("x-api-key"));
        check("query:key", None);
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
