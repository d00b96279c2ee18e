//! Reading the files people write, so that a mistake is told by file, line and the nearest right word.
//! Knows TOML and where things stand in it; not what any file means.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A mistake in a file somebody wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileError {
    /// The file, as it was named.
    pub file: String,
    /// From 1; none where the mistake is what is not there.
    pub line: Option<usize>,
    /// From 1, in characters.
    pub column: Option<usize>,
    /// What is wrong, in lower case.
    pub message: String,
    /// The next step.
    pub hint: Option<String>,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(column) = self.column {
            write!(f, ":{column}")?;
        }
        write!(f, ": {}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for FileError {}

impl FileError {
    /// A mistake in this file, without a place.
    pub fn new(file: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            line: None,
            column: None,
            message: message.into(),
            hint: None,
        }
    }

    /// With the next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// At this byte of the file's text.
    #[must_use]
    pub fn at(mut self, text: &str, byte: usize) -> Self {
        let before = &text[..text.floor_char_boundary(byte.min(text.len()))];
        self.line = Some(before.matches('\n').count() + 1);
        self.column = Some(
            before
                .rsplit('\n')
                .next()
                .map_or(0, |line| line.chars().count())
                + 1,
        );
        self
    }

    /// At the value of this JSON pointer; see [`locate`].
    #[must_use]
    pub fn at_pointer(self, text: &str, pointer: &str) -> Self {
        match locate(text, pointer) {
            Some(byte) => self.at(text, byte),
            None => self,
        }
    }

    /// At the line where this table or key stands: the first that begins with any of `needles`, tried in order.
    #[must_use]
    pub fn near(self, text: &str, needles: &[&str]) -> Self {
        for needle in needles {
            let mut start = 0;
            for line in text.split_inclusive('\n') {
                let indent = line.len() - line.trim_start().len();
                if line[indent..].starts_with(needle) {
                    return self.at(text, start + indent);
                }
                start += line.len();
            }
        }
        self
    }
}

/// Reads `text`, the contents of `file`. Unknown keys are errors that name the nearest known one.
pub fn parse<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, FileError> {
    toml::from_str(text).map_err(|error| {
        let message = error.message().trim().replace('\n', " ");
        let mut found = match unknown_key(&message) {
            Some((key, known)) => {
                let error = FileError::new(file, format!("unknown key `{key}`"));
                match nearest(key, &known) {
                    Some(near) => error.hint(format!("did you mean `{near}`?")),
                    None => error.hint(format!("known here: {}", list(&known))),
                }
            }
            None => FileError::new(file, decapitalised(&message)),
        };
        if let Some(span) = error.span() {
            found = found.at(text, span.start);
        }
        found
    })
}

/// Where the value at this JSON pointer (`/sink/0/config/dir`) stands in a TOML text, as a byte; that of its nearest
/// ancestor where it does not exist.
pub fn locate(text: &str, pointer: &str) -> Option<usize> {
    let table = toml::de::DeTable::parse(text).ok()?;
    let mut found = None;
    let mut here = Here::Table(table.get_ref());
    for step in pointer.split('/').skip(1) {
        let step = step.replace("~1", "/").replace("~0", "~");
        let (place, value) = match here {
            Here::Table(table) => {
                let Some((key, value)) = table.iter().find(|(key, _)| key.get_ref() == &step)
                else {
                    break;
                };
                (key.span().start, value)
            }
            Here::Value(toml::de::DeValue::Array(items)) => {
                let Some(value) = step.parse().ok().and_then(|at: usize| items.get(at)) else {
                    break;
                };
                (value.span().start, value)
            }
            Here::Value(_) => break,
        };
        found = Some(place);
        here = match value.get_ref() {
            toml::de::DeValue::Table(table) => Here::Table(table),
            other => Here::Value(other),
        };
    }
    found
}

enum Here<'a> {
    Table(&'a toml::de::DeTable<'a>),
    Value(&'a toml::de::DeValue<'a>),
}

/// Serde's words about a field it does not know, taken apart: the field, and those it knows.
fn unknown_key(message: &str) -> Option<(&str, Vec<&str>)> {
    let rest = message.strip_prefix("unknown field `")?;
    let (key, rest) = rest.split_once('`')?;
    Some((key, rest.split('`').skip(1).step_by(2).collect()))
}

/// The known word nearest to the one typed, where one is near enough to be meant.
pub fn nearest<'a>(typed: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|word| (strsim::damerau_levenshtein(typed, word), *word))
        .filter(|(distance, word)| *distance <= 1 + word.len() / 3)
        .min()
        .map(|(_, word)| word)
}

fn list(words: &[&str]) -> String {
    words
        .iter()
        .map(|word| format!("`{word}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn decapitalised(message: &str) -> String {
    let mut chars = message.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its shape matters")]
    struct Shape {
        host: String,
        port: Option<u16>,
    }

    #[test]
    fn values_are_found_by_pointer() {
        let text = "[a]\nb = { c = 1 }\n[[d]]\ne = 1\n[[d]]\ne = [1, 22]\n";
        for (pointer, line) in [
            ("/a", 1),
            ("/a/b", 2),
            ("/a/b/c", 2),
            ("/a/x", 1),
            ("/d/0/e", 4),
            ("/d/1", 5),
            ("/d/1/e/1", 6),
        ] {
            let error = FileError::new("f", "m").at_pointer(text, pointer);
            assert_eq!(error.line, Some(line), "{pointer}");
        }
        assert_eq!(locate(text, "/zzz"), None);
    }

    #[test]
    fn mistakes_have_a_place_and_a_hint() {
        let error = parse::<Shape>("x.toml", "host = \"a\"\nprot = 1\n").expect_err("a typo");
        assert_eq!(
            error.to_string(),
            "x.toml:2:1: unknown key `prot`\n  hint: did you mean `port`?"
        );
        let error = parse::<Shape>("x.toml", "host = \"a\"\nzzzzzz = 1\n").expect_err("a typo");
        assert_eq!(error.hint.as_deref(), Some("known here: `host`, `port`"));
        let error = parse::<Shape>("x.toml", "host = 1\n").expect_err("a type");
        assert_eq!((error.line, error.column), (Some(1), Some(8)));
        let error = parse::<Shape>("x.toml", "port = 1\n").expect_err("a missing key");
        assert!(error.message.contains("missing field `host`"), "{error}");
    }
}
