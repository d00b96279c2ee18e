//! The `sluice/map` plugin.
