//! Texts of the settings with places to fill in from a record: `/v1/{@stream}/{id}`, `shop.{country}`. Deliberately not
//! what may stand in a place: that is the protocol's, and what it refuses is the record's fault.

use crate::Fault;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::convert::Infallible;

/// A text with places to fill in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Stream,
    Field(String),
}

/// A place to fill in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// `{@stream}`: the stream's name.
    Stream,
    /// `{name}`: the record's field of this name.
    Field(&'a str),
}

/// Why a record does not fill a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfilled {
    /// It is no JSON object.
    NoObject,
    /// It has no value that could stand in the place of this name.
    NoValue(String),
}

impl Template {
    /// Of a setting of this name.
    pub fn parse(setting: &str, text: &str) -> Result<Self, Fault> {
        let wrong = |what: &str| Fault::misconfigured(format!("`{setting} = {text:?}` {what}"));
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
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The fields it asks of a record.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Field(name) => Some(name.as_str()),
            Piece::Literal(_) | Piece::Stream => None,
        })
    }

    /// Whether it asks for any.
    pub fn has_fields(&self) -> bool {
        self.fields().next().is_some()
    }

    /// Whether it asks for the stream's name.
    pub fn has_stream(&self) -> bool {
        self.pieces.contains(&Piece::Stream)
    }

    /// With each place as `fill` has it, without a record.
    pub fn filled<'a>(&'a self, fill: impl Fn(Place<'a>) -> &'a str) -> String {
        let Ok(text) = self.each_place(|place| Ok::<_, Infallible>(Cow::Borrowed(fill(place))));
        text
    }

    /// For a record, which is a JSON object. `put` gives what stands for a value, which is a text, a number or a boolean;
    /// none where the value cannot stand there.
    pub fn fill(
        &self,
        stream: &str,
        record: &[u8],
        put: impl Fn(&str) -> Option<String>,
    ) -> Result<String, Unfilled> {
        let values: BTreeMap<Cow<'_, str>, &RawValue> = if self.has_fields() {
            serde_json::from_slice(record).map_err(|_| Unfilled::NoObject)?
        } else {
            BTreeMap::new()
        };
        self.each_place(|place| {
            let (name, value) = match place {
                Place::Stream => ("@stream", Some(Cow::Borrowed(stream))),
                Place::Field(name) => {
                    let value = values.get(name).and_then(|value| scalar(value));
                    (name, value.map(Cow::Owned))
                }
            };
            let value = value.and_then(|value| put(&value));
            let value = value.ok_or_else(|| Unfilled::NoValue(name.to_owned()))?;
            Ok(Cow::Owned(value))
        })
    }

    fn each_place<'a, E>(
        &'a self,
        fill: impl Fn(Place<'a>) -> Result<Cow<'a, str>, E>,
    ) -> Result<String, E> {
        let piece = |piece: &'a Piece| match piece {
            Piece::Literal(text) => Ok(Cow::Borrowed(text.as_str())),
            Piece::Stream => fill(Place::Stream),
            Piece::Field(name) => fill(Place::Field(name)),
        };
        self.pieces.iter().map(piece).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str) -> Template {
        Template::parse("path", text).expect(text)
    }

    #[test]
    fn values_fill_in_places() {
        let check = |text: &str, record: &str, expected: Result<&str, Unfilled>| {
            let put = |value: &str| (value != "no").then(|| format!("<{value}>"));
            let found = template(text).fill("films", record.as_bytes(), put);
            assert_eq!(found.as_deref().map_err(Clone::clone), expected, "{record}");
        };
        let no_value = |name: &str| Err(Unfilled::NoValue(name.to_owned()));
        check("/v1", "no JSON", Ok("/v1"));
        check("/v1/{@stream}", "{}", Ok("/v1/<films>"));
        check("{id}.{to}}", r#"{"to":true,"id":7}"#, Ok("<7>.<true>}"));
        check(
            "/{id}/",
            r#"{"id":12345678901234567890.10}"#,
            Ok("/<12345678901234567890.10>/"),
        );
        check("{i\nd}", r#"{"i\nd":"å\n"}"#, Ok("<å\n>"));
        check("{id}", r#"{"id":""}"#, Ok("<>"));
        for value in ["null", "[1]", "{}", "\"no\""] {
            check("/{id}", &format!("{{\"id\":{value}}}"), no_value("id"));
        }
        check("/{id}", "{}", no_value("id"));
        for record in ["7", "", "{\"id\":", "[]"] {
            check("/{id}", record, Err(Unfilled::NoObject));
        }
    }

    #[test]
    fn a_template_knows_its_places() {
        let place = |place| match place {
            Place::Stream => "films",
            Place::Field(name) => name,
        };
        let both = template("a.{@stream}.x{id}y");
        assert_eq!(both.filled(place), "a.films.xidy");
        assert_eq!(both.text(), "a.{@stream}.x{id}y");
        assert_eq!(both.fields().collect::<Vec<_>>(), ["id"]);
        assert!(both.has_fields() && both.has_stream());
        let none = template("a");
        assert!(!none.has_fields() && !none.has_stream());
    }

    #[test]
    fn templates_that_cannot_be_are_told() {
        for (text, expected) in [
            ("/v1/{id", "opens `{` and does not close it"),
            ("{a}{", "opens `{` and does not close it"),
            ("/v1/{}", "has a `{}` without a name"),
        ] {
            let told = Template::parse("path", text).expect_err(text).to_string();
            assert_eq!(told, format!("misconfigured: `path = {text:?}` {expected}"));
        }
    }
}
