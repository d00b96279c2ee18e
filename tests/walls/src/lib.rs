//! The walls between the crates, as tests.
