//! Derives `Record` for a plugin's own struct.
