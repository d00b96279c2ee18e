//! Secrets of several parts, written as JSON or TOML: `client_id = "…"` on one line, `client_secret = "…"` on the next.
//!
//! A mistake in one is told by the keys that should stand in it, never by what stands there: a token pasted in the
//! wrong place must not end up in a message.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sluice_model::guards::Guard;
use sluice_model::secret::Secret;
use zeroize::{Zeroize as _, Zeroizing};

/// Why a value is not the document its use needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("its value is not what its use needs: a JSON or TOML document with {0}")]
pub(crate) struct Unreadable(&'static str);

/// How a value was written, and is written again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Toml,
}

/// A client of an authorization server (RFC 6749). Holds secrets, so it has no `Debug`.
pub(crate) struct Client {
    pub(crate) id: String,
    pub(crate) secret: Option<Zeroizing<String>>,
    pub(crate) refresh_token: Option<Zeroizing<String>>,
    /// Whether id and secret stand in the body, not in an `authorization` header.
    pub(crate) in_body: bool,
    /// Parameters that some servers want besides: `audience`, `resource`.
    pub(crate) more: Vec<(&'static str, String)>,
    form: Form,
}

const CLIENT: &str = "`client_id`, `client_secret`, and where they apply `refresh_token`, `client_auth` (`basic` or \
                      `post`), `audience`, `resource`";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientText {
    client_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_secret: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_auth: Option<ClientAuth>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    audience: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resource: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ClientAuth {
    Basic,
    Post,
}

impl Client {
    pub(crate) fn read(secret: &Secret) -> Result<Self, Unreadable> {
        let (text, form): (ClientText, Form) = read(secret, CLIENT)?;
        let more = [("audience", text.audience), ("resource", text.resource)];
        let client = Self {
            id: text.client_id,
            secret: text.client_secret.map(Zeroizing::new),
            refresh_token: text.refresh_token.map(Zeroizing::new),
            in_body: text.client_auth == Some(ClientAuth::Post),
            more: more
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?)))
                .collect(),
            form,
        };
        let can_ask = client.secret.is_some() || client.refresh_token.is_some();
        if client.id.is_empty() || !can_ask {
            return Err(Unreadable(CLIENT));
        }
        Ok(client)
    }

    /// The same as a value, with another refresh token.
    pub(crate) fn with_refresh_token(&self, token: &str) -> Secret {
        let more = |name: &str| {
            let found = self.more.iter().find(|(own, _)| *own == name);
            found.map(|(_, value)| value.clone())
        };
        let text = ClientText {
            client_id: self.id.clone(),
            client_secret: self.secret.as_ref().map(|secret| secret.to_string()),
            refresh_token: Some(token.to_owned()),
            client_auth: self.in_body.then_some(ClientAuth::Post),
            audience: more("audience"),
            resource: more("resource"),
        };
        let written = match self.form {
            Form::Json => serde_json::to_string(&text).expect("plain strings are json"),
            Form::Toml => toml::to_string(&text).expect("plain strings are toml"),
        };
        let mut text = text;
        text.client_secret.zeroize();
        text.refresh_token.zeroize();
        Secret::new(written.into_bytes())
    }

    /// What must not stand in an answer.
    pub(crate) fn values(&self) -> impl Iterator<Item = &[u8]> {
        let values = [&self.secret, &self.refresh_token];
        values.into_iter().flatten().map(|value| value.as_bytes())
    }
}

/// Keys of an AWS account. Holds secrets, so it has no `Debug`.
pub(crate) struct AwsKeys {
    pub(crate) id: String,
    pub(crate) secret: Zeroizing<String>,
    pub(crate) session_token: Option<Zeroizing<String>>,
}

const AWS_KEYS: &str =
    "`access_key_id`, `secret_access_key`, and where there is one `session_token`";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AwsKeysText {
    access_key_id: String,
    secret_access_key: String,
    #[serde(default)]
    session_token: Option<String>,
}

impl AwsKeys {
    pub(crate) fn read(secret: &Secret) -> Result<Self, Unreadable> {
        let (text, _): (AwsKeysText, Form) = read(secret, AWS_KEYS)?;
        // The id stands in a header, between slashes and commas.
        let is_id = !text.access_key_id.is_empty()
            && text
                .access_key_id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric());
        if Guard::AwsIdentity.bars(!is_id) || text.secret_access_key.is_empty() {
            return Err(Unreadable(AWS_KEYS));
        }
        Ok(Self {
            id: text.access_key_id,
            secret: Zeroizing::new(text.secret_access_key),
            session_token: text.session_token.map(Zeroizing::new),
        })
    }
}

fn read<T: for<'de> Deserialize<'de>>(
    secret: &Secret,
    keys: &'static str,
) -> Result<(T, Form), Unreadable> {
    let unreadable = Unreadable(keys);
    let text = std::str::from_utf8(secret.expose()).map_err(|_| unreadable.clone())?;
    if text.trim_start().starts_with('{') {
        // Twice the same key is a mistake that serde_json would let pass in a map; a struct refuses it.
        let found = serde_json::from_str(text).map_err(|_| unreadable)?;
        Ok((found, Form::Json))
    } else {
        let found = toml::from_str(text).map_err(|_| unreadable)?;
        Ok((found, Form::Toml))
    }
}

/// A JSON object of an answer.
pub(crate) fn object(bytes: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(object)) => Some(object),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.as_bytes().to_vec())
    }

    #[test]
    fn a_client_is_read_and_written_as_it_was() {
        for text in [
            r#"{"client_id":"a","client_secret":"b","refresh_token":"old","client_auth":"post","audience":"x"}"#,
            "client_id = \"a\"\nclient_secret = \"b\"\nrefresh_token = \"old\"\nclient_auth = \"post\"\naudience = \"x\"\n",
        ] {
            let client = Client::read(&secret(text)).expect("a client");
            assert!(client.in_body);
            let again = client.with_refresh_token("new");
            let expected = text.replace("old", "new");
            assert_eq!(std::str::from_utf8(again.expose()), Ok(expected.as_str()));
        }
        let public = Client::read(&secret("client_id = \"a\"\nrefresh_token = \"r\""))
            .expect("a public client");
        assert!(!public.in_body && public.secret.is_none());
        assert_eq!(public.values().collect::<Vec<_>>(), [b"r"]);
    }

    #[test]
    fn what_is_wrong_is_told_without_a_word_of_it() {
        for text in [
            "hunter2hunter2",
            "{\"hunter2hunter2\": 1}",
            "{\"client_id\": \"a\"}",
            "client_id = \"a\"\nclient_secret = \"b\"\nhunter2hunter2 = 1",
            "client_id = \"a\"\nclient_secret = \"hunter2",
            "client_id = \"\"\nclient_secret = \"hunter2\"",
            "client_id = \"a\"\nclient_secret = \"b\"\nclient_auth = \"hunter2\"",
            "{\"client_id\": \"a\", \"client_secret\": \"b\", \"client_secret\": \"hunter2\"}",
        ] {
            let Err(error) = Client::read(&secret(text)) else {
                panic!("{text} was read")
            };
            let told = error.to_string();
            assert!(
                !told.contains("hunter2") && told.contains("`client_id`"),
                "{told}"
            );
        }
        for text in [
            "access_key_id = \"a/b\"\nsecret_access_key = \"b\"",
            "access_key_id = \"AKID\"\nsecret_access_key = \"\"",
            "access_key_id = \"AKID\"",
            "AKID:hunter2",
        ] {
            let Err(error) = AwsKeys::read(&secret(text)) else {
                panic!("{text} was read")
            };
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
