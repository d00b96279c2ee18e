//! `docs/manifest.md` held against the code, in both directions, and its example read.

use sluice_model::grant::Grant;
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
        "[source]",
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

/// The keys of a table of the page's last part: the one after this sentence.
fn granted(sentence: &str) -> BTreeSet<String> {
    let rest = PAGE.split(sentence).nth(1).expect(sentence);
    let rows = rest
        .trim_start()
        .lines()
        .take_while(|line| line.starts_with('|'));
    let rows = rows.filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| Some(row.split_once('`')?.0.to_owned()))
        .collect()
}

/// The keys that only a grant's table knows, not the manifest's of the same name; and those that mean more there.
#[test]
fn every_key_of_a_grant_is_documented() {
    let about = "[grant]\nplugin = \"a/b\"\nversion = \"1.0.0\"\npipeline = \"c\"\n\
                 digest = \"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"\n";
    let keys = |table: &str| -> BTreeSet<String> {
        let text = format!("{about}[[{table}]]\nno_such_key_at_all = 1\n");
        let error = toml::from_str::<Grant>(&text)
            .expect_err("an unknown key")
            .to_string();
        let expected = error.split("expected").nth(1).expect("a list");
        expected
            .split('`')
            .skip(1)
            .step_by(2)
            .map(ToOwned::to_owned)
            .collect()
    };
    let only = |table: &str, heading: &str| -> BTreeSet<String> {
        keys(table).difference(&known(heading)).cloned().collect()
    };
    assert_eq!(
        granted("In a grant's `[[http]]`:\n"),
        only("http", "[[http]]")
    );
    let oauth2 = granted("In a grant's `[[secret]]`, for `oauth2`:\n");
    let aws = granted("And for `aws-sigv4`, where both must be there:\n");
    let mut expected = keys("secret");
    expected.retain(|key| !["name", "use"].contains(&key.as_str()));
    assert_eq!(
        oauth2.union(&aws).cloned().collect::<BTreeSet<_>>(),
        expected
    );
}

#[test]
fn every_use_of_a_secret_is_documented() {
    let table = PAGE.split("| `use =` |").nth(1).expect("the table of uses");
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let uses: BTreeSet<&str> = rows.filter_map(|row| row.split('`').nth(1)).collect();
    let error = "no-such-use".parse::<sluice_model::manifest::SecretPlace>();
    let error = error.expect_err("no use").to_string();
    let known: BTreeSet<&str> = error.split('`').skip(3).step_by(2).collect();
    assert_eq!(uses, known);
}
