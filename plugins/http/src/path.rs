//! Paths of records: `/v1/{@stream}/{id}`. A value can fill in a name, and never become a path of its own.

use crate::answer::Refused;
use sluice_sdk::Fault;
use sluice_sdk::template::{Template, Unfilled};
use std::fmt::Write as _;

/// The template of a path.
pub(crate) fn parse(setting: &str, text: &str) -> Result<Template, Fault> {
    if !text.starts_with('/') || text.contains(['?', '#', ' ']) {
        return Err(Fault::misconfigured(format!(
            "`{setting} = {text:?}` does not begin with `/`, or has a query"
        )));
    }
    Template::parse(setting, text)
}

/// The path for a record, which is a JSON object.
pub(crate) fn of(template: &Template, stream: &str, record: &str) -> Result<String, Refused> {
    let put = |value: &str| (!value.is_empty()).then(|| escaped(value));
    let path = template.fill(stream, record.as_bytes(), put);
    let path = path.map_err(|unfilled| match unfilled {
        Unfilled::NoObject => refused("the record is no JSON object"),
        Unfilled::NoValue(name) => {
            refused(&format!("`{name}` has no value that a path could hold"))
        }
    })?;
    // Servers read `%2E%2E` as they read `..`, so that these cannot be escaped.
    if path.split('/').skip(1).any(|segment| {
        matches!(segment, "." | "..") || (segment.is_empty() && template.has_fields())
    }) {
        return Err(refused(
            "a value makes an empty name, `.` or `..` of the path",
        ));
    }
    Ok(path)
}

fn refused(message: &str) -> Refused {
    Refused {
        code: "path-value".to_owned(),
        message: message.to_owned(),
    }
}

/// RFC 3986: everything but the unreserved characters.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => {
                // Writing to a string cannot fail.
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_fill_in_names() {
        let check = |template: &str, record: &str, expected: Result<&str, &str>| {
            let template = parse("path", template).expect(template);
            let found = of(&template, "films & more", record);
            let found = found.as_deref().map_err(|refused| refused.message.as_str());
            assert_eq!(found, expected, "{record}");
        };
        check("/v1/movies", "{}", Ok("/v1/movies"));
        check("/v1/{@stream}", "{}", Ok("/v1/films%20%26%20more"));
        check("/v1/m/{id}", r#"{"id":7}"#, Ok("/v1/m/7"));
        check(
            "/v1/m/{id}.{to}",
            r#"{"to":true,"id":"a/b?c#d e%é"}"#,
            Ok("/v1/m/a%2Fb%3Fc%23d%20e%25%C3%A9.true"),
        );
        for record in [r#"{"id":null}"#, r#"{"id":""}"#] {
            check(
                "/v1/m/{id}",
                record,
                Err("`id` has no value that a path could hold"),
            );
        }
        for record in [r#"{"id":".."}"#, r#"{"id":"."}"#] {
            check(
                "/v1/m/{id}",
                record,
                Err("a value makes an empty name, `.` or `..` of the path"),
            );
        }
    }

    #[test]
    fn templates_that_cannot_be_are_told() {
        for text in ["", "v1", "/v1?x=1", "/v1/{id", "/v1#x"] {
            assert!(parse("path", text).is_err(), "{text}");
        }
    }

    proptest! {
        /// No value of a record leads out of the place it fills in.
        #[test]
        fn a_value_stays_one_name(value in ".{0,30}") {
            let record = serde_json::json!({ "id": value }).to_string();
            let template = parse("path", "/v1/m/{id}/x").expect("a template");
            if let Ok(path) = of(&template, "s", &record) {
                let names: Vec<&str> = path.split('/').collect();
                prop_assert_eq!(names.len(), 5);
                prop_assert!(!matches!(names[3], "" | "." | ".."));
                prop_assert!(path.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\\".contains(&byte)));
            }
        }
    }
}
