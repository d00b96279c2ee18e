//! Subjects with places to fill in from a record: `shop.{@stream}.{country}`. A value can fill in a name, or a part of
//! one; it never becomes two, and never a wildcard.

use super::Refused;
use sluice_sdk::template::{Place, Template, Unfilled};
use sluice_sdk::{Fault, Schema};

/// The longest subject. Servers take lines of 4 KiB, with a reply and numbers in them.
const SUBJECT_BYTES_MAX: usize = 1_024;

/// A subject with places to fill in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subject(Template);

impl Subject {
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let template = Template::parse("subject", text)?;
        // As if every place held a plain name.
        if is_subject(&template.filled(|_| "x")) {
            return Ok(Self(template));
        }
        Err(Fault::misconfigured(format!(
            "`subject = {text:?}` is no subject to publish to: names between dots, without blanks and wildcards, and none of the server's own"
        )))
    }

    /// That a stream has the fields it asks for, and a name that can stand in it.
    pub(super) fn fits(&self, stream: &str, schema: &Schema) -> Result<(), Fault> {
        for field in self.0.fields() {
            schema
                .expect(field)
                .map_err(|fault| fault.context(format!("stream `{stream}`: `subject`")))?;
        }
        if self.0.has_stream() && !is_part(stream) {
            return Err(Fault::misconfigured(format!(
                "the stream's name `{stream}` cannot stand in `subject`"
            )));
        }
        Ok(())
    }

    /// All that it could become, for people and for the server: a name in which a value stands is any.
    pub(super) fn wildcard(&self, stream: Option<&str>) -> String {
        let filled = self.0.filled(|place| match (place, stream) {
            (Place::Stream, Some(stream)) => stream,
            _ => "*",
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
    pub(super) fn of(&self, stream: &str, record: &[u8]) -> Result<String, Refused> {
        let refused = |what: String| ("subject-value", what);
        let put = |value: &str| is_part(value).then(|| value.to_owned());
        let subject = self.0.fill(stream, record, put);
        let subject = subject.map_err(|unfilled| match unfilled {
            Unfilled::NoObject => refused("the record is no JSON object".to_owned()),
            Unfilled::NoValue(name) => refused(format!(
                "`{name}` has no value that a name of a subject could be"
            )),
        })?;
        if !is_subject(&subject) {
            return Err(refused(
                "its values make a subject that is too long, or the server's own".to_owned(),
            ));
        }
        Ok(subject)
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
        let check = |text: &str, record: &str, expected: Result<&str, &str>| {
            let subject = Subject::parse(text).expect(text);
            let found = subject.of("films", record.as_bytes());
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
            assert!(Subject::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_template_is_any_of_its_subjects() {
        let wildcard =
            |text: &str, stream: Option<&str>| Subject::parse(text).expect(text).wildcard(stream);
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
            let template = Subject::parse("a.{id}.b").expect("a subject");
            if let Ok(subject) = template.of("s", record.as_bytes()) {
                let names: Vec<&str> = subject.split('.').collect();
                prop_assert_eq!(names.len(), 3);
                prop_assert_eq!(names[1], value);
                prop_assert!(!subject.contains(|letter: char| letter.is_whitespace() || letter.is_control() || "*>".contains(letter)));
            }
        }
    }
}
