//! The `Link` header (RFC 8288): which reference is the next page.

/// The reference with `rel="next"` in a header's value.
pub(crate) fn next(mut value: &str) -> Option<&str> {
    loop {
        let (_, rest) = value.split_once('<')?;
        let (reference, rest) = rest.split_once('>')?;
        let (found, rest) = parameters(rest);
        if found {
            return Some(reference);
        }
        value = rest;
    }
}

/// Whether one of the parameters is `rel` with the word `next`, and what stands behind the comma that ends them.
fn parameters(mut rest: &str) -> (bool, &str) {
    let mut found = false;
    loop {
        rest = rest.trim_start_matches([' ', '\t']);
        let Some(behind) = rest.strip_prefix(';') else {
            return (found, rest.split_once(',').map_or("", |(_, behind)| behind));
        };
        let end = behind.find(['=', ';', ',']).unwrap_or(behind.len());
        let name = behind[..end].trim();
        let (value, behind) = match behind[end..].strip_prefix('=') {
            Some(behind) => parameter_value(behind.trim_start_matches([' ', '\t'])),
            None => ("", &behind[end..]),
        };
        if name.eq_ignore_ascii_case("rel") {
            found |= value
                .split_ascii_whitespace()
                .any(|word| word.eq_ignore_ascii_case("next"));
        }
        rest = behind;
    }
}

/// A token or a quoted string. No relation that matters has an escape in it.
fn parameter_value(text: &str) -> (&str, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        return text.split_at(text.find([';', ',']).unwrap_or(text.len()));
    };
    let mut escaped = false;
    for (at, letter) in quoted.char_indices() {
        match letter {
            '"' if !escaped => return (&quoted[..at], &quoted[at + 1..]),
            _ => escaped = letter == '\\' && !escaped,
        }
    }
    (quoted, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_next_page_is_found() {
        for (value, expected) in [
            (
                "<https://a/?page=2>; rel=\"next\"",
                Some("https://a/?page=2"),
            ),
            ("</p1>; rel=\"prev\", </p3>; rel=\"next\"", Some("/p3")),
            ("</p3>; rel=next; title=\"x\", </p9>; rel=last", Some("/p3")),
            (
                "</p3>; title=\"a, <b>; rel=next\", </p4>; rel=\"next\"",
                Some("/p4"),
            ),
            ("</p3>;title=\"a\\\"b\";REL=\"first NEXT\"", Some("/p3")),
            ("</a,b;c>; rel=\"next\"", Some("/a,b;c")),
            ("</p1>; rel=\"nexter\"", None),
            ("</p1>", None),
            ("rel=\"next\"", None),
            ("", None),
        ] {
            assert_eq!(next(value), expected, "{value}");
        }
    }

    proptest! {
        #[test]
        fn nothing_breaks_it(value in ".{0,80}", near in "[<>;,=\" \\\\relnxt]{0,40}") {
            for value in [value, near] {
                if let Some(reference) = next(&value) {
                    prop_assert!(value.contains(reference));
                }
            }
        }
    }
}
