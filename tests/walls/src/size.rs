//! How many lines of Rust a plugin takes, and of which kind: a row of the table in the SDK's guide. Tests, comments and
//! blank lines do not count.

use crate::source::code;
use crate::{Breach, rust_files};
use std::fmt::Write as _;

/// What a file is that makes a plugin of a crate.
const TRAITS: [&str; 5] = ["Source", "Reader", "Sink", "Writer", "Transform"];

/// The row of a plugin, whose files of these names, without `.rs`, or in folders of these names, speak its protocol.
///
/// # Panics
/// Where there is no such plugin.
pub fn row(plugin: &str, protocol: &[&str]) -> String {
    let folder = format!("plugins/{plugin}/src/");
    let files = rust_files(&folder);
    let own = |file: &str| file[folder.len()..].trim_end_matches(".rs").to_owned();
    let (mut spoken, mut mapped, mut traits) = (0, 0, 0);
    for (file, text) in &files {
        let name = own(file);
        let (lines, implements) = (lines(text), name == "lib" || implements(text));
        if is_test(&name, &files) {
            continue;
        }
        let stands_in = |folder: &&str| {
            name.strip_prefix(*folder)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        *match (implements, protocol.iter().any(stands_in)) {
            (true, _) => &mut traits,
            (false, true) => &mut spoken,
            (false, false) => &mut mapped,
        } += lines;
    }
    let mut row = format!(
        "| `{plugin}` | {} | {spoken} | {mapped} | {traits} |",
        spoken + mapped + traits
    );
    for name in protocol {
        // Writing to a string cannot fail.
        let _ = write!(row, " `{name}`");
    }
    row + " |"
}

/// Rows of the guide that are not as the plugins are.
pub fn stale_rows(guide: &str, plugins: &[&str]) -> Vec<Breach> {
    let stale = |plugin: &&str| {
        let begins = format!("| `{plugin}` | ");
        let found = guide.lines().find(|line| line.starts_with(&begins));
        let named = found.map_or(Vec::new(), protocol);
        let row = row(plugin, &named);
        let hint = format!("let it be: {row}");
        (found != Some(&row)).then(|| {
            Breach::new(
                "sdk/rust/README.md",
                format!("the row of `{plugin}` is not true"),
                hint,
            )
        })
    };
    plugins.iter().filter_map(stale).collect()
}

/// What stands between backticks in a row's last cell.
fn protocol(row: &str) -> Vec<&str> {
    let cell = row
        .trim_end_matches(" |")
        .rsplit(" |")
        .next()
        .unwrap_or_default();
    cell.split('`').skip(1).step_by(2).collect()
}

fn lines(text: &str) -> usize {
    let counts = |line: &str| !line.is_empty() && !line.starts_with("//");
    code(text).filter(|(_, line)| counts(line.trim())).count()
}

fn implements(text: &str) -> bool {
    let implements = |line: &str| {
        let named = line
            .strip_prefix("impl")?
            .split(" for ")
            .next()?
            .split_whitespace()
            .next_back()?;
        TRAITS.iter().find(|name| **name == named)
    };
    text.lines()
        .any(|line| line.contains(" for ") && implements(line).is_some())
}

/// Whether the file is a module that only tests have.
fn is_test(name: &str, files: &[(String, String)]) -> bool {
    let module = name.rsplit('/').next().unwrap_or_default();
    let declared = format!("#[cfg(test)]\nmod {module};");
    files.iter().any(|(_, text)| text.contains(&declared))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_counts_what_is_written_by_hand() {
        let text = "//! What.\n\nuse a;\n// Why.\nfn b() {}\n#[cfg(test)]\nmod tests {\n}\n";
        assert_eq!(lines(text), 2);
        assert!(implements("impl<C> Sink for Mine<C> {") && !implements("impl Display for Sink {"));
        assert_eq!(
            protocol("| `x` | 3 | 1 | 1 | 1 | `a` `b/c` |"),
            ["a", "b/c"]
        );
        assert_eq!(protocol("| `x` | 3 | 0 | 2 | 1 | |"), [""; 0]);
        let files = [(
            "a/x.rs".to_owned(),
            "#[cfg(test)]\nmod crashes;\n".to_owned(),
        )];
        assert!(is_test("sink/crashes", &files) && !is_test("sink", &files));
    }

    #[test]
    fn a_row_that_is_not_true_is_told() {
        let rest = row("rest", &["link"]);
        assert!(stale_rows(&format!("…\n{rest}\n"), &["rest"]).is_empty());
        let breaches = stale_rows(&rest.replacen("| `rest` | ", "| `rest` | 1", 1), &["rest"]);
        assert_eq!(breaches.len(), 1);
        assert_eq!(breaches[0].hint, format!("let it be: {rest}"));
        assert_eq!(stale_rows("", &["rest"]).len(), 1);
    }
}
