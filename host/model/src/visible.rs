//! Text from who knows where, made fit for a person's eyes: what would steer a terminal, reorder a line or hide in it
//! is shown as an escape, never obeyed. Not the escaping of a format: HTML, JSON and TOML have their own besides.

/// Whether a character changes how those around it look without being seen itself. Stops a reason that reads
/// `read-only` from right to left, and a host name with an unseen letter in it.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' // soft hyphen
            | '\u{61c}' // Arabic letter mark
            | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' // fillers
            | '\u{180b}'..='\u{180f}' // Mongolian selectors
            | '\u{200b}'..='\u{200f}' // zero width, marks of direction
            | '\u{2028}'..='\u{202e}' // line ends, embeddings and overrides
            | '\u{2060}'..='\u{206f}' // joiners, isolates
            | '\u{fe00}'..='\u{fe0f}' // variation selectors
            | '\u{feff}' // byte order mark
            | '\u{fff9}'..='\u{fffb}' // annotations
            | '\u{e0000}'..='\u{e0fff}' // tags
        )
}

/// One line of at most `chars_max` characters: hidden ones escaped (`\u{202e}`), what is longer cut and marked with `…`.
pub fn visible(text: &str, chars_max: usize) -> String {
    let mut shown = String::new();
    for (at, c) in text.chars().enumerate() {
        if at >= chars_max {
            shown.push('…');
            break;
        }
        match c {
            '\n' | '\r' | '\t' => shown.extend(c.escape_default()),
            c if is_hidden(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    shown
}

/// The same over several lines: line ends and tabs stay, all else as in [`visible`].
pub fn visible_lines(text: &str) -> String {
    text.split('\n')
        .map(|line| {
            let cells = line.trim_end_matches('\r').split('\t');
            cells
                .map(|cell| visible(cell, usize::MAX))
                .collect::<Vec<_>>()
                .join("\t")
        })
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hides_is_seen() {
        for (text, shown) in [
            ("plain åäö 漢字 🙂", "plain åäö 漢字 🙂"),
            ("a\u{1b}[2Jb\n", "a\\u{1b}[2Jb\\n"),
            ("\u{202e}ylno-daer", "\\u{202e}ylno-daer"),
            (
                "a\u{200b}b\u{2066}c\u{feff}",
                "a\\u{200b}b\\u{2066}c\\u{feff}",
            ),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("\u{e0041}", "\\u{e0041}"),
        ] {
            assert_eq!(visible(text, 80), shown);
        }
        assert_eq!(visible("abcdef", 3), "abc…");
        assert_eq!(visible("abc", 3), "abc");
        assert_eq!(visible_lines("a\tb\u{1b}\r\nc"), "a\tb\\u{1b}\nc");
    }
}
