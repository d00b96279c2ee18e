//! What the plugin must know of an answer: where its records are, how many, and single values. Everything else stays
//! text: the host decodes it natively.

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

/// The value at an RFC 6901 pointer; none where there is nothing. An error is where the text is no JSON.
pub(crate) fn at<'a>(
    json: &'a str,
    pointer: &str,
) -> Result<Option<&'a RawValue>, serde_json::Error> {
    let mut found = serde_json::from_str::<&RawValue>(json)?;
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        let seed = Child(&token);
        let mut input = serde_json::Deserializer::from_str(found.get());
        match seed.deserialize(&mut input)? {
            Some(child) => found = child,
            None => return Ok(None),
        }
    }
    Ok(Some(found))
}

/// The records there: the items of an array, or the one object; none for null. Whether it was an array is told too.
pub(crate) fn records(value: &RawValue) -> Result<(Vec<&RawValue>, bool), serde_json::Error> {
    match value.get().as_bytes().first() {
        Some(b'[') => Ok((serde_json::from_str(value.get())?, true)),
        Some(b'{') => Ok((vec![value], false)),
        Some(b'n') => Ok((Vec::new(), true)),
        _ => Err(serde_json::Error::custom("neither an array nor an object")),
    }
}

/// The names of an object's fields, for a message.
pub(crate) fn names(json: &str) -> Vec<String> {
    const SHOWN_MAX: usize = 10;
    serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(json)
        .map(|fields| {
            fields
                .into_iter()
                .map(|(name, _)| name)
                .take(SHOWN_MAX)
                .collect()
        })
        .unwrap_or_default()
}

/// Picks one member of an object or one item of an array, and passes over the rest.
struct Child<'t>(&'t str);

impl<'de> DeserializeSeed<'de> for Child<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Child<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("json")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            if name == self.0 {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let wanted = self.0.parse::<usize>().ok();
        let (mut at, mut found) = (0, None);
        while let Some(item) = seq.next_element::<&RawValue>()? {
            if Some(at) == wanted {
                found = Some(item);
            }
            at += 1;
        }
        Ok(found)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// A text that orders records. Stops a record from filling the cursor.
const MARK_BYTES_MAX: usize = 256;

/// A value that orders records: what a later run asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Mark {
    /// A whole number.
    Whole(i64),
    /// Any other number.
    Number(f64),
    /// A text.
    Text(String),
}

impl Mark {
    /// The value, where it is a number or a text that is no longer than [`MARK_BYTES_MAX`].
    pub(crate) fn of(value: &RawValue) -> Option<Self> {
        let fits = |mark: &Self| !matches!(mark, Mark::Text(text) if text.len() > MARK_BYTES_MAX);
        serde_json::from_str(value.get()).ok().filter(fits)
    }

    /// Numbers by size, texts byte by byte; nothing between the two.
    pub(crate) fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Mark::Text(one), Mark::Text(other)) => Some(one.cmp(other)),
            (Mark::Whole(one), Mark::Whole(other)) => Some(one.cmp(other)),
            _ => self.number()?.partial_cmp(&other.number()?),
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Mark::Whole(whole) => Some(*whole as f64),
            Mark::Number(number) => Some(*number),
            Mark::Text(_) => None,
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mark::Whole(whole) => whole.fmt(f),
            Mark::Number(number) => number.fmt(f),
            Mark::Text(text) => text.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pointers_lead_into_an_answer() {
        let json = r#"{"a":{"b/c":[1,{"d~e":"x"}]},"n":null,"a\n":2,"t":true}"#;
        let check = |pointer: &str, expected: Option<&str>| {
            assert_eq!(
                at(json, pointer).expect("json").map(RawValue::get),
                expected,
                "{pointer}"
            );
        };
        check("", Some(json));
        check("/a/b~1c/1/d~0e", Some("\"x\""));
        check("/a/b~1c/0", Some("1"));
        check("/a/b~1c/2", None);
        check("/a/b~1c/x", None);
        check("/n", Some("null"));
        check("/n/x", None);
        check("/t/x", None);
        check("/missing", None);
        check("/a\n", Some("2"));
        assert!(
            at("<html>", "/a").is_err() && at("{\"a\":1", "/a").is_err() && at("{} x", "").is_err()
        );
    }

    #[test]
    fn records_are_items_or_one_object() {
        let check = |json: &str, expected: Option<(usize, bool)>| {
            let value: &RawValue = serde_json::from_str(json).expect("json");
            assert_eq!(
                records(value)
                    .ok()
                    .map(|(records, array)| (records.len(), array)),
                expected,
                "{json}"
            );
        };
        check("[{},{}]", Some((2, true)));
        check("[]", Some((0, true)));
        check("{}", Some((1, false)));
        check("null", Some((0, true)));
        check("\"x\"", None);
        check("7", None);
    }

    #[test]
    fn marks_are_ordered() {
        let mark = |json: &str| Mark::of(serde_json::from_str(json).expect("json"));
        let check = |one: &str, other: &str, expected: Option<Ordering>| {
            assert_eq!(
                mark(one).and_then(|one| one.order(&mark(other)?)),
                expected,
                "{one} {other}"
            );
        };
        check("9", "10", Some(Ordering::Less));
        check("9.5", "9", Some(Ordering::Greater));
        check("\"9\"", "\"10\"", Some(Ordering::Greater));
        check("\"2026-01-01\"", "\"2026-01-02\"", Some(Ordering::Less));
        check("9", "\"9\"", None);
        check("null", "9", None);
        check(&format!("{:?}", "x".repeat(257)), "\"a\"", None);
        check(
            "9223372036854775807",
            "9223372036854775806",
            Some(Ordering::Greater),
        );
        assert_eq!(mark("1.5").map(|mark| mark.to_string()), Some("1.5".into()));
    }

    proptest! {
        #[test]
        fn hostile_answers_break_nothing(json in "[\\[\\]{}\",:0-9a-z/~ ]{0,60}", pointer in "(/[a-z0-9~]{0,3}){0,4}") {
            if let Ok(Some(value)) = at(&json, &pointer) {
                let _ = records(value);
                let _ = Mark::of(value);
            }
        }
    }
}
