//! What the mutation check needs of the text: the guards that are listed, their lines in the documentation, and the
//! functions that refuse more than they name guards. Reads text, and runs nothing: `cargo x guards` does.

use crate::source::{Breach, code};
use std::collections::BTreeMap;

/// A guard as `host/model/src/guards/list.rs` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// `HostNamed`
    pub name: String,
    /// `host-named`
    pub word: String,
    /// What it stops.
    pub attack: String,
}

/// A guard as `docs/guards.md` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// `host-named`
    pub word: String,
    /// What it stops.
    pub attack: String,
    /// Where the test is: `egress/door`, a folder of the repository's crates and a target of it.
    pub target: String,
    /// The test: its name, or the end of its path.
    pub test: String,
}

/// The lines `Name: "attack",` between the braces of `guards!`.
pub fn listed(text: &str) -> Vec<Listed> {
    let inside = text
        .split_once("\nguards! {\n")
        .map_or("", |(_, rest)| rest);
    let plain: Vec<&str> = inside
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("//"))
        .collect();
    let joined = plain.join(" ");
    let mut rest = joined.as_str();
    let mut found = Vec::new();
    while let Some((name, after)) = rest.split_once(": \"") {
        let Some((attack, after)) = after.split_once("\",") else {
            break;
        };
        let name = name.trim().to_owned();
        found.push(Listed {
            word: kebab(&name),
            name,
            attack: attack.to_owned(),
        });
        rest = after;
    }
    found
}

fn kebab(name: &str) -> String {
    let mut word = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !word.is_empty() {
            word.push('-');
        }
        word.push(c.to_ascii_lowercase());
    }
    word
}

/// The rows of the tables: `| `word` | attack | `target test`… |`.
pub fn rows(text: &str) -> Vec<Row> {
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim().trim_matches('|').split(" | ").collect();
        let [word, attack, test] = <[&str; 3]>::try_from(cells).ok()?;
        let word = word.trim().strip_prefix('`')?.strip_suffix('`')?;
        let (test, _) = test.trim().strip_prefix('`')?.split_once('`')?;
        let (target, test) = test.split_once(' ')?;
        Some(Row {
            word: word.to_owned(),
            attack: attack.trim().to_owned(),
            target: target.to_owned(),
            test: test.to_owned(),
        })
    };
    text.lines().filter_map(row).collect()
}

/// The names of guards that a file's code uses: `Guard::Name`.
pub fn used(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (_, line) in code(text).filter(|(_, line)| !is_comment(line)) {
        found.extend(line.split("Guard::").skip(1).filter_map(|rest| {
            let end = rest.find(|c: char| !c.is_alphanumeric());
            let name = &rest[..end.unwrap_or(rest.len())];
            (name.starts_with(|c: char| c.is_uppercase()) && name != "ALL").then(|| name.to_owned())
        }));
    }
    found
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

/// The `pub const` of `host/model/src/limits.rs`.
pub fn limits(text: &str) -> Vec<String> {
    let name = |line: &str| {
        let (name, _) = line.strip_prefix("pub const ")?.split_once(':')?;
        Some(name.to_owned())
    };
    text.lines().filter_map(name).collect()
}

/// Whether this code reads that constant within so many lines of a guard.
pub fn reads_guarded(text: &str, constant: &str, lines_apart: usize) -> bool {
    let lines: Vec<&str> = code(text).map(|(_, line)| line).collect();
    let has = |at: usize, what: &str| !is_comment(lines[at]) && names(lines[at], what);
    (0..lines.len()).filter(|at| has(*at, constant)).any(|at| {
        let near = at.saturating_sub(lines_apart)..(at + lines_apart + 1).min(lines.len());
        near.into_iter()
            .any(|at| !is_comment(lines[at]) && lines[at].contains("Guard::"))
    })
}

/// Whether `word` stands in `line` on its own.
fn names(line: &str, word: &str) -> bool {
    let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        !part(line[..at].chars().next_back()) && !part(line[at + word.len()..].chars().next())
    })
}

/// For each function of a file that makes more errors than it names guards: how many more. Functions of one name
/// count together.
pub fn unguarded(text: &str) -> BTreeMap<String, usize> {
    let lines: Vec<&str> = code(text).map(|(_, line)| line).collect();
    let mut found = BTreeMap::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(name) = function(line) else {
            continue;
        };
        let body = body(&lines[at..]);
        let told = body.iter().filter(|line| !is_comment(line));
        let (errors, guards) = told.fold((0, 0), |(errors, guards), line| {
            (errors + makes(line), guards + named(line))
        });
        if errors > guards {
            *found.entry(name.to_owned()).or_insert(0) += errors - guards;
        }
    }
    found
}

/// How many guards a line names: `Guard::X`, and not `RwLockWriteGuard::x`.
fn named(line: &str) -> usize {
    let alone = |(at, _): &(usize, &str)| !line[..*at].ends_with(char::is_alphanumeric);
    line.match_indices("Guard::").filter(alone).count()
}

/// The name of the function that begins on this line.
fn function(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    for word in ["pub(crate) ", "pub(super) ", "pub ", "const ", "async "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    let rest = rest.strip_prefix("fn ")?;
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    Some(&rest[..end])
}

/// From its first line to the brace that stands under its beginning, as rustfmt puts it.
fn body<'a>(lines: &'a [&'a str]) -> &'a [&'a str] {
    let first = lines[0];
    if first.trim_end().ends_with(['}', ';']) {
        return &lines[..1];
    }
    let indent = &first[..first.len() - first.trim_start().len()];
    let closes = |line: &&str| line.strip_prefix(indent).is_some_and(|rest| rest == "}");
    let end = lines.iter().position(closes);
    &lines[..end.map_or(lines.len(), |end| end + 1)]
}

/// How many errors a line makes: `Err(…)` as a value, `ok_or`, `return lie(…)`, `return wrong(…)`.
fn makes(line: &str) -> usize {
    let values = line.match_indices("Err(").filter(|(at, _)| {
        let before = &line[..*at];
        let is_name = before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let is_pattern = before.ends_with("let ")
            // One of several, and not a closure without arguments of note: `|_| Err(…)`.
            || (before.ends_with("| ") && !before.ends_with("|_| "))
            || (line[*at..].contains("=>") && !before.contains("=>"));
        !is_name && !is_pattern
    });
    let others = ["ok_or(", "ok_or_else(", "return lie(", "return wrong("];
    let others = others.iter().map(|other| line.matches(other).count());
    values.count() + others.sum::<usize>()
}

/// Holds what was found in one file against what is allowed there, each way.
pub fn compared(
    file: &str,
    found: &BTreeMap<String, usize>,
    allowed: &[(&str, usize)],
) -> Vec<Breach> {
    let allowed: BTreeMap<&str, usize> = allowed.iter().copied().collect();
    let mut breaches = Vec::new();
    for (function, count) in found {
        let may = allowed.get(function.as_str()).copied().unwrap_or(0);
        if *count > may {
            breaches.push(Breach::new(
                format!("{file}, `{function}`"),
                format!("makes {count} more errors than it names guards, {may} are allowed"),
                "give what it refuses a guard in `host/model/src/guards/list.rs`, with a test that goes red; or, where it \
                 only hands on what was refused elsewhere, allow it with its reason",
            ));
        }
    }
    for (function, may) in allowed {
        let count = found.get(function).copied().unwrap_or(0);
        if count < may {
            breaches.push(Breach::new(
                format!("{file}, `{function}`"),
                format!("makes {count} such errors, {may} are allowed"),
                "lower what is allowed",
            ));
        }
    }
    breaches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guards_and_their_rows_are_read() {
        let list = "x\nguards! {\n    // Hosts\n    HostNamed: \"a host\",\n    PathDots:\n        \"`/../`: dots\",\n}\n";
        let found: Vec<_> = listed(list)
            .into_iter()
            .map(|g| (g.word, g.attack))
            .collect();
        let expected = [("host-named", "a host"), ("path-dots", "`/../`: dots")];
        let expected: Vec<_> = expected
            .map(|(word, attack)| (word.to_owned(), attack.to_owned()))
            .into();
        assert_eq!(found, expected);
        let table = "| Guard | Stops | Red |\n|---|---|---|\n| `host-named` | a host | `policy/lib tests::a_test`, which hangs |\n";
        let row = &rows(table)[..];
        assert_eq!(row.len(), 1);
        assert_eq!(
            (row[0].target.as_str(), row[0].test.as_str()),
            ("policy/lib", "tests::a_test")
        );
    }

    #[test]
    fn limits_are_read_beside_a_guard_or_not() {
        let text = "fn a() {\n    if n > Guard::X.limit(N_MAX) {}\n    1;\n    2;\n    3;\n    4;\n    M_MAX;\n}\n// M_MAX Guard::X\n";
        assert!(reads_guarded(text, "N_MAX", 2));
        assert!(!reads_guarded(text, "M_MAX", 2));
        assert!(!reads_guarded(text, "AX", 2));
        assert_eq!(used(text), ["X"]);
    }

    #[test]
    fn an_error_more_than_guards_is_found() {
        let check = |body: &str, expected: usize| {
            let text = format!(
                "impl A {{\n    pub(crate) fn a(\n        b: u8,\n    ) -> X {{\n{body}\n    }}\n\n    fn other() {{}}\n}}\n"
            );
            let found = unguarded(&text);
            assert_eq!(found.get("a").copied().unwrap_or(0), expected, "{body}");
        };
        check("        return Err(X);", 1);
        check("        if Guard::A.bars(b) { return Err(X); }", 0);
        check(
            "        if Guard::A.bars(b) { return Err(X); }\n        if c { return Err(Y); }",
            1,
        );
        check(
            "        match b {\n            Ok(b) => b,\n            Err(error) => return Err(error),\n        }",
            1,
        );
        check("        if let Err(error) = b {}", 0);
        check("        // return Err(X)", 0);
        check("        b.ok_or(X)?;\n        return lie(\"x\");", 2);
        check("        MyErr(b)", 0);
        check("        b.map_or_else(|_| Err(X), Ok)", 1);
        check("        Err(X | Y) | Err(Z) => {}", 0);
        check("        RwLockWriteGuard::downgrade(b);\n        Err(X)", 1);
    }

    #[test]
    fn what_is_allowed_is_exact() {
        let found: BTreeMap<String, usize> = [("a".to_owned(), 2)].into();
        assert_eq!(compared("f.rs", &found, &[("a", 2)]), []);
        for allowed in [&[][..], &[("a", 1)], &[("a", 3)], &[("a", 2), ("b", 1)]] {
            assert!(!compared("f.rs", &found, allowed).is_empty(), "{allowed:?}");
        }
    }
}
