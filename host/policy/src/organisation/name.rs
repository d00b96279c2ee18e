//! Patterns for columns' names: `email`, `*_ssn`. Small letters and capitals are the same, for a column is no less
//! an address because its source writes `Email`.

/// `*` stands for any run of characters, none included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NamePattern {
    /// What stands between the stars; one piece is the whole name.
    pieces: Vec<String>,
}

impl NamePattern {
    pub(super) fn of(text: &str) -> Self {
        Self {
            pieces: text.to_lowercase().split('*').map(str::to_owned).collect(),
        }
    }

    pub(super) fn fits(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        let Some((first, rest)) = self.pieces.split_first() else {
            return false;
        };
        let Some((last, middle)) = rest.split_last() else {
            return name == *first;
        };
        let Some(mut open) = name.strip_prefix(first.as_str()) else {
            return false;
        };
        // The first place a piece fits is as good as any later one: what follows it may be anything.
        for piece in middle {
            match open.split_once(piece.as_str()) {
                Some((_, after)) => open = after,
                None => return false,
            }
        }
        open.ends_with(last.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_star_is_any_run() {
        let check = |pattern: &str, name: &str, expected: bool| {
            assert_eq!(
                NamePattern::of(pattern).fits(name),
                expected,
                "{pattern} {name}"
            );
        };
        check("email", "email", true);
        check("email", "EMAIL", true);
        check("email", "email2", false);
        check("*_ssn", "old_ssn", true);
        check("*_ssn", "_ssn", true);
        check("*_ssn", "ssn", false);
        check("*_ssn", "old_ssn_2", false);
        check("pii_*", "pii_", true);
        check("*mail*", "e-mail address", true);
        check("*", "", true);
        check("a*a", "a", false);
        check("a*a", "aa", true);
        check("a*b*c", "a-b-b-c", true);
        check("a*b*c", "a-c-b", false);
        check("", "", true);
        check("", "a", false);
    }

    /// The same, said as plainly as can be.
    fn plainly(pattern: &[char], name: &[char]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => true,
            (Some(('*', after)), _) => (0..=name.len()).any(|taken| plainly(after, &name[taken..])),
            (Some((own, pattern)), Some((other, name))) => own == other && plainly(pattern, name),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn a_pattern_fits_as_the_plain_reading_says(pattern in "[ab*]{0,6}", name in "[ab]{0,8}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(NamePattern::of(&pattern).fits(&name), plainly(&chars(&pattern), &chars(&name)));
        }
    }
}
