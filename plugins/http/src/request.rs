//! Records put into requests.

use crate::config::{Config, Mode};
use crate::progress::Key;
use sha2::{Digest, Sha256};
use sluice_sdk::Change;
use sluice_sdk::http::Request;
use std::fmt::Write as _;

/// Sets these hashes apart from all others.
const DOMAIN: &[u8] = b"sluice/http key 1";

/// A record on its way.
#[derive(Debug)]
pub(crate) struct Item<'a> {
    pub(crate) part: usize,
    pub(crate) row: usize,
    pub(crate) stream: &'a str,
    /// One JSON object.
    pub(crate) record: &'a str,
    pub(crate) change: Change,
    pub(crate) key: Key,
}

/// A record's idempotency key. The host's row id alone would not do: a later version of a record has the same, and
/// so have two records that a transform made of one.
pub(crate) fn key_of(row_id: &[u8], record: &str) -> Key {
    let mut hash = Sha256::new();
    for part in [DOMAIN, row_id, record.as_bytes()] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let mut key = Key::default();
    key.copy_from_slice(&hash.finalize()[..16]);
    key
}

/// The request that carries these records, which are all of one stream: one in record mode.
pub(crate) fn writing(config: &Config, url: String, items: &[&Item]) -> Request {
    let mut request = with_headers(config, Request::new(config.method.word(), url));
    if config.keys_in_header() {
        let keys: Vec<String> = items.iter().map(|item| hex(&item.key)).collect();
        request = request.header(&config.key_header, keys.join(","));
    }
    request
        .header("content-type", "application/json")
        .body(body(config, items))
}

/// The request that removes a record.
pub(crate) fn deleting(config: &Config, url: String) -> Request {
    with_headers(config, Request::new("DELETE", url))
}

fn with_headers(config: &Config, mut request: Request) -> Request {
    if !config
        .headers
        .keys()
        .any(|name| name.eq_ignore_ascii_case("accept"))
    {
        request = request.header("accept", "application/json");
    }
    config
        .headers
        .iter()
        .fold(request, |request, (name, value)| {
            request.header(name, value.as_str())
        })
}

fn body(config: &Config, items: &[&Item]) -> Vec<u8> {
    let mut body = String::with_capacity(items.iter().map(|item| item.record.len() + 64).sum());
    let batch = config.mode == Mode::Batch;
    if let (true, Some(envelope)) = (batch, &config.envelope) {
        let _ = write!(body, "{{{}:", serde_json::Value::from(envelope.as_str()));
    }
    if batch {
        body.push('[');
    }
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            body.push(',');
        }
        write_record(config, item, &mut body);
    }
    if batch {
        body.push(']');
    }
    if batch && config.envelope.is_some() {
        body.push('}');
    }
    body.into_bytes()
}

/// The record as it is, or with its key as its first field.
fn write_record(config: &Config, item: &Item, body: &mut String) {
    let (Some(field), Some(rest)) = (config.key_field(), item.record.strip_prefix('{')) else {
        body.push_str(item.record);
        return;
    };
    let comma = if rest.trim_start().starts_with('}') {
        ""
    } else {
        ","
    };
    // Writing to a string cannot fail.
    let _ = write!(
        body,
        "{{{}:\"{}\"{comma}{rest}",
        serde_json::Value::from(field),
        hex(&item.key)
    );
}

fn hex(key: &Key) -> String {
    key.iter().fold(String::with_capacity(32), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(more: &str, records: &[&str]) -> (String, Option<String>) {
        let config: Config =
            sluice_sdk::parse_config(&format!(r#"{{"url":"http://a","path":"/x"{more}}}"#))
                .expect("settings");
        let items: Vec<Item> = records
            .iter()
            .enumerate()
            .map(|(row, record)| Item {
                part: 0,
                row,
                stream: "s",
                record,
                change: Change::Upsert,
                key: [row as u8; 16],
            })
            .collect();
        let request = writing(
            &config,
            "http://a/x".to_owned(),
            &items.iter().collect::<Vec<_>>(),
        );
        let key = request
            .headers
            .iter()
            .find(|(name, _)| name == "idempotency-key")
            .map(|(_, value)| value.clone());
        (String::from_utf8(request.body).expect("text"), key)
    }

    #[test]
    fn bodies_are_what_a_server_takes() {
        let (zero, one) = ("00".repeat(16), "01".repeat(16));
        assert_eq!(
            sent("", &[r#"{"a":1}"#]),
            (r#"{"a":1}"#.to_owned(), Some(zero.clone()))
        );
        assert_eq!(
            sent(r#","method":"PUT","key_field":"k""#, &["{}"]),
            ("{}".to_owned(), None)
        );
        assert_eq!(
            sent(r#","mode":"batch""#, &[r#"{"a":1}"#, "{}"]),
            (r#"[{"a":1},{}]"#.to_owned(), Some(format!("{zero},{one}")))
        );
        assert_eq!(
            sent(
                r#","mode":"batch","envelope":"it\"ems","key_field":"_k""#,
                &[r#"{"a":1}"#, "{}"]
            ),
            (
                format!(r#"{{"it\"ems":[{{"_k":"{zero}","a":1}},{{"_k":"{one}"}}]}}"#),
                None
            )
        );
    }

    #[test]
    fn a_key_is_of_one_version_of_one_record() {
        let key = key_of(&[1; 16], "{\"a\":1}");
        assert_eq!(key, key_of(&[1; 16], "{\"a\":1}"));
        assert_ne!(key, key_of(&[1; 16], "{\"a\":2}"));
        assert_ne!(key, key_of(&[2; 16], "{\"a\":1}"));
    }
}
