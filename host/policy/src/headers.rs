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

/// The header that a secret is put in; none for a query parameter.
pub fn injected(place: &SecretPlace) -> Option<HeaderName> {
    match place {
        SecretPlace::Bearer | SecretPlace::Basic => Some(header::AUTHORIZATION),
        SecretPlace::Header(name) => HeaderName::from_bytes(name.as_bytes()).ok(),
        SecretPlace::Query(_) => None,
    }
}

/// Whether a query, encoded as in a URL, has a parameter of this name.
pub fn query_has(query: &str, name: &str) -> bool {
    // Some servers take `;` for `&`.
    query
        .split(['&', ';'])
        .any(|pair| url::form_urlencoded::parse(pair.as_bytes()).any(|(found, _)| found == name))
}
