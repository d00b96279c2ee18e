//! Paths with places to fill in from a record: `/v1/{@stream}/{id}`. A value can fill in a name, and never become a
//! path of its own.

use crate::answer::Refused;
use serde_json::value::RawValue;
use sluice_sdk::Fault;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A path with places to fill in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    text: String,
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Stream,
    Field(String),
}

impl Template {
    pub(crate) fn parse(setting: &str, text: &str) -> Result<Self, Fault> {
        let wrong = |what: &str| Fault::misconfigured(format!("`{setting} = {text:?}` {what}"));
        if !text.starts_with('/') || text.contains(['?', '#', ' ']) {
            return Err(wrong("does not begin with `/`, or has a query"));
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            let (name, behind) = behind
                .split_once('}')
                .ok_or_else(|| wrong("opens `{` and does not close it"))?;
            pieces.push(Piece::Literal(before.to_owned()));
            pieces.push(match name {
                "" => return Err(wrong("has a `{}` without a name")),
                "@stream" => Piece::Stream,
                field => Piece::Field(field.to_owned()),
            });
            rest = behind;
        }
        pieces.push(Piece::Literal(rest.to_owned()));
        Ok(Self {
            text: text.to_owned(),
            pieces,
        })
    }

    /// As it was written, for people.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The fields it asks of a record.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Field(name) => Some(name.as_str()),
            Piece::Literal(_) | Piece::Stream => None,
        })
    }

    pub(crate) fn has_fields(&self) -> bool {
        self.fields().next().is_some()
    }

    /// The path for a record, which is a JSON object.
    pub(crate) fn fill(&self, stream: &str, record: &str) -> Result<String, Refused> {
        let values: BTreeMap<Cow<'_, str>, &RawValue> = if self.has_fields() {
            serde_json::from_str(record).map_err(|_| refused("the record is no JSON object"))?
        } else {
            BTreeMap::new()
        };
        let mut path = String::with_capacity(self.text.len() + 32);
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => path.push_str(text),
                Piece::Stream => escape(stream, &mut path),
                Piece::Field(name) => {
                    let value = values.get(name.as_str()).and_then(|value| scalar(value));
                    let value = value.ok_or_else(|| {
                        refused(&format!("`{name}` has no value that a path could hold"))
                    })?;
                    escape(&value, &mut path);
                }
            }
        }
        // Servers read `%2E%2E` as they read `..`, so that these cannot be escaped.
        if path.split('/').skip(1).any(|segment| {
            matches!(segment, "." | "..") || (segment.is_empty() && self.has_fields())
        }) {
            return Err(refused(
                "a value makes an empty name, `.` or `..` of the path",
            ));
        }
        Ok(path)
    }
}

fn refused(message: &str) -> Refused {
    Refused {
        code: "path-value".to_owned(),
        message: message.to_owned(),
    }
}

/// A text, number or boolean as text; none for what has no value, or a deeper one.
fn scalar(value: &RawValue) -> Option<String> {
    match serde_json::from_str(value.get()).ok()? {
        serde_json::Value::String(text) if !text.is_empty() => Some(text),
        serde_json::Value::Number(_) => Some(value.get().to_owned()),
        serde_json::Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// RFC 3986: everything but the unreserved characters.
fn escape(text: &str, out: &mut String) {
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_fill_in_names() {
        let check = |template: &str, record: &str, expected: Result<&str, &str>| {
            let template = Template::parse("path", template).expect(template);
            let found = template.fill("films & more", record);
            let found = found.as_deref().map_err(|refused| refused.message.as_str());
            assert_eq!(found, expected, "{record}");
        };
        check("/v1/movies", "{}", Ok("/v1/movies"));
        check("/v1/{@stream}", "{}", Ok("/v1/films%20%26%20more"));
        check("/v1/m/{id}", r#"{"id":7}"#, Ok("/v1/m/7"));
        check(
            "/v1/m/{id}",
            r#"{"id":12345678901234567890.10}"#,
            Ok("/v1/m/12345678901234567890.10"),
        );
        check(
            "/v1/m/{id}.{to}",
            r#"{"to":true,"id":"a/b?c#d e%é"}"#,
            Ok("/v1/m/a%2Fb%3Fc%23d%20e%25%C3%A9.true"),
        );
        check("/v1/m/{i\nd}", r#"{"i\nd":"x"}"#, Ok("/v1/m/x"));
        for record in [r#"{"id":null}"#, r#"{"id":""}"#, r#"{"id":[1]}"#, "{}"] {
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
        for text in ["", "v1", "/v1?x=1", "/v1/{id", "/v1/{}", "/v1#x"] {
            assert!(Template::parse("path", text).is_err(), "{text}");
        }
    }

    proptest! {
        /// No value of a record leads out of the place it fills in.
        #[test]
        fn a_value_stays_one_name(value in ".{0,30}") {
            let record = serde_json::json!({ "id": value }).to_string();
            let template = Template::parse("path", "/v1/m/{id}/x").expect("a template");
            if let Ok(path) = template.fill("s", &record) {
                let names: Vec<&str> = path.split('/').collect();
                prop_assert_eq!(names.len(), 5);
                prop_assert!(!matches!(names[3], "" | "." | ".."));
                prop_assert!(path.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\\".contains(&byte)));
            }
        }
    }
}
