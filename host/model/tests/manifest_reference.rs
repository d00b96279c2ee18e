//! `docs/manifest.md` held against the code, in both directions, and its example read.

use sluice_model::manifest::Manifest;
use std::collections::BTreeSet;

const PAGE: &str = include_str!("../../../docs/manifest.md");

fn example() -> &'static str {
    PAGE.split("```toml\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .expect("an example")
}

/// The keys of a section's table in the page: those between its heading and the next.
fn documented(heading: &str) -> BTreeSet<String> {
    let section = PAGE
        .split(&format!("\n## `{heading}`\n"))
        .nth(1)
        .expect(heading);
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| Some(row.split_once('`')?.0.to_owned()))
        .collect()
}

/// The keys the code knows in a table: what it says it expected when it meets one it does not know.
fn known(heading: &str) -> BTreeSet<String> {
    let text = example().replacen(
        &format!("{heading}\n"),
        &format!("{heading}\nno_such_key_at_all = 1\n"),
        1,
    );
    assert_ne!(text, example(), "the example has {heading}");
    let error = toml::from_str::<Manifest>(&text)
        .expect_err("an unknown key")
        .to_string();
    let expected = error
        .split("expected")
        .nth(1)
        .unwrap_or_else(|| panic!("{heading}: {error}"));
    expected
        .split('`')
        .skip(1)
        .step_by(2)
        .map(ToOwned::to_owned)
        .collect()
}

#[test]
fn every_key_is_documented_and_every_documented_key_exists() {
    for heading in [
        "[plugin]",
        "[[http]]",
        "[[tcp]]",
        "[[dir]]",
        "[[secret]]",
        "[data]",
        "[sink]",
        "[limits]",
        "[config]",
    ] {
        assert_eq!(documented(heading), known(heading), "{heading}");
    }
}

#[test]
fn every_section_is_documented() {
    let error = toml::from_str::<Manifest>(&format!("{}\n[no_such_table]\n", example()))
        .expect_err("an unknown table");
    let error = error.to_string();
    let tables = error.split("expected").nth(1).expect("a list");
    for table in tables.split('`').skip(1).step_by(2) {
        let heading = PAGE.contains(&format!("\n## `[{table}]`"))
            || PAGE.contains(&format!("\n## `[[{table}]]`"));
        assert!(heading, "{table} has no section");
    }
}

#[test]
fn the_example_is_a_manifest() {
    Manifest::parse("docs/manifest.md", example()).expect("the example is right");
}
