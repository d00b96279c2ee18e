//! Which paths a pattern means. Two wildcards and no more: what people write for files in a folder.

/// `*` is any number of characters, `?` is one; neither is `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(String);

impl Pattern {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Held against the whole path where the pattern has a `/`, else against the file's name.
    pub(crate) fn fits(&self, path: &str) -> bool {
        let subject = if self.0.contains('/') {
            path
        } else {
            path.rsplit('/').next().unwrap_or(path)
        };
        fits(&self.0, subject)
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
