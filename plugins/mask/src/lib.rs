//! The `sluice/mask` plugin.
