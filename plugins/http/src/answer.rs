//! What an answer means for the records that were sent: taken, refused, or to be sent again.

use crate::config::{Config, Conflict};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use sluice_sdk::Fault;
use sluice_sdk::http::Response;

/// How much of a server's reason is kept.
const REASON_CHARACTERS_MAX: usize = 200;

/// A record that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) code: String,
    pub(crate) message: String,
}

/// What became of a record: it is taken, or it is refused.
pub(crate) type Outcome = Option<Refused>;

/// What a request asked for, as far as the answer's meaning depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// To take a record, at a path of its own.
    WriteAtOwnPath,
    /// To take records, all at one path: where that is not found, it is the setting that is wrong.
    WriteAtFixedPath,
    /// To remove a record.
    Delete,
}

/// What an answer says of the record, or of all records, that were sent.
pub(crate) fn outcome(
    response: &Response,
    asked: Asked,
    config: &Config,
) -> Result<Outcome, Fault> {
    match (response.status, asked) {
        (200..=299, _) | (404 | 410, Asked::Delete) => Ok(None),
        (409, _) if config.conflict == Conflict::Ok => Ok(None),
        (405 | 406 | 415 | 501 | 505, _) | (404 | 410, Asked::WriteAtFixedPath) => Err(
            Fault::misconfigured(format!("the server answered {}", response.status)),
        ),
        (401 | 403 | 407 | 408 | 425 | 429, _) => Err(response.fault()),
        (400..=499, _) => Ok(Some(refusal(response, config))),
        _ => Err(response.fault()),
    }
}

fn refusal(response: &Response, config: &Config) -> Refused {
    let status = response.status;
    let reason = config
        .error
        .as_deref()
        .and_then(|pointer| reason(&response.body, pointer));
    let message = match reason {
        Some(reason) => format!("the server answered {status}: {reason}"),
        None => format!("the server answered {status}"),
    };
    Refused {
        code: format!("http-{status}"),
        message,
    }
}

/// The text at the pointer, in one short line.
fn reason(body: &[u8], pointer: &str) -> Option<String> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let text = answer.pointer(pointer)?.as_str()?;
    let plain = |letter: char| if letter.is_control() { ' ' } else { letter };
    Some(
        text.chars()
            .take(REASON_CHARACTERS_MAX)
            .map(plain)
            .collect(),
    )
}

#[derive(Deserialize)]
struct OneResult {
    status: Option<Value>,
    error: Option<Value>,
}

/// What the answer to a batch says of each of its records.
pub(crate) fn outcomes(
    response: &Response,
    pointer: &str,
    count: usize,
    config: &Config,
) -> Result<Vec<Result<Outcome, Fault>>, Fault> {
    let wrong = |what: String| Fault::misconfigured(format!("the answer's `results`: {what}"));
    let answer: Value =
        serde_json::from_slice(&response.body).map_err(|error| wrong(error.to_string()))?;
    let list = answer
        .pointer(pointer)
        .ok_or_else(|| wrong(format!("there is nothing at `{pointer}`")))?;
    let list = serde_json::to_string(list).map_err(|error| wrong(error.to_string()))?;
    let list: Vec<&RawValue> = serde_json::from_str(&list)
        .map_err(|_| wrong(format!("at `{pointer}` there is no array")))?;
    if list.len() != count {
        return Err(wrong(format!("{} for {count} records", list.len())));
    }
    list.into_iter()
        .map(|one| one_outcome(one, config).map_err(wrong))
        .collect()
}

/// The outer error is for what is no result at all.
fn one_outcome(result: &RawValue, config: &Config) -> Result<Result<Outcome, Fault>, String> {
    let OneResult { status, error } =
        serde_json::from_str(result.get()).map_err(|_| "one is not an object".to_owned())?;
    match status.as_ref().and_then(Value::as_u64) {
        Some(status @ 100..=599) => {
            let response = Response::new(status as u16, result.get());
            Ok(outcome(&response, Asked::WriteAtOwnPath, config))
        }
        Some(status) => Err(format!("`status` is {status}, which HTTP does not know")),
        None if error.is_some_and(|error| !error.is_null()) => {
            let reason = config
                .error
                .as_deref()
                .and_then(|pointer| reason(result.get().as_bytes(), pointer));
            let message = reason.unwrap_or_else(|| "the server refused it".to_owned());
            Ok(Ok(Some(Refused {
                code: "refused".to_owned(),
                message,
            })))
        }
        None => Ok(Ok(None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(more: &str) -> Config {
        sluice_sdk::parse_config(&format!(r#"{{"url":"http://a","path":"/x"{more}}}"#))
            .expect("settings")
    }

    #[test]
    fn a_status_has_one_meaning() {
        use Asked::{Delete, WriteAtFixedPath, WriteAtOwnPath};
        let check = |status: u16, asked: Asked, expected: &str| {
            let found = match outcome(&Response::new(status, ""), asked, &config("")) {
                Ok(None) => "taken".to_owned(),
                Ok(Some(refused)) => refused.code,
                Err(fault) => fault.to_string(),
            };
            assert!(found.starts_with(expected), "{status} {asked:?}: {found}");
        };
        for asked in [Delete, WriteAtFixedPath, WriteAtOwnPath] {
            for (status, expected) in [
                (200, "taken"),
                (204, "taken"),
                (301, "misconfigured"),
                (400, "http-400"),
                (401, "unauthorized"),
                (403, "unauthorized"),
                (405, "misconfigured"),
                (408, "transient"),
                (409, "http-409"),
                (415, "misconfigured"),
                (422, "http-422"),
                (429, "transient"),
                (500, "transient"),
                (501, "misconfigured"),
                (503, "transient"),
            ] {
                check(status, asked, expected);
            }
        }
        check(404, WriteAtOwnPath, "http-404");
        check(404, WriteAtFixedPath, "misconfigured");
        check(410, Delete, "taken");
        let conflict = config(r#","conflict":"ok""#);
        assert_eq!(
            outcome(&Response::new(409, ""), WriteAtOwnPath, &conflict),
            Ok(None)
        );
        let slow = Response::new(403, "").with_header("Retry-After", "7");
        let fault = outcome(&slow, WriteAtOwnPath, &config("")).expect_err("too many requests");
        assert!(
            matches!(
                fault,
                Fault::Transient {
                    retry_after_ms: Some(7_000),
                    ..
                }
            ),
            "{fault}"
        );
    }

    #[test]
    fn a_reason_is_kept_only_where_it_is_asked_for() {
        let long = format!(r#"{{"error":"no\nsuch {}"}}"#, "x".repeat(300));
        let response = Response::new(422, long);
        let message = |config: &Config| match outcome(&response, Asked::WriteAtOwnPath, config) {
            Ok(Some(refused)) => refused.message,
            other => panic!("{other:?}"),
        };
        assert_eq!(message(&config("")), "the server answered 422");
        let told = message(&config(r#","error":"/error""#));
        assert!(
            told.starts_with("the server answered 422: no such xxx") && told.len() == 25 + 200,
            "{told}"
        );
    }

    #[test]
    fn a_batch_is_told_record_by_record() {
        let config = config(r#","mode":"batch","error":"/error""#);
        let body = r#"{"r":[{"status":201},{"status":422,"error":"bad"},{"error":null},{"error":"worse"},{"status":503}]}"#;
        let found = outcomes(&Response::new(200, body), "/r", 5, &config).expect("results");
        let words: Vec<String> = found
            .into_iter()
            .map(|one| match one {
                Ok(None) => "taken".to_owned(),
                Ok(Some(refused)) => format!("{}: {}", refused.code, refused.message),
                Err(fault) => fault.to_string(),
            })
            .collect();
        assert_eq!(
            words,
            [
                "taken",
                "http-422: the server answered 422: bad",
                "taken",
                "refused: worse",
                "transient: the server answered 503"
            ]
        );
        for (body, pointer) in [
            ("[]", ""),
            ("{}", "/r"),
            ("7", ""),
            ("<html>", ""),
            ("[1]", ""),
            (r#"[{"status":7}]"#, ""),
        ] {
            assert!(
                outcomes(&Response::new(200, body), pointer, 1, &config).is_err(),
                "{body}"
            );
        }
    }
}
