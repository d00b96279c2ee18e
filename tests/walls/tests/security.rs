//! `docs/security.md` held against the code: every test it names is there, every behaviour of the hostile plugin it names
//! is one, and none is left out; and what no other crate's test can see.

use sluice_walls::named;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

const PAGE: &str = include_str!("../../../docs/security.md");
const BEHAVIOURS: &str = include_str!("../../hostile/src/behaviour.rs");
const PITFALLS: usize = 25;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What stands between single backticks.
fn words() -> Vec<&'static str> {
    PAGE.lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .collect()
}

#[test]
fn every_test_that_the_page_names_is_there() {
    let tests = named::tests(PAGE);
    assert!(tests.len() > 50, "{}", tests.len());
    let missing: BTreeSet<_> = tests
        .into_iter()
        .filter(|name| !named::is_test(name))
        .collect();
    assert!(missing.is_empty(), "no such test: {missing:#?}");
}

#[test]
fn the_page_names_every_behaviour_and_no_other() {
    let named: BTreeSet<&str> = words()
        .into_iter()
        .filter_map(|name| name.strip_prefix("hostile:"))
        .collect();
    let there: BTreeSet<&str> = BEHAVIOURS
        .lines()
        .filter_map(|line| line.trim().strip_suffix("\",")?.split_once(" = \""))
        .map(|(_, word)| word)
        .collect();
    assert!(there.len() > 200, "{}", there.len());
    let (left_out, strange): (Vec<_>, Vec<_>) = (
        there.difference(&named).collect(),
        named.difference(&there).collect(),
    );
    assert!(left_out.is_empty(), "not on the page: {left_out:?}");
    assert!(strange.is_empty(), "no such behaviour: {strange:?}");
}

#[test]
fn every_pitfall_has_its_row() {
    let (_, section) = PAGE
        .split_once("\n## Pitfalls seen elsewhere\n")
        .expect("the section");
    for number in 1..=PITFALLS {
        let begins = format!("| {number} | ");
        let row = section
            .lines()
            .find(|line| line.starts_with(&begins))
            .expect(&begins);
        assert!(row.contains(".rs::") || row.contains("`hostile:"), "{row}");
    }
}

/// `wasmtime-wasi-http` has a sender of its own behind a feature. Whatever a door forbids, it would send.
#[test]
fn no_other_sender_is_compiled_in() {
    let listed = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--workspace",
            "--locked",
            "-e",
            "normal",
            "--prefix",
            "none",
            "-f",
            "{p} {f}",
        ])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let of = |name: &str| -> BTreeSet<String> {
        let lines = listed
            .lines()
            .filter(|line| line.starts_with(&format!("{name} v")));
        lines.map(ToOwned::to_owned).collect()
    };
    let http = of("wasmtime-wasi-http");
    assert!(!http.is_empty(), "it is not there any more: {listed}");
    assert!(
        http.iter()
            .all(|line| !line.contains("default-send-request")),
        "{http:?}"
    );
    for client in [
        "reqwest",
        "ureq",
        "isahc",
        "curl",
        "hyper-proxy",
        "hyper-proxy2",
    ] {
        assert!(of(client).is_empty(), "{client} sends requests of its own");
    }
}
