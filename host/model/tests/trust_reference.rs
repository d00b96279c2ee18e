//! The page about signing is read as a user reads it: its trust file is one, with every key there is.

use sluice_model::trust::Trust;

const PAGE: &str = include_str!("../../../docs/signing.md");

#[test]
fn the_example_is_a_trust_file() {
    let block = PAGE
        .split("```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .find(|block| block.contains("[signing]"))
        .expect("an example");
    let trust = Trust::parse("docs/signing.md", block).unwrap_or_else(|error| panic!("{error}"));
    assert!(trust.signing.required);
    assert_eq!(
        (trust.key.len(), trust.revoked.len(), trust.floor.len()),
        (1, 2, 1)
    );
}
