//! What the worker and its tests must agree on.

/// Writers of the worker, each with a split of its own.
pub const WRITERS: u8 = 2;
/// Steps whose letters a writer keeps; those of older steps it ends.
pub const KEPT: u64 = 6;
