//! Tests that a page names: `tests/e2e/tests/kill.rs::ten_kills_lose_nothing_and_double_nothing`.

use std::path::Path;

/// What a page names as a test: all that stands between single backticks and is written so.
pub fn tests(page: &str) -> Vec<&str> {
    let words = page
        .lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2));
    words.filter(|word| word.contains(".rs::")).collect()
}

/// Whether there is such a test: the attribute stands above the function, with nothing but other attributes between. One
/// that is made by a macro of `proptest` is a function like any other.
pub fn is_test(named: &str) -> bool {
    let Some((file, name)) = named.split_once("::") else {
        return false;
    };
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(file);
    let text = std::fs::read_to_string(file).unwrap_or_default();
    ["#[test]", "#[tokio::test"].iter().any(|attribute| {
        text.split(attribute).skip(1).any(|after| {
            let head = after.split_once('{').map_or("", |(head, _)| head);
            head.contains(&format!("fn {name}("))
        })
    })
}

#[cfg(test)]
mod checks {
    use super::*;

    #[test]
    fn only_a_test_is_one() {
        assert!(is_test("tests/walls/src/named.rs::only_a_test_is_one"));
        assert!(!is_test("tests/walls/src/named.rs::is_test"));
        assert!(!is_test("tests/walls/src/no_such_file.rs::named"));
        assert_eq!(
            tests("| a `b.rs::c` | `d` `e.rs::f`"),
            ["b.rs::c", "e.rs::f"]
        );
    }
}
