//! The tables of `docs/policy.md` held against the code in both directions: every key of a manifest, a grant and a
//! policy stands there, no other does, and the test that each row names is there.

use serde::de::DeserializeOwned;
use sluice_model::grant::Grant;
use sluice_model::manifest::Manifest;
use sluice_model::policy::Policy;
use std::collections::BTreeSet;
use std::path::Path;

const PAGE: &str = include_str!("../../../docs/policy.md");
const MANIFEST_PAGE: &str = include_str!("../../../docs/manifest.md");

/// The first example below a heading of a page.
fn example<'a>(page: &'a str, heading: &str) -> &'a str {
    let (_, after) = page.split_once(heading).expect(heading);
    let (_, after) = after.split_once("```toml\n").expect("an example");
    after.split("```").next().unwrap_or_default()
}

/// What the code says it expected, when it met a key that it does not know.
fn expected<T: DeserializeOwned>(text: &str) -> Vec<String> {
    let Err(error) = toml::from_str::<T>(text) else {
        panic!("an unknown key was taken:\n{text}")
    };
    let error = error.to_string();
    let (_, known) = error
        .split_once("expected")
        .unwrap_or_else(|| panic!("{error}"));
    known
        .split('`')
        .skip(1)
        .step_by(2)
        .map(ToOwned::to_owned)
        .collect()
}

/// Every key the code knows, as `[[http]] host`. The example has every table.
fn known<T: DeserializeOwned>(example: &str) -> BTreeSet<String> {
    let tables = expected::<T>(&format!("{example}\n[no_such_table]\n"));
    let mut keys = BTreeSet::new();
    for table in tables {
        let heading = [format!("[{table}]"), format!("[[{table}]]")];
        let heading = heading
            .iter()
            .find(|heading| example.lines().any(|line| line == heading.as_str()))
            .unwrap_or_else(|| panic!("the example has no `{table}`"));
        let unknown = example.replacen(
            &format!("{heading}\n"),
            &format!("{heading}\nno_such_key = 1\n"),
            1,
        );
        keys.extend(
            expected::<T>(&unknown)
                .iter()
                .map(|key| format!("{heading} {key}")),
        );
    }
    keys
}

/// The rows of a table below a heading: key and test.
fn rows(heading: &str) -> Vec<(String, String)> {
    let (_, section) = PAGE.split_once(&format!("\n{heading}\n")).expect(heading);
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let (key, rest) = row.split_once("` |").expect("a key");
        let test = rest
            .trim_end_matches(" |")
            .rsplit('`')
            .nth(1)
            .expect("a test");
        (key.to_owned(), test.to_owned())
    })
    .collect()
}

/// Whether this repository has a test of this name: `host/policy/tests/keys/grant.rs::grant_dir_as`.
fn is_test(named: &str) -> bool {
    let Some((file, name)) = named.split_once("::") else {
        return false;
    };
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(file);
    let text = std::fs::read_to_string(file).unwrap_or_default();
    // The attribute stands above the function, with nothing but other attributes between.
    ["#[test]", "#[tokio::test"].iter().any(|attribute| {
        text.split(attribute).skip(1).any(|after| {
            let head = after.split_once('{').map_or("", |(head, _)| head);
            head.contains(&format!("fn {name}("))
        })
    })
}

fn hold<T: DeserializeOwned>(heading: &str, example: &str) {
    let rows = rows(heading);
    let documented: BTreeSet<String> = rows.iter().map(|(key, _)| key.clone()).collect();
    assert_eq!(
        documented.len(),
        rows.len(),
        "a key stands twice below `{heading}`"
    );
    assert_eq!(documented, known::<T>(example), "below `{heading}`");
    let wrong: Vec<_> = rows.iter().filter(|(_, test)| !is_test(test)).collect();
    assert!(wrong.is_empty(), "no such test: {wrong:#?}");
}

#[test]
fn every_manifest_key_has_its_test() {
    hold::<Manifest>(
        "## Manifest keys and their tests",
        example(MANIFEST_PAGE, "# The manifest"),
    );
}

#[test]
fn every_grant_key_has_its_test() {
    hold::<Grant>("## Grant keys and their tests", example(PAGE, "## A grant"));
}

#[test]
fn every_policy_key_has_its_test() {
    hold::<Policy>(
        "## Policy keys and their tests",
        example(PAGE, "## A policy"),
    );
}

#[test]
fn the_examples_are_right() {
    Grant::parse("docs/policy.md", example(PAGE, "## A grant")).expect("a grant");
    let policy = sluice_policy::Organisation::read("docs/policy.md", example(PAGE, "## A policy"));
    policy.expect("a policy");
}
