//! The guards of `docs/guards.md`: each with the test that goes red without it. `tests/walls` sees that none is missing.

use crate::project::Project;
use anyhow::{Context, Result, bail};

/// From the root.
pub(super) const FILE: &str = "docs/guards.md";

/// One line of a table there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// As `SLUICE_GUARD_OFF` names it.
    pub(super) guard: String,
    /// `egress/door`: a crate of the repository by its folder, and its test program; `lib` is its unit tests.
    pub(super) target: String,
    /// Its path in the program, or the end of it.
    pub(super) test: String,
    /// The one behaviour of the hostile plugin that is tried.
    pub(super) behaviour: Option<String>,
    /// Whether it shows by not ending.
    pub(super) hangs: bool,
}

/// All of them, or those that are named.
pub(super) fn chosen(project: &Project, names: impl Iterator<Item = String>) -> Result<Vec<Line>> {
    let text = std::fs::read_to_string(project.root.join(FILE))
        .with_context(|| format!("cannot read `{FILE}`"))?;
    let mut lines = read(&text);
    let names: Vec<String> = names.collect();
    if let Some(unknown) = names
        .iter()
        .find(|name| !lines.iter().any(|line| line.guard == **name))
    {
        bail!("`{unknown}` is no guard in `{FILE}`");
    }
    if !names.is_empty() {
        lines.retain(|line| names.contains(&line.guard));
    }
    if lines.is_empty() {
        bail!("`{FILE}` has no guard");
    }
    Ok(lines)
}

/// `| `word` | attack | `target test` with `behaviour` |`, or `…, which hangs |`.
fn read(text: &str) -> Vec<Line> {
    let line = |line: &str| {
        let cells: Vec<&str> = line.trim().trim_matches('|').split(" | ").collect();
        let [guard, _, test] = <[&str; 3]>::try_from(cells).ok()?;
        let guard = guard.trim().strip_prefix('`')?.strip_suffix('`')?;
        let (test, more) = test.trim().strip_prefix('`')?.split_once('`')?;
        let (target, test) = test.split_once(' ')?;
        let behaviour = more
            .strip_prefix(" with `")
            .and_then(|more| more.split_once('`'));
        Some(Line {
            guard: guard.to_owned(),
            target: target.to_owned(),
            test: test.to_owned(),
            behaviour: behaviour.map(|(word, _)| word.to_owned()),
            hangs: more.contains("which hangs"),
        })
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let text = "# Guards\n| Guard | What it stops | Goes red |\n|---|---|---|\n\
                    | `a-b` | x | `egress/door a_test`, which hangs |\n| `c` | `y` | `engine/hostile all` with `loop` |\n";
        let line = |guard: &str, target: &str, test: &str, behaviour: Option<&str>, hangs| Line {
            guard: guard.to_owned(),
            target: target.to_owned(),
            test: test.to_owned(),
            behaviour: behaviour.map(str::to_owned),
            hangs,
        };
        let expected = [
            line("a-b", "egress/door", "a_test", None, true),
            line("c", "engine/hostile", "all", Some("loop"), false),
        ];
        assert_eq!(read(text), expected);
    }
}
