//! The `sluice/files` plugin.
