//! Which paths a pattern means, and whose stream they are. Two wildcards and no more: what people write for files in a
//! folder.

use crate::Fault;
use std::collections::BTreeMap;
use std::fmt::Display;

/// `*` is any number of characters, `?` is one; neither is `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Any text is one.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Held against the whole path where the pattern has a `/`, else against the file's name.
    pub fn fits(&self, path: &str) -> bool {
        let subject = if self.0.contains('/') {
            path
        } else {
            path.rsplit('/').next().unwrap_or(path)
        };
        fits(&self.0, subject)
    }
}

/// The streams of a source of files, each with the pattern of those that are its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Streams(Vec<(String, Pattern)>);

impl Streams {
    /// Of the settings `streams`, or where it is empty of one stream: `stream` and `pattern`, or what stands for them.
    pub fn new(
        streams: &BTreeMap<String, String>,
        (stream, stream_else): (Option<&str>, &str),
        (pattern, pattern_else): (Option<&str>, &str),
    ) -> Result<Self, Fault> {
        let one = |(name, pattern): (&str, &str)| (name.to_owned(), Pattern::new(pattern));
        if streams.is_empty() {
            let (name, pattern) = (
                stream.unwrap_or(stream_else),
                pattern.unwrap_or(pattern_else),
            );
            return Ok(Self(vec![one((name, pattern))]));
        }
        if stream.is_some() || pattern.is_some() {
            return Err(Fault::misconfigured(
                "`streams` names its patterns itself: leave out `stream` and `pattern`",
            ));
        }
        let streams = streams.iter();
        Ok(Self(
            streams
                .map(|(name, pattern)| one((name, pattern)))
                .collect(),
        ))
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Whose a path is. `called` is what people know it by.
    pub fn owner(&self, path: &str, called: impl Display) -> Result<Option<&str>, Fault> {
        let mut owners = self
            .0
            .iter()
            .filter(|(_, pattern)| pattern.fits(path))
            .map(|(name, _)| name.as_str());
        let owner = owners.next();
        match (owner, owners.next()) {
            (Some(owner), Some(other)) => Err(Fault::misconfigured(format!(
                "`{called}` belongs to both `{owner}` and `{other}`; hint: narrow one of their patterns in `streams`"
            ))),
            _ => Ok(owner),
        }
    }
}

/// Goes back to the last `*` only, so that no pattern costs more than its length times the path's.
fn fits(pattern: &str, subject: &str) -> bool {
    let (pattern, subject): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), subject.chars().collect());
    let (mut p, mut s) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while s < subject.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, s));
                p += 1;
                continue;
            }
            Some('?') if subject[s] != '/' => {}
            Some(letter) if *letter == subject[s] && *letter != '?' => {}
            _ => match star {
                Some((at, seen)) if subject[seen] != '/' => {
                    star = Some((at, seen + 1));
                    (p, s) = (at + 1, seen + 1);
                    continue;
                }
                _ => return false,
            },
        }
        p += 1;
        s += 1;
    }
    pattern[p..].iter().all(|letter| *letter == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_paths() {
        for (pattern, path, expected) in [
            ("*.csv", "a.csv", true),
            ("*.csv", "2026/01/a.csv", true),
            ("*.csv", "a.csv.gz", false),
            ("*.csv", ".csv", true),
            ("jfk-??.csv", "jfk-01.csv", true),
            ("jfk-??.csv", "jfk-1.csv", false),
            ("jfk-??.csv", "jfk-é1.csv", true),
            ("*", "anything", true),
            ("", "a", false),
            ("2026/*.csv", "2026/a.csv", true),
            ("2026/*.csv", "2026/01/a.csv", false),
            ("2026/*/*.csv", "2026/01/a.csv", true),
            ("2026/*.csv", "x/2026/a.csv", false),
            ("2026?a.csv", "2026/a.csv", false),
            ("*a*b*c", "xaxbxbxc", true),
            ("*a*b*c", "xaxcxb", false),
            ("a?", "a?", true),
        ] {
            assert_eq!(
                Pattern::new(pattern).fits(path),
                expected,
                "{pattern} {path}"
            );
        }
    }

    #[test]
    fn a_bomb_of_stars_is_cheap() {
        let pattern = Pattern::new("*a".repeat(200));
        assert!(!pattern.fits(&"a".repeat(199)));
        assert!(pattern.fits(&"a".repeat(200)));
    }
}
