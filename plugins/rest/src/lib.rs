//! The `sluice/rest` plugin.
