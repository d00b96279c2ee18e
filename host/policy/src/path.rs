//! Paths of requests: which are plain enough to be compared at all, and which a pattern permits. Nothing is
//! normalised, for the server might normalise differently; what is not plain is refused.

use sluice_model::guards::Guard;
use std::fmt;

/// What RFC 3986 has in a path beside letters and digits. Anything else some parsers encode, and others do not.
const MARKS: &[u8] = b"-._~%!$&'()*+,;=:@/";

/// A path in a request or a pattern. Servers commonly stop at 8 KiB.
const PATH_BYTES_MAX: usize = 8 << 10;

/// Why a path cannot be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// `v2/items`, `*`
    #[error("a path begins with `/`")]
    Relative,
    /// Longer than servers take.
    #[error("a path has {PATH_BYTES_MAX} bytes at most")]
    TooLong,
    /// What RFC 3986 has not: control characters, spaces, backslashes, quotes, brackets, braces, and what is not ASCII.
    #[error("a path is letters, digits and `-._~!$&'()*+,;=:@`, anything else percent-encoded")]
    Character,
    /// `%`, `%4`, `%zz`
    #[error("`%` stands before two hexadecimal digits")]
    Percent,
    /// `%2e`, `%2f`, `%5c`, `%3b`, encoded once or more, encoded control characters, and UTF-8 that hides them.
    #[error("`.`, `/`, `\\`, `;` and control characters cannot be percent-encoded in a path")]
    Hidden,
    /// `.`, `..`, `..;x`
    #[error("a path cannot have `.` or `..` as a part")]
    Dots,
    /// `//`
    #[error("a path cannot have an empty part")]
    Empty,
    /// `/v2/a*`, `/**/a`
    #[error("`*` stands for one whole part, `**` for all that follows and only at the end")]
    Wildcard,
}

/// Checks that a path, as it stands in a request line without its query, means one thing to every server.
pub fn check(path: &str) -> Result<(), PathError> {
    if path.len() > Guard::PathLength.limit(PATH_BYTES_MAX) {
        return Err(PathError::TooLong);
    }
    let Some(below) = path.strip_prefix('/') else {
        return Err(PathError::Relative);
    };
    let odd = |byte: u8| !byte.is_ascii_alphanumeric() && !MARKS.contains(&byte);
    if Guard::PathCharacters.bars(path.bytes().any(odd)) {
        return Err(PathError::Character);
    }
    check_encoding(path)?;
    let mut parts = below.split('/').peekable();
    while let Some(part) = parts.next() {
        // Some servers cut a part at its `;` before they resolve dots.
        if Guard::PathDots.bars(matches!(part.split(';').next(), Some("." | ".."))) {
            return Err(PathError::Dots);
        }
        if Guard::PathEmpty.bars(part.is_empty() && parts.peek().is_some()) {
            return Err(PathError::Empty);
        }
    }
    Ok(())
}

fn check_encoding(path: &str) -> Result<(), PathError> {
    let mut rest = path;
    while let Some((_, after)) = rest.split_once('%') {
        // `%25` is a percent sign: where more follows it, some servers decode again.
        let mut code = after;
        while let Some(again) = code.strip_prefix("25") {
            code = again;
        }
        let encoded = byte_of(after).ok_or(PathError::Percent)?;
        let hidden = byte_of(code).unwrap_or(encoded);
        // 0xc0 and 0xc1 only ever begin an overlong form of an ASCII character.
        // Some servers cut a part at its `;` only after they decoded it.
        let means_more =
            hidden.is_ascii_control() || matches!(hidden, b'.' | b'/' | b'\\' | b';' | 0xc0 | 0xc1);
        // Longer forms of what is shorter: 0xe0 before less than 0xa0, 0xf0 before less than 0x90.
        let next = code.get(2..).and_then(|code| code.strip_prefix('%'));
        let next = next
            .map(|code| code.trim_start_matches("25"))
            .and_then(byte_of);
        let overlong = matches!(
            (hidden, next),
            (0xe0, Some(0x80..=0x9f)) | (0xf0, Some(0x80..=0x8f))
        );
        if Guard::PathHidden.bars(means_more || overlong) {
            return Err(PathError::Hidden);
        }
        rest = after;
    }
    Ok(())
}

fn byte_of(hex: &str) -> Option<u8> {
    let digits = hex.get(..2)?;
    if digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        u8::from_str_radix(digits, 16).ok()
    } else {
        None
    }
}

/// `/v2/items` (that path), `/v2/*` (one part there), `/v2/**` (`/v2` and all below).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern {
    parts: Vec<Part>,
    /// Ends in `/**`.
    open: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Is(String),
    Any,
}

impl PathPattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        check(text)?;
        let (fixed, open) = match text.strip_suffix("/**") {
            Some(fixed) => (fixed, true),
            None => (text, false),
        };
        let parts = fixed
            .split('/')
            .skip(1)
            .map(|part| match part {
                "*" => Ok(Part::Any),
                part if part.contains('*') => Err(PathError::Wildcard),
                part => Ok(Part::Is(part.to_owned())),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { parts, open })
    }

    /// The paths that both permit.
    pub fn common(&self, other: &Self) -> Option<Self> {
        let mut parts = Vec::new();
        for at in 0..self.parts.len().max(other.parts.len()) {
            let part = match (self.parts.get(at), other.parts.get(at)) {
                (Some(Part::Is(ours)), Some(Part::Is(theirs))) if ours == theirs => {
                    Part::Is(ours.clone())
                }
                (Some(Part::Any), Some(Part::Any)) => Part::Any,
                (Some(Part::Is(text)), Some(Part::Any))
                | (Some(Part::Any), Some(Part::Is(text)))
                    if !text.is_empty() =>
                {
                    Part::Is(text.clone())
                }
                (Some(part), None) if other.open => part.clone(),
                (None, Some(part)) if self.open => part.clone(),
                _ => return None,
            };
            parts.push(part);
        }
        let open = self.open && other.open;
        Some(Self { parts, open })
    }

    /// Does it permit this path, which passed [`check`]?
    pub fn matches(&self, path: &str) -> bool {
        let mut parts = path.split('/').skip(1);
        let fixed = self.parts.iter().all(|ours| match (ours, parts.next()) {
            (Part::Is(text), Some(part)) => text == part,
            (Part::Any, Some(part)) => !part.is_empty(),
            (_, None) => false,
        });
        fixed && (self.open || parts.next().is_none())
    }

    /// Does it permit every path that the other does?
    pub fn includes(&self, other: &Self) -> bool {
        let fixed =
            self.parts
                .iter()
                .enumerate()
                .all(|(at, ours)| match (ours, other.parts.get(at)) {
                    (Part::Is(ours), Some(Part::Is(theirs))) => ours == theirs,
                    (Part::Any, Some(Part::Is(theirs))) => !theirs.is_empty(),
                    (Part::Any, Some(Part::Any)) => true,
                    (Part::Is(_), Some(Part::Any)) | (_, None) => false,
                });
        fixed && (self.open || (!other.open && self.parts.len() == other.parts.len()))
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            f.write_str("/")?;
            f.write_str(match part {
                Part::Is(text) => text,
                Part::Any => "*",
            })?;
        }
        if self.open {
            f.write_str("/**")
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_plain_paths_pass() {
        let long = format!("/{}", "a".repeat(PATH_BYTES_MAX));
        for (path, expected) in [
            ("/", Ok(())),
            ("/v2/items", Ok(())),
            ("/v2/items/", Ok(())),
            ("/v2/items;v=1", Ok(())),
            ("/v2/caf%C3%A9%20au%20lait", Ok(())),
            ("/v2/100%25", Ok(())),
            ("/v2/...", Ok(())),
            ("/v2/.well-known", Ok(())),
            ("", Err(PathError::Relative)),
            ("v2", Err(PathError::Relative)),
            ("*", Err(PathError::Relative)),
            ("/v2/../admin", Err(PathError::Dots)),
            ("/v2/..", Err(PathError::Dots)),
            ("/v2/./items", Err(PathError::Dots)),
            ("/v2/..;a=b/admin", Err(PathError::Dots)),
            ("//evil.test/v2", Err(PathError::Empty)),
            ("/v2//items", Err(PathError::Empty)),
            ("/v2/%2e%2e/admin", Err(PathError::Hidden)),
            ("/v2/%2E./admin", Err(PathError::Hidden)),
            ("/v2%2fadmin", Err(PathError::Hidden)),
            ("/v2%2Fadmin", Err(PathError::Hidden)),
            ("/v2%5c..%5cadmin", Err(PathError::Hidden)),
            ("/v2/%252e%252e/admin", Err(PathError::Hidden)),
            ("/v2/%25252fadmin", Err(PathError::Hidden)),
            ("/v2/%c0%ae%c0%ae/admin", Err(PathError::Hidden)),
            ("/v2/..%3b/admin", Err(PathError::Hidden)),
            ("/v2/%e0%80%ae%e0%80%ae/admin", Err(PathError::Hidden)),
            ("/v2/%25e0%2580%25ae/admin", Err(PathError::Hidden)),
            ("/v2/%f0%80%80%ae/admin", Err(PathError::Hidden)),
            ("/v2/%e0%a4%ae/x", Ok(())),
            ("/v2/%00", Err(PathError::Hidden)),
            ("/v2/%0d%0aHost:evil.test", Err(PathError::Hidden)),
            ("/v2/%7f", Err(PathError::Hidden)),
            ("/v2/%", Err(PathError::Percent)),
            ("/v2/%2", Err(PathError::Percent)),
            ("/v2/%zz", Err(PathError::Percent)),
            ("/v2/%+1", Err(PathError::Percent)),
            ("/v2/%é", Err(PathError::Character)),
            ("/v2\\admin", Err(PathError::Character)),
            ("/v2 items", Err(PathError::Character)),
            ("/v2\titems", Err(PathError::Character)),
            ("/v2?a", Err(PathError::Character)),
            ("/v2#a", Err(PathError::Character)),
            ("/v2/\"a\"", Err(PathError::Character)),
            ("/v2/{a}", Err(PathError::Character)),
            ("/v2/[a]", Err(PathError::Character)),
            ("/v2/a|b^c`<d>", Err(PathError::Character)),
            ("/v2/a-b._~%20!$&'(c)+,;=:@", Ok(())),
            (&long, Err(PathError::TooLong)),
        ] {
            assert_eq!(check(path), expected, "{path:.60}");
        }
    }

    #[test]
    fn patterns_match_what_they_name() {
        let check = |pattern: &str, path: &str, expected: bool| {
            let matches = PathPattern::parse(pattern).expect(pattern).matches(path);
            assert_eq!(matches, expected, "{pattern} {path}");
        };
        check("/v2/items", "/v2/items", true);
        check("/v2/items", "/v2/items/", false);
        check("/v2/items", "/V2/items", false);
        check("/v2/items", "/v2/items/7", false);
        check("/v2/items", "/v2/item%73", false);
        check("/v2/*", "/v2/items", true);
        check("/v2/*", "/v2/", false);
        check("/v2/*", "/v2", false);
        check("/v2/*", "/v2/items/7", false);
        check("/v2/*/parts", "/v2/7/parts", true);
        check("/v2/*/parts", "/v2/7/8/parts", false);
        check("/v2/**", "/v2", true);
        check("/v2/**", "/v2/", true);
        check("/v2/**", "/v2/items/7", true);
        check("/v2/**", "/v20", false);
        check("/v2/**", "/", false);
        check("/**", "/", true);
        check("/**", "/any/thing", true);
        check("/", "/", true);
        check("/", "/v2", false);
        for bad in [
            "",
            "v2",
            "**",
            "/v2/a*",
            "/v2/***",
            "/**/items",
            "/v2/**/",
            "/v2/../x",
            "/v2//x",
            "/v2?x",
        ] {
            assert!(PathPattern::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics_and_is_stable(text in "\\PC{0,40}|[a-c*./%25cef]{0,24}") {
            if let Ok(pattern) = PathPattern::parse(&text) {
                prop_assert_eq!(pattern.to_string(), text);
            }
        }

        /// Against the plainest way to say it: a path is permitted below its prefix, whatever a server decodes.
        #[test]
        fn an_open_pattern_never_matches_outside(path in "(/[a.%2eEfF5cC]{1,4}){0,4}/?") {
            let pattern = PathPattern::parse("/a/**").expect("a pattern");
            if check(&path).is_ok() && pattern.matches(&path) {
                prop_assert!(path == "/a" || path.starts_with("/a/"));
                let mut decoded = path;
                for _ in 0..3 {
                    let bytes: Vec<u8> = percent_decoded(&decoded);
                    decoded = String::from_utf8_lossy(&bytes).into_owned();
                    prop_assert!(decoded.split('/').all(|part| part != ".." && part != "."), "{}", decoded);
                }
            }
        }
    }

    fn percent_decoded(text: &str) -> Vec<u8> {
        let bytes = text.as_bytes();
        let mut decoded = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let hex = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
            match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
                Some(byte) => (decoded.push(byte), at += 3).1,
                None => (decoded.push(bytes[at]), at += 1).1,
            }
        }
        decoded
    }
}
