//! The `sluice/http` plugin.
