//! Puts a secret where the manifest and the grant say. The plugin chooses neither the place nor the form, and what
//! it sends beside it has been refused that place.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use sluice_model::manifest::SecretPlace;
use sluice_model::secret::Secret;
use sluice_policy::headers;
use url::form_urlencoded;
use zeroize::Zeroizing;

/// A secret's value that cannot stand where it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its value has a character that cannot stand in a header")]
pub(crate) struct Unusable;

/// Adds the secret to a request's headers or its query.
pub(crate) fn attach(
    secret: &Secret,
    place: &SecretPlace,
    headers: &mut HeaderMap,
    query: &mut String,
) -> Result<(), Unusable> {
    let value = secret.expose();
    match place {
        SecretPlace::Bearer => set(headers, AUTHORIZATION, &[b"Bearer ", value].concat()),
        SecretPlace::Basic => {
            let encoded = Zeroizing::new(STANDARD.encode(value));
            set(
                headers,
                AUTHORIZATION,
                &[b"Basic ", encoded.as_bytes()].concat(),
            )
        }
        SecretPlace::Header(_) => {
            let names = headers::injected(place);
            names
                .into_iter()
                .try_for_each(|name| set(headers, name, value))
        }
        SecretPlace::Query(name) => {
            if !query.is_empty() {
                query.push('&');
            }
            query.extend(form_urlencoded::byte_serialize(name.as_bytes()));
            query.push('=');
            query.extend(form_urlencoded::byte_serialize(value));
            Ok(())
        }
        // These are not put anywhere themselves: see `attach`.
        SecretPlace::OAuth2
        | SecretPlace::AwsSigV4
        | SecretPlace::HmacSha256(_)
        | SecretPlace::Mtls
        // A manifest that attaches such a secret is refused when it is read.
        | SecretPlace::Reveal => Err(Unusable),
    }
}

fn set(headers: &mut HeaderMap, name: http::HeaderName, value: &[u8]) -> Result<(), Unusable> {
    let mut value = HeaderValue::from_bytes(value).map_err(|_| Unusable)?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_has_its_form() {
        let check = |place: &str, query: &str, expected: &str| {
            let (mut headers, mut query) = (HeaderMap::new(), query.to_owned());
            let secret = Secret::new(b"user:p\xc3\xa4ss &=".to_vec());
            attach(
                &secret,
                &place.parse().expect(place),
                &mut headers,
                &mut query,
            )
            .expect("attached");
            let shown = format!("{headers:?}");
            assert!(!shown.contains("user"), "{shown}");
            let header = headers.iter().next().map(|(name, value)| {
                format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))
            });
            assert_eq!(header.unwrap_or(query), expected, "{place}");
        };
        check("bearer", "", "authorization: Bearer user:päss &=");
        check("basic", "", "authorization: Basic dXNlcjpww6RzcyAmPQ==");
        check("header:X-Api-Key", "", "x-api-key: user:päss &=");
        check("query:api key", "", "api+key=user%3Ap%C3%A4ss+%26%3D");
        check("query:key", "page=2", "page=2&key=user%3Ap%C3%A4ss+%26%3D");
    }

    #[test]
    fn a_value_cannot_end_its_header() {
        for value in ["a\r\nhost: evil.test", "a\nb", "a\0b"] {
            let secret = Secret::new(value.as_bytes().to_vec());
            let attached = attach(
                &secret,
                &SecretPlace::Bearer,
                &mut HeaderMap::new(),
                &mut String::new(),
            );
            assert_eq!(attached, Err(Unusable), "{value:?}");
        }
    }
}
