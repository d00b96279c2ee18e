//! What must survive: checkpoints, dead letters, metadata. The only crate that names sled.
