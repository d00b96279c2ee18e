//! Reads JSON text byte by byte: whitespace, strings, and whole values that are only checked or kept. Not a tree:
//! nothing is built here, and nothing is allocated.
//!
//! Follows RFC 8259. The bytes are valid UTF-8 before they come here; every read is bounds-checked, nesting stops at
//! [`limits::JSON_DEPTH_MAX`], and each byte is looked at a bounded number of times.

use super::number::Number;
use sluice_model::guards::Guard;
use sluice_model::limits;

/// What is wrong with a JSON text, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flaw {
    /// The byte it was found at, counted from the start of the scanned text.
    pub at: usize,
    /// What is wrong.
    pub kind: FlawKind,
}

/// What can be wrong with a JSON text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlawKind {
    /// It ends before the value does.
    Truncated,
    /// Something else should stand here.
    Expected(&'static str),
    /// Nested more deeply than [`limits::JSON_DEPTH_MAX`].
    TooDeep,
}

/// What kind of value begins here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// `null`
    Null,
    /// `true` or `false`
    Boolean,
    /// A number.
    Number,
    /// A string.
    Text,
    /// `[…]`
    Array,
    /// `{…}`
    Object,
    /// Nothing that JSON has.
    Nothing,
}

impl Found {
    /// The kind in one or two words.
    pub fn word(self) -> &'static str {
        match self {
            Found::Null => "null",
            Found::Boolean => "a boolean",
            Found::Number => "a number",
            Found::Text => "text",
            Found::Array => "an array",
            Found::Object => "an object",
            Found::Nothing => "nothing that JSON has",
        }
    }
}

/// A place in a JSON text.
#[derive(Debug, Clone)]
pub struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Whether whitespace was skipped since the flag was last cleared.
    spaced: bool,
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Where the first `"`, `\` or control character stands at or after `at`; the text's length where there is none.
#[inline]
pub fn special(bytes: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*chunk);
        let quote = word ^ (ONES * 0x22);
        let escape = word ^ (ONES * 0x5c);
        let hits = ((quote.wrapping_sub(ONES) & !quote)
            | (escape.wrapping_sub(ONES) & !escape)
            | (word.wrapping_sub(ONES * 0x20) & !word))
            & HIGHS;
        if hits != 0 {
            return at + (hits.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest
        .iter()
        .position(|&byte| byte < 0x20 || byte == b'"' || byte == b'\\')
        .unwrap_or(rest.len())
}

impl<'a> Scanner<'a> {
    /// At the beginning of a text.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            spaced: false,
        }
    }

    /// How many bytes lie behind.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Goes to another place of the same text.
    pub fn go(&mut self, at: usize) {
        self.at = at;
    }

    /// The bytes between two places.
    pub fn between(&self, start: usize, end: usize) -> &'a [u8] {
        self.bytes.get(start..end).unwrap_or_default()
    }

    /// All that lies ahead.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// The byte here.
    #[inline]
    pub fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Steps over this byte if it stands here.
    #[inline]
    pub fn eat(&mut self, byte: u8) -> bool {
        let here = self.peek() == Some(byte);
        self.at += usize::from(here);
        here
    }

    /// Steps over these bytes if they stand here. Compares in place: a call would cost more than the few words do.
    #[inline]
    pub fn eat_all(&mut self, bytes: &[u8]) -> bool {
        let Some(here) = self.bytes.get(self.at..self.at + bytes.len()) else {
            return false;
        };
        let (words, rest) = bytes.as_chunks::<8>();
        let (here_words, here_rest) = here.as_chunks::<8>();
        let differs = words
            .iter()
            .zip(here_words)
            .fold(0, |differs, (word, here)| {
                differs | (u64::from_le_bytes(*word) ^ u64::from_le_bytes(*here))
            });
        if differs != 0 || rest.iter().zip(here_rest).any(|(byte, here)| byte != here) {
            return false;
        }
        self.at += bytes.len();
        true
    }

    /// Steps over spaces, tabs and line ends.
    #[inline]
    pub fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.peek() {
            self.at += 1;
            self.spaced = true;
        }
    }

    /// Something else should stand here.
    #[cold]
    pub fn expected(&self, what: &'static str) -> Flaw {
        let kind = if self.at < self.bytes.len() {
            FlawKind::Expected(what)
        } else {
            FlawKind::Truncated
        };
        Flaw {
            at: self.at.min(self.bytes.len()),
            kind,
        }
    }

    /// What kind of value begins here.
    pub fn found(&self) -> Found {
        match self.peek() {
            Some(b'n') => Found::Null,
            Some(b't' | b'f') => Found::Boolean,
            Some(b'-' | b'0'..=b'9') => Found::Number,
            Some(b'"') => Found::Text,
            Some(b'[') => Found::Array,
            Some(b'{') => Found::Object,
            _ => Found::Nothing,
        }
    }

    /// Reads a string whose opening quote stands here: its bytes if it has no escapes, else none, and the text with
    /// its escapes undone is appended to `unescaped`.
    #[inline]
    pub fn string(&mut self, unescaped: &mut Vec<u8>) -> Result<Option<&'a [u8]>, Flaw> {
        let start = self.at + 1;
        let end = special(self.bytes, start);
        if self.bytes.get(end) == Some(&b'"') {
            self.at = end + 1;
            return Ok(Some(self.between(start, end)));
        }
        self.at = end;
        unescaped.extend_from_slice(self.between(start, end));
        self.escaped_string(Some(unescaped))?;
        Ok(None)
    }

    /// Reads on from the first escape of a string to behind its closing quote.
    #[cold]
    fn escaped_string(&mut self, mut unescaped: Option<&mut Vec<u8>>) -> Result<(), Flaw> {
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    let character = self.escape()?;
                    if let Some(text) = unescaped.as_deref_mut() {
                        text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                    }
                }
                _ => return Err(self.expected("no control character inside a string")),
            }
            let end = special(self.bytes, self.at);
            if let Some(text) = unescaped.as_deref_mut() {
                text.extend_from_slice(self.between(self.at, end));
            }
            self.at = end;
        }
    }

    fn escape(&mut self) -> Result<char, Flaw> {
        self.at += 1;
        let character = match self.peek() {
            Some(plain @ (b'"' | b'\\' | b'/')) => char::from(plain),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => return Err(self.expected("an escape that JSON has")),
        };
        self.at += 1;
        Ok(character)
    }

    fn unicode_escape(&mut self) -> Result<char, Flaw> {
        let first = self.four_digits()?;
        let code = match first {
            0xd800..=0xdbff if self.eat(b'\\') && self.peek() == Some(b'u') => {
                let second = self.four_digits()?;
                if !(0xdc00..=0xdfff).contains(&second) {
                    return Err(self.expected("the second half of a surrogate pair"));
                }
                0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)
            }
            other => other,
        };
        char::from_u32(code).ok_or_else(|| self.expected("the second half of a surrogate pair"))
    }

    /// Reads `u` and four hexadecimal digits.
    fn four_digits(&mut self) -> Result<u32, Flaw> {
        let digits = self
            .bytes
            .get(self.at + 1..)
            .and_then(<[u8]>::first_chunk::<4>);
        let value = digits.and_then(|digits| {
            digits.iter().try_fold(0, |value, &digit| {
                Some(value * 16 + char::from(digit).to_digit(16)?)
            })
        });
        let value = value.ok_or_else(|| self.expected("four hexadecimal digits"))?;
        self.at += 5;
        Ok(value)
    }

    /// Steps over a string whose opening quote stands here.
    fn skip_string(&mut self) -> Result<(), Flaw> {
        self.at = special(self.bytes, self.at + 1);
        self.escaped_string(None)
    }

    /// Steps over a word such as `null`.
    #[inline]
    pub fn word(&mut self, word: &'static str) -> Result<(), Flaw> {
        if self.eat_all(word.as_bytes()) {
            Ok(())
        } else {
            Err(self.expected("a JSON value"))
        }
    }

    /// Steps over one value, checking it. `depth` is how many arrays and objects are open around it.
    pub fn skip_value(&mut self, depth: usize) -> Result<(), Flaw> {
        match self.peek() {
            Some(b'"') => self.skip_string(),
            Some(b'-' | b'0'..=b'9') => Number::read(self).map(drop),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            Some(b'[' | b'{') if depth >= Guard::JsonDepth.limit(limits::JSON_DEPTH_MAX) => {
                Err(Flaw {
                    at: self.at,
                    kind: FlawKind::TooDeep,
                })
            }
            Some(b'[') => self.skip_members(b']', |inner| inner.skip_value(depth + 1)),
            Some(b'{') => self.skip_members(b'}', |inner| {
                inner.skip_key()?;
                inner.skip_value(depth + 1)
            }),
            _ => Err(self.expected("a JSON value")),
        }
    }

    fn skip_members(
        &mut self,
        close: u8,
        mut member: impl FnMut(&mut Self) -> Result<(), Flaw>,
    ) -> Result<(), Flaw> {
        self.at += 1;
        self.skip_space();
        if self.eat(close) {
            return Ok(());
        }
        loop {
            member(self)?;
            self.skip_space();
            if self.eat(close) {
                return Ok(());
            }
            self.comma()?;
        }
    }

    /// Steps over a comma and the space behind it.
    #[inline]
    pub fn comma(&mut self) -> Result<(), Flaw> {
        if !self.eat(b',') {
            return Err(self.expected("`,` or the end of the array or object"));
        }
        self.skip_space();
        Ok(())
    }

    /// Steps over a key's colon and the space around it.
    #[inline]
    pub fn colon(&mut self) -> Result<(), Flaw> {
        self.skip_space();
        if !self.eat(b':') {
            return Err(self.expected("`:`"));
        }
        self.skip_space();
        Ok(())
    }

    fn skip_key(&mut self) -> Result<(), Flaw> {
        if self.peek() != Some(b'"') {
            return Err(self.expected("a field name in quotes"));
        }
        self.skip_string()?;
        self.colon()
    }

    /// Steps over one value and appends it to `out` without the whitespace between its parts.
    pub fn keep_value(&mut self, depth: usize, out: &mut Vec<u8>) -> Result<(), Flaw> {
        let start = self.at;
        self.spaced = false;
        self.skip_value(depth)?;
        let text = self.between(start, self.at);
        if self.spaced {
            compact(text, out);
        } else {
            out.extend_from_slice(text);
        }
        Ok(())
    }

    /// Steps over an array or object that is nested too deeply to be read, by counting brackets. Its brackets may
    /// not match in kind; it is refused whatever it holds, and only its end is wanted.
    pub fn skip_deep(&mut self) -> Result<(), Flaw> {
        let mut open = 0_usize;
        loop {
            match self.peek() {
                Some(b'"') => self.skip_string()?,
                Some(byte) => {
                    self.at += 1;
                    match byte {
                        b'[' | b'{' => open += 1,
                        b']' | b'}' => open = open.saturating_sub(1),
                        _ => {}
                    }
                }
                None => return Err(self.expected("the end of the array or object")),
            }
            if open == 0 {
                return Ok(());
            }
        }
    }
}

/// Appends a JSON text that is known to be valid without the whitespace between its parts.
pub fn compact(text: &[u8], out: &mut Vec<u8>) {
    let (mut at, mut kept) = (0, 0);
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => at = string_end(text, at),
            b' ' | b'\t' | b'\r' | b'\n' => {
                out.extend_from_slice(&text[kept..at]);
                at += 1;
                kept = at;
            }
            _ => at += 1,
        }
    }
    out.extend_from_slice(&text[kept..]);
}

/// Where the string that begins at `at` ends, its closing quote included.
fn string_end(text: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    loop {
        at = special(text, at);
        match text.get(at) {
            None => return text.len(),
            Some(b'"') => return at + 1,
            Some(b'\\') => at = (at + 2).min(text.len()),
            Some(_) => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Whether the whole text is one JSON value.
    fn valid(text: &[u8]) -> Result<(), FlawKind> {
        let mut scanner = Scanner::new(text);
        scanner.skip_space();
        scanner.skip_value(0).map_err(|flaw| flaw.kind)?;
        scanner.skip_space();
        if scanner.peek().is_some() {
            Err(FlawKind::Expected("the end"))
        } else {
            Ok(())
        }
    }

    #[test]
    fn agrees_with_serde_json_on_what_is_json() {
        for text in [
            "null",
            "true",
            "false",
            "nul",
            "tru",
            "0",
            "-0",
            "01",
            "-",
            "1.",
            ".5",
            "1.5",
            "1e5",
            "1E+5",
            "1e",
            "1e+",
            "\"\"",
            "\"a",
            "\"\\n\"",
            "\"\\x\"",
            "\"\\u00e9\"",
            "\"\\u12\"",
            "\"\\ud83d\\ude00\"",
            "\"\\ud83d\"",
            "\"\\ude00\"",
            "\"\\ud83d\\n\"",
            "\"a\tb\"",
            "[]",
            "[1]",
            "[1,]",
            "[,]",
            "[1 2]",
            "{}",
            "{\"a\":1}",
            "{\"a\" : 1 , \"b\":[ ]}",
            "{a:1}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "[",
            "{",
            "]",
            "",
            " ",
            "1 2",
            "\u{feff}1",
            "NaN",
            "Infinity",
            "'a'",
            "[\"\\\\\"]",
            "\"\u{7f}\"",
            "\"\\/\"",
            "+1",
            "0x10",
            "1_0",
        ] {
            let theirs = serde_json::from_str::<serde_json::Value>(text).is_ok();
            assert_eq!(valid(text.as_bytes()).is_ok(), theirs, "{text}");
        }
    }

    #[test]
    fn nesting_has_an_end() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(valid(nested(limits::JSON_DEPTH_MAX).as_bytes()), Ok(()));
        assert_eq!(
            valid(nested(limits::JSON_DEPTH_MAX + 1).as_bytes()),
            Err(FlawKind::TooDeep)
        );
        assert_eq!(
            valid("[".repeat(1 << 20).as_bytes()),
            Err(FlawKind::TooDeep)
        );
        let deep = format!("{}{}, 1", "{\"a]\":[".repeat(5_000), "]}".repeat(5_000));
        let mut scanner = Scanner::new(deep.as_bytes());
        scanner.skip_deep().expect("its end");
        assert_eq!(scanner.between(scanner.at(), deep.len()), b", 1");
    }

    #[test]
    fn compacts_outside_strings_only() {
        let mut out = Vec::new();
        compact(b" { \"a b\" : [ 1 ,\n\t\"x \\\" y\" ] }\r\n", &mut out);
        assert_eq!(out, br#"{"a b":[1,"x \" y"]}"#);
    }

    proptest! {
        #[test]
        fn never_panics_and_accepts_what_serde_json_accepts(text in r#"[\[\]{}:,"\\ntrufalse0-9.eE+u \n]{0,40}"#) {
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            // serde_json refuses numbers beyond f64; here they are texts until a field wants their value.
            let too_large = theirs.as_ref().is_err_and(|error| error.to_string().starts_with("number out of range"));
            prop_assume!(!too_large);
            prop_assert_eq!(valid(text.as_bytes()).is_ok(), theirs.is_ok());
        }

        #[test]
        fn finds_the_first_special_byte(bytes in prop::collection::vec(any::<u8>(), 0..40), from in 0_usize..40) {
            let from = from.min(bytes.len());
            let expected = bytes[from..].iter().position(|&b| b < 0x20 || b == b'"' || b == b'\\');
            prop_assert_eq!(special(&bytes, from), from + expected.unwrap_or(bytes.len() - from));
        }

        #[test]
        fn strings_are_unescaped_as_serde_json_does(text in any::<String>()) {
            let json = serde_json::to_string(&text).expect("json");
            let mut scanner = Scanner::new(json.as_bytes());
            let mut unescaped = Vec::new();
            let plain = scanner.string(&mut unescaped).expect("a string");
            prop_assert_eq!(plain.unwrap_or(&unescaped), text.as_bytes());
            prop_assert_eq!(scanner.at(), json.len());
        }
    }
}
