//! Subjects with places to fill in from a record: `shop.{@stream}.{country}`. A value can fill in a name, or a part of
//! one; it never becomes two, and never a wildcard.

use super::Refused;
use serde_json::value::RawValue;
use sluice_sdk::{Fault, Schema};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The longest subject. Servers take lines of 4 KiB, with a reply and numbers in them.
const SUBJECT_BYTES_MAX: usize = 1_024;

/// A subject with places to fill in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Stream,
    Field(String),
}

impl Template {
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let wrong = |what: &str| Fault::misconfigured(format!("`subject = {text:?}` {what}"));
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
        let template = Self { pieces };
        // As if every place held a plain name.
        let filled: String = template.filled(|_| Cow::Borrowed("x"));
        if !is_subject(&filled) {
            return Err(wrong(
                "is no subject to publish to: names between dots, without blanks and wildcards, and none of the server's own",
            ));
        }
        Ok(template)
    }

    fn filled<'a>(&'a self, fill: impl Fn(&'a Piece) -> Cow<'a, str>) -> String {
        let piece = |piece: &'a Piece| match piece {
            Piece::Literal(text) => Cow::Borrowed(text.as_str()),
            place => fill(place),
        };
        self.pieces.iter().map(piece).collect()
    }

    /// The fields it asks of a record.
    fn fields(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Field(name) => Some(name.as_str()),
            Piece::Literal(_) | Piece::Stream => None,
        })
    }

    /// That a stream has the fields it asks for, and a name that can stand in it.
    pub(super) fn fits(&self, stream: &str, schema: &Schema) -> Result<(), Fault> {
        for field in self.fields() {
            schema
                .expect(field)
                .map_err(|fault| fault.context(format!("stream `{stream}`: `subject`")))?;
        }
        if self.pieces.contains(&Piece::Stream) && !is_part(stream) {
            return Err(Fault::misconfigured(format!(
                "the stream's name `{stream}` cannot stand in `subject`"
            )));
        }
        Ok(())
    }

    /// All that it could become, for people and for the server: a name in which a value stands is any.
    pub(super) fn wildcard(&self, stream: Option<&str>) -> String {
        let filled = self.filled(|piece| match (piece, stream) {
            (Piece::Stream, Some(stream)) => Cow::Borrowed(stream),
            _ => Cow::Borrowed("*"),
        });
        let name = |name: &str| {
            if name.contains('*') {
                "*".to_owned()
            } else {
                name.to_owned()
            }
        };
        filled.split('.').map(name).collect::<Vec<_>>().join(".")
    }

    /// The subject for a record, which is a JSON object.
    pub(super) fn fill(&self, stream: &str, record: &[u8]) -> Result<String, Refused> {
        let refused = |what: String| ("subject-value", what);
        let values: BTreeMap<Cow<'_, str>, &RawValue> = if self.fields().next().is_some() {
            serde_json::from_slice(record)
                .map_err(|_| refused("the record is no JSON object".to_owned()))?
        } else {
            BTreeMap::new()
        };
        let mut found = BTreeMap::new();
        for name in self.fields() {
            let value = values
                .get(name)
                .and_then(|value| scalar(value))
                .filter(|value| is_part(value));
            let value = value.ok_or_else(|| {
                refused(format!(
                    "`{name}` has no value that a name of a subject could be"
                ))
            })?;
            found.insert(name, value);
        }
        let subject = self.filled(|piece| match piece {
            Piece::Field(name) => Cow::Owned(found.get(name.as_str()).cloned().unwrap_or_default()),
            _ => Cow::Borrowed(stream),
        });
        if !is_subject(&subject) {
            return Err(refused(
                "its values make a subject that is too long, or the server's own".to_owned(),
            ));
        }
        Ok(subject)
    }
}

/// A text, number or boolean as text; none for what has no value, or a deeper one.
fn scalar(value: &RawValue) -> Option<String> {
    match serde_json::from_str(value.get()).ok()? {
        serde_json::Value::String(text) => Some(text),
        serde_json::Value::Number(_) => Some(value.get().to_owned()),
        serde_json::Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// What can stand in one name of a subject.
fn is_part(text: &str) -> bool {
    let is_bad =
        |letter: char| letter.is_whitespace() || letter.is_control() || ".*>".contains(letter);
    !text.is_empty() && !text.contains(is_bad)
}

/// A subject that records can be published to.
fn is_subject(text: &str) -> bool {
    let is_own = text.starts_with('$') || text.starts_with("_INBOX.");
    text.len() <= SUBJECT_BYTES_MAX && !is_own && text.split('.').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_fill_in_names() {
        let check = |template: &str, record: &str, expected: Result<&str, &str>| {
            let template = Template::parse(template).expect(template);
            let found = template.fill("films", record.as_bytes());
            let found = found.as_deref().map_err(|refused| refused.1.as_str());
            assert_eq!(found, expected, "{record}");
        };
        check("shop.orders", "no JSON", Ok("shop.orders"));
        check("shop.{@stream}", "{}", Ok("shop.films"));
        check("o.{id}.x{to}", r#"{"to":true,"id":7}"#, Ok("o.7.xtrue"));
        check(
            "o.{id}.x{to}",
            r#"{"to":true,"id":"å-1"}"#,
            Ok("o.å-1.xtrue"),
        );
        for value in [
            "null",
            "\"\"",
            "\"a.b\"",
            "\"*\"",
            "\">\"",
            "\"a b\"",
            "\"a\\r\\nPUB x 0\"",
            "[1]",
            "{}",
        ] {
            let record = format!("{{\"id\": {value}}}");
            check(
                "o.{id}",
                &record,
                Err("`id` has no value that a name of a subject could be"),
            );
        }
        check(
            "{id}.o",
            r#"{"id": "$JS"}"#,
            Err("its values make a subject that is too long, or the server's own"),
        );
        check(
            "{id}.o",
            r#"{"id": "_INBOX"}"#,
            Err("its values make a subject that is too long, or the server's own"),
        );
        check("{id}.o", "7", Err("the record is no JSON object"));
    }

    #[test]
    fn templates_that_cannot_be_are_told() {
        for text in [
            "",
            "a..b",
            ".a",
            "a.",
            "a b",
            "a.*",
            "a.>",
            "a.{id",
            "a.{}",
            "$JS.API.x",
            "_INBOX.x",
            "a\r\nPUB",
        ] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_template_is_any_of_its_subjects() {
        let wildcard =
            |text: &str, stream: Option<&str>| Template::parse(text).expect(text).wildcard(stream);
        assert_eq!(wildcard("shop.{@stream}.x{id}y.z", None), "shop.*.*.z");
        assert_eq!(
            wildcard("shop.{@stream}.x{id}y.z", Some("films")),
            "shop.films.*.z"
        );
    }

    proptest! {
        /// No value of a record leads out of the place it fills in.
        #[test]
        fn a_value_stays_one_name(value in ".{0,30}") {
            let record = serde_json::json!({ "id": value }).to_string();
            let template = Template::parse("a.{id}.b").expect("a template");
            if let Ok(subject) = template.fill("s", record.as_bytes()) {
                let names: Vec<&str> = subject.split('.').collect();
                prop_assert_eq!(names.len(), 3);
                prop_assert_eq!(names[1], value);
                prop_assert!(!subject.contains(|letter: char| letter.is_whitespace() || letter.is_control() || "*>".contains(letter)));
            }
        }
    }
}
