//! A plugin's words, made fit for people to read: bounded, and without what would move a terminal's cursor or turn
//! text around.

use crate::guards::Guard;
use std::fmt::Write as _;

/// The first `bytes_max` bytes of the shown text, with everything that is not plain text escaped as `\u{…}`.
pub fn shown(text: &str, bytes_max: usize) -> String {
    const CUT: &str = "…";
    let mut out = String::with_capacity(text.len().min(bytes_max));
    for c in text.chars() {
        let before = out.len();
        if Guard::TextPlain.bars(hidden(c)) {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        } else {
            out.push(c);
        }
        if out.len() > bytes_max {
            out.truncate(before);
            while out.len() + CUT.len() > bytes_max && out.pop().is_some() {}
            out.push_str(CUT);
            break;
        }
    }
    out
}

/// Control characters, and those that reorder, hide or break lines of text.
fn hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_bounded_and_plain() {
        let check = |text: &str, max: usize, expected: &str| assert_eq!(shown(text, max), expected);
        check("plain åäö", 64, "plain åäö");
        check("a\u{1b}[2Jb\nc", 64, "a\\u{1b}[2Jb\\u{a}c");
        check("user\u{202e}txt", 64, "user\\u{202e}txt");
        check("abcdef", 6, "abcdef");
        check("abcdefg", 6, "abc…");
        check("ååå", 5, "å…");
        check("\u{1b}", 4, "…");
        check("", 0, "");
    }
}
