//! A value of the log as the host reads it in CSV: the same text that a page of its table has for it.

use super::super::types::Kind;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sluice_sql::unhex;
use std::borrow::Cow;

/// What the log writes of this kind, as the host reads it. Not of [`Kind::Structure`], which the server itself makes
/// JSON of.
pub(super) fn written(kind: Kind, text: &[u8]) -> Option<Cow<'_, [u8]>> {
    Some(match kind {
        Kind::Boolean => Cow::Borrowed(match text {
            b"t" => b"true",
            b"f" => b"false",
            _ => return None,
        }),
        // The session's zone is UTC. A year before the first has ` BC` behind the zone.
        Kind::ZonedMoment => match text.strip_suffix(b"+00") {
            Some(moment) => Cow::Borrowed(moment),
            None => match text.strip_suffix(b"+00 BC") {
                Some(moment) => Cow::Owned([moment, b" BC"].concat()),
                None => Cow::Borrowed(text), // `infinity`.
            },
        },
        Kind::Binary => Cow::Owned(
            STANDARD
                .encode(unhex(text.strip_prefix(b"\\x")?)?)
                .into_bytes(),
        ),
        _ => Cow::Borrowed(text),
    })
}

/// Values as one text that the server reads as an array of texts.
pub(super) fn array<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut text = "{".to_owned();
    for (at, value) in values.into_iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        text.push('"');
        for letter in String::from_utf8_lossy(value).chars() {
            if matches!(letter, '"' | '\\') {
                text.push('\\');
            }
            text.push(letter);
        }
        text.push('"');
    }
    text.push('}');
    text
}

/// A value that is not CSV yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cell {
    Null,
    /// As the log has it.
    Logged(Bytes),
    /// As the host reads it.
    Written(Vec<u8>),
    /// Not told: it is as it was.
    Unchanged,
}

impl Cell {
    /// Of what it holds, and of the memory that it takes: about.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Logged(text) => text.len(),
                Self::Written(text) => text.len(),
                Self::Null | Self::Unchanged => 0,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_written_as_a_page_has_it() {
        for (kind, logged, expected) in [
            (Kind::Boolean, "t", Some("true")),
            (Kind::Boolean, "f", Some("false")),
            (Kind::Boolean, "yes", None),
            (Kind::Integer, "-17", Some("-17")),
            (
                Kind::ZonedMoment,
                "2026-11-27 08:00:00.5+00",
                Some("2026-11-27 08:00:00.5"),
            ),
            (
                Kind::ZonedMoment,
                "0044-03-15 00:00:00+00 BC",
                Some("0044-03-15 00:00:00 BC"),
            ),
            (Kind::ZonedMoment, "infinity", Some("infinity")),
            (
                Kind::Moment,
                "2026-11-27 08:00:00",
                Some("2026-11-27 08:00:00"),
            ),
            (Kind::Binary, "\\x", Some("")),
            (Kind::Binary, "\\x00ff10", Some("AP8Q")),
            (Kind::Binary, "\\x00ff", Some("AP8=")),
            (Kind::Binary, "\\xfa", Some("+g==")),
            (Kind::Binary, "\\xf", None),
            (Kind::Binary, "\\x+1", None),
            (Kind::Binary, "\\000", None),
        ] {
            let found = written(kind, logged.as_bytes());
            let found = found.map(|text| String::from_utf8_lossy(&text).into_owned());
            assert_eq!(found.as_deref(), expected, "{logged}");
        }
    }

    #[test]
    fn an_array_holds_any_text() {
        let values = [b"a".as_slice(), b"", b"{1,\"2\\\"}", b"NULL"];
        assert_eq!(array(values), r#"{"a","","{1,\"2\\\"}","NULL"}"#);
        assert_eq!(array([]), "{}");
    }
}
