//! Paths of requests: which are plain enough to be compared at all, and which a pattern permits. Nothing is
//! normalised, for the server might normalise differently; what is not plain is refused.

use std::fmt;

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
    /// Control characters, spaces, backslashes, `?`, `#`, and what is not ASCII.
    #[error("a path is plain ASCII, anything else percent-encoded")]
    Character,
    /// `%`, `%4`, `%zz`
    #[error("`%` stands before two hexadecimal digits")]
    Percent,
    /// `%2e`, `%2f`, `%5c`, encoded once or more, encoded control characters, and UTF-8 that hides them.
    #[error("`.`, `/`, `\\` and control characters cannot be percent-encoded in a path")]
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
    if path.len() > PATH_BYTES_MAX {
        return Err(PathError::TooLong);
    }
    let Some(below) = path.strip_prefix('/') else {
        return Err(PathError::Relative);
    };
    if path
        .bytes()
        .any(|byte| !byte.is_ascii_graphic() || b"\\?#".contains(&byte))
    {
        return Err(PathError::Character);
    }
    check_encoding(path)?;
    let mut parts = below.split('/').peekable();
    while let Some(part) = parts.next() {
        // Some servers cut a part at its `;` before they resolve dots.
        if matches!(part.split(';').next(), Some("." | "..")) {
            return Err(PathError::Dots);
        }
        if part.is_empty() && parts.peek().is_some() {
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
        if hidden.is_ascii_control() || matches!(hidden, b'.' | b'/' | b'\\' | 0xc0 | 0xc1) {
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
