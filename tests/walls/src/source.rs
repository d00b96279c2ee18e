//! Rules about text: what stands in a file, and what may not.

use std::fmt;

/// One rule broken in one place, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// A file, with its line where there is one, or a crate.
    pub place: String,
    /// What is wrong.
    pub wrong: String,
    /// The next step.
    pub hint: String,
}

impl Breach {
    pub(crate) fn new(
        place: impl Into<String>,
        wrong: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            place: place.into(),
            wrong: wrong.into(),
            hint: hint.into(),
        }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; hint: {}", self.place, self.wrong, self.hint)
    }
}

/// The lines of a file before its unit tests: those may print, wait and read files. Where it only says that they stand
/// in a file of their own, it goes on.
pub(crate) fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut lines = text.lines().enumerate().peekable();
    std::iter::from_fn(move || {
        let (at, line) = lines.next()?;
        let is_elsewhere = |(_, next): &(usize, &str)| next.trim_end().ends_with(';');
        let ends = line.trim() == "#[cfg(test)]" && !lines.peek().is_some_and(is_elsewhere);
        (!ends).then_some((at + 1, line))
    })
}

/// Names that a file may not use. Comments may speak of them.
pub fn forbidden_words(file: &str, text: &str, words: &[&str], hint: &str) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for (at, line) in code(text).filter(|(_, line)| !line.trim_start().starts_with("//")) {
        let found = words.iter().filter(|word| names(line, word));
        breaches.extend(
            found.map(|word| Breach::new(format!("{file}:{at}"), format!("names `{word}`"), hint)),
        );
    }
    breaches
}

/// Whether `word` stands in `line` on its own: `std::env` does not stand in `std::environment`.
fn names(line: &str, word: &str) -> bool {
    let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        !part(line[..at].chars().next_back()) && !part(line[at + word.len()..].chars().next())
    })
}

/// A file that does not say first what it is.
pub fn has_no_opening(file: &str, text: &str) -> Option<Breach> {
    let opens = text
        .strip_prefix("//!")
        .is_some_and(|rest| !rest.lines().next().unwrap_or_default().trim().is_empty());
    (!opens).then(|| {
        Breach::new(
            file,
            "does not begin with `//!`",
            "say in a line what the file is, and what it is not",
        )
    })
}

/// A file with more lines before its tests than one room should have.
pub fn overlong(file: &str, text: &str, lines_max: usize) -> Option<Breach> {
    let lines = code(text).count();
    let wrong = format!("{lines} lines before its tests, {lines_max} are allowed");
    (lines > lines_max)
        .then(|| Breach::new(file, wrong, "give one of its concepts a file of its own"))
}

/// The two commands of the README: the demo's and the tests', each the only line of an `sh` block under its heading.
pub fn readme_commands(text: &str) -> Result<[String; 2], Breach> {
    const HEADING: &str = "## Two commands";
    let breach = |wrong: String| {
        Breach::new(
            "README.md",
            wrong,
            format!("`{HEADING}` holds two `sh` blocks of one line each"),
        )
    };
    let (_, after) = format!("\n{text}")
        .split_once(&format!("\n{HEADING}\n"))
        .map(|(before, after)| (before.to_owned(), format!("\n{after}")))
        .ok_or_else(|| breach(format!("has no heading `{HEADING}`")))?;
    let section = after.split("\n## ").next().unwrap_or_default();
    let blocks = sh_blocks(section);
    if let Some(block) = blocks.iter().find(|block| block.len() != 1) {
        return Err(breach(format!(
            "has a block of {} lines there",
            block.len()
        )));
    }
    let commands: Vec<String> = blocks.into_iter().flatten().map(str::to_owned).collect();
    <[String; 2]>::try_from(commands)
        .map_err(|found| breach(format!("has {} `sh` blocks there", found.len())))
}

fn sh_blocks(section: &str) -> Vec<Vec<&str>> {
    let mut blocks: Vec<Vec<&str>> = Vec::new();
    let mut open = false;
    for line in section.lines().map(str::trim_end) {
        match line {
            "```sh" => {
                open = true;
                blocks.push(Vec::new());
            }
            "```" => open = false,
            line if open => blocks
                .last_mut()
                .into_iter()
                .for_each(|block| block.push(line)),
            _ => {}
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forbidden_name_is_found_where_it_is_used() {
        let check = |text: &str, expected: &[&str]| {
            let found: Vec<_> = forbidden_words("f.rs", text, &["std::fs", "Instant::now"], "h")
                .into_iter()
                .map(|b| b.place)
                .collect();
            assert_eq!(found, expected, "{text}");
        };
        check("use std::fs;\n", &["f.rs:1"]);
        check(
            "//! x\nlet a = (std::fs::read(b), Instant::now());\n",
            &["f.rs:2", "f.rs:2"],
        );
        check("use std::{fs::File};\n", &[]);
        check("// std::fs is not used\n", &[]);
        check("use mystd::fs; use std::fsx; MyInstant::now();\n", &[]);
        check("fn a() {}\n#[cfg(test)]\nmod tests { use std::fs; }\n", &[]);
        check("#[cfg(test)]\nmod tests;\nuse std::fs;\n", &["f.rs:3"]);
    }

    #[test]
    fn a_file_says_what_it_is() {
        for text in ["", "use a;\n", "//!\n", "\n//! late\n", "// not a doc\n"] {
            assert!(has_no_opening("f.rs", text).is_some(), "{text:?}");
        }
        assert_eq!(has_no_opening("f.rs", "//! What it is.\n"), None);
    }

    #[test]
    fn tests_do_not_make_a_file_long() {
        let long = "x\n".repeat(4);
        assert_eq!(overlong("f.rs", &long, 4), None);
        assert!(overlong("f.rs", &long, 3).is_some());
        assert_eq!(
            overlong("f.rs", &format!("x\n#[cfg(test)]\n{long}"), 3),
            None
        );
    }

    #[test]
    fn the_readme_has_two_commands() {
        let good = "# A\n\n## Two commands\n\n```sh\ncargo x demo\n```\nthen\n```sh\ncargo x test\n```\n\n## B\n```sh\nno\n```\n";
        assert_eq!(
            readme_commands(good),
            Ok(["cargo x demo".to_owned(), "cargo x test".to_owned()])
        );
        for bad in [
            "# A\n",
            "# A\n## Two commands\n```sh\na\n```\n",
            "# A\n## Two commands\n```sh\na\n```\n```sh\nb\n```\n```sh\nc\n```\n",
            "# A\n## Two commands\n```sh\na\nb\n```\n```sh\nc\n```\n",
            "# A\n## Two commands\n## B\n```sh\na\n```\n```sh\nb\n```\n",
        ] {
            assert!(readme_commands(bad).is_err(), "{bad}");
        }
    }
}
