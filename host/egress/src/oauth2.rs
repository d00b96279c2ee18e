//! What is said to a token endpoint and what it answers (RFC 6749): client credentials, and refresh tokens. Sends
//! nothing.

use crate::document::{Client, object};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::Value;
use sluice_model::guards::Guard;
use sluice_model::limits::OAUTH2_TOKEN_BYTES_MAX;
use sluice_model::secret::Secret;
use std::time::Duration;
use url::form_urlencoded::{Serializer, byte_serialize};
use zeroize::Zeroizing;

/// How long a token is taken to hold whose answer does not say (RFC 6749 recommends that it does).
const LIFETIME_DEFAULT: Duration = Duration::from_mins(5);

/// The longest it is taken to hold. A server that says a hundred years has not thought about it.
const LIFETIME_MAX: Duration = Duration::from_hours(24);

/// Of a refusal's code, as it is repeated.
const CODE_BYTES_MAX: usize = 64;

/// The headers and body that ask for a token.
pub(crate) fn ask(client: &Client, scopes: &[String]) -> (HeaderMap, Bytes) {
    let mut headers = HeaderMap::new();
    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
    headers.insert(CONTENT_TYPE, form);
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    let mut body = Serializer::new(String::new());
    match &client.refresh_token {
        Some(token) => body
            .append_pair("grant_type", "refresh_token")
            .append_pair("refresh_token", token),
        None => body.append_pair("grant_type", "client_credentials"),
    };
    if !scopes.is_empty() {
        body.append_pair("scope", &scopes.join(" "));
    }
    for (name, value) in &client.more {
        body.append_pair(name, value);
    }
    match &client.secret {
        Some(secret) if !client.in_body => {
            headers.insert(AUTHORIZATION, basic(&client.id, secret));
        }
        secret => {
            body.append_pair("client_id", &client.id);
            if let Some(secret) = secret {
                body.append_pair("client_secret", secret);
            }
        }
    }
    (headers, Bytes::from(body.finish()))
}

/// Both are encoded as in a form first (section 2.3.1), so that a `:` in the id cannot end it.
fn basic(id: &str, secret: &str) -> HeaderValue {
    let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let pair = Zeroizing::new(format!("{}:{}", encoded(id), encoded(secret)));
    let value = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
    let mut value = HeaderValue::from_str(&value).expect("base64 can stand in a header");
    value.set_sensitive(true);
    value
}

/// A token as it was given. Holds secrets, so it has no `Debug`.
pub(crate) struct Given {
    pub(crate) access_token: Secret,
    pub(crate) lifetime: Duration,
    pub(crate) refresh_token: Option<Zeroizing<String>>,
}

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoToken {
    /// The server says why, in a word of its own.
    Refused(String),
    /// Not now, or not as the standard says.
    Failed(String),
}

/// Reads an answer. Never repeats it.
pub(crate) fn given(status: u16, body: &[u8]) -> Result<Given, NoToken> {
    let failed = |reason: &str| NoToken::Failed(reason.to_owned());
    let object = object(body);
    if status != 200 {
        let code = object.as_ref().and_then(|object| object.get("error"));
        let is_told = (400..500).contains(&status) && status != 429;
        return Err(match code.and_then(Value::as_str).and_then(code_word) {
            Some(code) if is_told => NoToken::Refused(code),
            _ => NoToken::Failed(format!("it gives no token, but status {status}")),
        });
    }
    let mut object = object.ok_or_else(|| failed("its answer is not a JSON object"))?;
    let mut text = |key: &str| match object.remove(key) {
        Some(Value::String(text)) if !text.is_empty() => Some(Zeroizing::new(text)),
        _ => None,
    };
    let token = text("access_token").ok_or_else(|| failed("its answer has no `access_token`"))?;
    let refresh_token = text("refresh_token");
    let kind = text("token_type").unwrap_or_default();
    if Guard::TokenKind.bars(!kind.eq_ignore_ascii_case("bearer")) {
        return Err(failed("its tokens are not of the type `Bearer`"));
    }
    let longest = token
        .len()
        .max(refresh_token.as_ref().map_or(0, |token| token.len()));
    // RFC 6750, section 2.1; a little wider, as servers are.
    let can_stand = token.bytes().all(|byte| byte.is_ascii_graphic());
    if longest > Guard::TokenBytes.limit(OAUTH2_TOKEN_BYTES_MAX)
        || Guard::TokenShape.bars(!can_stand)
    {
        return Err(failed(
            "its tokens are too long, or cannot stand in a header",
        ));
    }
    let seconds = match object.get("expires_in") {
        Some(Value::String(text)) => text.parse().ok(),
        Some(Value::Number(number)) => number.as_f64(),
        _ => None,
    };
    let lifetime = seconds.and_then(|seconds: f64| Duration::try_from_secs_f64(seconds).ok());
    Ok(Given {
        access_token: Secret::new(token.as_bytes().to_vec()),
        lifetime: lifetime
            .unwrap_or(LIFETIME_DEFAULT)
            .min(Guard::TokenLifetime.limit(LIFETIME_MAX)),
        refresh_token,
    })
}

/// A code of section 5.2, or one that looks like it: it is repeated to people.
fn code_word(text: &str) -> Option<String> {
    let is_word = !text.is_empty()
        && text.len() <= CODE_BYTES_MAX
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    Guard::TokenCode.holds(is_word).then(|| text.to_owned())
}

/// What to do about a refusal.
pub(crate) fn next_step(code: &str) -> &'static str {
    match code {
        "invalid_client" => {
            "set the secret anew: its client id and client secret are not known there"
        }
        "invalid_grant" => {
            "set the secret anew: its refresh token has expired, was revoked, or was used before"
        }
        "invalid_scope" => "narrow `scopes` in the grant's `[[secret]]`",
        _ => "ask whoever runs the authorization server what this client may do",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(text: &str) -> Client {
        let Ok(client) = Client::read(&Secret::new(text.as_bytes().to_vec())) else {
            panic!("a client")
        };
        client
    }

    #[test]
    fn a_client_asks_in_its_own_way() {
        let check = |text: &str, scopes: &[&str], authorization: Option<&str>, expected: &str| {
            let scopes: Vec<String> = scopes.iter().map(ToString::to_string).collect();
            let (headers, body) = ask(&client(text), &scopes);
            let found = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
            assert_eq!(found, authorization.map(str::as_bytes), "{text}");
            assert_eq!(std::str::from_utf8(&body), Ok(expected), "{text}");
            assert!(!format!("{headers:?}").contains("Basic"), "{headers:?}");
        };
        check(
            "client_id = \"a:b\"\nclient_secret = \"s c\"",
            &["read", "write"],
            Some("Basic YSUzQWI6cytj"), // `a%3Ab:s+c`
            "grant_type=client_credentials&scope=read+write",
        );
        check(
            "client_id = \"a\"\nclient_secret = \"s&c\"\nclient_auth = \"post\"\naudience = \"x\"",
            &[],
            None,
            "grant_type=client_credentials&audience=x&client_id=a&client_secret=s%26c",
        );
        check(
            "client_id = \"a\"\nclient_secret = \"s\"\nrefresh_token = \"r+1\"",
            &[],
            Some("Basic YTpz"),
            "grant_type=refresh_token&refresh_token=r%2B1",
        );
        check(
            "client_id = \"a\"\nrefresh_token = \"r\"",
            &[],
            None,
            "grant_type=refresh_token&refresh_token=r&client_id=a",
        );
    }

    #[test]
    fn an_answer_is_read_or_told_without_a_word_of_it() {
        let lifetime = |rest: &str| {
            let body = format!(r#"{{"access_token":"t","token_type":"bearer"{rest}}}"#);
            given(200, body.as_bytes()).map(|given| given.lifetime.as_secs())
        };
        assert_eq!(lifetime(""), Ok(300));
        assert_eq!(lifetime(r#","expires_in":3600"#), Ok(3600));
        assert_eq!(lifetime(r#","expires_in":"60""#), Ok(60));
        assert_eq!(lifetime(r#","expires_in":1e300"#), Ok(300));
        assert_eq!(lifetime(r#","expires_in":-1"#), Ok(300));
        assert_eq!(lifetime(r#","expires_in":9999999999"#), Ok(86_400));

        let refused = |status: u16, body: &str| match given(status, body.as_bytes()) {
            Ok(_) => panic!("{body} was taken"),
            Err(NoToken::Refused(code)) => format!("refused: {code}"),
            Err(NoToken::Failed(reason)) => reason,
        };
        assert_eq!(
            refused(400, r#"{"error":"invalid_grant"}"#),
            "refused: invalid_grant"
        );
        assert_eq!(
            refused(
                401,
                r#"{"error":"invalid_client","error_description":"hunter2"}"#
            ),
            "refused: invalid_client"
        );
        for (status, body) in [
            (400, r#"{"error":"Hunter2 hunter2"}"#),
            (429, r#"{"error":"hunter"}"#),
            (500, "hunter2"),
            (302, ""),
            (200, "hunter2"),
            (200, r#"["hunter2"]"#),
            (200, r#"{"access_token":"hunter2"}"#),
            (200, r#"{"access_token":"hunter2","token_type":"mac"}"#),
            (
                200,
                r#"{"access_token":"hunter2\r\nhost: evil.test","token_type":"bearer"}"#,
            ),
            (
                200,
                r#"{"access_token":7,"token_type":"bearer","hint":"hunter2"}"#,
            ),
        ] {
            let reason = refused(status, body);
            assert!(
                !reason.contains("unter2") && !reason.starts_with("refused"),
                "{body}: {reason}"
            );
        }
        let long = format!(
            r#"{{"access_token":"{}","token_type":"bearer"}}"#,
            "t".repeat(OAUTH2_TOKEN_BYTES_MAX + 1)
        );
        assert!(refused(200, &long).contains("too long"));
    }
}
