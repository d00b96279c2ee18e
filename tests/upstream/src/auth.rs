//! What a request must carry. Constant-time comparison is not the point here: nothing secret is behind it.

use axum::http::{HeaderMap, HeaderValue, header};

/// The credential that `/v1` asks for; without it the answer is 401.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Auth {
    /// None.
    #[default]
    None,
    /// `Authorization: Bearer TOKEN`.
    Bearer(String),
    /// `Authorization: Basic base64(USER:PASSWORD)`.
    Basic {
        /// Before the colon.
        user: String,
        /// Behind it.
        password: String,
    },
    /// A header of this name with this value.
    Header {
        /// In lower case.
        name: String,
        /// The key.
        value: String,
    },
    /// A parameter of the URL with this value.
    Query {
        /// The parameter.
        name: String,
        /// The key.
        value: String,
    },
}

impl Auth {
    /// Whether this request may pass.
    pub(crate) fn admits(&self, headers: &HeaderMap, query: &[(String, String)]) -> bool {
        let header_is = |name: &str, wanted: &str| {
            let mut values = headers.get_all(name).iter();
            values.next().map(HeaderValue::as_bytes) == Some(wanted.as_bytes())
                && values.next().is_none()
        };
        match self {
            Auth::None => true,
            Auth::Bearer(token) => header_is("authorization", &format!("Bearer {token}")),
            Auth::Basic { user, password } => header_is(
                "authorization",
                &format!("Basic {}", base64(format!("{user}:{password}").as_bytes())),
            ),
            Auth::Header { name, value } => header_is(name, value),
            Auth::Query { name, value } => {
                let mut own = query.iter().filter(|(key, _)| key == name);
                own.next().is_some_and(|(_, found)| found == value) && own.next().is_none()
            }
        }
    }

    /// What the 401 says it wants.
    pub(crate) fn challenge(&self) -> Option<(header::HeaderName, HeaderValue)> {
        let scheme = match self {
            Auth::Bearer(_) => "Bearer realm=\"upstream\"",
            Auth::Basic { .. } => "Basic realm=\"upstream\"",
            Auth::None | Auth::Header { .. } | Auth::Query { .. } => return None,
        };
        Some((header::WWW_AUTHENTICATE, HeaderValue::from_static(scheme)))
    }
}

/// RFC 4648, section 4, with padding.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let three = chunk
            .iter()
            .fold(0u32, |all, byte| all << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let sextet = (three >> (18 - 6 * place)) & 63;
            text.push(if place <= chunk.len() {
                char::from(ALPHABET[sextet as usize])
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn one_credential_and_only_one() {
        let bearer = Auth::Bearer("t".into());
        let check = |auth: &Auth,
                     headers: &[(&'static str, &'static str)],
                     query: &[(&str, &str)],
                     expected: bool| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(*name, HeaderValue::from_static(value));
            }
            let query: Vec<_> = query
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect();
            assert_eq!(
                auth.admits(&map, &query),
                expected,
                "{auth:?} {headers:?} {query:?}"
            );
        };
        check(&Auth::None, &[], &[], true);
        check(&bearer, &[], &[], false);
        check(&bearer, &[("authorization", "Bearer t")], &[], true);
        check(&bearer, &[("authorization", "Bearer tt")], &[], false);
        check(
            &bearer,
            &[("authorization", "Bearer t"), ("authorization", "Bearer u")],
            &[],
            false,
        );
        let basic = Auth::Basic {
            user: "a".into(),
            password: "b".into(),
        };
        check(&basic, &[("authorization", "Basic YTpi")], &[], true);
        check(&basic, &[("authorization", "Basic YTpj")], &[], false);
        let header = Auth::Header {
            name: "x-key".into(),
            value: "k".into(),
        };
        check(&header, &[("x-key", "k")], &[], true);
        check(&header, &[("x-key", "l")], &[], false);
        let query = Auth::Query {
            name: "key".into(),
            value: "k".into(),
        };
        check(&query, &[], &[("key", "k")], true);
        check(&query, &[], &[("key", "k"), ("key", "k")], false);
        check(&query, &[], &[], false);
    }
}
