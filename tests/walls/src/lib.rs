//! The walls of the house, executable: pure functions that find what breaks a rule, each breach with what to do about
//! it. The rules themselves, held against this repository, are in `tests/`.

mod graph;
pub mod guards;
pub mod named;
mod size;
mod source;
mod tree;

pub use graph::Graph;
pub use size::stale_rows;
pub use source::{Breach, forbidden_words, has_no_opening, overlong, readme_commands};
pub use tree::rust_files;

/// Fails a test with every breach in it, one a line.
///
/// # Panics
/// Where there is one.
pub fn hold(breaches: &[Breach]) {
    let lines: Vec<String> = breaches.iter().map(ToString::to_string).collect();
    assert!(
        breaches.is_empty(),
        "{} walls broken:\n  {}",
        lines.len(),
        lines.join("\n  ")
    );
}
